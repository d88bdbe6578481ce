// The metric model: prom-client's objects in one Registry, made from Family declarations. Whoever knows prom-client can
// add a collector; big families (series tables) register themselves here too and bring their own rendering.

import type { Metric } from 'prom-client'
import Counter from 'prom-client/lib/counter.js'
import Gauge from 'prom-client/lib/gauge.js'
import Histogram from 'prom-client/lib/histogram.js'
import Registry from 'prom-client/lib/registry.js'
import { type CounterFamily, counter, type Family, type GaugeFamily, gauge, type HistogramFamily } from './family.ts'
import { Imported, type ImportedSource, type ImportLimits } from './imported.ts'
import { SeriesTable } from './table.ts'

export const series = gauge('pillion_series', 'Label sets held by each series table, the overflow not counted.', [
  'family',
])
export const seriesOverflow = counter(
  'pillion_series_overflow_total',
  'Updates that went to the overflow series because the table of the family was full; raise its limit or drop a dimension.',
  ['family'],
)

export const seriesExpired = counter(
  'pillion_series_expired_total',
  'Label sets removed from the table of the family because nothing came for them any more; one that comes again begins at 0.',
  ['family'],
)

export class Metrics {
  readonly registry = new Registry()
  readonly #tables = new Map<string, SeriesTable>()
  readonly #sources = new Map<string, ImportedSource>()
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

  /** A number that is read from elsewhere (the kernel, a document) rather than counted here; absent until it is set. */
  reading<Label extends string>(family: CounterFamily<Label> | GaugeFamily<Label>): Reading<Label> {
    return new Reading(family.kind === 'counter' ? this.counter(family) : this.gauge(family))
  }

  /**
   * A series table that is accounted for under `name` in `pillion_series` and the counters beside it. With an expiry, who
   * owns it must `sweep` it.
   */
  table(name: string, labels: readonly string[], limit: number, expiry = 0): SeriesTable {
    const table = new SeriesTable(labels, limit, expiry)
    this.#tables.set(name, table)
    return table
  }

  /** A source of families that come from outside, accounted for under `name` in `pillion_series`. */
  imports(name: string, limits: ImportLimits): ImportedSource {
    if (!this.#imported) {
      this.#imported = new Imported(this.registry)
      this.add(this.#imported)
    }
    const source = this.#imported.source(limits)
    this.#sources.set(name, source)
    return source
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

  /** Begins a rendering in slices: until the answer is disposed of, no label set is removed from any table. */
  beginRendering(): Disposable {
    const tables = [...this.#tables.values()]
    for (const table of tables) table.beginRendering()
    return {
      [Symbol.dispose]() {
        for (const table of tables) table.endRendering()
      },
    }
  }

  /** Adds a metric object of our own: anything with prom-client's `name`, `help`, `type` and `get()`. */
  add(metric: { readonly name: string }): void {
    // prom-client types its registry by its own classes, and asks them only for name, type, help and get().
    this.registry.registerMetric(metric as unknown as Metric<string>)
  }
}

/**
 * The latest value of each label set, replaced rather than accumulated. `clear()` makes every series vanish, which is how
 * a number that cannot be read is left out instead of being exported as 0.
 */
export class Reading<Label extends string> {
  readonly #metric: Counter<string> | Gauge<string>

  constructor(metric: Counter<Label> | Gauge<Label>) {
    this.#metric = metric as Counter<string> | Gauge<string>
    this.clear()
  }

  clear(): void {
    this.#metric.reset()
    // prom-client exposes 0 for a metric without labels from birth; an unread number must be absent instead.
    this.#metric.remove({})
  }

  /** Sets the value of one label set. Counters are given their running total; NaN and undefined are ignored. */
  set(labels: Readonly<Record<Label, string>>, value: number | undefined): void {
    if (value === undefined || Number.isNaN(value)) return
    if (this.#metric instanceof Gauge) {
      this.#metric.set(labels, value)
    } else {
      this.#metric.remove(labels)
      this.#metric.inc(labels, value)
    }
  }
}

function named<Label extends string>(family: Family<Label>): { name: string; help: string; labelNames: Label[] } {
  return { name: family.name, help: family.help, labelNames: [...family.labels] }
}
