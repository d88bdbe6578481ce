// One scrape: ask every source to bring its numbers up to date, each under a deadline, then write the whole registry.
// Scrapes that arrive together share one collection and one rendering, so a second Prometheus costs next to nothing.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { rendersItself } from '../../metrics/columns.ts'
import { gauge } from '../../metrics/family.ts'
import type { TextFormat } from '../../metrics/format.ts'
import { Page } from '../../metrics/page.ts'
import { Pool } from '../../metrics/pool.ts'
import type { Metrics, Reading } from '../../metrics/registry.ts'
import type { Asked, Exposition } from '../../telemetry/exposition.ts'
import { type OwnSpan, type Tracer, UNRECORDED } from '../../telemetry/tracer.ts'
import { Lines, ordinary, Values } from './lines.ts'
import { type Negotiated, negotiate } from './negotiate.ts'
import { type Block, type Snapshot, SnapshotBlock } from './ordinary.ts'

export const collectorSuccess = gauge(
  'pillion_collector_success',
  '1 if the collector updated all its numbers for this scrape, 0 if it failed or ran past the deadline.',
  ['collector'],
)
export const collectorDuration = gauge(
  'pillion_collector_duration_seconds',
  'Seconds that the collector took for this scrape.',
  ['collector'],
)

/** A part whose numbers are read on a scrape. */
export interface Source {
  readonly name: string
  collect?(signal: AbortSignal): void | Promise<void>
  readonly merge?: ((asked: Asked, signal: AbortSignal) => Promise<void>) | undefined
}

/** A complete exposition. */
export interface Whole extends Exposition {
  readonly chunks: readonly Buffer[]
}

/** A rendering yields to the event loop when it has run this long. */
const SLICE_MS = 2

export class Scrape {
  readonly #metrics: Metrics
  readonly #sources: readonly Source[]
  readonly #log: (message: string, fields: Record<string, unknown>) => void
  readonly #tracer: Tracer
  readonly #success: Reading<'collector'>
  readonly #duration: Reading<'collector'>
  /** Sources whose last call has not ended yet: they are not called again, and count as failed until it ends. */
  readonly #busy = new Set<Source>()
  readonly #failed = new Set<Source>()
  #collecting: Promise<unknown> | undefined
  /** By their content types. */
  readonly #beginning = new Map<string, Promise<Exposition>>()
  readonly #rendering = new Map<string, Promise<Whole>>()
  readonly #pool = new Pool()
  readonly #lines: Readonly<Record<TextFormat, Lines>> = {
    text: new Lines('text'),
    openmetrics: new Lines('openmetrics'),
  }

  constructor(
    metrics: Metrics,
    sources: readonly Source[],
    log: (message: string, fields: Record<string, unknown>) => void = () => {},
    tracer: Tracer = UNRECORDED,
  ) {
    this.#metrics = metrics
    this.#sources = sources
    this.#log = log
    this.#tracer = tracer
    this.#success = metrics.reading(collectorSuccess)
    this.#duration = metrics.reading(collectorDuration)
  }

  /**
   * The exposition in the format that `accept` asks for. It never rejects because of a source: numbers that a source
   * could not read before `signal` aborted are missing from the page, and `pillion_collector_success` says so. A caller
   * that joins a scrape in progress shares its deadline.
   */
  async scrape(accept: string | undefined, signal: AbortSignal, ms?: number): Promise<Whole> {
    const { contentType: type } = negotiate(accept)
    const shared = this.#rendering.get(type)
    if (shared) return shared
    // Not a stream that others may be reading: an iterable can be read once.
    const mine = this.alone(accept, signal, ms)
      .then(async ({ contentType, chunks }) => ({ contentType, chunks: await Array.fromAsync(chunks) }))
      .finally(() => this.#rendering.delete(type))
    this.#rendering.set(type, mine)
    return mine
  }

  // A page that is sent while it is written stays in the processor's cache, and the process holds a few buffers instead
  // of all of them. This takes a third off the cost of a scrape of 100 000 series (row exposition).
  /**
   * Like `scrape`, but written while it is read. Callers that come before its first byte is written share it. `ms` is how
   * long from now on until `signal` aborts, if that is known.
   */
  async stream(accept: string | undefined, signal: AbortSignal, ms?: number): Promise<Exposition> {
    const wanted = negotiate(accept)
    const { contentType } = wanted
    const shared = this.#beginning.get(contentType)
    if (shared) return shared
    const mine = this.#stream(wanted, signal, ms).finally(() => this.#beginning.delete(contentType))
    this.#beginning.set(contentType, mine)
    return mine
  }

  /** Like `stream`, but written for this caller alone: an iterable can be read once, and whoever shares one must know of the others. */
  alone(accept: string | undefined, signal: AbortSignal, ms?: number): Promise<Exposition> {
    return this.#stream(negotiate(accept), signal, ms)
  }

  async #stream(wanted: Negotiated, signal: AbortSignal, ms?: number): Promise<Exposition> {
    const { format } = wanted
    const span = this.#tracer.begin('scrape', 'server', { 'pillion.scrape.format': format })
    try {
      await Promise.all([this.gather(signal), this.#merge({ format, ms }, signal)])
      return await this.#begin(wanted, span)
    } catch (error) {
      span.end({ problem: String(error) })
      throw error
    }
  }

  async #merge(asked: Asked, signal: AbortSignal): Promise<void> {
    const merging = this.#sources.filter(({ merge }) => merge !== undefined)
    await Promise.all(
      merging.map(async source => {
        try {
          await source.merge?.(asked, signal)
        } catch (error) {
          this.#log('cannot merge', { collector: source.name, error })
        }
      }),
    )
  }

  /** Whether the source of this name could not bring its numbers up to date the last time it was asked. */
  failed(name: string): boolean {
    return this.#failed.values().some(source => source.name === name)
  }

  /** Asks every source to bring its numbers up to date; joins a scrape that is doing so. */
  gather(signal: AbortSignal): Promise<unknown> {
    if (this.#collecting) return this.#collecting
    // Most collect at once, and those cost no promises and no listeners: a sixth of a scrape of our own families (row own).
    const waiting: Promise<void>[] = []
    for (const source of this.#sources) {
      const wait = this.#collectOne(source, signal)
      if (wait) waiting.push(wait)
    }
    this.#collecting = Promise.all(waiting).finally(() => {
      this.#collecting = undefined
    })
    return this.#collecting
  }

  /** For the span: which collectors failed. */
  #outcome(): { problem: string } | undefined {
    const failed = [...this.#failed].map(({ name }) => name)
    return failed.length > 0 ? { problem: `collectors failed: ${failed.join(', ')}` } : undefined
  }

  #collectOne(source: Source, signal: AbortSignal): Promise<void> | undefined {
    const begin = performance.now()
    const outcome = this.#busy.has(source)
      ? { error: new Error('the collection of an earlier scrape has not ended') }
      : this.#attempt(source, signal)
    if (outcome instanceof Promise) return outcome.then(({ error }) => this.#note(source, begin, error))
    this.#note(source, begin, outcome.error)
    return undefined
  }

  #note(source: Source, begin: number, error: unknown): void {
    const labels = { collector: source.name }
    this.#duration.set(labels, (performance.now() - begin) / 1000)
    this.#success.set(labels, error ? 0 : 1)
    // One line when a source begins to fail, and one when it works again.
    if (error && !this.#failed.has(source)) this.#log('collector failed', { collector: source.name, error })
    if (!error && this.#failed.has(source)) this.#log('collector works again', { collector: source.name })
    if (error) this.#failed.add(source)
    else this.#failed.delete(source)
  }

  #attempt(source: Source, signal: AbortSignal): Outcome | Promise<Outcome> {
    try {
      const work = source.collect?.(signal)
      return work ? this.#wait(source, work, signal) : DONE
    } catch (error) {
      return { error }
    }
  }

  async #wait(source: Source, collecting: Promise<void>, signal: AbortSignal): Promise<Outcome> {
    this.#busy.add(source)
    const work = collecting.finally(() => this.#busy.delete(source))
    const { promise: tooLate, reject } = Promise.withResolvers<never>()
    const late = (): void => reject(signal.reason)
    if (signal.aborted) late()
    else signal.addEventListener('abort', late)
    try {
      await Promise.race([work, tooLate])
      return DONE
    } catch (error) {
      work.catch(() => {})
      return { error }
    } finally {
      signal.removeEventListener('abort', late)
    }
  }

  /** Takes the values of prom-client's objects now; those of tables are read when they are written. */
  async #begin({ format, utf8, contentType }: Negotiated, span: OwnSpan): Promise<Exposition> {
    this.#metrics.account()
    const metrics = this.#metrics.registry.getMetricsAsArray()
    const parts = await (format === 'protobuf' ? snapshots(metrics) : this.#take(metrics, format))
    return {
      contentType,
      chunks: this.#render({ format, utf8 }, parts, span),
      release: chunk => this.#pool.give(chunk),
    }
  }

  async #take(metrics: readonly object[], format: TextFormat): Promise<readonly Block[]> {
    // All that is brought up to date now comes before all that is read, which is then of one moment.
    const others = new Map<object, Block>()
    const updates: Promise<unknown>[] = []
    for (const metric of metrics) {
      if (ordinary(metric)) {
        const update = metric.collect?.()
        if (update instanceof Promise) updates.push(update)
      } else if (rendersItself(metric)) others.set(metric, metric)
      else updates.push(snapshot(metric).then(taken => others.set(metric, taken)))
    }
    if (updates.length > 0) await Promise.all(updates)
    const values = new Values()
    const lines = this.#lines[format]
    const blocks: Block[] = []
    for (const metric of metrics) {
      const block = ordinary(metric) ? lines.take(metric, values) : others.get(metric)
      if (block) blocks.push(block)
    }
    return blocks
  }

  async *#render(
    { format, utf8 }: Pick<Negotiated, 'format' | 'utf8'>,
    parts: readonly Block[],
    span: OwnSpan,
  ): AsyncGenerator<Buffer> {
    using _ = this.#metrics.beginRendering()
    using __ = { [Symbol.dispose]: () => span.end(this.#outcome()) }
    const page = new Page(this.#pool, utf8)
    let sliceBegan = performance.now()
    const tired = async (): Promise<void> => {
      await nextTurn()
      sliceBegan = performance.now()
    }
    for (const part of parts) {
      for (let from = part.write(page, format, 0); from >= 0; from = part.write(page, format, from)) {
        for (const chunk of page.full()) yield chunk
        // The time includes what the reader did with the chunks.
        if (performance.now() - sliceBegan > SLICE_MS) await tired()
      }
      for (const chunk of page.full()) yield chunk
      if (performance.now() - sliceBegan > SLICE_MS) await tired()
    }
    if (format === 'openmetrics') page.text('# EOF\n')
    yield* page.take()
  }
}

/** How a collection ended: `error` is undefined if it succeeded. */
interface Outcome {
  readonly error: unknown
}

const DONE: Outcome = { error: undefined }

function snapshots(metrics: readonly object[]): Promise<readonly Block[]> {
  return Promise.all(
    metrics.map((metric): Block | Promise<Block> => (rendersItself(metric) ? metric : snapshot(metric))),
  )
}

/** prom-client types neither `getForPromString` nor its result; see lib/histogram.js. */
async function snapshot(metric: object): Promise<Block> {
  const readable = metric as { get(): Promise<Snapshot>; getForPromString?(): Promise<Snapshot> }
  return new SnapshotBlock(await (readable.getForPromString ? readable.getForPromString() : readable.get()))
}
