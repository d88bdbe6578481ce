// The ledger: every item that came in is either accepted or refused for a named reason, and what a consumer could not keep of
// the accepted ones is counted as dropped by it. Plain numbers while requests come in; metrics on a scrape.

import { counter, type Family, gauge } from '../../metrics/family.ts'
import type { Metrics, Reading } from '../../metrics/registry.ts'
import type { Consumers } from '../../telemetry/consumer.ts'
import type { Signal } from '../../telemetry/request.ts'
import type { LedgerRow } from '../../telemetry/status.ts'
import type { Places } from './places.ts'
import type { Code } from './status.ts'

export const received = counter(
  'pillion_otlp_received_items_total',
  'Spans, data points and log records in requests that could be decoded: accepted plus refused. Items in other requests cannot be counted; see pillion_otlp_requests_total.',
  ['signal'],
)
export const accepted = counter(
  'pillion_otlp_accepted_items_total',
  'Spans, data points and log records that were accepted and passed to all consumers.',
  ['signal'],
)
export const refused = counter(
  'pillion_otlp_refused_items_total',
  'Spans, data points and log records that were decoded but not accepted; the sender was told.',
  ['signal', 'reason'],
)
export const dropped = counter(
  'pillion_otlp_dropped_items_total',
  'Spans, data points and log records that a consumer could not keep. They count as refused only if no other consumer kept them.',
  ['consumer', 'signal', 'reason'],
)
export const requests = counter(
  'pillion_otlp_requests_total',
  'Requests by answer: the HTTP status or the gRPC code. Items in refused requests cannot be counted, except 413 and code 8 for too many items.',
  ['signal', 'transport', 'code'],
)
export const adjusted = counter(
  'pillion_otlp_adjusted_spans_total',
  'Accepted spans whose duration is taken as 0 seconds: they end before they start, or have no start or no end.',
  ['reason'],
)
export const inflight = gauge(
  'pillion_otlp_inflight_bytes',
  'Bytes of requests that are being received and decoded. At otlp.max_inflight, additional requests are answered with 503.',
)
export const refusedConnections = counter(
  'pillion_otlp_refused_connections_total',
  'Connections closed because max_connections was reached: the one that was idle the longest, or the new one if none was idle.',
  ['transport'],
)

export const families: readonly Family[] = [
  received,
  accepted,
  refused,
  dropped,
  requests,
  adjusted,
  inflight,
  refusedConnections,
]

export type Transport = 'http' | 'grpc'
/** "none" is a request that is not for one of the three signals. */
export type Addressee = Signal | 'none'

/** Why items are refused by the receiver; consumers add reasons of their own. */
const REASONS: Readonly<Record<Signal, readonly string[]>> = {
  traces: [
    'too_many_items',
    'too_many_fields',
    'not_configured',
    'loop',
    'internal',
    'invalid_trace_id',
    'invalid_span_id',
    'invalid_parent_span_id',
  ],
  metrics: ['too_many_items', 'too_many_fields', 'not_configured', 'loop', 'internal'],
  logs: ['too_many_items', 'too_many_fields', 'not_configured', 'loop', 'internal'],
}

/** Every code that is answered over HTTP; 499 is a request whose body never arrived. */
export type HttpCode = 200 | 400 | 403 | 404 | 405 | 408 | 413 | 415 | 417 | 431 | 499 | 500 | 501 | 503 | 505
const HTTP_CODES: readonly HttpCode[] = [200, 400, 403, 404, 405, 408, 413, 415, 417, 431, 499, 500, 503]
const GRPC_CODES: readonly Code[] = [0, 1, 3, 4, 8, 12, 13, 14]
const TRANSPORTS: readonly Transport[] = ['http', 'grpc']
const SIGNALS: readonly Signal[] = ['traces', 'metrics', 'logs']

interface Answer {
  readonly signal: Addressee
  readonly transport: Transport
  readonly code: string
}

/** A number that was counted here. */
interface Counted<Labels> {
  readonly labels: Labels
  count: number
  /** The number when it was last shown. */
  shown?: number
}

interface Loss {
  readonly consumer: string
  readonly signal: Signal
  readonly reason: string
}

/** Most have not changed since the last scrape; setting all hundred of them took a thirtieth of it (row own). */
function show<Label extends string>(reading: Reading<Label>, counted: Counted<Readonly<Record<Label, string>>>): void {
  if (counted.count === counted.shown) return
  counted.shown = counted.count
  reading.set(counted.labels, counted.count)
}

export class Ledger {
  readonly #received = new Map<string, number>()
  readonly #refused = new Map<Signal, Map<string, number>>()
  readonly #dropped = new Map<string, Counted<Loss>>()
  readonly #requests: Readonly<Record<Transport, Map<Addressee, Map<number, Counted<Answer>>>>> = {
    http: new Map(),
    grpc: new Map(),
  }
  reversed = 0
  untimed = 0

  readonly #publish: () => void

  /** `places` are the connections of those transports that have a listener of their own. */
  constructor(metrics: Metrics, consumers: Consumers, places: Readonly<Partial<Record<Transport, Places>>>) {
    // A transport without a listener is used only by clients that have the wrong port; it is shown from its first use on.
    const transports = TRANSPORTS.filter(each => places[each])
    for (const signal of SIGNALS) {
      const all = consumersOf(signal, consumers)
      // Each reason once, since a name that is not declared would be a label value that nothing bounds.
      const reasons = [...REASONS[signal], ...all.flatMap(each => each.reasons), ...postponing(all)]
      this.#received.set(signal, 0)
      this.#refused.set(signal, new Map(reasons.map(reason => [reason, 0])))
      for (const { name, reasons } of all)
        for (const reason of [...reasons, 'internal'])
          this.#dropped.set(`${name} ${signal} ${reason}`, { labels: { consumer: name, signal, reason }, count: 0 })
    }
    for (const transport of transports)
      for (const signal of [...SIGNALS, 'none'] as const)
        for (const code of transport === 'http' ? HTTP_CODES : GRPC_CODES)
          if (possible(signal, transport, code)) this.answered(signal, transport, code, 0)

    const readings = {
      received: metrics.reading(received),
      accepted: metrics.reading(accepted),
      refused: metrics.reading(refused),
      dropped: metrics.reading(dropped),
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
      for (const each of this.#dropped.values()) show(readings.dropped, each)
      for (const transport of TRANSPORTS)
        for (const codes of this.#requests[transport].values())
          for (const each of codes.values()) show(readings.requests, each)
      readings.adjusted.set({ reason: 'ends_before_start' }, this.reversed)
      readings.adjusted.set({ reason: 'time_missing' }, this.untimed)
      for (const transport of transports) readings.connections.set({ transport }, places[transport]?.closed)
    }
  }

  receive(signal: Signal, items: number): void {
    this.#received.set(signal, (this.#received.get(signal) ?? 0) + items)
  }

  refuse(signal: Signal, reason: string, items: number): void {
    const reasons = this.#refused.get(signal)
    const known = reasons?.has(reason) ? reason : 'internal'
    reasons?.set(known, (reasons.get(known) ?? 0) + items)
  }

  /** Counts what a consumer could not keep. */
  drop(consumer: string, signal: Signal, reason: string, items: number): void {
    const key = `${consumer} ${signal} `
    const dropped = this.#dropped.get(key + reason) ?? this.#dropped.get(`${key}internal`)
    if (dropped) dropped.count += items
  }

  answered(signal: Addressee, transport: Transport, code: HttpCode | Code, times = 1): void {
    // By parts: to make one key of them for each request costs more than to count it.
    const answers = this.#requests[transport].get(signal)?.get(code)
    if (answers) answers.count += times
    else this.#first(signal, transport, code, times)
  }

  #first(signal: Addressee, transport: Transport, code: HttpCode | Code, count: number): void {
    const codes = this.#requests[transport].get(signal) ?? new Map<number, Counted<Answer>>()
    this.#requests[transport].set(signal, codes)
    codes.set(code, { labels: { signal, transport, code: String(code) }, count })
  }

  publish(): void {
    this.#publish()
  }
}

/** A consumer, and why it may drop items. */
interface Dropper {
  readonly name: string
  readonly reasons: readonly string[]
  readonly admit?: unknown
}

function consumersOf(signal: Signal, consumers: Consumers): readonly Dropper[] {
  // A span consumer keeps what it is shown, unless it fails.
  const spans = signal === 'traces' ? consumers.spans.map(({ name, admit }) => ({ name, admit, reasons: [] })) : []
  return [...spans, ...(consumers[signal] ?? [])]
}

function postponing(consumers: readonly Dropper[]): readonly string[] {
  return consumers.some(each => each.admit !== undefined) ? ['try_later'] : []
}

/** The ledger for people, read back from the metrics. */
export async function ledgerRows(metrics: Metrics): Promise<readonly LedgerRow[]> {
  const [taken, kept, lost] = await Promise.all([received, accepted, refused].map(family => metrics.samples(family)))
  return (taken ?? []).map(({ labels: { signal }, value }) => ({
    signal: `${signal}`,
    received: value,
    accepted: kept?.find(({ labels }) => labels['signal'] === signal)?.value ?? 0,
    refused: Object.fromEntries(
      (lost ?? [])
        .filter(({ labels }) => labels['signal'] === signal)
        .map(({ labels, value }) => [`${labels['reason']}`, value]),
    ),
  }))
}

// Series for answers that cannot happen would only be noise.
function possible(signal: Addressee, transport: Transport, code: number): boolean {
  if (signal !== 'none') return code !== 404 && code !== 417 && code !== 431
  return transport === 'http' ? [400, 403, 404, 408, 413, 417, 431].includes(code) : [12, 13].includes(code)
}
