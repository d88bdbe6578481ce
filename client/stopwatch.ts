// Divides the time of a request or a probe into phases; time in no phase is the remainder, so they always add up to the total.

import { type Exchanged, PHASES, type Phase } from '../telemetry/client.ts'
import type { Clock } from '../telemetry/host.ts'

type Timed = Pick<Exchanged, 'seconds' | 'phases'>

export class Stopwatch {
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #phases: Record<Phase, number> = { resolve: 0, connect: 0, tls: 0, processing: 0, transfer: 0, remainder: 0 }
  #current: Phase = 'remainder'
  #since: number

  /** Starts; `before` is time that was measured already. */
  constructor(clock: Pick<Clock, 'monotonic'>, before: Partial<Readonly<Record<Phase, number>>> = {}) {
    this.#clock = clock
    this.#since = clock.monotonic()
    Object.assign(this.#phases, before)
  }

  enter(phase: Phase): void {
    const now = this.#clock.monotonic()
    this.#phases[this.#current] += (now - this.#since) / 1000
    this.#current = phase
    this.#since = now
  }

  /** Stops and adds the times to the outcome. The time of a failure belongs to the phase that failed. */
  stop<Outcome extends object>(outcome: Outcome): Outcome & Timed {
    this.enter('remainder')
    const seconds = PHASES.reduce((sum, phase) => sum + this.#phases[phase], 0)
    return { ...outcome, seconds, phases: { ...this.#phases } }
  }
}
