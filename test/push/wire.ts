// Requests of the push as a receiver gets them, read by protobufjs with the published schemas.

import { gunzipSync } from 'node:zlib'
import protobuf from 'protobufjs'
import { decoder } from '../otlp/protobufjs.ts'
import { uncompress } from './unsnappy.ts'

const { root } = protobuf.parse(`
  syntax = "proto3";
  package prometheus;
  message WriteRequest { repeated TimeSeries timeseries = 1; }
  message Label { string name = 1; string value = 2; }
  message Sample { double value = 1; int64 timestamp = 2; }
  message Exemplar { repeated Label labels = 1; double value = 2; int64 timestamp = 3; }
  message TimeSeries { repeated Label labels = 1; repeated Sample samples = 2; repeated Exemplar exemplars = 3; }
`)
const { root: second } = protobuf.parse(`
  syntax = "proto3";
  package io.prometheus.write.v2;
  message Request { repeated string symbols = 4; repeated TimeSeries timeseries = 5; }
  message Sample { double value = 1; int64 timestamp = 2; int64 start_timestamp = 3; }
  message Exemplar { repeated uint32 labels_refs = 1; double value = 2; int64 timestamp = 3; }
  message Metadata { int32 type = 1; uint32 help_ref = 3; uint32 unit_ref = 4; }
  message BucketSpan { sint32 offset = 1; uint32 length = 2; }
  message Histogram {
    uint64 count_int = 1; double sum = 3; sint32 schema = 4; double zero_threshold = 5; uint64 zero_count_int = 6;
    repeated BucketSpan negative_spans = 8; repeated sint64 negative_deltas = 9;
    repeated BucketSpan positive_spans = 11; repeated sint64 positive_deltas = 12;
    int64 timestamp = 15; int64 start_timestamp = 17;
  }
  message TimeSeries {
    repeated uint32 labels_refs = 1; repeated Sample samples = 2; repeated Histogram histograms = 3;
    repeated Exemplar exemplars = 4; Metadata metadata = 5;
  }
`)
const WriteRequest = root.lookupType('prometheus.WriteRequest')
const Request2 = second.lookupType('io.prometheus.write.v2.Request')
const Metrics = decoder('metrics')

export interface Point {
  readonly value: number
  /** Milliseconds since the epoch. */
  readonly ms: number
  readonly startMs: number
  readonly stale: boolean
}

export interface Histogram {
  readonly countInt: number
  readonly sum: number
  readonly schema: number
  readonly zeroCountInt: number
  readonly positiveSpans: readonly { readonly offset: number; readonly length: number }[]
  readonly positiveDeltas: readonly number[]
  readonly startTimestamp: number
}

export interface Series {
  /** name{label="value",…}, labels in the order of the body. */
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly points: readonly Point[]
  readonly histograms: readonly Histogram[]
  readonly exemplars: readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[]
  readonly type?: number
  readonly help?: string
  readonly unit?: string
}

const STALE = Buffer.from('020000000000f07f', 'hex')

interface Wire1 {
  timeseries: {
    labels: { name: string; value: string }[]
    samples: { value: number; timestamp: number }[]
    exemplars: { labels: { name: string; value: string }[]; value: number }[]
  }[]
}

/** The series of a request of remote write 1.0. Throws if labels are not sorted, occur twice or are empty. */
export function series1(body: Buffer): Series[] {
  const plain = uncompress(body)
  const { timeseries } = objectOf(WriteRequest, plain) as Wire1
  const stale = stales(plain)
  return timeseries.map(each =>
    built(
      each.labels,
      each.samples.map(({ value, timestamp }) => ({
        value,
        ms: timestamp,
        startMs: 0,
        stale: stale && Number.isNaN(value),
      })),
      { exemplars: each.exemplars.map(({ labels, value }) => ({ labels: pairsOf(labels), value })) },
    ),
  )
}

interface Wire2 {
  symbols: string[]
  timeseries: {
    labelsRefs: number[]
    samples: { value: number; timestamp: number; startTimestamp: number }[]
    histograms: Histogram[]
    exemplars: { labelsRefs: number[]; value: number }[]
    metadata: { type: number; helpRef: number; unitRef: number }
  }[]
}

/** The series of a request of remote write 2.0. */
export function series2(body: Buffer): Series[] {
  const plain = uncompress(body)
  const { symbols, timeseries } = objectOf(Request2, plain) as Wire2
  if (symbols[0] !== '') throw new Error('the first symbol is not empty')
  if (new Set(symbols).size !== symbols.length) throw new Error('a symbol occurs twice')
  const labels = (refs: readonly number[]) =>
    Array.from({ length: refs.length / 2 }, (_, i) => ({ name: text(refs[2 * i]!), value: text(refs[2 * i + 1]!) }))
  const text = (ref: number): string => {
    const found = symbols[ref]
    if (found === undefined) throw new Error(`no symbol ${ref}`)
    return found
  }
  const stale = stales(plain)
  return timeseries.map(each => ({
    ...built(
      labels(each.labelsRefs),
      each.samples.map(({ value, timestamp, startTimestamp }) => ({
        value,
        ms: timestamp,
        startMs: startTimestamp,
        stale: stale && Number.isNaN(value),
      })),
      { exemplars: each.exemplars.map(({ labelsRefs, value }) => ({ labels: pairsOf(labels(labelsRefs)), value })) },
    ),
    histograms: each.histograms,
    type: each.metadata.type,
    help: text(each.metadata.helpRef),
    unit: text(each.metadata.unitRef),
  }))
}

export interface OtlpPoint {
  readonly startTimeUnixNano: string
  readonly timeUnixNano: string
  readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue?: string } }[]
  readonly flags: number
  readonly asDouble?: number
  readonly count?: string
  readonly sum?: number
  readonly bucketCounts?: readonly string[]
  readonly explicitBounds?: readonly number[]
  readonly quantileValues?: readonly { readonly quantile: number; readonly value: number }[]
  readonly scale?: number
  readonly zeroCount?: string
  readonly zeroThreshold?: number
  readonly positive?: { readonly offset: number; readonly bucketCounts: readonly string[] }
  readonly exemplars?: readonly { readonly traceId: string; readonly spanId: string; readonly asDouble: number }[]
}

interface Data {
  readonly dataPoints: readonly OtlpPoint[]
  readonly isMonotonic?: boolean
  readonly aggregationTemporality?: number
}

export interface OtlpMetric {
  readonly name: string
  readonly description: string
  readonly unit: string
  readonly gauge?: Data
  readonly sum?: Data
  readonly histogram?: Data
  readonly exponentialHistogram?: Data
  readonly summary?: Data
}

export interface OtlpResource {
  readonly resource: Readonly<Record<string, string>>
  readonly scope: { readonly name: string; readonly version: string }
  readonly metrics: readonly OtlpMetric[]
}

interface OtlpWire {
  resourceMetrics: {
    resource: { attributes: { key: string; value: { stringValue: string } }[] }
    scopeMetrics: { scope: { name: string; version: string }; metrics: OtlpMetric[] }[]
  }[]
}

/** The resources of an OTLP request. */
export function otlp(body: Buffer, encoding: string | undefined): OtlpResource[] {
  const plain = encoding === 'gzip' ? gunzipSync(body) : body
  const message = Metrics.toObject(Metrics.decode(plain), {
    longs: String,
    bytes: String,
    arrays: true,
    defaults: true,
    oneofs: true,
  })
  return (message as unknown as OtlpWire).resourceMetrics.flatMap(({ resource, scopeMetrics }) =>
    scopeMetrics.map(({ scope, metrics }) => ({
      resource: Object.fromEntries(resource.attributes.map(({ key, value }) => [key, value.stringValue])),
      scope,
      metrics,
    })),
  )
}

function objectOf(type: protobuf.Type, plain: Buffer): unknown {
  return type.toObject(type.decode(plain), { longs: Number, arrays: true, defaults: true })
}

/** Whether the body has the marker, whose bits JavaScript does not keep apart from those of other NaNs. */
function stales(plain: Buffer): boolean {
  return plain.includes(STALE)
}

function built(
  labels: readonly { name: string; value: string }[],
  points: readonly Point[],
  more: Pick<Series, 'exemplars'>,
): Series {
  for (const [i, { name, value }] of labels.entries()) {
    if (value === '') throw new Error(`the label ${name} is empty`)
    if (i > 0 && Buffer.compare(Buffer.from(labels[i - 1]!.name), Buffer.from(name)) >= 0)
      throw new Error(`labels are not sorted: ${labels[i - 1]!.name}, ${name}`)
  }
  const all = pairsOf(labels)
  const { __name__: name = '', ...rest } = all
  return { name, labels: rest, points, histograms: [], ...more }
}

function pairsOf(labels: readonly { name: string; value: string }[]): Record<string, string> {
  return Object.fromEntries(labels.map(({ name, value }) => [name, value]))
}
