// A family too big for prom-client: label sets as slots, numbers in typed arrays, the label text rendered once.
//
// A table holds the label sets; its columns hold the numbers and are the metric objects that stand in the Registry. New
// label sets are taken until the limit is reached; from then on what would need a new one is counted in slot 0, whose
// only label is metric_overflow="true", so that totals stay exact whatever is sent (the label is Tempo's).
//
// A label set that was not asked for during the expiry is removed: its slot is emptied in all columns and given to the
// next new label set, and values that nobody uses any more are let go. This happens only in `sweep`, and never while a
// page is being rendered in slices, or it might show one label set twice.

import { hash } from './hash.ts'
import { unescaped } from './labels.ts'
import type { Sink } from './page.ts'
import { Symbols } from './symbols.ts'
import { Texts } from './texts.ts'

/** Slot 0 takes what no longer has room. */
export const OVERFLOW = 0

/** Removals in one sweep, about 5 ms; what is left is removed in the next. */
const AT_ONCE = 10_000
/** Symbols are looked through when there are twice as many as were in use the last time, and more than this. */
const FEW_SYMBOLS = 256

const NONE = -1
/** When a slot that is empty was last asked for: it never expires. So does the overflow. */
const NEVER = Number.POSITIVE_INFINITY

export class SeriesTable {
  readonly labels: readonly string[]
  readonly symbols = new Symbols()
  /** Updates that went to the overflow slot because the table was full. */
  overflowed = 0
  /** Label sets removed because they had not been asked for. */
  expired = 0
  /** Renderings under way. */
  #renderings = 0
  readonly #limit: number
  readonly #expiry: number
  readonly #columns: Column[] = []
  readonly #users: ((marks: Uint8Array) => void)[] = []
  #series = 0
  /** Slots in use or free; those beyond were never used. */
  #size = 1
  #capacity = 64
  #keys: Uint32Array
  /** The label set at hand. */
  readonly #set: Int32Array
  /** The hash of the label set; of a free slot the next free one. */
  #hashes: Int32Array
  #buckets: Int32Array
  #seen: Float64Array
  /** The slot that is kept as long as this one, or NONE. */
  #kept: Int32Array
  readonly #texts = new Texts(64)
  #free = NONE
  #now = 0
  /** Before this nothing can have expired. */
  #due = 0
  #symbolsAllowed = FEW_SYMBOLS

  /**
   * `limit` is the number of label sets besides the overflow. `expiry` is in milliseconds of the clock that `sweep` is
   * told; 0 keeps all label sets for ever.
   */
  constructor(labels: readonly string[], limit: number, expiry = 0) {
    this.labels = labels
    this.#limit = limit
    this.#expiry = expiry
    this.#keys = new Uint32Array(this.#capacity * labels.length)
    this.#set = new Int32Array(labels.length)
    this.#hashes = new Int32Array(this.#capacity)
    this.#buckets = new Int32Array(this.#capacity * 2).fill(NONE)
    this.#seen = new Float64Array(this.#capacity).fill(NEVER)
    this.#kept = new Int32Array(this.#capacity).fill(NONE)
    this.#setText(OVERFLOW, 'metric_overflow="true"')
  }

  /** Label sets held, without the overflow. */
  get series(): number {
    return this.#series
  }

  get full(): boolean {
    return this.#series >= this.#limit
  }

  /** Slots to render, of which those that do not show are skipped. */
  get slots(): number {
    return this.#size
  }

  get capacity(): number {
    return this.#capacity
  }

  /** Whether a slot is to be rendered: it holds a label set, or is the overflow after something overflowed. */
  shows(slot: number): boolean {
    return slot === OVERFLOW ? this.overflowed > 0 : this.#seen[slot] !== NEVER
  }

  /** The slot of a label set, given as one symbol for each label; added if it is new and there is room, else OVERFLOW. */
  slot(symbols: Uint32Array): number {
    const hash = this.#hash(symbols)
    const known = this.#find(hash, symbols)
    if (known >= 0) {
      this.#seen[known] = this.#now
      return known
    }
    return this.full ? this.overflow() : this.#add(hash, symbols)
  }

  /** The symbol of a slot's label at a position. */
  symbol(slot: number, label: number): number {
    return this.#keys[slot * this.labels.length + label]!
  }

  /** Takes a slot as asked for, which was handed out since the last removal (`expired`). */
  touch(slot: number): void {
    this.#seen[slot] = this.#now
  }

  /** The slot of a label set that is held, or -1. To ask here does not keep it. */
  find(symbols: Uint32Array): number {
    return this.#find(this.#hash(symbols), symbols)
  }

  /** The slot for a label set that is known not to be held while the table is full. */
  overflow(): number {
    this.overflowed++
    return OVERFLOW
  }

  /** Has `kept` stay as long as `slot` is asked for. */
  tie(slot: number, kept: number): void {
    this.#kept[slot] = kept
  }

  /**
   * Moves the time on and removes what has expired. Slots that were handed out before mean nothing afterwards, nor do
   * symbols, unless a user of them marks them.
   */
  sweep(now: number): void {
    this.#now = now
    if (this.#renderings > 0) return
    if (this.#expiry > 0 && now >= this.#due) this.#expire(now)
    if (this.symbols.size > this.#symbolsAllowed) this.tidy()
  }

  /** Lets go of symbols that are in no label set and that no user marks. */
  tidy(): void {
    const marks = this.symbols.marks()
    const width = this.labels.length
    for (let slot = 1; slot < this.#size; slot++) {
      if (this.#seen[slot] === NEVER) continue
      for (let at = slot * width; at < (slot + 1) * width; at++) marks[this.#keys[at]!] = 1
    }
    for (const mark of this.#users) mark(marks)
    this.symbols.retain(marks)
    this.#symbolsAllowed = Math.max(FEW_SYMBOLS, this.symbols.size * 2)
  }

  /** Nothing is removed until as many renderings have ended as have begun. */
  beginRendering(): void {
    this.#renderings++
  }

  endRendering(): void {
    this.#renderings--
  }

  /** For columns: registers one, so that it grows along, and is emptied where a label set is removed. */
  join(column: Column): void {
    this.#columns.push(column)
  }

  /** For those who keep symbols longer than a request: `mark` is called to set theirs to 1. */
  use(mark: (marks: Uint8Array) => void): void {
    this.#users.push(mark)
  }

  /** Length of the label text of a slot. */
  labelBytes(slot: number): number {
    return this.#texts.length(slot)
  }

  /** Writes the label text of a slot, without braces. */
  writeLabels(sink: Sink, slot: number): void {
    this.#texts.write(sink, slot)
  }

  /** The label text of a slot, as `writeLabels` writes it. */
  labelText(slot: number): string {
    return this.#texts.text(slot)
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
    for (let i = 0; i < symbols.length; i++) this.#set[i] = symbols[i]!
    return hash(this.#set, symbols.length)
  }

  #find(hash: number, symbols: Uint32Array): number {
    const mask = this.#buckets.length - 1
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const slot = this.#buckets[at]!
      if (slot < 0) return NONE
      if (this.#hashes[slot] === hash && this.#equals(slot, symbols)) return slot
    }
  }

  #equals(slot: number, symbols: Uint32Array): boolean {
    const at = slot * symbols.length
    for (let i = 0; i < symbols.length; i++) if (this.#keys[at + i] !== symbols[i]) return false
    return true
  }

  #add(hash: number, symbols: Uint32Array): number {
    const slot = this.#take()
    this.#series++
    this.#keys.set(symbols, slot * symbols.length)
    this.#hashes[slot] = hash
    this.#seen[slot] = this.#now
    this.#place(slot)
    this.#setText(slot, this.#textOf(symbols))
    return slot
  }

  #take(): number {
    const free = this.#free
    if (free !== NONE) {
      this.#free = this.#hashes[free]!
      return free
    }
    if (this.#size === this.#capacity) this.#grow()
    return this.#size++
  }

  #textOf(symbols: Uint32Array): string {
    // A label with an empty value is the same as no label (prometheus.io/docs/concepts/data_model), so it is left out.
    const pairs = this.labels.map((label, i) => [label, this.symbols.escaped(symbols[i]!)] as const)
    return pairs
      .filter(([, value]) => value !== '')
      .map(([label, value]) => `${label}="${value}"`)
      .join(',')
  }

  #setText(slot: number, text: string): void {
    const bytes = Buffer.from(text)
    this.#texts.set(slot, bytes, 0, bytes.length)
  }

  #expire(now: number): void {
    const horizon = now - this.#expiry
    let left = AT_ONCE
    let oldest = now
    // First those that keep others, then the others: so nobody keeps a slot that has gone.
    for (const keepers of [true, false]) {
      for (let slot = 1; slot < this.#size; slot++) {
        const kept = this.#kept[slot]!
        if ((kept !== NONE) !== keepers) continue
        const seen = this.#seen[slot]!
        if (seen > horizon) {
          if (seen < oldest) oldest = seen
          if (keepers && this.#seen[kept]! < seen) this.#seen[kept] = seen
        } else if (left-- > 0) this.#remove(slot)
        else return
      }
    }
    // A full look takes 2 ms for a million slots, so it is not taken more often than each second.
    this.#due = Math.max(oldest + this.#expiry, now + Math.min(1000, this.#expiry / 16))
  }

  #remove(slot: number): void {
    this.#unplace(slot)
    this.#texts.clear(slot)
    this.#seen[slot] = NEVER
    this.#kept[slot] = NONE
    this.#hashes[slot] = this.#free
    this.#free = slot
    this.#series--
    this.expired++
    for (const column of this.#columns) column.clear(slot)
  }

  #place(slot: number): void {
    const mask = this.#buckets.length - 1
    let at = this.#hashes[slot]! & mask
    while (this.#buckets[at]! >= 0) at = (at + 1) & mask
    this.#buckets[at] = slot
  }

  #unplace(slot: number): void {
    const mask = this.#buckets.length - 1
    let hole = this.#hashes[slot]! & mask
    while (this.#buckets[hole] !== slot) hole = (hole + 1) & mask
    // Those behind it that would not be found past the hole move into it, one after another (Knuth, 6.4, algorithm R).
    for (let at = (hole + 1) & mask; this.#buckets[at]! >= 0; at = (at + 1) & mask) {
      const home = this.#hashes[this.#buckets[at]!]! & mask
      if (((at - home) & mask) < ((at - hole) & mask)) continue
      this.#buckets[hole] = this.#buckets[at]!
      hole = at
    }
    this.#buckets[hole] = NONE
  }

  /** There are no free slots when this is called. */
  #grow(): void {
    const known = this.#capacity
    this.#capacity *= 2
    this.#keys = copied(this.#keys, new Uint32Array(this.#capacity * this.labels.length))
    this.#hashes = copied(this.#hashes, new Int32Array(this.#capacity))
    this.#seen = copied(this.#seen, new Float64Array(this.#capacity).fill(NEVER))
    this.#kept = copied(this.#kept, new Int32Array(this.#capacity).fill(NONE))
    this.#texts.grow(this.#capacity)
    this.#buckets = new Int32Array(this.#capacity * 2).fill(NONE)
    for (let slot = 1; slot < known; slot++) this.#place(slot)
    for (const column of this.#columns) column.grow(this.#capacity)
  }
}

/** What a table asks of its columns. */
export interface Column {
  grow(capacity: number): void
  /** The label set of this slot has been removed: the next one begins at 0, without exemplars. */
  clear(slot: number): void
}

/** Moves what a typed array holds into a larger one. */
export function copied<T extends Uint8Array | Uint32Array | Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from)
  return to
}
