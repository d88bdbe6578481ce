// The page as OTLP metrics: counters as cumulative sums, gauges, histograms, exponential histograms, summaries. Series
// of one resource and scope stand together. Metrics that the application sent as OTLP go back under their own resource
// and scope, which are labels on the page (opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics).
//
//   Request = ResourceMetrics* 1    ResourceMetrics = Resource 1 {attribute* 1}, ScopeMetrics* 2
//   ScopeMetrics = Scope 1 {name 1, version 2, attribute* 3}, Metric* 2, schema URL 3
//   Metric  = name 1, description 2, unit 3, gauge 5 | sum 7 | histogram 9 | exponential histogram 10 | summary 11
//   gauge … summary = point* 1, temporality 2, monotonic 3
//   points: see below    attribute = key 1, value 2 {text 1}

import { FIXED64, field, LENGTH, VARINT } from '../../otlp/wire.ts'
import { Writer } from '../../otlp/writer.ts'
import { type Encoder, MOST_BYTES } from './encoder.ts'
import { Exemplar } from './exemplar.ts'
import { COUNTER, type Family, HISTOGRAM, type Metric, SUMMARY, UNTYPED } from './metric.ts'
import { type Dense, type Native, readNative } from './native.ts'
import { type Attribute, Resources } from './resources.ts'

const CUMULATIVE = 2
const NO_RECORDED_VALUE = 1

/** The field of a Metric that holds the points. */
const GAUGE_DATA = 5
const SUM_DATA = 7
const HISTOGRAM_DATA = 9
const EXPONENTIAL_DATA = 10
const SUMMARY_DATA = 11

/** Base units of Prometheus, in UCUM, which OTLP speaks. */
const UNITS: Readonly<Record<string, string>> = { seconds: 's', bytes: 'By', ratio: '1', celsius: 'Cel', joules: 'J' }

/** The metrics of one resource and scope, under construction. */
interface Group {
  readonly resource: readonly Attribute[]
  readonly scope: readonly Attribute[]
  readonly writer: Writer
  /** The open Metric: its family, the field of its data, and where both began. */
  family: Family | undefined
  data: number
  metricAt: number
  dataAt: number
}

export class Otlp implements Encoder {
  samples = 0
  readonly #natives: boolean
  readonly #resources: Resources
  readonly #groups = new Map<string, Group>()
  readonly #exemplar = new Exemplar()
  #closed = 0
  #start = 0
  #startNanos: Nanos = { low: 0, high: 0 }
  readonly #time: Nanos

  /** `ms` is the time of the page, in milliseconds since the epoch. */
  constructor(ms: number, natives: boolean, resources: Resources) {
    this.#natives = natives
    this.#resources = resources
    this.#time = nanos(ms / 1000)
  }

  get bytes(): number {
    let bytes = this.#closed
    for (const { writer } of this.#groups.values()) bytes += writer.length
    return bytes
  }

  add(metric: Metric, start: number): void {
    const { family } = metric
    // It is told by the attributes of its resource.
    if (family.name === Resources.INFO) return
    const native = this.#natives && metric.nativeEnd > 0 ? readNative(metric) : undefined
    const group = this.#group(metric)
    const ended = metric.stale && metric.wasNative && this.#natives
    const data = native || ended ? EXPONENTIAL_DATA : dataOf(family)
    this.#open(group, family, data)
    const { writer } = group
    writer.varint(field(1, LENGTH))
    const point = writer.begin()
    const attributes = data === HISTOGRAM_DATA ? 9 : data === EXPONENTIAL_DATA ? 1 : 7
    this.#attributes(writer, attributes, metric)
    if (start > 0 && data !== GAUGE_DATA) this.#fixed(writer, 2, this.#nanosOf(start))
    this.#fixed(writer, 3, this.#time)
    switch (data) {
      case HISTOGRAM_DATA:
        this.#histogram(writer, metric)
        break
      case EXPONENTIAL_DATA:
        if (native) this.#exponential(writer, metric, native)
        break
      case SUMMARY_DATA:
        this.#summary(writer, metric)
        break
      default:
        if (!metric.stale) {
          writer.varint(field(4, FIXED64))
          writer.double(metric.value)
          if (family.type === COUNTER) this.#exemplarOf(writer, 5, metric, 0)
        }
    }
    if (metric.stale) {
      writer.varint(field(data === HISTOGRAM_DATA || data === EXPONENTIAL_DATA ? 10 : 8, VARINT))
      writer.varint(NO_RECORDED_VALUE)
    }
    writer.end(point)
    this.samples++
  }

  finish(): Buffer {
    const request = new Writer(this.bytes + 8192, MOST_BYTES)
    for (const group of this.#groups.values()) {
      close(group)
      const metrics = group.writer.finish()
      request.varint(field(1, LENGTH))
      const resourceMetrics = request.begin()
      request.varint(field(1, LENGTH))
      const resource = request.begin()
      for (const [key, value] of group.resource) attribute(request, 1, key, value)
      request.end(resource)
      request.varint(field(2, LENGTH))
      const scopeMetrics = request.begin()
      this.#scope(request, group.scope)
      request.copy(metrics, 0, metrics.length)
      const url = group.scope.find(([key]) => key === 'schema_url')?.[1]
      if (url !== undefined) text(request, 3, url)
      request.end(scopeMetrics)
      request.end(resourceMetrics)
    }
    return request.finish()
  }

  #scope(request: Writer, scope: readonly Attribute[]): void {
    request.varint(field(1, LENGTH))
    const at = request.begin()
    for (const [key, value] of scope)
      if (key === 'name') text(request, 1, value)
      else if (key === 'version') text(request, 2, value)
      else if (key !== 'schema_url') attribute(request, 3, key, value)
    request.end(at)
  }

  #group(metric: Metric): Group {
    const { key, resource, scope } = this.#resources.of(metric)
    const known = this.#groups.get(key)
    if (known) return known
    const group: Group = {
      resource,
      scope,
      writer: new Writer(4096, MOST_BYTES),
      family: undefined,
      data: 0,
      metricAt: 0,
      dataAt: 0,
    }
    this.#groups.set(key, group)
    this.#closed += [...resource, ...scope].reduce((sum, [name, value]) => sum + name.length + value.length + 10, 32)
    return group
  }

  #open(group: Group, family: Family, data: number): void {
    if (group.family === family && group.data === data) return
    close(group)
    const { writer } = group
    group.family = family
    group.data = data
    writer.varint(field(2, LENGTH))
    group.metricAt = writer.begin()
    text(writer, 1, family.name)
    if (family.help !== '') text(writer, 2, family.help)
    if (family.unit !== '') text(writer, 3, UNITS[family.unit] ?? family.unit)
    // The type of what no type is known of is lost otherwise.
    if (family.type === UNTYPED) attribute(writer, 12, 'prometheus.type', 'unknown')
    writer.varint(field(data, LENGTH))
    group.dataAt = writer.begin()
    if (data === SUM_DATA || data === HISTOGRAM_DATA || data === EXPONENTIAL_DATA) {
      writer.varint(field(2, VARINT))
      writer.varint(CUMULATIVE)
    }
    if (data === SUM_DATA) {
      writer.varint(field(3, VARINT))
      writer.varint(1)
    }
  }

  #attributes(writer: Writer, number: number, { labels, at }: Metric): void {
    for (let i = 0; i < at.length; i += 4) {
      if (Resources.owns(labels, at[i]!, at[i + 1]!)) continue
      const [nameStart, nameEnd, valueStart, valueEnd] = [at[i]!, at[i + 1]!, at[i + 2]!, at[i + 3]!]
      writer.varint(field(number, LENGTH))
      const pair = writer.begin()
      writer.varint(field(1, LENGTH))
      writer.varint(nameEnd - nameStart)
      writer.copy(labels, nameStart, nameEnd)
      writer.varint(field(2, LENGTH))
      const value = writer.begin()
      writer.varint(field(1, LENGTH))
      writer.varint(valueEnd - valueStart)
      writer.copy(labels, valueStart, valueEnd)
      writer.end(value)
      writer.end(pair)
    }
  }

  // HistogramDataPoint = attribute* 9, start 2, time 3, count 4, sum 5, counts 6 (packed), bounds 7 (packed), exemplar* 8, flags 10
  #histogram(writer: Writer, metric: Metric): void {
    const { bounds, counts } = metric
    writer.varint(field(4, FIXED64))
    writer.fixed64(metric.value >>> 0, Math.floor(metric.value / 0x100000000))
    // The sum must be there for a metric that has ended too: Prometheus would not end its series otherwise.
    if (metric.hasSum) {
      writer.varint(field(5, FIXED64))
      writer.double(metric.sum)
    }
    writer.varint(field(6, LENGTH))
    writer.varint(8 * bounds.length)
    for (let i = 0; i < counts.length; i++) {
      const own = Math.max(0, counts[i]! - (counts[i - 1] ?? 0))
      writer.fixed64(own >>> 0, Math.floor(own / 0x100000000))
    }
    // The last bound is infinity, which OTLP leaves out.
    if (bounds.length > 1) {
      writer.varint(field(7, LENGTH))
      writer.varint(8 * (bounds.length - 1))
      for (let i = 0; i < bounds.length - 1; i++) writer.double(bounds[i]!)
    }
    if (!metric.stale) for (let i = 0; i < bounds.length; i++) this.#exemplarOf(writer, 8, metric, 2 * i)
  }

  // ExponentialHistogramDataPoint = attribute* 1, start 2, time 3, count 4, sum 5, scale 6, zero count 7, positive 8, negative 9,
  //                                 flags 10, exemplar* 11, zero threshold 14
  #exponential(writer: Writer, metric: Metric, native: Native): void {
    writer.varint(field(4, FIXED64))
    writer.fixed64(metric.value >>> 0, Math.floor(metric.value / 0x100000000))
    if (metric.hasSum) {
      writer.varint(field(5, FIXED64))
      writer.double(metric.sum)
    }
    writer.varint(field(6, VARINT))
    writer.varint(zigzag(native.scale))
    writer.varint(field(7, FIXED64))
    writer.fixed64(native.zeroCount >>> 0, Math.floor(native.zeroCount / 0x100000000))
    buckets(writer, 8, native.positive)
    buckets(writer, 9, native.negative)
    for (let i = 0; i < metric.bounds.length; i++) this.#exemplarOf(writer, 11, metric, 2 * i)
    writer.varint(field(14, FIXED64))
    writer.double(native.zeroThreshold)
  }

  // SummaryDataPoint = attribute* 7, start 2, time 3, count 4, sum 5, quantile* 6 {quantile 1, value 2}, flags 8
  #summary(writer: Writer, metric: Metric): void {
    writer.varint(field(4, FIXED64))
    writer.fixed64(metric.value >>> 0, Math.floor(metric.value / 0x100000000))
    writer.varint(field(5, FIXED64))
    writer.double(metric.sum)
    for (let i = 0; i < metric.bounds.length; i++) {
      writer.varint(field(6, LENGTH))
      const at = writer.begin()
      writer.varint(field(1, FIXED64))
      writer.double(metric.bounds[i]!)
      writer.varint(field(2, FIXED64))
      writer.double(metric.counts[i]!)
      writer.end(at)
    }
  }

  // Exemplar = time 2, value 3, span id 4, trace id 5, attribute* 7
  #exemplarOf(writer: Writer, number: number, { page, exemplars }: Metric, index: number): void {
    const exemplar = this.#exemplar
    if (!exemplar.read(page, exemplars[index] ?? 0, exemplars[index + 1] ?? 0)) return
    writer.varint(field(number, LENGTH))
    const at = writer.begin()
    this.#fixed(writer, 2, nanos(exemplar.seconds))
    writer.varint(field(3, FIXED64))
    writer.double(exemplar.value)
    for (let i = 0; i < exemplar.at.length; i += 4) {
      const name = page.toString('latin1', exemplar.at[i]!, exemplar.at[i + 1]!)
      const value = page.toString('utf8', exemplar.at[i + 2]!, exemplar.at[i + 3]!)
      const bytes = name === 'trace_id' ? id(value, 16) : name === 'span_id' ? id(value, 8) : undefined
      if (bytes) {
        writer.varint(field(name === 'trace_id' ? 5 : 4, LENGTH))
        writer.varint(bytes.length)
        writer.copy(bytes, 0, bytes.length)
      } else attribute(writer, 7, name, value)
    }
    writer.end(at)
  }

  #fixed(writer: Writer, number: number, { low, high }: Nanos): void {
    writer.varint(field(number, FIXED64))
    writer.fixed64(low, high)
  }

  /** Many series in a row have one start. */
  #nanosOf(start: number): Nanos {
    if (start !== this.#start) {
      this.#start = start
      this.#startNanos = nanos(start)
    }
    return this.#startNanos
  }
}

function dataOf({ type }: Family): number {
  switch (type) {
    case COUNTER:
      return SUM_DATA
    case HISTOGRAM:
      return HISTOGRAM_DATA
    case SUMMARY:
      return SUMMARY_DATA
    default:
      return GAUGE_DATA
  }
}

function close(group: Group): void {
  if (!group.family) return
  group.writer.end(group.dataAt)
  group.writer.end(group.metricAt)
  group.family = undefined
}

function buckets(writer: Writer, number: number, { offset, counts }: Dense): void {
  if (counts.length === 0) return
  writer.varint(field(number, LENGTH))
  const at = writer.begin()
  writer.varint(field(1, VARINT))
  writer.varint(zigzag(offset))
  writer.varint(field(2, LENGTH))
  const packed = writer.begin()
  for (const count of counts) writer.varint64(count >>> 0, Math.floor(count / 0x100000000))
  writer.end(packed)
  writer.end(at)
}

function text(writer: Writer, number: number, value: string): void {
  writer.varint(field(number, LENGTH))
  const at = writer.begin()
  writer.text(value)
  writer.end(at)
}

function attribute(writer: Writer, number: number, key: string, value: string): void {
  writer.varint(field(number, LENGTH))
  const pair = writer.begin()
  text(writer, 1, key)
  writer.varint(field(2, LENGTH))
  const any = writer.begin()
  text(writer, 1, value)
  writer.end(any)
  writer.end(pair)
}

interface Nanos {
  readonly low: number
  readonly high: number
}

/** Seconds since the epoch as the two halves of their nanoseconds, exact to the microsecond, as far as the seconds are. */
function nanos(seconds: number): Nanos {
  const all = BigInt(Math.round(seconds * 1e6)) * 1000n
  return { low: Number(all & 0xffffffffn), high: Number(all >> 32n) }
}

function zigzag(value: number): number {
  return ((value << 1) ^ (value >> 31)) >>> 0
}

/** An id in hexadecimal digits as bytes; undefined if it is none. */
function id(digits: string, bytes: number): Buffer | undefined {
  return /^[\da-f]+$/i.test(digits) && digits.length === 2 * bytes ? Buffer.from(digits, 'hex') : undefined
}
