// The newest traces, in memory of a fixed size, and Tempo's HTTP API over them, so that Grafana shows traces without a
// back end of its own.

import { counter, gauge } from '../metrics/family.ts'
import { bytes, duration, section, type Values } from '../options/kinds.ts'
import { BUDGET_SHARE, Kept } from '../store/kept.ts'
import type { Host } from '../telemetry/host.ts'
import type { Part, Running } from '../telemetry/part.ts'
import { Api, KINDS, OUTCOMES } from './traces/api.ts'

export const keptSpans = gauge('pillion_traces_kept_spans', 'Spans kept in memory, those of pinned traces included.')
export const keptBytes = gauge(
  'pillion_traces_kept_bytes',
  'Bytes of the spans kept in memory, with their resources and scopes; about two thirds of traces.keep when it is full.',
)
export const oldest = gauge(
  'pillion_traces_oldest_timestamp_seconds',
  'When the oldest span in memory came in, in seconds since the epoch; pinned traces may be older.',
)
export const evicted = counter(
  'pillion_traces_evicted_spans_total',
  'Spans that are no longer in memory, or never were, by reason: newer = newer spans took their place, too_large = their request was larger than the store, names = too many different names of services at once, memory = the memory budget had no room for a store.',
  ['reason'],
)
export const pinned = gauge(
  'pillion_traces_pinned_traces',
  'Traces that are kept although they are old: exemplars on /metrics name them, they are the newest errors or the slowest of their operation, or somebody has opened them.',
)
export const unresolved = gauge(
  'pillion_traces_exemplars_unresolved',
  'Exemplars on /metrics, made from spans, whose trace is no longer in memory. It stays 0.',
)
export const exemplarsDropped = counter(
  'pillion_traces_exemplars_dropped_total',
  'Exemplars removed from /metrics because their trace could not be kept. If it grows, raise traces.keep.',
)
export const queries = counter(
  'pillion_traces_queries_total',
  'Queries of the Tempo API, by kind and outcome: ok, not_found, bad = the query was refused, busy = too many queries at a time, timeout = it took longer than traces.query.timeout, gone = the client went away.',
  ['kind', 'outcome'],
)

export const options = section('The newest traces in memory, and Tempo’s HTTP API for Grafana.', {
  keep: bytes(
    `Memory for the newest spans, taken with the first span. It is never more than a quarter of memory.budget. 0B keeps none.`,
    { default: '16MiB', min: '0B', max: '1GiB' },
  ),
  query: section('Queries over the traces in memory.', {
    timeout: duration('A query that takes longer is ended, and answered with an error.', {
      default: '5s',
      min: '100ms',
      max: '1m',
    }),
  }),
})

export type TracesOptions = Values<typeof options>

export interface TracesHost extends Host {
  /** Of the sidecar; absent where nobody asks for it. */
  readonly version?: string
}

export const traces = {
  name: 'traces',
  about: 'Keeps the newest traces in memory, and answers Grafana’s Tempo data source.',
  families: [keptSpans, keptBytes, oldest, evicted, pinned, unresolved, exemplarsDropped, queries],
  options,
  start(
    { keep, query }: TracesOptions,
    {
      metrics,
      clock,
      memory,
      log,
      version = 'unknown',
    }: Pick<TracesHost, 'metrics' | 'clock' | 'memory' | 'log' | 'version'>,
  ): Running {
    const kept = keep > 0 ? new Kept(keep, { metrics, clock, memory }) : undefined
    const counted = metrics.counter(queries)
    for (const kind of KINDS) for (const outcome of OUTCOMES) counted.inc({ kind, outcome }, 0)
    const readings = {
      spans: metrics.reading(keptSpans),
      bytes: metrics.reading(keptBytes),
      oldest: metrics.reading(oldest),
      evicted: metrics.reading(evicted),
      pinned: metrics.reading(pinned),
      unresolved: metrics.reading(unresolved),
      dropped: metrics.reading(exemplarsDropped),
    }
    const api = new Api(kept, { clock, log, timeoutMs: query.timeout, version }, (kind, outcome) =>
      counted.inc({ kind, outcome }),
    )
    return {
      ...(kept && { consumes: { spans: [kept] } }),
      routes: api.routes,
      async collect(signal) {
        if (!kept) return
        await kept.resolve(signal)
        const { store } = kept
        readings.spans.set({}, store?.spans ?? 0)
        readings.bytes.set({}, store?.held ?? 0)
        readings.oldest.clear()
        const received = store?.newest.oldestReceived
        if (received !== undefined) readings.oldest.set({}, received / 1000)
        const { newer, too_large, names } = store?.evicted ?? { newer: 0, too_large: 0, names: 0 }
        for (const [reason, spans] of Object.entries({ newer, too_large, names, memory: kept.withoutMemory }))
          readings.evicted.set({ reason }, spans)
        readings.pinned.set({}, store?.pins.size ?? 0)
        readings.unresolved.set({}, kept.unresolved)
        readings.dropped.set({}, kept.dropped)
      },
      facts() {
        const { store } = kept ?? {}
        if (!store) return []
        return [
          { name: 'spans kept', value: store.spans },
          { name: 'of memory', value: store.bytes, unit: 'bytes' },
          { name: 'pinned traces', value: store.pins.size },
        ]
      },
      async recall(recall, signal) {
        if (!kept || recall.cheap) return {}
        const { remembered } = await import('./traces/remembered.ts')
        return { traces: await remembered(kept, clock, recall, signal) }
      },
      findings() {
        const most = memory.total * BUDGET_SHARE
        if (keep <= most) return []
        const text = `traces.keep is ${keep} bytes, and a quarter of the memory budget is ${Math.floor(most)}: the store takes no more than that; raise memory.budget`
        return [{ level: 'info', text }]
      },
      async [Symbol.asyncDispose]() {
        kept?.close()
      },
    }
  },
} satisfies Part<TracesOptions, TracesHost>
