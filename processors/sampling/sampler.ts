// The sampler: holds the spans of a trace until its local root has ended and a moment has passed, then keeps or leaves out
// the trace by its stratum's threshold. Spans that come later follow the decision.
//
// The threshold of a trace is the one of its stratum when it came. More that becomes known (an error, a slow root) can only
// lower it. So whoever sees a span that passes the threshold knows that the span will be sent on; exemplars are chosen from
// such spans.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { Fields } from '../../otlp/trace-state.ts'
import type { SpanConsumer, SpanView } from '../../telemetry/consumer.ts'
import type { Host } from '../../telemetry/host.ts'
import { ALL, ENDED, Pending } from '../../telemetry/pending.ts'
import type { Request } from '../../telemetry/request.ts'
import type { Sampler, SamplerSurroundings, SamplingOptions } from '../../telemetry/sampler.ts'
import { isLocalRoot } from '../../telemetry/span.ts'
import { Decided } from './decided.ts'
import { Facts, type FactsHost } from './facts.ts'
import { Groups } from './groups.ts'
import { Held } from './held.ts'
import { LEFT_OUT, type LeftOut, Outcomes, randomOf } from './outcomes.ts'
import { Output } from './output.ts'
import { ORDINARY, STRATA, Strata, type Stratum } from './strata.ts'
import { Written } from './written.ts'

/**
 * Why a trace was decided before its time: its local root did not come, the memory for waiting spans was used up, it had too
 * many spans, or there will be no more.
 */
export const EARLY = ['timeout', 'memory', 'large', 'end'] as const
export type Early = (typeof EARLY)[number]

export interface SamplerHost extends FactsHost, Pick<Host, 'clock' | 'memory'> {}

/** Counts so far, and what is held now, for the metrics. */
export interface Counts {
  readonly kept: Readonly<Record<Stratum, number>>
  readonly dropped: Readonly<Record<LeftOut, number>>
  readonly early: Readonly<Record<Early, number>>
  readonly late: { readonly kept: number; readonly dropped: number }
  readonly inconsistent: number
  readonly unthresholded: number
  readonly pending: number
  /** The probability of each stratum. */
  readonly ratios: Readonly<Record<Stratum, number>>
}

/** A trace without a local root is decided after this time. */
export const PATIENCE_MS = 30_000
const TICK_MS = 100
/** Spans decided in one turn of the loop, one or two milliseconds. */
const AT_ONCE = 4000

const NONE = -1
/** A flag of a record: the span is a local root. */
const ROOT = 1
/** Flags of a decision: the stratum, and whether the trace was dropped by the guard. */
const GUARDED = 8

const NO_BYTES = Buffer.alloc(0)

export class TraceSampler implements Sampler, SpanConsumer {
  readonly name = 'forward'
  readonly consumer: SpanConsumer = this
  readonly reasons = LEFT_OUT
  readonly #options: SamplingOptions
  readonly #host: SamplerHost
  readonly #around: SamplerSurroundings
  readonly #publish: (counts: Counts) => void
  readonly #memory: ReturnType<Host['memory']['allot']>
  readonly #held: Held
  readonly #groups: Groups
  readonly #pending: Pending
  readonly #decided = new Decided()
  readonly #facts: Facts
  readonly #strata: Strata
  readonly #output: Output
  readonly #outcomes: Outcomes
  readonly #fields = new Fields()
  readonly #closed = new AbortController()
  /** The span that was looked at last, by its place in the request at hand, and whether it will be sent on. */
  #seen = NONE
  #passes = false
  #now = 0
  #ticking = false
  /** Wall time of the oldest span that is being sent. */
  #received = 0
  readonly #kept = numbers(STRATA)
  readonly #dropped = numbers(LEFT_OUT)
  readonly #early = numbers(EARLY)
  readonly #late = { kept: 0, dropped: 0 }
  readonly #id = new Int32Array(4)
  readonly #idBytes = new Uint8Array(this.#id.buffer)
  readonly #written = new Written()

  /** `publish` shows what was counted. */
  constructor(
    options: SamplingOptions,
    host: SamplerHost,
    around: SamplerSurroundings,
    publish: (counts: Counts) => void,
  ) {
    this.#options = options
    this.#host = host
    this.#around = around
    this.#publish = publish
    this.#memory = host.memory.allot('sampling', options.memory)
    this.#memory.add(this.#decided.bytes)
    this.#held = new Held(this.#memory)
    this.#groups = new Groups(this.#memory)
    this.#pending = new Pending(this.#memory)
    this.#facts = new Facts(options, host)
    const probabilities = { error: 1, slow: 1, rare: 1, ordinary: options.ratio }
    const limits = { spans: options.max_spans_per_second, bytes: options.max_bytes_per_second }
    this.#now = host.clock.monotonic()
    this.#strata = new Strata(probabilities, limits, this.#now)
    this.#output = new Output(this.#held, this.#groups, (bytes, items) =>
      around.pass({ signal: 'traces', bytes, items, received: this.#received || host.clock.now() }),
    )
    this.#outcomes = new Outcomes(this.#idBytes, this.#held, this.#groups, this.#strata, this.#output, this.#written)
  }

  get leftOut(): ReadonlyMap<LeftOut, number> {
    return this.#outcomes.leftOut
  }

  get heldSpans(): number {
    return this.#held.spans
  }

  get heldBytes(): number {
    return this.#held.bytes
  }

  collect(): void {
    this.#publish({
      kept: this.#kept,
      dropped: this.#dropped,
      early: this.#early,
      late: this.#late,
      inconsistent: this.#outcomes.inconsistent,
      unthresholded: this.#outcomes.unthresholded,
      pending: this.#pending.size,
      ratios: this.#strata.ratios,
    })
  }

  admit(request: Request): number {
    return this.#around.admit(request)
  }

  begin(request: Request): void {
    this.#now = this.#host.clock.monotonic()
    this.#pending.begin(this.#now)
    this.#strata.adapt(this.#now)
    this.#makeRoom(request)
    this.#held.copy(request.bytes)
    this.#groups.begin()
    this.#seen = NONE
    if (!this.#ticking) void this.#tick()
  }

  span(view: SpanView): void {
    this.#see(view)
  }

  /** Whether a span of the request at hand will be sent on. It may be asked before the span is shown. */
  passes(view: SpanView): boolean {
    this.#see(view)
    return this.#passes
  }

  flush(): void {
    this.#now = this.#host.clock.monotonic()
    for (let trace = this.#pending.oldest(ALL); trace >= 0; trace = this.#pending.oldest(ALL))
      this.#decide(trace, 'end')
    this.#send()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed.signal.aborted) return
    this.#closed.abort()
    this.#held.clear()
    this.#pending.clear()
    this.#memory.add(-this.#memory.used)
  }

  /** Looks at a span once, whoever asks first. */
  #see(view: SpanView): void {
    if (view.start === this.#seen) return
    this.#seen = view.start
    const stated = view.traceStateEnd > 0
    if (stated) this.#fields.read(view.bytes, view.traceStateStart, view.traceStateEnd)
    const random = stated && this.#fields.randomHigh >= 0 ? this.#fields.randomHigh : randomOf(view.bytes, view.traceId)
    const root = isLocalRoot(view)
    const facts = this.#facts.of(view, root, stated, this.#now)
    const trace = this.#pending.find(view)
    if (trace >= 0) {
      const threshold = this.#lower(this.#pending.threshold(trace), facts)
      if (facts !== 0) this.#pending.know(trace, facts, threshold)
      this.#hold(trace, view, root)
      this.#passes = random >= threshold
      return
    }
    const entry = this.#decided.find(this.#pending.id)
    if (entry >= 0) {
      this.#follow(entry, view, root, facts)
      return
    }
    const added = this.#pending.add(this.#strata.thresholds[ORDINARY]!)
    const threshold = this.#lower(this.#pending.threshold(added), facts)
    this.#pending.know(added, facts, threshold)
    this.#hold(added, view, root)
    this.#passes = random >= threshold
  }

  #hold(trace: number, view: SpanView, root: boolean): void {
    const record = this.#record(view, root, this.#pending.threshold(trace))
    const before = this.#pending.push(trace, record)
    if (before >= 0) this.#held.link(before, record)
    if (root) this.#pending.ended(trace, record)
    if (this.#pending.spans(trace) >= MOST_SPANS) this.#decide(trace, 'large')
  }

  #record(view: SpanView, root: boolean, threshold: number): number {
    const { start, end, traceStateStart: state, traceStateEnd: stateEnd } = view
    const group = this.#groups.of(view)
    if (this.#strata.limited) {
      // The fields are those of this span.
      const weight = stateEnd > 0 ? this.#fields.adjustedCount : 1
      this.#strata.count(ORDINARY, this.#strata.counted(weight, threshold), end - start)
    }
    return this.#held.add(start, end, group, stateEnd > 0 ? state : start, stateEnd - state, root ? ROOT : 0)
  }

  #lower(threshold: number, facts: number): number {
    if (facts === 0) return threshold
    return Math.min(threshold, this.#strata.thresholds[this.#strata.of(facts)]!)
  }

  /** A span whose trace has been decided. An error that comes late still lowers the threshold, for itself and what follows. */
  #follow(entry: number, view: SpanView, root: boolean, facts: number): void {
    const flags = this.#decided.flags(entry)
    const before = this.#decided.threshold(entry)
    const threshold = this.#lower(before, facts)
    const stratum = threshold < before ? this.#strata.of(facts) : flags & ~GUARDED
    if (threshold < before) this.#decided.set(entry, threshold, stratum | (flags & GUARDED))
    const record = this.#record(view, root, threshold)
    this.#copyId(view)
    const passes = this.#outcomes.random(record) >= threshold
    const guarded = (flags & GUARDED) !== 0 || (passes && !this.#strata.take(1, view.end - view.start, this.#now))
    if (passes && !guarded) this.#noteTime(this.#now)
    this.#passes = this.#outcomes.settle(record, threshold, stratum, 1 << stratum, guarded, NO_BYTES)
    if (this.#passes) this.#late.kept++
    else this.#late.dropped++
  }

  #copyId({ bytes, traceId }: SpanView): void {
    for (let i = 0; i < 16; i++) this.#idBytes[i] = bytes[traceId + i]!
  }

  #decide(trace: number, early?: Early): void {
    const pending = this.#pending
    const strata = this.#strata
    const held = this.#held
    const facts = pending.facts(trace)
    const threshold = pending.threshold(trace)
    const stratum = strata.of(facts)
    const spans = pending.spans(trace)
    const partial = pending.rootAt(trace) < 0
    if (early) this.#early[early]++
    pending.copyId(trace, this.#id)
    const first = pending.first(trace)
    const random = this.#outcomes.random(first)
    // The guard is asked for what passes only, and for all of it, so that traces stay whole.
    const guarded = random >= threshold && strata.limited && !this.#guard(first)
    if (random >= threshold && !guarded) {
      this.#kept[STRATA[stratum]!]++
      this.#noteTime(pending.since(trace))
    } else this.#dropped[this.#outcomes.reason(random, facts, guarded)]++
    const marked = this.#options.mark ? (pending.root(trace) < 0 ? first : pending.root(trace)) : NONE
    for (let record = first, left = spans; left > 0; left--) {
      const next = held.next(record)
      const mark = record === marked ? this.#written.mark(stratum, partial) : NO_BYTES
      this.#outcomes.settle(record, threshold, stratum, facts, guarded, mark)
      record = next
    }
    pending.remove(trace)
    this.#decided.add(this.#id, threshold, stratum | (guarded ? GUARDED : 0))
  }

  #guard(first: number): boolean {
    let spans = 0
    let bytes = 0
    for (let record = first; record >= 0; record = this.#held.next(record)) {
      spans++
      bytes += this.#held.length(record)
    }
    return this.#strata.take(spans, bytes, this.#now)
  }

  /** The age of what is sent is that of its oldest trace. */
  #noteTime(since: number): void {
    const received = this.#host.clock.now() - (this.#now - since)
    if (this.#received === 0 || received < this.#received) this.#received = received
  }

  #send(): void {
    this.#output.flush()
    this.#received = 0
  }

  /** Decides the oldest traces until the request fits, or none is left. */
  #makeRoom({ bytes: { length }, items }: Request): void {
    if (this.#fits(length, items)) return
    this.#memory.refused++
    while (!this.#fits(length, items) && this.#held.spans > 0) {
      for (let i = 0; i < SOME && this.#pending.size > 0; i++) {
        // Those whose root has ended are mostly complete.
        const ended = this.#pending.oldest(ENDED)
        this.#decide(ended >= 0 ? ended : this.#pending.oldest(ALL), 'memory')
      }
      this.#send()
      this.#held.tidy()
    }
    this.#pending.tidy()
  }

  #fits(bytes: number, spans: number): boolean {
    // The resource and scope of the spans may be new, and are then kept twice.
    return this.#memory.fits(this.#held.needs(bytes, spans) + this.#pending.needs(spans) + 2 * bytes)
  }

  /** Decides what is due, as long as anything is held. */
  async #tick(): Promise<void> {
    this.#ticking = true
    const { signal } = this.#closed
    const { clock } = this.#host
    try {
      // It begins with the request whose spans are still to come.
      do {
        await clock.sleep(TICK_MS, signal)
        while (this.#due()) await nextTurn()
      } while (!signal.aborted && this.#held.spans > 0)
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      this.#ticking = false
    }
  }

  /** Decides some of what is due; true if there may be more. */
  #due(): boolean {
    if (this.#closed.signal.aborted) return false
    this.#now = this.#host.clock.monotonic()
    this.#strata.adapt(this.#now)
    const { decision_wait } = this.#options
    const pending = this.#pending
    let left = AT_ONCE
    for (let trace = pending.oldest(ENDED); left > 0 && trace >= 0; trace = pending.oldest(ENDED)) {
      if (pending.rootAt(trace) + decision_wait > this.#now) break
      left -= pending.spans(trace)
      this.#decide(trace)
    }
    for (let trace = pending.oldest(ALL); left > 0 && trace >= 0; trace = pending.oldest(ALL)) {
      if (pending.since(trace) + Math.max(PATIENCE_MS, decision_wait) > this.#now) break
      left -= pending.spans(trace)
      this.#decide(trace, pending.rootAt(trace) < 0 ? 'timeout' : undefined)
    }
    this.#send()
    this.#held.tidy()
    pending.tidy()
    return left <= 0
  }
}

/** Spans of a trace that are held: deciding so many takes 5 ms. Those that follow are late. */
const MOST_SPANS = 20_000
/** Traces that are decided early at a time. */
const SOME = 64

function numbers<const Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map(name => [name, 0])) as Record<Name, number>
}
