// One data point, decoded into the value of a series. The object is reused: it is valid until the next `read`.
//
//   all kinds                     start time 2, time 3; attributes, exemplars and flags at numbers that differ by kind
//   all but NumberDataPoint       count 4, sum 5
//   NumberDataPoint               double 4 | int 6 (sfixed64)
//   HistogramDataPoint            bucket counts* 6 (fixed64), bounds* 7 (double)
//   ExponentialHistogramDataPoint scale 6 (sint32), zero count 7, positive 8, negative 9, zero threshold 14
//   Buckets                       offset 1 (sint32), counts* 2 (uint64)
//   SummaryDataPoint              quantiles* 6 { quantile 1, value 2 }

import { type Buckets, fitted } from '../../metrics/native.ts'
import type { ImportedValue } from '../../metrics/sample.ts'
import { FIXED64, field, LENGTH, Reader, VARINT } from '../../otlp/wire.ts'

export type PointKind = 'number' | 'histogram' | 'exponential' | 'summary'

interface Layout {
  readonly attributes: number
  readonly exemplars: number
  readonly flags: number
}

const LAYOUTS: Readonly<Record<PointKind, Layout>> = {
  number: { attributes: field(7, LENGTH), exemplars: field(5, LENGTH), flags: field(8, VARINT) },
  histogram: { attributes: field(9, LENGTH), exemplars: field(8, LENGTH), flags: field(10, VARINT) },
  exponential: { attributes: field(1, LENGTH), exemplars: field(11, LENGTH), flags: field(10, VARINT) },
  // Summaries have no exemplars; no field has the number 0.
  summary: { attributes: field(7, LENGTH), exemplars: 0, flags: field(8, VARINT) },
}

/** Limits of buckets and quantiles, each of which is a line on every scrape. */
const MOST_BOUNDS = 128
/** Bounds and bucket counts that are read: enough to see that there are too many, even with a last bound of +Inf. */
const MOST_READ = MOST_BOUNDS + 3
const MOST_QUANTILES = 32
const MOST_EXEMPLARS = 256
/**
 * Offsets of attributes. Since an attribute takes at least two bytes, more of them exceed the limit of labels anyway.
 */
const MOST_OFFSETS = 16_384
/** Buckets of an exponential histogram before neighbours are merged; SDKs send 160. */
const MOST_COUNTS = 4096
/** The largest exponent of a double, with a margin: no observation can be beyond it. */
const LARGEST_EXPONENT = 1100
/** The largest number of observations that the formats can carry. */
const LARGEST_COUNT = 2 ** 63

export class Point {
  /** Nanoseconds since the epoch, 0 if unknown; rounded to a double, so equal times stay equal. */
  start = 0
  time = 0
  /** The flag "no recorded value": the series has ended. */
  ended = false
  /** Offsets of its KeyValues and of its Exemplars. */
  attributes: number[] = []
  exemplars: number[] = []
  value: ImportedValue | undefined
  /** Why there is no value. */
  problem = ''
  #count = 0
  #sum: number | undefined
  readonly #reader = new Reader()
  readonly #inner = new Reader()

  read(kind: PointKind, bytes: Buffer, start: number, end: number): void {
    this.start = this.time = 0
    this.ended = false
    this.attributes.length = this.exemplars.length = 0
    this.value = undefined
    this.problem = ''
    this.#count = 0
    this.#sum = undefined
    const reader = this.#reader.over(bytes, start, end)
    switch (kind) {
      case 'number':
        this.#number(reader)
        break
      case 'histogram':
        this.#histogram(reader, bytes)
        break
      case 'exponential':
        this.#exponential(reader, bytes)
        break
      case 'summary':
        this.#summary(reader, bytes)
        break
    }
  }

  #number(reader: Reader): void {
    while (reader.next())
      if (reader.tag === field(4, FIXED64)) this.value = reader.double
      else if (reader.tag === field(6, FIXED64)) this.value = reader.signed
      else this.#common(reader, LAYOUTS.number)
    if (this.value === undefined) this.problem = 'has no value'
  }

  #histogram(reader: Reader, bytes: Buffer): void {
    const counts: number[] = []
    const bounds: number[] = []
    while (reader.next())
      switch (reader.tag) {
        case field(6, LENGTH):
          for (let at = reader.start; at < reader.end && counts.length < MOST_READ; at += 8)
            counts.push(bytes.readUInt32LE(at + 4) * 0x100000000 + bytes.readUInt32LE(at))
          break
        case field(6, FIXED64):
          if (counts.length < MOST_READ) counts.push(reader.unsigned)
          break
        case field(7, LENGTH):
          for (let at = reader.start; at < reader.end && bounds.length < MOST_READ; at += 8)
            bounds.push(bytes.readDoubleLE(at))
          break
        case field(7, FIXED64):
          if (bounds.length < MOST_READ) bounds.push(reader.double)
          break
        default:
          this.#common(reader, LAYOUTS.histogram)
      }
    if (counts.length === 0 && bounds.length === 0) counts.push(this.#count)
    // Go's SDK sends a last bound of +Inf if it was configured with one. Its bucket is the +Inf bucket, and the bucket
    // after it is always empty.
    if (bounds.at(-1) === Number.POSITIVE_INFINITY && counts.length === bounds.length + 1) {
      bounds.pop()
      counts.push((counts.pop() ?? 0) + (counts.pop() ?? 0))
    }
    if (bounds.length > MOST_BOUNDS) this.problem = `has more than ${MOST_BOUNDS} bounds`
    else if (counts.length !== bounds.length + 1)
      this.problem = `has ${bounds.length} bounds and ${counts.length} bucket counts, which must be one more`
    else if (bounds.some((each, i) => !Number.isFinite(each) || each <= (bounds[i - 1] ?? Number.NEGATIVE_INFINITY)))
      this.problem = 'has bounds that are not finite or do not ascend'
    else if (counts.reduce((all, each) => all + each, 0) > LARGEST_COUNT) this.problem = 'has counts above 2^63'
    else this.value = { bounds, counts, sum: Number.isNaN(this.#sum) ? undefined : this.#sum }
  }

  #exponential(reader: Reader, bytes: Buffer): void {
    let scale = 0
    let zeroCount = 0
    let zeroThreshold = 0
    const positive = new Counts()
    const negative = new Counts()
    while (reader.next())
      switch (reader.tag) {
        case field(6, VARINT):
          scale = reader.zigzag
          break
        case field(7, FIXED64):
          zeroCount = reader.unsigned
          break
        case field(8, LENGTH):
          positive.read(this.#inner, bytes, reader.start, reader.end)
          break
        case field(9, LENGTH):
          negative.read(this.#inner, bytes, reader.start, reader.end)
          break
        case field(14, FIXED64):
          zeroThreshold = reader.double
          break
        default:
          this.#common(reader, LAYOUTS.exponential)
      }
    const sides = [positive, negative]
    if (sides.some(each => each.counts.length > MOST_COUNTS)) this.problem = `has more than ${MOST_COUNTS} buckets`
    else if (sides.some(each => each.beyond(scale))) this.problem = 'has buckets of values that no double can hold'
    else if (!(zeroThreshold >= 0 && Number.isFinite(zeroThreshold))) this.problem = 'has an invalid zero threshold'
    else if (positive.total + negative.total + zeroCount > LARGEST_COUNT) this.problem = 'has counts above 2^63'
    else {
      const native = fitted({ scale, zeroThreshold, zeroCount, positive, negative })
      if (native) this.value = { native, sum: Number.isNaN(this.#sum) ? undefined : this.#sum }
      else this.problem = 'needs a scale below -4, which Prometheus does not have'
    }
  }

  #summary(reader: Reader, bytes: Buffer): void {
    const quantiles: [number, number][] = []
    while (reader.next())
      switch (reader.tag) {
        case field(6, LENGTH): {
          if (quantiles.length > MOST_QUANTILES) break
          const inner = this.#inner.over(bytes, reader.start, reader.end)
          const pair: [number, number] = [0, 0]
          while (inner.next())
            if (inner.tag === field(1, FIXED64)) pair[0] = inner.double
            else if (inner.tag === field(2, FIXED64)) pair[1] = inner.double
          quantiles.push(pair)
          break
        }
        default:
          this.#common(reader, LAYOUTS.summary)
      }
    quantiles.sort(([a], [b]) => a - b)
    if (quantiles.length > MOST_QUANTILES) this.problem = `has more than ${MOST_QUANTILES} quantiles`
    else if (quantiles.some(([each], i) => !(each >= 0 && each <= 1) || each === quantiles[i - 1]?.[0]))
      this.problem = 'has quantiles that are not from 0 to 1, or one twice'
    else if (Number.isNaN(this.#sum)) this.problem = 'has a sum that is not a number'
    else if (this.#count > LARGEST_COUNT) this.problem = 'has counts above 2^63'
    else this.value = { count: this.#count, sum: this.#sum ?? 0, quantiles }
  }

  #common(reader: Reader, layout: Layout): void {
    switch (reader.tag) {
      case field(2, FIXED64):
        this.start = reader.unsigned
        break
      case field(3, FIXED64):
        this.time = reader.unsigned
        break
      case field(4, FIXED64):
        this.#count = reader.unsigned
        break
      case field(5, FIXED64):
        this.#sum = reader.double
        break
      case layout.attributes:
        // Attributes beyond the limit only move the last offset, by which they are found to be too long.
        if (this.attributes.length === MOST_OFFSETS) this.attributes[MOST_OFFSETS - 1] = reader.end
        else this.attributes.push(reader.start, reader.end)
        break
      case layout.exemplars:
        if (this.exemplars.length < 2 * MOST_EXEMPLARS) this.exemplars.push(reader.start, reader.end)
        break
      case layout.flags:
        this.ended = (reader.low & 1) !== 0
        break
    }
  }
}

/** Buckets while they are read; the message may come in pieces. */
class Counts implements Buckets {
  offset = 0
  total = 0
  readonly counts: number[] = []

  read(reader: Reader, bytes: Buffer, start: number, end: number): void {
    reader.over(bytes, start, end)
    while (reader.next())
      if (reader.tag === field(1, VARINT)) this.offset = reader.zigzag
      else if (reader.tag === field(2, VARINT)) this.#add(reader.unsigned)
      else if (reader.tag === field(2, LENGTH)) {
        packed.over(bytes, reader.start, reader.end)
        while (packed.more && this.counts.length <= MOST_COUNTS) this.#add(packed.packed().unsigned)
      }
  }

  /** Whether a bucket that is not empty has a bound that no double can hold. */
  beyond(scale: number): boolean {
    const first = this.counts.findIndex(each => each > 0)
    if (first < 0) return false
    const last = this.counts.findLastIndex(each => each > 0)
    const furthest = Math.max(Math.abs(this.offset + first), Math.abs(this.offset + last))
    return furthest * 2 ** -scale > LARGEST_EXPONENT
  }

  #add(count: number): void {
    if (this.counts.length <= MOST_COUNTS) this.counts.push(count)
    this.total += count
  }
}

const packed = new Reader()
