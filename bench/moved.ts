// A clock for benches in one process: the requests move it, so that seconds pass as fast as they are worked off.

import type { Clock } from '../telemetry/host.ts'

/** A clock that the requests move. */
export class Moved implements Clock {
  ms = 0
  #sleeper: { readonly due: number; readonly wake: () => void } | undefined

  now(): number {
    return 1.7e12 + this.ms
  }

  monotonic(): number {
    return this.ms
  }

  sleep(ms: number): Promise<void> {
    return new Promise(wake => {
      this.#sleeper = { due: this.ms + ms, wake }
    })
  }

  /** Lets time pass; true if somebody was woken. */
  pass(ms: number): boolean {
    this.ms += ms
    if (!this.#sleeper || this.#sleeper.due > this.ms) return false
    const { wake } = this.#sleeper
    this.#sleeper = undefined
    wake()
    return true
  }
}
