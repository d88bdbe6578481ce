// The open connections of one protocol, with one timer for all their deadlines: one for each request would cost as much as
// decoding a small one.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../../telemetry/host.ts'

interface Timed {
  /** Gives up what is late. */
  tick(now: number): void
  drain(): void
  destroy(): void
}

/** The time between two looks at the deadlines. */
const TICK_MS = 500

export class Connections<Connection extends Timed> {
  readonly #clock: Clock
  readonly #open = new Set<Connection>()
  readonly #over = new AbortController()
  #ticking = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(connection: Connection): void {
    this.#open.add(connection)
    if (!this.#ticking) this.#tick().catch(() => {})
  }

  delete(connection: Connection): void {
    this.#open.delete(connection)
  }

  drain(): void {
    for (const each of this.#open) each.drain()
  }

  /** Ends every connection at once. */
  cut(): void {
    this.#over.abort()
    for (const each of this.#open) each.destroy()
  }

  async #tick(): Promise<void> {
    this.#ticking = true
    while (this.#open.size > 0) {
      await this.#clock.sleep(TICK_MS, this.#over.signal)
      // After a standstill of this process its timers come first, and sockets with all that was sent meanwhile second.
      await nextTurn()
      for (const each of this.#open) each.tick(this.#clock.monotonic())
    }
    this.#ticking = false
  }
}
