// The pushes over time: one page each interval, which is delivered until the next one is due. There is never more than
// one page in memory: a newer one has the same counters further on, so an older one is given up for it.

import type { Finding } from '../../telemetry/part.ts'
import { Delivery, type Page } from './delivery.ts'
import { type DropReason, pushDuration, pushFailing, pushSkipped, pushSuccess, SKIP_REASONS } from './families.ts'
import type { Pushing } from './host.ts'
import { Known } from './known.ts'
import type { PushOptions } from './options.ts'
import type { Receiver } from './receiver.ts'

const ACCEPT = 'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited'
/** The deadline for making a page. */
const COLLECT_MS = 5000
/** The longest wait for the last push; a receiver that asks for more is not waited for at all. */
const LAST_MS = 5000
/** While it waits, it looks this often whether the application has gone. */
const LOOK_MS = 500
/** Bytes of memory for each byte of the page: itself, what is remembered of it, a request under way. */
const PAGE_WEIGHT = 3

/** A page on its way. */
interface Held extends Page {
  readonly weight: number
}

export class Pusher {
  readonly #options: PushOptions
  readonly #receiver: Receiver
  readonly #host: Pushing
  readonly #known: Known
  readonly #delivery: Delivery
  readonly #counts
  #failing: string | undefined
  #lastMs = 0

  constructor(options: PushOptions, receiver: Receiver, host: Pushing) {
    this.#options = options
    this.#receiver = receiver
    this.#host = host
    this.#known = new Known({ origin: host.origin, foreign: family => host.foreign(family) })
    this.#delivery = new Delivery(options, receiver, host, this.#known)
    const { metrics } = host
    this.#counts = {
      skipped: metrics.counter(pushSkipped),
      success: metrics.gauge(pushSuccess),
      failing: metrics.gauge(pushFailing),
      duration: metrics.gauge(pushDuration),
    }
    for (const reason of SKIP_REASONS) this.#counts.skipped.inc({ reason }, 0)
  }

  /** Pushes until `stop` aborts; resolves then. */
  async run(stop: AbortSignal): Promise<void> {
    const { clock } = this.#host
    const { interval } = this.#options
    // A fleet that was started at once does not push at once.
    let due = clock.monotonic() + Math.random() * interval
    while (!stop.aborted) {
      const gone = await this.#wait(due, stop)
      if (stop.aborted) return
      const now = clock.monotonic()
      // After a push that took long, or a pause of the machine, nothing is made up for.
      due = gone ? now + interval : due + interval * Math.max(1, Math.ceil((now - due + 1) / interval))
      if (now < this.#delivery.notBefore) this.#counts.skipped.inc({ reason: 'waiting' })
      else await this.#attempt(due, stop)
    }
  }

  /** The last push: everything once more, and then the end of every series. Within the time that `signal` gives. */
  async finish(signal: AbortSignal): Promise<void> {
    const { clock } = this.#host
    if (!(await this.#push(clock.monotonic() + LAST_MS, signal, 'shutdown'))) return
    const ms = this.#lastMs + Math.max(1, this.#options.stale_after)
    const until = clock.monotonic() + 60_000
    const ended = await this.#delivery.ends(ms, { until, reason: 'shutdown', signal, traceparent: undefined })
    if (!ended.delivered) this.#host.log.warn('cannot push the end of the series', { why: ended.text })
  }

  findings(): readonly Finding[] {
    const { version } = this.#delivery
    const to = `${this.#receiver.shown} (${version === 'otlp' ? 'OTLP' : `remote write ${version}`})`
    if (this.#failing !== undefined) return [{ level: 'warning', text: `cannot push to ${to}: ${this.#failing}` }]
    return [{ level: 'info', text: `pushes to ${to} every ${this.#options.interval / 1000} s` }]
  }

  /** Waits until a time; true if the application has gone meanwhile, so that its last numbers are due at once. */
  async #wait(until: number, stop: AbortSignal): Promise<boolean> {
    const { clock, app } = this.#host
    let there = app.pid !== undefined
    for (let left = until - clock.monotonic(); left > 0; left = until - clock.monotonic()) {
      await clock.sleep(Math.min(left, LOOK_MS), stop).catch(() => undefined)
      if (stop.aborted) return false
      if (there && app.pid === undefined) return true
      there = app.pid !== undefined
    }
    return false
  }

  /** An error of ours costs one push, not those that follow. */
  async #attempt(until: number, stop: AbortSignal): Promise<void> {
    try {
      await this.#push(until, stop, 'superseded')
    } catch (error) {
      this.#counts.skipped.inc({ reason: 'collect' })
      this.#settle(`cannot make the page: ${error instanceof Error ? error.message : error}`)
    }
  }

  /** One page; whether it was delivered. `until` is when the next one is due, and why it is then dropped. */
  async #push(until: number, signal: AbortSignal, reason: DropReason): Promise<boolean> {
    const { clock, memory } = this.#host
    const begun = clock.monotonic()
    const held = await this.#take(signal)
    if (typeof held === 'string') {
      if (signal.aborted) return false
      this.#counts.skipped.inc({ reason: held === 'memory' ? 'memory' : 'collect' })
      this.#settle(held === 'memory' ? 'the page does not fit into the memory budget' : `cannot make the page: ${held}`)
      return false
    }
    const span = this.#host.span()
    const before = this.#known.bytes
    try {
      const result = await this.#delivery.page(held, { until, reason, signal, traceparent: span.traceparent })
      if (result.delivered) {
        this.#known.commit()
        this.#lastMs = held.ms
        this.#counts.success.set(held.ms / 1000)
      } else this.#known.abandon()
      // A push that the end of the sidecar has cut short is no failure of the receiver.
      if (result.delivered || !signal.aborted || reason === 'shutdown')
        this.#settle(result.delivered ? undefined : result.text)
      span.end(result.delivered ? undefined : result.text)
      return result.delivered
    } catch (error) {
      // A fault of ours: what was learnt from this page is as if it had not come.
      this.#known.abandon()
      span.end(String(error))
      throw error
    } finally {
      memory.add(this.#known.bytes - before - held.weight)
      this.#counts.duration.set((clock.monotonic() - begun) / 1000)
    }
  }

  /** The page in memory; "memory" if there is no room, or why it cannot be made. */
  async #take(signal: AbortSignal): Promise<Held | string> {
    const { clock, memory } = this.#host
    const chunks: Buffer[] = []
    let weight = 0
    let full = false
    try {
      const { chunks: parts, release } = await this.#host.page(
        ACCEPT,
        AbortSignal.any([signal, AbortSignal.timeout(COLLECT_MS)]),
        COLLECT_MS,
      )
      const ms = Math.max(clock.now(), this.#lastMs + 1)
      // Read to its end in any case, as it must be.
      for await (const part of parts) {
        if (!full && memory.hold(part.length * PAGE_WEIGHT)) {
          weight += part.length * PAGE_WEIGHT
          chunks.push(Buffer.from(part))
        } else full = true
        release?.(part)
      }
      if (full) {
        memory.add(-weight)
        return 'memory'
      }
      return { bytes: Buffer.concat(chunks), ms, weight }
    } catch (error) {
      memory.add(-weight)
      return error instanceof Error ? error.message : String(error)
    }
  }

  /** One line when the pushes begin to fail, and one when they work again. */
  #settle(why: string | undefined): void {
    const { log } = this.#host
    const trouble = why === undefined ? undefined : `${why}${this.#receiver.hint}`
    this.#counts.failing.set(trouble === undefined ? 0 : 1)
    if (trouble !== undefined && this.#failing === undefined)
      log.warn('cannot push', { to: this.#receiver.shown, why: trouble })
    if (trouble === undefined && this.#failing !== undefined) log.info('pushes again', { to: this.#receiver.shown })
    this.#failing = trouble
  }
}
