// When something was told last: the same complaint comes once a minute at most.

import type { Clock } from '../../telemetry/host.ts'

const TELL_MS = 60_000

export class Told {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #last = new Map<string, number>()

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock
  }

  /** Whether this may be told now; it counts as told then. */
  due(what: string): boolean {
    const now = this.#clock.monotonic()
    if (now - (this.#last.get(what) ?? Number.NEGATIVE_INFINITY) < TELL_MS) return false
    this.#last.set(what, now)
    return true
  }
}
