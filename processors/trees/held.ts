// The spans that wait for their local root, and then stand in its tree, 48 bytes each, in one array that grows with their
// number. A span is known by where its record begins: a number of words.
//
//   words = span id (2), parent's id (2), next of its trace, flags | operation << 8, start (2), end (2), first child, (unused)
//
// In a tree, the next sibling takes the place of the parent's id: nothing is copied to make one.

import { LITTLE_ENDIAN } from '../../metrics/word.ts'
import { ATTRIBUTE_RECORD, ATTRIBUTES, END_TIME, PARENT_ID, SPAN_ID, SPAN_RECORD, START_TIME } from '../../otlp/tape.ts'
import type { Allotment } from '../../telemetry/memory.ts'

const STRIDE = 12
export const ID = 0
export const PARENT = 2
/** The same column, once the span is in a tree. */
export const SIBLING = 2
export const NEXT = 4
export const FLAGS = 5
/** Places of the doubles: words 6 to 9. */
export const START = 3
export const END = 4
export const CHILD = 10
/** The operation stands above the flags. */
export const OPERATION_SHIFT = 8

export const KINDS = 7
export const FAILED_SHIFT = 3
export const FAILED = 1 << FAILED_SHIFT
export const ROOT = 16
/** It has no parent. */
export const PARENTLESS = 32
/** It is the local root of an answer to our own probe. */
export const PROBE = 64

const FEW = 256
const HIGH = 2 ** 32
export const NONE = -1

export class Held {
  spans = 0
  words = new Int32Array(0)
  /** The same memory: start and end in nanoseconds. */
  times = new Float64Array(this.words.buffer)
  readonly #memory: Allotment
  readonly #most: number
  /** Times are counted from here, in units of 2 ** 32 ns. */
  readonly #origin: number
  #used = 0
  /**
   * Places that are free again: the first and the last of a list. The one that has been free the longest is used first, so that
   * spans stand in the order in which they came: the processor then sees what will be read next.
   */
  #free = NONE
  #freed = NONE
  /** So many spans more find room without taking memory. */
  #room = 0
  /** The last span of those that were added last, and the last of them that is a local root; -1 if there is none. */
  last = NONE
  root = NONE

  /** Holds at most so many spans. */
  constructor(memory: Allotment, most: number, origin: number) {
    this.#memory = memory
    this.#most = most * STRIDE
    this.#origin = origin
  }

  /** Whether so many more spans find room; it may take memory for them. */
  fits(spans: number): boolean {
    while (this.#room < spans) if (!this.#grow()) return false
    return true
  }

  #grow(): boolean {
    const size = Math.max(FEW * STRIDE, 2 * this.words.length)
    if (size > this.#most || !this.#memory.hold(4 * size - this.#bytes())) return false
    this.#room += (size - this.words.length) / STRIDE
    const words = new Int32Array(size)
    words.set(this.words)
    this.words = words
    this.times = new Float64Array(words.buffer)
    return true
  }

  /**
   * Adds some spans of a trace, for which there is room: their records of the walk follow each other from `from` on, and their
   * operations and flags in `what` from `i` on. Returns where the first stands, and links them.
   */
  add(data: DataView, records: Int32Array, from: number, what: Int32Array, i: number, spans: number): number {
    const { words, times } = this
    const origin = this.#origin
    let free = this.#free
    let used = this.#used
    let root = NONE
    let last = NONE
    let first = NONE
    let record = from
    for (let n = i; n < i + spans; n++) {
      let at = free
      if (at >= 0) free = words[at + NEXT]!
      else {
        at = used
        used += STRIDE
      }
      if (last >= 0) words[last + NEXT] = at
      else first = at
      last = at
      const spanId = records[record + SPAN_ID]!
      words[at + ID] = data.getInt32(spanId, LITTLE_ENDIAN)
      words[at + ID + 1] = data.getInt32(spanId + 4, LITTLE_ENDIAN)
      const parentId = records[record + PARENT_ID]!
      if (parentId >= 0) {
        words[at + PARENT] = data.getInt32(parentId, LITTLE_ENDIAN)
        words[at + PARENT + 1] = data.getInt32(parentId + 4, LITTLE_ENDIAN)
      }
      const flags = what[n]!
      if (flags & ROOT) root = at
      words[at + FLAGS] = flags
      words[at + CHILD] = NONE
      const startLow = records[record + START_TIME]! >>> 0
      const startHigh = records[record + START_TIME + 1]! >>> 0
      const endLow = records[record + END_TIME]! >>> 0
      const endHigh = records[record + END_TIME + 1]! >>> 0
      // The difference of the halves is exact where the times themselves, as doubles, would be 256 ns apart.
      const lasts = (endHigh - startHigh) * HIGH + (endLow - startLow)
      const end = (endHigh - origin) * HIGH + endLow
      // A span that ends before it starts, or has no start, lasts 0.
      times[(at >> 1) + START] = lasts > 0 && (startLow !== 0 || startHigh !== 0) ? end - lasts : end
      times[(at >> 1) + END] = end
      record += SPAN_RECORD + ATTRIBUTE_RECORD * records[record + ATTRIBUTES]!
    }
    words[last + NEXT] = NONE
    this.#free = free
    this.#used = used
    this.#room -= spans
    this.spans += spans
    this.last = last
    this.root = root
    return first
  }

  /** Puts a span behind the last one of its trace. */
  link(last: number, next: number): void {
    this.words[last + NEXT] = next
  }

  /** Removes a list of so many spans, from its first to its last. */
  remove(first: number, last: number, spans: number): void {
    const words = this.words
    words[last + NEXT] = NONE
    if (this.#free < 0) this.#free = first
    else words[this.#freed + NEXT] = first
    this.#freed = last
    this.#room += spans
    this.spans -= spans
  }

  /** Gives back what a flood has needed, once none is left; true if it did. */
  tidy(): boolean {
    if (this.spans > 0 || this.words.length <= 16 * FEW * STRIDE) return false
    this.clear()
    return true
  }

  clear(): void {
    this.#memory.add(-this.#bytes())
    this.words = new Int32Array(0)
    this.times = new Float64Array(this.words.buffer)
    this.#used = this.#room = this.spans = 0
    this.#free = NONE
  }

  #bytes(): number {
    return this.words.byteLength
  }
}
