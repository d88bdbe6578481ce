// The native part of a histogram, from the page to the other encodings. Remote write spells it in the same way under other
// numbers; OTLP wants the counts one after another, gaps included.
//
//   Histogram = schema 5, zero threshold 6, zero count 7, negative: span* 9, delta* 10, positive: span* 12, delta* 13
//   Span      = offset 1, length 2

import { FIXED64, field, LENGTH, Reader, VARINT } from '../../otlp/wire.ts'
import type { Writer } from '../../otlp/writer.ts'
import type { Metric } from './metric.ts'

/** The fields of the page, and of io.prometheus.write: both versions number them alike. */
const RENUMBERED: ReadonlyMap<number, number> = new Map([
  [field(5, VARINT), field(4, VARINT)],
  [field(6, FIXED64), field(5, FIXED64)],
  [field(7, VARINT), field(6, VARINT)],
  [field(9, LENGTH), field(8, LENGTH)],
  [field(10, LENGTH), field(9, LENGTH)],
  [field(12, LENGTH), field(11, LENGTH)],
  [field(13, LENGTH), field(12, LENGTH)],
])

const reader = new Reader()
const inner = new Reader()

/** Writes schema, zero bucket, spans and deltas as fields of a remote write Histogram. */
export function writeSparse(writer: Writer, { page, nativeStart, nativeEnd }: Metric): void {
  for (const each = reader.over(page, nativeStart, nativeEnd); each.next(); ) {
    const tag = RENUMBERED.get(each.tag)
    if (tag === undefined) continue
    writer.varint(tag)
    if ((tag & 7) === VARINT) writer.varint64(each.low, each.high)
    else if ((tag & 7) === FIXED64) writer.fixed64(each.low, each.high)
    else {
      writer.varint(each.end - each.start)
      writer.copy(page, each.start, each.end)
    }
  }
}

/** Buckets one after another: count i is of base^(offset+i) < |value| ≤ base^(offset+i+1). */
export interface Dense {
  readonly offset: number
  readonly counts: readonly number[]
}

export interface Native {
  readonly scale: number
  readonly zeroThreshold: number
  readonly zeroCount: number
  readonly positive: Dense
  readonly negative: Dense
}

/** Gaps are written out in OTLP; a histogram that is wider than this has mostly gaps. */
const WIDEST = 5000

/** The native histogram of a metric for OTLP; undefined if it is too wide. */
export function readNative({ page, nativeStart, nativeEnd }: Metric): Native | undefined {
  let [scale, zeroThreshold, zeroCount] = [0, 0, 0]
  const spans = { positive: [] as number[], negative: [] as number[] }
  const deltas = { positive: [] as number[], negative: [] as number[] }
  for (const each = reader.over(page, nativeStart, nativeEnd); each.next(); )
    switch (each.tag) {
      case field(5, VARINT):
        scale = each.zigzag
        break
      case field(6, FIXED64):
        zeroThreshold = each.double
        break
      case field(7, VARINT):
        zeroCount = each.unsigned
        break
      case field(9, LENGTH):
        readSpan(page, each.start, each.end, spans.negative)
        break
      case field(10, LENGTH):
        readDeltas(page, each.start, each.end, deltas.negative)
        break
      case field(12, LENGTH):
        readSpan(page, each.start, each.end, spans.positive)
        break
      case field(13, LENGTH):
        readDeltas(page, each.start, each.end, deltas.positive)
    }
  const positive = dense(spans.positive, deltas.positive)
  const negative = dense(spans.negative, deltas.negative)
  return positive && negative && { scale, zeroThreshold, zeroCount, positive, negative }
}

function readSpan(page: Buffer, start: number, end: number, to: number[]): void {
  let [offset, length] = [0, 0]
  for (const part = inner.over(page, start, end); part.next(); )
    if (part.tag === field(1, VARINT)) offset = part.zigzag
    else if (part.tag === field(2, VARINT)) length = part.low
  to.push(offset, length)
}

function readDeltas(page: Buffer, start: number, end: number, to: number[]): void {
  for (const part = inner.over(page, start, end); part.more; ) {
    const { low, high } = part.packed()
    // Zigzag over 64 bits: the lowest bit is the sign.
    const magnitude = Math.floor((high * 0x100000000 + low) / 2)
    to.push((low & 1) === 0 ? magnitude : -magnitude - 1)
  }
}

function dense(spans: readonly number[], deltas: readonly number[]): Dense | undefined {
  const counts: number[] = []
  let [count, next] = [0, 0]
  for (let i = 0; i < spans.length; i += 2) {
    const gap = i === 0 ? 0 : spans[i]!
    if (counts.length + gap + spans[i + 1]! > WIDEST) return undefined
    for (let empty = 0; empty < gap; empty++) counts.push(0)
    for (let bucket = 0; bucket < spans[i + 1]!; bucket++) {
      count += deltas[next++] ?? 0
      counts.push(count)
    }
  }
  // Prometheus' bucket i ends at base^i, OTLP's at base^(i+1).
  return { offset: (spans[0] ?? 1) - 1, counts }
}
