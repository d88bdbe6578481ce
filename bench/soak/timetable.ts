// When what happens: acts of several lanes, one after the other in each lane. An act that must be alone waits for another such
// one of another lane.

import { setTimeout as sleep } from 'node:timers/promises'

export interface Act {
  /** Seconds from the beginning. */
  readonly at: number
  readonly what: string
  readonly act: () => Promise<void>
  /** No other act that says so happens meanwhile. */
  readonly alone?: boolean
  /** Rather left out than later than this many seconds. */
  readonly within?: number
  /** If it fails, the rest still makes sense. */
  readonly optional?: boolean
}

export class Timetable {
  /** What is being done in each lane. */
  readonly doing = new Map<string, string>()
  readonly #failed: (act: Act, error: unknown) => void
  #progressed = performance.now()
  #begun = 0
  #alone: Promise<void> = Promise.resolve()
  #broken = false

  constructor(failed: (act: Act, error: unknown) => void) {
    this.#failed = failed
  }

  /** Resolves at the end, or after the first failure of an act that is not optional. */
  async run(lanes: Readonly<Record<string, readonly Act[]>>): Promise<void> {
    this.#begun = performance.now()
    await Promise.all(Object.entries(lanes).map(([name, acts]) => this.#lane(name, acts)))
  }

  /** Since the beginning. */
  get seconds(): number {
    return (performance.now() - this.#begun) / 1000
  }

  /** How long it has been doing the same, in milliseconds. */
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
