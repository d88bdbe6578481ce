// Many short texts as bytes in one buffer, each known by a small number. A removed text leaves a hole; holes are closed
// when the buffer is full, so that it stays below twice the size of its texts. Each begins at a whole word, since a page is
// written by words.

import type { Page, Sink } from './page.ts'
import { WORD, wordsIn } from './piece.ts'

export class Texts {
  #bytes = Buffer.allocUnsafeSlow(4096)
  /** The same bytes. */
  #words = new Int32Array(this.#bytes.buffer)
  #end = 0
  /** Bytes of the texts that are held. */
  #held = 0
  #starts: Uint32Array
  #lengths: Uint32Array

  constructor(capacity: number) {
    this.#starts = new Uint32Array(capacity)
    this.#lengths = new Uint32Array(capacity)
  }

  /** Keeps the bytes from `start` to `end` at a number that holds no text. */
  set(at: number, source: Uint8Array, start: number, end: number): void {
    const length = end - start
    const taken = room(length)
    if (this.#end + taken > this.#bytes.length) this.#move(taken)
    this.#bytes.set(source.subarray(start, end), this.#end)
    this.#starts[at] = this.#end
    this.#lengths[at] = length
    this.#end += taken
    this.#held += taken
  }

  /** Removes a text; harmless if there is none. */
  clear(at: number): void {
    this.#held -= room(this.#lengths[at]!)
    this.#lengths[at] = 0
  }

  grow(capacity: number): void {
    const [starts, lengths] = [new Uint32Array(capacity), new Uint32Array(capacity)]
    starts.set(this.#starts)
    lengths.set(this.#lengths)
    this.#starts = starts
    this.#lengths = lengths
  }

  length(at: number): number {
    return this.#lengths[at]!
  }

  equals(at: number, source: Uint8Array, start: number, end: number): boolean {
    if (this.#lengths[at] !== end - start) return false
    const bytes = this.#bytes
    const from = this.#starts[at]!
    for (let i = start, own = from; i < end; i++, own++) if (bytes[own] !== source[i]) return false
    return true
  }

  text(at: number): string {
    return this.#bytes.toString('utf8', this.#starts[at], this.#starts[at]! + this.#lengths[at]!)
  }

  write(sink: Sink, at: number): void {
    sink.bytes(this.#bytes, this.#starts[at]!, this.#starts[at]! + this.#lengths[at]!)
  }

  /** The same as `write`, into a page, without an object for the part. */
  print(page: Page, at: number): void {
    page.words(this.#words, this.#starts[at]! / WORD, this.#lengths[at]!)
  }

  /** Closes the holes, in a larger buffer if the texts would fill half of this one. */
  #move(more: number): void {
    const least = (this.#held + more) * 2
    const old = this.#bytes
    this.#bytes = Buffer.allocUnsafeSlow(room(Math.max(old.length, least)))
    this.#words = new Int32Array(this.#bytes.buffer)
    this.#end = 0
    for (let at = 0; at < this.#lengths.length; at++) {
      const length = this.#lengths[at]!
      if (length === 0) continue
      const from = this.#starts[at]!
      old.copy(this.#bytes, this.#end, from, from + length)
      this.#starts[at] = this.#end
      this.#end += room(length)
    }
  }
}

/** Bytes that a text takes. */
function room(length: number): number {
  return wordsIn(length) * WORD
}
