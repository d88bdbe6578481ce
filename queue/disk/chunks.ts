// Memory for the payloads of the disk queue. Requests of a signal are copied one behind the other, so that a batch of them is
// one piece of memory, and the memory is used again: V8 is in no hurry to collect memory outside of its heap.

import type { Allotment } from '../../telemetry/memory.ts'
import { BATCH } from '../queue.ts'

const CHUNK = 2 * BATCH
const SPARE = 2

export class Chunk {
  readonly bytes: Buffer
  used = 0
  /** Payloads that are in it and in use, once for each use. */
  uses = 0

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafeSlow(size)
  }
}

/** A payload, which is valid until it was released as often as it was used; it begins with one use. */
export interface Piece {
  readonly chunk: Chunk
  readonly start: number
  readonly end: number
}

export class Chunks {
  readonly #memory: Allotment
  readonly #spare: Chunk[] = []
  #open: Chunk | undefined
  /** Bytes of all chunks. */
  held = 0

  constructor(memory: Allotment) {
    this.#memory = memory
  }

  /** Whether a payload can be copied without asking for more than the budget has. */
  fits(length: number): boolean {
    if (this.#open && this.#open.used + length <= this.#open.bytes.length) return true
    return (this.#spare.length > 0 && length <= CHUNK) || this.#memory.fits(Math.max(length, CHUNK))
  }

  /** Undefined if there is no room; with `always`, the budget is told, not asked. */
  copy(payload: Buffer, always = false): Piece | undefined {
    let chunk = this.#open
    if (!chunk || chunk.used + payload.length > chunk.bytes.length) {
      const next = this.#take(payload.length, always)
      if (!next) return undefined
      this.#open = next
      if (chunk && chunk.uses === 0) this.#free(chunk)
      chunk = next
    }
    const start = chunk.used
    payload.copy(chunk.bytes, start)
    chunk.used += payload.length
    chunk.uses++
    return { chunk, start, end: chunk.used }
  }

  use({ chunk }: Piece): void {
    chunk.uses++
  }

  release({ chunk }: Piece): void {
    if (--chunk.uses > 0) return
    if (chunk === this.#open) chunk.used = 0
    else this.#free(chunk)
  }

  /** Gives back what is not in use. */
  trim(): void {
    if (this.#open?.uses === 0) {
      this.#give(this.#open)
      this.#open = undefined
    }
    for (const chunk of this.#spare.splice(0)) this.#give(chunk)
  }

  #take(length: number, always: boolean): Chunk | undefined {
    const spare = length <= CHUNK ? this.#spare.pop() : undefined
    if (spare) return spare
    const size = Math.max(length, CHUNK)
    if (always) this.#memory.add(size)
    else if (!this.#memory.fits(size) || !this.#memory.hold(size)) return undefined
    this.held += size
    return new Chunk(size)
  }

  #free(chunk: Chunk): void {
    chunk.used = 0
    if (chunk.bytes.length === CHUNK && this.#spare.length < SPARE) this.#spare.push(chunk)
    else this.#give(chunk)
  }

  #give(chunk: Chunk): void {
    this.held -= chunk.bytes.length
    this.#memory.add(-chunk.bytes.length)
  }
}

/** The bytes of payloads in order: the very memory if they stand one behind the other, else a copy. */
export function joined(pieces: readonly Piece[]): Buffer {
  const [first] = pieces
  if (!first) return Buffer.alloc(0)
  let end = first.end
  for (let i = 1; i < pieces.length; i++) {
    const { chunk, start, end: next } = pieces[i]!
    if (chunk !== first.chunk || start !== end) return Buffer.concat(pieces.map(bytesOf))
    end = next
  }
  return first.chunk.bytes.subarray(first.start, end)
}

export function bytesOf({ chunk, start, end }: Piece): Buffer {
  return chunk.bytes.subarray(start, end)
}
