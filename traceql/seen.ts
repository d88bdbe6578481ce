// The spans that a query has counted: SDKs send a span again after a timeout, and across turns of the event loop a span may
// move to the other segment of the store. Keys are the span's id, the hash of its trace and its kind. Senders choose the ids, so
// the hash is the one with random factors: nobody can make spans of one slot.

import { hashOfFour } from '../metrics/hash.ts'
import type { Cursor } from './reading.ts'

const WORDS = 3

export class Seen {
  #table = new Int32Array(WORDS * 1024)
  #size = 0

  /** Whether the span is seen for the first time. */
  add(cursor: Pick<Cursor, 'bytes' | 'spanId' | 'traceHash' | 'kind'>): boolean {
    const { bytes, spanId } = cursor
    const a = bytes.readInt32LE(spanId)
    const b = bytes.readInt32LE(spanId + 4)
    // Never 0, which means empty.
    const c = (Math.imul(cursor.traceHash, 0x9e3779b1) ^ (cursor.kind << 1)) | 1
    if (this.#size * 2 * WORDS >= this.#table.length) this.#grow()
    return this.#put(this.#table, a, b, c)
  }

  #put(table: Int32Array, a: number, b: number, c: number): boolean {
    const slots = table.length / WORDS
    for (let slot = hashOfFour(a, b, c, 0) & (slots - 1); ; slot = (slot + 1) & (slots - 1)) {
      const at = slot * WORDS
      if (table[at + 2] === 0) {
        table[at] = a
        table[at + 1] = b
        table[at + 2] = c
        this.#size++
        return true
      }
      if (table[at] === a && table[at + 1] === b && table[at + 2] === c) return false
    }
  }

  #grow(): void {
    const old = this.#table
    const table = new Int32Array(old.length * 2)
    this.#size = 0
    for (let at = 0; at < old.length; at += WORDS)
      if (old[at + 2] !== 0) this.#put(table, old[at]!, old[at + 1]!, old[at + 2]!)
    this.#table = table
  }
}
