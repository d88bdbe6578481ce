// Fields: the expressions in the braces of a filter, and in the parentheses of aggregates and `by`. Two things differ
// from other languages: `&&` and `||` bind equally, from left to right; and a minus sign in front of a field binds as
// loosely as a subtraction, so `-.a * 2` is `-(.a * 2)`.

import { INNER, NOT, OR, POWER, PRODUCT, SUM } from './precedence.ts'
import { Fault } from './refusal.ts'
import { FALSE, type Static } from './static.ts'
import type { Attribute, Constant, Field, FieldOperator, Intrinsic } from './tree.ts'
import type { WordReader } from './word-reader.ts'

/** The names of intrinsics that need no scope, and what follows a scope with a colon. */
const BARE = new Map<string, Intrinsic>(
  (
    [
      'duration name status statusMessage kind parent rootName rootServiceName traceDuration',
      'nestedSetLeft nestedSetRight nestedSetParent',
    ].join(' ') as string
  )
    .split(' ')
    .map(name => [name, name as Intrinsic]),
)
const SCOPED: ReadonlyMap<string, ReadonlyMap<string, Intrinsic>> = new Map([
  [
    'trace:',
    new Map<string, Intrinsic>([
      ['duration', 'traceDuration'],
      ['rootName', 'rootName'],
      ['rootService', 'rootServiceName'],
      ['id', 'trace:id'],
    ]),
  ],
  [
    'span:',
    new Map<string, Intrinsic>([
      ['duration', 'duration'],
      ['name', 'name'],
      ['kind', 'kind'],
      ['status', 'status'],
      ['statusMessage', 'statusMessage'],
      ['id', 'span:id'],
      ['parentID', 'span:parentID'],
      ['childCount', 'span:childCount'],
    ]),
  ],
  [
    'event:',
    new Map<string, Intrinsic>([
      ['name', 'event:name'],
      ['timeSinceStart', 'event:timeSinceStart'],
    ]),
  ],
  [
    'link:',
    new Map<string, Intrinsic>([
      ['traceID', 'link:traceID'],
      ['spanID', 'link:spanID'],
    ]),
  ],
  [
    'instrumentation:',
    new Map<string, Intrinsic>([
      ['name', 'instrumentation:name'],
      ['version', 'instrumentation:version'],
    ]),
  ],
])

export class FieldParser {
  readonly #words: WordReader

  constructor(words: WordReader) {
    this.#words = words
  }

  field(least = OR): Field {
    let left = this.#primary()
    for (;;) {
      const word = this.#words.word
      const binds = word.type === 'mark' ? INNER.get(word.text) : undefined
      if (word.type !== 'mark' || binds === undefined || binds < least) return left
      const operator = word.text as FieldOperator
      this.#words.next()
      this.#words.part()
      if (this.#words.is('nil') && (operator === '=' || operator === '!=')) {
        this.#words.next()
        left = { kind: 'unary', operator: operator === '=' ? 'absent' : 'exists', field: left, at: word.at }
        continue
      }
      const right = this.field(binds === POWER ? binds : binds + 1)
      left = { kind: 'binary', operator, left, right, at: word.at }
    }
  }

  #primary(): Field {
    const { at } = this.#words.word
    if (this.#words.take('('))
      return this.#words.deeper(() => {
        const field = this.field()
        this.#words.expect(')')
        return field
      })
    if (this.#words.take('-'))
      return { kind: 'unary', operator: '-', field: this.#words.deeper(() => this.field(NOT)), at }
    if (this.#words.take('!'))
      return { kind: 'unary', operator: '!', field: this.#words.deeper(() => this.field(PRODUCT)), at }
    if (this.#words.take('nil')) return this.#nil(at)
    const value = this.#words.static()
    if (value) return { kind: 'constant', value, at }
    return this.attribute('an attribute, an intrinsic such as duration, or a constant')
  }

  /** An expression that begins with nil: it can only be compared. */
  #nil(at: number): Field {
    const operator = this.#words.text()
    if (!this.#words.take('=', '!=')) throw this.#words.unexpected('= or != behind nil')
    const constant = (value: Static): Constant => ({ kind: 'constant', value, at })
    if (this.#words.take('nil')) return constant(FALSE)
    const field = this.#words.deeper(() => this.field(SUM))
    return { kind: 'unary', operator: operator === '=' ? 'absent' : 'exists', field, at }
  }

  attribute(expected = 'an attribute such as span.http.route'): Attribute {
    const word = this.#words.word
    const { at } = word
    if (word.type === 'attribute') {
      this.#words.next()
      const { scope, parent, name } = word
      return { kind: 'attribute', scope, parent, name, at }
    }
    if (word.type === 'mark') {
      const bare = BARE.get(word.text)
      if (bare) {
        this.#words.next()
        return { kind: 'intrinsic', name: bare, at }
      }
      if (word.text === 'childCount') throw new Fault(at, 'childCount is written span:childCount')
      const scope = SCOPED.get(word.text)
      if (scope) {
        this.#words.next()
        const name = scope.get(this.#words.text())
        if (!name) throw this.#words.unexpected(`one of ${[...scope.keys()].join(', ')} behind ${word.text}`)
        this.#words.next()
        return { kind: 'intrinsic', name, at }
      }
    }
    if (word.type === 'name')
      throw new Fault(at, `unknown word ${word.text}; attributes are written .${word.text} or span.${word.text}`)
    throw this.#words.unexpected(expected)
  }
}
