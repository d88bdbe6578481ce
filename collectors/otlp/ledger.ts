// The ledger of the doors: every item that came in is either accepted or refused for a named reason. Plain numbers while
// requests come in; metrics when somebody scrapes.

import { counter, type Family, gauge, type Metrics } from '../../exporter/metrics.ts'
import type { Code, Signal } from './status.ts'

export const received = counter(
  'pillion_otlp_received_items_total',
  'Spans, data points and log records in requests that could be decoded, which is accepted plus refused. What is in a request that could not be decoded cannot be counted: see pillion_otlp_requests_total.',
  ['signal'],
)
export const accepted = counter(
  'pillion_otlp_accepted_items_total',
  'Spans, data points and log records that were taken and given to everything that uses them.',
  ['signal'],
)
export const refused = counter(
  'pillion_otlp_refused_items_total',
  'Spans, data points and log records that were decoded and not taken; the sender was told so.',
  ['signal', 'reason'],
)
export const requests = counter(
  'pillion_otlp_requests_total',
  'Requests by answer: the HTTP status or the gRPC code. Refused ones have no countable items, except 413 and code 8 for too many items.',
  ['signal', 'transport', 'code'],
)
export const adjusted = counter(
  'pillion_otlp_adjusted_spans_total',
  'Accepted spans whose duration is taken as 0 seconds: they end before they start, or have no start or no end.',
  ['reason'],
)
export const inflight = gauge(
  'pillion_otlp_inflight_bytes',
  'Bytes of requests that are being received and decoded now; at otlp.max_inflight further ones are answered with 503.',
)
export const refusedConnections = counter(
  'pillion_otlp_refused_connections_total',
  'Connections closed at once because the door had its highest number of them.',
  ['transport'],
)

export const families: readonly Family[] = [
  received,
  accepted,
  refused,
  requests,
  adjusted,
  inflight,
  refusedConnections,
]

export type Transport = 'http' | 'grpc'
/** "none" is a request that is not for one of the three signals. */
export type Addressee = Signal | 'none'

/** Why items are refused by the door; consumers add reasons of their own. */
export const REASONS: Readonly<Record<Signal, readonly string[]>> = {
  traces: [
    'too_many_items',
    'too_many_fields',
    'not_configured',
    'internal',
    'invalid_trace_id',
    'invalid_span_id',
    'invalid_parent_span_id',
  ],
  metrics: ['too_many_items', 'too_many_fields', 'not_configured', 'internal'],
  logs: ['too_many_items', 'too_many_fields', 'not_configured', 'internal'],
}

/** Every code that the HTTP door answers with; 499 is a request whose body never arrived. */
export type HttpCode = 200 | 400 | 403 | 404 | 405 | 408 | 413 | 415 | 417 | 431 | 499 | 500 | 503
const HTTP_CODES: readonly HttpCode[] = [200, 400, 403, 404, 405, 408, 413, 415, 417, 431, 499, 500, 503]
const GRPC_CODES: readonly Code[] = [0, 1, 3, 4, 8, 12, 13, 14]
const SIGNALS: readonly Signal[] = ['traces', 'metrics', 'logs']

interface Answer {
  readonly signal: Addressee
  readonly transport: Transport
  readonly code: string
}

export class Ledger {
  readonly #received = new Map<string, number>()
  readonly #refused = new Map<Signal, Map<string, number>>()
  readonly #requests = new Map<string, { readonly labels: Answer; count: number }>()
  reversed = 0
  untimed = 0
  readonly connections: Record<Transport, number> = { http: 0, grpc: 0 }

  readonly #publish: () => void

  constructor(
    metrics: Metrics,
    reasons: Readonly<Record<Signal, readonly string[]>>,
    transports: readonly Transport[],
  ) {
    for (const signal of SIGNALS) {
      this.#received.set(signal, 0)
      this.#refused.set(signal, new Map(reasons[signal].map(reason => [reason, 0])))
    }
    for (const transport of transports)
      for (const signal of [...SIGNALS, 'none'] as const)
        for (const code of transport === 'http' ? HTTP_CODES : GRPC_CODES)
          if (possible(signal, transport, code)) this.answered(signal, transport, code, 0)

    const readings = {
      received: metrics.reading(received),
      accepted: metrics.reading(accepted),
      refused: metrics.reading(refused),
      requests: metrics.reading(requests),
      adjusted: metrics.reading(adjusted),
      connections: metrics.reading(refusedConnections),
    }
    this.#publish = () => {
      for (const signal of SIGNALS) {
        const reasons = this.#refused.get(signal) ?? new Map<string, number>()
        let sum = 0
        for (const [reason, count] of reasons) {
          readings.refused.set({ signal, reason }, count)
          sum += count
        }
        const all = this.#received.get(signal) ?? 0
        readings.received.set({ signal }, all)
        readings.accepted.set({ signal }, all - sum)
      }
      for (const { labels, count } of this.#requests.values()) readings.requests.set(labels, count)
      readings.adjusted.set({ reason: 'ends_before_start' }, this.reversed)
      readings.adjusted.set({ reason: 'time_missing' }, this.untimed)
      for (const transport of transports) readings.connections.set({ transport }, this.connections[transport])
    }
  }

  receive(signal: Signal, items: number): void {
    this.#received.set(signal, (this.#received.get(signal) ?? 0) + items)
  }

  refuse(signal: Signal, reason: string, items: number): void {
    const reasons = this.#refused.get(signal)
    // A reason that was not declared would be a label value that nothing bounds.
    const known = reasons?.has(reason) ? reason : 'internal'
    reasons?.set(known, (reasons.get(known) ?? 0) + items)
  }

  answered(signal: Addressee, transport: Transport, code: HttpCode | Code, times = 1): void {
    const key = `${signal} ${transport} ${code}`
    const answers = this.#requests.get(key)
    if (answers) answers.count += times
    else this.#requests.set(key, { labels: { signal, transport, code: String(code) }, count: times })
  }

  publish(): void {
    this.#publish()
  }
}

// Series for answers that cannot happen would only be noise.
function possible(signal: Addressee, transport: Transport, code: number): boolean {
  if (signal !== 'none') return code !== 404 && code !== 417 && code !== 431
  return transport === 'http' ? [400, 403, 404, 408, 413, 417, 431].includes(code) : [12, 13].includes(code)
}
