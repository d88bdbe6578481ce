// A family too big for prom-client: label sets as slots, numbers in typed arrays, the label text rendered once.
//
// A table holds the label sets; its columns hold the numbers and are the metric objects that stand in the Registry. New
// label sets are taken until the limit is reached; from then on what would need a new one is counted in slot 0, whose
// only label is metric_overflow="true", so that totals stay exact whatever is sent (the label is Tempo's).

import { unescaped } from './labels.ts'
import type { Sink } from './page.ts'
import { Symbols } from './symbols.ts'

/** Slot 0 takes what no longer has room. */
export const OVERFLOW = 0

export class SeriesTable {
  readonly labels: readonly string[]
  readonly symbols = new Symbols()
  /** Updates that went to the overflow slot because the table was full. */
  overflowed = 0
  readonly #limit: number
  readonly #columns: Column[] = []
  #size = 1
  #capacity = 64
  #keys: Uint32Array
  #hashes: Int32Array
  #buckets: Int32Array
  #textStarts: Uint32Array
  #texts = Buffer.allocUnsafeSlow(8192)

  /** `limit` is the number of label sets besides the overflow. */
  constructor(labels: readonly string[], limit: number) {
    this.labels = labels
    this.#limit = limit
    this.#keys = new Uint32Array(this.#capacity * labels.length)
    this.#hashes = new Int32Array(this.#capacity)
    this.#buckets = new Int32Array(this.#capacity * 2).fill(-1)
    this.#textStarts = new Uint32Array(this.#capacity + 1)
    this.#setText(OVERFLOW, 'metric_overflow="true"')
  }

  /** Label sets held, without the overflow. */
  get series(): number {
    return this.#size - 1
  }

  get full(): boolean {
    return this.series >= this.#limit
  }

  /** Slots to render: 0 is the overflow, and is skipped while nothing overflowed. */
  get slots(): number {
    return this.#size
  }

  get capacity(): number {
    return this.#capacity
  }

  /** The slot of a label set, given as one symbol for each label; added if it is new and there is room, else OVERFLOW. */
  slot(symbols: Uint32Array): number {
    const hash = this.#hash(symbols)
    const known = this.#find(hash, symbols)
    if (known >= 0) return known
    return this.full ? this.overflow() : this.#add(hash, symbols)
  }

  /** The slot for a label set that is known not to be held while the table is full. */
  overflow(): number {
    this.overflowed++
    return OVERFLOW
  }

  /** For columns: registers one, so that it grows along. */
  join(column: Column): void {
    this.#columns.push(column)
  }

  /** Length of the label text of a slot. */
  labelBytes(slot: number): number {
    return this.#textStarts[slot + 1]! - this.#textStarts[slot]!
  }

  /** Writes the label text of a slot, without braces. */
  writeLabels(sink: Sink, slot: number): void {
    sink.bytes(this.#texts, this.#textStarts[slot]!, this.#textStarts[slot + 1]!)
  }

  /** The label text of a slot, as `writeLabels` writes it. */
  labelText(slot: number): string {
    return this.#texts.toString('utf8', this.#textStarts[slot]!, this.#textStarts[slot + 1]!)
  }

  /** The labels of a slot as prom-client gives them. */
  labelsOf(slot: number): Record<string, string> {
    if (slot === OVERFLOW) return { metric_overflow: 'true' }
    const at = slot * this.labels.length
    return Object.fromEntries(
      this.labels.map((label, i) => [label, unescaped(this.symbols.escaped(this.#keys[at + i]!))]),
    )
  }

  #hash(symbols: Uint32Array): number {
    // Symbols are small numbers of our own, handed out in order of arrival: nobody outside can aim at a bucket.
    let hash = 0x9e3779b9 | 0
    for (let i = 0; i < symbols.length; i++) hash = Math.imul(hash ^ symbols[i]!, 0x85ebca6b) ^ (hash >>> 13)
    return hash ^ (hash >>> 16)
  }

  #find(hash: number, symbols: Uint32Array): number {
    const mask = this.#buckets.length - 1
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const slot = this.#buckets[at]!
      if (slot < 0) return -1
      if (this.#hashes[slot] === hash && this.#equals(slot, symbols)) return slot
    }
  }

  #equals(slot: number, symbols: Uint32Array): boolean {
    const at = slot * symbols.length
    for (let i = 0; i < symbols.length; i++) if (this.#keys[at + i] !== symbols[i]) return false
    return true
  }

  #add(hash: number, symbols: Uint32Array): number {
    if (this.#size === this.#capacity) this.#grow()
    const slot = this.#size++
    this.#keys.set(symbols, slot * symbols.length)
    this.#hashes[slot] = hash
    this.#place(slot)
    this.#setText(slot, this.#labelText(symbols))
    return slot
  }

  #labelText(symbols: Uint32Array): string {
    // A label with an empty value is the same as no label (prometheus.io/docs/concepts/data_model), so it is left out.
    const pairs = this.labels.map((label, i) => [label, this.symbols.escaped(symbols[i]!)] as const)
    return pairs
      .filter(([, value]) => value !== '')
      .map(([label, value]) => `${label}="${value}"`)
      .join(',')
  }

  #place(slot: number): void {
    const mask = this.#buckets.length - 1
    let at = this.#hashes[slot]! & mask
    while (this.#buckets[at]! >= 0) at = (at + 1) & mask
    this.#buckets[at] = slot
  }

  #setText(slot: number, text: string): void {
    const from = this.#textStarts[slot]!
    const bytes = Buffer.byteLength(text)
    if (from + bytes > this.#texts.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(this.#texts.length * 2, from + bytes))
      this.#texts.copy(larger)
      this.#texts = larger
    }
    this.#texts.write(text, from)
    this.#textStarts[slot + 1] = from + bytes
  }

  #grow(): void {
    this.#capacity *= 2
    this.#keys = copied(this.#keys, new Uint32Array(this.#capacity * this.labels.length))
    this.#hashes = copied(this.#hashes, new Int32Array(this.#capacity))
    this.#textStarts = copied(this.#textStarts, new Uint32Array(this.#capacity + 1))
    this.#buckets = new Int32Array(this.#capacity * 2).fill(-1)
    for (let slot = 1; slot < this.#size; slot++) this.#place(slot)
    for (const column of this.#columns) column.grow(this.#capacity)
  }
}

/** What a table asks of its columns. */
export interface Column {
  grow(capacity: number): void
}

/** Moves what a typed array holds into a larger one. */
export function copied<T extends Uint8Array | Uint32Array | Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from)
  return to
}
