// Label values seen in telemetry, each kept once and known by a small number, its symbol. A value is looked up by its
// bytes, so that a known value costs no string. Values that are no longer used are removed, and their symbols reused.

import { hash } from './hash.ts'
import { escapeLabel } from './page.ts'
import { Texts } from './texts.ts'
import { lastWord, word } from './word.ts'

/** Longer values are cut, which bounds the bytes that a value takes on every scrape. */
export const VALUE_BYTES = 256

export class Symbols {
  /** The value being looked up: its length in bytes, then its bytes. */
  readonly #key = new Int32Array(1 + VALUE_BYTES / 4)
  #buckets = new Int32Array(256).fill(-1)
  #hashes = new Int32Array(128)
  readonly #texts = new Texts(128)
  readonly #own: number[] = []
  #free: number[] = []
  /** Symbols that were ever given out; some may be free again. */
  #used = 0

  /** Values held. */
  get size(): number {
    return this.#used - this.#free.length
  }

  /** The symbol of a value that was added before, or -1. */
  find(source: Uint8Array, start: number, end: number): number {
    const stop = Math.min(end, start + VALUE_BYTES)
    return this.#find(this.#hash(source, start, stop), source, start, stop)
  }

  /** The symbol of a value, adding it if it is new. */
  intern(source: Uint8Array, start: number, end: number): number {
    const stop = Math.min(end, start + VALUE_BYTES)
    const hash = this.#hash(source, start, stop)
    const known = this.#find(hash, source, start, stop)
    return known >= 0 ? known : this.#add(hash, source, start, stop)
  }

  /** The symbol of a text of our own, which is never removed. */
  text(value: string): number {
    const bytes = Buffer.from(value)
    const symbol = this.intern(bytes, 0, bytes.length)
    this.#own.push(symbol)
    return symbol
  }

  /** The value, escaped for both text formats; bytes that are not UTF-8 are shown as U+FFFD. */
  escaped(symbol: number): string {
    return escapeLabel(this.#texts.text(symbol))
  }

  /** A mark for each symbol, for `retain`: 1 for those of our own, 0 for the others. */
  marks(): Uint8Array {
    const marks = new Uint8Array(this.#used)
    for (const symbol of this.#own) marks[symbol] = 1
    return marks
  }

  /** Removes all symbols that are marked 0. */
  retain(marks: Uint8Array): void {
    this.#free = []
    this.#buckets.fill(-1)
    // Downwards, so that low symbols are reused first.
    for (let symbol = this.#used - 1; symbol >= 0; symbol--)
      if (marks[symbol] === 1) this.#place(symbol)
      else {
        this.#texts.clear(symbol)
        this.#free.push(symbol)
      }
  }

  #hash(source: Uint8Array, start: number, end: number): number {
    const key = this.#key
    key[0] = end - start
    let words = 1
    let at = start
    for (; at + 4 <= end; at += 4) key[words++] = word(source, at)
    if (at < end) key[words++] = lastWord(source, at, end)
    return hash(key, words)
  }

  #find(hash: number, source: Uint8Array, start: number, end: number): number {
    const mask = this.#buckets.length - 1
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const symbol = this.#buckets[at]!
      if (symbol < 0) return -1
      if (this.#hashes[symbol] === hash && this.#texts.equals(symbol, source, start, end)) return symbol
    }
  }

  #add(hash: number, source: Uint8Array, start: number, end: number): number {
    const symbol = this.#free.pop() ?? this.#used++
    if (symbol === this.#hashes.length) this.#grow()
    this.#texts.set(symbol, source, start, end)
    this.#hashes[symbol] = hash
    this.#place(symbol)
    return symbol
  }

  #place(symbol: number): void {
    const mask = this.#buckets.length - 1
    let at = this.#hashes[symbol]! & mask
    while (this.#buckets[at]! >= 0) at = (at + 1) & mask
    this.#buckets[at] = symbol
  }

  /** Called only when no symbol is free. */
  #grow(): void {
    const known = this.#hashes.length
    const hashes = new Int32Array(known * 2)
    hashes.set(this.#hashes)
    this.#hashes = hashes
    this.#texts.grow(known * 2)
    this.#buckets = new Int32Array(known * 4).fill(-1)
    for (let symbol = 0; symbol < known; symbol++) this.#place(symbol)
  }
}
