// The traces that are not decided yet, by their ids. Everything about them lies in typed arrays that grow with their number,
// which the memory of their spans bounds. Two lines keep them in the order in which they will be due: all by when they came,
// and those whose local root has ended by when that came.
//
// Traces with the same place in the table are a chain: a trace comes and goes with one write to the table mostly. To close the
// gap that it leaves among neighbours, as in open addressing, the processor has to guess how far to look, and guesses wrong.
// A new trace goes to the end of its chain, where the search for it has ended, so that the one that goes, mostly the oldest, is
// the first.

import { hashOfFour } from '../metrics/hash.ts'
import { LITTLE_ENDIAN } from '../metrics/word.ts'
import type { SpanView } from './consumer.ts'
import type { Allotment } from './memory.ts'

/** The line of all traces, and that of those whose local root has ended. */
export const ALL = 0
export const ENDED = 1

const NONE = -1
const STRIDE = 16
/** Words 0 to 3 are the id. */
const ID_WORDS = 4
const HASH = 4
const FIRST = 5
const LAST = 6
const SPANS = 7
const THRESHOLD = 8
const FACTS = 9
const ROOT = 10
/** The neighbours in each line: older, newer. */
const LINKS = 11
/** The next trace with the same place in the table. */
const CHAIN = 15
/** The next free trace, in the row of one that is not in use. */
const FREE = LAST
const FEW = 256
/** Traces that are glanced at together at most, and those that are when they are due. */
const AT_ONCE = 128
export const AHEAD = 32

export class Pending {
  size = 0
  readonly #memory: Allotment
  #words = new Int32Array(FEW * STRIDE)
  /** When a trace came, and when its local root came. */
  #times = new Float64Array(FEW * 2)
  /** The first trace of each chain; twice as many as there can be traces. */
  #table = emptyTable(FEW)
  #used = 0
  /**
   * Traces that are not in use: the first and the last of a list. The one that has been free the longest is used first, so that
   * traces stand in the order in which they came, and the processor sees which will be read next.
   */
  #free = NONE
  #freed = NONE
  readonly #oldest = Int32Array.of(NONE, NONE)
  readonly #newest = Int32Array.of(NONE, NONE)
  /** The time. In an array, since a number that is not whole would be an object on its way into a call. */
  readonly #now = new Float64Array(1)
  /** The id of the last `find`, and its hash. */
  readonly #id = new Int32Array(ID_WORDS)
  #hash = 0
  /** The words that were read ahead. Nobody uses them, but without a use the compiler would leave the reads out. */
  readonly #glanced = new Int32Array(AT_ONCE)
  /** The trace that the last `find` or `add` answered, while it is here: the next span is mostly of the same one. */
  #last = NONE
  /** The end of the chain that the last `find` searched without finding; NONE if it is empty, or not known any more. */
  #tail = NONE
  /** The serial of the trace of the last `find`. */
  #serial = 0

  constructor(memory: Allotment) {
    this.#memory = memory
    memory.add(this.#bytes())
  }

  /** The time of what follows, in milliseconds of the steady clock. */
  begin(now: number): void {
    this.#now[0] = now
  }

  /** The memory that so many more traces need besides what there is. */
  needs(traces: number): number {
    return (this.size + traces) * STRIDE > this.#words.length ? this.#bytes() : 0
  }

  /** The trace of a span, or -1. */
  find(view: SpanView): number {
    const { traceSerial } = view
    if (this.#last >= 0 && traceSerial === this.#serial) return this.#last
    return this.#find(view)
  }

  /** The same for the id at an offset, whose hash is known, for those who compare ids themselves. Those never call `find`. */
  seek(data: DataView, traceId: number, hash: number): number {
    const first = data.getInt32(traceId, LITTLE_ENDIAN)
    const second = data.getInt32(traceId + 4, LITTLE_ENDIAN)
    const third = data.getInt32(traceId + 8, LITTLE_ENDIAN)
    const fourth = data.getInt32(traceId + 12, LITTLE_ENDIAN)
    return this.#look(first, second, third, fourth, hash)
  }

  /** The hash of the id at an offset. */
  hash(data: DataView, traceId: number): number {
    return hashOfFour(
      data.getInt32(traceId, LITTLE_ENDIAN),
      data.getInt32(traceId + 4, LITTLE_ENDIAN),
      data.getInt32(traceId + 8, LITTLE_ENDIAN),
      data.getInt32(traceId + 12, LITTLE_ENDIAN),
    )
  }

  /**
   * Reads what `seek` will read for the first hashes of an array, so that it is in the processor's cache, which the table and
   * its traces do not fit into: in a loop that does nothing else, the processor waits for many of them at a time.
   */
  glance(hashes: Int32Array, count: number): void {
    const table = this.#table
    const words = this.#words
    const glanced = this.#glanced
    const mask = table.length - 1
    const some = Math.min(count, AT_ONCE)
    for (let i = 0; i < some; i++) glanced[i] = table[hashes[i]! & mask]!
    for (let i = 0; i < some; i++) {
      const trace = glanced[i]!
      if (trace >= 0) glanced[i] = words[trace * STRIDE + 3]!
    }
  }

  /** The same for what is read to remove the first AHEAD traces of a line. */
  glanceAt(line: typeof ALL | typeof ENDED): void {
    const table = this.#table
    const words = this.#words
    const glanced = this.#glanced
    const mask = table.length - 1
    let trace = this.#oldest[line]!
    for (let i = 0; i < AHEAD && trace >= 0; i++) {
      const at = trace * STRIDE
      glanced[i] = table[words[at + HASH]! & mask]!
      trace = words[at + LINKS + 2 * line + 1]!
    }
  }

  #find({ data, traceId, traceSerial, traceHash }: SpanView): number {
    this.#serial = traceSerial
    const first = data.getInt32(traceId, LITTLE_ENDIAN)
    const second = data.getInt32(traceId + 4, LITTLE_ENDIAN)
    const third = data.getInt32(traceId + 8, LITTLE_ENDIAN)
    const fourth = data.getInt32(traceId + 12, LITTLE_ENDIAN)
    return this.#look(first, second, third, fourth, traceHash)
  }

  #look(first: number, second: number, third: number, fourth: number, hash: number): number {
    const id = this.#id
    id[0] = first
    id[1] = second
    id[2] = third
    id[3] = fourth
    this.#hash = hash
    const words = this.#words
    const table = this.#table
    let trace = table[hash & (table.length - 1)]!
    let before = NONE
    while (trace >= 0) {
      const at = trace * STRIDE
      if (words[at + 3] === fourth && words[at + 2] === third && words[at + 1] === second && words[at] === first) break
      before = trace
      trace = words[at + CHAIN]!
    }
    this.#tail = before
    this.#last = trace
    return trace
  }

  /** The id of the last `find`, in words. */
  get id(): Int32Array {
    return this.#id
  }

  /** Adds the trace of the last `find`, which found none. */
  add(threshold: number): number {
    const trace = this.#take()
    const words = this.#words
    const at = trace * STRIDE
    const id = this.#id
    words[at] = id[0]!
    words[at + 1] = id[1]!
    words[at + 2] = id[2]!
    words[at + 3] = id[3]!
    words[at + HASH] = this.#hash
    words[at + FIRST] = words[at + LAST] = words[at + ROOT] = NONE
    words[at + SPANS] = words[at + FACTS] = 0
    words[at + THRESHOLD] = threshold
    this.#times[2 * trace] = this.#now[0]!
    this.#times[2 * trace + 1] = NONE
    words[at + CHAIN] = NONE
    if (this.#tail >= 0) words[this.#tail * STRIDE + CHAIN] = trace
    else place(this.#table, words, trace)
    this.#append(ALL, trace)
    this.size++
    this.#last = trace
    return trace
  }

  /** Removes a trace; its contents can be read until the next `add`. */
  remove(trace: number): void {
    if (trace === this.#last) this.#last = NONE
    this.#tail = NONE
    const words = this.#words
    const at = trace * STRIDE
    unplace(this.#table, words, trace)
    this.#unlink(ALL, trace)
    if (this.#times[2 * trace + 1]! >= 0) this.#unlink(ENDED, trace)
    words[at + FREE] = NONE
    if (this.#free < 0) this.#free = trace
    else words[this.#freed * STRIDE + FREE] = trace
    this.#freed = trace
    this.size--
  }

  /** The trace of a line that is due first, or -1. */
  oldest(line: typeof ALL | typeof ENDED): number {
    return this.#oldest[line]!
  }

  /** Its local root has come: it goes to the end of that line, again if another one came before. */
  ended(trace: number, record: number): void {
    if (this.#times[2 * trace + 1]! >= 0) this.#unlink(ENDED, trace)
    this.#times[2 * trace + 1] = this.#now[0]!
    this.#words[trace * STRIDE + ROOT] = record
    this.#append(ENDED, trace)
  }

  since(trace: number): number {
    return this.#times[2 * trace]!
  }

  /** When its local root came; -1 if it has not. */
  rootAt(trace: number): number {
    return this.#times[2 * trace + 1]!
  }

  /** The record of its local root, or -1. */
  root(trace: number): number {
    return this.#words[trace * STRIDE + ROOT]!
  }

  first(trace: number): number {
    return this.#words[trace * STRIDE + FIRST]!
  }

  /** Its last record, or -1. */
  last(trace: number): number {
    return this.#words[trace * STRIDE + LAST]!
  }

  /** Notes that `record` is the last one of the trace; returns the one before, which is to be linked to it, or -1. */
  push(trace: number, record: number): number {
    const words = this.#words
    const at = trace * STRIDE
    const before = words[at + LAST]!
    words[at + LAST] = record
    words[at + SPANS]!++
    if (before < 0) words[at + FIRST] = record
    return before
  }

  /** The same for a list of so many records. */
  append(trace: number, first: number, last: number, spans: number): number {
    const words = this.#words
    const at = trace * STRIDE
    const before = words[at + LAST]!
    words[at + LAST] = last
    words[at + SPANS]! += spans
    if (before < 0) words[at + FIRST] = first
    return before
  }

  /** Its records have gone; it stays, without any. */
  forget(trace: number): void {
    const words = this.#words
    const at = trace * STRIDE
    words[at + FIRST] = words[at + LAST] = NONE
    words[at + SPANS] = 0
  }

  spans(trace: number): number {
    return this.#words[trace * STRIDE + SPANS]!
  }

  threshold(trace: number): number {
    return this.#words[trace * STRIDE + THRESHOLD]!
  }

  /** The facts known about the trace: a set of bits. */
  facts(trace: number): number {
    return this.#words[trace * STRIDE + FACTS]!
  }

  know(trace: number, facts: number, threshold: number): void {
    this.#words[trace * STRIDE + FACTS]! |= facts
    this.#words[trace * STRIDE + THRESHOLD] = threshold
  }

  /** Copies the id of a trace. */
  copyId(trace: number, to: Int32Array): void {
    for (let i = 0; i < ID_WORDS; i++) to[i] = this.#words[trace * STRIDE + i]!
  }

  /** Gives back what a flood of traces has needed, once none is left. */
  tidy(): void {
    if (this.size > 0 || this.#words.length <= 65_536) return
    this.#memory.add(-this.#bytes())
    this.#words = new Int32Array(FEW * STRIDE)
    this.#times = new Float64Array(FEW * 2)
    this.#table = emptyTable(FEW)
    this.#used = 0
    this.#free = this.#last = this.#tail = NONE
    this.#memory.add(this.#bytes())
  }

  /** Gives back everything. */
  clear(): void {
    this.#memory.add(-this.#bytes())
    this.#words = new Int32Array(0)
    this.#times = new Float64Array(0)
    this.#table = new Int32Array(0)
  }

  #bytes(): number {
    return this.#words.byteLength + this.#times.byteLength + this.#table.byteLength
  }

  #take(): number {
    const free = this.#free
    if (free >= 0) {
      this.#free = this.#words[free * STRIDE + FREE]!
      return free
    }
    if (this.#used * STRIDE === this.#words.length) this.#grow()
    return this.#used++
  }

  /** All of them are in use. */
  #grow(): void {
    this.#memory.add(this.#bytes())
    const words = new Int32Array(2 * this.#words.length)
    words.set(this.#words)
    this.#words = words
    const times = new Float64Array(2 * this.#times.length)
    times.set(this.#times)
    this.#times = times
    this.#table = emptyTable(words.length / STRIDE)
    this.#tail = NONE
    for (let trace = 0; trace < this.#used; trace++) place(this.#table, words, trace)
  }

  #append(line: number, trace: number): void {
    const words = this.#words
    const newest = this.#newest[line]!
    const at = trace * STRIDE + LINKS + 2 * line
    words[at] = newest
    words[at + 1] = NONE
    if (newest >= 0) words[newest * STRIDE + LINKS + 2 * line + 1] = trace
    else this.#oldest[line] = trace
    this.#newest[line] = trace
  }

  #unlink(line: number, trace: number): void {
    const words = this.#words
    const at = trace * STRIDE + LINKS + 2 * line
    const older = words[at]!
    const newer = words[at + 1]!
    if (older >= 0) words[older * STRIDE + LINKS + 2 * line + 1] = newer
    else this.#oldest[line] = newer
    if (newer >= 0) words[newer * STRIDE + LINKS + 2 * line] = older
    else this.#newest[line] = older
  }
}

/** A table for so many traces. */
function emptyTable(traces: number): Int32Array {
  return new Int32Array(2 * traces).fill(NONE)
}

/** Enters a trace that is not in the table, as the first of its chain. */
function place(table: Int32Array, words: Int32Array, trace: number): void {
  const at = trace * STRIDE
  const place = words[at + HASH]! & (table.length - 1)
  words[at + CHAIN] = table[place]!
  table[place] = trace
}

function unplace(table: Int32Array, words: Int32Array, trace: number): void {
  const at = trace * STRIDE
  const place = words[at + HASH]! & (table.length - 1)
  const next = words[at + CHAIN]!
  let before = table[place]!
  if (before === trace) {
    table[place] = next
    return
  }
  while (words[before * STRIDE + CHAIN] !== trace) before = words[before * STRIDE + CHAIN]!
  words[before * STRIDE + CHAIN] = next
}
