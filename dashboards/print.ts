// The verbs `dashboards` and `rules`, and what the web server serves below /dashboards/. The dashboards are the committed
// files, since the SDK that writes them is no part of the program; rules are written on the spot, as they have options.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ownNames, ownText } from '../own/files.ts'
import type { Asked } from './rules.ts'

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

export interface BoardOptions {
  /** A folder to write the dashboards into. */
  readonly out?: string | undefined
  /** ConfigMaps instead of files. */
  readonly kubernetes?: boolean | undefined
  /** Addresses of sidecars, for data sources; and where Prometheus and, if there is one, Tempo are. */
  readonly sidecars?: readonly string[] | undefined
  readonly prometheus?: string | undefined
  readonly tempo?: string | undefined
}

/**
 * `pillion dashboards`: says which there are; with --out writes the files into a folder; with --kubernetes makes ConfigMaps of
 * them; with --sidecar makes the data sources for them. Returns what to print. Throws for what is not an address.
 */
export async function printDashboards(options: BoardOptions = {}): Promise<string> {
  const { out, kubernetes = false, sidecars, prometheus, tempo } = options
  if (sidecars || prometheus !== undefined || tempo !== undefined) {
    if (out !== undefined) throw new Error('--out: cannot be given with --sidecar; print the data sources into a file')
    if (!sidecars) throw new Error('--sidecar: needed for data sources, as in --sidecar http://shop:19464')
    return (await import('./datasources.ts')).dataSources({ sidecars, prometheus, tempo })
  }
  const all = await bundled()
  if (kubernetes) {
    if (out !== undefined) throw new Error('--out: cannot be given with --kubernetes; print the objects into a file')
    return configMaps(all)
  }
  if (out === undefined) {
    const lines = all.map(({ file, title, about }) => `${file.padEnd(26)}${title.padEnd(24)}${about}\n`)
    return `${lines.join('')}\nTo import them into Grafana: pillion dashboards --out DIR\nIn Kubernetes: pillion dashboards --kubernetes | kubectl apply -f -\nData sources for them: pillion dashboards --sidecar http://HOST:19464\n`
  }
  await mkdir(out, { recursive: true })
  for (const { file, text } of all) await writeFile(join(out, file), text)
  return all.map(({ file }) => `${join(out, file)}\n`).join('')
}

/**
 * One ConfigMap for each dashboard, with the label that the sidecar of Grafana's chart watches. All in one would be too large:
 * `kubectl apply` writes the whole object into an annotation, which may have 262 144 bytes. So they are without white space.
 */
async function configMaps(all: readonly Bundled[]): Promise<string> {
  const { stringify } = await import('yaml')
  const objects = all.map(({ file, uid, text }) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: uid, labels: { 'app.kubernetes.io/name': 'pillion', grafana_dashboard: '1' } },
    data: { [file]: JSON.stringify(JSON.parse(text)) },
  }))
  return objects.map(each => `---\n${stringify(each, { lineWidth: 0 })}`).join('')
}

/** The switches of `pillion rules`, as they were given. */
export interface RuleSwitches {
  readonly slo?: readonly string[] | undefined
  readonly runbooks?: string | undefined
  readonly grafana?: string | undefined
  readonly format?: string | undefined
}

/**
 * `pillion rules [--slo OBJECTIVE]… [--runbooks URL] [--grafana URL] [--format FORMAT]`, for the request metrics as they are
 * configured. Throws for an objective that cannot be read, or that the buckets cannot judge, and for an unknown format.
 */
export async function printRules(given: RuleSwitches = {}, spans?: Asked): Promise<string> {
  const { FORMATS, rules } = await import('./rules.ts')
  const format = FORMATS.find(each => each === (given.format ?? FORMATS[0]))
  if (!format) throw new Error(`--format: there is no format ${given.format}; there are ${FORMATS.join(', ')}`)
  const { slo, runbooks, grafana } = given
  return rules({
    format,
    ...(slo && { slo }),
    ...(runbooks !== undefined && { runbooks }),
    ...(grafana !== undefined && { grafana }),
    ...(spans && { spans }),
  })
}

function read(file: string): Bundled {
  const text = ownText(`${FOLDER}/${file}`)
  if (text === undefined) throw new Error(`cannot read the dashboard ${file}; install the package again`)
  // Written by `npm run generate` from a value that has these.
  const { uid, title, description } = JSON.parse(text) as { uid: string; title: string; description: string }
  return { file, uid, title, about: description, text }
}
