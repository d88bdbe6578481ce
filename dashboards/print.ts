// The verbs `dashboards` and `rules`, and what the web door serves below /dashboards/. The dashboards are the committed
// files, since the SDK that writes them is no part of the program; rules are written on the spot, as they have options.

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
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

/** Beside this file in the sources and in the built program; one up from `dist` in the package. */
const FOLDERS = ['grafana', '../../dashboards/grafana'].map(folder => join(import.meta.dirname, folder))

/** All dashboards, in the order of their names. */
export async function bundled(): Promise<readonly Bundled[]> {
  for (const folder of FOLDERS) {
    const files = await jsonIn(folder)
    if (files.length > 0) return Promise.all(files.map(file => read(folder, file)))
  }
  throw new Error(`cannot find the dashboards: none in ${FOLDERS.join(' or ')}; install the package again`)
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

async function jsonIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter(name => name.endsWith('.json')).sort()
  } catch {
    return []
  }
}

async function read(folder: string, file: string): Promise<Bundled> {
  const text = await readFile(join(folder, file), 'utf8')
  // Written by `npm run generate` from a value that has these.
  const { uid, title, description } = JSON.parse(text) as { uid: string; title: string; description: string }
  return { file, uid, title, about: description, text }
}
