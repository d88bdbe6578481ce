// The words of a query, read one after the other by the parsers of pipelines and of fields, within the limits on a
// query.

import { LIMITS } from './limits.ts'
import { Fault } from './refusal.ts'
import { FALSE, KINDS, MAX_INT, MIN_INT, STATUSES, type Static, TRUE } from './static.ts'
import { type Word, words } from './words.ts'

export class WordReader {
  readonly #source: string
  readonly #words: readonly Word[]
  #position = 0
  #depth = 0
  #parts = 0

  constructor(source: string) {
    this.#source = source
    this.#words = words(source)
  }

  get word(): Word {
    return this.#words[this.#position]!
  }

  /** The text of a keyword or an operator, '' for other words. */
  text(): string {
    const word = this.word
    return word.type === 'mark' ? word.text : ''
  }

  is(...texts: readonly string[]): boolean {
    const word = this.word
    return word.type === 'mark' && texts.includes(word.text)
  }

  take(...texts: readonly string[]): boolean {
    const is = this.is(...texts)
    if (is) this.next()
    return is
  }

  expect(text: string): void {
    if (!this.take(text)) throw this.unexpected(text)
  }

  next(): void {
    this.#position++
  }

  unexpected(expected: string): Fault {
    const { type, at, end } = this.word
    const found = this.#source.slice(at, Math.min(end, at + 40))
    return new Fault(at, `${type === 'end' ? 'the query ends' : `unexpected ${found}`}; expected ${expected}`)
  }

  /** Throws unless all words have been read. */
  end(expected: string): void {
    if (this.word.type !== 'end') throw this.unexpected(expected)
  }

  // Constants

  /** A constant; undefined if there is none here. */
  static(): Static | undefined {
    const word = this.word
    if (word.type === 'string') {
      this.next()
      return { type: 'string', value: word.value }
    }
    if (this.isNumber()) return this.number()
    const value = word.type === 'mark' || word.type === 'name' ? CONSTANTS.get(word.text) : undefined
    if (value) this.next()
    return value
  }

  isNumber(): boolean {
    return ['int', 'float', 'duration'].includes(this.word.type)
  }

  /** A constant that is a number, without a sign. */
  number(durations = true): Static {
    const word = this.word
    if (word.type === 'float') {
      this.next()
      return { type: 'float', value: word.value }
    }
    if (word.type !== 'int' && !(durations && word.type === 'duration')) throw this.unexpected('a number')
    this.next()
    return { type: word.type, value: word.value }
  }

  /** A number without a sign or a point. */
  whole(): bigint {
    const word = this.word
    if (word.type !== 'int') throw this.unexpected('a whole number')
    this.next()
    return BigInt(word.value)
  }

  // Limits

  /** Reads something nested. */
  deeper<T>(inside: () => T): T {
    if (++this.#depth > LIMITS.depth)
      throw new Fault(this.word.at, `the query is nested more than ${LIMITS.depth} levels deep`)
    const result = inside()
    this.#depth--
    return result
  }

  /** Counts an operator, a stage or an item of a list. */
  part(): void {
    if (++this.#parts > LIMITS.parts)
      throw new Fault(this.word.at, `the query has more than ${LIMITS.parts} operators, stages and list items`)
  }
}

/** The keywords that are values. */
const CONSTANTS = new Map<string, Static>([
  ['true', TRUE],
  ['false', FALSE],
  ...STATUSES.map(value => [value, { type: 'status', value }] as const),
  ...KINDS.map(value => [value, { type: 'kind', value }] as const),
  ['minInt', { type: 'int', value: MIN_INT }],
  ['maxInt', { type: 'int', value: MAX_INT }],
])
