// The way of one signal to one upstream: takes batches from the queue, sends some at the same time, and does what the answers
// say. A batch whose requests are not all dealt with yet is work: its pieces are sent one after another.

import { Deadline } from '../../client/deadline.ts'
import { BATCH, type Queue } from '../../queue/queue.ts'
import type { Clock, Log } from '../../telemetry/host.ts'
import type { Signal } from '../../telemetry/request.ts'
import type { Verdict } from './answer.ts'
import { Circuit } from './circuit.ts'
import { compress } from './compress.ts'
import { halve } from './divide.ts'
import type { Target } from './target.ts'
import type { Transport } from './transport.ts'
import { add, DROP_REASONS, type DropReason, type Part, type Work, work } from './work.ts'

/** Stores refuse cumulative metrics that come out of order. */
const CONCURRENCY: Readonly<Record<Signal, number>> = { traces: 4, metrics: 1, logs: 4 }
/** Requests that come in within this time are sent together. */
const FLUSH_MS = 100
/** While an upstream refuses everything, it is asked with no more than this. */
const SMALL = 32 * 1024
/** If more waits than this while the upstream takes telemetry, senders are answered later: that slows them down. */
const PRESSURE = 8 * BATCH
/** So much later at most, for SDKs have deadlines. */
const LONGEST_DELAY_MS = 250
/** Messages of an upstream are logged at most this often. */
const TELL_MS = 60_000
/** Before the end there is no time for a long wait. */
const LAST_WAIT_MS = 250

export interface LaneSurroundings {
  readonly upstream: string
  readonly target: Target
  readonly queue: Queue
  readonly transport: Transport
  readonly maxRequest: number
  readonly maxAgeMs: number
  readonly clock: Clock
  readonly log: Log
  /** The value of the hops header. */
  hops(): string
}

export class Lane implements AsyncDisposable {
  readonly target: Target
  /** Counts since the start. */
  appended = 0
  forwarded = 0
  sentBytes = 0
  readonly dropped: Map<DropReason, number> = new Map(DROP_REASONS.map(reason => [reason, 0]))
  readonly codes = new Map<string, number>()
  /** Why nothing is sent; undefined while the circuit is closed. */
  trouble: string | undefined

  readonly #around: LaneSurroundings
  readonly #circuit: Circuit
  readonly #closing = new AbortController()
  /** Requests that are under way. */
  readonly #sending = new Set<Deadline>()
  /** Work that has to wait for the circuit. */
  readonly #parked: Work[] = []
  readonly #active = new Set<Work>()
  #looking = false
  #asking = false
  #flushing = false
  #due = false
  #waking: AbortController | undefined
  /** Larger bodies were refused lately. */
  #most: number
  #draining: PromiseWithResolvers<void> | undefined
  #relief: PromiseWithResolvers<void> | undefined
  #told = Number.NEGATIVE_INFINITY
  /** At the end: items of batches that go back to the queue, though they were dealt with, and how. */
  #partial = 0
  #partialForwarded = 0
  readonly #partialDropped = new Map<DropReason, number>()

  constructor(around: LaneSurroundings, circuit = new Circuit()) {
    this.#around = around
    this.#circuit = circuit
    this.target = around.target
    this.#most = around.maxRequest
  }

  get open(): boolean {
    return this.#circuit.open
  }

  get signal(): Signal {
    return this.target.signal
  }

  drop(reason: DropReason, items: number): void {
    this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + items)
  }

  /** Something has been appended to the queue. */
  wake(): void {
    if (this.#circuit.open) this.#wakeLater()
    else if (this.#around.queue.waiting(this.signal) >= BATCH) this.#pump()
    else if (!this.#flushing) this.#flushSoon()
  }

  /**
   * Resolves when what waits is little enough, or a moment has passed; undefined if it is. An upstream that has failed delays
   * nobody.
   */
  relief(): Promise<void> | undefined {
    if (this.#circuit.open || this.#closing.signal.aborted) return undefined
    if (this.#around.queue.waiting(this.signal) <= PRESSURE) return undefined
    if (!this.#relief) {
      const relief = Promise.withResolvers<void>()
      this.#relief = relief
      this.#around.clock.sleep(LONGEST_DELAY_MS, this.#closing.signal).then(relief.resolve, relief.resolve)
      void relief.promise.then(() => {
        if (this.#relief === relief) this.#relief = undefined
      })
    }
    return this.#relief.promise
  }

  /** Called each second. */
  tick(): void {
    const oldest = this.#oldestAllowed()
    for (let i = this.#parked.length - 1; i >= 0; i--) {
      const work = this.#parked[i]!
      if (work.batch.received >= oldest) continue
      this.#parked.splice(i, 1)
      this.#dropAll(work, 'too_old')
    }
    // Larger bodies are tried again after some minutes, step by step.
    if (this.#most < this.#around.maxRequest) this.#most = Math.min(this.#around.maxRequest, this.#most * 1.003)
    this.wake()
  }

  /** Looks for files that have changed. Nobody waits for that: a file system that hangs holds up no other lane. */
  look(): void {
    if (this.#looking) return
    this.#looking = true
    const looked = () => {
      this.#looking = false
    }
    this.#around.transport.tick().then(looked, looked)
  }

  /** Sends what is held, until that is done or has failed, or `signal` aborts. */
  async drain(signal: AbortSignal): Promise<void> {
    this.#draining = Promise.withResolvers<void>()
    const { resolve, promise } = this.#draining
    if (signal.aborted) return
    signal.addEventListener('abort', () => resolve(), { once: true })
    this.#circuit.hurry(this.#around.clock.monotonic())
    this.#due = true
    this.#pump()
    this.#checkDrained()
    await promise
  }

  /** Ends. Batches that are not dealt with go back to the queue. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    this.#waking?.abort()
    for (const each of this.#sending) each.abort()
    // Batches sent in part stay counted as held by the queue, which loses or keeps them as a whole.
    for (const work of [...this.#active, ...this.#parked.splice(0)]) {
      this.#partial += work.batch.items - work.parts.reduce((items, part) => items + part.items, 0)
      this.#partialForwarded += work.forwarded
      for (const [reason, items] of work.dropped) add(this.#partialDropped, reason, items)
      this.#around.queue.giveBack(work.batch)
    }
    this.#active.clear()
    this.#around.transport[Symbol.dispose]()
  }

  /** After the queue has ended: what it lost as a whole had been sent in part. */
  correct(): void {
    const lost = this.dropped.get('shutdown') ?? 0
    if (this.#partial === 0 || lost < this.#partial) return
    this.drop('shutdown', -this.#partial)
    this.forwarded += this.#partialForwarded
    for (const [reason, items] of this.#partialDropped) this.drop(reason, items)
    this.#partial = 0
  }

  #flushSoon(): void {
    this.#flushing = true
    this.#around.clock.sleep(FLUSH_MS, this.#closing.signal).then(
      () => {
        this.#flushing = false
        this.#due = true
        this.#pump()
      },
      () => {},
    )
  }

  /** Begins as much as may be sent at the same time. */
  #pump(): void {
    const { clock } = this.#around
    while (!this.#closing.signal.aborted && !this.#asking && this.#active.size < CONCURRENCY[this.signal]) {
      if (this.#parked.length === 0 && !this.#ready()) {
        this.#due = false
        return
      }
      if (!this.#circuit.enter(clock.monotonic())) {
        this.#wakeLater()
        return
      }
      const parked = this.#parked.shift()
      if (parked) this.#begin(parked)
      else if (!this.#fetch()) return
    }
  }

  #ready(): boolean {
    const waiting = this.#around.queue.waiting(this.signal)
    return waiting >= BATCH || (waiting > 0 && (this.#due || this.#circuit.open || this.#draining !== undefined))
  }

  /** Asks the queue for a batch; false if it answers later, or has none. */
  #fetch(): boolean {
    const next = this.#around.queue.next(this.signal)
    if (next instanceof Promise) {
      this.#asking = true
      void next.then(batch => {
        this.#asking = false
        if (batch && this.#closing.signal.aborted) this.#around.queue.giveBack(batch)
        else if (batch) this.#begin(work(batch))
        else this.#circuit.leave()
        if (batch) this.#pump()
        this.#checkDrained()
      })
      return false
    }
    if (next) this.#begin(work(next))
    else this.#circuit.leave()
    return next !== undefined
  }

  #begin(work: Work): void {
    this.#active.add(work)
    if (this.#relief && this.#around.queue.waiting(this.signal) <= PRESSURE) this.#relief.resolve()
    this.#proceed(work)
      .catch(error => {
        // A fault of ours: the batch is lost, and the others go on.
        this.#around.log.error('cannot forward a request', {
          upstream: this.#around.upstream,
          signal: this.signal,
          error,
        })
        this.#circuit.leave()
        if (this.#active.has(work)) this.#dropAll(work, 'internal')
      })
      .finally(() => {
        this.#active.delete(work)
        if (this.#closing.signal.aborted) return
        this.#pump()
        this.#checkDrained()
      })
  }

  /** Sends the parts of a work one after another, until it is done or has to wait. */
  async #proceed(work: Work): Promise<void> {
    const { clock } = this.#around
    // The circuit was entered for the first part.
    for (let entered = true; work.parts.length > 0; entered = false) {
      if (work.batch.received < this.#oldestAllowed()) {
        if (entered) this.#circuit.leave()
        this.#dropAll(work, 'too_old')
        return
      }
      if (!entered && !this.#circuit.enter(clock.monotonic())) {
        this.#park(work)
        return
      }
      this.#shrink(work)
      const part = work.parts[0]!
      const trial = this.#circuit.open
      const verdict = await this.#send(part)
      if (this.#closing.signal.aborted) return
      if (!this.#act(verdict, work, part, trial)) return
    }
    this.#settle(work)
  }

  /** Divides the first part if it is larger than may be sent now. */
  #shrink({ batch, parts }: Work): void {
    const most = this.#circuit.holding ? Math.min(SMALL, this.#most) : this.#most
    for (let part = parts[0]!; part.bytes.length > most; part = parts[0]!) {
      const halves = halve(batch.signal, part)
      if (!halves) return
      parts.splice(0, 1, ...halves)
    }
  }

  async #send(part: Part): Promise<Verdict> {
    const { target, transport, hops } = this.#around
    part.body ??= await compress(target.coding, part.bytes)
    using deadline = new Deadline(target.timeoutMs)
    if (this.#closing.signal.aborted) deadline.abort()
    this.#sending.add(deadline)
    try {
      const { code, verdict } = await transport.send(part.body, hops(), deadline.signal)
      this.codes.set(code, (this.codes.get(code) ?? 0) + 1)
      this.sentBytes += part.body.length
      return verdict
    } finally {
      this.#sending.delete(deadline)
    }
  }

  /** Does what the answer to a part says; false if the work is at an end for now. */
  #act(verdict: Verdict, work: Work, part: Part, trial: boolean): boolean {
    const now = this.#around.clock.monotonic()
    switch (verdict.kind) {
      case 'taken': {
        const rejected = Math.min(verdict.rejected, part.items)
        work.parts.shift()
        work.forwarded += part.items - rejected
        if (rejected > 0) add(work.dropped, 'upstream_rejected', rejected)
        if (rejected > 0) this.#tell('the upstream has rejected items', verdict.message, rejected)
        // A partial success that rejects nothing is a warning (https://opentelemetry.io/docs/specs/otlp/#partial-success-1).
        else if (verdict.message)
          this.#tell('the upstream has taken a request with a warning', verdict.message, part.items)
        this.#recover()
        return true
      }
      case 'divide': {
        this.#recover()
        this.#most = Math.max(SMALL, Math.min(this.#most, part.bytes.length >>> 1))
        const halves = halve(work.batch.signal, part)
        work.parts.splice(0, 1, ...(halves ?? []))
        if (!halves) {
          add(work.dropped, 'too_large', part.items)
          this.#tell('the upstream finds a single item too large', verdict.message, part.items)
        }
        return true
      }
      case 'drop':
        this.#recover()
        work.parts.shift()
        add(work.dropped, verdict.reason, part.items)
        this.#tell('the upstream has refused a request', verdict.message, part.items)
        return true
      case 'hold': {
        // Those that were under way at the same time wait with the others.
        const first = !this.#circuit.holding || trial
        if (first) {
          work.parts.shift()
          add(work.dropped, verdict.reason, part.items)
        }
        this.#circuit.hold(now)
        this.#open(`${verdict.message}; it is tried again each 30 s, at ${this.target.url}`)
        this.#giveUp()
        if (work.parts.length === 0) this.#settle(work)
        else this.#park(work)
        return false
      }
      case 'retry': {
        const wait = this.#circuit.fail(now, this.#draining ? LAST_WAIT_MS : verdict.afterMs)
        this.#open(`${verdict.message}; tried again in ${Math.ceil(wait / 1000)} s`)
        this.#park(work)
        // Nobody is there, and there is no time to wait for somebody.
        if (!/^(?:HTTP|gRPC) /.test(verdict.message)) this.#giveUp()
        return false
      }
    }
  }

  #open(trouble: string): void {
    this.#relief?.resolve()
    const before = this.trouble
    this.trouble = trouble
    if (before !== undefined) return
    const { log, upstream } = this.#around
    log.warn('the upstream takes nothing now', { upstream, signal: this.signal, because: trouble })
  }

  #recover(): void {
    this.#circuit.succeed()
    if (this.trouble === undefined) return
    this.trouble = undefined
    const { log, upstream } = this.#around
    log.info('the upstream takes telemetry again', { upstream, signal: this.signal })
  }

  #park(work: Work): void {
    this.#active.delete(work)
    this.#parked.unshift(work)
    this.#wakeLater()
  }

  /** Sends again when the circuit lets the next request pass. */
  #wakeLater(): void {
    const { until } = this.#circuit
    // The request that goes first decides.
    if (until === undefined || this.#circuit.trial || this.#waking || this.#closing.signal.aborted) return
    const waking = new AbortController()
    this.#waking = waking
    const { clock } = this.#around
    clock.sleep(Math.max(1, until - clock.monotonic()), waking.signal).then(
      () => {
        this.#waking = undefined
        this.#pump()
      },
      () => {
        this.#waking = undefined
      },
    )
  }

  #settle({ batch, forwarded, dropped }: Work): void {
    this.forwarded += forwarded
    for (const [reason, items] of dropped) this.drop(reason, items)
    this.#around.queue.done(batch)
  }

  #dropAll(work: Work, reason: DropReason): void {
    for (const { items } of work.parts.splice(0)) add(work.dropped, reason, items)
    this.#active.delete(work)
    this.#settle(work)
  }

  #oldestAllowed(): number {
    return this.#around.clock.now() - this.#around.maxAgeMs
  }

  #tell(what: string, message: string, items: number): void {
    const { clock, log, upstream } = this.#around
    const now = clock.monotonic()
    if (now - this.#told < TELL_MS) return
    this.#told = now
    log.warn(what, { upstream, signal: this.signal, items, because: message || 'it did not say' })
  }

  #giveUp(): void {
    this.#draining?.resolve()
  }

  #checkDrained(): void {
    if (!this.#draining || this.#active.size > 0 || this.#parked.length > 0 || this.#asking) return
    if (this.#around.queue.waiting(this.signal) === 0) this.#draining.resolve()
  }
}
