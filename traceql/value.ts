// A value where it stands in a span, and the search for an attribute by its key. Values are decoded only when they are asked
// for; the search stops at the first attribute with the key, which is the one that counts if a key occurs twice.
//
//   KeyValue = key 1, AnyValue 2     AnyValue = string 1 | bool 2 | int 3 | double 4 | array 5 { AnyValue* 1 } | list 6 | bytes 7

import { KeyValue } from '../otlp/key-value.ts'
import { valueText } from '../otlp/value.ts'
import { field, LENGTH, Reader, skip, VARINT } from '../otlp/wire.ts'
import { ABSENT, type AttributeType, BOOL, DOUBLE, INT, OTHER, STRING } from '../telemetry/attribute.ts'
import type { AttributeKey, Value } from './reading.ts'

/** A text longer than this is cut where it is shown. */
const LONGEST_TEXT = 65_536

export class Key implements AttributeKey {
  readonly text: string
  readonly bytes: Buffer

  constructor(text: string) {
    this.text = text
    this.bytes = Buffer.from(text)
  }
}

export class AttributeValue implements Value {
  type: AttributeType = ABSENT
  bytes: Buffer = NOTHING
  start = 0
  end = 0
  readonly #reader = new Reader()

  set(type: AttributeType, bytes: Buffer, start: number, end: number): void {
    this.type = type
    this.bytes = bytes
    this.start = start
    this.end = end
  }

  clear(): void {
    this.set(ABSENT, NOTHING, 0, 0)
  }

  equals(text: Buffer): boolean {
    if (this.type !== STRING || this.end - this.start !== text.length) return false
    const { bytes, start } = this
    if (text.length > 64) return text.compare(bytes, start, this.end) === 0
    for (let i = text.length - 1; i >= 0; i--) if (bytes[start + i] !== text[i]) return false
    return true
  }

  text(): string {
    switch (this.type) {
      case ABSENT:
        return ''
      case STRING:
        return this.bytes.toString('utf8', this.start, this.end)
      default:
        return valueText(this.bytes, this.start, this.end, LONGEST_TEXT)
    }
  }

  number(): number {
    if (this.type !== INT && this.type !== DOUBLE) return Number.NaN
    // Fast path: one member, as everybody writes it.
    const { bytes, start, end } = this
    if (this.type === DOUBLE && bytes[start] === DOUBLE_VALUE && end - start === 9) return bytes.readDoubleLE(start + 1)
    if (bytes[start] === INT_VALUE && end - start <= 7) {
      let value = 0
      let unit = 1
      let at = start + 1
      for (; at < end; at++, unit *= 128) {
        const byte = bytes[at]!
        value += (byte & 127) * unit
        if (byte < 128) break
      }
      if (at === end - 1) return value
    }
    const value = this.#last()
    return this.type === INT ? value.signed : value.double
  }

  integer(): bigint {
    if (this.type !== INT) return 0n
    const { low, high } = this.#last()
    return BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low))
  }

  bool(): boolean {
    if (this.type !== BOOL) return false
    const { low, high } = this.#last()
    return (low | high) !== 0
  }

  get isArray(): boolean {
    return this.type === OTHER && this.#member(this.#reader) === ARRAY
  }

  elements(each: (element: Value) => boolean | undefined): void {
    if (this.type !== OTHER) return
    const array = new Reader()
    if (this.#member(array) !== ARRAY) return
    const element = new AttributeValue()
    const pair = new KeyValue()
    for (const values = new Reader().over(this.bytes, array.start, array.end); values.next(); ) {
      if (values.tag !== ELEMENT) continue
      const { type, start, end } = pair.readValue(this.bytes, values.start, values.end)
      element.set(type, this.bytes, start, end)
      if (each(element) === false) return
    }
  }

  /** The member that was set last, which wins: the reader holds its number. */
  #last(): Reader {
    const reader = this.#reader.over(this.bytes, this.start, this.end)
    const wanted = this.type === INT ? INT_VALUE : this.type === BOOL ? BOOL_VALUE : DOUBLE_VALUE
    let [low, high] = [0, 0]
    while (reader.next()) if (reader.tag === wanted) [low, high] = [reader.low, reader.high]
    reader.low = low
    reader.high = high
    return reader
  }

  /** The tag of the value's member; the reader holds where it is. */
  #member(reader: Reader): number {
    let [tag, start, end] = [0, 0, 0]
    for (reader.over(this.bytes, this.start, this.end); reader.next(); )
      [tag, start, end] = [reader.tag, reader.start, reader.end]
    reader.start = start
    reader.end = end
    return tag
  }
}

const NOTHING = Buffer.alloc(0)
const BOOL_VALUE = field(2, VARINT)
const INT_VALUE = field(3, VARINT)
const DOUBLE_VALUE = field(4, 1)
const ARRAY = field(5, LENGTH)
const ELEMENT = field(1, LENGTH)

/** The field in which a message holds its attributes, by what it is. */
export const SPAN_ATTRIBUTE = field(9, LENGTH)
export const RESOURCE_ATTRIBUTE = field(1, LENGTH)
export const SCOPE_ATTRIBUTE = field(3, LENGTH)
export const EVENT_ATTRIBUTE = field(3, LENGTH)
export const LINK_ATTRIBUTE = field(4, LENGTH)

const pair = new KeyValue()

/** Finds the first attribute with the key that has a value, in the message between two offsets. `tag` is below 128. */
export function findAttribute(
  bytes: Buffer,
  start: number,
  end: number,
  tag: number,
  key: AttributeKey,
  into: AttributeValue,
): boolean {
  const wanted = key.bytes
  const { length } = wanted
  const last = length === 0 ? 0 : wanted[length - 1]!
  for (let pos = start; pos < end; ) {
    const here = bytes[pos++]!
    if (here >= 128) {
      pos = skipLong(bytes, pos - 1)
      continue
    }
    switch (here & 7) {
      case 0:
        while (bytes[pos++]! >= 128);
        continue
      case 1:
        pos += 8
        continue
      case 5:
        pos += 4
        continue
      case 2:
        break
      default:
        pos = skipLong(bytes, pos - 1)
        continue
    }
    let size = bytes[pos++]!
    if (size >= 128) {
      size &= 127
      for (let shift = 7; ; shift += 7) {
        const byte = bytes[pos++]!
        size |= (byte & 127) << shift
        if (byte < 128) break
      }
    }
    const stop = pos + size
    if (here === tag) {
      // Fast path: the key first, and short. Most keys have another length or another last letter.
      if (bytes[pos] === 0x0a && bytes[pos + 1]! < 128) {
        const keyLength = bytes[pos + 1]!
        const after = pos + 2 + keyLength
        if (keyLength === length) {
          if (length === 0 || bytes[after - 1] === last) {
            if (matches(bytes, pos, stop, wanted, into)) return true
          }
        } else if (after < stop && bytes[after] !== 0x12 && matches(bytes, pos, stop, wanted, into)) return true
      } else if (matches(bytes, pos, stop, wanted, into)) return true
    }
    pos = stop
  }
  into.clear()
  return false
}

/** Whether the KeyValue has this key, and a value, which is then in `into`. */
function matches(bytes: Buffer, start: number, end: number, key: Buffer, into: AttributeValue): boolean {
  // Fast path: a short key and a short text, as SDKs write them.
  const keyLength = bytes[start + 1]!
  const keyStart = start + 2
  const value = keyStart + keyLength
  if (bytes[start] === 0x0a && keyLength === key.length && keyLength < 128 && value + 4 <= end) {
    const whole = bytes[value + 1]!
    if (bytes[value] === 0x12 && whole < 128 && value + 2 + whole === end) {
      for (let i = keyLength - 1; i >= 0; i--) if (bytes[keyStart + i] !== key[i]) return false
      if (bytes[value + 2] === 0x0a && bytes[value + 3]! + 2 === whole) {
        into.set(STRING, bytes, value + 4, end)
        return true
      }
      const type = onlyNumber(bytes, value + 2, end)
      if (type !== ABSENT) {
        into.set(type, bytes, value + 2, end)
        return true
      }
    }
  }
  const { type, keyStart: from, keyEnd: to, start: at, end: stop } = pair.read(bytes, start, end)
  if (type === ABSENT || to - from !== key.length || key.compare(bytes, from, to) !== 0) return false
  into.set(type, bytes, at, stop)
  return true
}

/** The type of an AnyValue that is one number or truth value and nothing else, as everybody writes them; ABSENT otherwise. */
function onlyNumber(bytes: Buffer, start: number, end: number): AttributeType {
  const tag = bytes[start]!
  if (tag === DOUBLE_VALUE) return end - start === 9 ? DOUBLE : ABSENT
  if (tag !== INT_VALUE && tag !== BOOL_VALUE) return ABSENT
  let at = start + 1
  while (at < end && bytes[at]! >= 128) at++
  return at === end - 1 && end - start <= 11 ? (tag === INT_VALUE ? INT : BOOL) : ABSENT
}

/** Calls back with each attribute of a message that has a value; false if it was stopped. */
export function eachAttribute(
  bytes: Buffer,
  start: number,
  end: number,
  tag: number,
  each: (keyStart: number, keyEnd: number, value: AttributeValue) => boolean | undefined,
  into: AttributeValue,
  reader: Reader,
): boolean {
  for (reader.over(bytes, start, end); reader.next(); ) {
    if (reader.tag !== tag) continue
    const { type, keyStart, keyEnd, start: from, end: to } = pair.read(bytes, reader.start, reader.end)
    if (type === ABSENT) continue
    into.set(type, bytes, from, to)
    if (each(keyStart, keyEnd, into) === false) return false
  }
  return true
}

/** Passes over a field whose tag has several bytes, or which is a group. */
function skipLong(bytes: Buffer, at: number): number {
  let tag = 0
  let pos = at
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[pos++]!
    tag |= (byte & 127) << shift
    if (byte < 128) return skip(bytes, pos, tag)
  }
}
