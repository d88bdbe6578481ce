// Paces for the tests: they count steps instead of asking the clock.

import { setImmediate } from 'node:timers/promises'
import { type Pace, QueryStopped } from '../../../traceql/reading.ts'

export class Steps implements Pace {
  steps = 0
  turns = 0
  #next: number
  readonly #every: number
  readonly #most: number
  readonly #onTurn: () => void

  /** A turn after so many steps; the time is up after so many turns. */
  constructor(every = 10_000, most = Number.POSITIVE_INFINITY, onTurn: () => void = () => {}) {
    this.#every = every
    this.#next = every
    this.#most = most
    this.#onTurn = onTurn
  }

  due(): boolean {
    if (++this.steps < this.#next) return false
    this.#next += this.#every
    return true
  }

  async turn(): Promise<void> {
    if (++this.turns > this.#most) throw new QueryStopped('timeout', 'the query took too long')
    await setImmediate()
    this.#onTurn()
  }
}
