// Goes through a page in the protobuf format of the exposition, metric by metric. The sidecar has written or checked all of it, so
// its bytes need no check.
//
//   page = (length MetricFamily)*    MetricFamily = name 1, help 2, type 3, unit 5, then metric* 4

import { field, LENGTH, Reader, VARINT } from '../../otlp/wire.ts'
import { type Family, GAUGE_HISTOGRAM, HISTOGRAM, type Metric } from './metric.ts'

/** Where a reader stands: before a metric of a family, or between families. */
export interface Place {
  readonly family: Family | undefined
  readonly at: number
  /** The end of the family. */
  readonly end: number
}

export const BEGINNING: Place = { family: undefined, at: 0, end: 0 }

export class PageReader {
  readonly #bytes: Buffer
  readonly #reader = new Reader()
  #family: Family | undefined
  #at: number
  #end: number

  constructor(bytes: Buffer, place = BEGINNING) {
    this.#bytes = bytes
    this.#family = place.family
    this.#at = place.at
    this.#end = place.end
  }

  get place(): Place {
    return { family: this.#family, at: this.#at, end: this.#end }
  }

  /** Reads the next metric; false at the end of the page. */
  next(metric: Metric): boolean {
    for (;;) {
      if (this.#at < this.#end && this.#family) {
        const each = this.#reader.over(this.#bytes, this.#at, this.#end)
        each.next()
        this.#at = each.end
        metric.read(this.#family, this.#bytes, each.start, each.end)
        return true
      }
      if (this.#at >= this.#bytes.length) return false
      this.#open()
    }
  }

  /** The families named so, each with the place of its first metric. */
  *named(name: string): Generator<Place> {
    while (this.#at < this.#bytes.length) {
      this.#open()
      if (this.#family?.name === name) yield this.place
      this.#at = this.#end
    }
  }

  /** Reads the head of a family, up to its first metric. */
  #open(): void {
    const bytes = this.#bytes
    let [length, shift] = [0, 0]
    for (let byte = 128; byte >= 128; shift += 7) {
      byte = bytes[this.#at++]!
      length += (byte & 127) * 2 ** shift
    }
    this.#end = this.#at + length
    // It is our own page; if it were not whole, reading on could take for ever.
    if (!(this.#end <= bytes.length))
      throw new Error(`cannot read the page: a family ends at ${this.#end} of ${bytes.length} bytes`)
    let [name, help, unit, type] = ['', '', '', 0]
    for (const each = this.#reader.over(bytes, this.#at, this.#end); each.next(); ) {
      if (each.tag === field(4, LENGTH)) break
      if (each.tag === field(1, LENGTH)) name = bytes.toString('utf8', each.start, each.end)
      else if (each.tag === field(2, LENGTH)) help = bytes.toString('utf8', each.start, each.end)
      else if (each.tag === field(5, LENGTH)) unit = bytes.toString('utf8', each.start, each.end)
      if (each.tag === field(3, VARINT)) {
        type = each.low
        this.#at = after(bytes, this.#at)
      } else this.#at = each.end
    }
    // The application's own page may have gauge histograms, of which OTLP and remote write 1.0 know nothing.
    this.#family = { name, help, unit, type: type === GAUGE_HISTOGRAM ? HISTOGRAM : type }
  }
}

/** The end of a field whose tag and value are varints. */
function after(bytes: Buffer, at: number): number {
  let pos = at
  while (bytes[pos++]! >= 128);
  while (bytes[pos++]! >= 128);
  return pos
}
