// Prometheus remote write 1.0: every sample is a series of its own, with all its labels.
//
//   WriteRequest = TimeSeries* 1
//   TimeSeries   = Label* 1 {name 1, value 2}, Sample* 2 {value 1, ms 2}, Exemplar* 3 {Label* 1, value 2, ms 3}
//
// prometheus.io/docs/specs/prw/remote_write_spec

import { FIXED64, field, LENGTH, VARINT } from '../../otlp/wire.ts'
import { Writer } from '../../otlp/writer.ts'
import { varints } from '../../protobuf/varint.ts'
import { type Encoder, MOST_BYTES, REQUEST_BYTES, STALE } from './encoder.ts'
import { Exemplar } from './exemplar.ts'
import { compareBytes, type Metric } from './metric.ts'
import { type Sample, samplesOf } from './samples.ts'

const NAME = Buffer.from('__name__')

export class RemoteWrite1 implements Encoder {
  samples = 0
  /** The time of the page, in milliseconds since the epoch. */
  readonly #ms: number
  /** A counter that began since then (seconds) has its beginning written too. */
  readonly #zerosAfter: number
  readonly #writer = new Writer(REQUEST_BYTES + 4096, MOST_BYTES)
  readonly #exemplar = new Exemplar()
  /** Where the bound or quantile of the metric at hand belongs, -1 if it is not known yet. */
  #ownAt = -1
  /** Label messages by what they say, with tag and length. */
  readonly #pieces = new Map<string, Buffer>()

  constructor(ms: number, zerosAfter = Number.POSITIVE_INFINITY) {
    this.#ms = ms
    this.#zerosAfter = zerosAfter
  }

  get bytes(): number {
    return this.#writer.length
  }

  add(metric: Metric, start: number): void {
    const name = before(metric, NAME)
    this.#ownAt = -1
    for (const sample of samplesOf(metric)) this.#series(metric, sample, name, start)
  }

  finish(): Buffer {
    return this.#writer.finish()
  }

  #series(metric: Metric, sample: Sample, nameAt: number, start: number): void {
    const writer = this.#writer
    writer.varint(field(1, LENGTH))
    const series = writer.begin()
    writer.copy(metric.labels, 0, nameAt)
    this.#label('__name__', metric.family.name + sample.suffix)
    if (sample.label === undefined) writer.copy(metric.labels, nameAt, metric.size)
    else {
      // The same label for all samples of a metric.
      if (this.#ownAt < 0) this.#ownAt = before(metric, sample.label.bytes)
      const at = this.#ownAt
      writer.copy(metric.labels, nameAt, at)
      this.#label(sample.label.name, sample.text)
      writer.copy(metric.labels, at, metric.size)
    }
    // 2.0 has a start timestamp for this: without the 0 at its start, the increase of a job that is pushed once is not
    // seen.
    if (!metric.stale && sample.cumulative && start > this.#zerosAfter && start * 1000 < this.#ms) {
      this.#sample(0, Math.floor(start * 1000), false)
      this.samples++
    }
    this.#sample(sample.value, this.#ms, metric.stale)
    this.samples++
    if (sample.exemplar >= 0) this.#exemplarOf(metric, sample.exemplar)
    writer.end(series)
  }

  #sample(value: number, ms: number, stale: boolean): void {
    const writer = this.#writer
    writer.varint(field(2, LENGTH))
    const at = writer.begin()
    writer.varint(field(1, FIXED64))
    if (stale) writer.fixed64(STALE.low, STALE.high)
    else writer.double(value)
    writer.varint(field(2, VARINT))
    writer.varint64(ms >>> 0, Math.floor(ms / 0x100000000))
    writer.end(at)
  }

  #exemplarOf({ page, exemplars }: Metric, index: number): void {
    const exemplar = this.#exemplar
    if (!exemplar.read(page, exemplars[index] ?? 0, exemplars[index + 1] ?? 0)) return
    const writer = this.#writer
    writer.varint(field(3, LENGTH))
    const at = writer.begin()
    for (let i = 0; i < exemplar.at.length; i += 4) {
      writer.varint(field(1, LENGTH))
      const label = writer.begin()
      writer.varint(field(1, LENGTH))
      writer.varint(exemplar.at[i + 1]! - exemplar.at[i]!)
      writer.copy(page, exemplar.at[i]!, exemplar.at[i + 1]!)
      writer.varint(field(2, LENGTH))
      writer.varint(exemplar.at[i + 3]! - exemplar.at[i + 2]!)
      writer.copy(page, exemplar.at[i + 2]!, exemplar.at[i + 3]!)
      writer.end(label)
    }
    writer.varint(field(2, FIXED64))
    writer.double(exemplar.value)
    const ms = Math.floor(exemplar.seconds * 1000)
    writer.varint(field(3, VARINT))
    writer.varint64(ms >>> 0, Math.floor(ms / 0x100000000))
    writer.end(at)
  }

  #label(name: string, value: string): void {
    const key = `${name}\n${value}`
    let piece = this.#pieces.get(key)
    if (!piece) {
      const [one, other] = [Buffer.from(name), Buffer.from(value)]
      const inner = [varints(field(1, LENGTH), one.length), one, varints(field(2, LENGTH), other.length), other]
      const length = inner.reduce((sum, each) => sum + each.length, 0)
      piece = Buffer.concat([varints(field(1, LENGTH), length), ...inner])
      this.#pieces.set(key, piece)
    }
    this.#writer.copy(piece, 0, piece.length)
  }
}

/** Where a label of this name belongs among the canonical labels. */
export function before({ labels, at, size }: Metric, name: Buffer): number {
  for (let i = 0; i < at.length; i += 4)
    if (compareBytes(labels, at[i]!, at[i + 1]!, name, 0, name.length) > 0) return i === 0 ? 0 : at[i - 1]!
  return size
}
