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

  /** 0 once two thousand million have been given. */
  of(slot: number): number {
    const number = this.#numbers[slot]!
    return number > 0 ? number : this.#give(slot)
  }

  grow(capacity: number): void {
    const larger = new Int32Array(capacity)
    larger.set(this.#numbers)
    this.#numbers = larger
  }

  clear(slot: number): void {
    this.#numbers[slot] = 0
  }

  #give(slot: number): number {
    if (last === LARGEST) return 0
    last++
    this.#numbers[slot] = last
    return last
  }
}
