// One scrape: ask every source to bring its numbers up to date, each under a deadline, then write the whole registry.
// Scrapes that arrive together share one collection and one rendering, so a second Prometheus costs next to nothing.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Rendering, rendersItself } from './columns.ts'
import { gauge } from './family.ts'
import { CONTENT_TYPES, type Format, negotiate } from './format.ts'
import { type Snapshot, writeSnapshot } from './ordinary.ts'
import { Page } from './page.ts'
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
  /** The body in order; shared with other scrapes, so not to be written to. */
  readonly chunks: readonly Buffer[]
}

/** The turn of the event loop is given back when a rendering has held it this long. */
const SLICE_MS = 5

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
  readonly #rendering = new Map<Format, Promise<Exposition>>()

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
  async scrape(accept: string | undefined, signal: AbortSignal): Promise<Exposition> {
    const format = negotiate(accept)
    const shared = this.#rendering.get(format)
    if (shared) return shared
    const mine = this.gather(signal)
      .then(() => this.#render(format))
      .finally(() => this.#rendering.delete(format))
    this.#rendering.set(format, mine)
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

  async #render(format: Format): Promise<Exposition> {
    using _ = this.#metrics.beginRendering()
    this.#metrics.account()
    const page = new Page()
    let sliceBegan = performance.now()
    const breathe = async (): Promise<void> => {
      if (performance.now() - sliceBegan < SLICE_MS) return
      await nextTurn()
      sliceBegan = performance.now()
    }
    for (const metric of this.#metrics.registry.getMetricsAsArray()) {
      if (rendersItself(metric)) {
        const table: Rendering = metric
        for (let from = table.write(page, format, 0); from >= 0; from = table.write(page, format, from)) await breathe()
      } else {
        writeSnapshot(page, format, await snapshot(metric))
      }
      await breathe()
    }
    if (format === 'openmetrics') page.text('# EOF\n')
    return { contentType: CONTENT_TYPES[format], chunks: page.take() }
  }
}

/** prom-client types neither `getForPromString` nor the shape of what it yields; both are read in lib/histogram.js. */
async function snapshot(metric: object): Promise<Snapshot> {
  const readable = metric as { get(): Promise<Snapshot>; getForPromString?(): Promise<Snapshot> }
  return readable.getForPromString ? readable.getForPromString() : readable.get()
}
