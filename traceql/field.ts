// Fields as functions over a cursor. A filter is compiled once for each query; the common shape, an attribute or an
// intrinsic beside a constant, allocates nothing. Rarer shapes read both sides as values.

import { type Check, comparison, isNumber, PRESENT, read, regular, sign, truth } from './check.ts'
import type { Matcher } from './matcher.ts'
import { TextMemo } from './memo.ts'
import { compares, isTrue, negate, operate, ordered, truth as truthOf } from './operate.ts'
import { matches, typeOf } from './prepare.ts'
import type { Cursor, Trace } from './reading.ts'
import { FALSE, float, KINDS, NIL, STATUSES, type Static } from './static.ts'
import type { Attribute, Binary, Comparison, Field, FieldOperator, Intrinsic, Named, Unary } from './tree.ts'
import { AttributeValue, Key } from './value.ts'

/** The trace of the span at hand, for what only a trace can tell. */
export interface Facts {
  readonly trace: Trace
  /** The span's position in it. */
  position: number
  /** Empty while the root is not here. */
  readonly rootName: string
  readonly rootService: string
}

export type Test = (cursor: Cursor, facts: Facts) => boolean
export type Read = (cursor: Cursor, facts: Facts) => Static

const OF_TRACE = new Set<Intrinsic>([
  'rootName',
  'rootServiceName',
  'traceDuration',
  'nestedSetLeft',
  'nestedSetRight',
  'nestedSetParent',
  'span:childCount',
])

/** Whether the field can be known only with the whole trace at hand. */
export function needsTrace(field: Field): boolean {
  switch (field.kind) {
    case 'constant':
    case 'attribute':
      return false
    case 'intrinsic':
      return OF_TRACE.has(field.name)
    case 'unary':
      return needsTrace(field.field)
    case 'binary':
      return !asksForRoot(field) && (needsTrace(field.left) || needsTrace(field.right))
  }
}

/** `nestedSetParent < 0`, with which Grafana asks for root spans: the span itself says so. */
function asksForRoot({ operator, left, right }: Binary): boolean {
  if (left.kind !== 'intrinsic' || left.name !== 'nestedSetParent' || right.kind !== 'constant') return false
  const limit = float(right.value)
  return (operator === '<' && limit > -1 && limit <= 0) || ((operator === '=' || operator === '<=') && limit === -1)
}

/** Nanoseconds, roughly, for the order of `&&` and `||`. */
function cost(field: Field): number {
  switch (field.kind) {
    case 'constant':
      return 0
    case 'attribute':
      return field.scope === 'resource' && field.name === 'service.name' ? 3 : 80
    case 'intrinsic':
      return CHEAP.has(field.name) ? 3 : 80
    case 'unary':
      return cost(field.field)
    case 'binary':
      return cost(field.left) + cost(field.right) + (field.operator === '=~' || field.operator === '!~' ? 20 : 0)
  }
}

const CHEAP = new Set<Intrinsic>(['name', 'kind', 'status', 'duration', 'nestedSetParent'])

const MIRRORED: Readonly<Record<string, Comparison>> = { '<': '>', '<=': '>=', '>': '<', '>=': '<=' }

/** Makes functions of the fields of one query. They share values that are reused, so they are not to be called by each other. */
export class Fields {
  readonly #matchers: ReadonlyMap<string, Matcher>
  readonly #value = new AttributeValue()

  constructor(matchers: ReadonlyMap<string, Matcher>) {
    this.#matchers = matchers
  }

  /** Whether a span fulfils a field that is true or false. */
  test(field: Field): Test {
    switch (field.kind) {
      case 'constant': {
        const answer = isTrue(field.value)
        return () => answer
      }
      case 'attribute':
        return this.#holds(field, truth(true))
      case 'intrinsic':
        return () => false
      case 'unary':
        return this.#unary(field)
      case 'binary':
        return this.#binary(field)
    }
  }

  /**
   * Whether a span may be one of those that fulfil the field, as far as the span alone tells: what only its trace could tell
   * counts as true.
   */
  candidate(field: Field): Test {
    if (!needsTrace(field)) return this.test(field)
    if (field.kind !== 'binary' || (field.operator !== '&&' && field.operator !== '||')) return () => true
    const [first, second] = inOrder(field)
    return joined(field.operator, this.candidate(first), this.candidate(second))
  }

  // True or false

  #unary(field: Unary): Test {
    const { operator, field: inner } = field
    if (operator === 'exists') return this.#exists(inner)
    if (operator === 'absent') {
      const exists = this.#exists(inner)
      return (cursor, facts) => !exists(cursor, facts)
    }
    if (operator === '-') return () => false
    // A missing value has no opposite.
    if (inner.kind === 'attribute') return this.#holds(inner, truth(false))
    if (typeOf(inner) !== 'boolean') return () => false
    const test = this.test(inner)
    return (cursor, facts) => !test(cursor, facts)
  }

  #exists(field: Field): Test {
    if (field.kind === 'attribute') return this.#holds(field, PRESENT)
    if (field.kind === 'intrinsic') {
      if (field.name.startsWith('event:')) return cursor => cursor.hasEvents
      if (field.name.startsWith('link:')) return cursor => cursor.hasLinks
      return () => true
    }
    const value = this.read(field)
    return (cursor, facts) => value(cursor, facts).type !== 'nil'
  }

  #binary(field: Binary): Test {
    const { operator, left, right } = field
    if (operator === '&&' || operator === '||') {
      const [first, second] = inOrder(field)
      return joined(operator, this.test(first), this.test(second))
    }
    if (operator === '=~' || operator === '!~') {
      const match = this.#matchers.get(((right as { value: Static }).value as { value: string }).value)!
      const check = regular(operator, match)
      if (left.kind === 'attribute') return this.#holds(left, check)
      if (left.kind === 'intrinsic') return this.#intrinsic(left.name, operator, undefined, check)
      const value = this.read(left)
      return (cursor, facts) => matches(value(cursor, facts), operator, match)
    }
    if (left.kind === 'constant' && right.kind !== 'constant')
      return this.#binary({ ...field, operator: MIRRORED[operator] ?? operator, left: right, right: left })
    if (asksForRoot(field)) return cursor => cursor.isRoot
    if (right.kind === 'constant' && isComparison(operator)) {
      const check = comparison(operator, right.value)
      if (left.kind === 'attribute') return this.#holds(left, check)
      if (left.kind === 'intrinsic') return this.#intrinsic(left.name, operator, right.value, check)
    }
    return this.#compared(operator, left, right)
  }

  /** Two sides that are read as values. Of events and links any may fulfil it. */
  #compared(operator: FieldOperator, left: Field, right: Field): Test {
    const [many, other, mirrored] = this.#many(left)
      ? [this.#many(left)!, this.read(right), false]
      : [this.#many(right), this.read(left), true]
    if (many)
      return (cursor, facts) => {
        const value = other(cursor, facts)
        return many(cursor, each => (mirrored ? compares(operator, value, each) : compares(operator, each, value)))
      }
    const [a, b] = [this.read(left), this.read(right)]
    return (cursor, facts) => isTrue(operate(operator, a(cursor, facts), b(cursor, facts)))
  }

  /** Calls back with the values of an attribute of events or links until one fits; undefined for other fields. */
  #many(field: Field): ((cursor: Cursor, fits: (value: Static) => boolean) => boolean) | undefined {
    const value = this.#value
    if (field.kind === 'attribute' && (field.scope === 'event' || field.scope === 'link')) {
      const key = new Key(field.name)
      const events = field.scope === 'event'
      return (cursor, fits) => {
        if (!(events ? cursor.hasEvents : cursor.hasLinks)) return false
        for (const parts = events ? cursor.events() : cursor.links(); parts.next(); )
          if (parts.attribute(key, value) && fits(read(value))) return true
        return false
      }
    }
    if (field.kind !== 'intrinsic') return undefined
    switch (field.name) {
      case 'event:name':
        return (cursor, fits) => {
          if (!cursor.hasEvents) return false
          for (const parts = cursor.events(); parts.next(); )
            if (fits({ type: 'string', value: parts.name(value) ? value.text() : '' })) return true
          return false
        }
      case 'event:timeSinceStart':
        return (cursor, fits) => {
          if (!cursor.hasEvents) return false
          const start = cursor.startNanos()
          for (const parts = cursor.events(); parts.next(); )
            if (fits({ type: 'duration', value: Number(parts.timeNanos() - start) })) return true
          return false
        }
      case 'link:traceID':
        return (cursor, fits) => {
          if (!cursor.hasLinks) return false
          for (const parts = cursor.links(); parts.next(); )
            if (parts.traceId >= 0 && fits(hexadecimal(cursor, parts.traceId, 16))) return true
          return false
        }
      case 'link:spanID':
        return (cursor, fits) => {
          if (!cursor.hasLinks) return false
          for (const parts = cursor.links(); parts.next(); )
            if (parts.spanId >= 0 && fits(hexadecimal(cursor, parts.spanId, 8))) return true
          return false
        }
      default:
        return undefined
    }
  }

  /** Whether an attribute is there and its value, or one of its values, passes. */
  #holds({ scope, name }: Named, check: Check): Test {
    const key = new Key(name)
    const value = this.#value
    // The name of a service is kept with the span: it is never missing.
    const services = name === 'service.name' ? new TextMemo(check.text) : undefined
    const resource: Test = services
      ? cursor => services.holds(cursor.segment.services, cursor.service)
      : cursor => cursor.attribute('resource', key, value) && check.value(value)
    const event: Test = cursor => {
      if (!cursor.hasEvents) return false
      for (const parts = cursor.events(); parts.next(); )
        if (parts.attribute(key, value) && check.value(value)) return true
      return false
    }
    const link: Test = cursor => {
      if (!cursor.hasLinks) return false
      for (const parts = cursor.links(); parts.next(); )
        if (parts.attribute(key, value) && check.value(value)) return true
      return false
    }
    switch (scope) {
      case 'span':
      case 'instrumentation':
        return cursor => cursor.attribute(scope, key, value) && check.value(value)
      case 'resource':
        return resource
      case 'event':
        return event
      case 'link':
        return link
      default:
        // The first scope that has it decides.
        return (cursor, facts) => {
          if (cursor.attribute('span', key, value)) return check.value(value)
          if (services) return resource(cursor, facts)
          if (cursor.attribute('resource', key, value)) return check.value(value)
          if (cursor.hasEvents && cursor.attribute('event', key, value)) return event(cursor, facts)
          if (cursor.hasLinks && cursor.attribute('link', key, value)) return link(cursor, facts)
          return cursor.attribute('instrumentation', key, value) && check.value(value)
        }
    }
  }

  /** An intrinsic beside a constant, or undefined with a regular expression. */
  #intrinsic(name: Intrinsic, operator: FieldOperator, constant: Static | undefined, check: Check): Test {
    const number = NUMBERS[name]
    if (number && constant && isNumber(constant)) {
      const limit = float(constant)
      return (cursor, facts) => ordered(operator, sign(number(cursor, facts), limit))
    }
    if (name === 'name') {
      const names = new TextMemo(check.text)
      return cursor => names.holds(cursor.segment.names, cursor.name)
    }
    if (constant?.type === 'status' || constant?.type === 'kind') {
      const equal = operator === '='
      const wanted = constant.type === 'status' ? STATUSES.indexOf(constant.value) : KINDS.indexOf(constant.value)
      if (name === 'status') return cursor => (cursor.status === wanted) === equal
      return name === 'kind' ? cursor => (cursor.kind === wanted) === equal : () => false
    }
    const id = IDS[name]
    if (id && constant?.type === 'string' && (operator === '=' || operator === '!=')) {
      const equal = operator === '='
      const wanted = identifier(constant.value, id.size)
      return cursor => (wanted !== undefined && same(cursor.bytes, id.at(cursor), wanted)) === equal
    }
    const field: Attribute = { kind: 'intrinsic', name, at: 0 }
    const many = this.#many(field)
    if (many) {
      // Ids compare with zeros in front.
      const size = name === 'link:traceID' ? 32 : name === 'link:spanID' ? 16 : 0
      const padded =
        size && constant?.type === 'string' && (operator === '=' || operator === '!=')
          ? comparison(operator, { type: 'string', value: constant.value.toLowerCase().padStart(size, '0') })
          : check
      if (constant && isNumber(constant)) return cursor => many(cursor, each => compares(operator, each, constant))
      return cursor => many(cursor, each => each.type === 'string' && padded.text(each.value))
    }
    const value = this.read(field)
    if (!constant)
      return (cursor, facts) => {
        const text = value(cursor, facts)
        return text.type === 'string' && check.text(text.value)
      }
    return (cursor, facts) => compares(operator, value(cursor, facts), constant)
  }

  // Values

  /** The value of a field; nil if there is none. Of events and links the first. */
  read(field: Field): Read {
    switch (field.kind) {
      case 'constant': {
        const { value } = field
        return () => value
      }
      case 'attribute':
        return this.#attribute(field)
      case 'intrinsic':
        return this.#readIntrinsic(field.name)
      case 'unary': {
        if (field.operator !== '-') return this.#truth(field)
        const value = this.read(field.field)
        return (cursor, facts) => negate(value(cursor, facts))
      }
      case 'binary': {
        const { operator } = field
        if (!'+-*/%^'.includes(operator)) return this.#truth(field)
        const [left, right] = [this.read(field.left), this.read(field.right)]
        return (cursor, facts) => operate(operator, left(cursor, facts), right(cursor, facts))
      }
    }
  }

  #truth(field: Field): Read {
    const test = this.test(field)
    return (cursor, facts) => truthOf(test(cursor, facts))
  }

  #attribute({ scope, name }: Named): Read {
    const key = new Key(name)
    const value = this.#value
    const service: Read = cursor => ({ type: 'string', value: cursor.segment.services.text(cursor.service) })
    if (scope !== 'none') {
      if (scope === 'resource' && name === 'service.name') return service
      return cursor => (cursor.attribute(scope, key, value) ? read(value) : NIL)
    }
    return (cursor, facts) => {
      if (cursor.attribute('span', key, value)) return read(value)
      if (name === 'service.name') return service(cursor, facts)
      for (const each of FURTHER) if (cursor.attribute(each, key, value)) return read(value)
      return NIL
    }
  }

  #readIntrinsic(name: Intrinsic): Read {
    const number = NUMBERS[name]
    if (number) {
      const type = name === 'duration' || name === 'traceDuration' ? 'duration' : 'int'
      return (cursor, facts) => ({ type, value: number(cursor, facts) })
    }
    const field: Attribute = { kind: 'intrinsic', name, at: 0 }
    const many = this.#many(field)
    if (many)
      return cursor => {
        let first: Static = NIL
        many(cursor, each => {
          first = each
          return true
        })
        return first
      }
    const id = IDS[name]
    if (id)
      return cursor => {
        const at = id.at(cursor)
        return at < 0 ? { type: 'string', value: '' } : hexadecimal(cursor, at, id.size)
      }
    const value = this.#value
    const text = (there: boolean): Static => ({ type: 'string', value: there ? value.text() : '' })
    switch (name) {
      case 'name':
        return cursor => ({ type: 'string', value: cursor.segment.names.text(cursor.name) })
      case 'status':
        return cursor => ({ type: 'status', value: STATUSES[cursor.status] ?? 'unset' })
      case 'kind':
        return cursor => ({ type: 'kind', value: KINDS[cursor.kind] ?? 'unspecified' })
      case 'statusMessage':
        return cursor => text(cursor.statusMessage(value))
      case 'rootName':
        return (_, facts) => ({ type: 'string', value: facts.rootName })
      case 'rootServiceName':
        return (_, facts) => ({ type: 'string', value: facts.rootService })
      case 'instrumentation:name':
        return cursor => text(cursor.scopeName(value))
      case 'instrumentation:version':
        return cursor => text(cursor.scopeVersion(value))
      default:
        return () => FALSE
    }
  }
}

/** Where an unscoped attribute is looked for behind the span. */
const FURTHER = ['resource', 'event', 'link', 'instrumentation'] as const

const NUMBERS: Partial<Record<Intrinsic, (cursor: Cursor, facts: Facts) => number>> = {
  duration: cursor => cursor.durationNanos,
  traceDuration: (_, { trace }) => trace.durationNanos,
  nestedSetLeft: (_, { trace, position }) => trace.leftOf(position),
  nestedSetRight: (_, { trace, position }) => trace.rightOf(position),
  nestedSetParent: (_, { trace, position }) => trace.nestedParentOf(position),
  'span:childCount': (_, { trace, position }) => trace.childrenOf(position),
}

const IDS: Partial<Record<Intrinsic, { readonly size: number; at(cursor: Cursor): number }>> = {
  'trace:id': { size: 16, at: cursor => cursor.traceId },
  'span:id': { size: 8, at: cursor => cursor.spanId },
  'span:parentID': { size: 8, at: cursor => cursor.parentId },
}

function isComparison(operator: FieldOperator): operator is Comparison {
  return ['=', '!=', '<', '<=', '>', '>='].includes(operator)
}

/** The cheaper side first: the answer is the same. */
function inOrder({ left, right }: Binary): readonly [Field, Field] {
  return cost(right) < cost(left) ? [right, left] : [left, right]
}

function joined(operator: '&&' | '||', first: Test, second: Test): Test {
  return operator === '&&'
    ? (cursor, facts) => first(cursor, facts) && second(cursor, facts)
    : (cursor, facts) => first(cursor, facts) || second(cursor, facts)
}

function hexadecimal(cursor: Cursor, at: number, size: number): Static {
  return { type: 'string', value: cursor.bytes.toString('hex', at, at + size) }
}

/** The bytes of an id in hexadecimal digits, which may lack zeros in front; undefined if it is none. */
function identifier(text: string, size: number): Buffer | undefined {
  const digits = text.replace(/^0+(?=.)/, '').padStart(size * 2, '0')
  return /^[0-9a-f]+$/i.test(digits) && digits.length === size * 2 ? Buffer.from(digits, 'hex') : undefined
}

function same(bytes: Buffer, at: number, wanted: Buffer): boolean {
  if (at < 0) return false
  for (let i = wanted.length - 1; i >= 0; i--) if (bytes[at + i] !== wanted[i]) return false
  return true
}
