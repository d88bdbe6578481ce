// The series of blame: seconds and requests by service, operation and cause.

import type { CounterColumn } from '../../metrics/columns.ts'
import { OVERFLOW, type SeriesTable } from '../../metrics/table.ts'
import type { Operation } from '../../telemetry/operation.ts'
import type { Verdict } from './judge.ts'

export class Tally {
  readonly #table: SeriesTable
  readonly #columns: { readonly seconds: CounterColumn; readonly requests: CounterColumn }
  /** The slots of each operation by cause, until one expires. */
  #known = new WeakMap<Operation, Map<string, number>>()
  #expired = 0

  constructor(table: SeriesTable, columns: { readonly seconds: CounterColumn; readonly requests: CounterColumn }) {
    this.#table = table
    this.#columns = columns
  }

  /** The operation is the same object for the same words, mostly. */
  add(operation: Operation, { cause, parts }: Verdict): void {
    if (this.#table.expired !== this.#expired) {
      this.#expired = this.#table.expired
      this.#known = new WeakMap()
    }
    let slots = this.#known.get(operation)
    if (!slots) {
      slots = new Map()
      this.#known.set(operation, slots)
    }
    this.#columns.requests.add(this.#slot(slots, operation, cause), 1)
    for (const [each, ms] of parts) this.#columns.seconds.add(this.#slot(slots, operation, each), ms / 1000)
  }

  #slot(slots: Map<string, number>, operation: Operation, cause: string): number {
    const known = slots.get(cause)
    if (known === undefined) {
      const slot = this.#search([operation.service, operation.name, cause])
      // A cause without room now may find some later.
      if (slot !== OVERFLOW) slots.set(cause, slot)
      return slot
    }
    this.#table.touch(known)
    return known
  }

  #search(words: readonly [service: string, operation: string, cause: string]): number {
    const { symbols, full } = this.#table
    const found = words.map(word => {
      const bytes = Buffer.from(word)
      return full ? symbols.find(bytes, 0, bytes.length) : symbols.intern(bytes, 0, bytes.length)
    })
    return found.includes(-1) ? this.#table.overflow() : this.#table.slot(Uint32Array.from(found))
  }
}
