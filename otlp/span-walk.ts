// The part of the walk (walk.ts) that reads one span: it proves its structure and notes it on the tape if its ids are good.
// Fields come in any order; if a field occurs twice the last one wins. The fast paths are for the encodings of SDKs, and read
// four bytes at once (bench row decode); all others are left to the check.
//
//   Span = 1 trace id, 2 span id, 3 tracestate, 4 parent, 5 name, 6 kind, 7 start, 8 end, (9 KeyValue)*, 10 dropped,
//          (11 Event)*, 12 dropped, (13 Link)*, 14 dropped, 15 Status, 16 flags
//   KeyValue = 1 key, 2 AnyValue     AnyValue = 1 string | 2 bool | 3 int | 4 double | 5 array | 6 list | 7 bytes

import { ABSENT, BOOL, DOUBLE, INT, STRING } from '../telemetry/attribute.ts'
import type { Check } from './check.ts'
import { type FieldCheck, LENGTH, TAG } from './field-check.ts'
import type { KeySet } from './key-set.ts'
import { KeyValue } from './key-value.ts'
import { message } from './schema.ts'
import { ATTRIBUTE_RECORD, SPAN_RECORD, type Tape } from './tape.ts'
import { skip } from './wire.ts'

export const GOOD = 0
export const BROKEN = 1
export const BAD_TRACE_ID = 2
export const BAD_SPAN_ID = 3
export const BAD_PARENT_ID = 4
export type SpanVerdict = typeof GOOD | typeof BROKEN | typeof BAD_TRACE_ID | typeof BAD_SPAN_ID | typeof BAD_PARENT_ID

export class SpanWalk {
  readonly #keys: KeySet
  /** The most numbers that a span needs on the tape. */
  readonly #room: number
  readonly #tape: Tape
  readonly #check: Check
  readonly #fields: FieldCheck
  readonly #pair = new KeyValue()
  #bytes: Buffer = NOTHING
  #data: DataView = NO_DATA

  constructor(keys: KeySet, tape: Tape, check: Check) {
    this.#keys = keys
    this.#room = SPAN_RECORD + ATTRIBUTE_RECORD * keys.size
    this.#tape = tape
    this.#check = check
    this.#fields = check.fields
  }

  /** Goes over these bytes; returns the view of them. */
  over(bytes: Buffer): DataView {
    this.#bytes = bytes
    this.#data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    return this.#data
  }

  /** Forgets the bytes. */
  leave(): void {
    this.#bytes = NOTHING
    this.#data = NO_DATA
  }

  /** Reads the Span between the two offsets. A good one is noted if `note` is true. */
  read(start: number, end: number, note: boolean): SpanVerdict {
    const bytes = this.#bytes
    const data = this.#data
    const tape = this.#tape
    const { lengths } = this.#keys
    tape.reserve(this.#room)
    const numbers = tape.numbers
    const record = tape.length
    const attributes = record + SPAN_RECORD
    let top = attributes
    let traceId = 0
    let spanId = 0
    let parent = -1
    let parentOk = true
    let nameStart = 0
    let nameEnd = 0
    let stateStart = 0
    let stateEnd = 0
    let startLow = 0
    let startHigh = 0
    let endLow = 0
    let endHigh = 0
    let kind = 0
    let status = 0
    let flags = 0
    let events = 0
    let links = 0
    let pos = start
    // Fast path: the ids, as every SDK writes them.
    if (pos + 28 <= end && data.getInt16(pos, true) === 0x100a && data.getInt16(pos + 18, true) === 0x0812) {
      traceId = some16(data, pos + 2) ? pos + 2 : 0
      spanId = some8(data, pos + 20) ? pos + 20 : 0
      pos += 28
      if (pos + 10 <= end && data.getInt16(pos, true) === 0x0822) {
        parent = some8(data, pos + 2) ? pos + 2 : -1
        pos += 10
      }
    }
    while (pos < end) {
      // Fast path: the attributes, as every SDK writes them: key, then value, both short.
      while (pos + 8 <= end) {
        // Tag and length of the attribute, tag and length of its key.
        const head = data.getInt32(pos, true)
        if ((head & 0x80ff80ff) !== 0x000a004a) break
        const value = pos + 4 + (head >>> 24)
        const stop = pos + 2 + ((head >>> 8) & 127)
        if (stop > end || value + 4 > stop) break
        // Tag and length of the value, tag and length (or number) of what it is.
        const inner = data.getInt32(value, true)
        const length = (inner >>> 8) & 255
        if ((inner & 255) !== 0x12 || value + 2 + length !== stop) break
        const what = inner >>> 24
        let type: number = STRING
        switch ((inner >>> 16) & 255) {
          case 0x0a:
            if (what + 2 !== length) type = ABSENT
            break
          case 0x18:
            type = (what < 128 ? length === 2 : isVarint(bytes, value + 4, stop)) ? INT : ABSENT
            break
          case 0x10:
            type = length === 2 && what < 128 ? BOOL : ABSENT
            break
          case 0x21:
            type = length === 9 ? DOUBLE : ABSENT
            break
          default:
            type = ABSENT
        }
        if (type === ABSENT) break
        if (lengths[head >>> 24] !== 0) {
          const from = type === STRING ? value + 4 : value + 2
          top = this.#note(pos + 4, value, type, from, stop, attributes, top)
        }
        pos = stop
      }
      if (pos >= end) break
      let tag = bytes[pos]!
      let value = pos + 1
      if (tag >= 128) {
        if (tag === 0x85 && bytes[value] === 1) value++
        else {
          tag = this.#fields.number(pos, end, TAG)
          value = this.#fields.after
        }
      }
      if ((tag & 7) === 2 && value < end) {
        let length = bytes[value++]!
        if (length >= 128) {
          length = this.#fields.number(value - 1, end, LENGTH)
          if (length < 0) return BROKEN
          value = this.#fields.after
        }
        const stop = value + length
        if (stop > end) return BROKEN
        switch (tag) {
          case 0x0a:
            traceId = length === 16 && some16(data, value) ? value : 0
            break
          case 0x12:
            spanId = length === 8 && some8(data, value) ? value : 0
            break
          case 0x22:
            parentOk = length === 8 || length === 0
            parent = length === 8 && some8(data, value) ? value : -1
            break
          case 0x2a:
            nameStart = length === 0 ? 0 : value
            nameEnd = length === 0 ? 0 : stop
            break
          case 0x7a:
            if (length === 0) break
            if (length === 2 && bytes[value] === 0x18 && bytes[value + 1]! < 128) status = bytes[value + 1]!
            else {
              if (!this.#check.message(STATUS, value, stop, 4)) return BROKEN
              status = this.#status(value, stop, status)
            }
            break
          case 0x4a:
            top = this.#attribute(value, stop, attributes, top)
            if (top < 0) return BROKEN
            break
          case 0x1a:
            stateStart = length === 0 ? 0 : value
            stateEnd = length === 0 ? 0 : stop
            break
          case 0x5a:
            events++
            if (!this.#check.message(EVENT, value, stop, 4)) return BROKEN
            break
          case 0x6a:
            links++
            if (!this.#check.message(LINK, value, stop, 4)) return BROKEN
            break
          case 0x02:
            return BROKEN
        }
        pos = stop
      } else if ((tag & 7) === 0 && tag >= 8 && value < end && bytes[value]! < 128) {
        if (tag === 0x30) kind = bytes[value]!
        pos = value + 1
        if (tag === 0x50 && pos + 4 <= end && data.getInt32(pos, true) === 0x00700060) pos += 4
      } else if (tag === 0x39) {
        pos = value + 8
        if (pos > end) return BROKEN
        startLow = word(data, value)
        startHigh = word(data, value + 4)
        if (pos + 9 > end || bytes[pos] !== 0x41) continue
        endLow = word(data, pos + 1)
        endHigh = word(data, pos + 5)
        pos += 9
      } else if (tag === 0x85) {
        pos = value + 4
        if (pos > end) return BROKEN
        flags = word(data, value)
      } else if (tag === 0x41) {
        pos = value + 8
        if (pos > end) return BROKEN
        endLow = word(data, value)
        endHigh = word(data, value + 4)
      } else {
        pos = this.#fields.field(pos, end, 3)
        if (pos < 0) return BROKEN
        if (tag === 0x30) kind = enumAt(bytes, value)
      }
    }
    if (traceId === 0) return BAD_TRACE_ID
    if (spanId === 0) return BAD_SPAN_ID
    if (!parentOk) return BAD_PARENT_ID
    if (!note) return GOOD
    numbers[record] = start
    numbers[record + 1] = end
    numbers[record + 2] = traceId
    numbers[record + 3] = spanId
    numbers[record + 4] = parent
    numbers[record + 5] = nameStart
    numbers[record + 6] = nameEnd
    numbers[record + 7] = stateStart
    numbers[record + 8] = stateEnd
    numbers[record + 9] = startLow
    numbers[record + 10] = startHigh
    numbers[record + 11] = endLow
    numbers[record + 12] = endHigh
    numbers[record + 13] = (kind > 5 ? 0 : kind) | ((status > 2 ? 0 : status) << 8)
    numbers[record + 14] = flags
    numbers[record + 15] = events
    numbers[record + 16] = links
    numbers[record + 17] = 0
    numbers[record + 18] = (top - attributes) / ATTRIBUTE_RECORD
    tape.length = top
    return GOOD
  }

  /** Notes an attribute if its key is looked for; returns the new end of the record. */
  #note(keyStart: number, keyEnd: number, type: number, from: number, to: number, first: number, top: number): number {
    const position = this.#keys.find(this.#data, keyStart, keyEnd - keyStart)
    if (position < 0) return top
    return this.#put(position, type, from, to, first, top)
  }

  #put(position: number, type: number, from: number, to: number, first: number, top: number): number {
    const numbers = this.#tape.numbers
    // If a key occurs twice, the first wins.
    for (let at = first; at < top; at += ATTRIBUTE_RECORD) if ((numbers[at]! & 0xffff) === position) return top
    const empty = type === STRING && from === to
    numbers[top] = position | (type << 16)
    numbers[top + 1] = empty ? 0 : from
    numbers[top + 2] = empty ? 0 : to
    return top + ATTRIBUTE_RECORD
  }

  /** Checks an attribute of any form and notes it if its key is looked for; returns the new end of the record, or -1. */
  #attribute(start: number, end: number, first: number, top: number): number {
    const bytes = this.#bytes
    const check = this.#check
    const fields = this.#fields
    const { lengths } = this.#keys
    const keyLength = bytes[start + 1]!
    const key = start + 2
    const afterKey = key + keyLength
    // Fast path: a short key, then a long text. An attribute that nobody asked for is validated but not decoded.
    if (bytes[start] === 0x0a && keyLength < 128 && afterKey + 4 <= end && bytes[afterKey] === 0x12) {
      const length = fields.number(afterKey + 1, end, LENGTH)
      const value = fields.after
      if (length > 0 && value + length === end) {
        if (bytes[value] === 0x0a) {
          const size = fields.number(value + 1, end, LENGTH)
          const text = fields.after
          if (size >= 0 && text + size === end)
            return lengths[keyLength] === 0 ? top : this.#note(key, afterKey, STRING, text, end, first, top)
        }
        if (lengths[keyLength] === 0) return check.message(ANY_VALUE, value, end, 5) ? top : -1
      }
    }
    if (!check.message(KEY_VALUE, start, end, 4)) return -1
    const pair = this.#pair.read(bytes, start, end)
    if (pair.type === ABSENT) return top
    const position = this.#keys.search(bytes, pair.keyStart, pair.keyEnd)
    return position < 0 ? top : this.#put(position, pair.type, pair.start, pair.end, first, top)
  }

  /** The code of a checked Status, or what it was before if this one says nothing. */
  #status(start: number, end: number, before: number): number {
    const bytes = this.#bytes
    let code = before
    for (let pos = start; pos < end; ) {
      const tag = this.#fields.number(pos, end, TAG)
      pos = this.#fields.after
      if (tag === 0x18) code = enumAt(bytes, pos)
      pos = skip(bytes, pos, tag)
    }
    return code
  }
}

const NOTHING = Buffer.alloc(0)
const NO_DATA = new DataView(new ArrayBuffer(0))

const STATUS = message('Status').index
const EVENT = message('Event').index
const LINK = message('Link').index
const ANY_VALUE = message('AnyValue').index
const KEY_VALUE = message('KeyValue').index

function word(data: DataView, at: number): number {
  return data.getInt32(at, true)
}

function some8(data: DataView, at: number): boolean {
  return (data.getInt32(at, true) | data.getInt32(at + 4, true)) !== 0
}

function some16(data: DataView, at: number): boolean {
  return some8(data, at) || some8(data, at + 8)
}

/** True if the offset is inside of a number, of which one byte stands before it, and which ends at `stop`. */
function isVarint(bytes: Buffer, at: number, stop: number): boolean {
  let pos = at
  while (pos < stop - 1 && bytes[pos]! >= 128) pos++
  return pos === stop - 1 && bytes[pos]! < 128 && stop - at < 10
}

/** An enum as a non-negative number: what is negative or beyond a byte has no meaning, and becomes 255. */
function enumAt(bytes: Buffer, at: number): number {
  // An int32 is the low 32 bits of the number, which stand in its first five bytes.
  let value = 0
  let pos = at
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[pos++]!
    if (shift < 35) value |= (byte & 127) << shift
    if (byte < 128) break
  }
  return value >= 0 && value < 255 ? value : 255
}
