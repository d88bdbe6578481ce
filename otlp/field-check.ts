// The check of single fields in bytes that have not been trusted yet, for the check of whole messages (check.ts) and the walk
// (walk.ts): it never reads behind the given end, and allocates nothing.
//
//   field  = tag value              tag    = varint ≤ 5 bytes, ≤ 2^32-1: field << 3 | wire
//   wire 0 = varint ≤ 10 bytes      wire 2 = length (varint ≤ 5 bytes, < 2^31), that many bytes
//   wire 1 = 8 bytes                wire 3 = field* tag of the same field with wire 4
//   wire 5 = 4 bytes                field 0, wire 4 on its own, 6 and 7 are errors

/** Messages inside messages, the limit of Google's parsers: 32 levels of key-value lists in a span's attribute. */
export const MAX_DEPTH = 100
/** The largest fifth byte of a tag and of a length. */
export const TAG = 15
export const LENGTH = 7

export class FieldCheck {
  /** The second result of `number`: the offset after it. */
  after = 0
  /** Further results of `field`: its tag, and where its value begins. */
  tag = 0
  value = 0
  /** After a failure of `group`: what is wrong, at which byte. */
  why = ''
  offset = 0

  #bytes: Uint8Array = EMPTY

  over(bytes: Uint8Array): void {
    this.#bytes = bytes
  }

  /** One field of any kind; returns the offset after it, or -1 if it is broken, without saying why. */
  field(at: number, end: number, depth: number): number {
    const bytes = this.#bytes
    let tag = bytes[at]!
    let pos = at + 1
    if (tag >= 128) {
      tag = this.number(at, end, TAG)
      pos = this.after
    }
    if (tag < 8) return -1
    this.tag = tag
    this.value = pos
    switch (tag & 7) {
      case 0: {
        const limit = pos + 10
        while (pos < end && pos < limit && bytes[pos]! >= 128) pos++
        return pos === end || pos === limit ? -1 : pos + 1
      }
      case 1:
        pos += 8
        break
      case 2: {
        const length = this.number(pos, end, LENGTH)
        if (length < 0) return -1
        this.value = this.after
        pos = this.after + length
        break
      }
      case 3:
        return this.group(tag >>> 3, pos, end, depth)
      case 5:
        pos += 4
        break
      default:
        return -1
    }
    return pos > end ? -1 : pos
  }

  /** Skips an unknown group whose start tag has been read; returns the offset after its end tag, or -1. */
  group(field: number, at: number, end: number, depth: number): number {
    const bytes = this.#bytes
    let pos = at
    while (pos < end) {
      const start = pos
      const tag = this.number(pos, end, TAG)
      if (tag < 8) return this.#cut('a tag that is cut off, too long or of field 0', start)
      pos = this.after
      // As protobuf parsers count: what is inside a group is one level deeper than the message that holds the group.
      if (depth >= MAX_DEPTH && (tag & 7) !== 4) return this.#cut(`more than ${MAX_DEPTH} levels of groups`, start)
      switch (tag & 7) {
        case 0: {
          const limit = pos + 10
          while (pos < end && pos < limit && bytes[pos]! >= 128) pos++
          if (pos === limit) return this.#cut('a number of more than 10 bytes', start)
          pos++
          break
        }
        case 1:
          pos += 8
          break
        case 2: {
          const length = this.number(pos, end, LENGTH)
          if (length < 0) return this.#cut('a length that is cut off or over 2 GiB', start)
          pos = this.after + length
          break
        }
        case 3:
          pos = this.group(tag >>> 3, pos, end, depth + 1)
          if (pos < 0) return -1
          break
        case 4:
          if (tag >>> 3 === field) return pos
          return this.#cut(`the end of group ${tag >>> 3} inside group ${field}`, start)
        case 5:
          pos += 4
          break
        default:
          return this.#cut(`wire type ${tag & 7}, which does not exist`, start)
      }
      if (pos > end) break
    }
    return this.#cut('a group that is cut off', at)
  }

  /** A tag or length of up to 5 bytes, of which the fifth may be at most `top`; -1 if it is not one. */
  number(at: number, end: number, top: number): number {
    const bytes = this.#bytes
    let value = 0
    for (let i = 0; i < 5; i++) {
      if (at + i >= end) return -1
      const byte = bytes[at + i]!
      if (i === 4) {
        if (byte > top) return -1
        this.after = at + 5
        return value + byte * 0x10000000
      }
      value |= (byte & 127) << (7 * i)
      if (byte < 128) {
        this.after = at + i + 1
        return value
      }
    }
    return -1
  }

  #cut(why: string, offset: number): -1 {
    this.why = why
    this.offset = offset
    return -1
  }
}

const EMPTY = new Uint8Array(0)
