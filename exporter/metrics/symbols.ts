// Label values met in telemetry, each kept once. A value is looked up by its bytes, so that no string is made for one
// that is known; the escaped text that a scrape needs is made once, when the value is first met.

import { escapeLabel } from './page.ts'

/** Longer values are cut, so that one value costs a bounded number of bytes on every scrape. */
export const VALUE_BYTES = 256

export class Symbols {
  // A seed of this process's own makes it infeasible to send names that collide. Nobody outside sees anything that is
  // made from it, so it need not be cryptographic, which would load 3 MiB.
  readonly #seed = (Math.random() * 0x100000000) | 0
  #buckets = new Int32Array(256).fill(-1)
  #hashes = new Int32Array(128)
  #starts = new Uint32Array(129)
  #bytes = Buffer.allocUnsafeSlow(4096)
  readonly #escaped: string[] = []

  get size(): number {
    return this.#escaped.length
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

  /** The symbol of a text of our own. */
  text(value: string): number {
    const bytes = Buffer.from(value)
    return this.intern(bytes, 0, bytes.length)
  }

  /** The value, escaped for both text formats; bytes that are not UTF-8 are shown as U+FFFD. */
  escaped(symbol: number): string {
    return this.#escaped[symbol]!
  }

  #hash(source: Uint8Array, start: number, end: number): number {
    let hash = this.#seed
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ source[i]!, 0x01000193)
    return hash ^ (hash >>> 15)
  }

  #find(hash: number, source: Uint8Array, start: number, end: number): number {
    const mask = this.#buckets.length - 1
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const symbol = this.#buckets[at]!
      if (symbol < 0) return -1
      if (this.#hashes[symbol] === hash && this.#equals(symbol, source, start, end)) return symbol
    }
  }

  #equals(symbol: number, source: Uint8Array, start: number, end: number): boolean {
    const from = this.#starts[symbol]!
    if (this.#starts[symbol + 1]! - from !== end - start) return false
    for (let i = start, at = from; i < end; i++, at++) if (this.#bytes[at] !== source[i]) return false
    return true
  }

  #add(hash: number, source: Uint8Array, start: number, end: number): number {
    const symbol = this.#escaped.length
    if (symbol === this.#hashes.length) this.#grow()
    const from = this.#starts[symbol]!
    const to = from + end - start
    if (to > this.#bytes.length) this.#bytes = enlarged(this.#bytes, to)
    this.#bytes.set(source.subarray(start, end), from)
    this.#starts[symbol + 1] = to
    this.#hashes[symbol] = hash
    this.#escaped.push(escapeLabel(this.#bytes.toString('utf8', from, to)))
    this.#place(symbol)
    return symbol
  }

  #place(symbol: number): void {
    const mask = this.#buckets.length - 1
    let at = this.#hashes[symbol]! & mask
    while (this.#buckets[at]! >= 0) at = (at + 1) & mask
    this.#buckets[at] = symbol
  }

  #grow(): void {
    const capacity = this.#hashes.length * 2
    const hashes = new Int32Array(capacity)
    hashes.set(this.#hashes)
    const starts = new Uint32Array(capacity + 1)
    starts.set(this.#starts)
    this.#hashes = hashes
    this.#starts = starts
    this.#buckets = new Int32Array(capacity * 2).fill(-1)
    for (let symbol = 0; symbol < this.#escaped.length; symbol++) this.#place(symbol)
  }
}

function enlarged(old: Buffer, least: number): Buffer<ArrayBuffer> {
  const larger = Buffer.allocUnsafeSlow(Math.max(old.length * 2, least))
  old.copy(larger)
  return larger
}
