// Whether a resource runs out within a minute: by its growth over the last half minute, so that a record is there before the
// end. The forecast for alerts (`app_saturation_seconds_to_limit`) needs an hour; this one is for what is too fast for it.
//
// The window is divided into thirds. Their levels have to rise, the second time about as much as the first: a step and a spike
// rise once. If growth slows down, it is taken to go on slowing down, as a warm-up does. Nothing is said in the
// beginning, which is a start, nor for some minutes after use has fallen: who gave back once does so again (a saw-tooth).

/** The limit is reached within this time, or it is not said. */
const SOON_MS = 60_000
/** Below this share of the limit nothing is said. */
const FLOOR = 0.7
const WINDOW_MS = 30_000
const THIRD_MS = WINDOW_MS / 3
/** From the first value of a process on: what a start takes within a minute shows in the window by then. */
const START_MS = 75_000
/** A fall by more than this share of the limit, from the highest value since the last such fall. */
const FALL = 0.05
const AFTER_FALL_MS = 300_000
/** The growth from the first third to the second, and from there to the last, differ by no more than this factor. */
const STEADY = 2
/** A growth that slows down is taken to do so by this power of what was seen: it is seen through noise. */
const CAUTION = 2
/** It must be so for this time, in which other values are read. */
const HOLDS_MS = 6000
/** Values in each third; fewer are too few to judge by (the process was stopped, or the machine). */
const FEWEST = 3

export class Growth {
  #times: number[] = []
  #shares: number[] = []
  #since = Number.NaN
  #highest = 0
  #soonSince = Number.NaN
  #fallAt = Number.NEGATIVE_INFINITY

  /**
   * Takes the share of the limit that is used now; `now` is of the steady clock. Returns in how many milliseconds the limit
   * is reached, if that is soon.
   */
  add(now: number, share: number): number | undefined {
    if (!(share >= 0)) return undefined
    if (Number.isNaN(this.#since)) this.#since = now
    if (share > this.#highest) this.#highest = share
    else if (share < this.#highest - FALL) {
      this.#highest = share
      this.#fallAt = now
    }
    this.#times.push(now)
    this.#shares.push(share)
    const old = this.#times.findIndex(time => time > now - WINDOW_MS)
    this.#times.splice(0, old)
    this.#shares.splice(0, old)
    const early = now - this.#since < START_MS || now - this.#fallAt < AFTER_FALL_MS
    const left = early ? undefined : this.#soon(now)
    if (left === undefined) this.#soonSince = Number.NaN
    else if (Number.isNaN(this.#soonSince)) this.#soonSince = now
    return now - this.#soonSince >= HOLDS_MS ? left : undefined
  }

  #soon(now: number): number | undefined {
    const [first, second, third] = [3, 2, 1].map(back => this.#level(now - back * THIRD_MS))
    const before = second! - first!
    const after = third! - second!
    if (!(before > 0 && after > 0 && after <= STEADY * before && before <= STEADY * after)) return undefined
    // At the end of the window, half a third after the middle of the last one.
    const used = third! + after / 2
    if (used < FLOOR) return undefined
    // The growth of a third is multiplied by this from one to the next.
    const kept = Math.min(1, after / before) ** CAUTION
    const missing = 1 - used
    // after × (kept + kept² + … + keptⁿ) = missing, solved for n.
    const thirds = kept === 1 ? missing / after : Math.log(1 - (missing * (1 - kept)) / (after * kept)) / Math.log(kept)
    const ms = Math.max(0, thirds * THIRD_MS)
    // NaN: at this rate it never gets there.
    return ms < SOON_MS ? ms : undefined
  }

  /**
   * The level of the third of the window that begins after `start`: the mean of the middle half of its values, so that
   * neither a spike nor a pause between two reads moves it. NaN if too little is known of it.
   */
  #level(start: number): number {
    const values = this.#shares.filter((_, at) => this.#times[at]! > start && this.#times[at]! <= start + THIRD_MS)
    if (values.length < FEWEST) return Number.NaN
    const middle = values.sort((a, b) => a - b).slice(values.length >> 2, values.length - (values.length >> 2))
    return middle.reduce((sum, value) => sum + value, 0) / middle.length
  }
}
