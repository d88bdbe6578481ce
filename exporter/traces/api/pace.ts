// The pace of a query: it works in slices of a few milliseconds, between which everything else has its turn, until it is done,
// its time is up, or its client has gone.

import { setImmediate as nextTurn } from 'node:timers/promises'

import type { Clock } from '../../../telemetry/host.ts'
import { type Pace, QueryStopped } from '../../../traceql/reading.ts'

/** Two queries run at a time; with both, and a slice of a scrape, the loop is held for less than 20 ms. */
const SLICE_MS = 5
/** Asking the clock costs as much as looking at several spans. */
const CALLS = 256

export class QueryPace implements Pace {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #signal: AbortSignal
  readonly #deadline: number
  readonly #timeoutMs: number
  #slice: number
  #calls = 0

  constructor(clock: Pick<Clock, 'monotonic'>, timeoutMs: number, signal: AbortSignal) {
    this.#clock = clock
    this.#signal = signal
    this.#timeoutMs = timeoutMs
    const now = clock.monotonic()
    this.#deadline = now + timeoutMs
    this.#slice = now + SLICE_MS
  }

  due(): boolean {
    if ((++this.#calls & (CALLS - 1)) !== 0) return false
    return this.#clock.monotonic() >= this.#slice
  }

  async turn(): Promise<void> {
    await nextTurn()
    this.check()
    this.#slice = this.#clock.monotonic() + SLICE_MS
  }

  /** Throws QueryStopped if nobody waits any more, or the time is up. */
  check(): void {
    if (this.#signal.aborted) throw new QueryStopped('gone', 'the client has gone')
    if (this.#clock.monotonic() < this.#deadline) return
    throw new QueryStopped(
      'timeout',
      `the query took longer than ${this.#timeoutMs} ms (traces.query.timeout); narrow it, or the time range`,
    )
  }
}
