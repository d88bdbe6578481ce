// Real receivers of the push: Prometheus 3, which .ci/judges builds, and Debian's.

import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FOLDER } from '../deploy/judges.ts'
import { Child, freePort, until } from '../e2e/child.ts'
import { missing } from '../e2e/programs.ts'

export const NEWEST = join(FOLDER, 'bin', 'prometheus')

/** False if it is there; otherwise the message of a skip. */
export const withoutNewest: string | false = existsSync(NEWEST) ? false : 'needs Prometheus 3: .ci/judges'
export const withoutDebian: string | false = missing('/usr/bin/prometheus', 'prometheus')

export interface Result {
  readonly metric: Readonly<Record<string, string>>
  readonly value: readonly [seconds: number, value: string]
}

export interface Prometheus extends AsyncDisposable {
  readonly url: string
  readonly child: Child
  /** An instant query, at a time in seconds since the epoch or now. */
  query(query: string, time?: number): Promise<readonly Result[]>
  /** The only value of a query; waits until there is one. */
  value(query: string): Promise<number>
  api(path: string, query: Readonly<Record<string, string>>): Promise<unknown>
}

export async function prometheus(
  program: string,
  folder: string,
  config: object = {},
  flags: readonly string[] = [],
): Promise<Prometheus> {
  const port = await freePort()
  // YAML is a superset of JSON.
  writeFileSync(join(folder, 'prometheus.yml'), JSON.stringify(config))
  const child = await Child.start(program, [
    `--config.file=${folder}/prometheus.yml`,
    `--storage.tsdb.path=${folder}/data`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--web.enable-remote-write-receiver',
    ...flags,
  ])
  await child.says(/Server is ready/)
  const url = `http://127.0.0.1:${port}`
  const api = async (path: string, query: Readonly<Record<string, string>>): Promise<unknown> => {
    const response = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(query)}`)
    // Prometheus documents these shapes: prometheus.io/docs/prometheus/latest/querying/api.
    const { data, error } = (await response.json()) as { data?: unknown; error?: string }
    if (error !== undefined) throw new Error(`${query['query']}: ${error}`)
    return data
  }
  const query = async (query: string, time?: number): Promise<readonly Result[]> => {
    const data = await api('query', { query, ...(time === undefined ? {} : { time: String(time) }) })
    return (data as { result: Result[] }).result
  }
  return {
    url,
    child,
    api,
    query,
    value: wanted =>
      until(wanted, async () => {
        const [first, ...more] = await query(wanted)
        if (more.length > 0) throw new Error(`${more.length + 1} results of ${wanted}`)
        return first && Number(first.value[1])
      }),
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  }
}
