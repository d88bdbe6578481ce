// The part of the walk (walk.ts) that reads one span: it proves its structure and notes it on the tape if its ids are good.
// Fields come in any order; of a field that occurs twice the last one holds. The fast paths are for what SDKs write, and
// read four bytes at once (bench row decode); what they do not know is left to the check.
//
//   Span = 1 trace id, 2 span id, 3 tracestate, 4 parent, 5 name, 6 kind, 7 start, 8 end, (9 KeyValue)*, 10 dropped,
//          (11 Event)*, 12 dropped, (13 Link)*, 14 dropped, 15 Status, 16 flags
//   KeyValue = 1 key, 2 AnyValue     AnyValue = 1 string | 2 bool | 3 int | 4 double | 5 array | 6 list | 7 bytes

import { type Check, LENGTH, TAG } from './check.ts'
import { message } from './schema.ts'
import { ATTRIBUTE_RECORD, SPAN_RECORD, type Tape } from './tape.ts'
import { BOOL, DOUBLE, INT, STRING, type Wanted } from './wanted.ts'
import { skip } from './wire.ts'

export const GOOD = 0
export const BROKEN = 1
export const BAD_TRACE_ID = 2
export const BAD_SPAN_ID = 3
export const BAD_PARENT_ID = 4
export type SpanVerdict = typeof GOOD | typeof BROKEN | typeof BAD_TRACE_ID | typeof BAD_SPAN_ID | typeof BAD_PARENT_ID

export class SpanWalk {
  readonly #wanted: Wanted
  readonly #tape: Tape
  readonly #check: Check
  #bytes: Buffer = NOTHING
  #data: DataView = NO_DATA

  constructor(wanted: Wanted, tape: Tape, check: Check) {
    this.#wanted = wanted
    this.#tape = tape
    this.#check = check
  }

  over(bytes: Buffer): void {
    this.#bytes = bytes
    this.#data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
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
    const { lengths, room } = this.#wanted
    tape.reserve(room)
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
        let type = STRING
        switch ((inner >>> 16) & 255) {
          case 0x0a:
            if (what + 2 !== length) type = 0
            break
          case 0x18:
            type = (what < 128 ? length === 2 : isVarint(bytes, value + 4, stop)) ? INT : 0
            break
          case 0x10:
            type = length === 2 && what < 128 ? BOOL : 0
            break
          case 0x21:
            type = length === 9 ? DOUBLE : 0
            break
          default:
            type = 0
        }
        if (type === 0) break
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
          tag = this.#check.number(pos, end, TAG)
          value = this.#check.after
        }
      }
      if ((tag & 7) === 2 && value < end) {
        let length = bytes[value++]!
        if (length >= 128) {
          length = this.#check.number(value - 1, end, LENGTH)
          if (length < 0) return BROKEN
          value = this.#check.after
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
        pos = this.#check.field(pos, end, 3)
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
    numbers[record + 17] = (top - attributes) / ATTRIBUTE_RECORD
    tape.length = top
    return GOOD
  }

  /** Notes an attribute whose key is wanted; returns the new end of the record. */
  #note(keyStart: number, keyEnd: number, type: number, from: number, to: number, first: number, top: number): number {
    const slot = this.#wanted.find(this.#data, keyStart, keyEnd - keyStart)
    if (slot < 0) return top
    return this.#put(slot, type, from, to, first, top)
  }

  #put(slot: number, type: number, from: number, to: number, first: number, top: number): number {
    const numbers = this.#tape.numbers
    // Of a key that occurs twice the first one holds, as in the Collector.
    for (let at = first; at < top; at += ATTRIBUTE_RECORD) if ((numbers[at]! & 0xffff) === slot) return top
    const empty = type === STRING && from === to
    numbers[top] = slot | (type << 16)
    numbers[top + 1] = empty ? 0 : from
    numbers[top + 2] = empty ? 0 : to
    return top + ATTRIBUTE_RECORD
  }

  /** Checks an attribute of any form and notes it if it is wanted; returns the new end of the record, or -1. */
  #attribute(start: number, end: number, first: number, top: number): number {
    const bytes = this.#bytes
    const check = this.#check
    const wanted = this.#wanted
    const keyLength = bytes[start + 1]!
    const key = start + 2
    const pair = key + keyLength
    // Fast path: a short key, then a long text. And what nobody wants need not be read, only be good.
    if (bytes[start] === 0x0a && keyLength < 128 && pair + 4 <= end && bytes[pair] === 0x12) {
      const length = check.number(pair + 1, end, LENGTH)
      const value = check.after
      if (length > 0 && value + length === end) {
        if (bytes[value] === 0x0a) {
          const size = check.number(value + 1, end, LENGTH)
          const text = check.after
          if (size >= 0 && text + size === end)
            return wanted.lengths[keyLength] === 0 ? top : this.#note(key, pair, STRING, text, end, first, top)
        }
        if (wanted.lengths[keyLength] === 0) return check.message(ANY_VALUE, value, end, 5) ? top : -1
      }
    }
    if (!check.message(KEY_VALUE, start, end, 4)) return -1
    if (!wanted.read(bytes, start, end)) return top
    return this.#put(wanted.slot, wanted.kind, wanted.from, wanted.to, first, top)
  }

  /** The code of a checked Status, or what it was before if this one says nothing. */
  #status(start: number, end: number, before: number): number {
    const bytes = this.#bytes
    let code = before
    for (let pos = start; pos < end; ) {
      const tag = this.#check.number(pos, end, TAG)
      pos = this.#check.after
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
