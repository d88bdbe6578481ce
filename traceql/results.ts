// The contract between the engine of TraceQL (traceql/) and the API that writes its results as JSON: what an evaluation yields.
// The engine finds; the API names, cuts and spells. Nothing here refers to memory of the store: ids, names and values were
// copied, so a result can be held over turns of the event loop.
//
//   search(query, source, pace, { from, to, limit, spss })          → SearchResult
//   metrics(query, source, pace, { from, to, step, exemplars })     → SeriesResult
//   spanFilter(query)                                               → (cursor: Cursor) => boolean, for values of tags
//
// The first argument is a query that was parsed and validated, or its text; whoever parses throws what is answered with 400.

import type { Trace } from './reading.ts'
import type { Static } from './static.ts'

/** A key as an answer spells it (`http.route`, `by(resource.service.name)`), and its value. */
export type Labelled = readonly [key: string, value: Static]

export interface SearchLimits {
  /** Seconds since the epoch; a trace counts if it overlaps them, both ends included. */
  readonly from: number | undefined
  readonly to: number | undefined
  /** Traces, and spans of each spanset. */
  readonly limit: number
  readonly spss: number
  /** Traces for which it answers false are left out before they are counted. */
  readonly accept?: (trace: Trace) => boolean
}

export interface SearchResult {
  /** The newest start first, at most `limit`. */
  readonly traces: readonly FoundTrace[]
  readonly inspectedBytes: number
  /** Set if a trace was left out, and why. */
  readonly partial?: string
}

export interface FoundTrace {
  /** 32 hexadecimal digits, lower case. */
  readonly id: string
  /** Undefined while the root span is not here. */
  readonly rootService: string | undefined
  readonly rootName: string | undefined
  readonly startNanos: bigint
  readonly durationNanos: number
  readonly spansets: readonly FoundSpanset[]
  /** By service; of the whole trace. */
  readonly services: ReadonlyMap<string, { readonly spans: number; readonly errors: number }>
}

export interface FoundSpanset {
  /** Spans that matched, of which `spans` are the first `spss`. */
  readonly matched: number
  readonly spans: readonly FoundSpan[]
  /** The attributes that `by` and aggregates add. */
  readonly attributes: readonly Labelled[]
}

export interface FoundSpan {
  /** 16 hexadecimal digits. */
  readonly id: string
  readonly name: string
  readonly startNanos: bigint
  readonly durationNanos: number
  /**
   * The attributes that the query mentions or selects, without those that have a place of their own (name, duration,
   * ids).
   */
  readonly attributes: readonly Labelled[]
}

export interface MetricsLimits {
  /** Nanoseconds since the epoch, and between two samples; an instant query has one step over the whole range. */
  readonly from: bigint
  readonly to: bigint
  readonly step: bigint
  /** The most exemplars in all. */
  readonly exemplars: number
}

export interface SeriesResult {
  readonly series: readonly FoundSeries[]
  readonly inspectedBytes: number
  /** Set if a limit was reached and series or spans were left out. */
  readonly partial?: string
}

export interface FoundSeries {
  readonly labels: readonly Labelled[]
  readonly samples: readonly { readonly ms: number; readonly value: number }[]
  readonly exemplars: readonly { readonly labels: readonly Labelled[]; readonly value: number; readonly ms: number }[]
}
