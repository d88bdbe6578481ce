// The newest decisions, both ways, for spans that come after their trace was decided: a ring, and an index over it.

import { hash } from '../../metrics/hash.ts'

/** Decisions that are remembered. */
export const DECISIONS = 65_536

const NONE = -1
/** The id in four words, the threshold, what else is known, the bucket, and the next entry of the same bucket. */
const STRIDE = 8
const THRESHOLD = 4
const FLAGS = 5
const BUCKET = 6
const CHAIN = 7

export class Decided {
  /** 2 MB of zeroed pages, which take no memory before they are written to. */
  readonly #words = new Int32Array(DECISIONS * STRIDE)
  readonly #buckets = new Int32Array(DECISIONS).fill(NONE)
  /** Decisions so far. */
  #count = 0

  get bytes(): number {
    return this.#words.byteLength + this.#buckets.byteLength
  }

  /** The entry of a trace, or -1 if its decision is not known. */
  find(id: Int32Array): number {
    const words = this.#words
    let entry = this.#buckets[hash(id, 4) & (DECISIONS - 1)]!
    for (; entry >= 0; entry = words[entry * STRIDE + CHAIN]!) {
      const at = entry * STRIDE
      if (words[at + 3] === id[3] && words[at + 2] === id[2] && words[at + 1] === id[1] && words[at] === id[0]) break
    }
    return entry
  }

  threshold(entry: number): number {
    return this.#words[entry * STRIDE + THRESHOLD]!
  }

  /** The flags that `set` was given. */
  flags(entry: number): number {
    return this.#words[entry * STRIDE + FLAGS]!
  }

  set(entry: number, threshold: number, flags: number): void {
    this.#words[entry * STRIDE + THRESHOLD] = threshold
    this.#words[entry * STRIDE + FLAGS] = flags
  }

  /** Remembers a decision about a trace that has none. */
  add(id: Int32Array, threshold: number, flags: number): void {
    const entry = this.#count % DECISIONS
    if (this.#count >= DECISIONS) this.#forget(entry)
    this.#count++
    const bucket = hash(id, 4) & (DECISIONS - 1)
    const words = this.#words
    const at = entry * STRIDE
    for (let i = 0; i < 4; i++) words[at + i] = id[i]!
    words[at + BUCKET] = bucket
    words[at + CHAIN] = this.#buckets[bucket]!
    this.#buckets[bucket] = entry
    this.set(entry, threshold, flags)
  }

  #forget(entry: number): void {
    const words = this.#words
    const bucket = words[entry * STRIDE + BUCKET]!
    if (this.#buckets[bucket] === entry) this.#buckets[bucket] = words[entry * STRIDE + CHAIN]!
    else {
      let before = this.#buckets[bucket]!
      while (words[before * STRIDE + CHAIN] !== entry) before = words[before * STRIDE + CHAIN]!
      words[before * STRIDE + CHAIN] = words[entry * STRIDE + CHAIN]!
    }
  }
}
