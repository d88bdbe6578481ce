// Decides one request: check it, refuse or take it, give it to its consumers, keep the ledger. It knows nothing of HTTP or
// gRPC; both doors end here, so a request has the same fate whichever way it came.
//
// A request that is large would hold the event loop too long. It is read on a thread of its own (large.ts), as a whole, and
// comes back in parts, each a small request; between two of them the loop is free, and others may be taken.

import type { Clock, Log } from '../collector.ts'
import type { Consumers, Refusal, RequestConsumer } from '../otlp.ts'
import { discard, owned } from './body.ts'
import { Check } from './check.ts'
import { transcode } from './json.ts'
import type { Large } from './large.ts'
import type { Ledger } from './ledger.ts'
import { withoutBadSpans } from './reject.ts'
import { REQUESTS } from './schema.ts'
import { MOST_FIELDS, type Part } from './split.ts'
import type { Encoding, Signal } from './status.ts'
import { SpanVisitor } from './visit.ts'
import { field, LENGTH, Reader } from './wire.ts'

export type Decision =
  /** Taken, but for `rejected` items, which `text` explains. */
  | { readonly kind: 'taken'; readonly rejected: number; readonly text: string }
  | { readonly kind: 'refused'; readonly reason: 'undecodable' | 'too_large' | 'internal'; readonly text: string }

export interface Limits {
  readonly max_request: number
  readonly max_items: number
}

/**
 * Larger bodies go to the thread, which costs a multiple of their CPU. What is smaller is taken within 50 ms, whatever it
 * holds (bench row longest). Batches of SDKs are below: 512 spans of 50 attributes are 900 kB, of ordinary ones 170, and
 * 360 in JSON.
 */
export const LARGE: Readonly<Record<Encoding, Readonly<Record<Signal, number>>>> = {
  protobuf: { traces: 1536 * 1024, metrics: 256 * 1024, logs: 448 * 1024 },
  json: { traces: 384 * 1024, metrics: 128 * 1024, logs: 320 * 1024 },
}
/** So do more items: each of them may be a new series. Log records make none. */
const MOST_ITEMS: Readonly<Record<Signal, number>> = { traces: 10_000, metrics: 2000, logs: Number.POSITIVE_INFINITY }
/** And more resources, which cost ten times what a span does when they are new. Nobody but a gateway sends many. */
const MOST_RESOURCES = 1000

export class Intake implements AsyncDisposable {
  readonly #limits: Limits
  readonly #ledger: Ledger
  readonly #log: Log
  readonly #clock: Clock
  readonly #check = new Check()
  readonly #reader = new Reader()
  readonly #spans: SpanVisitor | undefined
  readonly #others: Readonly<Record<'metrics' | 'logs', readonly RequestConsumer[]>>
  #large: Large | undefined
  /** Resolves when the large request before is over. */
  #before: Promise<unknown> = Promise.resolve()

  constructor(limits: Limits, consumers: Consumers, ledger: Ledger, log: Log, clock: Clock) {
    this.#limits = limits
    this.#ledger = ledger
    this.#log = log
    this.#clock = clock
    this.#spans = consumers.spans.length > 0 ? new SpanVisitor(consumers.spans) : undefined
    this.#others = { metrics: consumers.metrics ?? [], logs: consumers.logs ?? [] }
  }

  /**
   * Takes or refuses a whole body, already decompressed. Never throws. A large one is decided later, and takes the body's
   * memory; until its first part is taken it is dropped, and the answer is undefined, when nobody waits for it any more.
   */
  take(
    signal: Signal,
    encoding: Encoding,
    body: Buffer,
    awaited: () => boolean,
  ): Decision | Promise<Decision | undefined> {
    if (body.length > LARGE[encoding][signal]) return this.#later(signal, encoding, body, awaited)
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
      return refused('undecodable', check.failure)
    }
    const { items } = walk ?? check
    if (items > this.#limits.max_items) return this.#tooMany(signal, items)
    if (items > MOST_ITEMS[signal] || this.#resources(bytes) > MOST_RESOURCES)
      return this.#later(signal, encoding, body, awaited)
    // Of a JSON body, the offset would be one in bytes that the sender has never seen.
    const first = walk && encoding !== 'json' ? walk.firstBad : -1
    const refusals = this.#give(signal, encoding, bytes, items)
    return refusals ? taken(refusals, first < 0 ? '' : `; the first one is at byte ${first}`) : FAULT
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#large?.[Symbol.asyncDispose]()
  }

  /** One at a time: a hundred of them take no more memory than their bodies and what one is made into. */
  #later(signal: Signal, encoding: Encoding, body: Buffer, awaited: () => boolean): Promise<Decision | undefined> {
    // By its turn, the place where it was joined may hold another.
    const own = owned(body)
    const decision = this.#before.then(() => this.#takeLarge(signal, encoding, own, awaited))
    this.#before = decision
    return decision
  }

  async #takeLarge(
    signal: Signal,
    encoding: Encoding,
    body: Buffer<ArrayBuffer>,
    awaited: () => boolean,
  ): Promise<Decision | undefined> {
    if (!awaited()) return undefined
    try {
      this.#large ??= new (await import('./large.ts')).Large(this.#clock)
      const found = await this.#large.read(signal, encoding, body, this.#limits)
      if (!awaited()) return undefined
      switch (found.kind) {
        case 'refused':
          return found
        case 'too_many':
          return this.#tooMany(signal, found.items)
        case 'crowded':
          return this.#crowded(signal, found.items)
        case 'parts':
          return await this.#takeParts(signal, encoding, found.parts)
      }
    } catch (error) {
      // The door has been closed, and with it the thread.
      if (!awaited()) return undefined
      this.#log.error('cannot read a large OTLP request', { signal, error })
      return FAULT
    }
  }

  async #takeParts(signal: Signal, encoding: Encoding, parts: readonly Part[]): Promise<Decision> {
    const all = new Map<string, Refusal>()
    let fault = false
    for (const { bytes, items } of parts) {
      const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
      if (!fault) await turnOfTheLoop()
      if (!fault && signal === 'traces' && this.#spans?.walk.run(body, this.#limits.max_items) === false)
        throw new Error('cannot walk a part of a request that passed the check')
      const refusals: readonly Refusal[] | undefined = fault
        ? this.#lose(signal, items)
        : this.#give(signal, encoding, body, items)
      fault ||= refusals === undefined
      for (const each of refusals ?? []) {
        const before = all.get(each.reason)
        all.set(each.reason, before ? { ...before, items: before.items + each.items } : each)
      }
    }
    const [first] = parts
    if (first) discard(first.bytes)
    return fault ? FAULT : taken([...all.values()], '')
  }

  #resources(bytes: Buffer): number {
    let count = 0
    for (const each = this.#reader.over(bytes, 0, bytes.length); each.next(); ) if (each.tag === RESOURCE) count++
    return count
  }

  /** Gives checked bytes to the consumers; what they refused, or undefined if one of them failed. Traces have been walked. */
  #give(signal: Signal, encoding: Encoding, bytes: Buffer, items: number): readonly Refusal[] | undefined {
    try {
      const refusals = this.#shown(signal, encoding, bytes, items)
      this.#ledger.receive(signal, items)
      let rejected = 0
      for (const { reason, items: count } of refusals) {
        const counted = Math.min(count, items - rejected)
        this.#ledger.refuse(signal, reason, counted)
        rejected += counted
      }
      return refusals
    } catch (error) {
      // A consumer that throws is a fault of ours; the sender is told the truth, and the sidecar lives on.
      this.#log.error('cannot take an OTLP request', { signal, items, error })
      return this.#lose(signal, items)
    }
  }

  #shown(signal: Signal, encoding: Encoding, bytes: Buffer, items: number): readonly Refusal[] {
    if (signal === 'traces' && this.#spans) return this.#traces(this.#spans, encoding, bytes, items)
    const consumers = signal === 'traces' ? [] : this.#others[signal]
    if (consumers.length > 0) return consumers.flatMap(each => each.take({ signal, encoding, bytes, items }) ?? [])
    // A signal that nothing here uses: an error would make SDKs log for ever, and a plain success would hide the loss.
    if (items === 0) return []
    return [{ reason: 'not_configured', items, text: `items: ${signal} are switched off in this sidecar` }]
  }

  #traces(visitor: SpanVisitor, encoding: Encoding, bytes: Buffer, items: number): readonly Refusal[] {
    const { badTraceIds, badSpanIds, badParentIds } = visitor.walk
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
    if (bad === 0) return NOTHING
    return [
      { items: badTraceIds, reason: 'invalid_trace_id', text: 'spans with a trace id that is not 16 bytes or is zero' },
      { items: badSpanIds, reason: 'invalid_span_id', text: 'spans with a span id that is not 8 bytes or is zero' },
      {
        items: badParentIds,
        reason: 'invalid_parent_span_id',
        text: 'spans with a parent span id that is not 8 bytes',
      },
    ].filter(each => each.items > 0)
  }

  #tooMany(signal: Signal, items: number): Decision {
    this.#ledger.receive(signal, items)
    this.#ledger.refuse(signal, 'too_many_items', items)
    const most = this.#limits.max_items
    return refused('too_large', `cannot take ${items} items at once; send at most ${most} a request`)
  }

  #crowded(signal: Signal, items: number): Decision {
    this.#ledger.receive(signal, items)
    this.#ledger.refuse(signal, 'too_many_fields', items)
    return refused(
      'too_large',
      `cannot take an item or a resource with more than ${MOST_FIELDS} fields; send smaller ones`,
    )
  }

  #lose(signal: Signal, items: number): undefined {
    this.#ledger.receive(signal, items)
    this.#ledger.refuse(signal, 'internal', items)
  }
}

/** The ResourceSpans, ResourceMetrics or ResourceLogs of a request. */
const RESOURCE = field(1, LENGTH)

const NOTHING: readonly Refusal[] = []
const TAKEN: Decision = { kind: 'taken', rejected: 0, text: '' }
const FAULT = refused('internal', 'the sidecar failed to process this request; its log says why')

function taken(refusals: readonly Refusal[], place: string): Decision {
  if (refusals.length === 0) return TAKEN
  const rejected = refusals.reduce((sum, each) => sum + each.items, 0)
  const text = refusals.map(each => `refused ${each.items} ${each.text}`).join('; ')
  return { kind: 'taken', rejected, text: text + place }
}

function refused(reason: 'undecodable' | 'too_large' | 'internal', text: string): Decision {
  return { kind: 'refused', reason, text }
}

/** Until all that has come in meanwhile has had its turn. */
function turnOfTheLoop(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
