// Writes protobuf into one growing buffer. The length of a nested message is written after its contents: one byte is kept
// free, and a longer length moves the contents, which is cheaper than measuring first.

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

  /** What was written. The writer must not be used afterwards. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#pos)
  }

  tag(number: number, wire: number): void {
    this.varint((number << 3) | wire)
  }

  /** A whole number from 0 to 2^32-1. */
  varint(value: number): void {
    this.#room(5)
    let rest = value >>> 0
    for (; rest >= 128; rest >>>= 7) this.#bytes[this.#pos++] = (rest & 127) | 128
    this.#bytes[this.#pos++] = rest
  }

  /** 64 bits as a varint, given as two unsigned halves. */
  varint64(low: number, high: number): void {
    this.#room(10)
    let lower = low
    let upper = high
    while (upper > 0 || lower >= 128) {
      this.#bytes[this.#pos++] = (lower & 127) | 128
      lower = ((lower >>> 7) | (upper << 25)) >>> 0
      upper >>>= 7
    }
    this.#bytes[this.#pos++] = lower
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
    const length = this.#pos - start
    if (length < 128) {
      this.#bytes[start - 1] = length
      return
    }
    const more = length < 1 << 14 ? 1 : length < 1 << 21 ? 2 : length < 1 << 28 ? 3 : 4
    this.#room(more)
    this.#bytes.copyWithin(start + more, start, this.#pos)
    const stop = this.#pos + more
    this.#pos = start - 1
    this.varint(length)
    this.#pos = stop
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
