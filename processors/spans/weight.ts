// Counting a span as the number of spans it stands for. A caller from outside may have written the tracestate that says so,
// since SDKs copy it, so what it can add is bounded twice.
//
// The counts of a label set stay whole numbers, as counters of things should be, and their total stays within 1 of the sum
// of the weights: what is cut off is carried to the next span.

import type { SeriesTable } from '../../metrics/table.ts'
import { adjustedCount } from '../../otlp/trace-state.ts'
import type { SpanView } from '../../telemetry/consumer.ts'

/** The number of spans that all spans of one resource may stand for in one request. */
const RESOURCE_BUDGET = 1_000_000

export class Weights {
  /** Spans that counted once: they claimed more than one may, or their resource had spent its budget. */
  readonly exceeded = { span: 0, resource: 0 }
  /** The most that one span may stand for. */
  readonly #limit: number
  #left = RESOURCE_BUDGET
  #resource = -1

  constructor(limit: number) {
    this.#limit = limit
  }

  begin(): void {
    // Serial numbers are unique only within one request.
    this.#resource = -1
  }

  /** The number of spans that the one at hand counts for; 1 if it claims too much. */
  of(view: SpanView): number {
    if (view.traceStateEnd === 0) return 1
    const weight = adjustedCount(view.bytes, view.traceStateStart, view.traceStateEnd)
    if (weight === 1) return 1
    if (weight > this.#limit) {
      this.exceeded.span++
      return 1
    }
    if (view.resourceSerial !== this.#resource) {
      this.#resource = view.resourceSerial
      this.#left = RESOURCE_BUDGET
    }
    if (weight > this.#left) {
      this.exceeded.resource++
      return 1
    }
    this.#left -= weight
    return weight
  }
}

/** A column with the fraction that each label set of a table has yet to count. */
export class Carry {
  #fractions: Float64Array

  constructor(table: SeriesTable) {
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

  /** The times to count a span of this weight in this label set: at least once. */
  times(slot: number, weight: number): number {
    if (weight === 1) return 1
    const due = this.#fractions[slot]! + weight
    const whole = Math.floor(due)
    this.#fractions[slot] = due - whole
    return whole
  }
}
