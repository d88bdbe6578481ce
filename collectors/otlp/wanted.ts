// Which attributes are looked for, and how a key is recognised without making text of it.

import type { AttributeView } from '../otlp.ts'

export const ABSENT = 0

/** Keys that are looked for, and where their values are in the message at hand. */
export class Wanted implements AttributeView {
  readonly type: Uint8Array
  readonly start: Uint32Array
  readonly end: Uint32Array
  /** The position of the empty key, which is that of an attribute without a key; normally -1. */
  readonly unnamed: number
  /** 1 at the length of each key. */
  readonly lengths = new Uint8Array(128)
  readonly #keys: readonly Buffer[]
  // Positions of the keys of each length, so that most keys of an application are dismissed by their length alone.
  readonly #byLength: readonly (readonly number[])[]

  constructor(keys: readonly string[]) {
    this.type = new Uint8Array(keys.length)
    this.start = new Uint32Array(keys.length)
    this.end = new Uint32Array(keys.length)
    this.unnamed = keys.indexOf('')
    this.#keys = keys.map(key => Buffer.from(key))
    for (const { length } of this.#keys) this.lengths[length] = 1
    const longest = Math.max(0, ...this.#keys.map(key => key.length))
    this.#byLength = Array.from({ length: longest + 1 }, (_, length) =>
      [...this.#keys.keys()].filter(position => this.#keys[position]!.length === length),
    )
  }

  clear(): void {
    for (let i = 0; i < this.type.length; i++) this.type[i] = ABSENT
  }

  /** The same message stands elsewhere now. */
  move(by: number): void {
    for (let i = 0; i < this.type.length; i++) {
      if (this.end[i] === 0) continue
      this.start[i]! += by
      this.end[i]! += by
    }
  }

  find(bytes: Buffer, start: number, end: number): number {
    const length = end - start
    if (length >= this.#byLength.length) return -1
    const candidates = this.#byLength[length]!
    for (let i = 0; i < candidates.length; i++) {
      const key = this.#keys[candidates[i]!]!
      // Keys differ most at their end ("http.request.method", "http.response.status").
      let at = length - 1
      while (at >= 0 && key[at] === bytes[start + at]) at--
      if (at < 0) return candidates[i]!
    }
    return -1
  }
}

/**
 * Fast path: an attribute as every SDK writes it (key, then value, both short) whose key has the length of no wanted key.
 * Most attributes end here.
 */
export function plainlyUnwanted(bytes: Buffer, start: number, end: number, lengths: Uint8Array): boolean {
  const length = bytes[start + 1]!
  const value = start + 2 + length
  return (
    bytes[start] === 0x0a &&
    length < 128 &&
    lengths[length] === 0 &&
    bytes[value] === 0x12 &&
    bytes[value + 1]! < 128 &&
    value + 2 + bytes[value + 1]! === end
  )
}
