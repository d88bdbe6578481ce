// Operators on two values. The rules are those of Tempo's engine: a missing value makes every comparison false;
// values of types that do not fit are not equal and not unequal either; integers, floats and durations compare by value; an
// array fits if any element does, for `!=` and `!~` if all do.

import { compareText, FALSE, float, type Int, int, isNumeric, NIL, type Static, TRUE, type Type } from './static.ts'
import type { FieldOperator } from './tree.ts'

const ORDER = ['<', '<=', '>', '>=']
const EQUALITY = ['=', '!=']
const LOGIC = ['&&', '||']
const REGEX = ['=~', '!~']
const ARITHMETIC = ['+', '-', '*', '/', '%', '^']

/** Whether the operator yields true or false. */
export function isBoolean(operator: FieldOperator): boolean {
  return !ARITHMETIC.includes(operator)
}

/** Whether values of these types can stand on the two sides of an operator at all. */
export function typesFit(a: Type, b: Type): boolean {
  if (a === 'attribute' || b === 'attribute' || a === b) return true
  return (isNumeric(a) && isNumeric(b)) || a === 'nil' || b === 'nil'
}

/** Whether the operator takes a value of this type. */
export function takes(operator: FieldOperator, type: Type): boolean {
  switch (type) {
    case 'attribute':
      return true
    case 'boolean':
      return LOGIC.includes(operator) || EQUALITY.includes(operator)
    case 'int':
    case 'float':
    case 'duration':
      return ARITHMETIC.includes(operator) || EQUALITY.includes(operator) || ORDER.includes(operator)
    case 'string':
      return EQUALITY.includes(operator) || ORDER.includes(operator) || REGEX.includes(operator)
    default:
      return EQUALITY.includes(operator)
  }
}

/** Any operator but those of regular expressions, which are compiled first. Nil where there is no answer. */
export function operate(operator: FieldOperator, a: Static, b: Static): Static {
  if (operator === '&&') return truth(isTrue(a) && isTrue(b))
  if (operator === '||') return truth(isTrue(a) || isTrue(b))
  if (ARITHMETIC.includes(operator)) return arithmetic(operator, a, b)
  return truth(compares(operator, a, b))
}

export function truth(value: boolean): Static {
  return value ? TRUE : FALSE
}

export function isTrue(value: Static): boolean {
  return value.type === 'boolean' && value.value
}

/** `=`, `!=`, `<`, `<=`, `>` and `>=`. */
export function compares(operator: FieldOperator, a: Static, b: Static): boolean {
  if (a.type === 'array') return inArray(a.value, operator, element => compares(operator, element, b))
  if (b.type === 'array') return inArray(b.value, operator, element => compares(operator, a, element))
  if (a.type === 'nil' || b.type === 'nil') return false
  if (isNumeric(a.type) && isNumeric(b.type)) return ordered(operator, numbers(a, b))
  if (a.type !== b.type) return false
  if (a.type === 'string') {
    if (operator === '=') return a.value === (b as { value: string }).value
    return ordered(operator, compareText(a.value, (b as { value: string }).value))
  }
  // Booleans, statuses and kinds have no order.
  if (operator === '=') return a.value === b.value
  return operator === '!=' && a.value !== b.value
}

/** Whether an array fits: any element, or all of them where the operator excludes. */
export function inArray(
  elements: readonly Static[],
  operator: FieldOperator,
  fits: (element: Static) => boolean,
): boolean {
  return operator === '!=' || operator === '!~' ? elements.every(fits) : elements.some(fits)
}

/** Negative, 0, positive; NaN if one side is no number. */
function numbers(a: Static, b: Static): number {
  if (a.type === 'float' || b.type === 'float') {
    const [x, y] = [float(a), float(b)]
    return x < y ? -1 : x > y ? 1 : x === y ? 0 : Number.NaN
  }
  const [x, y] = [(a as { value: Int }).value, (b as { value: Int }).value]
  return x < y ? -1 : x > y ? 1 : 0
}

/** With a comparison of NaN only `!=` is true. */
export function ordered(operator: FieldOperator, sign: number): boolean {
  switch (operator) {
    case '=':
      return sign === 0
    case '!=':
      return sign !== 0
    case '<':
      return sign < 0
    case '<=':
      return sign <= 0
    case '>':
      return sign > 0
    default:
      return sign >= 0
  }
}

function arithmetic(operator: FieldOperator, a: Static, b: Static): Static {
  if (a.type === 'int' && b.type === 'int') return integers(operator, a.value, b.value)
  if (!isNumeric(a.type) || !isNumeric(b.type)) return NIL
  const [x, y] = [float(a), float(b)]
  switch (operator) {
    case '+':
      return { type: 'float', value: x + y }
    case '-':
      return { type: 'float', value: x - y }
    case '*':
      return { type: 'float', value: x * y }
    case '/':
      return { type: 'float', value: x / y }
    case '%':
      return { type: 'float', value: x % y }
    default:
      return { type: 'float', value: x ** y }
  }
}

/** Whole numbers; a division cuts off, and by zero it has no result. */
function integers(operator: FieldOperator, x: Int, y: Int): Static {
  if ((operator === '/' || operator === '%') && Number(y) === 0) return NIL
  if (operator === '^') return power(x, y)
  if (typeof x === 'number' && typeof y === 'number') {
    const value =
      operator === '+'
        ? x + y
        : operator === '-'
          ? x - y
          : operator === '*'
            ? x * y
            : operator === '/'
              ? Math.trunc(x / y)
              : x % y
    // + 0 makes a zero of a negative one.
    if (Number.isSafeInteger(value)) return { type: 'int', value: value + 0 }
  }
  const [a, b] = [BigInt(x), BigInt(y)]
  const value =
    operator === '+' ? a + b : operator === '-' ? a - b : operator === '*' ? a * b : operator === '/' ? a / b : a % b
  return { type: 'int', value: int(value) }
}

function power(x: Int, y: Int): Static {
  const value = Number(x) ** Number(y)
  return Number.isSafeInteger(value) ? { type: 'int', value: value + 0 } : { type: 'float', value }
}

/** The sign before a field. Nil for what is no number. */
export function negate(value: Static): Static {
  switch (value.type) {
    case 'float':
      return { type: 'float', value: -value.value }
    case 'int':
    case 'duration':
      if (typeof value.value === 'number') return { type: value.type, value: 0 - value.value }
      return { type: value.type, value: int(-value.value) }
    default:
      return NIL
  }
}
