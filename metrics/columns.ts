// The columns of a series table: metric objects that keep one number, or one histogram, for each of its label sets, and
// write themselves in slices so that a scrape of any size never holds the event loop.

import { type ExemplarSpan, Exemplars, type HoldsExemplars, type Keep } from './exemplars.ts'
import type { CounterFamily, HistogramFamily } from './family.ts'
import { bound, type Format, type TextFormat, writeHead } from './format.ts'
import type { MessageWriter } from './message-writer.ts'
import { NativeColumn } from './native-column.ts'
import type { Page, Sink } from './page.ts'
import { type Piece, piece } from './piece.ts'
import { type HistogramParts, openFamily, writeHistogram, writeNumber } from './protobuf.ts'
import { type Column, copied, type SeriesTable } from './table.ts'

/** A metric object that renders itself, in slices. */
export interface Rendering {
  readonly name: string
  /**
   * Writes series from position `from` on (0 = the family's head and first series) for about a thousand lines; returns
   * where to go on, or -1 at the end.
   */
  write(page: Page, format: Format, from: number): number
}

/** Whether a metric object of the Registry renders itself. */
export function rendersItself(metric: object): metric is Rendering {
  return 'write' in metric && typeof metric.write === 'function'
}

/** Lines per slice: about 0.2 ms of writing, so that a scrape of any size never holds the loop. */
const SLICE_LINES = 1000

const CLOSE = piece('} ')
const NEWLINE = piece('\n')
/** Most bytes of a line besides its name and labels: a bound, a value and an exemplar, with a margin. */
const LINE_REST = 256

/** One counter for each label set of a table, with the newest exemplar. */
export class CounterColumn implements Column, Rendering, HoldsExemplars {
  readonly name: string
  readonly help: string
  readonly type = 'counter'
  readonly ofSpans = true
  readonly #table: SeriesTable
  readonly #shows: ((slot: number) => boolean) | undefined
  readonly #exemplars: Exemplars | undefined
  readonly #head: Piece
  #values: Float64Array
  // Made once, and told the slot by #at: a function for each metric was a quarter of a protobuf page's garbage (row
  // exposition).
  #at = 0
  readonly #labelsAt = (sink: Sink): void => this.#table.writeLabels(sink, this.#at)
  readonly #exemplarAt = (message: MessageWriter, field: number): void =>
    this.#exemplars?.writeMessage(message, field, this.#at)

  /** `shows` says which label sets are exposed; by default all that the table holds are. */
  constructor(
    table: SeriesTable,
    family: CounterFamily,
    more: { exemplars?: boolean; shows?: (slot: number) => boolean } = {},
  ) {
    this.name = family.name
    this.help = family.help
    this.#table = table
    this.#head = piece(`${family.name}{`)
    this.#shows = more.shows
    this.#exemplars = more.exemplars ? new Exemplars(table.capacity) : undefined
    this.#values = new Float64Array(table.capacity)
    table.join(this)
  }

  add(slot: number, amount: number): void {
    this.#values[slot] = this.#values[slot]! + amount
  }

  value(slot: number): number {
    return this.#values[slot]!
  }

  /**
   * Remembers the span that made the newest increment. `ids` holds 16 bytes of trace id at `trace`, 8 of span id at
   * `span`.
   */
  exemplar(slot: number, value: number, seconds: number, ids: Uint8Array, trace: number, span: number): void {
    this.#exemplars?.set(slot, value, seconds, ids, trace, span)
  }

  /** The same with a span, for an increment by 1. */
  spanExemplar(slot: number, span: ExemplarSpan): void {
    this.#exemplars?.setSpan(slot, span, false)
  }

  exemplarsChanged(): boolean {
    return this.#exemplars?.changed() ?? false
  }

  visitExemplars(keep: Keep, from: number, places: number): number {
    return this.#exemplars?.visit(keep, from, places) ?? -1
  }

  grow(capacity: number): void {
    this.#values = copied(this.#values, new Float64Array(capacity))
    this.#exemplars?.grow(capacity)
  }

  clear(slot: number): void {
    this.#values[slot] = 0
    this.#exemplars?.clear(slot, slot + 1)
  }

  write(page: Page, format: Format, from: number): number {
    if (format === 'protobuf') return this.#writeMessages(page, from)
    const table = this.#table
    if (from === 0) writeHead(page, format, 'counter', this.name, this.help)
    const end = Math.min(table.slots, from + SLICE_LINES)
    for (let slot = from; slot < end; slot++) {
      if (!table.shows(slot) || this.#shows?.(slot) === false) continue
      page.piece(this.#head)
      table.printLabels(page, slot)
      page.piece(CLOSE)
      page.numberAt(this.#values, slot)
      if (format === 'openmetrics') this.#exemplars?.write(page, slot)
      page.piece(NEWLINE)
    }
    return end === table.slots ? -1 : end
  }

  #writeMessages(page: Page, from: number): number {
    const table = this.#table
    if (from === 0) openFamily(page, 'counter', this.name, this.help)
    const end = Math.min(table.slots, from + SLICE_LINES)
    for (let slot = from; slot < end; slot++) {
      if (!table.shows(slot) || this.#shows?.(slot) === false) continue
      this.#at = slot
      writeNumber(page, 'counter', this.#labelsAt, this.#values[slot]!, this.#exemplarAt)
    }
    if (end < table.slots) return end
    page.close()
    return -1
  }

  /** The same numbers in the form that prom-client's Registry expects. */
  async get(): Promise<object> {
    const values = shownSlots(this.#table, slot => this.#shows?.(slot) !== false).map(slot => ({
      labels: this.#table.labelsOf(slot),
      value: this.#values[slot],
    }))
    return { name: this.name, help: this.help, type: this.type, aggregator: 'sum', values }
  }
}

/** One histogram with classic buckets for each label set of a table that was observed, with an exemplar per bucket. */
export class HistogramColumn implements Column, Rendering, HoldsExemplars {
  readonly name: string
  readonly help: string
  readonly type = 'histogram'
  readonly ofSpans = true
  readonly #table: SeriesTable
  readonly #bounds: Float64Array
  readonly #width: number
  readonly #exemplars: Exemplars
  /** For each bucket the bytes after its labels: its bound and the end of the label set. */
  readonly #le: Readonly<Record<TextFormat, readonly Piece[]>>
  readonly #heads: { readonly bucket: Piece; readonly sum: Piece; readonly count: Piece }
  #counts: Float64Array
  #sums: Float64Array
  readonly #native: NativeColumn | undefined
  // Made once and told the slot, as for the counters.
  #at = 0
  readonly #labelsAt = (sink: Sink): void => this.#table.writeLabels(sink, this.#at)
  readonly #partsAt: HistogramParts

  /** `native`, a schema, adds exponential buckets, which only the protobuf format shows. */
  constructor(table: SeriesTable, family: HistogramFamily, more: { native?: number | undefined } = {}) {
    this.name = family.name
    this.help = family.help
    this.#table = table
    this.#bounds = Float64Array.from(family.buckets)
    this.#width = family.buckets.length + 1
    const spell = (format: TextFormat): Piece[] =>
      [...family.buckets, Number.POSITIVE_INFINITY].map(le => piece(`,le="${bound(format, le)}"} `))
    const head = (suffix: string): Piece => piece(`${family.name}${suffix}{`)
    this.#heads = { bucket: head('_bucket'), sum: head('_sum'), count: head('_count') }
    this.#le = { text: spell('text'), openmetrics: spell('openmetrics') }
    this.#exemplars = new Exemplars(table.capacity * this.#width)
    this.#counts = new Float64Array(table.capacity * this.#width)
    this.#sums = new Float64Array(table.capacity)
    this.#native = more.native === undefined ? undefined : new NativeColumn(table.capacity, more.native)
    this.#partsAt = {
      bounds: this.#bounds,
      sum: () => this.#sums[this.#at]!,
      count: bucket => this.#counts[this.#at * this.#width + bucket]!,
      exemplar: (message, field, bucket) =>
        this.#exemplars.writeMessage(message, field, this.#at * this.#width + bucket),
      native: () => this.#native?.of(this.#at),
    }
    table.join(this)
  }

  /** The bucket of a value, for `observe`; columns with the same bounds can share it. */
  bucket(value: number): number {
    let bucket = 0
    while (bucket < this.#bounds.length && value > this.#bounds[bucket]!) bucket++
    return bucket
  }

  /** Counts `times` observations of one value and returns their cell, for `exemplar`. */
  observe(slot: number, value: number, times = 1, bucket = this.bucket(value)): number {
    const cell = slot * this.#width + bucket
    this.#counts[cell] = this.#counts[cell]! + times
    this.#sums[slot] = this.#sums[slot]! + value * times
    this.#native?.observe(slot, value, times)
    return cell
  }

  exemplar(cell: number, value: number, seconds: number, ids: Uint8Array, trace: number, span: number): void {
    this.#exemplars.set(cell, value, seconds, ids, trace, span)
  }

  /** The same with a span whose seconds were observed. */
  spanExemplar(cell: number, span: ExemplarSpan): void {
    this.#exemplars.setSpan(cell, span, true)
  }

  exemplarsChanged(): boolean {
    return this.#exemplars.changed()
  }

  visitExemplars(keep: Keep, from: number, places: number): number {
    return this.#exemplars.visit(keep, from, places)
  }

  /** The label sets that it keeps a histogram of. */
  get table(): Pick<SeriesTable, 'slots' | 'expired' | 'shows' | 'labelsOf'> {
    return this.#table
  }

  /** Upper bounds of the buckets in seconds; one more bucket holds what is above the last. */
  get bounds(): Readonly<Float64Array> {
    return this.#bounds
  }

  /** Observations in one bucket of a label set: not added up, as they are kept. */
  inBucket(slot: number, bucket: number): number {
    return this.#counts[slot * this.#width + bucket]!
  }

  /** Observations of a label set. */
  count(slot: number): number {
    let count = 0
    for (let cell = slot * this.#width; cell < (slot + 1) * this.#width; cell++) count += this.#counts[cell]!
    return count
  }

  grow(capacity: number): void {
    this.#counts = copied(this.#counts, new Float64Array(capacity * this.#width))
    this.#sums = copied(this.#sums, new Float64Array(capacity))
    this.#exemplars.grow(capacity * this.#width)
    this.#native?.grow(capacity)
  }

  clear(slot: number): void {
    const first = slot * this.#width
    this.#counts.fill(0, first, first + this.#width)
    this.#sums[slot] = 0
    this.#exemplars.clear(first, first + this.#width)
    this.#native?.clear(slot)
  }

  write(page: Page, format: Format, from: number): number {
    if (from === 0) {
      if (format === 'protobuf') openFamily(page, 'histogram', this.name, this.help)
      else writeHead(page, format, 'histogram', this.name, this.help)
    }
    const { slots } = this.#table
    const end = Math.min(slots, from + Math.ceil(SLICE_LINES / (this.#width + 2)))
    for (let slot = from; slot < end; slot++) {
      if (this.count(slot) === 0) continue
      if (format === 'protobuf') this.#writeMessage(page, slot)
      else this.#writeSeries(page, format, slot)
    }
    if (end < slots) return end
    if (format === 'protobuf') page.close()
    return -1
  }

  #writeMessage(page: Page, slot: number): void {
    this.#at = slot
    writeHistogram(page, this.#labelsAt, this.#partsAt)
  }

  // The first line of a series is built; its other buckets copy the part they share with it. This takes a third of the
  // time of writing name and labels again (npm run bench exposition).
  #writeSeries(page: Page, format: TextFormat, slot: number): void {
    const le = this.#le[format]
    const { bucket: head, sum, count } = this.#heads
    const line = head.length + this.#table.labelBytes(slot) + LINE_REST
    const start = page.room(line * (this.#width + 2))
    page.piece(head)
    this.#table.printLabels(page, slot)
    const end = page.here
    const labels = start + head.length
    const exemplars = format === 'openmetrics' ? this.#exemplars : undefined
    const total = page.cumulative(start, end, le, this.#counts, slot * this.#width, exemplars)
    page.piece(sum)
    page.again(labels, end)
    page.piece(CLOSE)
    page.numberAt(this.#sums, slot)
    page.piece(NEWLINE)
    page.piece(count)
    page.again(labels, end)
    page.piece(CLOSE)
    page.number(total)
    page.piece(NEWLINE)
  }

  /** The same numbers in the form that prom-client's Registry expects. */
  async get(): Promise<object> {
    const values = shownSlots(this.#table, slot => this.count(slot) > 0).flatMap(slot => this.#valuesOf(slot))
    return { name: this.name, help: this.help, type: this.type, aggregator: 'sum', values }
  }

  #valuesOf(slot: number): object[] {
    const labels = this.#table.labelsOf(slot)
    let cumulative = 0
    const buckets = Array.from({ length: this.#width }, (_, bucket) => {
      cumulative += this.#counts[slot * this.#width + bucket]!
      const le = bucket < this.#bounds.length ? this.#bounds[bucket] : '+Inf'
      return { metricName: `${this.name}_bucket`, labels: { le, ...labels }, value: cumulative }
    })
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: this.#sums[slot] },
      { metricName: `${this.name}_count`, labels, value: cumulative },
    ]
  }
}

function shownSlots(table: SeriesTable, shows: (slot: number) => boolean): number[] {
  const slots: number[] = []
  for (let slot = 0; slot < table.slots; slot++) {
    if (table.shows(slot) && shows(slot)) slots.push(slot)
  }
  return slots
}
