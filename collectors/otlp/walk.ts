// The one pass over a traces request. It proves the structure of the whole message, as check.ts does, and notes on a tape
// where each span has what the consumers want of it; nobody is called before the last byte is found good, so a request is
// taken whole or not at all. What SDKs write is read here; what is legal and unusual is handed to the check.
//
//   request = (1 ResourceSpans)*   ResourceSpans = 1 Resource, (2 ScopeSpans)*   ScopeSpans = 1 Scope, (2 Span)*
//   Span    = 1 trace id, 2 span id, 3 tracestate, 4 parent, 5 name, 6 kind, 7 start, 8 end, (9 KeyValue)*, (11 Event)*,
//             (13 Link)*, 15 Status, 16 flags                                KeyValue = 1 key, 2 AnyValue

import { Check, LENGTH, TAG } from './check.ts'
import { message } from './schema.ts'
import { ATTRIBUTE_RECORD, RESOURCE_RECORD, SPAN_RECORD, Tape } from './tape.ts'
import type { Wanted } from './wanted.ts'
import { skip } from './wire.ts'

export class Walk {
  /** Spans in the request, good ones and bad ones. */
  items = 0
  /** Spans that cannot be taken because of an id. They are complete protobuf, so only they are refused. */
  badTraceIds = 0
  badSpanIds = 0
  badParentIds = 0
  /** Offset of the first such span, or -1. */
  firstBad = -1
  /** The good spans, after a run that was true. */
  readonly tape = new Tape()

  readonly #wanted: Wanted
  readonly #check = new Check()
  #bytes: Buffer = NOTHING
  #data: DataView = NO_DATA
  #limit = 0
  // Further results of #field: its tag, and where its value begins.
  #tag = 0
  #value = 0

  constructor(wanted: Wanted) {
    this.#wanted = wanted
  }

  /**
   * True if the bytes are a traces request. If it has more spans than `limit` they are only counted, and the tape is empty.
   */
  run(bytes: Buffer, limit: number): boolean {
    this.items = this.badTraceIds = this.badSpanIds = this.badParentIds = 0
    this.firstBad = -1
    this.tape.clear()
    this.#bytes = bytes
    this.#data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#limit = limit
    this.#check.over(bytes)
    const ok = this.#request(bytes.length)
    this.#check.over(NOTHING)
    this.#bytes = NOTHING
    this.#data = NO_DATA
    if (!ok || this.items > limit) this.tape.clear()
    return ok
  }

  #request(end: number): boolean {
    const bytes = this.#bytes
    for (let pos = 0; pos < end; ) {
      pos = this.#field(pos, end, 0)
      if (pos < 0) return false
      if (this.#tag !== 0x0a) continue
      if (this.#value === pos) while (pos + 1 < end && bytes[pos] === 0x0a && bytes[pos + 1] === 0) pos += 2
      else if (!this.#resourceSpans(this.#value, pos)) return false
    }
    return true
  }

  #resourceSpans(start: number, end: number): boolean {
    const tape = this.tape
    const bytes = this.#bytes
    const record = tape.length
    tape.reserve(RESOURCE_RECORD)
    tape.length += RESOURCE_RECORD
    let pieces = 0
    let resourceStart = start
    let resourceEnd = start
    for (let pos = start; pos < end; ) {
      pos = this.#field(pos, end, 1)
      if (pos < 0) return false
      if (this.#tag === 0x12) {
        if (this.#value === pos) while (pos + 1 < end && bytes[pos] === 0x12 && bytes[pos + 1] === 0) pos += 2
        else if (!this.#scopeSpans(this.#value, pos)) return false
      } else if (this.#tag === 0x0a) {
        pieces++
        resourceStart = this.#value
        resourceEnd = pos
        if (!this.#check.message(RESOURCE, resourceStart, resourceEnd, 2)) return false
      }
    }
    if (tape.length === record + RESOURCE_RECORD) {
      tape.length = record
      return true
    }
    const numbers = tape.numbers
    numbers[record] = -1
    numbers[record + 1] = start
    numbers[record + 2] = end
    numbers[record + 3] = resourceStart
    numbers[record + 4] = resourceEnd
    numbers[record + 5] = pieces
    return true
  }

  #scopeSpans(start: number, end: number): boolean {
    const bytes = this.#bytes
    for (let pos = start; pos < end; ) {
      pos = this.#field(pos, end, 2)
      if (pos < 0) return false
      if (this.#tag === 0x12) {
        this.items++
        if (!this.#span(this.#value, pos)) return false
        // Fast path: a run of empty spans, which is what bombs are made of.
        if (this.#value === pos)
          while (pos + 1 < end && bytes[pos] === 0x12 && bytes[pos + 1] === 0) {
            pos += 2
            this.items++
            this.badTraceIds++
          }
      } else if (this.#tag === 0x0a && !this.#check.message(SCOPE, this.#value, pos, 3)) return false
    }
    return true
  }

  #span(start: number, end: number): boolean {
    const bytes = this.#bytes
    const data = this.#data
    const tape = this.tape
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
          if (length < 0) return false
          value = this.#check.after
        }
        const stop = value + length
        if (stop > end) return false
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
              if (!this.#check.message(STATUS, value, stop, 4)) return false
              status = this.#status(value, stop, status)
            }
            break
          case 0x4a:
            top = this.#attribute(value, stop, attributes, top)
            if (top < 0) return false
            break
          case 0x1a:
            stateStart = length === 0 ? 0 : value
            stateEnd = length === 0 ? 0 : stop
            break
          case 0x5a:
            events++
            if (!this.#check.message(EVENT, value, stop, 4)) return false
            break
          case 0x6a:
            links++
            if (!this.#check.message(LINK, value, stop, 4)) return false
            break
          case 0x02:
            return false
        }
        pos = stop
      } else if ((tag & 7) === 0 && tag >= 8 && value < end && bytes[value]! < 128) {
        if (tag === 0x30) kind = bytes[value]!
        pos = value + 1
        if (tag === 0x50 && pos + 4 <= end && data.getInt32(pos, true) === 0x00700060) pos += 4
      } else if (tag === 0x39) {
        pos = value + 8
        if (pos > end) return false
        startLow = word(data, value)
        startHigh = word(data, value + 4)
        if (pos + 9 > end || bytes[pos] !== 0x41) continue
        endLow = word(data, pos + 1)
        endHigh = word(data, pos + 5)
        pos += 9
      } else if (tag === 0x85) {
        pos = value + 4
        if (pos > end) return false
        flags = word(data, value)
      } else if (tag === 0x41) {
        pos = value + 8
        if (pos > end) return false
        endLow = word(data, value)
        endHigh = word(data, value + 4)
      } else {
        pos = this.#field(pos, end, 3)
        if (pos < 0) return false
        if (tag === 0x30) kind = enumAt(bytes, value)
      }
    }
    if (traceId === 0 || spanId === 0 || !parentOk) {
      if (traceId === 0) this.badTraceIds++
      else if (spanId === 0) this.badSpanIds++
      else this.badParentIds++
      if (this.firstBad < 0) this.firstBad = start
      return true
    }
    if (this.items > this.#limit) return true
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
    return true
  }

  /** One field of whatever kind; returns the offset after it, or -1 if it is broken. */
  #field(at: number, end: number, depth: number): number {
    const bytes = this.#bytes
    const check = this.#check
    let tag = bytes[at]!
    let pos = at + 1
    if (tag >= 128) {
      tag = check.number(at, end, TAG)
      pos = check.after
    }
    if (tag < 8) return -1
    this.#tag = tag
    this.#value = pos
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
        const length = check.number(pos, end, LENGTH)
        if (length < 0) return -1
        this.#value = check.after
        pos = check.after + length
        break
      }
      case 3:
        return check.group(tag >>> 3, pos, end, depth)
      case 5:
        pos += 4
        break
      default:
        return -1
    }
    return pos > end ? -1 : pos
  }

  /** Notes an attribute whose key is wanted; returns the new end of the record. */
  #note(keyStart: number, keyEnd: number, type: number, from: number, to: number, first: number, top: number): number {
    const slot = this.#wanted.find(this.#data, keyStart, keyEnd - keyStart)
    if (slot < 0) return top
    return this.#put(slot, type, from, to, first, top)
  }

  #put(slot: number, type: number, from: number, to: number, first: number, top: number): number {
    const numbers = this.tape.numbers
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

const STRING = 1
const BOOL = 2
const INT = 3
const DOUBLE = 4

const RESOURCE = message('Resource').index
const SCOPE = message('Scope').index
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
