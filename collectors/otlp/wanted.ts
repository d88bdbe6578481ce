// Which attributes are looked for, and how a key is recognised without making text of it.

import type { AttributeView } from '../otlp.ts'
import { ATTRIBUTE_RECORD, SPAN_RECORD } from './tape.ts'
import { field, LENGTH, Reader } from './wire.ts'

export const ABSENT = 0
export const STRING = 1
export const BOOL = 2
export const INT = 3
export const DOUBLE = 4
export const OTHER = 5

/** Keys that are looked for, and where their values are in the message at hand. */
export class Wanted implements AttributeView {
  readonly type: Uint8Array
  readonly start: Uint32Array
  readonly end: Uint32Array
  /** 1 at the length of each key: most attributes end here. */
  readonly lengths = new Uint8Array(128)
  /** What the last `read` found: the position of the key, the type of the value, and its offsets as a view has them. */
  slot = -1
  kind = ABSENT
  from = 0
  to = 0
  /** The most numbers that a span needs on the tape. */
  readonly room: number
  readonly #keys: readonly Buffer[]
  readonly #words: readonly Int32Array[]
  // Positions of the keys of each length, so that most keys of an application are dismissed by their length alone.
  readonly #byLength: readonly (readonly number[])[]
  /** The position of the empty key, which is that of an attribute without a key; normally -1. */
  readonly #unnamed: number
  readonly #pair = new Reader()
  readonly #any = new Reader()

  constructor(keys: readonly string[]) {
    this.type = new Uint8Array(keys.length)
    this.start = new Uint32Array(keys.length)
    this.end = new Uint32Array(keys.length)
    this.room = SPAN_RECORD + ATTRIBUTE_RECORD * keys.length
    this.#unnamed = keys.indexOf('')
    this.#keys = keys.map(key => Buffer.from(key))
    this.#words = this.#keys.map(wordsFromEnd)
    for (const { length } of this.#keys) this.lengths[length] = 1
    const longest = Math.max(0, ...this.#keys.map(key => key.length))
    this.#byLength = Array.from({ length: longest + 1 }, (_, length) =>
      [...this.#keys.keys()].filter(position => this.#keys[position]!.length === length),
    )
  }

  clear(): void {
    for (let i = 0; i < this.type.length; i++) this.type[i] = ABSENT
  }

  /** Of a key that occurs twice the first one holds, as in the Collector. */
  set(slot: number, type: number, start: number, end: number): void {
    if (this.type[slot] !== ABSENT) return
    const empty = type === STRING && start === end
    this.type[slot] = type
    this.start[slot] = empty ? 0 : start
    this.end[slot] = empty ? 0 : end
  }

  /** The same message stands elsewhere now. */
  move(by: number): void {
    for (let i = 0; i < this.type.length; i++) {
      if (this.end[i] === 0) continue
      this.start[i]! += by
      this.end[i]! += by
    }
  }

  /**
   * The position of the key, or -1. It is compared by four bytes at once, from its end, where keys differ most
   * ("http.request.method", "http.response.status"): 10 % of the walk (bench row decode). At least four bytes can be read.
   */
  find(data: DataView, start: number, length: number): number {
    const candidates = this.#byLength[length]
    if (candidates === undefined) return -1
    for (let i = 0; i < candidates.length; i++) {
      const words = this.#words[candidates[i]!]!
      let word = 0
      let at = length - 4
      for (; at > 0 && words[word] === data.getInt32(start + at, true); at -= 4) word++
      if (at > 0) continue
      const first = data.getInt32(start, true)
      if (words[word] === (length < 4 ? first & ((1 << (8 * length)) - 1) : first)) return candidates[i]!
    }
    return -1
  }

  /** True if a checked KeyValue has a wanted key and a value. Both come in either order, and the last of each holds. */
  read(bytes: Buffer, start: number, end: number): boolean {
    let slot = this.#unnamed
    this.kind = ABSENT
    const pair = this.#pair.over(bytes, start, end)
    while (pair.next())
      if (pair.tag === field(1, LENGTH)) slot = this.#search(bytes, pair.start, pair.end)
      else if (pair.tag === field(2, LENGTH)) this.#value(bytes, pair.start, pair.end)
    this.slot = slot
    return slot >= 0 && this.kind !== ABSENT
  }

  #search(bytes: Buffer, start: number, end: number): number {
    const candidates = this.#byLength[end - start] ?? []
    return candidates.find(each => this.#keys[each]!.compare(bytes, start, end) === 0) ?? -1
  }

  /** Which member of the AnyValue is set: the last one. A piece that sets nothing leaves the one before. */
  #value(bytes: Buffer, start: number, end: number): void {
    const any = this.#any.over(bytes, start, end)
    while (any.next()) {
      const kind = KINDS[any.tag] ?? ABSENT
      if (kind === ABSENT) continue
      this.kind = kind
      this.from = kind === STRING ? any.start : start
      this.to = kind === STRING ? any.end : end
    }
  }
}

/** The words of a key as `find` compares them: the last one first, and the first one even if it overlaps the second. */
function wordsFromEnd(key: Buffer): Int32Array {
  const words: number[] = []
  for (let at = key.length - 4; at > 0; at -= 4) words.push(key.readInt32LE(at))
  words.push(Buffer.concat([key, Buffer.alloc(4)]).readInt32LE(0))
  return Int32Array.from(words)
}

/** The type of an AnyValue by the tag of its member. */
const KINDS: Readonly<Record<number, number>> = {
  10: STRING,
  16: BOOL,
  24: INT,
  33: DOUBLE,
  42: OTHER,
  50: OTHER,
  58: OTHER,
  64: OTHER,
}
