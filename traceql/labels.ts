// Labels of series: each different value of a label gets a number, and each different combination of numbers is a series.
// Names and services, which the store numbers already, are looked up by those numbers.

import type { Facts, Fields, Read } from './field.ts'
import type { Cursor, Texts } from './reading.ts'
import { keyOf, type Static } from './static.ts'
import { attributeText } from './text.ts'
import type { Attribute } from './tree.ts'

export class Label {
  readonly key: string
  /** By their numbers. */
  readonly values: Static[] = []
  readonly #numbers = new Map<string, number>()
  readonly #read: Read
  /** Where the store has numbers for the texts of this attribute. */
  readonly #texts: ((cursor: Cursor) => { readonly texts: Texts; readonly number: number }) | undefined
  readonly #known: { readonly texts: Texts; generation: number; numbers: Int32Array }[] = []

  constructor(attribute: Attribute, fields: Fields) {
    this.key = attributeText(attribute)
    this.#read = fields.read(attribute)
    this.#texts = TEXTS[this.key]
  }

  /** The number of the span's value. */
  of(cursor: Cursor, facts: Facts): number {
    if (!this.#texts) return this.#number(this.#read(cursor, facts))
    const { texts, number } = this.#texts(cursor)
    let known = this.#known.find(each => each.texts === texts)
    if (!known) {
      known = { texts, generation: texts.generation, numbers: new Int32Array(64) }
      this.#known.push(known)
    }
    if (known.generation !== texts.generation) {
      known.generation = texts.generation
      known.numbers.fill(0)
    }
    if (number >= known.numbers.length) {
      const longer = new Int32Array(2 ** Math.ceil(Math.log2(number + 1)))
      longer.set(known.numbers)
      known.numbers = longer
    }
    const found = known.numbers[number]!
    if (found !== 0) return found - 1
    const fresh = this.#number(this.#read(cursor, facts))
    known.numbers[number] = fresh + 1
    return fresh
  }

  #number(value: Static): number {
    const key = keyOf(value)
    let number = this.#numbers.get(key)
    if (number === undefined) {
      number = this.values.push(value) - 1
      this.#numbers.set(key, number)
    }
    return number
  }
}

const TEXTS: Readonly<Record<string, (cursor: Cursor) => { readonly texts: Texts; readonly number: number }>> = {
  name: cursor => ({ texts: cursor.segment.names, number: cursor.name }),
  'resource.service.name': cursor => ({ texts: cursor.segment.services, number: cursor.service }),
}

/** Numbers combinations of numbers: follow one after another from `ROOT`. */
export class Combinations {
  /** Each is the number of one that goes before, and the last number. */
  readonly all: { readonly before: number; readonly last: number }[] = []
  readonly #numbers = new Map<number, number>()

  follow(before: number, last: number): number {
    const key = (before + 1) * 2 ** 26 + last
    let number = this.#numbers.get(key)
    if (number === undefined) {
      number = this.all.push({ before, last }) - 1
      this.#numbers.set(key, number)
    }
    return number
  }

  /** The numbers that led to a combination, first to last. */
  path(number: number): number[] {
    const path: number[] = []
    for (let at = number; at !== ROOT; at = this.all[at]!.before) path.unshift(this.all[at]!.last)
    return path
  }
}

export const ROOT = -1
