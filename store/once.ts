// The spans of one trace that have been seen, by span id and kind: SDKs send a span again if the answer came late, and Zipkin's
// senders give both sides of a call the same id. Nothing in it refers to the rings.

import { hashOfFour } from '../metrics/hash.ts'
import { word } from '../metrics/word.ts'
import type { Cursor } from './cursor.ts'

const WORDS = 3

export class Once {
  /** Open addressing: both words of the id, and the kind + 1. */
  #table = new Int32Array(WORDS * 64)
  #size = 0

  /** Whether the span is seen for the first time. */
  add({ bytes, spanId, kind }: Cursor): boolean {
    if (this.#size * 2 * WORDS >= this.#table.length) this.#grow()
    return this.#put(this.#table, word(bytes, spanId), word(bytes, spanId + 4), kind + 1)
  }

  #put(table: Int32Array, first: number, second: number, kind: number): boolean {
    const mask = table.length / WORDS - 1
    // Nobody can send ids that collide.
    for (let place = hashOfFour(first, second, kind, 0) & mask; ; place = (place + 1) & mask) {
      const at = place * WORDS
      if (table[at + 2] === 0) {
        table[at] = first
        table[at + 1] = second
        table[at + 2] = kind
        this.#size++
        return true
      }
      if (table[at] === first && table[at + 1] === second && table[at + 2] === kind) return false
    }
  }

  #grow(): void {
    const old = this.#table
    const table = new Int32Array(2 * old.length)
    this.#size = 0
    for (let at = 0; at < old.length; at += WORDS)
      if (old[at + 2] !== 0) this.#put(table, old[at]!, old[at + 1]!, old[at + 2]!)
    this.#table = table
  }
}
