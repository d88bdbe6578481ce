// Queues in memory. A request is copied once, behind the one before it, into a chunk that all upstreams share: so joining
// requests costs nothing more, and the bytes are held once, however many upstreams there are. A queue holds ranges of chunks;
// a chunk is free when no queue holds a range of it.
//
//   chunk    | request request request request |   free
//   queue A    [ handed out    ][ waiting      ]
//   queue B                     [ waiting      ]
//
// When the memory is full, signals that hold more than their share of it lose what is oldest: a flood of spans of which an
// upstream takes nothing costs no metrics.

import type { Allotment } from '../telemetry/memory.ts'
import { type Request, SIGNALS, type Signal } from '../telemetry/request.ts'
import { BATCH, type Batch, type Held, type Lose, MOST, type Queue } from './queue.ts'

/** A queue closes its range at BATCH, and a chunk has room for what comes until then. */
const CHUNK = 2 * BATCH
/** So many chunks at least fit into the memory: in a small one they are smaller, or each signal would fill it with one. */
const LEAST_CHUNKS = 16
/**
 * Chunks that are kept for the next requests, 4 MiB: as many as hold requests while an upstream keeps up. With half of them,
 * chunks were made anew under load, and V8, which is in no hurry to collect memory outside of its heap, let 10 MiB of dead
 * ones stay resident (bench row forward).
 */
const SPARE = 8

/** Bytes of one signal, which came in one after another. */
class Chunk {
  readonly bytes: Buffer
  used = 0
  /** Ranges of queues that are in it. */
  ranges = 0

  signal: Signal

  constructor(size: number, signal: Signal) {
    this.bytes = Buffer.allocUnsafeSlow(size)
    this.signal = signal
  }
}

/** Requests that follow each other in a chunk, as one queue holds them: a batch. */
class Range implements Batch {
  readonly signal: Signal
  readonly received: number
  readonly chunk: Chunk
  readonly start: number
  end: number
  items = 0
  /** Nothing is added any more. */
  closed = false

  constructor({ signal, received }: Request, chunk: Chunk, start: number) {
    this.signal = signal
    this.received = received
    this.chunk = chunk
    this.start = start
    this.end = start
  }

  get bytes(): Buffer {
    return this.chunk.bytes.subarray(this.start, this.end)
  }
}

/** Where the bytes of a request have been copied to. */
interface Place {
  readonly chunk: Chunk
  readonly start: number
}

/** The memory of all queues, at most what the allotment gives. */
export class MemoryStore {
  readonly #memory: Allotment
  readonly #queues: MemoryQueue[] = []
  readonly #open = new Map<Signal, Chunk>()
  readonly #spare: Chunk[] = []
  readonly #chunk: number
  /** Bytes of the chunks of each signal. */
  readonly #held: Record<Signal, number> = { traces: 0, metrics: 0, logs: 0 }
  #last: { readonly request: Request; readonly place: Place; readonly takers: Set<MemoryQueue> } | undefined

  constructor(memory: Allotment) {
    this.#memory = memory
    this.#chunk = Math.min(CHUNK, Math.floor(memory.most / LEAST_CHUNKS))
  }

  /** A queue for one more upstream. */
  queue(lose: Lose): Queue {
    const queue = new MemoryQueue(this, lose)
    this.#queues.push(queue)
    return queue
  }

  room({ signal, bytes: { length } }: Request): boolean {
    const open = this.#open.get(signal)
    if (open && open.used + length <= open.bytes.length) return true
    return (this.#spare.length > 0 && length <= this.#chunk) || this.#memory.fits(Math.max(length, this.#chunk))
  }

  /** Copies a request, once for all queues that are given it. Undefined if there is no room. */
  place(request: Request, queue: MemoryQueue): Place | undefined {
    const last = this.#last
    // The same object comes to a queue twice only if it is another request in the same clothes.
    if (last?.request === request && !last.takers.has(queue)) {
      last.takers.add(queue)
      return last.place
    }
    const { bytes, signal } = request
    let chunk = this.#open.get(signal)
    if (!chunk || chunk.used + bytes.length > chunk.bytes.length) {
      this.#open.delete(signal)
      if (chunk?.ranges === 0) this.#free(chunk)
      chunk = this.#take(bytes.length, signal)
      if (!chunk) return undefined
      this.#open.set(signal, chunk)
    }
    const place = { chunk, start: chunk.used }
    bytes.copy(chunk.bytes, chunk.used)
    chunk.used += bytes.length
    this.#last = this.#queues.length > 1 ? { request, place, takers: new Set([queue]) } : undefined
    return place
  }

  /** A queue holds a range of the chunk less. */
  release(chunk: Chunk): void {
    if (--chunk.ranges > 0) return
    // The next requests begin at its start again.
    if ([...this.#open.values()].includes(chunk)) chunk.used = 0
    else this.#free(chunk)
    if (this.#last?.place.chunk === chunk) this.#last = undefined
  }

  /** Gives back the memory that is kept for the next requests. */
  trim(): void {
    for (const [signal, chunk] of this.#open) {
      if (chunk.ranges > 0) continue
      this.#open.delete(signal)
      this.#free(chunk)
    }
    for (const chunk of this.#spare.splice(0)) this.#memory.add(-chunk.bytes.length)
  }

  #take(bytes: number, signal: Signal): Chunk | undefined {
    const size = Math.max(bytes, this.#chunk)
    if (size > this.#memory.most) return undefined
    for (;;) {
      const spare = size === this.#chunk ? this.#spare.pop() : undefined
      const chunk = spare ?? (this.#memory.fits(size) && this.#memory.hold(size) ? new Chunk(size, signal) : undefined)
      if (chunk) {
        chunk.signal = signal
        this.#held[signal] += size
        return chunk
      }
      if (this.#idle) this.trim()
      else if (!this.#dropOldest(signal, size)) return undefined
    }
  }

  /** Memory is held in which nothing is. */
  get #idle(): boolean {
    return this.#spare.length > 0 || [...this.#open.values()].some(({ ranges }) => ranges === 0)
  }

  #free(chunk: Chunk): void {
    const { length } = chunk.bytes
    chunk.used = 0
    this.#held[chunk.signal] -= length
    if (length === this.#chunk && this.#spare.length < SPARE) this.#spare.push(chunk)
    else this.#memory.add(-length)
  }

  /** Loses what is oldest of the signals that hold more than their share; false if nothing of them is waiting. */
  #dropOldest(signal: Signal, more: number): boolean {
    const held = (each: Signal): number => this.#held[each] + (each === signal ? more : 0)
    const holding = SIGNALS.filter(each => held(each) > 0)
    const share = holding.reduce((sum, each) => sum + held(each), 0) / holding.length
    return this.#dropOldestOf(holding.filter(each => held(each) >= share)) || this.#dropOldestOf([signal])
  }

  #dropOldestOf(signals: readonly Signal[]): boolean {
    let oldest = Infinity
    let drop: (() => void) | undefined
    for (const queue of this.#queues)
      for (const each of signals) {
        const received = queue.oldestWaiting(each)
        if (received >= oldest) continue
        oldest = received
        drop = () => queue.dropOldest(each)
      }
    drop?.()
    return drop !== undefined
  }
}

class Line {
  readonly waiting: Range[] = []
  readonly out = new Set<Range>()
  items = 0
  bytes = 0
  waitingBytes = 0
}

class MemoryQueue implements Queue {
  readonly #store: MemoryStore
  readonly #lose: Lose
  readonly #lines: Readonly<Record<Signal, Line>> = { traces: new Line(), metrics: new Line(), logs: new Line() }

  constructor(store: MemoryStore, lose: Lose) {
    this.#store = store
    this.#lose = lose
  }

  room(request: Request): boolean {
    return this.#store.room(request)
  }

  append(request: Request): void {
    const { signal, items, bytes } = request
    if (items === 0) return
    const place = this.#store.place(request, this)
    if (!place) {
      this.#lose(signal, 'queue_full', items)
      return
    }
    const line = this.#lines[signal]
    let range = line.waiting.at(-1)
    if (!range || range.closed || range.chunk !== place.chunk || range.end !== place.start || tooLarge(range, bytes)) {
      range = new Range(request, place.chunk, place.start)
      place.chunk.ranges++
      line.waiting.push(range)
    }
    range.end += bytes.length
    range.items += items
    range.closed = range.end - range.start >= BATCH
    line.items += items
    line.bytes += bytes.length
    line.waitingBytes += bytes.length
  }

  async sync(): Promise<boolean> {
    // A sudden end takes the memory with it, whatever is waited for.
    return true
  }

  waiting(signal: Signal): number {
    return this.#lines[signal].waitingBytes
  }

  next(signal: Signal): Batch | undefined {
    const line = this.#lines[signal]
    const range = line.waiting.shift()
    if (!range) return undefined
    range.closed = true
    line.waitingBytes -= range.end - range.start
    line.out.add(range)
    return range
  }

  done(batch: Batch): void {
    const line = this.#lines[batch.signal]
    const range = outOf(line, batch)
    if (range) this.#forget(line, range)
  }

  giveBack(batch: Batch): void {
    const line = this.#lines[batch.signal]
    const range = outOf(line, batch)
    if (!range) return
    line.waiting.unshift(range)
    line.waitingBytes += range.end - range.start
  }

  expire(time: number): void {
    for (const line of Object.values(this.#lines))
      while (line.waiting[0] && line.waiting[0].received < time) this.#drop(line, 'too_old')
  }

  held(signal: Signal): Held {
    const { items, bytes, waiting, out } = this.#lines[signal]
    let oldest = waiting[0]?.received
    for (const { received } of out) oldest = Math.min(oldest ?? received, received)
    return { items, bytes: { memory: bytes, disk: 0 }, oldest }
  }

  recovered(): number {
    return 0
  }

  /** When the oldest range of a signal that is not handed out came in; infinite if there is none. */
  oldestWaiting(signal: Signal): number {
    return this.#lines[signal].waiting[0]?.received ?? Infinity
  }

  dropOldest(signal: Signal): void {
    this.#drop(this.#lines[signal], 'queue_full')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const line of Object.values(this.#lines)) {
      for (const range of [...line.out]) this.giveBack(range)
      while (line.waiting.length > 0) this.#drop(line, 'shutdown')
    }
  }

  #drop(line: Line, reason: 'queue_full' | 'too_old' | 'shutdown'): void {
    const range = line.waiting.shift()
    if (!range) return
    line.waitingBytes -= range.end - range.start
    const { signal, items } = range
    this.#forget(line, range)
    this.#lose(signal, reason, items)
  }

  #forget(line: Line, range: Range): void {
    line.items -= range.items
    line.bytes -= range.end - range.start
    this.#store.release(range.chunk)
  }
}

/** The range that was handed out as this batch, which is out no more; undefined if it was not out. */
function outOf({ out }: Line, batch: Batch): Range | undefined {
  const range = batch instanceof Range ? batch : undefined
  return range && out.delete(range) ? range : undefined
}

function tooLarge(range: Range, bytes: Buffer): boolean {
  return range.end - range.start + bytes.length > MOST
}
