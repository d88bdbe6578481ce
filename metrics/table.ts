// Families too large for prom-client: label sets as slots, numbers in typed arrays, the label text rendered once.
//
// A table holds the label sets; its columns hold the numbers and are the metric objects in the Registry. New label sets
// are added until the limit is reached. From then on an update that would need a new one is counted in a coarser label
// set of the owner's choice, for which spare room is kept, and when that is used up in slot 0, whose only label is
// metric_overflow="true" (Tempo's label). So totals stay exact whatever is sent.
//
// A label set that was not used within the expiry is removed: its slot is emptied in all columns and reused for the
// next new label set, and label values that are no longer used are removed. This happens only in `sweep`, and never
// while a page is being rendered in slices, since the page might then show one label set twice.

import { hash } from './hash.ts'
import { unescaped } from './labels.ts'
import type { Page, Sink } from './page.ts'
import { Symbols } from './symbols.ts'
import { Texts } from './texts.ts'

/** Slot 0 counts everything that has no room in a slot of its own. */
export const OVERFLOW = 0

/** Removals in one sweep, about 5 ms; what is left is removed in the next. */
const AT_ONCE = 10_000
/** Symbols are tidied when there are twice as many as were in use after the last time, and more than this. */
const FEW_SYMBOLS = 256

const NONE = -1
/** The last use of an empty slot and of the overflow, which never expire. */
const NEVER = Number.POSITIVE_INFINITY

export class SeriesTable {
  readonly labels: readonly string[]
  readonly symbols = new Symbols()
  /** Updates that were counted in a coarser label set or in slot 0 because the table was full. */
  overflowed = 0
  /** Label sets removed because they were not used within the expiry. */
  expired = 0
  /** Renderings in progress. */
  #renderings = 0
  readonly #limit: number
  readonly #expiry: number
  readonly #spareLimit: number
  readonly #columns: Column[] = []
  readonly #users: ((marks: Uint8Array) => void)[] = []
  #series = 0
  /** Label sets that take spare room, and which slots they have. */
  #spares = 0
  #spared: Uint8Array
  /** Whether anything was counted in slot 0. */
  #bare = false
  /** Slots that were ever used, free ones included. */
  #size = 1
  #capacity = 64
  #keys: Uint32Array
  /** The label set being looked up. */
  readonly #set: Int32Array
  /** The hash of the label set; for a free slot, the next free slot. */
  #hashes: Int32Array
  #buckets: Int32Array
  #seen: Float64Array
  /** A slot that is kept as long as this one, or NONE. */
  #kept: Int32Array
  readonly #texts = new Texts(64)
  #free = NONE
  #now = 0
  /** Nothing can expire before this time. */
  #due = 0
  #symbolsAllowed = FEW_SYMBOLS

  /**
   * `limit` is the number of label sets besides the overflow, `spare` how many coarser ones there may be besides. `expiry`
   * is in milliseconds of the clock that is passed to `sweep`; with 0 label sets are never removed.
   */
  constructor(labels: readonly string[], limit: number, expiry = 0, spare = 0) {
    this.labels = labels
    this.#limit = limit
    this.#expiry = expiry
    this.#spareLimit = spare
    this.#spared = new Uint8Array(this.#capacity)
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
    return this.#series - this.#spares >= this.#limit
  }

  /** Whether a coarser label set would find room. */
  get hasSpare(): boolean {
    return this.#spares < this.#spareLimit
  }

  /** Slots to render; those that `shows` denies are skipped. */
  get slots(): number {
    return this.#size
  }

  get capacity(): number {
    return this.#capacity
  }

  /** Whether a slot is rendered: it holds a label set, or it is the overflow and something overflowed. */
  shows(slot: number): boolean {
    return slot === OVERFLOW ? this.#bare : this.#seen[slot] !== NEVER
  }

  /**
   * The slot of a label set, one symbol for each label. A new one is added if there is room, else the slot is OVERFLOW.
   */
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

  /** Counts as a use of a slot that was returned since the last removal (`expired`). */
  touch(slot: number): void {
    this.#seen[slot] = this.#now
  }

  /** The slot of a label set that is held, or -1. This does not count as a use. */
  find(symbols: Uint32Array): number {
    return this.#find(this.#hash(symbols), symbols)
  }

  /** As `slot`, for a coarser label set, which may take spare room; -1 if there is none. Nothing is counted. */
  spareSlot(symbols: Uint32Array): number {
    const hash = this.#hash(symbols)
    const known = this.#find(hash, symbols)
    if (known >= 0) {
      this.#seen[known] = this.#now
      return known
    }
    if (!this.hasSpare) return NONE
    const slot = this.#add(hash, symbols)
    this.#spared[slot] = 1
    this.#spares++
    return slot
  }

  /** Counts an update whose label set has no room, and answers its slot: `coarser` if there is one. */
  overflow(coarser = OVERFLOW): number {
    this.overflowed++
    if (coarser > OVERFLOW) return coarser
    this.#bare = true
    return OVERFLOW
  }

  /** Keeps the slot `kept` as long as `slot` is used. */
  tie(slot: number, kept: number): void {
    this.#kept[slot] = kept
  }

  /**
   * Sets the time and removes expired label sets. Slots and symbols obtained before are invalid afterwards, except
   * symbols that a user marks.
   */
  sweep(now: number): void {
    this.#now = now
    if (this.#renderings > 0) return
    if (this.#expiry > 0 && now >= this.#due) this.#expire(now)
    if (this.symbols.size > this.#symbolsAllowed) this.tidy()
  }

  /** Removes symbols that are in no label set and that no user marks. */
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

  /** While a rendering is in progress, nothing is removed. */
  beginRendering(): void {
    this.#renderings++
  }

  endRendering(): void {
    this.#renderings--
  }

  /** Registers a column, which then grows with the table and is cleared where a label set is removed. */
  join(column: Column): void {
    this.#columns.push(column)
  }

  /**
   * Registers a user that keeps symbols longer than a request: `mark` is called to set the marks of its symbols to 1.
   */
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

  /** The same, into a page. */
  printLabels(page: Page, slot: number): void {
    this.#texts.print(page, slot)
  }

  /** The label text of a slot, as `writeLabels` writes it. */
  labelText(slot: number): string {
    return this.#texts.text(slot)
  }

  /** The labels of a slot in prom-client's form. */
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
    // Slots that keep others come first, so that no slot is kept by one that is removed.
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
    // Looking at a million slots takes 2 ms, so it happens at most once a second.
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
    this.#spares -= this.#spared[slot]!
    this.#spared[slot] = 0
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
    // Slots behind the hole that could no longer be found move into it, one after another (Knuth, 6.4, algorithm R).
    for (let at = (hole + 1) & mask; this.#buckets[at]! >= 0; at = (at + 1) & mask) {
      const home = this.#hashes[this.#buckets[at]!]! & mask
      if (((at - home) & mask) < ((at - hole) & mask)) continue
      this.#buckets[hole] = this.#buckets[at]!
      hole = at
    }
    this.#buckets[hole] = NONE
  }

  /** Called only when no slot is free. */
  #grow(): void {
    const known = this.#capacity
    this.#capacity *= 2
    this.#keys = copied(this.#keys, new Uint32Array(this.#capacity * this.labels.length))
    this.#hashes = copied(this.#hashes, new Int32Array(this.#capacity))
    this.#seen = copied(this.#seen, new Float64Array(this.#capacity).fill(NEVER))
    this.#spared = copied(this.#spared, new Uint8Array(this.#capacity))
    this.#kept = copied(this.#kept, new Int32Array(this.#capacity).fill(NONE))
    this.#texts.grow(this.#capacity)
    this.#buckets = new Int32Array(this.#capacity * 2).fill(NONE)
    for (let slot = 1; slot < known; slot++) this.#place(slot)
    for (const column of this.#columns) column.grow(this.#capacity)
  }
}

/** The part of a column that its table calls. */
export interface Column {
  grow(capacity: number): void
  /** The label set of this slot was removed: the next one begins at 0, without exemplars. */
  clear(slot: number): void
}

/** Copies a typed array into a larger one. */
export function copied<T extends Uint8Array | Uint32Array | Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from)
  return to
}
