// Counting a span as the number of spans it stands for. The counts of a label set stay whole numbers, as counters of
// things should be, and their total stays within 1 of the sum of the weights: what is cut off is carried to the next span.

import type { SeriesTable } from '../../exporter/metrics.ts'

/**
 * How often a histogram may be added to on behalf of others during one request, about 10 ms. A span may claim to stand for
 * 2^56 others; beyond this it counts once.
 */
export const BUDGET = 1_000_000

/** What is left of the work of one request. */
export class Budget {
  /** Spans that counted once because their weight was beyond the budget. */
  exceeded = 0
  #left = BUDGET

  refill(): void {
    this.#left = BUDGET
  }

  take(times: number): boolean {
    if (times <= this.#left) {
      this.#left -= times
      return true
    }
    this.exceeded++
    return false
  }
}

/** A column with the fraction that each label set of a table has yet to count. */
export class Carry {
  readonly #budget: Budget
  #fractions: Float64Array

  constructor(table: SeriesTable, budget: Budget) {
    this.#budget = budget
    this.#fractions = new Float64Array(table.capacity)
    table.join(this)
  }

  grow(capacity: number): void {
    const larger = new Float64Array(capacity)
    larger.set(this.#fractions)
    this.#fractions = larger
  }

  clear(slot: number): void {
    this.#fractions[slot] = 0
  }

  /** How often to count a span of this weight in this label set: at least once. */
  times(slot: number, weight: number): number {
    if (weight === 1) return 1
    if (!this.#budget.take(weight)) return 1
    const due = this.#fractions[slot]! + weight
    const whole = Math.floor(due)
    this.#fractions[slot] = due - whole
    return whole
  }
}
