// One scrape: ask every source to bring its numbers up to date, each under a deadline, then write the whole registry.
// Scrapes that arrive together share one collection and one rendering, so a second Prometheus costs next to nothing.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Rendering, rendersItself } from './columns.ts'
import { gauge } from './family.ts'
import { CONTENT_TYPES, type Format, negotiate } from './format.ts'
import { type Snapshot, writeSnapshot } from './ordinary.ts'
import { Page } from './page.ts'
import { Pool } from './pool.ts'
import type { Metrics, Reading } from './registry.ts'

export const collectorSuccess = gauge(
  'pillion_collector_success',
  '1 if the collector brought all its numbers up to date for this scrape, 0 if it failed or ran past the deadline.',
  ['collector'],
)
export const collectorDuration = gauge(
  'pillion_collector_duration_seconds',
  'Seconds that the collector took for this scrape.',
  ['collector'],
)

/** Somebody with numbers that are read on a scrape. */
export interface Source {
  readonly name: string
  collect?(signal: AbortSignal): void | Promise<void>
}

export interface Exposition {
  readonly contentType: string
  /**
   * The body in order; shared with other scrapes, so not to be written to. What is not an array is written while it is
   * read: it can be read once, and whoever begins must go on to the end, or return.
   */
  readonly chunks: readonly Buffer[] | AsyncIterable<Buffer>
  /** Takes back a chunk that nobody reads any longer. Who calls it not at all only leaves more to collect. */
  release?(chunk: Buffer): void
}

/** An exposition that has been written to its end. */
export interface Whole extends Exposition {
  readonly chunks: readonly Buffer[]
}

/** The turn of the event loop is given back when a rendering has held it this long. */
const SLICE_MS = 2

export class Scrape {
  readonly #metrics: Metrics
  readonly #sources: readonly Source[]
  readonly #log: (message: string, fields: Record<string, unknown>) => void
  readonly #success: Reading<'collector'>
  readonly #duration: Reading<'collector'>
  /** Sources whose last call has not ended yet: they are not called again, and count as failed meanwhile. */
  readonly #busy = new Set<Source>()
  readonly #failed = new Set<Source>()
  #collecting: Promise<unknown> | undefined
  readonly #beginning = new Map<Format, Promise<Exposition>>()
  readonly #rendering = new Map<Format, Promise<Whole>>()
  readonly #pool = new Pool()

  constructor(
    metrics: Metrics,
    sources: readonly Source[],
    log: (message: string, fields: Record<string, unknown>) => void = () => {},
  ) {
    this.#metrics = metrics
    this.#sources = sources
    this.#log = log
    this.#success = metrics.reading(collectorSuccess)
    this.#duration = metrics.reading(collectorDuration)
  }

  /**
   * The exposition in the format that `accept` asks for. Never rejects because of a source: what a source could not
   * read before `signal` aborted is missing from the page, and `pillion_collector_success` says so. Who joins a scrape
   * under way shares its deadline.
   */
  async scrape(accept: string | undefined, signal: AbortSignal): Promise<Whole> {
    const format = negotiate(accept)
    const shared = this.#rendering.get(format)
    if (shared) return shared
    const mine = this.stream(accept, signal)
      .then(async ({ contentType, chunks }) => ({ contentType, chunks: await Array.fromAsync(chunks) }))
      .finally(() => this.#rendering.delete(format))
    this.#rendering.set(format, mine)
    return mine
  }

  // A page that is sent while it is written stays in the processor's cache, and the process holds a few buffers instead of
  // all of them: a third of the cost of a scrape of 100 000 series (row exposition).
  /** As `scrape`, but written while it is read; shared by those who come before its first byte is written. */
  async stream(accept: string | undefined, signal: AbortSignal): Promise<Exposition> {
    const format = negotiate(accept)
    const shared = this.#beginning.get(format)
    if (shared) return shared
    const mine = this.gather(signal)
      .then(() => this.#begin(format))
      .finally(() => this.#beginning.delete(format))
    this.#beginning.set(format, mine)
    return mine
  }

  /** Asks every source to bring its numbers up to date, together with a scrape that is doing so. */
  gather(signal: AbortSignal): Promise<unknown> {
    this.#collecting ??= Promise.all(this.#sources.map(source => this.#collectOne(source, signal))).finally(() => {
      this.#collecting = undefined
    })
    return this.#collecting
  }

  async #collectOne(source: Source, signal: AbortSignal): Promise<void> {
    const labels = { collector: source.name }
    const begin = performance.now()
    const error = this.#busy.has(source)
      ? new Error('the collection of an earlier scrape has not ended')
      : await this.#attempt(source, signal)
    this.#duration.set(labels, (performance.now() - begin) / 1000)
    this.#success.set(labels, error ? 0 : 1)
    // One line when a source begins to fail, one when it is well again.
    if (error && !this.#failed.has(source)) this.#log('collector failed', { collector: source.name, error })
    if (!error && this.#failed.has(source)) this.#log('collector works again', { collector: source.name })
    if (error) this.#failed.add(source)
    else this.#failed.delete(source)
  }

  async #attempt(source: Source, signal: AbortSignal): Promise<unknown> {
    this.#busy.add(source)
    const work = Promise.try(() => source.collect?.(signal)).finally(() => this.#busy.delete(source))
    const { promise: tooLate, reject } = Promise.withResolvers<never>()
    const late = (): void => reject(signal.reason)
    if (signal.aborted) late()
    else signal.addEventListener('abort', late)
    try {
      await Promise.race([work, tooLate])
      return undefined
    } catch (error) {
      work.catch(() => {})
      return error
    } finally {
      signal.removeEventListener('abort', late)
    }
  }

  /** What prom-client's objects say now; the tables' numbers are read when they are written. */
  async #begin(format: Format): Promise<Exposition> {
    this.#metrics.account()
    const parts = this.#metrics.registry
      .getMetricsAsArray()
      .map((metric): Part | Promise<Part> => (rendersItself(metric) ? metric : snapshot(metric)))
    return {
      contentType: CONTENT_TYPES[format],
      chunks: this.#render(format, await Promise.all(parts)),
      release: chunk => this.#pool.give(chunk),
    }
  }

  async *#render(format: Format, parts: readonly Part[]): AsyncGenerator<Buffer> {
    using _ = this.#metrics.beginRendering()
    const page = new Page(this.#pool)
    let sliceBegan = performance.now()
    const tired = async (): Promise<void> => {
      await nextTurn()
      sliceBegan = performance.now()
    }
    for (const part of parts) {
      if ('write' in part)
        for (let from = part.write(page, format, 0); from >= 0; from = part.write(page, format, from)) {
          for (const chunk of page.full()) yield chunk
          // Includes what the reader did with what it was given.
          if (performance.now() - sliceBegan > SLICE_MS) await tired()
        }
      else writeSnapshot(page, format, part)
      for (const chunk of page.full()) yield chunk
      if (performance.now() - sliceBegan > SLICE_MS) await tired()
    }
    if (format === 'openmetrics') page.text('# EOF\n')
    yield* page.take()
  }
}

type Part = Rendering | Snapshot

/** prom-client types neither `getForPromString` nor the shape of what it yields; both are read in lib/histogram.js. */
async function snapshot(metric: object): Promise<Snapshot> {
  const readable = metric as { get(): Promise<Snapshot>; getForPromString?(): Promise<Snapshot> }
  return readable.getForPromString ? readable.getForPromString() : readable.get()
}
