// The trace that a question is about: the newest that failed, or the slowest of an operation. Asked of the Tempo API.

import { useAsk } from './ask.ts'
import { link } from './route.ts'

export interface FoundSpan {
  readonly spanID: string
  readonly startTimeUnixNano: string
  readonly durationNanos: string
}

export interface FoundTrace {
  readonly traceID: string
  readonly spanSets?: readonly { readonly spans?: readonly FoundSpan[] }[]
}

export interface Example {
  /** The address of the trace with its span. */
  readonly href: string
  readonly seconds: number
  readonly ms: number
}

/** The newest span that matches, or the slowest; undefined until it is known, null if there is none. */
export function useExample(query: string | undefined, choice: 'newest' | 'slowest'): Example | null | undefined {
  const limit = choice === 'newest' ? '5' : '50'
  const path =
    query === undefined ? undefined : `/tempo/api/search?${new URLSearchParams({ q: query, limit, spss: '20' })}`
  const { data, fresh } = useAsk<{ readonly traces?: readonly FoundTrace[] }>(path, { every: 5000 })
  if (!data || !fresh) return undefined
  const spans = (data.traces ?? []).flatMap(({ traceID, spanSets = [] }) =>
    spanSets.flatMap(({ spans = [] }) =>
      spans.map(span => ({
        href: link(`/trace/${encodeURIComponent(traceID)}`, { span: span.spanID }),
        seconds: Number(span.durationNanos) / 1e9,
        ms: Number(span.startTimeUnixNano) / 1e6,
      })),
    ),
  )
  const of = choice === 'newest' ? ({ ms }: Example) => ms : ({ seconds }: Example) => seconds
  return spans.reduce<Example | null>((best, each) => (best === null || of(each) > of(best) ? each : best), null)
}
