// The metric model: prom-client's objects in one Registry, made from Family declarations. A developer who
// knows prom-client can add a collector; large families (series tables) are registered here too and render themselves.

import type { Metric } from 'prom-client'
import Counter from 'prom-client/lib/counter.js'
import Gauge from 'prom-client/lib/gauge.js'
import Histogram from 'prom-client/lib/histogram.js'
import Registry from 'prom-client/lib/registry.js'
import { type HoldsExemplars, holdsExemplars } from './exemplars.ts'
import { type CounterFamily, counter, type Family, type GaugeFamily, gauge, type HistogramFamily } from './family.ts'
import { Foreign } from './foreign.ts'
import { Imported, type ImportedSource, type ImportLimits } from './imported.ts'
import { SeriesTable } from './table.ts'

export const series = gauge('pillion_series', 'Label sets in each series table, without the overflow.', ['family'])
export const seriesOverflow = counter(
  'pillion_series_overflow_total',
  'Updates counted in an overflow series because the table of the family was full. Raise its limit or remove a dimension.',
  ['family'],
)

export const seriesExpired = counter(
  'pillion_series_expired_total',
  'Label sets removed because they were not updated for too long. One that returns begins at 0.',
  ['family'],
)

export class Metrics {
  readonly registry = new Registry()
  /** The names of counters whose numbers are read elsewhere, so that they were not 0 when the sidecar started. */
  readonly readings = new Set<string>()
  readonly #tables = new Map<string, SeriesTable>()
  readonly #sources = new Map<string, ImportedSource>()
  readonly #exemplars: HoldsExemplars[] = []
  #imported: Imported | undefined
  readonly #series = this.reading(series)
  readonly #overflow = this.reading(seriesOverflow)
  readonly #expired = this.reading(seriesExpired)

  /** A counter that its owner increments. Initialise known label sets with `inc(labels, 0)`. */
  counter<Label extends string>(family: CounterFamily<Label>): Counter<Label> {
    return new Counter({ ...named(family), registers: [this.registry] })
  }

  gauge<Label extends string>(family: GaugeFamily<Label>): Gauge<Label> {
    return new Gauge({ ...named(family), registers: [this.registry] })
  }

  histogram<Label extends string>(family: HistogramFamily<Label>): Histogram<Label> {
    return new Histogram({ ...named(family), buckets: [...family.buckets], registers: [this.registry] })
  }

  /** A number that is read elsewhere (the kernel, a document) rather than counted here; absent until it is set. */
  reading<Label extends string>(family: CounterFamily<Label> | GaugeFamily<Label>): Reading<Label> {
    if (family.kind === 'counter') this.readings.add(family.name)
    return new Reading(family.kind === 'counter' ? this.counter(family) : this.gauge(family))
  }

  /**
   * A series table that is accounted for under `name` in `pillion_series` and the counters beside it. If it has an
   * expiry, its owner must call `sweep`.
   */
  table(name: string, labels: readonly string[], limit: number, expiry = 0, spare = 0): SeriesTable {
    const table = new SeriesTable(labels, limit, expiry, spare)
    this.#tables.set(name, table)
    return table
  }

  /** A source of families from outside, accounted for under `name` in `pillion_series`. */
  imports(name: string, limits: ImportLimits): ImportedSource {
    const source = this.#imports().source(limits)
    this.#sources.set(name, source)
    return source
  }

  /** The place for the families of a whole page from outside; they are written after all others. */
  foreign(): Foreign {
    const foreign = new Foreign(this.#imports())
    this.add(foreign)
    return foreign
  }

  /** The label sets of a family and their values, as they are now; none if it is not registered. */
  async samples({ name }: Family): Promise<readonly Sample[]> {
    return (await this.registry.getSingleMetric(name)?.get())?.values ?? []
  }

  /** The metric objects that have exemplars. */
  exemplars(): readonly HoldsExemplars[] {
    return this.#exemplars
  }

  /** Brings the numbers about the tables up to date; called for each scrape. */
  account(): void {
    for (const [family, source] of this.#sources) this.#series.set({ family }, source.series)
    for (const [family, table] of this.#tables) {
      this.#series.set({ family }, table.series)
      this.#overflow.set({ family }, table.overflowed)
      this.#expired.set({ family }, table.expired)
    }
  }

  /** Begins a rendering in slices: until the returned object is disposed of, no label set is removed from any table. */
  beginRendering(): Disposable {
    const tables = [...this.#tables.values()]
    for (const table of tables) table.beginRendering()
    return {
      [Symbol.dispose]() {
        for (const table of tables) table.endRendering()
      },
    }
  }

  #imports(): Imported {
    if (!this.#imported) {
      this.#imported = new Imported(this.registry)
      this.add(this.#imported)
    }
    return this.#imported
  }

  /** Adds a metric object of our own: anything with prom-client's `name`, `help`, `type` and `get()`. */
  add(metric: { readonly name: string }): void {
    // prom-client types its registry by its own classes, and asks them only for name, type, help and get().
    this.registry.registerMetric(metric as unknown as Metric<string>)
    if (holdsExemplars(metric)) this.#exemplars.push(metric)
  }
}

export interface Sample {
  readonly labels: Readonly<Partial<Record<string, string | number>>>
  readonly value: number
}

/**
 * The latest value of each label set, replaced rather than accumulated. `clear()` removes every series, so that a
 * number that cannot be read is absent instead of 0.
 */
export class Reading<Label extends string> {
  readonly #metric: Counter<string> | Gauge<string>

  constructor(metric: Counter<Label> | Gauge<Label>) {
    this.#metric = metric as Counter<string> | Gauge<string>
    this.clear()
  }

  clear(): void {
    // reset() would set a metric without labels to 0, and a number that was not read must be absent.
    this.#store.clear()
  }

  /** Sets the value of one label set. Counters are given their running total; NaN and undefined are ignored. */
  set(labels: Readonly<Record<Label, string>>, value: number | undefined): void {
    if (value === undefined || Number.isNaN(value)) return
    this.#store.validate(labels)
    this.#store.set(labels, value)
  }

  /**
   * The values of prom-client's counters and gauges, which it does not type (LabelMap in lib/util.js); `reset()`
   * replaces it.
   */
  get #store(): Store {
    return (this.#metric as unknown as { readonly store: Store }).store
  }
}

interface Store {
  validate(labels: object): boolean
  /** Keeps the labels object with which a label set was first set. */
  set(labels: object, value: number): void
  clear(): void
}

function named<Label extends string>(family: Family<Label>): { name: string; help: string; labelNames: Label[] } {
  return { name: family.name, help: family.help, labelNames: [...family.labels] }
}
