// What one series that came from outside holds, and how it is written in each of the formats.

import { bound, type TextFormat } from './format.ts'
import { labelPairs } from './labels.ts'
import type { Message } from './message.ts'
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

/** A histogram with exponential buckets: native in protobuf, and with few classic buckets in every format. */
export interface NativeDistribution {
  readonly native: NativeHistogram
  readonly sum: number | undefined
}

export interface Quantiles {
  readonly count: number
  readonly sum: number
  readonly quantiles: readonly (readonly [quantile: number, value: number])[]
}

/** A measurement that stands for others, with the trace it was made in. */
export interface Exemplar {
  /** A label text: trace_id, span_id and perhaps more, 128 characters at most. */
  readonly labels: string
  readonly value: number
  /** Seconds since the epoch, or 0 if unknown. */
  readonly seconds: number
}

/** One series or, of a histogram or summary, all the series of one label set. */
export interface Sample {
  /** A label text (labels.ts). */
  readonly labels: string
  readonly value: ImportedValue
  /** Oldest first: of two in one bucket the later one is shown. */
  readonly exemplars: Iterable<Exemplar>
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
  const { value, labels } = sample
  if (typeof value === 'number') {
    writeNumber(page, type === 'counter' || type === 'gauge' ? type : 'untyped', labels, value, (message, field) =>
      writeExemplar(message, field, exemplarFor(sample, ANY)),
    )
    return 1
  }
  if ('quantiles' in value) {
    writeSummary(page, labels, value.count, value.sum, value.quantiles)
    return value.quantiles.length + 2
  }
  const { bounds, counts } = 'native' in value ? classic(value.native) : value
  writeHistogram(page, labels, {
    sum: () => value.sum,
    bounds,
    count: bucket => counts[bucket] ?? 0,
    exemplar: (message, field, bucket) => writeExemplar(message, field, exemplarFor(sample, bucketOf(bounds, bucket))),
    native: () => ('native' in value ? value.native : undefined),
  })
  return counts.length + 2
}

/** The sample as prom-client has them, for those who ask its Registry. */
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
  /** The label of this line alone. */
  readonly label: string
  readonly value: number
  /** Whose exemplars may stand on the line. */
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
  // OpenMetrics: the sum counts as a counter, which it is not once values below 0 are observed; and a histogram has both
  // sum and count or neither.
  const counterLike = sum !== undefined && sum >= 0 && !((bounds[0] ?? 0) < 0)
  if (sum !== undefined && (format === 'text' || counterLike)) yield { suffix: '_sum', label: '', value: sum }
  if (format === 'text' || counterLike) yield { suffix: '_count', label: '', value: total }
}

function bucketOf(bounds: readonly number[], bucket: number): Range {
  return { over: bounds[bucket - 1] ?? Number.NEGATIVE_INFINITY, upTo: bounds[bucket] ?? Number.POSITIVE_INFINITY }
}

function exemplarFor({ exemplars }: Sample, { over, upTo }: Range): Exemplar | undefined {
  let found: Exemplar | undefined
  for (const each of exemplars) if (each.value > over && each.value <= upTo) found = each
  return found
}

function writeExemplar(message: Message, field: number, exemplar: Exemplar | undefined): void {
  if (!exemplar) return
  const start = message.begin(field)
  writeLabels(message, exemplar.labels)
  endExemplar(message, start, exemplar.value, exemplar.seconds)
}
