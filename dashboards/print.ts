// The verbs `dashboards` and `rules`, and what the web door serves below /dashboards/. The dashboards are the committed
// files, since the SDK that writes them is no part of the program; rules are written on the spot, as they have options.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ownNames, ownText } from '../own/files.ts'
import type { RuleOptions } from './rules.ts'

export interface Bundled {
  /** "pillion-overview.json" */
  readonly file: string
  readonly uid: string
  readonly title: string
  readonly about: string
  /** As Grafana imports it. */
  readonly text: string
}

const FOLDER = 'dashboards/grafana'

/** All dashboards, in the order of their names. */
export async function bundled(): Promise<readonly Bundled[]> {
  const found = ownNames(FOLDER).filter(name => name.endsWith('.json'))
  if (found.length === 0) throw new Error(`cannot find the dashboards: no ${FOLDER}; install the package again`)
  return found.map(read)
}

/** `pillion dashboards [--out DIR]`: writes the files into a folder, or says which there are. Returns what to print. */
export async function printDashboards({ out }: { readonly out?: string | undefined } = {}): Promise<string> {
  const all = await bundled()
  if (out === undefined) {
    const lines = all.map(({ file, title, about }) => `${file.padEnd(26)}${title.padEnd(24)}${about}\n`)
    return `${lines.join('')}\nTo import them into Grafana: pillion dashboards --out DIR\n`
  }
  await mkdir(out, { recursive: true })
  for (const { file, text } of all) await writeFile(join(out, file), text)
  return all.map(({ file }) => `${join(out, file)}\n`).join('')
}

/** `pillion rules [--slo OBJECTIVE]… [--runbooks URL] [--grafana URL]`. Throws for an objective that cannot be read. */
export async function printRules(options: RuleOptions = {}): Promise<string> {
  return (await import('./rules.ts')).rules(options)
}

function read(file: string): Bundled {
  const text = ownText(`${FOLDER}/${file}`)
  if (text === undefined) throw new Error(`cannot read the dashboard ${file}; install the package again`)
  // Written by `npm run generate` from a value that has these.
  const { uid, title, description } = JSON.parse(text) as { uid: string; title: string; description: string }
  return { file, uid, title, about: description, text }
}
