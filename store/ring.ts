// The newest spans in memory of a fixed size. Requests stand in a ring of bytes as they came in; each span has a record in a
// second ring. Nothing is decoded and nothing is allocated for a span. A new request takes the place of the oldest.
//
// The spans of a trace are found by chains: `heads`, by the hash of the trace id, leads to the newest record, and each
// record to the one before it. A number below the oldest record ends a chain, so nothing is repaired when records go. Records
// enter their chains when somebody asks for a trace: under load, most have gone by then.
//
// Numbers of records outgrow the 32 bits that a head has, and one that was left behind may then lead into another chain, whose
// records are known by their hashes. Links are distances, so that each leads back even then, and every chain ends.

import type { Segment } from '../traceql/reading.ts'
import { Cursor } from './cursor.ts'
import { distance, HASH, LINK_WORDS, PREVIOUS, RECORD_WORDS, type Records } from './record.ts'
import { Texts } from './texts.ts'

/** Readers look at four bytes at once, and may look beyond the last. */
const SLACK = 16
/** An ordinary span takes more; where spans are smaller, records run out before bytes. */
export const BYTES_PER_SPAN = 288
/** There are fewer different services than spans. Names, which get their numbers when nothing can be dropped, have one each. */
const SPANS_PER_SERVICE = 4
export const SPANS_PER_REQUEST = 2
const REQUEST_BYTES = 32
/** The most that the first question after a while has to enter in one turn of the event loop: about a millisecond. */
const MOST_UNLINKED = 65_536

/** Called with the records of one request that are about to be dropped. */
export type Leaving = (first: number, end: number) => void

export class Ring implements Segment, Records {
  readonly bytes: Buffer
  readonly data: DataView
  readonly records: Int32Array
  readonly doubles: Float64Array
  readonly links: Int32Array
  readonly names: Texts
  readonly services: Texts
  /** The most bytes, spans and requests that it holds. */
  readonly capacity: number
  readonly most: number
  oldest: number
  next: number
  /** Bytes of the requests held. */
  held = 0
  readonly #heads: Int32Array
  readonly #shift: number
  /** Records from this one on are in no chain yet. */
  #linked: number
  /** The record that stands first in `records` now. */
  #zero: number
  // The requests held, as a ring: start, end, first record, when it came in.
  readonly #requests: Float64Array
  readonly #mostRequests: number
  #oldestRequest = 0
  #nextRequest = 0
  #head = 0
  readonly #leaving: Leaving

  /** `size` bytes in all. The first record has the number `first`, above 0. */
  constructor(size: number, leaving: Leaving, first = 1) {
    this.oldest = this.next = this.#linked = this.#zero = first
    this.most = Math.max(64, Math.floor(size / Ring.#cost))
    this.capacity = this.most * BYTES_PER_SPAN
    this.bytes = Buffer.allocUnsafeSlow(this.capacity + SLACK)
    this.data = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length)
    this.records = new Int32Array(this.most * RECORD_WORDS)
    this.doubles = new Float64Array(this.records.buffer)
    this.links = new Int32Array(this.most * LINK_WORDS)
    const bits = Math.max(1, Math.ceil(Math.log2(this.most)))
    this.#heads = new Int32Array(2 ** bits)
    this.#shift = 32 - bits
    this.#mostRequests = Math.ceil(this.most / SPANS_PER_REQUEST)
    this.#requests = new Float64Array(4 * this.#mostRequests)
    this.names = new Texts(this, this.bytes, this.most)
    this.services = new Texts(this, this.bytes, Math.ceil(this.most / SPANS_PER_SERVICE))
    this.#leaving = leaving
  }

  /** Bytes for each span that can be held. */
  static get #cost(): number {
    return (
      BYTES_PER_SPAN +
      4 * (RECORD_WORDS + LINK_WORDS) +
      8 +
      REQUEST_BYTES / SPANS_PER_REQUEST +
      Texts.BYTES +
      Texts.BYTES / SPANS_PER_SERVICE
    )
  }

  get spans(): number {
    return this.next - this.oldest
  }

  get requests(): number {
    return this.#nextRequest - this.#oldestRequest
  }

  /** When the oldest request came in, in milliseconds since the epoch; undefined if there is none. */
  get oldestReceived(): number | undefined {
    return this.requests === 0 ? undefined : this.#requests[this.#at(this.#oldestRequest) + 3]
  }

  cursor(): Cursor {
    return new Cursor(this)
  }

  /** Whether a request of this size can be held at all. */
  fits(length: number, items: number): boolean {
    return length <= this.capacity && items <= this.most
  }

  /** Copies a request into the ring and returns where it stands. It must fit. Its records follow, by `add`. */
  begin(source: Buffer, start: number, end: number, items: number, received: number): number {
    const length = end - start
    this.#makeRoom(length, items)
    if (this.next - this.#linked > MOST_UNLINKED) this.#link()
    const at = this.#head
    // Fast path: a whole request, for which nothing is made.
    if (length === source.length) this.bytes.set(source, at)
    else if (length > 64) source.copy(this.bytes, at, start, end)
    else for (let i = 0; i < length; i++) this.bytes[at + i] = source[start + i]!
    const entry = this.#at(this.#nextRequest++)
    this.#requests[entry] = at
    this.#requests[entry + 1] = at + length
    this.#requests[entry + 2] = this.next
    this.#requests[entry + 3] = received
    this.#head = at + length
    this.held += length
    return at
  }

  /** Where the next record is to be written, as `index` says it; `push` then makes it one, and writes its link. */
  get place(): number {
    return this.next - this.#zero
  }

  /** Makes the record at `place` one of the ring, of a trace whose id has this hash. */
  push(place: number, hash: number): void {
    const next = this.next + 1
    this.links[place * LINK_WORDS + HASH] = hash
    this.next = next
    if (next - this.#zero === this.most) this.#zero = next
  }

  /**
   * Adds the records that are in no chain yet to theirs. The heads of the chains are seldom in the processor's cache: for many
   * records at once it waits for several of them at a time.
   */
  #link(): void {
    const { links, most, next } = this
    const heads = this.#heads
    const shift = this.#shift
    const from = Math.max(this.#linked, this.oldest)
    this.#linked = next
    for (let number = from, index = this.index(from); number < next; number++, index++) {
      if (index === most) index = 0
      const at = index * LINK_WORDS
      const head = links[at + HASH]! >>> shift
      links[at + PREVIOUS] = number - heads[head]!
      heads[head] = number | 0
    }
  }

  /** The place of a record that is held, or that comes next. */
  index(number: number): number {
    const distance = number - this.#zero
    return distance >= 0 ? distance : distance + this.most
  }

  numberAt(index: number): number {
    const number = this.#zero + index
    return number < this.next ? number : number - this.most
  }

  /** The newest record that may be of the trace, given the hash of its id; below `oldest` if there is none. */
  newest(hash: number): number {
    if (this.#linked < this.next) this.#link()
    return this.next - distance(this.next - this.#heads[hash >>> this.#shift]!)
  }

  /** The record before this one in its chain. */
  before(number: number): number {
    return number - distance(this.links[this.index(number) * LINK_WORDS + PREVIOUS]!)
  }

  /** Drops the oldest requests, but not the newest, so that there is room for other services; false if none was dropped. */
  makeRoomForService(): boolean {
    const { roomFrom } = this.services
    const { requests } = this
    while (this.requests > 1 && this.oldest < roomFrom) this.#drop()
    return this.requests < requests
  }

  #at(request: number): number {
    return (request % this.#mostRequests) * 4
  }

  #makeRoom(length: number, items: number): void {
    if (this.#head + length > this.capacity) {
      // The requests behind the head are older than those before it.
      while (this.requests > 0 && this.#start() >= this.#head) this.#drop()
      this.#head = 0
    }
    while (this.requests > 0 && this.#start() >= this.#head && this.#start() < this.#head + length) this.#drop()
    while (this.requests > 0 && this.spans + items > this.most) this.#drop()
    if (this.requests === this.#mostRequests) this.#drop()
  }

  #start(): number {
    return this.#requests[this.#at(this.#oldestRequest)]!
  }

  #drop(): void {
    const entry = this.#at(this.#oldestRequest)
    const end = this.requests === 1 ? this.next : this.#requests[this.#at(this.#oldestRequest + 1) + 2]!
    this.#leaving(this.oldest, end)
    this.held -= this.#requests[entry + 1]! - this.#requests[entry]!
    this.oldest = end
    this.#oldestRequest++
  }
}
