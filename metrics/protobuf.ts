// The protobuf format: length-delimited io.prometheus.client.MetricFamily messages (prometheus/client_model). Only this
// format has native histograms; Prometheus asks for it when it scrapes those.
//
//   MetricFamily = name 1, help 2, type 3, metric* 4, unit 5
//   Metric       = label* 1 {name 1, value 2}, gauge 2, counter 3, summary 4, untyped 5, histogram 7
//   Gauge, Untyped = value 1        Counter = value 1, exemplar 2, created 3
//   Summary      = count 1, sum 2, quantile* 3 {quantile 1, value 2}, created 4
//   Histogram    = count 1, sum 2, bucket* 3 {cumulative count 1, upper bound 2, exemplar 3},
//                  schema 5, zero threshold 6, zero count 7, negative 9 span* 10 delta*, positive 12 span* 13 delta*
//                  created 15
//   Span         = offset 1, length 2
//   Exemplar     = label* 1, value 2, timestamp 3
//   created, timestamp = {seconds 1, nanos 2}

import { MessageWriter } from './message-writer.ts'
import type { BucketParts, NativeParts } from './native.ts'
import type { Page, Sink } from './page.ts'

export type FamilyType = 'counter' | 'gauge' | 'summary' | 'untyped' | 'histogram' | 'gauge_histogram'

const TYPES: Readonly<Record<FamilyType, number>> = {
  counter: 0,
  gauge: 1,
  summary: 2,
  untyped: 3,
  histogram: 4,
  gauge_histogram: 5,
}

/** Begins a family; its metrics follow, in any number of slices, then `page.close()`. */
export function openFamily(page: Page, type: FamilyType, name: string, help: string, unit = ''): void {
  page.open()
  const head = scratch.clear()
  head.text(1, name)
  head.text(2, help)
  head.uint(3, TYPES[type])
  if (unit !== '') head.text(5, unit)
  head.writeTo(page)
}

/** Writes the fields of an exemplar into the message, or nothing if there is none. */
export type WriteExemplar = (message: MessageWriter, field: number) => void

const none: WriteExemplar = () => {}

/** A label text (labels.ts), or a function that writes one. */
export type Labels = string | ((sink: Sink) => void)

/** Writes one metric of a family of numbers. `created` is when a counter began, in seconds since the epoch, 0 if unknown. */
export function writeNumber(
  page: Page,
  type: 'counter' | 'gauge' | 'untyped',
  labels: Labels,
  value: number,
  exemplar: WriteExemplar = none,
  created = 0,
): void {
  metric(page, labels, message => {
    const start = message.begin(type === 'counter' ? 3 : type === 'gauge' ? 2 : 5)
    message.double(1, value)
    if (type === 'counter') {
      exemplar(message, 2)
      writeTime(message, 3, created)
    }
    message.end(start)
  })
}

export interface HistogramParts {
  sum(): number | undefined
  /** Upper bounds in ascending order, without +Inf. */
  readonly bounds: ArrayLike<number>
  /** Observations in a bucket, not cumulative; the last bucket is that of +Inf. */
  count(bucket: number): number
  exemplar?(message: MessageWriter, field: number, bucket: number): void
  native?(): NativeParts | undefined
  /** When the counting began, in seconds since the epoch, 0 if unknown. */
  readonly created?: number
}

/** Writes one metric of a histogram family: classic buckets, and the native histogram if there is one. */
export function writeHistogram(page: Page, labels: Labels, parts: HistogramParts): void {
  metric(page, labels, message => {
    const start = message.begin(7)
    let total = 0
    for (let bucket = 0; bucket <= parts.bounds.length; bucket++) {
      total += parts.count(bucket)
      const at = message.begin(3)
      message.uint(1, total)
      message.double(2, parts.bounds[bucket] ?? Number.POSITIVE_INFINITY)
      parts.exemplar?.(message, 3, bucket)
      message.end(at)
    }
    message.uint(1, total)
    const sum = parts.sum()
    if (sum !== undefined) message.double(2, sum)
    const native = parts.native?.()
    if (native) nativeFields(message, native)
    writeTime(message, 15, parts.created ?? 0)
    message.end(start)
  })
}

/** Writes one metric of a summary family. */
export function writeSummary(
  page: Page,
  labels: Labels,
  count: number,
  sum: number,
  quantiles: Iterable<readonly [quantile: number, value: number]>,
  created = 0,
): void {
  metric(page, labels, message => {
    const start = message.begin(4)
    message.uint(1, count)
    message.double(2, sum)
    for (const [quantile, value] of quantiles) {
      const at = message.begin(3)
      message.double(1, quantile)
      message.double(2, value)
      message.end(at)
    }
    writeTime(message, 4, created)
    message.end(start)
  })
}

/** Writes the value and time of an exemplar after its labels, and ends it. */
export function endExemplar(message: MessageWriter, start: number, value: number, seconds: number): void {
  message.double(2, value)
  writeTime(message, 3, seconds)
  message.end(start)
}

/** Writes a time in seconds since the epoch, or nothing if it is 0. */
export function writeTime(message: MessageWriter, field: number, seconds: number): void {
  if (!(seconds > 0)) return
  const time = message.begin(field)
  message.uint(1, Math.floor(seconds))
  message.uint(2, Math.floor((seconds % 1) * 1e9))
  message.end(time)
}

/** Writes a Metric: its labels, then the fields that `write` adds. */
function metric(page: Page, labels: Labels, write: (message: MessageWriter) => void): void {
  const message = scratch.clear()
  const start = message.begin(4)
  writeLabels(message, labels)
  write(message)
  message.end(start)
  message.writeTo(page)
}

/** Writes the LabelPairs of a label text in field 1. */
export function writeLabels(message: MessageWriter, labels: Labels): void {
  if (labels === '') return
  if (typeof labels !== 'string') {
    labels(message)
    return
  }
  const text = Buffer.from(labels)
  message.labels(1, text, 0, text.length)
}

function nativeFields(message: MessageWriter, native: NativeParts): void {
  message.sint(5, native.scale)
  message.double(6, native.zeroThreshold)
  message.uint(7, native.zeroCount)
  sparse(message, 9, native.negative)
  sparse(message, 12, native.positive)
  // An empty span tells an empty native histogram from a classic one.
  if (native.positive.counts.length === 0 && native.negative.counts.length === 0 && native.zeroThreshold === 0)
    message.end(message.begin(12))
}

/** A gap of up to this many empty buckets takes less room as zeros than as a new span. */
const SHORT_GAP = 2

function sparse(message: MessageWriter, field: number, { offset, counts }: BucketParts): void {
  // OTLP's bucket i ends at base^(i+1), Prometheus' bucket i at base^i.
  const spans: { offset: number; length: number }[] = []
  const deltas: number[] = []
  let previous = 0
  let next = 0
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i]!
    if (count === 0) continue
    const index = offset + i + 1
    const span = spans.at(-1)
    const gap = index - next
    if (span && gap <= SHORT_GAP) {
      for (let empty = 0; empty < gap; empty++) {
        deltas.push(-previous)
        previous = 0
      }
      span.length += gap + 1
    } else {
      spans.push({ offset: span ? gap : index, length: 1 })
    }
    deltas.push(count - previous)
    previous = count
    next = index + 1
  }
  for (const span of spans) {
    const start = message.begin(field)
    message.sint(1, span.offset)
    message.uint(2, span.length)
    message.end(start)
  }
  message.packedSint(field + 1, deltas)
}

// Writing is synchronous, so one scratch message serves every page.
const scratch = new MessageWriter()
