// When to send to an upstream that has failed: after a failure nothing is sent until a time has passed, then one request goes
// first, and the others follow if it succeeds. A fleet must not come back as one, so every wait has a random part.

import { HOLD_MS } from './answer.ts'

const FIRST_MS = 1000
const FACTOR = 1.5
const LONGEST_MS = 30_000

export class Circuit {
  readonly #random: () => number
  #failures = 0
  /** On the monotonic clock; undefined while the circuit is closed. */
  #until: number | undefined
  #trial = false
  /** The upstream takes nothing until its configuration is mended, so that what is tried should be little. */
  holding = false

  constructor(random: () => number = Math.random) {
    this.#random = random
  }

  get open(): boolean {
    return this.#until !== undefined
  }

  /** When the next request may be sent, on the monotonic clock; undefined if it may be sent at any time. */
  get until(): number | undefined {
    return this.#until
  }

  /** Whether the request that goes first is under way. */
  get trial(): boolean {
    return this.#trial
  }

  /** Whether a request may be sent now. If the circuit is open, it is the one that goes first. */
  enter(now: number): boolean {
    if (this.#until === undefined) return true
    if (this.#trial || now < this.#until) return false
    this.#trial = true
    return true
  }

  /** The request that went first could not be sent, and nothing is known. */
  leave(): void {
    this.#trial = false
  }

  succeed(): void {
    this.#failures = 0
    this.#until = undefined
    this.#trial = false
    this.holding = false
  }

  /** Returns the wait in milliseconds. `afterMs` is what the upstream asked for. */
  fail(now: number, afterMs: number | undefined): number {
    // Requests that were under way when the circuit opened tell nothing new.
    if (this.#until !== undefined && !this.#trial && afterMs === undefined) return Math.max(0, this.#until - now)
    const wait = afterMs === undefined ? this.#backoff() : afterMs * (1 + 0.2 * this.#random())
    this.#failures++
    this.#trial = false
    this.#until = Math.max(this.#until ?? 0, now + wait)
    return wait
  }

  /** The upstream takes nothing until somebody mends the configuration. */
  hold(now: number): void {
    this.holding = true
    this.#trial = false
    this.#failures++
    this.#until = now + HOLD_MS * (1 + 0.2 * this.#random())
  }

  /** Lets the next request be sent at once: the end is near. */
  hurry(now: number): void {
    if (this.#until !== undefined) this.#until = Math.min(this.#until, now)
  }

  /** The first wait is anything up to a second, the others are 1.5 times the one before, plus or minus a half. */
  #backoff(): number {
    if (this.#failures === 0) return FIRST_MS * this.#random()
    const wait = Math.min(LONGEST_MS, FIRST_MS * FACTOR ** this.#failures)
    return wait * (0.5 + this.#random())
  }
}
