// The structural check: one pass over a message that has not been trusted yet. It accepts exactly what protobuf parsers
// accept (except that text need not be UTF-8), counts the items, and allocates nothing, so that a bomb of a million empty
// points costs milliseconds. After it, walking the same bytes cannot fail. Traces have a walk of their own (walk.ts), which
// leaves to this one what is unusual, and what is to be said of a request that is refused.
//
//   message = (tag value)*          tag    = varint ≤ 5 bytes, ≤ 2^32-1: field << 3 | wire
//   wire 0  = varint ≤ 10 bytes     wire 2 = length (varint ≤ 5 bytes, < 2^31), that many bytes
//   wire 1  = 8 bytes               wire 3 = (tag value)* tag of the same field with wire 4
//   wire 5  = 4 bytes               field 0, wire 4 on its own, 6 and 7 are errors
//
// A known field with another wire type than the schema's is an unknown field, and is skipped by its own wire type.

import { MESSAGES, type Message, message } from './schema.ts'

/** Messages inside messages, the limit of Google's parsers: 32 levels of key-value lists in a span's attribute. */
export const MAX_DEPTH = 100

/** What a check found. One object is reused: read it before the next check. */
export class Check {
  /** Spans, data points or log records. */
  items = 0
  /** After a failure: what is wrong, at which byte, inside which field. */
  why = ''
  offset = 0
  #trail: string[] = []

  #bytes: Uint8Array = EMPTY
  /** The second result of `number`: the offset after it. */
  after = 0
  /** Further results of `field`: its tag, and where its value begins. */
  tag = 0
  value = 0

  /** True if the bytes are one message of this type. */
  run(bytes: Uint8Array, type: Message): boolean {
    this.items = 0
    this.#trail = NONE
    this.over(bytes)
    const ok = this.message(type.index, 0, bytes.length, 0)
    this.over(EMPTY)
    return ok
  }

  /** What to say of a failure. */
  get failure(): string {
    const path = this.path === '' ? '' : `, in ${this.path}`
    return `cannot decode the protobuf: ${this.why} at byte ${this.offset}${path}`
  }

  /** For who calls `message`, `field` and `number` on parts of these bytes. */
  over(bytes: Uint8Array): void {
    this.#bytes = bytes
  }

  /** The fields around a failure, outermost first: "resource_spans.scope_spans.spans". */
  get path(): string {
    return this.#trail.join('.')
  }

  /** True if there is one message of the type between the two offsets, inside of `depth` others. */
  message(type: number, at: number, end: number, depth: number): boolean {
    const bytes = this.#bytes
    const base = type << 7
    let pos = at
    while (pos < end) {
      const start = pos
      let tag = bytes[pos++]!
      if (tag >= 128) {
        tag = this.number(start, end, TAG)
        if (tag < 0) return this.#fail('a tag that is cut off or longer than 32 bits', start)
        pos = this.after
      }
      if (tag < 8) return this.#fail('field number 0', start)
      switch (tag & 7) {
        case 2: {
          if (pos >= end) return this.#fail('a field without its length', start, type, tag)
          let length = bytes[pos++]!
          if (length >= 128) {
            length = this.number(pos - 1, end, LENGTH)
            if (length < 0) return this.#fail('a length that is cut off or over 2 GiB', start, type, tag)
            pos = this.after
          }
          const stop = pos + length
          if (stop > end) return this.#fail(`a length of ${length} with ${end - pos} bytes left`, start, type, tag)
          const action = tag < 128 ? ACTIONS[base | tag]! : SKIP
          // Fast path: a run of empty messages, which is what bombs are made of.
          if (length === 0 && action >= MESSAGE && depth < MAX_DEPTH) {
            pos = stop
            while (pos + 1 < end && bytes[pos] === tag && bytes[pos + 1] === 0) pos += 2
            if (ITEM[action - MESSAGE] === 1) this.items += 1 + (pos - stop) / 2
            break
          }
          // Fast path: an attribute of the ordinary form costs no calls.
          if (action === ATTRIBUTE && depth < MAX_DEPTH - 1 && ordinary(bytes, pos, stop)) {
            pos = stop
            break
          }
          if (action !== SKIP && !this.#inside(action, pos, stop, depth)) return this.#within(type, tag)
          pos = stop
          break
        }
        case 0: {
          const limit = pos + 10
          while (pos < end && pos < limit && bytes[pos]! >= 128) pos++
          if (pos === end) return this.#fail('a number that is cut off', start, type, tag)
          if (pos === limit) return this.#fail('a number of more than 10 bytes', start, type, tag)
          pos++
          break
        }
        case 1:
          pos += 8
          if (pos > end) return this.#fail('a 64-bit value that is cut off', start, type, tag)
          break
        case 5:
          pos += 4
          if (pos > end) return this.#fail('a 32-bit value that is cut off', start, type, tag)
          break
        case 3:
          pos = this.group(tag >>> 3, pos, end, depth)
          if (pos < 0) return this.#within(type, tag)
          break
        case 4:
          return this.#fail('the end of a group that was not begun', start, type, tag)
        default:
          return this.#fail(`wire type ${tag & 7}, which does not exist`, start, type, tag)
      }
    }
    return true
  }

  /** A length-delimited field that has structure: a message, or packed numbers. */
  #inside(action: number, pos: number, stop: number, depth: number): boolean {
    if (action < MESSAGE) return this.#value(action, pos, stop)
    const type = action - MESSAGE
    if (depth >= MAX_DEPTH) return this.#fail(`more than ${MAX_DEPTH} messages inside each other`, pos)
    if (ITEM[type] === 1) this.items++
    return this.message(type, pos, stop, depth + 1)
  }

  #value(action: number, pos: number, stop: number): boolean {
    switch (action) {
      case PACKED_FIXED64:
        return (stop - pos) % 8 === 0 || this.#fail('packed 64-bit values of which the last is cut off', pos)
      default:
        return this.#packedVarints(pos, stop)
    }
  }

  #packedVarints(at: number, end: number): boolean {
    let run = 0
    for (let pos = at; pos < end; pos++) {
      run = this.#bytes[pos]! < 128 ? 0 : run + 1
      if (run === 10) return this.#fail('a number of more than 10 bytes', pos)
    }
    return run === 0 || this.#fail('a number that is cut off', end)
  }

  /** One field of whatever kind; returns the offset after it, or -1 if it is broken, without saying why. */
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

  #fail(why: string, offset: number, type = -1, tag = 0): false {
    this.why = why
    this.offset = offset
    this.#trail = []
    if (type >= 0) this.#within(type, tag)
    return false
  }

  #cut(why: string, offset: number): -1 {
    this.#fail(why, offset)
    return -1
  }

  /** Adds the field that the failure is inside of, on the way back up. */
  #within(type: number, tag: number): false {
    const number = tag >>> 3
    this.#trail.unshift(MESSAGES[type]!.fields.find(each => each.number === number)?.name ?? `field ${number}`)
    return false
  }
}

const EMPTY = new Uint8Array(0)
const NONE: string[] = []

/** What the fifth byte of a tag, of a length, may be at most. */
export const TAG = 15
export const LENGTH = 7

const SKIP = 0
const PACKED_FIXED64 = 1
const PACKED_VARINT = 2
const MESSAGE = 3
const ATTRIBUTE = MESSAGE + message('KeyValue').index

// What to do with a length-delimited field, by message << 7 | tag. Tags of two bytes (fields from 16) have no structure.
const ACTIONS = new Uint8Array(MESSAGES.length << 7)
const ITEM = new Uint8Array(MESSAGES.length)
for (const each of MESSAGES) {
  const { index, fields } = each
  if (isItem(each)) ITEM[index] = 1
  for (const field of fields.filter(each => each.number < 16)) {
    const place = (index << 7) | (field.number << 3) | 2
    if (field.message) ACTIONS[place] = MESSAGE + field.message.index
    else if (field.repeated && field.scalar !== 'string')
      ACTIONS[place] = field.scalar === 'uint64' ? PACKED_VARINT : PACKED_FIXED64
  }
}

/** Whether messages of this type are what is counted: spans, data points, log records. */
export function isItem({ name }: Message): boolean {
  return name === 'Span' || name === 'LogRecord' || name.endsWith('DataPoint')
}

/** True for a KeyValue as every SDK writes it: key, then value, and in it one string, bool, double or small number. */
function ordinary(bytes: Uint8Array, pos: number, stop: number): boolean {
  if (stop - pos < 4 || bytes[pos] !== 0x0a) return false
  const keyLength = bytes[pos + 1]!
  const value = pos + 2 + keyLength
  if (keyLength >= 128 || value + 4 > stop || bytes[value] !== 0x12) return false
  const length = bytes[value + 1]!
  const any = value + 2
  if (length >= 128 || any + length !== stop) return false
  const next = bytes[any + 1]!
  switch (bytes[any]) {
    case 0x0a:
      return next < 128 && next + 2 === length
    case 0x10:
    case 0x18:
      return next < 128 ? length === 2 : length === 3 && bytes[any + 2]! < 128
    case 0x21:
      return length === 9
    default:
      return false
  }
}
