// The numbers of label sets, for those who are shown a span later (`SpanView.operation`): a slot is used again when its label
// set has expired, and a number never is.

import type { SeriesTable } from '../../metrics/table.ts'

/** The last number that was given: of all tables, so that no two give the same. */
let last = 0
const LARGEST = 2 ** 31 - 1

export class Numbers {
  #numbers: Int32Array

  constructor(table: SeriesTable) {
    this.#numbers = new Int32Array(table.capacity)
    table.join(this)
  }

  /** 0 if it was given none: a label set that stands for several operations, or none at all. */
  of(slot: number): number {
    return this.#numbers[slot]!
  }

  /** Gives the label set of a slot a number, if it has none and they have not all been given. */
  give(slot: number): void {
    if (this.#numbers[slot] !== 0 || last === LARGEST) return
    last++
    this.#numbers[slot] = last
  }

  grow(capacity: number): void {
    const larger = new Int32Array(capacity)
    larger.set(this.#numbers)
    this.#numbers = larger
  }

  clear(slot: number): void {
    this.#numbers[slot] = 0
  }
}
