// Prometheus remote write 2.0: texts stand once in a table of symbols, and each series says its type, help, unit and start.
//
//   Request    = symbol* 4, TimeSeries* 5
//   TimeSeries = label refs 1 (packed), Sample* 2 {value 1, ms 2, start ms 3}, Histogram* 3, Exemplar* 4 {label refs 1, value 2, ms 3},
//                Metadata 5 {type 1, help ref 3, unit ref 4}
//   Histogram  = count 1, sum 3, … (native.ts), ms 15, start ms 17
//
// prometheus.io/docs/specs/prw/remote_write_spec_2_0

import { FIXED64, field, LENGTH, VARINT } from '../../otlp/wire.ts'
import { Writer } from '../../otlp/writer.ts'
import { type Encoder, MOST_BYTES, REQUEST_BYTES, STALE } from './encoder.ts'
import { Exemplar } from './exemplar.ts'
import { COUNTER, compareBytes, type Family, GAUGE, HISTOGRAM, type Metric, SUMMARY } from './metric.ts'
import { writeSparse } from './native.ts'
import { type Sample, samplesOf } from './samples.ts'
import { SymbolTable } from './symbol-table.ts'

/** io.prometheus.write.v2.Metadata.MetricType. */
const TYPES: ReadonlyMap<number, number> = new Map([
  [COUNTER, 1],
  [GAUGE, 2],
  [HISTOGRAM, 3],
  [SUMMARY, 5],
])

const NAME = Buffer.from('__name__')

export class RemoteWrite2 implements Encoder {
  samples = 0
  /** Native histograms among the samples; the receiver counts them apart. */
  histograms = 0
  /** The time of the page, in milliseconds since the epoch. */
  readonly #ms: number
  readonly #natives: boolean
  readonly #symbols = new SymbolTable()
  readonly #series = new Writer(REQUEST_BYTES + 4096, MOST_BYTES)
  readonly #exemplar = new Exemplar()
  /** The labels of the metric at hand: references in pairs, and where the name goes. */
  readonly #refs: number[] = []
  /** Places among the references for the name, and for the bound or quantile (-1 if it is not known yet). */
  #nameAt = 0
  #ownAt = -1
  /** The family at hand, and its references. */
  #family: Family | undefined
  #helpRef = 0
  #unitRef = 0
  #nameLabel = 0
  readonly #names = new Map<string, number>()

  constructor(ms: number, natives: boolean) {
    this.#ms = ms
    this.#natives = natives
  }

  get bytes(): number {
    return this.#series.length + this.#symbols.bytes
  }

  add(metric: Metric, start: number): void {
    const { labels, at } = metric
    this.#refs.length = 0
    this.#nameAt = place(metric, NAME)
    this.#ownAt = -1
    if (this.#family !== metric.family) this.#begin(metric.family)
    for (let i = 0; i < at.length; i += 2) this.#refs.push(this.#symbols.ref(labels, at[i]!, at[i + 1]!))
    for (const sample of samplesOf(metric)) {
      const series = this.#open(metric, sample.suffix, sample)
      if (metric.stale) this.#mark()
      else this.#sample(sample, sample.cumulative ? start : 0)
      if (sample.exemplar >= 0) this.#exemplarOf(metric, sample.exemplar)
      this.#metadata(metric.family)
      this.#series.end(series)
      this.samples++
    }
    if (!this.#natives) return
    if (metric.nativeEnd > 0) this.#native(metric, start)
    // A sample that says so ends a series of histograms too.
    else if (metric.wasNative) this.#ended(metric)
  }

  finish(): Buffer {
    const request = new Writer(this.bytes + 8192, MOST_BYTES)
    this.#symbols.write(request)
    const series = this.#series.finish()
    request.copy(series, 0, series.length)
    return request.finish()
  }

  #open(metric: Metric, suffix: string, sample?: Sample): number {
    const writer = this.#series
    writer.varint(field(5, LENGTH))
    const series = writer.begin()
    writer.varint(field(1, LENGTH))
    const refs = writer.begin()
    const name = this.#nameOf(metric.family, suffix)
    const nameAt = this.#nameAt
    // The same label for all samples of a metric.
    if (sample?.label && this.#ownAt < 0) this.#ownAt = place(metric, sample.label.bytes)
    const own = sample?.label ? this.#ownAt : -1
    for (let i = 0; i <= this.#refs.length; i += 2) {
      if (i === nameAt) {
        writer.varint(this.#nameLabel)
        writer.varint(name)
      }
      if (i === own && sample?.label) {
        writer.varint(this.#symbols.text(sample.label.name))
        writer.varint(this.#symbols.text(sample.text))
      }
      if (i === this.#refs.length) break
      writer.varint(this.#refs[i]!)
      writer.varint(this.#refs[i + 1]!)
    }
    writer.end(refs)
    return series
  }

  #sample({ value }: Sample, start: number): void {
    const writer = this.#series
    writer.varint(field(2, LENGTH))
    const at = writer.begin()
    writer.varint(field(1, FIXED64))
    writer.double(value)
    this.#time(2, this.#ms)
    if (start > 0) this.#time(3, Math.floor(start * 1000))
    writer.end(at)
  }

  #ended(metric: Metric): void {
    const series = this.#open(metric, '')
    this.#mark()
    this.#metadata(metric.family)
    this.#series.end(series)
    this.samples++
  }

  #mark(): void {
    const writer = this.#series
    writer.varint(field(2, LENGTH))
    const at = writer.begin()
    writer.varint(field(1, FIXED64))
    writer.fixed64(STALE.low, STALE.high)
    this.#time(2, this.#ms)
    writer.end(at)
  }

  #native(metric: Metric, start: number): void {
    const writer = this.#series
    const series = this.#open(metric, '')
    writer.varint(field(3, LENGTH))
    const at = writer.begin()
    writer.varint(field(1, VARINT))
    writer.varint64(metric.value >>> 0, Math.floor(metric.value / 0x100000000))
    writer.varint(field(3, FIXED64))
    writer.double(metric.sum)
    writeSparse(writer, metric)
    this.#time(15, this.#ms)
    if (start > 0) this.#time(17, Math.floor(start * 1000))
    writer.end(at)
    this.#metadata(metric.family)
    writer.end(series)
    this.samples++
    this.histograms++
  }

  #exemplarOf({ page, exemplars }: Metric, index: number): void {
    const exemplar = this.#exemplar
    if (!exemplar.read(page, exemplars[index] ?? 0, exemplars[index + 1] ?? 0)) return
    const writer = this.#series
    writer.varint(field(4, LENGTH))
    const at = writer.begin()
    writer.varint(field(1, LENGTH))
    const refs = writer.begin()
    for (let i = 0; i < exemplar.at.length; i += 2)
      writer.varint(this.#symbols.ref(page, exemplar.at[i]!, exemplar.at[i + 1]!))
    writer.end(refs)
    writer.varint(field(2, FIXED64))
    writer.double(exemplar.value)
    this.#time(3, Math.floor(exemplar.seconds * 1000))
    writer.end(at)
  }

  #begin(family: Family): void {
    this.#family = family
    this.#names.clear()
    this.#helpRef = this.#symbols.text(family.help)
    this.#unitRef = this.#symbols.text(family.unit)
    this.#nameLabel = this.#symbols.text('__name__')
  }

  #nameOf(family: Family, suffix: string): number {
    const known = this.#names.get(suffix)
    if (known !== undefined) return known
    const ref = this.#symbols.text(family.name + suffix)
    this.#names.set(suffix, ref)
    return ref
  }

  #metadata({ type }: Family): void {
    const writer = this.#series
    writer.varint(field(5, LENGTH))
    const at = writer.begin()
    writer.varint(field(1, VARINT))
    writer.varint(TYPES.get(type) ?? 0)
    writer.varint(field(3, VARINT))
    writer.varint(this.#helpRef)
    writer.varint(field(4, VARINT))
    writer.varint(this.#unitRef)
    writer.end(at)
  }

  #time(number: number, ms: number): void {
    this.#series.varint(field(number, VARINT))
    this.#series.varint64(ms >>> 0, Math.floor(ms / 0x100000000))
  }
}

/** Where a label of this name belongs among the references. */
function place({ labels, at }: Metric, name: Buffer): number {
  for (let i = 0; i < at.length; i += 4)
    if (compareBytes(labels, at[i]!, at[i + 1]!, name, 0, name.length) > 0) return i / 2
  return at.length / 2
}
