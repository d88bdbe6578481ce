// Remembers which deltas were added to a series. A delta is identified by its sender, start and time. So deltas of SDKs
// that always send the start of the process, of workers with overlapping intervals, and late deltas are all added once,
// and only repetitions are refused.

/**
 * Deltas remembered for one series. A retry comes about ten seconds after the first attempt. In that time each worker
 * that shares the identity sends about once, so up to fifteen deltas may come in between.
 */
const MOST = 16

export class Intervals {
  readonly #senders: number[] = []
  readonly #starts: number[] = []
  readonly #times: number[] = []
  /** The place for the next delta; when all places are used, it holds the oldest. */
  #next = 0
  /**
   * The sender of the last forgotten delta, and its newest forgotten time: a delta that is not newer may be a
   * repetition.
   */
  #forgotten = NOTHING
  /** Remembered deltas from before the sender's clock was set back. */
  #outdated = 0

  /**
   * Whether this delta is new, was added before, or is so old that this is unknown. A time of 0 is unknown, so such a
   * delta counts as new.
   */
  judge(sender: number, start: number, time: number): 'new' | 'added' | 'old' {
    if (time === 0) return 'new'
    for (let i = 0; i < this.#times.length; i++)
      if (this.#times[i] === time && this.#starts[i] === start && this.#senders[i] === sender) return 'added'
    // Another sender, such as the next process, has a clock of its own.
    return sender === this.#forgotten.sender && time <= this.#forgotten.time ? 'old' : 'new'
  }

  add(sender: number, start: number, time: number): void {
    if (time === 0) return
    const at = this.#next
    this.#next = (at + 1) % MOST
    if (at < this.#times.length) this.#forget(this.#senders[at]!, this.#times[at]!)
    this.#senders[at] = sender
    this.#starts[at] = start
    this.#times[at] = time
  }

  /** The sender's clock was set back: from now on, older times are new deltas. */
  setBack(): void {
    this.#forgotten = NOTHING
    this.#outdated = this.#times.length
  }

  #forget(sender: number, time: number): void {
    if (this.#outdated > 0) {
      this.#outdated--
      return
    }
    const before = this.#forgotten
    this.#forgotten = { sender, time: sender === before.sender ? Math.max(before.time, time) : time }
  }
}

const NOTHING = { sender: -1, time: 0 }
