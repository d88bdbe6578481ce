// Reads protobuf pages with protobufjs, an implementation that is not ours, and spells them as text pages: what a scraper
// of either format must find the same. The messages are those of prometheus/client_model.

import protobuf from 'protobufjs'

const { root } = protobuf.parse(`
  syntax = "proto2";
  package io.prometheus.client;
  message LabelPair { optional string name = 1; optional string value = 2; }
  enum MetricType { COUNTER = 0; GAUGE = 1; SUMMARY = 2; UNTYPED = 3; HISTOGRAM = 4; GAUGE_HISTOGRAM = 5; }
  message Timestamp { optional int64 seconds = 1; optional int32 nanos = 2; }
  message Exemplar { repeated LabelPair label = 1; optional double value = 2; optional Timestamp timestamp = 3; }
  message Gauge { optional double value = 1; }
  message Counter {
    optional double value = 1; optional Exemplar exemplar = 2; optional Timestamp created_timestamp = 3;
  }
  message Untyped { optional double value = 1; }
  message Quantile { optional double quantile = 1; optional double value = 2; }
  message Summary {
    optional uint64 sample_count = 1; optional double sample_sum = 2; repeated Quantile quantile = 3;
    optional Timestamp created_timestamp = 4;
  }
  message Bucket { optional uint64 cumulative_count = 1; optional double upper_bound = 2; optional Exemplar exemplar = 3; }
  message BucketSpan { optional sint32 offset = 1; optional uint32 length = 2; }
  message Histogram {
    optional uint64 sample_count = 1; optional double sample_sum = 2; repeated Bucket bucket = 3;
    optional sint32 schema = 5; optional double zero_threshold = 6; optional uint64 zero_count = 7;
    repeated BucketSpan negative_span = 9; repeated sint64 negative_delta = 10 [packed = true];
    repeated BucketSpan positive_span = 12; repeated sint64 positive_delta = 13 [packed = true];
    optional Timestamp created_timestamp = 15;
  }
  message Metric {
    repeated LabelPair label = 1; optional Gauge gauge = 2; optional Counter counter = 3; optional Summary summary = 4;
    optional Untyped untyped = 5; optional Histogram histogram = 7;
  }
  message MetricFamily {
    optional string name = 1; optional string help = 2; optional MetricType type = 3; repeated Metric metric = 4;
    optional string unit = 5;
  }
`)
const MetricFamily = root.lookupType('io.prometheus.client.MetricFamily')

interface Labelled {
  readonly label?: readonly { readonly name: string; readonly value?: string }[]
}
export interface Exemplar extends Labelled {
  readonly value: number
  readonly timestamp?: { readonly seconds: number; readonly nanos: number }
}
export interface Histogram {
  readonly sampleCount: number
  readonly sampleSum?: number
  readonly bucket?: readonly { cumulativeCount: number; upperBound: number; exemplar?: Exemplar }[]
  readonly schema?: number
  readonly zeroThreshold?: number
  readonly zeroCount?: number
  readonly positiveSpan?: readonly { offset?: number; length?: number }[]
  readonly positiveDelta?: readonly number[]
  readonly negativeSpan?: readonly { offset?: number; length?: number }[]
  readonly negativeDelta?: readonly number[]
}
export interface Metric extends Labelled {
  readonly gauge?: { readonly value: number }
  readonly counter?: { readonly value: number; readonly exemplar?: Exemplar }
  readonly untyped?: { readonly value: number }
  readonly summary?: {
    readonly sampleCount: number
    readonly sampleSum: number
    readonly quantile?: readonly { readonly quantile: number; readonly value: number }[]
  }
  readonly histogram?: Histogram
}
export interface Family {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly unit?: string
  readonly metric?: readonly Metric[]
}

/** Every family of a protobuf page, in order. */
export function decoded(page: Buffer): Family[] {
  const reader = protobuf.Reader.create(page)
  const families: Family[] = []
  while (reader.pos < reader.len) {
    const message = MetricFamily.toObject(MetricFamily.decodeDelimited(reader), { longs: Number, enums: String })
    // The definition above and the interface say the same.
    families.push(message as Family)
  }
  return families
}

/** The same page as it would be in the older text format. */
export function asText(families: readonly Family[]): string {
  return families
    .map(({ name, help, type, metric = [] }) => {
      const shownHelp = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
      return [
        `# HELP ${name} ${shownHelp}`,
        `# TYPE ${name} ${type.toLowerCase()}`,
        ...metric.flatMap(each => linesOf(name, each)),
      ]
        .map(line => `${line}\n`)
        .join('')
    })
    .join('')
}

function linesOf(name: string, { label = [], gauge, counter, untyped, summary, histogram }: Metric): string[] {
  const own = label.map(each => `${each.name}="${escaped(each.value ?? '')}"`)
  const line = (suffix: string, value: number, extra: readonly string[] = []) => {
    const labels = [...own, ...extra].join(',')
    return `${name}${suffix}${labels === '' ? '' : `{${labels}}`} ${spelled(value)}`
  }
  const number = gauge ?? counter ?? untyped
  if (number) return [line('', number.value)]
  if (summary)
    return [
      ...(summary.quantile ?? []).map(each => line('', each.value, [`quantile="${spelled(each.quantile)}"`])),
      line('_sum', summary.sampleSum),
      line('_count', summary.sampleCount),
    ]
  if (!histogram) return []
  return [
    ...(histogram.bucket ?? []).map(each =>
      line('_bucket', each.cumulativeCount, [`le="${spelled(each.upperBound)}"`]),
    ),
    ...(histogram.sampleSum === undefined ? [] : [line('_sum', histogram.sampleSum)]),
    line('_count', histogram.sampleCount),
  ]
}

function spelled(value: number): string {
  return Number.isFinite(value) ? String(value) : Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
