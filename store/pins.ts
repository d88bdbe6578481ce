// The traces that must be kept although they are old: those that exemplars name, the notable ones, and those that somebody has
// opened. The set is made anew from these from time to time, so nothing is paid when an exemplar is set.

import { word } from '../metrics/word.ts'

/** Why a trace is kept, the strongest reason last. */
export const NOTABLE = 1
export const EXEMPLAR = 2
export const OPENED = 4

// A trace, in words: why it is kept, its id, its hash, and the bytes of its spans that stand in the ring of pinned spans.
const WORDS = 8
const REASONS = 0
const ID = 1
const HASH = 5
const COPIED = 6
/** Not counted yet. */
const UNKNOWN = -1
const FILTER_BITS = 2 ** 16

export class Pins {
  size = 0
  readonly #most: number
  readonly #mask: number
  /** The traces one after another, from 1: the few that there are mostly fit into the processor's cache. */
  readonly #traces: Int32Array
  /** Open addressing: numbers of traces, 0 = empty. */
  readonly #table: Int32Array
  /** One bit for the hash of each pinned id, so that most spans are dismissed by their record alone. */
  readonly #filter = new Int32Array(FILTER_BITS / 32)

  /** `most` traces can be pinned at a time. */
  constructor(most: number) {
    const places = 2 ** Math.ceil(Math.log2(2 * most))
    this.#most = most
    this.#mask = places - 1
    this.#traces = new Int32Array((most + 1) * WORDS)
    this.#table = new Int32Array(places)
  }

  /** Bytes for each trace that can be pinned. */
  static readonly BYTES = 4 * (WORDS + 3)

  clear(): void {
    this.#table.fill(0)
    this.#filter.fill(0)
    this.size = 0
  }

  /** Adds a reason to keep a trace whose id has this hash; false if there is no room. */
  add(id: Uint8Array, at: number, hash: number, reason: number): boolean {
    const place = this.#find(hash, id, at)
    const traces = this.#traces
    const known = this.#table[place]!
    if (known !== 0) {
      traces[known * WORDS + REASONS]! |= reason
      return true
    }
    if (this.size === this.#most) return false
    const number = ++this.size
    this.#table[place] = number
    const start = number * WORDS
    traces[start + REASONS] = reason
    for (let i = 0; i < 4; i++) traces[start + ID + i] = word(id, at + 4 * i)
    traces[start + HASH] = hash
    traces[start + COPIED] = UNKNOWN
    const bit = bitOf(hash)
    this.#filter[bit >>> 5]! |= 1 << (bit & 31)
    return true
  }

  /** False if no trace whose id has this hash is pinned. */
  may(hash: number): boolean {
    const bit = bitOf(hash)
    return ((this.#filter[bit >>> 5]! >>> (bit & 31)) & 1) === 1
  }

  /** The number of the trace with this id, which has this hash, until the set is made anew; 0 if it is not pinned. */
  number(hash: number, id: Uint8Array, at: number): number {
    return this.#table[this.#find(hash, id, at)]!
  }

  /** Why a trace is kept; 0 if its number is 0. */
  reasons(number: number): number {
    return this.#traces[number * WORDS + REASONS]!
  }

  /** The bytes of its spans that were noted as copied since the set was made; negative if nothing was noted. */
  copied(number: number): number {
    return this.#traces[number * WORDS + COPIED]!
  }

  setCopied(number: number, bytes: number): void {
    this.#traces[number * WORDS + COPIED] = bytes
  }

  #find(hash: number, id: Uint8Array, at: number): number {
    const traces = this.#traces
    for (let place = hash & this.#mask; ; place = (place + 1) & this.#mask) {
      const number = this.#table[place]!
      if (number === 0) return place
      const start = number * WORDS
      if (
        traces[start + HASH] === hash &&
        traces[start + ID + 3] === word(id, at + 12) &&
        traces[start + ID + 2] === word(id, at + 8) &&
        traces[start + ID + 1] === word(id, at + 4) &&
        traces[start + ID] === word(id, at)
      )
        return place
    }
  }
}

function bitOf(hash: number): number {
  return Math.imul(hash, 0x9e3779b1) >>> 16
}
