// The structural check: one pass over a message that has not been trusted yet. It accepts exactly what protobuf parsers
// accept (except that text need not be UTF-8), counts the items, and allocates nothing, so that a bomb of a million empty
// points costs milliseconds. After it, walking the same bytes cannot fail. Traces have a walk of their own (walk.ts), which
// leaves unusual encodings, and the words for a refusal, to this one.
//
//   message = (tag value)*          a field is described in field-check.ts
//
// A known field with another wire type than the schema's is an unknown field, and is skipped by its own wire type.

import { FieldCheck, LENGTH, MAX_DEPTH, TAG } from './field-check.ts'
import { isItem, MESSAGES, type Message, message } from './schema.ts'

/** A check and its results. One object is reused: read the results before the next check. */
export class Check {
  /** Spans, data points or log records. */
  items = 0
  /** After a failure: what is wrong, at which byte, inside which field. */
  why = ''
  offset = 0
  #trail: string[] = []

  #bytes: Uint8Array = EMPTY
  /** For the fields of the same bytes. */
  readonly fields = new FieldCheck()

  /** True if the bytes are one message of this type. */
  run(bytes: Uint8Array, type: Message): boolean {
    this.items = 0
    this.#trail = NONE
    this.over(bytes)
    const ok = this.message(type.index, 0, bytes.length, 0)
    this.over(EMPTY)
    return ok
  }

  /** The failure in words. */
  get failure(): string {
    const path = this.path === '' ? '' : `, in ${this.path}`
    return `cannot decode the protobuf: ${this.why} at byte ${this.offset}${path}`
  }

  /** Chooses the bytes for direct calls of `message`, and of `fields`. */
  over(bytes: Uint8Array): void {
    this.#bytes = bytes
    this.fields.over(bytes)
  }

  /** The fields around a failure, outermost first: "resource_spans.scope_spans.spans". */
  get path(): string {
    return this.#trail.join('.')
  }

  /** True if there is one message of the type between the two offsets, inside of `depth` others. */
  message(type: number, at: number, end: number, depth: number): boolean {
    const bytes = this.#bytes
    const fields = this.fields
    const base = type << 7
    let pos = at
    while (pos < end) {
      const start = pos
      let tag = bytes[pos++]!
      if (tag >= 128) {
        tag = fields.number(start, end, TAG)
        if (tag < 0) return this.#fail('a tag that is cut off or longer than 32 bits', start)
        pos = fields.after
      }
      if (tag < 8) return this.#fail('field number 0', start)
      switch (tag & 7) {
        case 2: {
          if (pos >= end) return this.#fail('a field without its length', start, type, tag)
          let length = bytes[pos++]!
          if (length >= 128) {
            length = fields.number(pos - 1, end, LENGTH)
            if (length < 0) return this.#fail('a length that is cut off or over 2 GiB', start, type, tag)
            pos = fields.after
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
          pos = fields.group(tag >>> 3, pos, end, depth)
          if (pos < 0) return this.#fail(fields.why, fields.offset, type, tag)
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

  #fail(why: string, offset: number, type = -1, tag = 0): false {
    this.why = why
    this.offset = offset
    this.#trail = []
    if (type >= 0) this.#within(type, tag)
    return false
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

const SKIP = 0
const PACKED_FIXED64 = 1
const PACKED_VARINT = 2
const MESSAGE = 3
const ATTRIBUTE = MESSAGE + message('KeyValue').index

// The action for a length-delimited field, by message << 7 | tag. Tags of two bytes (fields from 16) have no structure.
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
