// One protobuf message under construction, in a buffer that is used again for the next one. The length of a nested message
// is written after its contents: one byte is kept free, and a longer length moves the contents.

import type { Page, Sink } from './page.ts'

const VARINT = 0
const FIXED64 = 1
const LENGTH = 2

export class Message implements Sink {
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

  /** A whole number from 0 on; beyond 2^53 as exact as a double is. */
  uint(field: number, value: number): void {
    this.#room(15)
    this.#varint((field << 3) | VARINT)
    this.#varint(Math.min(value, LARGEST_UINT64))
  }

  /** A whole number of either sign, zigzag. */
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

  /** Bytes that have been prepared, tag and all. */
  piece(piece: Uint8Array): void {
    this.#room(piece.length)
    for (let i = 0; i < piece.length; i++) this.#bytes[this.#length++] = piece[i]!
  }

  /** Lower-case hexadecimal digits of bytes, as a text. */
  hex(field: number, source: Uint8Array, from: number, to: number): void {
    this.#room(10 + (to - from) * 2)
    this.#varint((field << 3) | LENGTH)
    this.#varint((to - from) * 2)
    for (let i = from; i < to; i++) {
      this.#bytes[this.#length++] = HEX[source[i]! >> 4]!
      this.#bytes[this.#length++] = HEX[source[i]! & 15]!
    }
  }

  /** Takes a label text, as LabelPairs in field 1. */
  bytes(source: Uint8Array, start: number, end: number): void {
    this.labels(1, source, start, end)
  }

  /**
   * The LabelPairs (name 1, value 2) of a label text, each in the field given. They are taken from its bytes, without a
   * string: that is a sixth of the time (row exposition, protobuf).
   */
  labels(field: number, text: Uint8Array, start: number, end: number): void {
    // Each label is written with at most 14 bytes besides its own in the place of four: ="",
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
      const sizes = bytesOf(named - name) + bytesOf(length)
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

  /** Whole numbers of either sign, packed. */
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
    const length = this.#length - start
    if (length < 128) {
      this.#bytes[start - 1] = length
      return
    }
    const more = bytesOf(length) - 1
    this.#room(more)
    this.#bytes.copyWithin(start + more, start, this.#length)
    this.#length = start - 1
    this.#varint(length)
    this.#length += length
  }

  #varint(value: number): void {
    let rest = value
    // Fast path: in 31 bits shifting does, and most numbers are counts and lengths.
    if (rest < 0x7fffffff) for (; rest >= 128; rest >>= 7) this.#bytes[this.#length++] = (rest & 127) | 128
    else for (; rest >= 128; rest = Math.floor(rest / 128)) this.#bytes[this.#length++] = (rest % 128) | 128
    this.#bytes[this.#length++] = rest
  }

  #zigzag(value: number): void {
    // Doubling leaves the exact whole numbers of a double at 2^52.
    if (Math.abs(value) < 2 ** 52) this.#varint(value < 0 ? -2 * value - 1 : 2 * value)
    else {
      const exact = BigInt.asIntN(64, BigInt(value))
      let rest = BigInt.asUintN(64, (exact << 1n) ^ (exact >> 63n))
      for (; rest >= 128n; rest >>= 7n) this.#bytes[this.#length++] = Number(rest & 127n) | 128
      this.#bytes[this.#length++] = Number(rest)
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

/** How many bytes a number takes as a varint. */
function bytesOf(value: number): number {
  let bytes = 1
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) bytes++
  return bytes
}

/** The largest double below 2^64. */
const LARGEST_UINT64 = 2 ** 64 - 2048
const HEX = Buffer.from('0123456789abcdef')
const [EQUALS, QUOTE, BACKSLASH, LETTER_N, NEWLINE] = [61, 34, 92, 110, 10]
