// One metric of a page in protobuf, as metrics/protobuf.ts describes it: read and checked. A metric for which
// Prometheus would fail a whole scrape, above all a native histogram that contradicts itself, is refused here alone.

import { isUtf8 } from 'node:buffer'
import { FIXED64, Fields, LENGTH, VARINT } from './fields.ts'

export type MessageType = 'counter' | 'gauge' | 'summary' | 'untyped' | 'histogram' | 'gauge_histogram'

/** By their numbers. */
export const MESSAGE_TYPES: readonly MessageType[] = [
  'counter',
  'gauge',
  'summary',
  'untyped',
  'histogram',
  'gauge_histogram',
]

export interface Exemplar {
  readonly labels: readonly (readonly [string, string])[]
  readonly value: number
  /** Seconds since the epoch; 0 if unknown. */
  readonly seconds: number
}

/** A number, or a summary, or a histogram. */
export interface Metric {
  readonly labels: readonly (readonly [string, string])[]
  readonly value: number
  readonly exemplar: Exemplar | undefined
  readonly count: number
  readonly sum: number
  /** Upper bounds with cumulative counts, or quantiles with values. */
  readonly points: readonly { readonly at: number; readonly value: number; readonly exemplar: Exemplar | undefined }[]
  readonly native: boolean
}

/** The field of each type's value. */
const VALUE: Readonly<Record<MessageType, number>> = {
  gauge: 2,
  counter: 3,
  summary: 4,
  untyped: 5,
  histogram: 7,
  gauge_histogram: 7,
}

/** Reads a Metric of a family of this type; undefined if it is bad. */
export function readMetric(bytes: Buffer, start: number, end: number, type: MessageType): Metric | undefined {
  const labels: (readonly [string, string])[] = []
  let value: Value | undefined
  const fields = new Fields(bytes, start, end)
  while (fields.next()) {
    if (fields.number === 1) {
      const pair = fields.wire === LENGTH ? readPair(bytes, fields.start, fields.end) : undefined
      if (pair === undefined) return undefined
      labels.push(pair)
    } else if (fields.number === VALUE[type]) {
      if (fields.wire !== LENGTH || value) return undefined
      value =
        VALUE[type] === 7
          ? readHistogram(bytes, fields.start, fields.end, type)
          : type === 'summary'
            ? readSummary(bytes, fields.start, fields.end)
            : readNumber(bytes, fields.start, fields.end)
      if (value === undefined) return undefined
    } else if (fields.number <= 7 && fields.number !== 6) return undefined
  }
  if (fields.bad || value === undefined) return undefined
  return { labels, ...NONE, ...value }
}

type Value = Partial<Omit<Metric, 'labels'>>

const NONE = { value: 0, exemplar: undefined, count: 0, sum: 0, points: [], native: false }

function readPair(bytes: Buffer, start: number, end: number): readonly [string, string] | undefined {
  let [name, value] = ['', '']
  const fields = new Fields(bytes, start, end)
  while (fields.next()) {
    if (fields.number > 2) continue
    if (fields.wire !== LENGTH || !isUtf8(bytes.subarray(fields.start, fields.end))) return undefined
    const text = bytes.toString('utf8', fields.start, fields.end)
    if (fields.number === 1) name = text
    else value = text
  }
  // Prometheus takes no zero byte in a name.
  return fields.bad || name === '' || name.includes('\0') ? undefined : [name, value]
}

function readNumber(bytes: Buffer, start: number, end: number): Value | undefined {
  let value = 0
  let exemplar: Exemplar | undefined
  const fields = new Fields(bytes, start, end)
  while (fields.next()) {
    if (fields.number === 1) {
      if (fields.wire !== FIXED64) return undefined
      value = fields.double
    } else if (fields.number === 2 && fields.wire === LENGTH) {
      exemplar = readExemplar(bytes, fields.start, fields.end)
      if (exemplar === undefined) return undefined
    } else if (fields.number <= 3) {
      if (fields.wire !== LENGTH || readTime(bytes, fields.start, fields.end) === undefined) return undefined
    }
  }
  return fields.bad ? undefined : { value, exemplar }
}

function readExemplar(bytes: Buffer, start: number, end: number): Exemplar | undefined {
  const labels: (readonly [string, string])[] = []
  let [value, seconds] = [0, 0]
  const fields = new Fields(bytes, start, end)
  while (fields.next()) {
    if (fields.number === 1) {
      const pair = fields.wire === LENGTH ? readPair(bytes, fields.start, fields.end) : undefined
      if (!pair) return undefined
      labels.push(pair)
    } else if (fields.number === 2) {
      if (fields.wire !== FIXED64) return undefined
      value = fields.double
    } else if (fields.number === 3) {
      if (fields.wire !== LENGTH) return undefined
      const time = readTime(bytes, fields.start, fields.end)
      if (time === undefined) return undefined
      seconds = time
    }
  }
  return fields.bad ? undefined : { labels, value, seconds }
}

function readTime(bytes: Buffer, start: number, end: number): number | undefined {
  let seconds = 0
  const fields = new Fields(bytes, start, end)
  while (fields.next()) {
    if (fields.number > 2) continue
    if (fields.wire !== VARINT) return undefined
    seconds += fields.number === 1 ? fields.signed : fields.signed / 1e9
  }
  return fields.bad ? undefined : seconds
}

function readSummary(bytes: Buffer, start: number, end: number): Value | undefined {
  let [count, sum] = [0, 0]
  const points: Metric['points'][number][] = []
  const fields = new Fields(bytes, start, end)
  while (fields.next()) {
    if (fields.number === 1) {
      if (fields.wire !== VARINT) return undefined
      count = fields.unsigned
    } else if (fields.number === 2) {
      if (fields.wire !== FIXED64) return undefined
      sum = fields.double
    } else if (fields.number === 3) {
      const point = fields.wire === LENGTH ? readPoint(bytes, fields.start, fields.end, true) : undefined
      if (!point || points.some(each => each.at === point.at)) return undefined
      points.push(point)
    } else if (fields.number === 4) {
      if (fields.wire !== LENGTH || readTime(bytes, fields.start, fields.end) === undefined) return undefined
    }
  }
  return fields.bad ? undefined : { count, sum, points }
}

/** A quantile {quantile 1, value 2}, or a bucket {cumulative count 1 or 4, upper bound 2, exemplar 3}. */
function readPoint(bytes: Buffer, start: number, end: number, quantile: boolean): Metric['points'][number] | undefined {
  let [first, second] = [0, 0]
  let exemplar: Exemplar | undefined
  const fields = new Fields(bytes, start, end)
  while (fields.next()) {
    switch (fields.number) {
      case 1:
        if (fields.wire !== (quantile ? FIXED64 : VARINT)) return undefined
        first = quantile ? fields.double : fields.unsigned
        break
      case 2:
        if (fields.wire !== FIXED64) return undefined
        second = fields.double
        break
      case 3:
        if (quantile) break
        if (fields.wire !== LENGTH) return undefined
        exemplar = readExemplar(bytes, fields.start, fields.end)
        if (!exemplar) return undefined
        break
      case 4:
        if (quantile) break
        if (fields.wire !== FIXED64) return undefined
        if (fields.double > 0) first = fields.double
    }
  }
  if (fields.bad) return undefined
  return quantile ? { at: first, value: second, exemplar } : { at: second, value: first, exemplar }
}

/** The buckets of one side of a native histogram. */
interface Side {
  /** Buckets that the spans announce. */
  announced: number
  spans: number
  /** Buckets that have come, the count of the last one, and of all. */
  came: number
  last: number
  total: number
  bad: boolean
}

function readHistogram(bytes: Buffer, start: number, end: number, type: MessageType): Value | undefined {
  let [count, sum, zero, schema] = [0, 0, 0, 0]
  let float = false
  let native = false
  const points: Metric['points'][number][] = []
  const sides: Record<'negative' | 'positive', Side> = {
    negative: { announced: 0, spans: 0, came: 0, last: 0, total: 0, bad: false },
    positive: { announced: 0, spans: 0, came: 0, last: 0, total: 0, bad: false },
  }
  const fields = new Fields(bytes, start, end)
  while (fields.next()) {
    const wanted = HISTOGRAM[fields.number]
    // Repeated numbers may come packed or one by one.
    const packed = fields.wire === LENGTH && REPEATED.has(fields.number)
    if (wanted !== undefined && fields.wire !== wanted && !packed) return undefined
    const side = fields.number >= 12 ? sides.positive : sides.negative
    switch (fields.number) {
      case 1:
        count = fields.unsigned
        break
      case 2:
        sum = fields.double
        break
      case 3: {
        const point = readPoint(bytes, fields.start, fields.end, false)
        const before = points.at(-1)
        if (!point || Number.isNaN(point.at)) return undefined
        if (before && (point.at <= before.at || point.value < before.value)) return undefined
        points.push(point)
        break
      }
      case 4:
        if (fields.double > 0) [count, float] = [fields.double, true]
        break
      case 5:
        schema = fields.zigzag
        break
      case 6:
        if (!(fields.double >= 0)) return undefined
        native ||= fields.double > 0
        break
      case 7:
        zero = fields.unsigned
        native ||= zero > 0
        break
      case 8:
        if (fields.double > 0) [zero, float, native] = [fields.double, true, true]
        break
      case 9:
      case 12:
        native = true
        if (!readSpan(bytes, fields.start, fields.end, side)) return undefined
        break
      case 10:
      case 13:
        if (packed) {
          const deltas = new Fields(bytes, fields.start, fields.end)
          while (deltas.at < fields.end) {
            if (!deltas.varint()) return undefined
            add(side, deltas.zigzag, false)
          }
        } else add(side, fields.zigzag, false)
        break
      case 11:
      case 14:
        float = true
        if (packed) {
          if ((fields.end - fields.start) % 8 !== 0) return undefined
          for (let at = fields.start; at < fields.end; at += 8) add(side, bytes.readDoubleLE(at), true)
        } else add(side, fields.double, true)
        break
      case 15:
        if (readTime(bytes, fields.start, fields.end) === undefined) return undefined
        break
      case 16:
        if (!readExemplar(bytes, fields.start, fields.end)) return undefined
    }
  }
  if (fields.bad) return undefined
  const last = points.at(-1)
  // A gauge may have any counts, and a float histogram may have lost some to rounding.
  if (last && last.value > count && !float) return undefined
  if (native && !sound([sides.negative, sides.positive], schema)) return undefined
  const observed = sides.negative.total + sides.positive.total + zero
  if (native && !float && type === 'histogram' && (Number.isNaN(sum) ? observed > count : observed !== count))
    return undefined
  return { count, sum, points, native }
}

function readSpan(bytes: Buffer, start: number, end: number, side: Side): boolean {
  const fields = new Fields(bytes, start, end)
  let [offset, length] = [0, 0]
  while (fields.next()) {
    if (fields.number <= 2 && fields.wire !== VARINT) return false
    if (fields.number === 1) offset = fields.zigzag
    if (fields.number === 2) length = fields.unsigned
  }
  if (side.spans++ > 0 && offset < 0) return false
  side.announced += length
  return !fields.bad
}

function add(side: Side, number: number, absolute: boolean): void {
  side.came++
  side.last = absolute ? number : side.last + number
  side.total += side.last
  if (!(side.last >= 0)) side.bad = true
}

function sound(sides: readonly Side[], schema: number): boolean {
  if (schema < -4 || schema > 8) return false
  return sides.every(side => side.announced === side.came && !side.bad)
}

/** The wire types of a histogram's fields. */
const HISTOGRAM: readonly (number | undefined)[] = [
  undefined,
  VARINT,
  FIXED64,
  LENGTH,
  FIXED64,
  VARINT,
  FIXED64,
  VARINT,
  FIXED64,
  LENGTH,
  VARINT,
  FIXED64,
  LENGTH,
  VARINT,
  FIXED64,
  LENGTH,
  LENGTH,
]
const REPEATED = new Set([10, 11, 13, 14])
