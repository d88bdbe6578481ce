// A reader over the fields of one protobuf message, for code that walks checked requests (check.ts): it allocates nothing,
// makes no BigInt, and cannot fail on bytes that passed the check.
//
//   const span = new Reader()
//   span.over(bytes, start, end)
//   while (span.next()) {
//     switch (span.tag) {
//       case field(5, LENGTH): name = bytes.toString('utf8', span.start, span.end); break
//       case field(7, FIXED64): seconds = span.unsigned / 1e9; break
//     }
//   }
//
// Fields that the switch does not name are skipped, and so is a known field of an unexpected wire type: that is protobuf's
// rule. Fields come in any order; if a field occurs twice the last one wins, and a repeated message is merged with the first.

export const VARINT = 0
export const FIXED64 = 1
export const LENGTH = 2
export const FIXED32 = 5

/** The tag of a field: its number and its wire type. */
export function field(number: number, wire: 0 | 1 | 2 | 5): number {
  return (number << 3) | wire
}

export class Reader {
  /** The current field: number << 3 | wire type. */
  tag = 0
  /** Where the value of a length-delimited field is. */
  start = 0
  end = 0
  /** The two halves of the 64 bits of a number, each unsigned. A 32-bit value has only a low half. */
  low = 0
  high = 0

  #bytes: Uint8Array = new Uint8Array(0)
  #pos = 0
  #stop = 0

  /** Begins at the message that stands between the two offsets. */
  over(bytes: Uint8Array, start: number, end: number): this {
    this.#bytes = bytes
    this.#pos = start
    this.#stop = end
    return this
  }

  /** Reads the next field; false at the end of the message. Groups, which OTLP does not have, are passed over. */
  next(): boolean {
    while (this.#pos < this.#stop) {
      this.tag = this.#varint()
      switch (this.tag & 7) {
        case VARINT:
          this.#varint()
          return true
        case FIXED64:
          this.low = this.#fixed32()
          this.high = this.#fixed32()
          return true
        case LENGTH:
          this.end = this.#varint()
          this.start = this.#pos
          this.end += this.start
          this.#pos = this.end
          return true
        case FIXED32:
          this.low = this.#fixed32()
          this.high = 0
          return true
        default:
          this.#pos = skip(this.#bytes, this.#pos, this.tag)
      }
    }
    return false
  }

  /** The number as uint64 or fixed64; above 2^53 rounded as doubles are. */
  get unsigned(): number {
    return this.high * 0x100000000 + this.low
  }

  /** The number as int64 or sfixed64; beyond ±2^53 rounded. */
  get signed(): number {
    return (this.high | 0) * 0x100000000 + this.low
  }

  /** The number as int32 or an enum. */
  get int32(): number {
    return this.low | 0
  }

  /** The number as sint32 (zigzag). */
  get zigzag(): number {
    return (this.low >>> 1) ^ -(this.low & 1)
  }

  /** The 64 bits as a double. */
  get double(): number {
    return doubleOf(this.low, this.high)
  }

  /** Reads packed varints: begin with `over(bytes, start, end)` of the field, then call until `more` is false. */
  packed(): this {
    this.#varint()
    return this
  }

  /** True while packed values are left. */
  get more(): boolean {
    return this.#pos < this.#stop
  }

  // Leaves the value in low and high too; returns the low half.
  #varint(): number {
    const bytes = this.#bytes
    let byte = bytes[this.#pos++]!
    this.low = byte
    this.high = 0
    if (byte < 128) return byte
    let low = byte & 127
    let high = 0
    for (let shift = 7; byte >= 128; shift += 7) {
      byte = bytes[this.#pos++]!
      if (shift < 28) low |= (byte & 127) << shift
      else if (shift === 28) {
        low |= (byte & 15) << 28
        high = (byte & 127) >> 4
      } else high |= (byte & 127) << (shift - 32)
    }
    this.high = high >>> 0
    this.low = low >>> 0
    return this.low
  }

  #fixed32(): number {
    const bytes = this.#bytes
    const at = this.#pos
    this.#pos = at + 4
    return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  }
}

/** The double of 64 bits, given as two unsigned halves. */
export function doubleOf(low: number, high: number): number {
  WORDS[0] = low
  WORDS[1] = high
  return DOUBLES[0]!
}

/** The offset after the value of a field, whose tag has been read, in bytes that passed the check. */
export function skip(bytes: Uint8Array, at: number, tag: number): number {
  let pos = at
  switch (tag & 7) {
    case VARINT:
      while (bytes[pos++]! >= 128);
      return pos
    case FIXED64:
      return pos + 8
    case FIXED32:
      return pos + 4
    case LENGTH: {
      let length = 0
      for (let shift = 0; ; shift += 7) {
        const byte = bytes[pos++]!
        length |= (byte & 127) << shift
        if (byte < 128) return pos + length
      }
    }
    default:
      return afterGroup(bytes, pos)
  }
}

// Groups nest at most as deep as the check allows; here one counter replaces the recursion.
function afterGroup(bytes: Uint8Array, at: number): number {
  let pos = at
  for (let open = 1; open > 0; ) {
    // The wire type stands in the first byte of a tag.
    const tag = bytes[pos]!
    while (bytes[pos++]! >= 128);
    if ((tag & 7) === 3) open++
    else if ((tag & 7) === 4) open--
    else pos = skip(bytes, pos, tag)
  }
  return pos
}

const DOUBLES = new Float64Array(1)
const WORDS = new Uint32Array(DOUBLES.buffer)
