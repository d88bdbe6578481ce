// Why a query is not answered. The text is read by the person who wrote the query, so it names the place.

import { BadQuery } from './reading.ts'

/** A query that is refused: it is not TraceQL, its types do not fit, or it asks for something that is not supported. */
export class Refusal extends BadQuery {
  readonly line: number
  /** Counted in characters, from 1. */
  readonly column: number
  /** The fault, without the place. */
  readonly reason: string

  constructor(query: string, at: number, reason: string) {
    const before = query.slice(0, at)
    const line = before.split('\n').length
    const column = [...before.slice(before.lastIndexOf('\n') + 1)].length + 1
    super(`invalid TraceQL query: error at line ${line}, col ${column}: ${reason}`)
    this.line = line
    this.column = column
    this.reason = reason
  }
}

/** A fault at an offset of the query; whoever knows the query makes a `Refusal` of it. */
export class Fault extends Error {
  readonly at: number

  constructor(at: number, reason: string) {
    super(reason)
    this.at = at
  }
}
