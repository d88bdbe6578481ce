// Reads one attribute: the one reader for resources, scopes, spans, data points and log records.
//
//   KeyValue = key 1, AnyValue 2     AnyValue = string 1 | bool 2 | int 3 | double 4 | array 5 | list 6 | bytes 7
//
// Both fields come in either order. If one occurs twice the last wins; an AnyValue in pieces is merged, and the member that was
// set last wins. Across attributes it is the other way round: if a key occurs twice in one list, the first that has a value
// wins, as in the Collector. That is for the caller, who knows the list.

import { ABSENT, type AttributeType, BOOL, DOUBLE, INT, OTHER, STRING } from '../telemetry/attribute.ts'
import { field, LENGTH, Reader } from './wire.ts'

export class KeyValue {
  keyStart = 0
  keyEnd = 0
  /** ABSENT if the attribute has no value. */
  type: AttributeType = ABSENT
  /** For a STRING: where its text is. For other values: where the AnyValue is. */
  start = 0
  end = 0
  readonly #pair = new Reader()
  readonly #any = new Reader()

  /** Reads the KeyValue between the two offsets, in bytes that passed the check. */
  read(bytes: Uint8Array, start: number, end: number): this {
    this.keyStart = this.keyEnd = this.start = this.end = 0
    this.type = ABSENT
    const pair = this.#pair.over(bytes, start, end)
    while (pair.next())
      if (pair.tag === KEY) {
        this.keyStart = pair.start
        this.keyEnd = pair.end
      } else if (pair.tag === VALUE) this.#value(bytes, pair.start, pair.end)
    return this
  }

  /** Reads an AnyValue by itself, such as the body of a log record. */
  readValue(bytes: Uint8Array, start: number, end: number): this {
    this.keyStart = this.keyEnd = this.start = this.end = 0
    this.type = ABSENT
    this.#value(bytes, start, end)
    return this
  }

  /** A piece that sets nothing leaves the one before. */
  #value(bytes: Uint8Array, start: number, end: number): void {
    const any = this.#any.over(bytes, start, end)
    while (any.next()) {
      const type = TYPES[any.tag] ?? ABSENT
      if (type === ABSENT) continue
      this.type = type
      this.start = type === STRING ? any.start : start
      this.end = type === STRING ? any.end : end
    }
  }
}

const KEY = field(1, LENGTH)
const VALUE = field(2, LENGTH)

/** By the tag of an AnyValue's member. */
const TYPES: Readonly<Record<number, AttributeType>> = {
  10: STRING,
  16: BOOL,
  24: INT,
  33: DOUBLE,
  42: OTHER,
  50: OTHER,
  58: OTHER,
  64: OTHER,
}
