// Halves of requests that wait for the other half: the client's span for the server's, or the other way round. Both know
// the trace and the client's span id, which the server has as its parent. Everything lies in typed arrays of fixed size;
// the room of a removed entry is used again at once.
//
// There are two lines of waiting halves, each with a limit and an order of its own, and one index over both. Queries wait
// in the second: hardly any database answers with spans, so they must not take the room of requests between services.

import { hash } from '../../metrics/hash.ts'
import { word } from '../../metrics/word.ts'

/** The line of requests between services, and that of queries to databases. */
export const SERVICES = 0
export const DATABASES = 1
const LINES = 2

const NONE = -1
/** Words of an entry's ids: trace 4, the client's span id 2 (these are the key), its own span id 2. */
const IDS = 8
const KEY = 6

export class Waiting {
  /** The half at each entry; the owner writes these after `add`. */
  readonly server: Uint8Array
  readonly service: Int32Array
  readonly peer: Int32Array
  /** The connection type if the half stays alone; and the slot of that edge if it exists, or -1. */
  readonly type: Int32Array
  readonly edge: Int32Array
  readonly failed: Uint8Array
  readonly seconds: Float64Array
  /** The bucket of `seconds`; -1 if they are not known. */
  readonly bucket: Int32Array
  readonly endSeconds: Float64Array
  readonly weight: Float64Array
  /** 1 if the span may be an exemplar. */
  readonly exemplar: Uint8Array
  /** When it was added. */
  readonly since: Float64Array
  /** The ids' bytes, at the offsets that `trace` and `span` give. */
  readonly ids: Buffer
  readonly #limit: number
  readonly #sizes = new Int32Array(LINES)
  readonly #words: Int32Array
  /** The key of the last `find`, and its bucket. */
  readonly #key = new Int32Array(KEY)
  #bucket = 0
  readonly #buckets: Int32Array
  /** The bucket of each entry. */
  readonly #bucketOf: Int32Array
  /** The next entry in the same bucket; of an entry that is not in use, the next free one. */
  readonly #next: Int32Array
  readonly #older: Int32Array
  readonly #newer: Int32Array
  /** The line of each entry. */
  readonly #line: Uint8Array
  #free = NONE
  #used = 0
  readonly #oldest = new Int32Array(LINES).fill(NONE)
  readonly #newest = new Int32Array(LINES).fill(NONE)

  /** `most` entries in each line. */
  constructor(most: number) {
    this.#limit = most
    const limit = LINES * most
    this.server = new Uint8Array(limit)
    this.service = new Int32Array(limit)
    this.peer = new Int32Array(limit)
    this.type = new Int32Array(limit)
    this.edge = new Int32Array(limit)
    this.failed = new Uint8Array(limit)
    this.seconds = new Float64Array(limit)
    this.bucket = new Int32Array(limit)
    this.endSeconds = new Float64Array(limit)
    this.weight = new Float64Array(limit)
    this.exemplar = new Uint8Array(limit)
    this.since = new Float64Array(limit)
    // Zeroed pages cost no memory before they are written to.
    this.#words = new Int32Array(limit * IDS)
    this.ids = Buffer.from(this.#words.buffer)
    this.#buckets = new Int32Array(2 ** Math.ceil(Math.log2(limit + 1))).fill(NONE)
    this.#bucketOf = new Int32Array(limit)
    this.#next = new Int32Array(limit)
    this.#older = new Int32Array(limit)
    this.#newer = new Int32Array(limit)
    this.#line = new Uint8Array(limit)
  }

  full(line: number): boolean {
    return this.#sizes[line] === this.#limit
  }

  /** The entry of a line that has waited longest, or -1. */
  oldest(line: number): number {
    return this.#oldest[line]!
  }

  /** The line in which an entry waits. */
  line(entry: number): number {
    return this.#line[entry]!
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
   * Adds an entry for the key of the last `find`, which found none or one that has been removed since. The line must have
   * room. `own` is the offset of the span's own id.
   */
  add(line: number, bytes: Buffer, own: number, now: number): number {
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
    const newest = this.#newest[line]!
    this.#line[entry] = line
    this.#older[entry] = newest
    this.#newer[entry] = NONE
    if (newest >= 0) this.#newer[newest] = entry
    else this.#oldest[line] = entry
    this.#newest[line] = entry
    this.since[entry] = now
    this.#sizes[line]!++
    return entry
  }

  /** Removes an entry. Its contents can be read until the next `add`. */
  remove(entry: number): void {
    const bucket = this.#bucketOf[entry]!
    if (this.#buckets[bucket] === entry) this.#buckets[bucket] = this.#next[entry]!
    else {
      let before = this.#buckets[bucket]!
      while (this.#next[before] !== entry) before = this.#next[before]!
      this.#next[before] = this.#next[entry]!
    }
    const line = this.#line[entry]!
    const older = this.#older[entry]!
    const newer = this.#newer[entry]!
    if (older >= 0) this.#newer[older] = newer
    else this.#oldest[line] = newer
    if (newer >= 0) this.#older[newer] = older
    else this.#newest[line] = older
    this.#next[entry] = this.#free
    this.#free = entry
    this.#sizes[line]!--
  }

  /** Sets the marks of the symbols that entries hold. */
  mark(marks: Uint8Array): void {
    for (const oldest of this.#oldest)
      for (let entry = oldest; entry >= 0; entry = this.#newer[entry]!) {
        marks[this.service[entry]!] = 1
        // Negative values are no symbols; writing at a negative index does nothing.
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
