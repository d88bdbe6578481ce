// The different names, or services, of the spans in one ring, each with a small number. A text is not copied: it stands where
// the newest span stands that is known to have it. The ring drops the oldest spans first, so that place is valid as long as any
// span has the number.
//
// Spans are not counted: a text is in use as long as the newest record with its number is held, and nothing is done for a text
// when spans go. Only when the numbers run out, all that are no longer in use are found in one pass.
//
// A service has its number from the intake on, for all spans of a resource. A name gets one when a query asks for it (cursor.ts):
// most spans leave before anybody has asked, and a number would cost each of them 30 ns (row traces).

import { hashOfText } from '../metrics/hash.ts'
import type { Texts as Reading } from '../traceql/reading.ts'

// The numbers of a text, in words.
const WORDS = 4
const HASH = 0
/** Negative if the number has no text. */
const LENGTH = 1
/** Where it stands in the ring. */
const PLACE = 2
/** The next text of its bucket, or the next number that is free. */
const NEXT = 3

/** If no number is free, room is made for this share of them at once. */
const SHARE = 1 / 16
const SLICES = 64

/** The records that are held: oldest ≤ number < next. */
export interface Held {
  readonly oldest: number
  readonly next: number
}

export class Texts implements Reading {
  generation = 0
  readonly #held: Held
  readonly #bytes: Buffer
  readonly #data: DataView
  readonly #capacity: number
  // Indexed by number, which begins at 1. Only touched pages take memory.
  readonly #entries: Int32Array
  /** The newest record that has the text: one that will come, if it was named before. */
  readonly #last: Float64Array
  readonly #buckets: Int32Array
  /** Texts that stand in no span, such as the service of a resource that names none. */
  readonly #own = new Map<number, Buffer>()
  #used = 0
  #free = 0
  /** `oldest` when all that is not in use was found. */
  #swept = 0

  constructor(held: Held, bytes: Buffer, capacity: number) {
    this.#held = held
    this.#bytes = bytes
    this.#data = viewOf(bytes)
    this.#capacity = capacity
    this.#entries = new Int32Array((capacity + 1) * WORDS)
    this.#last = new Float64Array(capacity + 1)
    this.#buckets = new Int32Array(2 ** Math.ceil(Math.log2(Math.max(64, capacity))))
  }

  /** Bytes of all arrays for each text that can be held. */
  static readonly BYTES = 4 * WORDS + 8 + 8

  /** The hash of a text, for those who remember it longer than its spans. */
  hashOf(number: number): number {
    return this.#entries[number * WORDS + HASH]!
  }

  /** The number of a text that stands in the ring, in a record that is held or that comes; 0 if there is no room. */
  add(start: number, end: number, record: number): number {
    const number = this.#number(this.#data, start, end)
    if (number === 0) return 0
    const last = this.#last[number]!
    // If a query asks, older records may come after newer ones.
    if (record < last && last < this.#held.next) return number
    this.#entries[number * WORDS + PLACE] = start
    this.#last[number] = record
    return number
  }

  /** The same for a text that does not stand in the ring. */
  addOwn(text: Buffer, record: number): number {
    const number = this.#number(viewOf(text), 0, text.length)
    if (number === 0) return 0
    // Even if it stands in the ring too: those spans may be the first to go.
    this.#own.set(number, text)
    this.#last[number] = record
    return number
  }

  /** True if the text of a number stands in `data` too, and `delta` further on in the ring; a record that comes has it then. */
  again(number: number, data: DataView, start: number, delta: number, record: number): boolean {
    if (!this.#is(number, data, start, start + this.lengthOf(number))) return false
    this.#entries[number * WORDS + PLACE] = start + delta
    this.#last[number] = record
    return true
  }

  text(number: number): string {
    const own = this.#own.get(number)
    if (own) return own.toString('utf8')
    const start = this.#entries[number * WORDS + PLACE]!
    return this.#bytes.toString('utf8', start, start + this.lengthOf(number))
  }

  /** The length of a text in bytes; negative if the number has none. */
  lengthOf(number: number): number {
    return this.#entries[number * WORDS + LENGTH]!
  }

  /** The oldest record that may stay if some of the numbers are to be free, when there was no room for a text. */
  get roomFrom(): number {
    const { oldest, next } = this.#held
    const held = next - oldest
    const slices = new Int32Array(SLICES)
    for (let number = 1; number <= this.#used; number++) {
      // A request may have named more records to come than it has had so far.
      const since = Math.max(0, Math.min(this.#last[number]!, next) - oldest)
      slices[Math.min(SLICES - 1, Math.floor((since / (held + 1)) * SLICES))]!++
    }
    let free = 0
    for (let slice = 0; slice < SLICES; slice++) {
      free += slices[slice]!
      if (free >= this.#capacity * SHARE) return oldest + Math.ceil(((slice + 1) * (held + 1)) / SLICES)
    }
    return next
  }

  #inUse(number: number): boolean {
    return this.#last[number]! >= this.#held.oldest
  }

  #number(data: DataView, start: number, end: number): number {
    const hash = hashOfText(data, start, end)
    let number = this.#buckets[hash & (this.#buckets.length - 1)]!
    while (number !== 0 && !(this.hashOf(number) === hash && this.#is(number, data, start, end)))
      number = this.#entries[number * WORDS + NEXT]!
    return number === 0 ? this.#add(hash, end - start) : number
  }

  /** Whether a number is that of a text which stands in `data`. If it is no longer in use, something else stands in its place. */
  #is(number: number, data: DataView, start: number, end: number): boolean {
    const length = this.lengthOf(number)
    if (length !== end - start || !this.#inUse(number)) return false
    const own = this.#own.get(number)
    return own ? same(viewOf(own), 0, data, start, length) : same(this.#data, this.#place(number), data, start, length)
  }

  #place(number: number): number {
    return this.#entries[number * WORDS + PLACE]!
  }

  #add(hash: number, length: number): number {
    if (this.#free === 0 && this.#used === this.#capacity) this.#sweep()
    const entries = this.#entries
    let number = this.#free
    if (number !== 0) this.#free = entries[number * WORDS + NEXT]!
    else if (this.#used < this.#capacity) number = ++this.#used
    else return 0
    const bucket = hash & (this.#buckets.length - 1)
    entries[number * WORDS + HASH] = hash
    entries[number * WORDS + LENGTH] = length
    entries[number * WORDS + NEXT] = this.#buckets[bucket]!
    this.#last[number] = 0
    this.#buckets[bucket] = number
    return number
  }

  /** Frees the numbers of all texts that are no longer in use. */
  #sweep(): void {
    if (this.#swept === this.#held.oldest) return
    this.#swept = this.#held.oldest
    this.generation++
    const entries = this.#entries
    const buckets = this.#buckets.fill(0)
    for (let number = this.#used; number > 0; number--) {
      const entry = number * WORDS
      if (this.#inUse(number)) {
        const bucket = entries[entry + HASH]! & (buckets.length - 1)
        entries[entry + NEXT] = buckets[bucket]!
        buckets[bucket] = number
        continue
      }
      this.#own.delete(number)
      entries[entry + LENGTH] = -1
      entries[entry + NEXT] = this.#free
      this.#free = number
    }
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** Whether the same bytes stand at two places: by words, of which the last may overlap the one before. */
function same(one: DataView, at: number, other: DataView, from: number, length: number): boolean {
  if (length < 4) {
    for (let i = 0; i < length; i++) if (one.getUint8(at + i) !== other.getUint8(from + i)) return false
    return true
  }
  for (let i = 0; i < length - 4; i += 4)
    if (one.getInt32(at + i, true) !== other.getInt32(from + i, true)) return false
  return one.getInt32(at + length - 4, true) === other.getInt32(from + length - 4, true)
}
