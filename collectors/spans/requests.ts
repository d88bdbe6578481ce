// The span consumer behind the request metrics. For each span: find its label set by the bytes of its values, then add
// to three columns. A span whose label set is known makes no string and no object.

import {
  CounterColumn,
  type CounterFamily,
  HistogramColumn,
  type HistogramFamily,
  type Metrics,
  OVERFLOW,
  type SeriesTable,
} from '../../exporter/metrics.ts'
import type { Running } from '../collector.ts'
import type { AttributeView, SpanConsumer, SpanView } from '../otlp.ts'
import { attributeText } from './attribute.ts'

const KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'].map(kind => `SPAN_KIND_${kind}`)
const STATUSES = ['UNSET', 'OK', 'ERROR'].map(status => `STATUS_CODE_${status}`)
const ERROR = 2

/** Sent by our health probes in User-Agent; HTTP instrumentations report it under one of these keys. */
const PROBE_AGENT = Buffer.from('pillion-health/')
const AGENT_KEYS = ['user_agent.original', 'http.user_agent']

interface Families {
  readonly calls: CounterFamily
  readonly latency: HistogramFamily
  readonly size: CounterFamily | undefined
  readonly excluded: CounterFamily<'reason'>
}

interface Choices {
  readonly dimensions: readonly string[]
  readonly limit: number
  readonly probes: 'exclude' | 'include'
}

export class RequestMetrics implements SpanConsumer, Running {
  readonly wants: SpanConsumer['wants']
  readonly #table: SeriesTable
  readonly #calls: CounterColumn
  readonly #latency: HistogramColumn
  readonly #size: CounterColumn | undefined
  readonly #excludeProbe: (() => void) | undefined
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

  constructor(choices: Choices, metrics: Metrics, families: Families) {
    const labels = [...families.calls.labels]
    for (const key of choices.dimensions) labels.push(labelName(key, labels))
    this.wants = {
      span: [...choices.dimensions, ...(choices.probes === 'exclude' ? AGENT_KEYS : [])],
      resource: ['service.name', ...choices.dimensions],
    }
    this.#dimensions = choices.dimensions.length
    this.#table = metrics.table(families.calls.name.replace(/_calls_total$/, ''), labels, choices.limit)
    this.#calls = new CounterColumn(this.#table, families.calls, { exemplars: true })
    this.#latency = new HistogramColumn(this.#table, families.latency)
    metrics.add(this.#calls)
    metrics.add(this.#latency)
    if (families.size) {
      this.#size = new CounterColumn(this.#table, families.size, { shows: slot => this.#latency.count(slot) > 0 })
      metrics.add(this.#size)
    }
    const excluded = metrics.counter(families.excluded)
    excluded.inc({ reason: 'probe' }, 0)
    this.#excludeProbe = choices.probes === 'exclude' ? () => excluded.inc({ reason: 'probe' }) : undefined

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

  begin(): void {
    // Serial numbers are unique only within one request.
    this.#resource = -1
  }

  span(view: SpanView): void {
    if (this.#excludeProbe && this.#byProbe(view)) {
      this.#excludeProbe()
      return
    }
    const slot = this.#slot(view)
    this.#calls.add(slot, 1)
    this.#calls.exemplar(slot, 1, view.endSeconds, view.bytes, view.traceId, view.spanId)
    const bucket = this.#latency.observe(slot, view.seconds)
    this.#latency.exemplar(bucket, view.seconds, view.endSeconds, view.bytes, view.traceId, view.spanId)
    this.#size?.add(slot, view.end - view.start)
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #slot(view: SpanView): number {
    if (view.resourceSerial !== this.#resource) this.#enterResource(view)
    this.#unheld = !this.#serviceHeld
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
    if (this.#table.series !== before && view.status !== ERROR) this.#addErrorSibling(set)
    return slot
  }

  /** Exposes the operation's errors from 0 on, so that rate() sees the first one. */
  #addErrorSibling(set: Uint32Array): void {
    if (this.#table.full) return
    set[3] = this.#statuses[ERROR]!
    this.#table.slot(set)
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

  #byProbe(view: SpanView): boolean {
    const { type, start, end } = view.spanAttributes
    for (let i = this.#dimensions; i < this.#spanAt.length; i++) {
      const at = this.#spanAt[i]!
      if (type[at] !== 1 || end[at]! - start[at]! < PROBE_AGENT.length) continue
      if (view.bytes.compare(PROBE_AGENT, 0, PROBE_AGENT.length, start[at]!, start[at]! + PROBE_AGENT.length) === 0)
        return true
    }
    return false
  }
}

/** An attribute key as a label name: other characters become "_"; a name that is taken gets a prefix. */
function labelName(key: string, taken: readonly string[]): string {
  const plain = key.replace(/[^a-zA-Z0-9_]/g, '_').replace(/^(?=\d)/, '_')
  return taken.includes(plain) || plain === 'le' ? `attribute_${plain}` : plain
}
