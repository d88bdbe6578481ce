// Writes OTLP: one message of any size, bounded, whose buffer is then given away. The exposition has a writer of its own
// (metrics/message-writer.ts), which is never bounded, keeps its buffer for the next of a hundred thousand small messages, and turns
// label texts into fields on the way. Both write numbers and lengths by the same functions.

import { putLength, putVarint, putVarint64 } from '../protobuf/varint.ts'

/** Thrown when the output passes the limit; see `Writer`. */
export class TooLarge extends Error {}

export class Writer {
  #bytes: Buffer
  #pos = 0
  readonly #limit: number

  /** `limit` bounds the output in bytes: beyond it, writing throws TooLarge. */
  constructor(expected: number, limit: number) {
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(64, Math.min(expected, limit)))
    this.#limit = limit
  }

  /** The number of bytes written so far. */
  get length(): number {
    return this.#pos
  }

  /** The bytes written so far. The writer must not be used afterwards. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#pos)
  }

  tag(number: number, wire: number): void {
    this.varint((number << 3) | wire)
  }

  /** A whole number from 0 to 2^32-1. */
  varint(value: number): void {
    this.#room(5)
    // Fast path: most numbers are tags and short lengths, and a call for each would cost a twentieth.
    if (value >= 0 && value < 128) this.#bytes[this.#pos++] = value
    else this.#pos = putVarint(this.#bytes, this.#pos, value >>> 0)
  }

  /** 64 bits as a varint, given as two unsigned halves. */
  varint64(low: number, high: number): void {
    this.#room(10)
    this.#pos = putVarint64(this.#bytes, this.#pos, low, high)
  }

  fixed32(value: number): void {
    this.#room(4)
    this.#pos = this.#bytes.writeUInt32LE(value >>> 0, this.#pos)
  }

  fixed64(low: number, high: number): void {
    this.fixed32(low)
    this.fixed32(high)
  }

  double(value: number): void {
    this.#room(8)
    this.#pos = this.#bytes.writeDoubleLE(value, this.#pos)
  }

  byte(value: number): void {
    this.#room(1)
    this.#bytes[this.#pos++] = value
  }

  copy(from: Buffer, start: number, end: number): void {
    this.#room(end - start)
    if (end - start > 32) from.copy(this.#bytes, this.#pos, start, end)
    else for (let i = start; i < end; i++) this.#bytes[this.#pos + i - start] = from[i]!
    this.#pos += end - start
  }

  text(text: string): void {
    this.#room(text.length * 3)
    this.#pos += this.#bytes.write(text, this.#pos)
  }

  /** Begins a length-delimited value; give what this returns to `end`. */
  begin(): number {
    this.byte(0)
    return this.#pos
  }

  end(start: number): void {
    this.#room(4)
    this.#pos = putLength(this.#bytes, start, this.#pos)
  }

  #room(count: number): void {
    const needed = this.#pos + count
    if (needed <= this.#bytes.length) return
    if (needed > this.#limit + SLACK) throw new TooLarge(`cannot write more than ${this.#limit} bytes`)
    const larger = Buffer.allocUnsafeSlow(Math.min(Math.max(needed, this.#bytes.length * 2), this.#limit + SLACK))
    this.#bytes.copy(larger, 0, 0, this.#pos)
    this.#bytes = larger
  }
}

// Room is asked for by the most that a value may need, which is a little more than it takes.
const SLACK = 4096
