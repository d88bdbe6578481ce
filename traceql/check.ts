// The check of one value by a filter: a comparison with a constant, or a regular expression. Values are looked at where
// they stand; texts are decoded only for regular expressions and for what was decoded already, such as the names of
// services.

import { BOOL, DOUBLE, INT, OTHER, STRING } from '../telemetry/attribute.ts'
import type { Matcher } from './matcher.ts'
import { compares, ordered } from './operate.ts'
import type { Value } from './reading.ts'
import { float, type Int, int, isNumeric, NIL, type Static } from './static.ts'
import type { Comparison, FieldOperator } from './tree.ts'

export interface Check {
  value(value: Value): boolean
  text(text: string): boolean
}

/** `!=` and `!~` ask all elements of an array, the others any. */
function overArrays(operator: FieldOperator, one: (value: Value) => boolean): (value: Value) => boolean {
  const all = operator === '!=' || operator === '!~'
  return value => {
    if (value.type !== OTHER || !value.isArray) return one(value)
    let answer = all
    value.elements(element => {
      if (one(element) === all) return true
      answer = !all
      return false
    })
    return answer
  }
}

/** A comparison with a constant on its right. */
export function comparison(operator: Comparison, constant: Static): Check {
  const text = (text: string): boolean => compares(operator, { type: 'string', value: text }, constant)
  return { value: overArrays(operator, single(operator, constant)), text }
}

function single(operator: Comparison, constant: Static): (value: Value) => boolean {
  switch (constant.type) {
    case 'string':
      return strings(operator, constant.value)
    case 'boolean': {
      const equal = constant.value === (operator === '=')
      return value => value.type === BOOL && value.bool() === equal
    }
    case 'int':
    case 'float':
    case 'duration':
      return numbers(operator, constant)
    default:
      // Attributes are never nil when they are there, and have no statuses and kinds.
      return () => false
  }
}

function strings(operator: Comparison, constant: string): (value: Value) => boolean {
  const bytes = Buffer.from(constant)
  if (operator === '=') return value => (value.type === OTHER ? value.text() === constant : value.equals(bytes))
  return value => {
    if (value.type === STRING)
      return ordered(operator, value.bytes.compare(bytes, 0, bytes.length, value.start, value.end))
    return value.type === OTHER && compares(operator, read(value), { type: 'string', value: constant })
  }
}

function numbers(operator: Comparison, constant: Static & { value: number | Int }): (value: Value) => boolean {
  const number = float(constant)
  const whole = constant.type === 'float' ? undefined : constant.value
  return value => {
    if (value.type === DOUBLE) return ordered(operator, sign(value.number(), number))
    if (value.type !== INT) return false
    const own = value.number()
    // Beyond 2^53 the double is rounded, and so is the comparison.
    if (whole !== undefined && !(Number.isSafeInteger(own) && typeof whole === 'number'))
      return compares(operator, { type: 'int', value: int(value.integer()) }, { type: 'int', value: whole })
    return ordered(operator, sign(own, number))
  }
}

export function sign(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : a === b ? 0 : Number.NaN
}

export function regular(operator: '=~' | '!~', match: Matcher): Check {
  const wanted = operator === '=~'
  const text = (text: string): boolean => match(text) === wanted
  return { value: overArrays(operator, value => value.type === STRING && text(value.text())), text }
}

/** Whether it is there, whatever it is. */
export const PRESENT: Check = { value: () => true, text: () => true }

/** Whether it is exactly true, or exactly false. */
export function truth(wanted: boolean): Check {
  return { value: value => value.type === BOOL && value.bool() === wanted, text: () => false }
}

/** The value, decoded. Bytes and lists of keys and values become text, as OpenTelemetry writes them. */
export function read(value: Value): Static {
  switch (value.type) {
    case STRING:
      return { type: 'string', value: value.text() }
    case BOOL:
      return { type: 'boolean', value: value.bool() }
    case INT: {
      const number = value.number()
      return { type: 'int', value: Number.isSafeInteger(number) ? number : int(value.integer()) }
    }
    case DOUBLE:
      return { type: 'float', value: value.number() }
    case OTHER: {
      if (!value.isArray) return { type: 'string', value: value.text() }
      const elements: Static[] = []
      value.elements(element => {
        elements.push(element.isArray ? { type: 'string', value: element.text() } : read(element))
        return true
      })
      return { type: 'array', value: elements }
    }
    default:
      return NIL
  }
}

/** Whether the constant is a number or a duration. */
export function isNumber(constant: Static): constant is Static & { value: Int } {
  return isNumeric(constant.type)
}
