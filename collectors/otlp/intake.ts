// Decides one request: check it, refuse or take it, give it to its consumers, keep the ledger. It knows nothing of HTTP or
// gRPC; both doors end here, so a request has the same fate whichever way it came.

import type { Log } from '../collector.ts'
import type { Consumers, ExportRequest, RequestConsumer } from '../otlp.ts'
import { Check } from './check.ts'
import { transcode } from './json.ts'
import type { Ledger } from './ledger.ts'
import { withoutBadSpans } from './reject.ts'
import { type Message, message } from './schema.ts'
import type { Encoding, Signal } from './status.ts'
import { SpanVisitor } from './visit.ts'

export type Decision =
  /** Taken, but for `rejected` items, which `text` explains. */
  | { readonly kind: 'taken'; readonly rejected: number; readonly text: string }
  | { readonly kind: 'refused'; readonly reason: 'undecodable' | 'too_large' | 'internal'; readonly text: string }

export interface Limits {
  readonly max_request: number
  readonly max_items: number
}

export class Intake {
  readonly #limits: Limits
  readonly #ledger: Ledger
  readonly #log: Log
  readonly #check = new Check()
  readonly #spans: SpanVisitor | undefined
  readonly #others: Readonly<Record<'metrics' | 'logs', readonly RequestConsumer[]>>

  constructor(limits: Limits, consumers: Consumers, ledger: Ledger, log: Log) {
    this.#limits = limits
    this.#ledger = ledger
    this.#log = log
    this.#spans = consumers.spans.length > 0 ? new SpanVisitor(consumers.spans) : undefined
    this.#others = { metrics: consumers.metrics ?? [], logs: consumers.logs ?? [] }
  }

  /** Takes or refuses a whole body, already decompressed. Never throws. */
  take(signal: Signal, encoding: Encoding, body: Buffer): Decision {
    let bytes = body
    if (encoding === 'json') {
      const made = transcode(body, REQUESTS[signal], this.#limits.max_request)
      if (!made.ok) return refused(made.reason, `cannot decode the JSON: ${made.why}`)
      bytes = made.bytes
    }
    const walk = signal === 'traces' ? this.#spans?.walk : undefined
    // Traces that somebody takes are walked. The check would find the same, and it can say what is wrong.
    const check = this.#check
    if (walk ? !walk.run(bytes, this.#limits.max_items) : !check.run(bytes, REQUESTS[signal])) {
      if (walk) check.run(bytes, REQUESTS.traces)
      const path = check.path === '' ? '' : `, in ${check.path}`
      return refused('undecodable', `cannot decode the protobuf: ${check.why} at byte ${check.offset}${path}`)
    }
    const { items } = walk ?? check
    this.#ledger.receive(signal, items)
    if (items > this.#limits.max_items) {
      this.#ledger.refuse(signal, 'too_many_items', items)
      return refused(
        'too_large',
        `cannot take ${items} items at once; send at most ${this.#limits.max_items} a request`,
      )
    }
    try {
      if (signal === 'traces') return this.#traces(encoding, bytes, items)
      return this.#others[signal].length > 0 ? this.#give(signal, encoding, bytes, items) : this.#off(signal, items)
    } catch (error) {
      // A consumer that throws is a fault of ours; the sender is told the truth, and the sidecar lives on.
      this.#ledger.refuse(signal, 'internal', items)
      this.#log.error('cannot take an OTLP request', { signal, items, error })
      return refused('internal', 'the sidecar failed to process this request; its log says why')
    }
  }

  #traces(encoding: Encoding, bytes: Buffer, items: number): Decision {
    const visitor = this.#spans
    if (!visitor) return this.#off('traces', items)
    const { badTraceIds, badSpanIds, badParentIds, firstBad } = visitor.walk
    const bad = badTraceIds + badSpanIds + badParentIds
    if (bad < items || bad === 0) {
      if (bad === 0) visitor.show({ signal: 'traces', encoding, bytes, items }, bytes)
      else {
        const good = withoutBadSpans(bytes)
        visitor.visit({ signal: 'traces', encoding, bytes: good, items: items - bad }, good)
      }
      this.#ledger.reversed += visitor.reversed
      this.#ledger.untimed += visitor.untimed
    }
    if (bad === 0) return TAKEN
    const counts = [
      { count: badTraceIds, reason: 'invalid_trace_id', text: 'with a trace id that is not 16 bytes or is zero' },
      { count: badSpanIds, reason: 'invalid_span_id', text: 'with a span id that is not 8 bytes or is zero' },
      { count: badParentIds, reason: 'invalid_parent_span_id', text: 'with a parent span id that is not 8 bytes' },
    ].filter(each => each.count > 0)
    for (const { count, reason } of counts) this.#ledger.refuse('traces', reason, count)
    const parts = counts.map(({ count, text }) => `${count} ${text}`).join(', ')
    // Of a JSON body, the offset would be one in bytes that the sender has never seen.
    const place = encoding === 'json' ? '' : `; the first one is at byte ${firstBad}`
    return { kind: 'taken', rejected: bad, text: `refused spans: ${parts}${place}` }
  }

  #give(signal: 'metrics' | 'logs', encoding: Encoding, bytes: Buffer, items: number): Decision {
    const request: ExportRequest = { signal, encoding, bytes, items }
    const refusals = this.#others[signal].flatMap(each => each.take(request) ?? [])
    let rejected = 0
    for (const { reason, items: count } of refusals) {
      const counted = Math.min(count, items - rejected)
      this.#ledger.refuse(signal, reason, counted)
      rejected += counted
    }
    const text = refusals.map(each => each.text).join('; ')
    return refusals.length === 0 ? TAKEN : { kind: 'taken', rejected, text }
  }

  /** A signal that nothing here uses: an error would make SDKs log for ever, and a plain success would hide the loss. */
  #off(signal: Signal, items: number): Decision {
    this.#ledger.refuse(signal, 'not_configured', items)
    if (items === 0) return TAKEN
    const text = `${signal} are switched off in this sidecar; all ${items} items were dropped`
    return { kind: 'taken', rejected: items, text }
  }
}

const TAKEN: Decision = { kind: 'taken', rejected: 0, text: '' }

const REQUESTS: Readonly<Record<Signal, Message>> = {
  traces: message('TracesRequest'),
  metrics: message('MetricsRequest'),
  logs: message('LogsRequest'),
}

function refused(reason: 'undecodable' | 'too_large' | 'internal', text: string): Decision {
  return { kind: 'refused', reason, text }
}
