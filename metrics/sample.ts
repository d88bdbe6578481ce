// The value of one series from outside, and how it is written in each of the formats.

import { bound, type TextFormat } from './format.ts'
import { labelPairs } from './labels.ts'
import type { MessageWriter } from './message-writer.ts'
import { classic, type NativeHistogram } from './native.ts'
import { type Page, spelled } from './page.ts'
import { endExemplar, writeHistogram, writeLabels, writeNumber, writeSummary } from './protobuf.ts'

export type ImportedType = 'counter' | 'gauge' | 'histogram' | 'summary' | 'unknown'

export type ImportedValue = number | Distribution | NativeDistribution | Quantiles

/** A histogram with classic buckets. */
export interface Distribution {
  /** Upper bounds in ascending order, without +Inf. */
  readonly bounds: readonly number[]
  /** One for each bound and one for +Inf, not cumulative. */
  readonly counts: readonly number[]
  readonly sum: number | undefined
}

/** A histogram with exponential buckets: native in protobuf, and with a few classic buckets in every format. */
export interface NativeDistribution {
  readonly native: NativeHistogram
  readonly sum: number | undefined
}

export interface Quantiles {
  readonly count: number
  readonly sum: number
  readonly quantiles: readonly (readonly [quantile: number, value: number])[]
}

/** One measurement as an example, with the trace in which it was made. */
export interface Exemplar {
  /** A label text: trace_id, span_id and perhaps more, 128 characters at most. */
  readonly labels: string
  readonly value: number
  /** Seconds since the epoch, or 0 if unknown. */
  readonly seconds: number
}

/** One series; for a histogram or summary, all the series of one label set. */
export interface Sample {
  /** A label text (labels.ts). */
  readonly labels: string
  readonly value: ImportedValue
  /** Oldest first: if a bucket has two, the later one is shown. */
  readonly exemplars: Iterable<Exemplar>
  /** When it began to count, in seconds since the epoch, 0 if unknown; only the protobuf format says it. */
  readonly created: number
}

// Measured with 2000 sums of deltas: 2.3 KiB for a counter with few labels; 25 KiB for an exponential histogram with
// 320 buckets, 4 KiB of labels and 20 exemplars, for which this says 21 KiB.
const SERIES_BYTES = 2048
const NUMBER_BYTES = 12
const EXEMPLAR_BYTES = 400

/** Bytes that a sample takes in memory, about, with what its owner keeps to find it again. */
export function weightOf(labels: string, value: ImportedValue, exemplars: number): number {
  return SERIES_BYTES + 2 * labels.length + numbersOf(value) * NUMBER_BYTES + exemplars * EXEMPLAR_BYTES
}

function numbersOf(value: ImportedValue): number {
  if (typeof value === 'number') return 1
  if ('quantiles' in value) return 10 * value.quantiles.length
  if ('counts' in value) return value.bounds.length + value.counts.length
  return value.native.positive.counts.length + value.native.negative.counts.length
}

/** Writes the lines of a sample; returns how many. */
export function writeLines(page: Page, format: TextFormat, name: string, sample: Sample): number {
  let lines = 0
  for (const line of linesOf(format, sample.value)) {
    lines++
    page.text(name)
    page.text(line.suffix)
    const separator = sample.labels !== '' && line.label !== '' ? ',' : ''
    if (sample.labels !== '' || line.label !== '') page.text(`{${sample.labels}${separator}${line.label}}`)
    page.text(' ')
    page.number(line.value)
    const exemplar = format === 'openmetrics' && line.bucket !== undefined && exemplarFor(sample, line.bucket)
    if (exemplar) {
      page.text(` # {${exemplar.labels}} ${spelled(exemplar.value)}`)
      if (exemplar.seconds > 0) page.text(` ${exemplar.seconds.toFixed(3)}`)
    }
    page.text('\n')
  }
  return lines
}

/** Writes a sample as a protobuf Metric; returns how many lines it would be. */
export function writeMetric(page: Page, type: ImportedType, sample: Sample): number {
  const { value, labels, created } = sample
  if (typeof value === 'number') {
    const known = type === 'counter' || type === 'gauge' ? type : 'untyped'
    const exemplar = (message: MessageWriter, field: number): void =>
      writeExemplar(message, field, exemplarFor(sample, ANY))
    writeNumber(page, known, labels, value, exemplar, created)
    return 1
  }
  if ('quantiles' in value) {
    writeSummary(page, labels, value.count, value.sum, value.quantiles, created)
    return value.quantiles.length + 2
  }
  const { bounds, counts } = 'native' in value ? classic(value.native) : value
  writeHistogram(page, labels, {
    sum: () => value.sum,
    bounds,
    count: bucket => counts[bucket] ?? 0,
    exemplar: (message, field, bucket) => writeExemplar(message, field, exemplarFor(sample, bucketOf(bounds, bucket))),
    native: () => ('native' in value ? value.native : undefined),
    created,
  })
  return counts.length + 2
}

/** The sample in the form that prom-client's Registry expects. */
export function valuesOf(name: string, { value, labels }: Sample): object[] {
  const own = labelPairs(labels)
  return Array.from(linesOf('text', value), line => ({
    metricName: name + line.suffix,
    labels: Object.fromEntries([...own, ...labelPairs(line.label)]),
    value: line.value,
  }))
}

interface Line {
  readonly suffix: string
  /** The label that only this line has. */
  readonly label: string
  readonly value: number
  /** The values whose exemplars the line may show. */
  readonly bucket?: Range
}

/** Values above `over` and up to `upTo`. */
interface Range {
  readonly over: number
  readonly upTo: number
}

const ANY: Range = { over: Number.NEGATIVE_INFINITY, upTo: Number.POSITIVE_INFINITY }

function* linesOf(format: TextFormat, value: ImportedValue): Generator<Line> {
  if (typeof value === 'number') {
    yield { suffix: '', label: '', value, bucket: ANY }
    return
  }
  if ('quantiles' in value) {
    for (const [quantile, each] of value.quantiles)
      if (format === 'text' || !(each < 0))
        yield { suffix: '', label: `quantile="${bound(format, quantile)}"`, value: each }
    if (format === 'text' || value.sum >= 0) yield { suffix: '_sum', label: '', value: value.sum }
    yield { suffix: '_count', label: '', value: value.count }
    return
  }
  const { bounds, counts } = 'native' in value ? classic(value.native) : value
  let total = 0
  for (const [bucket, count] of counts.entries()) {
    total += count
    const range = bucketOf(bounds, bucket)
    yield { suffix: '_bucket', label: `le="${bound(format, range.upTo)}"`, value: total, bucket: range }
  }
  const { sum } = value
  // In OpenMetrics the sum is a counter, which it cannot be once values below 0 are observed. It allows no count
  // without a sum either; but Prometheus, which asks for OpenMetrics first, takes it, and without it nobody could
  // compute a rate.
  const counterLike = sum !== undefined && sum >= 0 && !((bounds[0] ?? 0) < 0)
  if (sum !== undefined && (format === 'text' || counterLike)) yield { suffix: '_sum', label: '', value: sum }
  yield { suffix: '_count', label: '', value: total }
}

function bucketOf(bounds: readonly number[], bucket: number): Range {
  return { over: bounds[bucket - 1] ?? Number.NEGATIVE_INFINITY, upTo: bounds[bucket] ?? Number.POSITIVE_INFINITY }
}

function exemplarFor({ exemplars }: Sample, { over, upTo }: Range): Exemplar | undefined {
  let found: Exemplar | undefined
  for (const each of exemplars) if (each.value > over && each.value <= upTo) found = each
  return found
}

function writeExemplar(message: MessageWriter, field: number, exemplar: Exemplar | undefined): void {
  if (!exemplar) return
  const start = message.begin(field)
  writeLabels(message, exemplar.labels)
  endExemplar(message, start, exemplar.value, exemplar.seconds)
}
