// Slots of label sets by the very bytes that they came in: the names and attribute values of a span, one after another.
// Who finds a slot here needs no symbols, and makes no text of a number: one hash, one comparison, by words of four bytes.
// It paid for a third of the row dimensions.
//
// It is a memory of what the table has answered, and no more: it can be cleared at any time.

import { word } from '../../exporter/metrics.ts'

const NONE = -1
/** A longer key is not remembered: all values of a label set together, in words. */
const LONGEST = 512
/** Some label sets come in several spellings (the number 200, the text "200"), but not in many. */
const SPELLINGS = 2
const FEW = 1024

export class Known {
  // As for symbols: nobody outside can aim at a bucket.
  readonly #seed = (Math.random() * 0x100000000) | 0
  /** The key at hand. */
  readonly #key = new Int32Array(LONGEST)
  #length = 0
  #hash = 0
  #fits = true
  /** The keys, one after another. */
  #words = new Int32Array(4096)
  #starts = new Uint32Array(257)
  #hashes = new Int32Array(256)
  #slots = new Int32Array(256)
  #buckets = new Int32Array(512).fill(NONE)
  #size = 0

  /** Begins a key with a number; then come its pieces. */
  begin(first: number): void {
    this.#key[0] = first
    this.#length = 1
    this.#hash = Math.imul(this.#seed ^ first, 0x85ebca6b)
    this.#fits = true
  }

  /** Adds the bytes from `start` to `end`, of a type that is below 8. */
  piece(type: number, bytes: Uint8Array, start: number, end: number): void {
    const key = this.#key
    let at = this.#length
    if (at + 2 + ((end - start) >> 2) > LONGEST) {
      this.#fits = false
      return
    }
    // With its length before it, a piece cannot run into the next one.
    let next = ((end - start) << 3) | type
    key[at++] = next
    let hash = Math.imul(this.#hash ^ next, 0x85ebca6b)
    hash ^= hash >>> 15
    let from = start
    for (; from + 4 <= end; from += 4) {
      next = word(bytes, from)
      key[at++] = next
      hash = Math.imul(hash ^ next, 0x85ebca6b)
      hash ^= hash >>> 15
    }
    if (from < end) {
      next = bytes[from]!
      if (from + 1 < end) next |= bytes[from + 1]! << 8
      if (from + 2 < end) next |= bytes[from + 2]! << 16
      key[at++] = next
      hash = Math.imul(hash ^ next, 0x85ebca6b)
      hash ^= hash >>> 15
    }
    this.#length = at
    this.#hash = hash
  }

  /** The slot that the key was given, or -1. */
  find(): number {
    const hash = this.#hash
    const length = this.#length
    const mask = this.#buckets.length - 1
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const entry = this.#buckets[at]!
      if (entry < 0) return NONE
      if (this.#hashes[entry] !== hash) continue
      const start = this.#starts[entry]!
      if (this.#starts[entry + 1]! - start !== length) continue
      let i = 0
      while (i < length && this.#words[start + i] === this.#key[i]) i++
      if (i === length && this.#fits) return this.#slots[entry]!
    }
  }

  /** Remembers the slot of the key at hand, which was not found. `series` is how many label sets there are. */
  keep(slot: number, series: number): void {
    if (!this.#fits) return
    if (this.#size >= Math.max(FEW, SPELLINGS * series)) this.clear()
    if (this.#size === this.#slots.length) this.#grow()
    const start = this.#starts[this.#size]!
    if (start + this.#length > this.#words.length) {
      const words = new Int32Array(this.#words.length * 2)
      words.set(this.#words)
      this.#words = words
    }
    for (let i = 0; i < this.#length; i++) this.#words[start + i] = this.#key[i]!
    this.#starts[this.#size + 1] = start + this.#length
    this.#hashes[this.#size] = this.#hash
    this.#slots[this.#size] = slot
    this.#place(this.#size++)
  }

  clear(): void {
    this.#size = 0
    this.#buckets.fill(NONE)
  }

  #place(entry: number): void {
    const mask = this.#buckets.length - 1
    let at = this.#hashes[entry]! & mask
    while (this.#buckets[at]! >= 0) at = (at + 1) & mask
    this.#buckets[at] = entry
  }

  #grow(): void {
    const capacity = this.#slots.length * 2
    const [starts, hashes, slots] = [new Uint32Array(capacity + 1), new Int32Array(capacity), new Int32Array(capacity)]
    starts.set(this.#starts)
    hashes.set(this.#hashes)
    slots.set(this.#slots)
    this.#starts = starts
    this.#hashes = hashes
    this.#slots = slots
    this.#buckets = new Int32Array(capacity * 2).fill(NONE)
    for (let entry = 0; entry < this.#size; entry++) this.#place(entry)
  }
}
