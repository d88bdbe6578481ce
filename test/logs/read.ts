// Asks the readers of logs over HTTP, through the web server.

import type { Test } from 'tap'
import type { LogsRunning } from '../../processors/logs.ts'
import { openServer, parsed } from '../web/open.ts'

export interface LogRecord {
  readonly number: number
  readonly time?: string
  readonly timeUnixNano?: string
  readonly severity: string
  readonly severityNumber: number
  readonly service: string
  readonly traceId?: string
  readonly spanId?: string
  readonly body: string
}

export interface Page {
  readonly records: readonly LogRecord[]
  readonly next?: number
  readonly kept: { readonly newest: number; readonly records: number; readonly bytes: number; readonly evicted: number }
}

export interface Reader {
  /** The body of an answer of 200 from the path, as JSON. */
  json<T>(path: string, ...headers: readonly string[]): Promise<T>
  /** Status and text of any answer. */
  text(path: string): Promise<{ readonly status: number; readonly body: string }>
  /** Records of /api/logs, newest first; `query` is "" or begins with "?". */
  records(query?: string): Promise<readonly LogRecord[]>
}

export async function reader(t: Test, running: Pick<LogsRunning, 'routes'>): Promise<Reader> {
  const { ask } = await openServer(t, { host: { routes: () => running.routes ?? [] } })
  const text = async (path: string, ...headers: readonly string[]) => {
    const { status, body } = parsed(await ask(`GET ${path}`, ...headers))
    return { status, body }
  }
  const json = async <T>(path: string, ...headers: readonly string[]): Promise<T> => {
    const { status, body } = await text(path, ...headers)
    if (status !== 200) throw new Error(`${status} ${body}`)
    // The test names the type that it is going to check.
    return JSON.parse(body) as T
  }
  return { json, text, records: async (query = '') => (await json<Page>(`/api/logs${query}`)).records }
}
