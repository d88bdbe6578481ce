// The delivery of one page: as many requests as it takes, each of as many metrics as fit. A request that the receiver
// will take later is sent again, until the next page is due. The version of remote write and the size of requests are
// those that the receiver has taken before.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Encoder, REQUEST_BYTES } from './encoder.ts'
import { DROP_REASONS, type DropReason, pushBytes, pushDropped, pushed, pushRequests } from './families.ts'
import type { Pushing } from './host.ts'
import { extraLabels } from './identity.ts'
import type { Known } from './known.ts'
import { Metric } from './metric.ts'
import type { PushOptions } from './options.ts'
import { Otlp } from './otlp.ts'
import { BEGINNING, PageReader, type Place } from './page.ts'
import type { Body, Outcome, Receiver, Version } from './receiver.ts'
import { RemoteWrite1 } from './remote-write-1.ts'
import { RemoteWrite2 } from './remote-write-2.ts'
import { Resources } from './resources.ts'
import { compress } from './snappy.ts'

/** Waits between tries: the first at random up to this, then each longer by half, up to the longest. */
const FIRST_WAIT_MS = 1000
const LONGEST_WAIT_MS = 30_000
/** Writing a request gives the event loop back when it has run this long, which it looks at after so many metrics. */
const SLICE_MS = 5
const LOOK_METRICS = 16
const SMALLEST_REQUEST = 16 * 1024
/** Metrics that are read without a pause where nothing else pauses, about 2 ms. */
const SLICE = 4000

export interface Page {
  readonly bytes: Buffer
  /** Its time, in milliseconds since the epoch. */
  readonly ms: number
}

export interface Attempt {
  /** When the next page is due, on the monotonic clock, and why the rest of this one is then dropped. */
  readonly until: number
  readonly reason: DropReason
  readonly signal: AbortSignal
  readonly traceparent: string | undefined
}

export type Delivered = { readonly delivered: true } | { readonly delivered: false; readonly text: string }

export class Delivery {
  version: Version
  /** The receiver has asked to be left alone until this time, on the monotonic clock. */
  notBefore = 0
  readonly #options: PushOptions
  readonly #receiver: Receiver
  readonly #host: Pushing
  readonly #known: Known
  readonly #metric: Metric
  readonly #resources: Resources
  readonly #counts
  /** Whether the receiver has taken something in this version. */
  #agreed = false
  /** Plain bytes of a request; less after one was too large. */
  #size = REQUEST_BYTES

  constructor(options: PushOptions, receiver: Receiver, host: Pushing, known: Known) {
    this.#options = options
    this.#receiver = receiver
    this.#host = host
    this.#known = known
    this.version = options.protocol === 'otlp' ? 'otlp' : '2.0'
    const extras = options.protocol === 'otlp' ? [] : extraLabels(host.resource, options.labels)
    this.#metric = new Metric(extras)
    this.#resources = new Resources(host.resource, host.version)
    const { metrics } = host
    this.#counts = {
      pushed: metrics.counter(pushed),
      dropped: metrics.counter(pushDropped),
      requests: metrics.counter(pushRequests),
      bytes: metrics.counter(pushBytes),
    }
    for (const reason of DROP_REASONS) this.#counts.dropped.inc({ reason }, 0)
  }

  /** Delivers a page, and the ends of the series that have vanished since the one before. */
  async page({ bytes, ms }: Page, attempt: Attempt): Promise<Delivered> {
    this.#known.begin(ms / 1000)
    this.#resources.learn(bytes, this.#metric)
    let place = BEGINNING
    let trouble: string | undefined
    for (let tries = 0; place.at < bytes.length; ) {
      const reader = new PageReader(bytes, place)
      const body = await this.#body(ms, encoder => {
        if (!reader.next(this.#metric)) return false
        encoder.add(this.#metric, this.#known.see(this.#metric))
        return true
      })
      const outcome = body.samples === 0 ? TAKEN : await this.#send(body, attempt)
      const step = await this.#account(outcome, body.samples, tries, attempt)
      if (step.kind === 'again') {
        tries++
        continue
      }
      if (step.kind === 'stop') {
        // All that follows is dropped for the same reason.
        this.#counts.dropped.inc({ reason: step.reason }, await this.#rest(bytes, reader.place))
        return { delivered: false, text: step.text }
      }
      trouble ??= step.text
      tries = 0
      place = reader.place
    }
    const ended = await this.#sendEnds(this.#known.vanished(this.#metric), ms, attempt)
    if (!ended.delivered) return ended
    return trouble === undefined ? ended : { delivered: false, text: trouble }
  }

  /** Marks all series as ended. */
  ends(ms: number, attempt: Attempt): Promise<Delivered> {
    return this.#sendEnds(this.#known.all(this.#metric), ms, attempt)
  }

  /** Marks metrics as ended. */
  async #sendEnds(metrics: Generator<Metric>, ms: number, attempt: Attempt): Promise<Delivered> {
    for (;;) {
      const body = await this.#body(ms, encoder => {
        const { done, value } = metrics.next()
        if (done) return false
        encoder.add(value, 0)
        return true
      })
      if (body.samples === 0) return { delivered: true }
      for (let tries = 0; ; tries++) {
        const outcome = await this.#send(body, attempt)
        const step = await this.#account(outcome, body.samples, tries, attempt)
        if (step.kind === 'stop') return { delivered: false, text: step.text }
        // The next push tells it in the other version.
        if (body.version !== this.version) return { delivered: false, text: 'the receiver has changed its version' }
        if (step.kind === 'on') break
      }
    }
  }

  /** The next request: as many metrics as `add` gives until it is large enough. */
  async #body(ms: number, add: (encoder: Encoder) => boolean): Promise<Body> {
    const encoder = this.#encoder(ms)
    let began = performance.now()
    for (let n = 1; encoder.bytes < this.#size && add(encoder); n++)
      if (n % LOOK_METRICS === 0 && performance.now() - began > SLICE_MS) {
        await nextTurn()
        began = performance.now()
      }
    const { samples } = encoder
    const version = this.version
    if (samples === 0) return { version, bytes: Buffer.alloc(0), encoding: undefined, samples }
    const plain = encoder.finish()
    await nextTurn()
    if (version !== 'otlp') return { version, bytes: compress(plain), encoding: 'snappy', samples }
    if (this.#options.compression === 'none') return { version, bytes: plain, encoding: undefined, samples }
    return { version, bytes: await gzip(plain), encoding: 'gzip', samples }
  }

  #encoder(ms: number): Encoder {
    switch (this.version) {
      case 'otlp':
        return new Otlp(ms, this.#options.native_histograms, this.#resources)
      case '2.0':
        return new RemoteWrite2(ms, this.#options.native_histograms)
      case '1.0':
        return new RemoteWrite1(ms, this.#zerosAfter)
    }
  }

  /**
   * Counters that began later have their beginning written in 1.0: those of an application that the sidecar has
   * started, on the first push, while the beginning is not too long ago to be written.
   */
  get #zerosAfter(): number {
    const { app, origin, clock } = this.#host
    const first = this.#known.delivered === 0 && app.child !== undefined
    return first ? Math.max(origin - 1, clock.now() / 1000 - 300) : Number.POSITIVE_INFINITY
  }

  async #send(body: Body, { signal, traceparent }: Attempt): Promise<Outcome> {
    const { code, outcome } = await this.#receiver.send(body, signal, traceparent)
    this.#counts.requests.inc({ code })
    this.#counts.bytes.inc(body.bytes.length)
    return outcome
  }

  async #account(outcome: Outcome, samples: number, tries: number, attempt: Attempt): Promise<Step> {
    const { until, signal, reason } = attempt
    const { dropped, pushed } = this.#counts
    switch (outcome.kind) {
      case 'taken':
        this.#agreed ||= samples > 0
        pushed.inc(samples - outcome.dropped)
        if (outcome.dropped === 0) return { kind: 'on', text: undefined }
        dropped.inc({ reason: outcome.reason }, outcome.dropped)
        return { kind: 'on', text: `${outcome.dropped} samples were not taken${outcome.text && `: ${outcome.text}`}` }
      case 'version':
        return this.#downgrade(outcome.text)
      case 'refused':
        // Before anything was taken, a receiver of 1.0 may only say that it cannot read this.
        if (outcome.reason === 'rejected' && this.version === '2.0' && !this.#agreed && outcome.taken === 0)
          return this.#downgrade(outcome.text)
        pushed.inc(Math.min(outcome.taken, samples))
        dropped.inc({ reason: outcome.reason }, samples - Math.min(outcome.taken, samples))
        // The next push, in smaller requests, has the same counters.
        if (outcome.reason === 'too_large') this.#size = Math.max(SMALLEST_REQUEST, this.#size / 2)
        if (outcome.all) return { kind: 'stop', reason: outcome.reason, text: outcome.text }
        return { kind: 'on', text: outcome.text }
      case 'later': {
        const wait = outcome.afterMs === undefined ? backOff(tries) : outcome.afterMs * (1 + Math.random() / 5)
        const now = this.#host.clock.monotonic()
        if (outcome.afterMs !== undefined) this.notBefore = now + wait
        if (!signal.aborted && now + wait < until) await this.#host.clock.sleep(wait, signal).catch(() => undefined)
        if (!signal.aborted && now + wait < until) return { kind: 'again' }
        dropped.inc({ reason }, samples)
        return { kind: 'stop', reason, text: outcome.text }
      }
    }
  }

  #downgrade(text: string): Step {
    this.version = '1.0'
    this.#host.log.info('the receiver of the push does not take remote write 2.0; goes on with 1.0', { why: text })
    return { kind: 'again' }
  }

  /** Samples from a place to the end of the page. */
  async #rest(bytes: Buffer, place: Place): Promise<number> {
    const reader = new PageReader(bytes, place)
    let samples = 0
    for (let n = 1; reader.next(this.#metric); n++) {
      samples += this.version === 'otlp' ? 1 : this.#metric.samples
      if (n % SLICE === 0) await nextTurn()
    }
    return samples
  }
}

const TAKEN: Outcome = { kind: 'taken', dropped: 0, reason: 'partial', text: '' }

type Step =
  /** To the next request; the text says what of this one was not taken. */
  | { readonly kind: 'on'; readonly text: string | undefined }
  /** The same metrics once more. */
  | { readonly kind: 'again' }
  | { readonly kind: 'stop'; readonly reason: DropReason; readonly text: string }

function backOff(tries: number): number {
  // Many sidecars lose one receiver at the same time, and must not come back at the same time.
  if (tries === 0) return Math.random() * FIRST_WAIT_MS
  return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 1.5 ** tries) * (0.5 + Math.random())
}

function gzip(plain: Buffer): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  process
    .getBuiltinModule('node:zlib')
    .gzip(plain, { level: 1 }, (error, packed) => (error ? reject(error) : resolve(packed)))
  return promise
}
