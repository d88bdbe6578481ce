// Decides one request: checks it, asks its consumers, refuses or takes it, keeps the ledger. It knows nothing of HTTP or gRPC:
// both protocols end here, and so does everything else that makes telemetry, by the contract `Intake`: the assembly hands this
// object on without knowing it. It belongs to this part because the families of the ledger and the limits of a request do.
//
// A request that is large would hold the event loop too long. It is read on a thread of its own (large.ts), as a whole, and
// comes back in parts, each a small request; between two of them the loop is free, and others may be taken.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { Check } from '../../otlp/check.ts'
import { transcode } from '../../otlp/json.ts'
import { withoutBadSpans } from '../../otlp/reject.ts'
import { REQUESTS } from '../../otlp/schema.ts'
import { MOST_FIELDS, type RequestPart } from '../../otlp/split.ts'
import { SpanVisitor } from '../../otlp/visit.ts'
import { field, LENGTH, Reader } from '../../otlp/wire.ts'
import type { Consumers, Dropped, RequestConsumer, SpanConsumer } from '../../telemetry/consumer.ts'
import type { Hops } from '../../telemetry/hops.ts'
import type { Clock, Log } from '../../telemetry/host.ts'
import type { Decision, Intake } from '../../telemetry/intake.ts'
import type { Request, Signal } from '../../telemetry/request.ts'
import type { Large } from './large.ts'
import type { Ledger } from './ledger.ts'
import { Losses } from './losses.ts'
import { discard, owned } from './memory.ts'
import type { Encoding } from './status.ts'

export interface IntakeLimits {
  readonly max_request: number
  readonly max_items: number
}

/**
 * Larger bodies go to the thread, which costs a multiple of their CPU. Smaller ones are taken within 50 ms with any content
 * (bench row longest). Batches of SDKs are smaller: 512 spans of 50 attributes are 900 kB, ordinary ones 170 kB, or 360 kB
 * in JSON.
 */
export const LARGE: Readonly<Record<Encoding, Readonly<Record<Signal, number>>>> = {
  protobuf: { traces: 1536 * 1024, metrics: 256 * 1024, logs: 448 * 1024 },
  json: { traces: 384 * 1024, metrics: 128 * 1024, logs: 320 * 1024 },
}
/** So do more items: each of them may be a new series. Log records make none. */
const MOST_ITEMS: Readonly<Record<Signal, number>> = { traces: 10_000, metrics: 2000, logs: Number.POSITIVE_INFINITY }
/** And more resources, which cost ten times what a span does when they are new. Nobody but a gateway sends many. */
const MOST_RESOURCES = 1000

export class OtlpIntake implements Intake, AsyncDisposable {
  readonly #limits: IntakeLimits
  readonly #ledger: Ledger
  readonly #log: Log
  readonly #clock: Clock
  readonly #check = new Check()
  readonly #reader = new Reader()
  readonly #spans: readonly SpanConsumer[]
  /** Undefined if nothing takes traces. */
  readonly #visitor: SpanVisitor | undefined
  readonly #others: Readonly<Record<Signal, readonly RequestConsumer[]>>
  readonly #losses = new Losses()
  #large: Large | undefined
  /** Resolves when the large request before is over. */
  #before: Promise<unknown> = Promise.resolve()

  readonly #hops: Hops | undefined
  readonly #settling: boolean

  constructor(
    limits: IntakeLimits,
    consumers: Consumers,
    ledger: Ledger,
    log: Log,
    clock: Clock,
    hops: Hops | undefined = undefined,
  ) {
    this.#hops = hops
    this.#limits = limits
    this.#ledger = ledger
    this.#log = log
    this.#clock = clock
    const { keys, spans, traces = [], metrics = [], logs = [] } = consumers
    this.#spans = spans
    this.#visitor = spans.length + traces.length > 0 ? new SpanVisitor(keys, spans) : undefined
    this.#others = { traces, metrics, logs }
    this.#settling = [...spans, ...traces, ...metrics, ...logs].some(each => each.settled)
  }

  offer(signal: Signal, bytes: Buffer, awaited = always): Decision | Promise<Decision | undefined> {
    return this.take(signal, 'protobuf', bytes, awaited)
  }

  /**
   * The same for a body in either encoding, already decompressed. `hops` is the header that sidecars send, if the request has
   * it.
   */
  take(
    signal: Signal,
    encoding: Encoding,
    body: Buffer,
    awaited: () => boolean,
    hops?: string,
  ): Decision | Promise<Decision | undefined> {
    const loop = hops === undefined ? undefined : this.#hops?.arrive(signal, hops)
    if (loop !== undefined) return this.#refuseLoop(signal, body, loop)
    if (body.length > LARGE[encoding][signal]) return this.#later(signal, encoding, body, awaited)
    let bytes = body
    if (encoding === 'json') {
      const made = transcode(body, REQUESTS[signal], this.#limits.max_request)
      if (!made.ok) return refused(made.reason, `cannot decode the JSON: ${made.why}`)
      bytes = made.bytes
    }
    const walk = signal === 'traces' ? this.#visitor?.walk : undefined
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
    const request: Request = { signal, bytes, items, received: this.#clock.now() }
    // In a JSON body, the offset would be one in bytes that the sender has never seen.
    const first = walk && encoding !== 'json' ? walk.firstBad : -1
    const good = this.#withoutBad(request)
    const wait = this.#wait(good ?? request)
    if (wait > 0) return this.#postpone(request, wait)
    const refusals = this.#give(request, good)
    const decision = refusals ? taken(refusals, first < 0 ? '' : `; the first one is at byte ${first}`) : FAULT
    return this.#settling ? this.#settled(signal, decision) : decision
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#large?.[Symbol.asyncDispose]()
  }

  /** One at a time: a hundred of them take no more memory than their bodies and what one is made into. */
  #later(signal: Signal, encoding: Encoding, body: Buffer, awaited: () => boolean): Promise<Decision | undefined> {
    const received = this.#clock.now()
    // By its turn, the place where it was joined may hold another.
    const own = owned(body)
    const decision = this.#before.then(() => this.#takeLarge(signal, encoding, own, received, awaited))
    this.#before = decision
    return decision
  }

  async #takeLarge(
    signal: Signal,
    encoding: Encoding,
    body: Buffer<ArrayBuffer>,
    received: number,
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
          return await this.#takeParts(signal, found.parts, received)
      }
    } catch (error) {
      // The receiver has been closed, and with it the thread.
      if (!awaited()) return undefined
      this.#log.error('cannot read a large OTLP request', { signal, error })
      return FAULT
    }
  }

  async #takeParts(signal: Signal, parts: readonly RequestPart[], received: number): Promise<Decision> {
    const [first] = parts
    // Top-level fields are repeated, so the parts one after another, as they stand in memory, are one request.
    const whole: Request = {
      signal,
      bytes: first ? Buffer.from(first.bytes.buffer) : NO_BYTES,
      items: parts.reduce((sum, each) => sum + each.items, 0),
      received,
    }
    const wait = this.#wait(whole)
    if (wait > 0) return this.#postpone(whole, wait)
    const all = new Map<string, Dropped>()
    let fault = false
    for (const { bytes, items } of parts) {
      const part: Request = {
        signal,
        bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length),
        items,
        received,
      }
      if (!fault) await nextTurn()
      if (!fault && signal === 'traces' && this.#visitor?.walk.run(part.bytes, this.#limits.max_items) === false)
        throw new Error('cannot walk a part of a request that passed the check')
      const refusals: readonly Dropped[] | undefined = fault
        ? this.#lose(part)
        : this.#give(part, this.#withoutBad(part))
      fault ||= refusals === undefined
      for (const each of refusals ?? []) {
        const before = all.get(each.reason)
        all.set(each.reason, before ? { ...before, items: before.items + each.items } : each)
      }
    }
    if (first) discard(first.bytes)
    return this.#settled(signal, fault ? FAULT : taken([...all.values()], ''))
  }

  /** The decision, when those who took the request have made it safe. */
  #settled(signal: Signal, decision: Decision): Decision | Promise<Decision> {
    // Usually nobody waits, and nothing is allocated.
    let waits = signal === 'traces' ? waitsOf(this.#spans, undefined) : undefined
    waits = waitsOf(this.#others[signal], waits)
    if (!waits) return decision
    return Promise.all(waits).then(safe => (safe.includes(false) ? UNSAFE : decision))
  }

  /** Only sidecars send such requests, in protobuf; others are refused without being counted. */
  #refuseLoop(signal: Signal, body: Buffer, text: string): Decision {
    if (body.length <= LARGE.protobuf[signal] && this.#check.run(body, REQUESTS[signal])) {
      this.#ledger.receive(signal, this.#check.items)
      this.#ledger.refuse(signal, 'loop', this.#check.items)
    }
    return refused('loop', text)
  }

  #resources(bytes: Buffer): number {
    let count = 0
    for (const each = this.#reader.over(bytes, 0, bytes.length); each.next(); ) if (each.tag === RESOURCE) count++
    return count
  }

  /** Traces that have been walked, without their bad spans; undefined if there are none. */
  #withoutBad(request: Request): Request | undefined {
    const walk = request.signal === 'traces' ? this.#visitor?.walk : undefined
    const bad = walk ? walk.badTraceIds + walk.badSpanIds + walk.badParentIds : 0
    if (bad === 0) return undefined
    return { ...request, bytes: withoutBadSpans(request.bytes), items: request.items - bad }
  }

  /** The longest time for which a consumer wants the sender to wait; 0 if all can take the request. */
  #wait(request: Request): number {
    let wait = 0
    // Only bad spans were in it, so nobody is given anything.
    if (request.items === 0) return wait
    if (request.signal === 'traces') wait = longest(this.#spans, request, wait)
    return longest(this.#others[request.signal], request, wait)
  }

  #postpone({ signal, items }: Request, ms: number): Decision {
    this.#visitor?.walk.leave()
    this.#ledger.receive(signal, items)
    this.#ledger.refuse(signal, 'try_later', items)
    return { kind: 'later', ms }
  }

  /**
   * Gives a request to its consumers, after the check; `good` is what is left of it if it has bad spans. Returns what the
   * sender is to be told, or undefined if all consumers failed.
   */
  #give(request: Request, good: Request | undefined): readonly Dropped[] | undefined {
    const { signal, items } = request
    const bad = good ? this.#bad() : NOTHING
    const others = this.#others[signal]
    const count = others.length + (signal === 'traces' ? this.#spans.length : 0)
    // A signal that nothing here uses: an error would make SDKs log for ever, and a plain success would hide the loss.
    if (count === 0) return this.#account(signal, items, items === 0 ? NOTHING : unused(signal, items))
    const kept = good ?? request
    // Without any good span, nobody has anything to take.
    if (good && good.items === 0) return this.#account(signal, items, bad)
    this.#losses.begin(count, kept.items)
    if (signal === 'traces') this.#show(good, kept)
    for (const each of others) this.#hand(each, kept)
    if (this.#losses.none) return this.#account(signal, items, bad)
    if (this.#losses.faults === count) return this.#lose(request)
    return this.#account(signal, items, [...bad, ...this.#losses.rejected()])
  }

  /** Shows the spans of a request to their consumers. */
  #show(good: Request | undefined, request: Request): void {
    const visitor = this.#visitor!
    if (good) visitor.visit(request)
    else visitor.show(request)
    this.#ledger.reversed += visitor.reversed
    this.#ledger.untimed += visitor.untimed
    for (const { consumer, error } of visitor.failed) this.#fault(consumer.name, request, error)
  }

  #hand(consumer: RequestConsumer, request: Request): void {
    try {
      const dropped = consumer.take(request)
      if (!dropped) return
      this.#losses.add(dropped)
      for (const { reason, items } of dropped) this.#ledger.drop(consumer.name, request.signal, reason, items)
    } catch (error) {
      this.#fault(consumer.name, request, error)
    }
  }

  /** A consumer that throws is a fault of ours: it has lost the request, and the sidecar lives on. */
  #fault(consumer: string, { signal, items }: Request, error: unknown): void {
    this.#log.error('cannot take an OTLP request', { consumer, signal, items, error })
    this.#losses.fault()
    this.#ledger.drop(consumer, signal, 'internal', items)
  }

  /** The spans that the walk found to be bad, by reason. */
  #bad(): readonly Dropped[] {
    const { badTraceIds, badSpanIds, badParentIds } = this.#visitor!.walk
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

  #account(signal: Signal, items: number, refusals: readonly Dropped[]): readonly Dropped[] {
    this.#ledger.receive(signal, items)
    for (let i = 0; i < refusals.length; i++) this.#ledger.refuse(signal, refusals[i]!.reason, refusals[i]!.items)
    return refusals
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

  #lose({ signal, items }: Request): undefined {
    this.#ledger.receive(signal, items)
    this.#ledger.refuse(signal, 'internal', items)
  }
}

/** The ResourceSpans, ResourceMetrics or ResourceLogs of a request. */
const RESOURCE = field(1, LENGTH)

const NOTHING: readonly Dropped[] = []
const NO_BYTES = Buffer.alloc(0)
const TAKEN: Decision = { kind: 'taken', rejected: 0, text: '' }
/** Taken, but not as safe as was promised. */
const UNSAFE: Decision = { kind: 'later', ms: 1000 }
const FAULT = refused('internal', 'the sidecar failed to process this request; its log says why')

function taken(refusals: readonly Dropped[], place: string): Decision {
  if (refusals.length === 0) return TAKEN
  const rejected = refusals.reduce((sum, each) => sum + each.items, 0)
  const text = refusals.map(each => `refused ${each.items} ${each.text}`).join('; ')
  return { kind: 'taken', rejected, text: text + place }
}

function refused(reason: 'undecodable' | 'too_large' | 'loop' | 'internal', text: string): Decision {
  return { kind: 'refused', reason, text }
}

function unused(signal: Signal, items: number): readonly Dropped[] {
  return [{ reason: 'not_configured', items, text: `items: ${signal} are switched off in this sidecar` }]
}

function longest(consumers: readonly (SpanConsumer | RequestConsumer)[], request: Request, least: number): number {
  let wait = least
  for (let i = 0; i < consumers.length; i++) wait = Math.max(wait, consumers[i]!.admit?.(request) ?? 0)
  return wait
}

/** Adds what consumers wait for, if they do. */
function waitsOf(
  consumers: readonly (SpanConsumer | RequestConsumer)[],
  before: Promise<boolean>[] | undefined,
): Promise<boolean>[] | undefined {
  let waits = before
  for (let i = 0; i < consumers.length; i++) {
    const wait = consumers[i]!.settled?.()
    if (!wait) continue
    waits ??= []
    waits.push(wait)
  }
  return waits
}

function always(): boolean {
  return true
}
