// Halves of requests that wait for the other half: the client's span for the server's, or the other way round. Both know
// the trace and the client's span id, which the server has as its parent. Everything lies in typed arrays of fixed size;
// an entry that is taken away makes room at once.

const NONE = -1
const TRACE = 16
const SPAN = 8
/** Bytes of an entry's ids: trace, the client's span id (these two are the key), its own span id. */
const IDS = TRACE + SPAN + SPAN

export class Waiting {
  /** What is known of the half at each entry; the owner of the store writes it after `add`. */
  readonly server: Uint8Array
  readonly service: Int32Array
  readonly peer: Int32Array
  readonly messaging: Uint8Array
  readonly failed: Uint8Array
  readonly seconds: Float64Array
  readonly endSeconds: Float64Array
  readonly weight: Float64Array
  /** When it was added. */
  readonly since: Float64Array
  readonly ids: Buffer
  /** Entries held. */
  size = 0
  readonly #limit: number
  // A seed of this process's own makes it infeasible to send ids that collide.
  readonly #seed = (Math.random() * 0x100000000) | 0
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
    this.messaging = new Uint8Array(limit)
    this.failed = new Uint8Array(limit)
    this.seconds = new Float64Array(limit)
    this.endSeconds = new Float64Array(limit)
    this.weight = new Float64Array(limit)
    this.since = new Float64Array(limit)
    // Zeroed pages cost no memory before they are written to.
    this.ids = Buffer.alloc(limit * IDS)
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
    let entry = this.#buckets[this.#bucket(bytes, trace, client)]!
    while (entry >= 0 && !this.#is(entry, bytes, trace, client)) entry = this.#next[entry]!
    return entry
  }

  /** Adds an entry, for which there must be room and which must not be there yet. */
  add(bytes: Buffer, trace: number, client: number, own: number, now: number): number {
    const entry = this.#free >= 0 ? this.#free : this.#used++
    if (this.#free >= 0) this.#free = this.#next[entry]!
    const { ids } = this
    const at = entry * IDS
    for (let i = 0; i < TRACE; i++) ids[at + i] = bytes[trace + i]!
    for (let i = 0; i < SPAN; i++) ids[at + TRACE + i] = bytes[client + i]!
    for (let i = 0; i < SPAN; i++) ids[at + TRACE + SPAN + i] = bytes[own + i]!
    const bucket = this.#bucket(bytes, trace, client)
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
    return entry * IDS
  }

  /** Offset in `ids` of an entry's own span id. */
  span(entry: number): number {
    return entry * IDS + TRACE + SPAN
  }

  #is(entry: number, bytes: Buffer, trace: number, client: number): boolean {
    const at = entry * IDS
    // Span ids first: those of one trace differ.
    for (let i = 0; i < SPAN; i++) if (this.ids[at + TRACE + i] !== bytes[client + i]) return false
    for (let i = 0; i < TRACE; i++) if (this.ids[at + i] !== bytes[trace + i]) return false
    return true
  }

  #bucket(bytes: Buffer, trace: number, client: number): number {
    // Span ids are random; that half of the trace id which is not, in some SDKs, is left out.
    let hash = this.#seed
    for (let i = 0; i < SPAN; i++) hash = Math.imul(hash ^ bytes[client + i]!, 0x01000193)
    for (let i = TRACE - 4; i < TRACE; i++) hash = Math.imul(hash ^ bytes[trace + i]!, 0x01000193)
    return (hash ^ (hash >>> 15)) & (this.#buckets.length - 1)
  }
}
