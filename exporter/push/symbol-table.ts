// The texts of a remote write 2.0 request, each once. Names and values of labels are found by their bytes, without a string
// for each.

import { hash } from '../../metrics/hash.ts'
import { field, LENGTH } from '../../otlp/wire.ts'
import type { Writer } from '../../otlp/writer.ts'

/** Longer texts are entered each time they occur; a label that long is a rarity. */
const LONGEST = 1020
const words = new Int32Array(256)

export class SymbolTable {
  /** The first symbol is the empty text. */
  #count = 1
  #bytes = Buffer.allocUnsafe(16 * 1024)
  #ends = new Int32Array(1024)
  #hashes = new Int32Array(1024)
  #buckets = new Int32Array(2048)
  readonly #texts = new Map<string, number>([['', 0]])

  /** About the bytes that they take in the request. */
  get bytes(): number {
    return this.#ends[this.#count - 1]! + this.#count * 3
  }

  /** The reference of a text that recurs. */
  text(text: string): number {
    const known = this.#texts.get(text)
    if (known !== undefined) return known
    const bytes = Buffer.from(text)
    const ref = this.ref(bytes, 0, bytes.length)
    this.#texts.set(text, ref)
    return ref
  }

  ref(from: Buffer, start: number, end: number): number {
    const length = end - start
    if (length === 0) return 0
    if (length > LONGEST) return this.#add(from, start, end, 0)
    const key = keyOf(from, start, end)
    const mask = this.#buckets.length - 1
    for (let at = key & mask; ; at = (at + 1) & mask) {
      const ref = this.#buckets[at]!
      if (ref === 0) return this.#add(from, start, end, key)
      if (this.#hashes[ref] === key && this.#equals(ref, from, start, end)) return ref
    }
  }

  write(writer: Writer): void {
    for (let ref = 0; ref < this.#count; ref++) {
      const [start, end] = [ref === 0 ? 0 : this.#ends[ref - 1]!, this.#ends[ref]!]
      writer.varint(field(4, LENGTH))
      writer.varint(end - start)
      writer.copy(this.#bytes, start, end)
    }
  }

  #equals(ref: number, from: Buffer, start: number, end: number): boolean {
    const [ownStart, ownEnd] = [this.#ends[ref - 1]!, this.#ends[ref]!]
    if (ownEnd - ownStart !== end - start) return false
    for (let i = 0; i < end - start; i++) if (this.#bytes[ownStart + i] !== from[start + i]) return false
    return true
  }

  #add(from: Buffer, start: number, end: number, key: number): number {
    if (this.#count === this.#ends.length) this.#grow()
    const ref = this.#count++
    const begin = this.#ends[ref - 1]!
    const needed = begin + end - start
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2))
      this.#bytes.copy(larger, 0, 0, begin)
      this.#bytes = larger
    }
    from.copy(this.#bytes, begin, start, end)
    this.#ends[ref] = needed
    this.#hashes[ref] = key
    if (end - start <= LONGEST) this.#place(ref)
    return ref
  }

  #place(ref: number): void {
    const mask = this.#buckets.length - 1
    let at = this.#hashes[ref]! & mask
    while (this.#buckets[at]! > 0) at = (at + 1) & mask
    this.#buckets[at] = ref
  }

  #grow(): void {
    const size = this.#ends.length * 2
    const [ends, hashes] = [new Int32Array(size), new Int32Array(size)]
    ends.set(this.#ends)
    hashes.set(this.#hashes)
    this.#ends = ends
    this.#hashes = hashes
    this.#buckets = new Int32Array(size * 2)
    for (let ref = 1; ref < this.#count; ref++) if (this.#ends[ref]! - this.#ends[ref - 1]! <= LONGEST) this.#place(ref)
  }
}

function keyOf(from: Buffer, start: number, end: number): number {
  let word = 0
  for (let at = start; at < end; at += 4) {
    const left = end - at
    let each = from[at]!
    if (left > 1) each |= from[at + 1]! << 8
    if (left > 2) each |= from[at + 2]! << 16
    if (left > 3) each |= from[at + 3]! << 24
    words[word++] = each
  }
  return hash(words, word)
}
