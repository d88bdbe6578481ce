// One metric of a page: a label set with its value, read from the bytes into one reused object. Its labels are sorted by name,
// as remote write demands, and written down in one canonical form, by which the metric is known again.
//
//   canonical = LabelPair* in order of names, each as field 1 {name 1, value 2}: the form of the exposition, and of remote
//               write 1.0 too

import { FIXED64, field, LENGTH, Reader, VARINT } from '../../otlp/wire.ts'
import { putVarint, varintSize } from '../../protobuf/varint.ts'

/** io.prometheus.client.MetricType. */
export const COUNTER = 0
export const GAUGE = 1
export const SUMMARY = 2
export const UNTYPED = 3
export const HISTOGRAM = 4
export const GAUGE_HISTOGRAM = 5

/** The common part of all metrics of one family. */
export interface Family {
  readonly name: string
  readonly help: string
  readonly unit: string
  /** A MetricType. */
  readonly type: number
}

/** A label that is added to every metric that has none of its name. */
export interface Extra {
  readonly name: string
  readonly value: string
}

/** The bounds of a histogram or summary, kept so that all its series can be ended. */
export interface Shape {
  /** Bounds of the buckets, or quantiles. */
  readonly bounds: readonly number[]
  readonly native: boolean
}

export class Metric {
  family: Family = { name: '', help: '', unit: '', type: UNTYPED }
  /** Whether it has ended: all its values are markers that say so. */
  stale = false
  /** The canonical form of its labels, in `labels` up to `size`. */
  labels: Buffer = Buffer.alloc(1024)
  size = 0
  /** Four offsets into `labels` for each label: of its name and of its value. */
  readonly at: number[] = []
  /** A number, or the count of a distribution. */
  value = 0
  sum = 0
  hasSum = false
  /** Seconds since the epoch at which it began, 0 if the page does not say. */
  created = 0
  /** Classic buckets: upper bounds with +Inf last, and cumulative counts. Of a summary: the quantiles and their values. */
  readonly bounds: number[] = []
  readonly counts: number[] = []
  /** Where the exemplar of each bucket, or of the counter, stands in the page; 0, 0 if it has none. */
  readonly exemplars: number[] = []
  /** Where the native histogram stands in the page, or 0, 0. */
  nativeStart = 0
  nativeEnd = 0
  /** Whether a metric that has ended had one. */
  wasNative = false

  /** The bytes of the page, for exemplars and the native histogram. */
  page: Buffer = Buffer.alloc(0)
  readonly #extras: readonly { readonly name: Buffer; readonly value: Buffer }[]
  /** The labels as they stand in the page, four offsets each, and their order. */
  readonly #raw: number[] = []
  readonly #order: number[] = []
  readonly #outer = new Reader()
  readonly #inner = new Reader()
  readonly #innermost = new Reader()

  constructor(extras: readonly Extra[] = []) {
    this.#extras = extras.map(({ name, value }) => ({ name: Buffer.from(name), value: Buffer.from(value) }))
  }

  /** Reads a Metric message of the page. */
  read(family: Family, page: Buffer, start: number, end: number): void {
    this.family = family
    this.page = page
    this.stale = false
    this.#clear()
    this.#raw.length = 0
    for (const each = this.#outer.over(page, start, end); each.next(); )
      switch (each.tag) {
        case field(1, LENGTH):
          this.#label(each.start, each.end)
          break
        case field(2, LENGTH):
        case field(3, LENGTH):
        case field(5, LENGTH):
          this.#number(each.start, each.end)
          break
        case field(4, LENGTH):
          this.#summary(each.start, each.end)
          break
        case field(7, LENGTH):
          this.#histogram(each.start, each.end)
      }
    this.#canonical()
  }

  /** Becomes the end of a metric that is no longer on the page, from its canonical form and the shape that it had. */
  end(family: Family, from: Buffer, start: number, end: number, { bounds, native }: Shape): void {
    this.family = family
    this.stale = true
    this.#clear()
    this.wasNative = native
    this.#reserve(end - start)
    from.copy(this.labels, 0, start, end)
    this.size = end - start
    this.at.length = 0
    for (const each = this.#outer.over(this.labels, 0, this.size); each.next(); )
      for (const part = this.#inner.over(this.labels, each.start, each.end); part.next(); )
        this.at.push(part.start, part.end)
    for (const bound of bounds) {
      this.bounds.push(bound)
      this.counts.push(0)
      this.exemplars.push(0, 0)
    }
    this.hasSum = true
  }

  /** Samples that remote write has for it, without the native histogram. */
  get samples(): number {
    const { type } = this.family
    return type === HISTOGRAM || type === SUMMARY ? this.bounds.length + (this.hasSum ? 2 : 1) : 1
  }

  #clear(): void {
    this.value = 0
    this.sum = 0
    this.hasSum = false
    this.created = 0
    this.bounds.length = 0
    this.counts.length = 0
    this.exemplars.length = 0
    this.nativeStart = 0
    this.nativeEnd = 0
    this.wasNative = false
  }

  #label(start: number, end: number): void {
    let [nameStart, nameEnd, valueStart, valueEnd] = [0, 0, 0, 0]
    for (const part = this.#inner.over(this.page, start, end); part.next(); )
      if (part.tag === field(1, LENGTH)) [nameStart, nameEnd] = [part.start, part.end]
      else if (part.tag === field(2, LENGTH)) [valueStart, valueEnd] = [part.start, part.end]
    // A label with an empty value is the same as no label, and remote write forbids it.
    if (valueEnd > valueStart) this.#raw.push(nameStart, nameEnd, valueStart, valueEnd)
  }

  #number(start: number, end: number): void {
    let [exemplarStart, exemplarEnd] = [0, 0]
    for (const each = this.#inner.over(this.page, start, end); each.next(); )
      if (each.tag === field(1, FIXED64)) this.value = each.double
      else if (each.tag === field(2, LENGTH)) [exemplarStart, exemplarEnd] = [each.start, each.end]
      else if (each.tag === field(3, LENGTH)) this.#created(each.start, each.end)
    this.exemplars.push(exemplarStart, exemplarEnd)
  }

  #summary(start: number, end: number): void {
    for (const each = this.#inner.over(this.page, start, end); each.next(); )
      if (each.tag === field(1, VARINT)) this.value = each.unsigned
      else if (each.tag === field(2, FIXED64)) this.#setSum(each.double)
      else if (each.tag === field(4, LENGTH)) this.#created(each.start, each.end)
      else if (each.tag === field(3, LENGTH)) {
        let [quantile, value] = [0, 0]
        for (const part = this.#innermost.over(this.page, each.start, each.end); part.next(); )
          if (part.tag === field(1, FIXED64)) quantile = part.double
          else if (part.tag === field(2, FIXED64)) value = part.double
        this.bounds.push(quantile)
        this.counts.push(value)
      }
  }

  #histogram(start: number, end: number): void {
    let [native, float] = [false, false]
    for (const each = this.#inner.over(this.page, start, end); each.next(); )
      switch (each.tag) {
        case field(1, VARINT):
          this.value = each.unsigned
          break
        case field(2, FIXED64):
          this.#setSum(each.double)
          break
        case field(3, LENGTH):
          this.#bucket(each.start, each.end)
          break
        case field(15, LENGTH):
          this.#created(each.start, each.end)
          break
        // The counts of the application may be no whole numbers; native ones of this kind are left out.
        case field(4, FIXED64):
          this.value = each.double
          float = true
          break
        // Schema and spans are only in native histograms.
        case field(5, VARINT):
        case field(9, LENGTH):
        case field(12, LENGTH):
          native = true
      }
    if (native && !float) [this.nativeStart, this.nativeEnd] = [start, end]
    // A native histogram may come without classic buckets.
    else if (this.bounds.at(-1) !== Number.POSITIVE_INFINITY) {
      this.bounds.push(Number.POSITIVE_INFINITY)
      this.counts.push(this.value)
      this.exemplars.push(0, 0)
    }
  }

  #bucket(start: number, end: number): void {
    let [count, bound, exemplarStart, exemplarEnd] = [0, 0, 0, 0]
    for (const each = this.#innermost.over(this.page, start, end); each.next(); )
      if (each.tag === field(1, VARINT)) count = each.unsigned
      else if (each.tag === field(4, FIXED64)) count = each.double
      else if (each.tag === field(2, FIXED64)) bound = each.double
      else if (each.tag === field(3, LENGTH)) [exemplarStart, exemplarEnd] = [each.start, each.end]
    this.bounds.push(bound)
    this.counts.push(count)
    this.exemplars.push(exemplarStart, exemplarEnd)
  }

  #created(start: number, end: number): void {
    let [seconds, nanos] = [0, 0]
    for (const part = this.#innermost.over(this.page, start, end); part.next(); )
      if (part.tag === field(1, VARINT)) seconds = part.signed
      else if (part.tag === field(2, VARINT)) nanos = part.low
    this.created = seconds + nanos / 1e9
  }

  #setSum(sum: number): void {
    this.sum = sum
    this.hasSum = true
  }

  #canonical(): void {
    const raw = this.#raw
    const order = this.#order
    order.length = 0
    // Few labels, and most often in the same order: insertion is the cheapest way to sort them.
    for (let i = 0; i < raw.length; i += 4) {
      let place = order.length
      while (place > 0 && this.#after(order[place - 1]!, i)) place--
      order.splice(place, 0, i)
    }
    this.size = 0
    this.at.length = 0
    let extra = 0
    for (const i of order) {
      const [nameStart, nameEnd] = [raw[i]!, raw[i + 1]!]
      for (; extra < this.#extras.length; extra++) {
        const { name } = this.#extras[extra]!
        const compared = compareBytes(name, 0, name.length, this.page, nameStart, nameEnd)
        if (compared > 0) break
        if (compared < 0) this.#extra(extra)
      }
      this.#write(this.page, nameStart, nameEnd, this.page, raw[i + 2]!, raw[i + 3]!)
    }
    for (; extra < this.#extras.length; extra++) this.#extra(extra)
  }

  #after(one: number, other: number): boolean {
    const raw = this.#raw
    return compareBytes(this.page, raw[one]!, raw[one + 1]!, this.page, raw[other]!, raw[other + 1]!) > 0
  }

  #extra(index: number): void {
    const { name, value } = this.#extras[index]!
    if (value.length > 0) this.#write(name, 0, name.length, value, 0, value.length)
  }

  #write(name: Buffer, nameStart: number, nameEnd: number, value: Buffer, valueStart: number, valueEnd: number): void {
    const [nameLength, valueLength] = [nameEnd - nameStart, valueEnd - valueStart]
    this.#reserve(nameLength + valueLength + 18)
    const to = this.labels
    let pos = this.size
    to[pos++] = PAIR
    pos = putVarint(to, pos, nameLength + valueLength + varintSize(nameLength) + varintSize(valueLength) + 2)
    to[pos++] = NAME
    pos = putVarint(to, pos, nameLength)
    this.at.push(pos, pos + nameLength)
    for (let i = nameStart; i < nameEnd; i++) to[pos++] = name[i]!
    to[pos++] = VALUE
    pos = putVarint(to, pos, valueLength)
    this.at.push(pos, pos + valueLength)
    for (let i = valueStart; i < valueEnd; i++) to[pos++] = value[i]!
    this.size = pos
  }

  #reserve(bytes: number): void {
    // Whole words, since the hash reads words.
    const needed = (this.size + bytes + 7) & ~3
    if (needed <= this.labels.length) return
    const larger = Buffer.alloc(Math.max(needed, this.labels.length * 2))
    this.labels.copy(larger, 0, 0, this.size)
    this.labels = larger
  }
}

const PAIR = field(1, LENGTH)
const NAME = field(1, LENGTH)
const VALUE = field(2, LENGTH)

/** Names are short, and a call into the runtime would cost more. */
export function compareBytes(one: Buffer, a: number, aEnd: number, other: Buffer, b: number, bEnd: number): number {
  const length = Math.min(aEnd - a, bEnd - b)
  for (let i = 0; i < length; i++) {
    const difference = one[a + i]! - other[b + i]!
    if (difference !== 0) return difference
  }
  return aEnd - a - (bEnd - b)
}
