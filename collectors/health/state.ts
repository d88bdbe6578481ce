// The state after thresholds, as in the kubelet: undecided at first, then up or down after a number of equal verdicts in a
// row.

export interface Thresholds {
  readonly successThreshold: number
  readonly failureThreshold: number
}

export class State {
  readonly #thresholds: Thresholds
  #successes = 0
  #failures = 0
  #up: boolean | undefined

  constructor(thresholds: Thresholds) {
    this.#thresholds = thresholds
  }

  get up(): boolean | undefined {
    return this.#up
  }

  get consecutiveFailures(): number {
    return this.#failures
  }

  /** Takes a verdict; returns whether it decided the state for the first time, changed it, or neither. */
  take(ok: boolean): 'decided' | 'changed' | 'same' {
    this.#successes = ok ? this.#successes + 1 : 0
    this.#failures = ok ? 0 : this.#failures + 1
    const { successThreshold, failureThreshold } = this.#thresholds
    if (ok ? this.#successes < successThreshold : this.#failures < failureThreshold) return 'same'
    if (this.#up === ok) return 'same'
    const first = this.#up === undefined
    this.#up = ok
    return first ? 'decided' : 'changed'
  }
}
