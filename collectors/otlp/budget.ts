// The bytes of requests that may be under way at one time, and those that decompression may make of them.

import type { Allotment } from '../../telemetry/memory.ts'

/** Bytes of requests that are being received or decoded. A request that does not fit is refused before it is read. */
export class Budget {
  readonly #memory: Allotment
  readonly #waiting: { readonly bytes: number; readonly start: (over: () => void) => void }[] = []
  #inflating = 0

  constructor(memory: Allotment) {
    this.#memory = memory
  }

  get used(): number {
    return this.#memory.used
  }

  /** Whether `reserve` would succeed. */
  fits(bytes: number): boolean {
    return this.used === 0 || this.#memory.fits(bytes)
  }

  /** One request always fits, so that a limit below the largest request does not lock it out for ever. */
  reserve(bytes: number): boolean {
    if (this.used > 0) return this.#memory.hold(bytes)
    this.add(bytes)
    return true
  }

  /** Accounts for bytes whether they fit or not; a negative number gives back. */
  add(bytes: number): void {
    this.#memory.add(bytes)
  }

  /**
   * Calls `start` when it is its turn to decompress into so many bytes: the others wait with their compressed bytes only, so
   * that a hundred small bombs at once take no more memory than a few. `start` is given what to call when it is over.
   */
  turn(bytes: number, start: (over: () => void) => void): void {
    this.#waiting.push({ bytes, start })
    this.#next()
  }

  #next(): void {
    const [first] = this.#waiting
    if (!first || (this.#inflating > 0 && this.#inflating + first.bytes > INFLATING)) return
    this.#waiting.shift()
    this.#inflating += first.bytes
    first.start(() => {
      this.#inflating -= first.bytes
      this.#next()
    })
    this.#next()
  }
}

// Four batches of the largest usual size, one for each thread of libuv's pool.
const INFLATING = 8 * 1024 * 1024

/** Part of a budget that one request holds. It grows as bytes arrive, and is given back once. */
export class Share {
  #bytes = 0
  #released = false
  readonly #budget: Budget

  constructor(budget: Budget) {
    this.#budget = budget
  }

  /** Makes the share at least this large; false if the budget has not enough, or if the share was given back. */
  hold(bytes: number): boolean {
    if (this.#released) return false
    const more = bytes - this.#bytes
    if (more <= 0) return true
    // The bytes that the request holds already are in use, but not by others.
    const alone = this.#budget.used === this.#bytes
    if (!alone && !this.#budget.reserve(more)) return false
    if (alone) this.#budget.add(more)
    this.#bytes = bytes
    return true
  }

  /** Gives back what is beyond so many bytes. */
  shrink(bytes: number): void {
    const less = this.#bytes - bytes
    if (this.#released || less <= 0) return
    this.#budget.add(-less)
    this.#bytes = bytes
  }

  turn(bytes: number, start: (over: () => void) => void): void {
    this.#budget.turn(bytes, start)
  }

  release(): void {
    this.#released = true
    this.#budget.add(-this.#bytes)
    this.#bytes = 0
  }
}
