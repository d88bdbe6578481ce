// Which lines belong to the record before: stack traces, and whatever else is indented; or all that does not match a pattern.

import type { Expression } from '../../options/expression.ts'

/** At most so many lines make one record. */
export const MOST_LINES = 500
/** The longest beginning of a line that a pattern is matched with. */
const HEAD = 1024

export type Continues = (bytes: Buffer, start: number, end: number) => boolean | undefined

const CAUSED = Buffer.from('Caused by')
const AT = Buffer.from('at ')
const DOTS = Buffer.from('... ')
const TRACEBACK = Buffer.from('Traceback (')

/**
 * Whether what begins between the offsets continues the record before; undefined if there are too few bytes to tell. The line
 * may not be complete.
 */
export function continues(bytes: Buffer, start: number, end: number): boolean | undefined {
  if (start >= end) return undefined
  switch (bytes[start]) {
    case 9:
    case 32:
      return true
    case 67:
      return begins(bytes, start, end, CAUSED)
    case 97:
      return begins(bytes, start, end, AT)
    case 46:
      return begins(bytes, start, end, DOTS)
    case 84:
      return begins(bytes, start, end, TRACEBACK)
    default:
      return false
  }
}

/** Python ends a stack trace with the exception, which is not indented: the line after an indented one. */
export function endsTraceback(bytes: Buffer, record: number, last: number): boolean {
  if (bytes[last] !== 32) return false
  const lines = bytes.subarray(record, last)
  return lines.indexOf(TRACEBACK) >= 0
}

/** Records begin with a line that matches. */
export function startsWith(pattern: Expression): Continues {
  return (bytes, start, end) => {
    const newline = bytes.subarray(start, end).indexOf(10)
    if (newline < 0) return undefined
    return !pattern.test(bytes.toString('utf8', start, Math.min(start + newline, start + HEAD)))
  }
}

function begins(bytes: Buffer, start: number, end: number, word: Buffer): boolean | undefined {
  const length = Math.min(word.length, end - start)
  if (bytes.compare(word, 0, length, start, start + length) !== 0) return false
  return length === word.length ? true : undefined
}
