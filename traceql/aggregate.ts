// The first stage of metrics: what is kept for each series and interval while spans are looked at, and the series that come of
// it. `compare` is in compare.ts.

import { Exemplars } from './exemplars.ts'
import type { Facts, Fields } from './field.ts'
import type { Intervals } from './intervals.ts'
import { Combinations, Label, ROOT } from './labels.ts'
import { bucket, quantile } from './quantile.ts'
import type { Cursor } from './reading.ts'
import type { FoundSeries, Labelled } from './results.ts'
import { isNumeric } from './static.ts'
import type { Aggregation, Attribute } from './tree.ts'

/** Numbers kept for all series and intervals together: 8 MiB. */
export const MOST_CELLS = 2 ** 20

/** Takes the spans that a query leaves. */
export interface Observer {
  observe(cursor: Cursor, facts: Facts, interval: number): void
  series(): FoundSeries[]
  /** The series that were left out. */
  readonly partial: string | undefined
}

export class Aggregator implements Observer {
  partial: string | undefined
  readonly #query: Aggregation
  readonly #intervals: Intervals
  readonly #labels: readonly Label[]
  readonly #value: ((cursor: Cursor, facts: Facts) => number) | undefined
  /** Whether the bucket of the value is one more label. */
  readonly #buckets: boolean
  readonly #combinations = new Combinations()
  /** By the number of the combination; a series without labels has the number ROOT, and stands behind the others. */
  readonly #cells = new Map<number, Float64Array>()
  /** How many values are in each sum, for averages. */
  readonly #counts = new Map<number, Float64Array>()
  readonly #exemplars: Exemplars
  #used = 0
  /** Whether the attribute is a time, whose buckets are shown in seconds. */
  #seconds = false

  constructor(query: Aggregation, intervals: Intervals, fields: Fields, exemplars: number) {
    this.#query = query
    this.#intervals = intervals
    this.#labels = query.by.map(each => new Label(each, fields))
    this.#buckets = query.name === 'histogram_over_time' || query.name === 'quantile_over_time'
    this.#value = query.attribute ? this.#reader(query.attribute, fields) : undefined
    this.#exemplars = new Exemplars(intervals.instant ? 0 : exemplars, intervals.count)
    // A rate of no spans at all is 0; the rest has no series before it has a span.
    if (!query.by.length && (query.name === 'rate' || query.name === 'count_over_time')) this.#cellsOf(ROOT)
  }

  observe(cursor: Cursor, facts: Facts, interval: number): void {
    const value = this.#value ? this.#value(cursor, facts) : 1
    if (Number.isNaN(value)) return
    let series = ROOT
    for (const label of this.#labels) series = this.#combinations.follow(series, label.of(cursor, facts))
    const group = series
    if (this.#buckets) {
      const exponent = bucket(value)
      if (exponent === undefined) return
      series = this.#combinations.follow(series, exponent)
    }
    const cells = this.#cellsOf(series)
    if (!cells) return
    switch (this.#query.name) {
      case 'min_over_time':
        if (!(cells[interval]! <= value)) cells[interval] = value
        break
      case 'max_over_time':
        if (!(cells[interval]! >= value)) cells[interval] = value
        break
      case 'avg_over_time':
        this.#counts.get(series)![interval]!++
        cells[interval] = (cells[interval] || 0) + value
        break
      case 'sum_over_time':
        cells[interval] = (cells[interval] || 0) + value
        break
      default:
        cells[interval]!++
    }
    const counted = this.#value === undefined || this.#query.name === 'histogram_over_time'
    const own = this.#query.name === 'quantile_over_time' ? group : series
    this.#exemplars.offer(own, interval, cursor, counted ? Number.NaN : this.#shown(value))
  }

  series(): FoundSeries[] {
    if (this.#query.name === 'quantile_over_time') return this.#quantiles()
    const all: FoundSeries[] = []
    for (const [series, cells] of this.#cells) {
      const values = this.#final(series, cells)
      const labels = this.#labelled(series)
      all.push(this.#found(series, values, labels.length ? labels : [['__name__', text(this.#query.name)]]))
    }
    return all
  }

  #reader(attribute: Attribute, fields: Fields): (cursor: Cursor, facts: Facts) => number {
    if (attribute.name === 'duration' && attribute.kind === 'intrinsic') {
      this.#seconds = true
      // Buckets are counted in nanoseconds.
      return this.#buckets ? cursor => cursor.durationNanos : cursor => cursor.durationNanos / 1e9
    }
    const read = fields.read(attribute)
    const buckets = this.#buckets
    return (cursor, facts) => {
      const value = read(cursor, facts)
      if (value.type === 'duration') {
        this.#seconds = true
        return buckets ? Number(value.value) : Number(value.value) / 1e9
      }
      // Floats have no buckets.
      if (!isNumeric(value.type) || (buckets && value.type === 'float')) return Number.NaN
      return Number((value as { value: number }).value)
    }
  }

  /** A value of buckets as it is shown. */
  #shown(value: number): number {
    return this.#buckets && this.#seconds ? value / 1e9 : value
  }

  #cellsOf(series: number): Float64Array | undefined {
    const found = this.#cells.get(series)
    if (found) return found
    const { count } = this.#intervals
    const average = this.#query.name === 'avg_over_time'
    this.#used += average ? 2 * count : count
    if (this.#used > MOST_CELLS) {
      this.#used -= average ? 2 * count : count
      this.partial = `there are more than ${this.#cells.size} series; narrow the query, or use a longer step`
      return undefined
    }
    const cells = new Float64Array(count)
    if (EMPTY.has(this.#query.name)) cells.fill(Number.NaN)
    this.#cells.set(series, cells)
    if (average) this.#counts.set(series, new Float64Array(count))
    return cells
  }

  #final(series: number, cells: Float64Array): Float64Array {
    if (this.#query.name === 'rate') return cells.map(count => count / this.#intervals.seconds)
    const counts = this.#counts.get(series)
    return counts ? cells.map((sum, i) => sum / counts[i]!) : cells
  }

  #labelled(series: number): Labelled[] {
    const path = this.#combinations.path(series)
    const labels = this.#labels.flatMap(({ key, values }, i): Labelled[] => {
      const value = values[path[i]!]!
      return value.type === 'nil' ? [] : [[key, value]]
    })
    if (this.#buckets && path.length > this.#labels.length)
      labels.push(['__bucket', { type: 'float', value: this.#shown(2 ** path.at(-1)!) }])
    // One label there must be; a bucket or a quantile is one.
    if (!labels.length && this.#labels.length && !this.#buckets) labels.push([this.#labels[0]!.key, { type: 'nil' }])
    return labels
  }

  #found(series: number, values: Float64Array, labels: readonly Labelled[]): FoundSeries {
    const exemplars = this.#exemplars.of(series).flatMap(({ interval, ms, trace, value }) => {
      const shown = Number.isNaN(value) ? values[interval]! : value
      return [
        {
          labels: [['trace:id', text(trace)] as const, ...labels.filter(([key]) => !key.startsWith('__'))],
          value: shown,
          ms,
        },
      ]
    })
    const samples = Array.from(values, (value, i) => ({ ms: this.#intervals.ms(i), value }))
    return { labels, samples: samples.filter(({ value }) => !Number.isNaN(value)), exemplars }
  }

  #quantiles(): FoundSeries[] {
    const groups = new Map<number, { readonly most: number; readonly cells: Float64Array }[]>()
    for (const [series, cells] of this.#cells) {
      const { before, last } = this.#combinations.all[series]!
      const group = groups.get(before) ?? []
      groups.set(before, group)
      group.push({ most: this.#shown(2 ** last), cells })
    }
    return [...groups].flatMap(([group, buckets]) => {
      buckets.sort((a, b) => a.most - b.most)
      const labels = this.#labelled(group)
      const { quantiles } = this.#query
      const lines = quantiles.map(q => {
        const values = new Float64Array(this.#intervals.count)
        for (let i = 0; i < values.length; i++)
          values[i] = quantile(
            q,
            buckets.flatMap(({ most, cells }) => (cells[i] ? [{ most, count: cells[i]! }] : [])),
          )
        return this.#found(group, values, [...labels, ['p', { type: 'float', value: q }]])
      })
      return nearest(lines)
    })
  }
}

/** Each exemplar at the quantile that it is nearest to. */
function nearest(lines: readonly FoundSeries[]): FoundSeries[] {
  const values = lines.map(({ samples }) => new Map(samples.map(({ ms, value }) => [ms, value])))
  const steps = lines[0]?.samples.map(({ ms }) => ms) ?? []
  const distance = (line: number, value: number, ms: number): number =>
    Math.abs(value - (values[line]!.get(steps.find(step => step >= ms) ?? 0) ?? 0))
  return lines.map((line, i) => ({
    ...line,
    exemplars: line.exemplars
      .filter(({ value, ms }) => lines.every((_, j) => distance(i, value, ms) <= distance(j, value, ms)))
      .map(({ labels, ...rest }) => ({ ...rest, labels: labels.filter(([key]) => key !== 'p') })),
  }))
}

/** Where an interval without a span has no sample. */
const EMPTY = new Set(['min_over_time', 'max_over_time', 'avg_over_time', 'sum_over_time'])

function text(value: string): { readonly type: 'string'; readonly value: string } {
  return { type: 'string', value }
}
