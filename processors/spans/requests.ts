// The request metrics. For each span: find its label set by the bytes of its values, then add to the columns. Nothing is
// allocated for a span whose label set is known.
//
// When the table is full, a new label set is counted under span_name="overflow" with its service, kind and status, so that
// what is asked by service (requests, errors, objectives) stays exact; only services beyond the spare room go to the bare
// overflow series.

import { CounterColumn, HistogramColumn } from '../../metrics/columns.ts'
import type { CounterFamily, HistogramFamily } from '../../metrics/family.ts'
import { Known } from '../../metrics/known.ts'
import type { Metrics } from '../../metrics/registry.ts'
import type { SeriesTable } from '../../metrics/table.ts'
import { SERVICE_NAME, serviceOf } from '../../otlp/service.ts'
import { valueText } from '../../otlp/value.ts'
import { ABSENT, STRING } from '../../telemetry/attribute.ts'
import type { AttributeView, SpanView } from '../../telemetry/consumer.ts'
import type { Keys } from '../../telemetry/keys.ts'
import { KIND_NAMES, STATUS, STATUS_NAMES, UNTIMED } from '../../telemetry/span.ts'
import { labelName } from './label.ts'
import { Numbers } from './numbers.ts'
import { Carry } from './weight.ts'

/** The name under which operations without room are counted. */
const OVERFLOW_NAME = 'overflow'
/** The symbol of a value for which there is no room. */
const UNHELD = -1
/** No slot, or no bucket. */
const NONE = -1

interface Families {
  readonly calls: CounterFamily
  readonly latency: HistogramFamily
  readonly size: CounterFamily | undefined
  readonly events: CounterFamily
  readonly links: CounterFamily
}

interface RequestOptions {
  readonly dimensions: readonly string[]
  readonly limit: number
  readonly native_histograms: { readonly enabled: boolean; readonly schema: number }
  /** Milliseconds that a label set is kept after its last span; 0 is for ever. */
  readonly expiry: number
}

export class RequestMetrics {
  readonly #table: SeriesTable
  readonly #known = new Known()
  /** Label sets that had expired when the known ones were cleared. */
  #expired = 0
  readonly #calls: CounterColumn
  readonly #latency: HistogramColumn
  readonly #size: CounterColumn | undefined
  readonly #events: CounterColumn
  readonly #links: CounterColumn
  readonly #carry: Carry
  readonly #numbers: Numbers
  readonly #dimensions: number
  /** Where the dimensions stand among the attributes of a span, and of its resource. */
  readonly #spanAt: readonly number[]
  readonly #resourceAt: readonly number[]
  readonly #serviceAt: number
  readonly #untimedAt: number
  readonly #kinds: readonly number[]
  readonly #statuses: readonly number[]
  readonly #absent: number
  readonly #overflowName: number
  /** The label set of the current span, as symbols: service, name, kind, status, then the dimensions. */
  readonly #set: Uint32Array
  /** Whether the current span has a value that is new while the table is full, and so must not be interned. */
  #unheld = false
  /** The symbol of the current service, or UNHELD. */
  #service = 0
  #resource = -1

  constructor(options: RequestOptions, metrics: Metrics, families: Families, keys: Keys) {
    const labels = [...families.calls.labels]
    for (const key of options.dimensions) labels.push(labelName(key, labels))
    this.#spanAt = options.dimensions.map(key => keys.span(key))
    this.#resourceAt = options.dimensions.map(key => keys.resource(key))
    this.#serviceAt = keys.resource(SERVICE_NAME)
    this.#untimedAt = keys.span(UNTIMED)
    this.#dimensions = options.dimensions.length
    const name = families.calls.name.replace(/_calls_total$/, '')
    this.#table = metrics.table(name, labels, options.limit, options.expiry, spareOf(options.limit))
    this.#calls = new CounterColumn(this.#table, families.calls, { exemplars: true })
    this.#latency = new HistogramColumn(this.#table, families.latency, {
      native: options.native_histograms.enabled ? options.native_histograms.schema : undefined,
    })
    metrics.add(this.#calls)
    metrics.add(this.#latency)
    if (families.size) {
      this.#size = new CounterColumn(this.#table, families.size, { shows: slot => this.#calls.value(slot) > 0 })
      metrics.add(this.#size)
    }
    // In the same table, events and links need no look-up of their own, and have the labels of the calls.
    this.#events = seldom(metrics, this.#table, families.events)
    this.#links = seldom(metrics, this.#table, families.links)
    this.#carry = new Carry(this.#table)
    this.#numbers = new Numbers(this.#table)

    const symbols = this.#table.symbols
    this.#kinds = KIND_NAMES.map(kind => symbols.text(kind))
    this.#statuses = STATUS_NAMES.map(status => symbols.text(status))
    this.#absent = symbols.text('')
    this.#overflowName = symbols.text(OVERFLOW_NAME)
    this.#set = new Uint32Array(labels.length)
  }

  /** `now` is in milliseconds, from a clock that never goes back. */
  begin(now: number): void {
    this.expire(now)
    // Serial numbers are unique only within one request.
    this.#resource = -1
  }

  /** Removes what has expired. */
  expire(now: number): void {
    this.#table.sweep(now)
    if (this.#table.expired === this.#expired) return
    this.#expired = this.#table.expired
    this.#known.clear()
  }

  /** The bucket of a span's duration; -1 if nobody knows how long it took. */
  bucket(view: SpanView): number {
    if (view.nanoseconds === 0 && view.spanAttributes.type[this.#untimedAt] !== ABSENT) return NONE
    return this.#latency.bucket(view.seconds)
  }

  /** Counts a span as `weight` spans; `exemplar` says whether it may be one. Returns the same as `bucket`. */
  span(view: SpanView, weight: number, exemplar: boolean): number {
    const slot = this.#slot(view)
    view.operation = this.#numbers.of(slot)
    const times = this.#carry.times(slot, weight)
    this.#calls.add(slot, times)
    const bucket = this.bucket(view)
    if (exemplar) this.#calls.spanExemplar(slot, view)
    if (bucket >= 0) {
      const cell = this.#latency.observe(slot, view.seconds, times, bucket)
      if (exemplar) this.#latency.spanExemplar(cell, view)
    }
    this.#size?.add(slot, (view.end - view.start) * times)
    if (view.events > 0) this.#events.add(slot, view.events * times)
    if (view.links > 0) this.#links.add(slot, view.links * times)
    return bucket
  }

  #slot(view: SpanView): number {
    if (view.resourceSerial !== this.#resource) this.#enterResource(view)
    if (this.#service === UNHELD) return this.#table.overflow()
    // Fast path: the same bytes as before.
    const known = this.#known
    known.begin((this.#service << 5) | (view.kind << 2) | view.status)
    known.piece(1, view.bytes, view.nameStart, view.nameEnd)
    for (let i = 0; i < this.#dimensions; i++) this.#piece(view, i)
    const same = known.find()
    if (same >= 0) {
      this.#table.touch(same)
      return same
    }
    const slot = this.#search(view)
    // Not cached: in a flood of names each comes once.
    if (slot === NONE) return this.#table.overflow(this.#coarser(view))
    known.keep(slot, this.#table.series)
    // An operation of this name shares its label set with those that have no room.
    if (this.#set[1] !== this.#overflowName) this.#numbers.give(slot)
    return slot
  }

  #piece(view: SpanView, i: number): void {
    const own = this.#spanAt[i]!
    let attributes = view.spanAttributes
    let at = own
    if (attributes.type[own] === ABSENT) {
      attributes = view.resourceAttributes
      at = this.#resourceAt[i]!
    }
    const type = attributes.type[at]!
    if (type === ABSENT) this.#known.piece(ABSENT, view.bytes, 0, 0)
    else this.#known.piece(type, view.bytes, attributes.start[at]!, attributes.end[at]!)
  }

  /** The slot of the span's label set, which is added if there is room, or NONE. */
  #search(view: SpanView): number {
    this.#unheld = false
    const set = this.#set
    set[0] = this.#service
    set[1] = this.#symbol(view.bytes, view.nameStart, view.nameEnd)
    set[2] = this.#kinds[view.kind]!
    set[3] = this.#statuses[view.status]!
    for (let i = 0; i < this.#dimensions; i++) set[4 + i] = this.#dimension(view, i)
    // An unheld value stands for a label set that cannot be in the table.
    if (this.#unheld) return NONE
    const table = this.#table
    if (table.full) {
      const slot = table.find(set)
      if (slot >= 0) table.touch(slot)
      return slot
    }
    const before = table.series
    const slot = table.slot(set)
    if (table.series !== before) this.#tieSiblings(set, slot, view.status, false)
    return slot
  }

  /** The slot that keeps the span's service, kind and status when its operation has no room, or NONE. */
  #coarser({ kind, status }: SpanView): number {
    const set = this.#set
    set[0] = this.#service
    set[1] = this.#overflowName
    set[2] = this.#kinds[kind]!
    set[3] = this.#statuses[status]!
    set.fill(this.#absent, 4)
    const table = this.#table
    const before = table.series
    const slot = table.spareSlot(set)
    if (table.series !== before) this.#tieSiblings(set, slot, status, true)
    return slot
  }

  /**
   * Exposes the errors of a new operation as 0, so that rate() sees the first one, and keeps them as long as any other span
   * of the operation comes, so that rate() sees the next one.
   */
  #tieSiblings(set: Uint32Array, slot: number, status: number, coarser: boolean): void {
    const table = this.#table
    if (status !== STATUS.error) {
      set[3] = this.#statuses[STATUS.error]!
      const errors = coarser ? table.spareSlot(set) : table.full ? table.find(set) : table.slot(set)
      if (errors >= 0) table.tie(slot, errors)
      return
    }
    for (const other of this.#statuses.slice(0, STATUS.error)) {
      set[3] = other
      const sibling = table.find(set)
      if (sibling >= 0) table.tie(sibling, slot)
    }
  }

  #enterResource(view: SpanView): void {
    this.#resource = view.resourceSerial
    const { bytes, start, end } = serviceOf(view, this.#serviceAt)
    // A new service is kept while there is spare room, which the span that follows takes.
    const { symbols, full, hasSpare } = this.#table
    this.#service = full && !hasSpare ? symbols.find(bytes, start, end) : symbols.intern(bytes, start, end)
  }

  /** The value of dimension `i`: the span's own attribute, else the resource's, else absent. */
  #dimension(view: SpanView, i: number): number {
    const own = this.#spanAt[i]!
    if (view.spanAttributes.type[own] !== ABSENT) return this.#attribute(view, view.spanAttributes, own)
    const shared = this.#resourceAt[i]!
    if (view.resourceAttributes.type[shared] !== ABSENT) return this.#attribute(view, view.resourceAttributes, shared)
    return this.#absent
  }

  #attribute(view: SpanView, attributes: AttributeView, at: number): number {
    const start = attributes.start[at]!
    const end = attributes.end[at]!
    if (attributes.type[at] === STRING) return this.#symbol(view.bytes, start, end)
    const text = Buffer.from(valueText(view.bytes, start, end))
    return this.#symbol(text, 0, text.length)
  }

  /** The symbol of a value. While the table is full, new values are not interned, which bounds the symbols as well. */
  #symbol(source: Uint8Array, start: number, end: number): number {
    const symbols = this.#table.symbols
    if (!this.#table.full) return symbols.intern(source, start, end)
    const known = symbols.find(source, start, end)
    if (known < 0) this.#unheld = true
    return known
  }
}

/**
 * Coarser label sets kept besides the limit: an eighth of it, and enough for the kinds and statuses of two services in
 * any case.
 */
function spareOf(limit: number): number {
  return Math.max(2 * KIND_NAMES.length * STATUS_NAMES.length, Math.ceil(limit / 8))
}

/** A counter that is exposed only where it is not 0. */
function seldom(metrics: Metrics, table: SeriesTable, family: CounterFamily): CounterColumn {
  const column: CounterColumn = new CounterColumn(table, family, { shows: slot => column.value(slot) > 0 })
  metrics.add(column)
  return column
}
