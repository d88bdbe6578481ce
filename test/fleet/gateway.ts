// The Collectors of deploy/fleet: contrib's, which .ci/judges builds, with the very files.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FOLDER } from '../deploy/judges.ts'
import { Child, freePort } from '../e2e/child.ts'
import { sum } from '../e2e/ride.ts'

export const CONTRIB = join(FOLDER, 'bin', 'otelcol-contrib')
export const FILES = fileURLToPath(new URL('../../deploy/fleet/', import.meta.url))

/** False if it is there; otherwise the message of a skip. */
export const withoutContrib: string | false = existsSync(CONTRIB) ? false : 'needs the Collector (contrib): .ci/judges'

export interface Gateway extends AsyncDisposable {
  readonly child: Child
  /** The sum of one of its own counters. */
  counter(name: string): Promise<number>
}

/** Starts one; `overrides` are configurations in YAML or JSON that are laid over the file. */
export async function gateway(
  name: string,
  env: Readonly<Record<string, string>>,
  overrides: readonly object[] = [],
): Promise<Gateway> {
  const port = String(await freePort())
  const more = overrides.flatMap(each => ['--config', `yaml:${JSON.stringify(each)}`])
  const child = await Child.start(CONTRIB, ['--config', join(FILES, name), ...more], {
    ...env,
    TELEMETRY_HOST: '127.0.0.1',
    TELEMETRY_PORT: port,
  })
  await child.says(/Everything is ready/)
  const counter = async (name: string): Promise<number> => {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
    return sum(text, name) ?? 0
  }
  return { child, counter, [Symbol.asyncDispose]: () => child[Symbol.asyncDispose]() }
}
