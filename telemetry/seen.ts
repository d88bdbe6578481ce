// The answers of the application as something beside it saw them: in its access log, or in a tap. A part that sees one
// says so here, and passive probes ask. Only counts for each of the last seconds are kept, so it costs the same at any
// rate.

import type { Clock } from './host.ts'

/** For those who see answers. */
export interface Seen {
  /**
   * The application has answered a request with this HTTP status after so many seconds. `at` is when, in milliseconds since
   * the epoch, if it was not just now: a log may be read late. Answers older than what is kept are not counted.
   */
  answered(status: number, seconds: number, at?: number): void
}

/** For those who ask. */
export interface Answers {
  /** The answers of the last so many milliseconds, at most 10 minutes. */
  within(ms: number): Tally
}

export interface Tally {
  readonly answers: number
  /** Those with a status from 500 on. */
  readonly failures: number
  /** The mean duration of the answers in seconds; 0 without any. */
  readonly meanSeconds: number
}

/** The host of a part that sees answers, or asks for them. */
export interface SeenHost {
  readonly seen: SeenAnswers
}

const KEPT_SECONDS = 600
const NOTHING: Tally = { answers: 0, failures: 0, meanSeconds: 0 }

export class SeenAnswers implements Seen, Answers {
  readonly #clock: Pick<Clock, 'now' | 'monotonic'>
  /** A ring: the second n stands at n modulo its size. Made with the first answer, since most sidecars see none. */
  #ring: Ring | undefined

  constructor(clock: Pick<Clock, 'now' | 'monotonic'>) {
    this.#clock = clock
  }

  answered(status: number, seconds: number, at?: number): void {
    const now = this.#clock.monotonic()
    // By the steady clock, so that a jump of the wall clock makes nothing old.
    const age = at === undefined ? 0 : Math.max(0, this.#clock.now() - at)
    const second = Math.floor((now - age) / 1000)
    if (Math.floor(now / 1000) - second >= KEPT_SECONDS) return
    this.#ring ??= emptyRing()
    const { seconds: stamps, answers, failures, sums } = this.#ring
    const place = (second + KEPT_SECONDS) % KEPT_SECONDS
    if (stamps[place] !== second) {
      stamps[place] = second
      answers[place] = 0
      failures[place] = 0
      sums[place] = 0
    }
    answers[place]! += 1
    if (status >= 500) failures[place]! += 1
    sums[place]! += seconds
  }

  within(ms: number): Tally {
    const ring = this.#ring
    if (!ring) return NOTHING
    const now = this.#clock.monotonic()
    const [first, last] = [Math.floor((now - ms) / 1000), Math.floor(now / 1000)]
    let [answers, failures, sum] = [0, 0, 0]
    for (let place = 0; place < KEPT_SECONDS; place++) {
      const second = ring.seconds[place]!
      if (second <= first || second > last) continue
      answers += ring.answers[place]!
      failures += ring.failures[place]!
      sum += ring.sums[place]!
    }
    return { answers, failures, meanSeconds: answers > 0 ? sum / answers : 0 }
  }
}

interface Ring {
  readonly seconds: Float64Array
  readonly answers: Float64Array
  readonly failures: Float64Array
  readonly sums: Float64Array
}

function emptyRing(): Ring {
  return {
    // No second: the steady clock starts anywhere, and an answer may be older than its start.
    seconds: new Float64Array(KEPT_SECONDS).fill(Number.NEGATIVE_INFINITY),
    answers: new Float64Array(KEPT_SECONDS),
    failures: new Float64Array(KEPT_SECONDS),
    sums: new Float64Array(KEPT_SECONDS),
  }
}
