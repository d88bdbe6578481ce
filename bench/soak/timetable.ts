// The timetable: actions in several lanes, in sequence within each lane. An action that must be alone waits until no such
// action of another lane is running.

import { setTimeout as sleep } from 'node:timers/promises'

export interface Act {
  /** Seconds from the beginning. */
  readonly at: number
  readonly what: string
  readonly act: () => Promise<void>
  /** No other exclusive action happens meanwhile. */
  readonly alone?: boolean
  /** Skipped if it would be later than this many seconds. */
  readonly within?: number
  /** The rest still makes sense if it fails. */
  readonly optional?: boolean
}

export class Timetable {
  /** The current action of each lane. */
  readonly doing = new Map<string, string>()
  readonly #failed: (act: Act, error: unknown) => void
  #progressed = performance.now()
  #begun = 0
  #alone: Promise<void> = Promise.resolve()
  #broken = false

  constructor(failed: (act: Act, error: unknown) => void) {
    this.#failed = failed
  }

  /** Resolves at the end, or after the first failure of an action that is not optional. */
  async run(lanes: Readonly<Record<string, readonly Act[]>>): Promise<void> {
    this.#begun = performance.now()
    await Promise.all(Object.entries(lanes).map(([name, acts]) => this.#lane(name, acts)))
  }

  /** Since the beginning. */
  get seconds(): number {
    return (performance.now() - this.#begun) / 1000
  }

  /** The duration of the current action so far, in milliseconds. */
  get stuckMs(): number {
    return performance.now() - this.#progressed
  }

  async #lane(name: string, acts: readonly Act[]): Promise<void> {
    for (const each of acts.toSorted((a, b) => a.at - b.at)) {
      await sleep(Math.max(0, (each.at - this.seconds) * 1000))
      if (this.#broken) return
      if (each.within !== undefined && this.seconds > each.at + each.within) continue
      this.doing.set(name, each.what)
      try {
        await (each.alone ? this.#exclusively(each.act) : each.act())
      } catch (error) {
        this.#failed(each, error)
        if (!each.optional) this.#broken = true
      }
      this.doing.delete(name)
      this.#progressed = performance.now()
    }
  }

  async #exclusively(act: () => Promise<void>): Promise<void> {
    const mine = this.#alone.then(act)
    this.#alone = mine.catch(() => {})
    await mine
  }
}
