// A sidecar for a command: the application comes first, so it is started with the listeners that can be opened.

import type { Options } from '../parts.ts'
import { type Sidecar, type Source, startSidecar, type World } from '../sidecar.ts'
import { openable, sameListeners } from '../supervise/ports.ts'
import { type Told, warning } from './announce.ts'

/** Between the look at a port and its opening, somebody else may take it. */
const TRIES = 3

export interface Started extends AsyncDisposable {
  readonly sidecar: Sidecar
  readonly findings: readonly Told[]
}

/** Starts the sidecar for a command, with the listeners that can be opened; with `run.strict`, with all or not at all. */
export async function startOpenable(
  options: Options,
  world: World,
  command: readonly string[],
  source: Source | undefined,
): Promise<Started> {
  for (let tries = 1; ; tries++) {
    const opened = options.run.strict
      ? { options, findings: [] }
      : await openable(options, path => source?.origins.get(path))
    const reread = source && {
      ...source,
      read: async () => {
        const reading = await source.read()
        return reading.ok ? { ...reading, values: sameListeners(reading.values, options, opened.options) } : reading
      },
    }
    try {
      const sidecar = await startSidecar(opened.options, world, command, reread)
      return {
        sidecar,
        findings: opened.findings.map(each => warning('run', each)),
        [Symbol.asyncDispose]: () => sidecar[Symbol.asyncDispose](),
      }
    } catch (error) {
      const taken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
      if (!taken || options.run.strict || tries >= TRIES) throw error
    }
  }
}
