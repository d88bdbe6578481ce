// Halves of requests that wait for the other half: the client's span for the server's, or the other way round. Both know
// the trace and the client's span id, which the server has as its parent. Everything lies in typed arrays of fixed size;
// an entry that is taken away makes room at once.

import { hash, word } from '../../exporter/metrics.ts'

const NONE = -1
/** Words of an entry's ids: trace 4, the client's span id 2 (these are the key), its own span id 2. */
const IDS = 8
const KEY = 6

export class Waiting {
  /** What is known of the half at each entry; the owner of the store writes it after `add`. */
  readonly server: Uint8Array
  readonly service: Int32Array
  readonly peer: Int32Array
  /** What kind of edge it will be if it stays alone, and its slot if there is one like it, or -1. */
  readonly type: Int32Array
  readonly edge: Int32Array
  readonly failed: Uint8Array
  readonly seconds: Float64Array
  readonly endSeconds: Float64Array
  readonly weight: Float64Array
  /** When it was added. */
  readonly since: Float64Array
  /** The ids' bytes, at the offsets that `trace` and `span` give. */
  readonly ids: Buffer
  /** Entries held. */
  size = 0
  readonly #limit: number
  readonly #words: Int32Array
  /** The key that was looked for last, and its bucket. */
  readonly #key = new Int32Array(KEY)
  #bucket = 0
  readonly #buckets: Int32Array
  /** The bucket of each entry. */
  readonly #bucketOf: Int32Array
  /** The next entry in the same bucket; of an entry that is not in use, the next free one. */
  readonly #next: Int32Array
  readonly #older: Int32Array
  readonly #newer: Int32Array
  #free = NONE
  #used = 0
  #oldest = NONE
  #newest = NONE

  constructor(limit: number) {
    this.#limit = limit
    this.server = new Uint8Array(limit)
    this.service = new Int32Array(limit)
    this.peer = new Int32Array(limit)
    this.type = new Int32Array(limit)
    this.edge = new Int32Array(limit)
    this.failed = new Uint8Array(limit)
    this.seconds = new Float64Array(limit)
    this.endSeconds = new Float64Array(limit)
    this.weight = new Float64Array(limit)
    this.since = new Float64Array(limit)
    // Zeroed pages cost no memory before they are written to.
    this.#words = new Int32Array(limit * IDS)
    this.ids = Buffer.from(this.#words.buffer)
    this.#buckets = new Int32Array(2 ** Math.ceil(Math.log2(limit + 1))).fill(NONE)
    this.#bucketOf = new Int32Array(limit)
    this.#next = new Int32Array(limit)
    this.#older = new Int32Array(limit)
    this.#newer = new Int32Array(limit)
  }

  get full(): boolean {
    return this.size === this.#limit
  }

  /** The entry that has waited longest, or -1. */
  get oldest(): number {
    return this.#oldest
  }

  /** The entry of a trace and a client's span id, given by their offsets, or -1. */
  find(bytes: Buffer, trace: number, client: number): number {
    const key = this.#key
    key[0] = word(bytes, trace)
    key[1] = word(bytes, trace + 4)
    key[2] = word(bytes, trace + 8)
    key[3] = word(bytes, trace + 12)
    key[4] = word(bytes, client)
    key[5] = word(bytes, client + 4)
    this.#bucket = hash(key, KEY) & (this.#buckets.length - 1)
    const words = this.#words
    let entry = this.#buckets[this.#bucket]!
    for (; entry >= 0; entry = this.#next[entry]!) {
      const at = entry * IDS
      // From the end, since span ids of one trace differ.
      let i = KEY - 1
      while (i >= 0 && words[at + i] === key[i]) i--
      if (i < 0) break
    }
    return entry
  }

  /**
   * Adds an entry for the key that was looked for last, in vain or with an entry that was removed since; there must be
   * room. `own` is the offset of the span's own id.
   */
  add(bytes: Buffer, own: number, now: number): number {
    const entry = this.#free >= 0 ? this.#free : this.#used++
    if (this.#free >= 0) this.#free = this.#next[entry]!
    const words = this.#words
    const at = entry * IDS
    for (let i = 0; i < KEY; i++) words[at + i] = this.#key[i]!
    words[at + KEY] = word(bytes, own)
    words[at + KEY + 1] = word(bytes, own + 4)
    const bucket = this.#bucket
    this.#bucketOf[entry] = bucket
    this.#next[entry] = this.#buckets[bucket]!
    this.#buckets[bucket] = entry
    this.#older[entry] = this.#newest
    this.#newer[entry] = NONE
    if (this.#newest >= 0) this.#newer[this.#newest] = entry
    else this.#oldest = entry
    this.#newest = entry
    this.since[entry] = now
    this.size++
    return entry
  }

  /** Its contents can be read until the next `add`. */
  remove(entry: number): void {
    const bucket = this.#bucketOf[entry]!
    if (this.#buckets[bucket] === entry) this.#buckets[bucket] = this.#next[entry]!
    else {
      let before = this.#buckets[bucket]!
      while (this.#next[before] !== entry) before = this.#next[before]!
      this.#next[before] = this.#next[entry]!
    }
    const older = this.#older[entry]!
    const newer = this.#newer[entry]!
    if (older >= 0) this.#newer[older] = newer
    else this.#oldest = newer
    if (newer >= 0) this.#older[newer] = older
    else this.#newest = older
    this.#next[entry] = this.#free
    this.#free = entry
    this.size--
  }

  /** Sets the marks of the symbols that entries hold. */
  mark(marks: Uint8Array): void {
    for (let entry = this.#oldest; entry >= 0; entry = this.#newer[entry]!) {
      marks[this.service[entry]!] = 1
      // What names no symbol is negative, and sets no mark.
      marks[this.peer[entry]!] = 1
    }
  }

  /** Offset in `ids` of an entry's trace id. */
  trace(entry: number): number {
    return entry * IDS * 4
  }

  /** Offset in `ids` of an entry's own span id. */
  span(entry: number): number {
    return (entry * IDS + KEY) * 4
  }
}
