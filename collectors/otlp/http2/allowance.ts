// Bounds how often something may happen: so many times at once, and so many more each second.

export class Allowance {
  readonly #most: number
  readonly #perSecond: number
  #left: number
  #since: number

  constructor(most: number, perSecond: number, now: number) {
    this.#most = most
    this.#perSecond = perSecond
    this.#left = most
    this.#since = now
  }

  /** False if it has happened too often. */
  use(now: number): boolean {
    this.give(((now - this.#since) / 1000) * this.#perSecond)
    this.#since = now
    this.#left -= 1
    return this.#left >= 0
  }

  /** Lets it happen so many more times. */
  give(times: number): void {
    this.#left = Math.min(this.#most, this.#left + times)
  }
}
