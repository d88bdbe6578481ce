// The application's own /metrics, merged into ours: asked for when we are scraped, checked, and written on the same
// page in the format that our scraper wants. Lines that cannot be read are left out; nothing is ever shown twice.

import type { Foreign } from '../metrics/foreign.ts'
import type { Asked } from '../telemetry/exposition.ts'
import type { Host } from '../telemetry/host.ts'
import type { Allotment } from '../telemetry/memory.ts'
import type { Finding, Part, Running } from '../telemetry/part.ts'
import { scrapeAgent } from '../telemetry/scraping.ts'
import type { Fact } from '../telemetry/status.ts'
import { ask, type Failed, failed, Holding } from './scrape/ask.ts'
import {
  DROPS,
  type DropReason,
  FAILURES,
  metricsBytes,
  metricsDropped,
  metricsDuration,
  metricsFailures,
  metricsSamples,
  metricsUntyped,
  metricsUp,
  scrapeFamilies,
} from './scrape/metrics.ts'
import { SCRAPE_OPTIONS, type ScrapeOptions, scrapeFaults } from './scrape/options.ts'
import { type ReadPage, read } from './scrape/read.ts'
import { configured, Guesses, type Target } from './scrape/target.ts'

export * from './scrape/metrics.ts'
export type { ScrapeOptions } from './scrape/options.ts'

/** The outside world, and the version for the user agent. */
export interface ScrapeHost extends Host {
  readonly version?: string
}

/** Scrapes that ask within this time after a page was read share it. */
const SHARED_MS = 1000
/** After this time nobody asks for the page any more, and its memory is given back. */
const KEPT_MS = 15_000
/** The least part of a scraper's deadline that is left for the rest of the page. */
const REST_MS = 300
/** A path where no metrics were found is asked for again after this time, or when the application has restarted. */
const LOOK_AGAIN_MS = 300_000
/** The same for one that did not answer in time. */
const SILENT_MS = 60_000
/** Protobuf is asked for this long after the last scraper that wanted it. */
const WANTED_MS = 600_000
/** The largest part of the memory budget. */
const MOST_BYTES = 64 * 1024 * 1024

export const scrape = {
  name: 'scrape',
  about: 'The application’s own /metrics, on the same page.',
  families: scrapeFamilies,
  options: SCRAPE_OPTIONS,
  async start(options: ScrapeOptions, host: ScrapeHost): Promise<Running> {
    const faults = scrapeFaults(options).map(({ path, message }) => `scrape.${path} ${message}`)
    if (faults.length > 0) throw new Error(faults.join('\n'))
    return new Scraping(options, host, await configured(options))
  },
} satisfies Part<ScrapeOptions, ScrapeHost>

interface Result {
  readonly page: ReadPage | Failed
  readonly held: Holding
  /** When it was there, on the monotonic clock. */
  readonly at: number
}

class Scraping implements Running {
  readonly #options: ScrapeOptions
  readonly #host: ScrapeHost
  readonly #configured: Target | undefined
  readonly #agent: string
  readonly #foreign: Foreign
  readonly #memory: Allotment
  readonly #metrics: Shown
  readonly #stop = new AbortController()
  #protobufUntil = Number.NEGATIVE_INFINITY
  #fetching: Promise<Result | undefined> | undefined
  #last: Result | undefined
  /** The place where metrics were found, and those where there were none, until when. */
  #found: Target | undefined
  readonly #missing = new Map<string, number>()
  readonly #guesses = new Guesses()
  #pid: number | undefined
  #failed: Failed | undefined
  #collisions: string[] = []

  constructor(options: ScrapeOptions, host: ScrapeHost, target: Target | undefined) {
    this.#options = options
    this.#host = host
    this.#configured = target
    this.#agent = scrapeAgent(host.version)
    this.#foreign = host.metrics.foreign()
    this.#memory = host.memory.allot('scrape', MOST_BYTES)
    this.#metrics = new Shown(host)
  }

  async merge({ format, ms }: Asked, signal: AbortSignal): Promise<void> {
    const now = this.#host.clock.monotonic()
    if (format === 'protobuf') this.#protobufUntil = now + WANTED_MS
    const late = Promise.withResolvers<undefined>()
    const abort = (): void => late.resolve(undefined)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    try {
      const result = await Promise.race([this.#result(ms), late.promise])
      const pages = result?.page.ok ? await Promise.race([result.page.in(format), late.promise]) : undefined
      // A scraper whose own deadline was shorter than that of the scrape that it shares.
      if (signal.aborted && !pages && (this.#configured ?? this.#found)) this.#metrics.down()
      this.#foreign.show(pages)
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  findings(): readonly Finding[] {
    const target = this.#configured ?? this.#found
    if (!target) return []
    const found: Finding[] = []
    if (this.#failed)
      found.push({
        level: 'warning',
        text: `cannot read ${target.shown}: ${this.#failed.detail} (${this.#failed.reason}); its series are left out`,
      })
    else if (!this.#configured)
      found.push({
        level: 'info',
        text: `${target.shown} was found, and is merged into the page; set scrape.guess: false to leave it out`,
      })
    if (this.#collisions.length > 0) {
      const names = this.#collisions.slice(0, 3).join(', ')
      const more = this.#collisions.length > 3 ? ` and ${this.#collisions.length - 3} more` : ''
      found.push({
        level: 'info',
        text: `families of ${target.shown} that are left out, since the page has them already: ${names}${more}`,
      })
    }
    return found
  }

  async facts(): Promise<readonly Fact[]> {
    const target = this.#configured ?? this.#found
    if (!target) return []
    const samples = await this.#host.metrics.samples(metricsSamples)
    return [{ name: 'target', value: target.shown }, ...samples.map(({ value }) => ({ name: 'samples', value }))]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    this.#foreign.show()
    await this.#fetching
    this.#forget()
  }

  /** The page for a scraper that waits so long; shared with others that ask meanwhile, or shortly after. */
  #result(ms: number | undefined): Promise<Result | undefined> | Result {
    const last = this.#last
    if (last && this.#host.clock.monotonic() - last.at < SHARED_MS) return last
    this.#fetching ??= this.#fetch(ms).finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  async #fetch(ms = Number.POSITIVE_INFINITY): Promise<Result | undefined> {
    const places = this.#places()
    if (places.length === 0) return undefined
    const { clock } = this.#host
    const begun = clock.monotonic()
    const allowed = Math.min(this.#options.timeout, Math.max(ms - REST_MS, ms / 2))
    const deadline = new AbortController()
    const ended = new AbortController()
    clock.sleep(allowed, ended.signal).then(
      () => deadline.abort(LATE),
      () => {},
    )
    const signal = AbortSignal.any([deadline.signal, this.#stop.signal])
    try {
      const target = this.#configured ?? this.#found
      // The last page is kept for scrapers that share it, and gives way to the next.
      const held = new Holding(this.#memory, () => this.#forget())
      const page = target
        ? await this.#read(target, allowed, held, signal)
        : await this.#look(places, allowed, held, signal)
      if (!page || this.#stop.signal.aborted) {
        held.keep(0)
        return undefined
      }
      const result = { page, held, at: clock.monotonic() }
      this.#publish(page, (result.at - begun) / 1000)
      this.#last?.held.keep(0)
      this.#last = result
      this.#expire(result)
      return result
    } finally {
      ended.abort(ENDED)
    }
  }

  /** Where the metrics are, or may be: none while it is known that they are nowhere. */
  #places(): readonly Target[] {
    const target = this.#configured ?? this.#found
    if (target) return [target]
    if (!this.#options.guess) return []
    const { app, clock } = this.#host
    if (app.pid !== this.#pid) this.#missing.clear()
    this.#pid = app.pid
    return this.#guesses.of(app).filter(({ shown }) => (this.#missing.get(shown) ?? 0) <= clock.monotonic())
  }

  /** Looks for metrics where the application listens; undefined as long as there are none. */
  async #look(
    places: readonly Target[],
    ms: number,
    held: Holding,
    signal: AbortSignal,
  ): Promise<ReadPage | undefined> {
    const { clock, log } = this.#host
    for (const target of places) {
      const page = await this.#read(target, ms, held, signal)
      if (this.#stop.signal.aborted) return undefined
      if (page.ok && page.families.length > 0) {
        this.#found = target
        log.info(`scrape: ${target.shown} is merged into the page`)
        return page
      }
      // One that does not listen yet is asked again. One that says nothing would delay every scrape.
      if (page.ok || !['refused', 'reset', 'unreachable', 'local'].includes(page.reason)) {
        const silent = !page.ok && page.reason === 'timeout'
        this.#missing.set(target.shown, clock.monotonic() + (silent ? SILENT_MS : LOOK_AGAIN_MS))
      }
      if (signal.aborted) return undefined
    }
    return undefined
  }

  async #read(target: Target, ms: number, held: Holding, signal: AbortSignal): Promise<ReadPage | Failed> {
    const { clock } = this.#host
    const options = this.#options
    const protobuf = clock.monotonic() < this.#protobufUntil
    const body = await ask(target, { options, agent: this.#agent, clock, protobuf, ms, held }, signal)
    if (body.ok) {
      this.#metrics.bytes(body.bytes.length)
      const limits = {
        samples: options.max_samples,
        labels: options.max_labels,
        labelBytes: options.max_label_value,
      }
      const page = await read(body, limits, held, signal)
      if (page.ok) return page
      held.keep(0)
      return page
    }
    held.keep(0)
    return signal.aborted && body.reason !== 'timeout' ? failed('timeout', 'no answer within the timeout') : body
  }

  #publish(page: ReadPage | Failed, seconds: number): void {
    const target = this.#configured ?? this.#found
    this.#metrics.took(seconds)
    this.#collisions = []
    if (!page.ok) {
      this.#metrics.failed(page.reason)
      if (!this.#failed || this.#failed.reason !== page.reason)
        this.#host.log.warn(`cannot read the application’s metrics: ${page.detail}`, {
          url: target?.shown,
          reason: page.reason,
        })
      this.#failed = page
      // It may be on another port after a restart.
      if (!this.#configured && this.#host.app.pid !== this.#pid) {
        this.#found = undefined
        this.#failed = undefined
        this.#metrics.forget()
      }
      return
    }
    if (this.#failed) this.#host.log.info('the application’s metrics can be read again', { url: target?.shown })
    this.#failed = undefined
    this.#pid = this.#host.app.pid
    const dropped = { ...page.dropped }
    let samples = 0
    for (const family of page.families) {
      const clash = this.#foreign.clash(family)
      samples += clash ? 0 : family.samples
      if (!clash) continue
      const reason = clash === 'ours' ? 'name_collision' : 'otlp'
      dropped[reason] = (dropped[reason] ?? 0) + family.samples
      if (this.#collisions.length < 100) this.#collisions.push(family.names[0] ?? '')
    }
    this.#metrics.up(samples, dropped, page.untyped)
  }

  /** Gives the memory of the page back when nobody shares it any more. */
  #expire(result: Result): void {
    this.#host.clock.sleep(KEPT_MS, this.#stop.signal).then(
      () => {
        if (this.#last === result) this.#forget()
      },
      () => {},
    )
  }

  #forget(): void {
    this.#foreign.show()
    this.#last?.held.keep(0)
    this.#last = undefined
  }
}

/** The part's own numbers, absent until there is a page to ask for. */
class Shown {
  readonly #up
  readonly #duration
  readonly #samples
  readonly #bytes
  readonly #untyped
  readonly #dropped
  readonly #failures
  #size = 0
  #begun = false

  constructor({ metrics }: Host) {
    this.#up = metrics.reading(metricsUp)
    this.#duration = metrics.reading(metricsDuration)
    this.#samples = metrics.reading(metricsSamples)
    this.#bytes = metrics.reading(metricsBytes)
    this.#untyped = metrics.reading(metricsUntyped)
    this.#dropped = metrics.counter(metricsDropped)
    this.#failures = metrics.counter(metricsFailures)
  }

  bytes(bytes: number): void {
    this.#size = bytes
  }

  took(seconds: number): void {
    if (!this.#begun) {
      for (const reason of DROPS) this.#dropped.inc({ reason }, 0)
      for (const reason of FAILURES) this.#failures.inc({ reason }, 0)
    }
    this.#begun = true
    this.#duration.set({}, seconds)
  }

  up(samples: number, dropped: Readonly<Partial<Record<DropReason, number>>>, untyped: number): void {
    this.#up.set({}, 1)
    this.#samples.set({}, samples)
    this.#bytes.set({}, this.#size)
    this.#untyped.set({}, untyped)
    for (const reason of DROPS) this.#dropped.inc({ reason }, dropped[reason] ?? 0)
  }

  failed(reason: string): void {
    this.down()
    this.#failures.inc({ reason })
  }

  down(): void {
    this.#up.set({}, 0)
    for (const reading of [this.#samples, this.#bytes, this.#untyped]) reading.clear()
  }

  /** There is no page any more that could be asked for. */
  forget(): void {
    this.down()
    this.#up.clear()
    this.#duration.clear()
  }
}

const LATE = new Error('the timeout of the scrape is over')
/** Without a reason of ours each abort makes an exception with a stack. */
const ENDED = new Error('the application has been asked')
