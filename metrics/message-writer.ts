// One protobuf message of the exposition under construction, in a buffer that is reused for the next one. otlp/writer.ts says
// why OTLP has a writer of its own.

import { putLength, putVarint, putVarint64, varintSize } from '../protobuf/varint.ts'
import type { Page, Sink } from './page.ts'

const VARINT = 0
const FIXED64 = 1
const LENGTH = 2

export class MessageWriter implements Sink {
  #bytes = Buffer.allocUnsafeSlow(4096)
  #view = new DataView(this.#bytes.buffer)
  #length = 0

  clear(): this {
    this.#length = 0
    return this
  }

  get length(): number {
    return this.#length
  }

  /** Copies the message to a page. */
  writeTo(page: Page): void {
    page.bytes(this.#bytes, 0, this.#length)
  }

  double(field: number, value: number): void {
    this.#room(14)
    this.#varint((field << 3) | FIXED64)
    this.#view.setFloat64(this.#length, value, true)
    this.#length += 8
  }

  /** A whole number that is not negative; beyond 2^53 it is as exact as a double. */
  uint(field: number, value: number): void {
    this.#room(15)
    this.#varint((field << 3) | VARINT)
    this.#varint(Math.min(value, LARGEST_UINT64))
  }

  /** A signed whole number, in zigzag encoding. */
  sint(field: number, value: number): void {
    this.#room(15)
    this.#varint((field << 3) | VARINT)
    this.#zigzag(value)
  }

  text(field: number, value: string): void {
    this.#room(10 + value.length * 3)
    const start = this.begin(field)
    this.#length += this.#bytes.write(value, this.#length)
    this.end(start)
  }

  /** Prepared bytes, with their tag. */
  piece(piece: Uint8Array): void {
    this.#room(piece.length)
    for (let i = 0; i < piece.length; i++) this.#bytes[this.#length++] = piece[i]!
  }

  /** A string: bytes as lower-case hexadecimal digits. */
  hex(field: number, source: Uint8Array, from: number, to: number): void {
    this.#room(10 + (to - from) * 2)
    this.#varint((field << 3) | LENGTH)
    this.#varint((to - from) * 2)
    for (let i = from; i < to; i++) {
      this.#bytes[this.#length++] = HEX[source[i]! >> 4]!
      this.#bytes[this.#length++] = HEX[source[i]! & 15]!
    }
  }

  /** Writes a label text as LabelPairs in field 1. */
  bytes(source: Uint8Array, start: number, end: number): void {
    this.labels(1, source, start, end)
  }

  /** A length, after a tag that was written as a piece. */
  length32(length: number): void {
    this.#room(5)
    this.#varint(length)
  }

  /** Writes one LabelPair, with any name. */
  pair(field: number, name: string, value: string): void {
    const start = this.begin(field)
    this.text(1, name)
    this.text(2, value)
    this.end(start)
  }

  /**
   * Writes the LabelPairs (name 1, value 2) of a label text, each in the given field. They are taken from its bytes
   * without making strings, in a sixth of the time (row exposition, protobuf).
   */
  labels(field: number, text: Uint8Array, start: number, end: number): void {
    // Each label takes at most 14 bytes besides its name and value, where the text has four: ="",
    this.#room((end - start) * 4 + 16)
    let at = start
    while (at < end) {
      const name = at
      while (at < end && text[at] !== EQUALS) at++
      const named = at
      const value = at + 2
      let escapes = 0
      for (at = value; at < end && text[at] !== QUOTE; at++)
        if (text[at] === BACKSLASH) {
          escapes++
          at++
        }
      const length = at - value - escapes
      const sizes = varintSize(named - name) + varintSize(length)
      this.#varint((field << 3) | LENGTH)
      this.#varint(named - name + length + sizes + 2)
      this.#varint((1 << 3) | LENGTH)
      this.#varint(named - name)
      this.#unescaped(text, name, named)
      this.#varint((2 << 3) | LENGTH)
      this.#varint(length)
      this.#unescaped(text, value, at)
      // The closing quote and the comma.
      at += 2
    }
  }

  #unescaped(text: Uint8Array, start: number, end: number): void {
    const bytes = this.#bytes
    let at = this.#length
    for (let i = start; i < end; i++) {
      const byte = text[i]!
      if (byte !== BACKSLASH) bytes[at++] = byte
      else bytes[at++] = text[++i] === LETTER_N ? NEWLINE : text[i]!
    }
    this.#length = at
  }

  /** Signed whole numbers, packed. */
  packedSint(field: number, values: readonly number[]): void {
    if (values.length === 0) return
    const start = this.begin(field)
    for (const value of values) {
      this.#room(10)
      this.#zigzag(value)
    }
    this.end(start)
  }

  /** Begins a nested message; give what this returns to `end`. */
  begin(field: number): number {
    this.#room(6)
    this.#varint((field << 3) | LENGTH)
    this.#length++
    return this.#length
  }

  end(start: number): void {
    this.#room(4)
    this.#length = putLength(this.#bytes, start, this.#length)
  }

  #varint(value: number): void {
    // Fast path: most numbers are tags and short lengths, and a call for each would cost a tenth.
    if (value < 128) this.#bytes[this.#length++] = value
    else this.#length = putVarint(this.#bytes, this.#length, value)
  }

  #zigzag(value: number): void {
    // From 2^52 on a doubled number is no longer exact as a double.
    if (Math.abs(value) < 2 ** 52) this.#varint(value < 0 ? -2 * value - 1 : 2 * value)
    else {
      const exact = BigInt.asIntN(64, BigInt(value))
      const bits = BigInt.asUintN(64, (exact << 1n) ^ (exact >> 63n))
      this.#length = putVarint64(this.#bytes, this.#length, Number(bits & 0xffffffffn), Number(bits >> 32n))
    }
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#length + bytes))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
    this.#view = new DataView(larger.buffer)
  }
}

/** The largest double below 2^64. */
const LARGEST_UINT64 = 2 ** 64 - 2048
const HEX = Buffer.from('0123456789abcdef')
const [EQUALS, QUOTE, BACKSLASH, LETTER_N, NEWLINE] = [61, 34, 92, 110, 10]
