// The bytes of spans that wait for a decision. A request is copied once, as a whole, behind the one before it into a segment;
// the record of a span says where it stands in there. A segment is free again when none of its spans is held any more. Traces
// that take long would keep whole segments for a few spans, so what is left of a segment moves on when it has become little.
//
//   segment | request request request |       record = segment, offset, length, next of its trace, group,
//               ^span  ^span                           offset of the tracestate in the span, its length, flags

import type { Allotment } from '../../telemetry/memory.ts'

/** A request of 512 spans has 170 kB, so that three of them fit. */
export const SEGMENT = 512 * 1024
/** Below this share, the rest of a segment moves on: for each byte moved, three are freed. */
const LITTLE = 1 / 4
/** Free segments that are kept for the next requests: memory that is new costs page faults. */
const SPARE = 4

const STRIDE = 8
const SEGMENT_OF = 0
const OFFSET = 1
const LENGTH = 2
const NEXT = 3
const GROUP = 4
const STATE = 5
const STATE_LENGTH = 6
const FLAGS = 7

export const NONE = -1

class Segment {
  readonly bytes: Buffer
  used = 0
  /** Bytes of spans that are held. */
  live = 0
  /** The records of spans that were put into it; those that have gone are among them until it is free. */
  records = new Int32Array(256)
  count = 0

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafeSlow(size)
  }

  note(record: number): void {
    if (this.count === this.records.length) {
      const larger = new Int32Array(2 * this.count)
      larger.set(this.records)
      this.records = larger
    }
    this.records[this.count++] = record
  }
}

export class Held {
  /** Spans that are held, and their bytes. */
  spans = 0
  bytes = 0
  readonly #memory: Allotment
  #records = new Int32Array(1024 * STRIDE)
  #size = 0
  #free = NONE
  readonly #segments: (Segment | undefined)[] = []
  readonly #vacant: number[] = []
  readonly #spare: Segment[] = []
  /** The open segment, into which is written, and where the request at hand begins in it. */
  #open = NONE
  #base = 0
  #sparse = false

  constructor(memory: Allotment) {
    this.#memory = memory
    memory.add(this.#records.byteLength)
  }

  /** The memory that a request of so many bytes and spans needs besides what there is. */
  needs(bytes: number, spans: number): number {
    const room = this.#roomIn(this.#segments[this.#open], bytes) || (bytes <= SEGMENT && this.#spare.length > 0)
    // Records in use and free ones are all that there were.
    const records = this.spans + spans > this.#records.length / STRIDE ? this.#records.byteLength : 0
    return (room ? 0 : Math.max(SEGMENT, bytes)) + records
  }

  /** Copies a request, whose spans `add` then refers to. */
  copy(request: Buffer): void {
    const segment = this.#room(request.length)
    this.#base = segment.used
    segment.bytes.set(request, segment.used)
    segment.used += request.length
  }

  /** A record of the span between two offsets of the request that was copied; `state` is the offset of its tracestate. */
  add(start: number, end: number, group: number, state: number, stateLength: number, flags: number): number {
    const record = this.#take()
    const segment = this.#segments[this.#open]!
    const records = this.#records
    const at = record * STRIDE
    records[at + SEGMENT_OF] = this.#open
    records[at + OFFSET] = this.#base + start
    records[at + LENGTH] = end - start
    records[at + NEXT] = NONE
    records[at + GROUP] = group
    records[at + STATE] = state - start
    records[at + STATE_LENGTH] = stateLength
    records[at + FLAGS] = flags
    segment.note(record)
    segment.live += end - start
    this.spans++
    this.bytes += end - start
    return record
  }

  /** Forgets a span. */
  remove(record: number): void {
    const records = this.#records
    const at = record * STRIDE
    const length = records[at + LENGTH]!
    const index = records[at + SEGMENT_OF]!
    const segment = this.#segments[index]!
    segment.live -= length
    this.spans--
    this.bytes -= length
    records[at + SEGMENT_OF] = NONE
    records[at + NEXT] = this.#free
    this.#free = record
    if (index === this.#open) return
    if (segment.live === 0) this.#release(index)
    else if (segment.live < segment.used * LITTLE) this.#sparse = true
  }

  /** The bytes that hold the span, with its place in them. */
  bytesOf(record: number): Buffer {
    return this.#segments[this.#records[record * STRIDE + SEGMENT_OF]!]!.bytes
  }

  offset(record: number): number {
    return this.#records[record * STRIDE + OFFSET]!
  }

  length(record: number): number {
    return this.#records[record * STRIDE + LENGTH]!
  }

  group(record: number): number {
    return this.#records[record * STRIDE + GROUP]!
  }

  flags(record: number): number {
    return this.#records[record * STRIDE + FLAGS]!
  }

  /** Offset of the tracestate in the span's bytes; its length is 0 if there is none. */
  state(record: number): number {
    return this.#records[record * STRIDE + STATE]!
  }

  stateLength(record: number): number {
    return this.#records[record * STRIDE + STATE_LENGTH]!
  }

  /** The next record in the list that its owner makes. */
  next(record: number): number {
    return this.#records[record * STRIDE + NEXT]!
  }

  link(record: number, next: number): void {
    this.#records[record * STRIDE + NEXT] = next
  }

  /** Moves the rest of segments that hold little any more, and gives back memory that is not needed. Called between decisions. */
  tidy(): void {
    if (this.spans === 0 && this.#open >= 0 && this.#segments[this.#open]!.used > 0) this.#reset()
    if (this.#sparse) {
      this.#sparse = false
      for (let i = 0; i < this.#segments.length; i++) {
        const segment = this.#segments[i]
        if (segment && i !== this.#open && segment.live < segment.used * LITTLE) this.#move(i, segment)
      }
    }
    if (this.#spare.length > SPARE) this.#give(this.#spare.pop()!)
  }

  /** Gives back everything. */
  clear(): void {
    for (const segment of this.#segments) if (segment) this.#give(segment)
    for (const segment of this.#spare) this.#give(segment)
    this.#memory.add(-this.#records.byteLength)
    this.#segments.length = this.#spare.length = this.#vacant.length = 0
    this.#records = new Int32Array(0)
    this.#open = this.#free = NONE
    this.#size = this.spans = this.bytes = 0
  }

  #take(): number {
    const free = this.#free
    if (free >= 0) {
      this.#free = this.#records[free * STRIDE + NEXT]!
      return free
    }
    if (this.#size * STRIDE === this.#records.length) {
      const larger = new Int32Array(2 * this.#records.length)
      larger.set(this.#records)
      this.#memory.add(this.#records.byteLength)
      this.#records = larger
    }
    return this.#size++
  }

  #roomIn(segment: Segment | undefined, bytes: number): boolean {
    return segment !== undefined && segment.used + bytes <= segment.bytes.length
  }

  /** The open segment, with room for so many bytes. */
  #room(bytes: number): Segment {
    const open = this.#segments[this.#open]
    if (open && this.#roomIn(open, bytes)) return open
    const before = this.#open
    const segment = (bytes <= SEGMENT && this.#spare.pop()) || this.#fresh(Math.max(SEGMENT, bytes))
    this.#open = this.#vacant.pop() ?? this.#segments.length
    this.#segments[this.#open] = segment
    if (open) {
      if (open.live === 0) this.#release(before)
      else if (open.live < open.used * LITTLE) this.#sparse = true
    }
    return segment
  }

  #fresh(size: number): Segment {
    this.#memory.add(size)
    return new Segment(size)
  }

  #release(index: number): void {
    const segment = this.#segments[index]!
    this.#segments[index] = undefined
    this.#vacant.push(index)
    segment.used = segment.count = 0
    if (segment.bytes.length === SEGMENT && this.#spare.length < 2 * SPARE) this.#spare.push(segment)
    else this.#give(segment)
  }

  #give(segment: Segment): void {
    this.#memory.add(-segment.bytes.length)
  }

  /** Nothing is held: the open segment begins anew. */
  #reset(): void {
    this.#segments[this.#open]!.used = this.#segments[this.#open]!.count = 0
  }

  #move(index: number, segment: Segment): void {
    // If there is no room to move to, it stays as it is.
    if (!this.#memory.fits(this.needs(segment.live, 0))) return
    const records = this.#records
    for (let i = 0; i < segment.count; i++) {
      const record = segment.records[i]!
      const at = record * STRIDE
      // A record that has gone may be in use again, here or elsewhere; if here, it is in the list twice.
      if (records[at + SEGMENT_OF] !== index) continue
      const offset = records[at + OFFSET]!
      const length = records[at + LENGTH]!
      const to = this.#room(length)
      segment.bytes.copy(to.bytes, to.used, offset, offset + length)
      records[at + SEGMENT_OF] = this.#open
      records[at + OFFSET] = to.used
      to.used += length
      to.live += length
      to.note(record)
    }
    segment.live = 0
    this.#release(index)
  }
}
