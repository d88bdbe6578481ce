// Where a trace comes from: the sidecar, which is asked for what is needed, or a file, which the browser has as a whole.

import type { TraceColumns } from '../../../../telemetry/trace-columns.ts'
import { ask, Refused } from '../ask.ts'
import type { LogRecord } from '../logs/records.ts'
import { Store } from '../store.ts'
import { type Detail, detailOf, isObject, type Json, objects } from './detail.ts'
import type { LocalTrace } from './files.ts'
import type { Blame, Moments } from './strip.ts'

export interface Source {
  readonly columns: TraceColumns
  /** Whether the sidecar has it, with logs and moments of the same time. */
  readonly live: boolean
  /** Both sides of a call may have one id: the place says which is meant. */
  detail(span: number, signal: AbortSignal): Promise<Detail>
  /** By span: 1 if the text occurs in it. */
  find(text: string, signal: AbortSignal): Promise<Uint8Array>
  otlp(): Promise<string>
}

/** Traces that came from files, while this tab is open. */
export const opened = new Store<readonly LocalTrace[]>([])

export function localSource(trace: LocalTrace): Source {
  return {
    columns: trace.columns,
    live: false,
    detail: async span => trace.detail(span),
    find: async text => trace.find(text),
    otlp: async () => trace.otlp(),
  }
}

export function liveSource(columns: TraceColumns): Source {
  const path = `/api/traces/${columns.traceId}`
  return {
    columns,
    live: true,
    async detail(span, signal) {
      const found = await ask<Json>(`${path}/${columns.spanId[span]}`, signal)
      const all = isObject(found) ? objects(found['resourceSpans']) : []
      const spans = all.flatMap(group =>
        objects(group['scopeSpans']).flatMap(scoped =>
          objects(scoped['spans']).map(each => ({
            each,
            detail: detailOf(
              isObject(group['resource']) ? group['resource'] : {},
              isObject(scoped['scope']) ? scoped['scope'] : {},
              each,
            ),
          })),
        ),
      )
      const kind = columns.kind[span]
      const meant = spans.find(({ each }) => (each['kind'] ?? 0) === kind) ?? spans[0]
      if (!meant) throw new Error('this span has left the memory of the sidecar')
      return meant.detail
    },
    async find(text, signal) {
      const { spans } = await ask<{ spans: readonly string[] }>(`${path}/find?${new URLSearchParams({ text })}`, signal)
      const found = new Set(spans)
      return Uint8Array.from(columns.spanId, id => (found.has(id) ? 1 : 0))
    },
    otlp: async () => JSON.stringify(await ask<Json>(`${path}/otlp`)),
  }
}

export interface Beside {
  readonly logs: readonly LogRecord[]
  /** Undefined where nothing was kept for that time, or nobody keeps it. */
  readonly moments: Moments | undefined
  readonly blame: Blame | undefined
}

/** The same one whenever there is none: what is made of it is then made once. */
const NO_LOGS: readonly LogRecord[] = []

export const NOTHING_BESIDE: Beside = { logs: NO_LOGS, moments: undefined, blame: undefined }

/** The sidecar's knowledge of the time of a trace; each part may be absent. */
export async function askBeside(columns: TraceColumns, end: number, signal: AbortSignal): Promise<Beside> {
  const from = Math.floor(Number(BigInt(columns.startUnixNano) / 1_000_000n))
  const to = Math.ceil(from + end / 1000)
  const [logs, moments, blame] = await Promise.all([
    perhaps<{ records: readonly LogRecord[] }>(`/api/logs?trace=${columns.traceId}&limit=1000`, signal),
    perhaps<Moments>(`/api/moments?from=${from}&to=${to}`, signal),
    perhaps<Blame>(`/api/insight/trace/${columns.traceId}`, signal),
  ])
  return {
    logs: logs && logs.records.length > 0 ? logs.records : NO_LOGS,
    moments: moments && (moments.series?.length > 0 || moments.marks?.length > 0) ? moments : undefined,
    blame: blame && blame.spans?.length > 0 ? blame : undefined,
  }
}

async function perhaps<T>(path: string, signal: AbortSignal): Promise<T | undefined> {
  try {
    return await ask<T>(path, signal)
  } catch (error) {
    if (error instanceof Refused || !signal.aborted) return undefined
    throw error
  }
}
