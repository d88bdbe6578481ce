// The time axis of metrics. Intervals are open on the left and closed on the right, (t − step, t], and carry the time of their
// end. The range is widened to whole steps, by one more at its beginning, so that answers do not change with every refresh.
// An instant query has one interval over its whole range, with both ends.

import { BadQuery, type Cursor } from './reading.ts'
import type { MetricsLimits } from './results.ts'

/** Samples of one series. */
const MOST_INTERVALS = 11_000

export class Intervals {
  readonly count: number
  readonly instant: boolean
  /** The length of one interval, in seconds: what a rate is divided by. */
  readonly seconds: number
  readonly #start: bigint
  readonly #end: bigint
  readonly #step: bigint
  readonly #startSeconds: number
  /** The distance from a boundary, in steps, within which the rounded seconds of a span cannot tell its side. */
  readonly #near: number

  constructor({ from, to, step }: MetricsLimits) {
    if (step <= 0n || to <= from)
      throw new BadQuery('the end of the range must be after its start, and the step above 0')
    this.instant = to - from === step
    this.#step = step
    const down = from - (from % step)
    this.#start = this.instant ? from : down > step ? down - step : down
    this.#end = this.instant || to % step === 0n ? to : to - (to % step) + step
    const count = (this.#end - this.#start) / step
    if (count > MOST_INTERVALS)
      throw new BadQuery(`the range has ${count} steps; ${MOST_INTERVALS} are allowed: use a longer step`)
    this.count = this.instant ? 1 : Number(count)
    this.seconds = Number(step) / 1e9
    this.#startSeconds = Number(this.#start) / 1e9
    this.#near = 2e-6 / this.seconds
  }

  /** The interval in which the span starts, -1 for none. */
  of(cursor: Cursor): number {
    const steps = (cursor.startSeconds - this.#startSeconds) / this.seconds
    if (steps < -this.#near || steps > this.count + this.#near) return -1
    if (this.instant) return this.#exactly(cursor)
    const boundary = Math.round(steps)
    return Math.abs(steps - boundary) <= this.#near ? this.#exactly(cursor) : Math.floor(steps)
  }

  /** The time that the samples of an interval carry, in milliseconds since the epoch. */
  ms(interval: number): number {
    return Number((this.#start + this.#step * BigInt(interval + 1)) / 1_000_000n)
  }

  #exactly(cursor: Cursor): number {
    const start = cursor.startNanos()
    if (this.instant) return start >= this.#start && start <= this.#end ? 0 : -1
    const after = start - this.#start
    return after <= 0n || start > this.#end ? -1 : Number((after - 1n) / this.#step)
  }
}

/** The step if the query names none: about 240 samples, on a round number of seconds or of 50 milliseconds. */
export function defaultStep(from: bigint, to: bigint): bigint {
  const range = to - from
  const share = range / 240n
  const round = (unit: bigint): bigint => (share / unit) * unit
  const second = 1_000_000_000n
  if (range < 60n * second) {
    const least = 50_000_000n
    return share > least ? round(least) : least
  }
  for (const seconds of [3600n, 300n, 60n, 15n, 5n, 1n]) if (share > seconds * second) return round(seconds * second)
  return second
}
