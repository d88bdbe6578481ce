// The request metrics. For each span: find its label set by the bytes of its values, then add to the columns. A span whose
// label set is known makes no string and no object.

import {
  CounterColumn,
  type CounterFamily,
  HistogramColumn,
  type HistogramFamily,
  type Metrics,
  OVERFLOW,
  type SeriesTable,
} from '../../exporter/metrics.ts'
import type { AttributeView, SpanConsumer, SpanView } from '../otlp.ts'
import { attributeText } from './attribute.ts'
import { Known } from './known.ts'
import { labelName } from './label.ts'
import { type Budget, Carry } from './weight.ts'

const KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'].map(kind => `SPAN_KIND_${kind}`)
const STATUSES = ['UNSET', 'OK', 'ERROR'].map(status => `STATUS_CODE_${status}`)
const ERROR = 2

interface Families {
  readonly calls: CounterFamily
  readonly latency: HistogramFamily
  readonly size: CounterFamily | undefined
  readonly events: CounterFamily
  readonly links: CounterFamily
}

interface Choices {
  readonly dimensions: readonly string[]
  readonly limit: number
  /** Milliseconds that a label set is kept after its last span; 0 is for ever. */
  readonly expiry: number
}

export class RequestMetrics {
  readonly wants: SpanConsumer['wants']
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
  readonly #dimensions: number
  #spanAt: readonly number[] = []
  #resourceAt: readonly number[] = []
  readonly #kinds: readonly number[]
  readonly #statuses: readonly number[]
  readonly #unknownService: number
  readonly #absent: number
  /** The label set of the span at hand, as symbols: service, name, kind, status, then the dimensions. */
  readonly #set: Uint32Array
  /** Whether a value of the span at hand is new while the table is full, so that it must not be interned. */
  #unheld = false
  #service = 0
  #serviceHeld = false
  #resource = -1

  constructor(choices: Choices, metrics: Metrics, families: Families, budget: Budget) {
    const labels = [...families.calls.labels]
    for (const key of choices.dimensions) labels.push(labelName(key, labels))
    this.wants = {
      span: choices.dimensions,
      resource: ['service.name', ...choices.dimensions],
    }
    this.#dimensions = choices.dimensions.length
    this.#table = metrics.table(families.calls.name.replace(/_calls_total$/, ''), labels, choices.limit, choices.expiry)
    this.#calls = new CounterColumn(this.#table, families.calls, { exemplars: true })
    this.#latency = new HistogramColumn(this.#table, families.latency)
    metrics.add(this.#calls)
    metrics.add(this.#latency)
    if (families.size) {
      this.#size = new CounterColumn(this.#table, families.size, { shows: slot => this.#latency.count(slot) > 0 })
      metrics.add(this.#size)
    }
    // On the same table, events and links cost no further look-up and divide by calls label set by label set.
    this.#events = seldom(metrics, this.#table, families.events)
    this.#links = seldom(metrics, this.#table, families.links)
    this.#carry = new Carry(this.#table, budget)

    const symbols = this.#table.symbols
    this.#kinds = KINDS.map(kind => symbols.text(kind))
    this.#statuses = STATUSES.map(status => symbols.text(status))
    this.#unknownService = symbols.text('unknown_service')
    this.#absent = symbols.text('')
    this.#set = new Uint32Array(labels.length)
  }

  bound(positions: { readonly span: readonly number[]; readonly resource: readonly number[] }): void {
    this.#spanAt = positions.span
    this.#resourceAt = positions.resource
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

  /** Counts a span as `weight` spans. */
  span(view: SpanView, weight: number): void {
    const slot = this.#slot(view)
    const times = this.#carry.times(slot, weight)
    this.#calls.add(slot, times)
    this.#calls.exemplar(slot, 1, view.endSeconds, view.bytes, view.traceId, view.spanId)
    const bucket = this.#latency.observe(slot, view.seconds, times)
    this.#latency.exemplar(bucket, view.seconds, view.endSeconds, view.bytes, view.traceId, view.spanId)
    this.#size?.add(slot, (view.end - view.start) * times)
    if (view.events > 0) this.#events.add(slot, view.events * times)
    if (view.links > 0) this.#links.add(slot, view.links * times)
  }

  #slot(view: SpanView): number {
    if (view.resourceSerial !== this.#resource) this.#enterResource(view)
    if (!this.#serviceHeld) return this.#table.overflow()
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
    if (slot !== OVERFLOW) known.keep(slot, this.#table.series)
    return slot
  }

  #piece(view: SpanView, i: number): void {
    const own = this.#spanAt[i]!
    let attributes = view.spanAttributes
    let at = own
    if (attributes.type[own] === 0) {
      attributes = view.resourceAttributes
      at = this.#resourceAt[1 + i]!
    }
    const type = attributes.type[at]!
    if (type === 0) this.#known.piece(0, view.bytes, 0, 0)
    else this.#known.piece(type, view.bytes, attributes.start[at]!, attributes.end[at]!)
  }

  #search(view: SpanView): number {
    this.#unheld = false
    const set = this.#set
    set[0] = this.#service
    set[1] = this.#symbol(view.bytes, view.nameStart, view.nameEnd)
    set[2] = this.#kinds[view.kind]!
    set[3] = this.#statuses[view.status]!
    for (let i = 0; i < this.#dimensions; i++) set[4 + i] = this.#dimension(view, i)
    // An unheld value stands for a label set that cannot be in the table; it is full, so this can only overflow.
    if (this.#unheld) return this.#table.overflow()
    const before = this.#table.series
    const slot = this.#table.slot(set)
    if (this.#table.series !== before) this.#tieSiblings(set, slot, view.status)
    return slot
  }

  /**
   * Exposes the operation's errors from 0 on, so that rate() sees the first one, and keeps them as long as anything else
   * of the operation, so that it sees the next one.
   */
  #tieSiblings(set: Uint32Array, slot: number, status: number): void {
    const table = this.#table
    if (status !== ERROR) {
      set[3] = this.#statuses[ERROR]!
      const errors = table.full ? table.find(set) : table.slot(set)
      if (errors >= 0) table.tie(slot, errors)
      return
    }
    for (const other of this.#statuses.slice(0, ERROR)) {
      set[3] = other
      const sibling = table.find(set)
      if (sibling >= 0) table.tie(sibling, slot)
    }
  }

  #enterResource(view: SpanView): void {
    this.#resource = view.resourceSerial
    const at = this.#resourceAt[0]!
    const { type, start, end } = view.resourceAttributes
    this.#unheld = false
    this.#service =
      type[at] === 1 && end[at]! > start[at]! ? this.#symbol(view.bytes, start[at]!, end[at]!) : this.#unknownService
    this.#serviceHeld = !this.#unheld
  }

  /** The value of dimension `i`: the span's own attribute, else the resource's, else absent. */
  #dimension(view: SpanView, i: number): number {
    const own = this.#spanAt[i]!
    if (view.spanAttributes.type[own] !== 0) return this.#attribute(view, view.spanAttributes, own)
    const shared = this.#resourceAt[1 + i]!
    if (view.resourceAttributes.type[shared] !== 0) return this.#attribute(view, view.resourceAttributes, shared)
    return this.#absent
  }

  #attribute(view: SpanView, attributes: AttributeView, at: number): number {
    const start = attributes.start[at]!
    const end = attributes.end[at]!
    if (attributes.type[at] === 1) return this.#symbol(view.bytes, start, end)
    const text = Buffer.from(attributeText(view.bytes, start, end))
    return this.#symbol(text, 0, text.length)
  }

  /** The symbol of a value. While the table is full new values are not kept, which bounds the symbols as well. */
  #symbol(source: Uint8Array, start: number, end: number): number {
    const symbols = this.#table.symbols
    if (!this.#table.full) return symbols.intern(source, start, end)
    const known = symbols.find(source, start, end)
    if (known >= 0) return known
    this.#unheld = true
    return OVERFLOW
  }
}

/** A counter that is exposed for those label sets that have something to count. */
function seldom(metrics: Metrics, table: SeriesTable, family: CounterFamily): CounterColumn {
  const column: CounterColumn = new CounterColumn(table, family, { shows: slot => column.value(slot) > 0 })
  metrics.add(column)
  return column
}
