// Which spans stand in the ring of pinned spans: senders repeat spans, and some send the same ones all the time.
// Without it, each repetition of a pinned span would be copied when it leaves, at ten times the cost of keeping it.
//
// The spans of one hash are a chain of records, as those of a trace are: see ring.ts.

import { hashOfFour } from '../metrics/hash.ts'
import { word } from '../metrics/word.ts'
import type { Cursor } from './cursor.ts'
import { distance } from './record.ts'
import type { Ring } from './ring.ts'
import { sameWords } from './words.ts'

export class Copied {
  readonly #ring: Ring
  readonly #cursor: Cursor
  /** The low 32 bits of the number of the newest record of each hash, and of the distance to the record before each one. */
  readonly #heads: Int32Array
  readonly #previous: Int32Array
  readonly #shift: number

  constructor(ring: Ring) {
    const bits = Math.max(1, Math.ceil(Math.log2(ring.most)))
    this.#ring = ring
    this.#cursor = ring.cursor()
    this.#heads = new Int32Array(2 ** bits)
    this.#previous = new Int32Array(ring.most)
    this.#shift = 32 - bits
  }

  /** Bytes for each span of the ring. */
  static readonly BYTES = 12

  /** Notes a span that stands in the ring now, with this number. */
  add(slot: number, number: number): void {
    this.#previous[this.#ring.index(number)] = number - this.#heads[slot]!
    this.#heads[slot] = number | 0
  }

  /** Whether the span of a cursor of another ring, whose bytes are `data`, stands in this one, by its ids and its kind. */
  has(slot: number, cursor: Cursor, data: DataView): boolean {
    const { oldest, next, data: own } = this.#ring
    const copy = this.#cursor
    for (let number = next - distance(next - this.#heads[slot]!); number >= oldest; ) {
      copy.at(number)
      if (
        copy.traceHash === cursor.traceHash &&
        copy.kind === cursor.kind &&
        sameWords(data, cursor.spanId, own, copy.spanId, 8) &&
        sameWords(data, cursor.traceId, own, copy.traceId, 16)
      )
        return true
      number -= distance(this.#previous[this.#ring.index(number)]!)
    }
    return false
  }

  /** The slot of the span of a cursor of any ring. */
  slot(cursor: Cursor): number {
    const { bytes, spanId } = cursor
    return hashOfFour(word(bytes, spanId), word(bytes, spanId + 4), cursor.traceHash, cursor.kind) >>> this.#shift
  }
}
