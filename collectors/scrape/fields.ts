// Reads the fields of a protobuf message from outside: it stops, and says that the message is bad, where a tag or a length
// would lead out of it.

export const VARINT = 0
export const FIXED64 = 1
export const LENGTH = 2
export const FIXED32 = 5

export class Fields {
  /** The number of the current field and its wire type. */
  number = 0
  wire = 0
  /** Where the value of a length-delimited field is. */
  start = 0
  end = 0
  bad = false
  #low = 0
  #high = 0
  readonly #bytes: Buffer
  #at: number
  readonly #stop: number

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes
    this.#at = start
    this.#stop = end
  }

  /** Where the next field begins. */
  get at(): number {
    return this.#at
  }

  /** Reads the next field; false at the end, or where the message is `bad`. */
  next(): boolean {
    if (this.bad || this.#at >= this.#stop) return false
    if (!this.varint() || this.#high !== 0) return this.#fail()
    this.number = this.#low >>> 3
    this.wire = this.#low & 7
    if (this.number === 0) return this.#fail()
    switch (this.wire) {
      case VARINT:
        return this.varint() || this.#fail()
      case FIXED64:
        this.start = this.#at
        this.#at += 8
        return this.#at <= this.#stop || this.#fail()
      case LENGTH:
        if (!this.varint() || this.#high !== 0 || this.#low > this.#stop - this.#at) return this.#fail()
        this.start = this.#at
        this.end = this.#at + this.#low
        this.#at = this.end
        return true
      case FIXED32:
        this.#at += 4
        return this.#at <= this.#stop || this.#fail()
      default:
        return this.#fail()
    }
  }

  /** Reads one varint, as packed values are; false at the end, or if it is bad. */
  varint(): boolean {
    this.#low = 0
    this.#high = 0
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.#at >= this.#stop) return false
      const byte = this.#bytes[this.#at++]!
      const bits = byte & 127
      if (shift < 28) this.#low |= bits << shift
      else if (shift === 28) {
        this.#low |= (bits & 15) << 28
        this.#high = bits >> 4
      } else this.#high |= bits << (shift - 32)
      if (byte < 128) {
        this.#low >>>= 0
        this.#high >>>= 0
        return true
      }
    }
    return false
  }

  /** Passes over so many bytes; false if there are not as many. */
  pass(bytes: number): boolean {
    if (!(bytes <= this.#stop - this.#at)) return false
    this.#at += bytes
    return true
  }

  get unsigned(): number {
    return this.#high * 0x100000000 + this.#low
  }

  get signed(): number {
    return (this.#high | 0) * 0x100000000 + this.#low
  }

  get zigzag(): number {
    const value = this.unsigned
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  get double(): number {
    return this.#bytes.readDoubleLE(this.start)
  }

  #fail(): false {
    this.bad = true
    return false
  }
}
