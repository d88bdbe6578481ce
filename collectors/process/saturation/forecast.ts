// When something that is limited runs out: the slope of its lowest values. The minimum of each minute is what is left after
// garbage was collected and connections were closed, so saw-teeth and spikes are not taken for growth; the slope is the
// median of the slopes between all pairs of minutes (Theil–Sen), which a third of wild values cannot move.
//
// Simulated with eight shapes (test/process/forecast.test.ts): a straight line through the last hour, as predict_linear
// draws it, is in alarm for 6 % of the time after a single step, and for 9 % under a saw with spikes and a step; this
// one never.

/** Minutes that the slope is taken over: some cycles of whatever goes up and down by itself. */
export const WINDOW = 60
const MINUTE_MS = 60_000
/** A minute that rises by so many widths of the usual change is a step: what was before tells nothing of what comes. */
const STEP_WIDTHS = 5
/** A step is at least this share of the limit. */
const STEP_SHARE = 0.02
/**
 * The slow end of the slope: the lower end of the interval that holds the true one with 95 % (Sen 1968). Of the n(n-1)/2 = 1770
 * slopes of 60 values it has the rank (1770 - 1.96 √(n(n-1)(2n+5)/18)) / 2 = 731.
 */
const SLOW = 0.41
/** A limit that is further away than this is no forecast. */
const FARTHEST_S = 7 * 86_400

export class Forecast {
  /** The lowest value of each whole minute, the oldest first; NaN for a minute without one. */
  readonly #minima: number[] = []
  #minute = Number.NaN
  #lowest = Number.NaN
  #slope = Number.NaN
  #level = Number.NaN

  /** Takes a value; `nowMs` is of the clock that never goes back, `limit` in the unit of the value. */
  add(nowMs: number, value: number, limit: number): void {
    const minute = Math.floor(nowMs / MINUTE_MS)
    if (minute !== this.#minute) {
      this.#close(minute, limit)
      this.#minute = minute
      this.#lowest = Number.NaN
    }
    if (!(value >= this.#lowest)) this.#lowest = value
  }

  /** Seconds until the limit is reached, by the slow end of the slope; undefined if it does not grow, or is not known yet. */
  secondsTo(limit: number): number | undefined {
    if (!(this.#slope > 0)) return undefined
    const seconds = Math.max(0, (limit - this.#level) / this.#slope) * 60
    return seconds <= FARTHEST_S ? seconds : undefined
  }

  /** A whole minute has passed. */
  #close(next: number, limit: number): void {
    if (Number.isNaN(this.#minute)) return
    const minima = this.#minima
    minima.push(this.#lowest)
    // The machine slept, or nothing could be read.
    const missed = next - this.#minute - 1
    if (missed >= WINDOW) minima.length = 0
    else for (let i = 0; i < missed; i++) minima.push(Number.NaN)
    if (minima.length > WINDOW) minima.splice(0, minima.length - WINDOW)
    const least = STEP_SHARE * limit
    const step = stepAt(minima, least) || floorStepAt(minima, least)
    if (step > 0) minima.splice(0, step)
    this.#slope = Number.NaN
    if (minima.length < WINDOW || !rising(minima)) return
    const slope = theilSen(minima, SLOW)
    if (!(slope > 0)) return
    this.#slope = slope
    const levels = minima.map((value, at) => value + slope * (minima.length - at)).filter(value => !Number.isNaN(value))
    this.#level = median(levels)
  }
}

/**
 * The first minute after the last step up that has lasted for three minutes; 0 if there is none. Steps down do no harm: a slope
 * over one is too low, and saw-teeth are full of them.
 */
function stepAt(minima: readonly number[], least: number): number {
  const changes = minima.slice(1).map((value, at) => value - minima[at]!)
  const known = changes.filter(value => !Number.isNaN(value))
  if (known.length < 5) return 0
  const usual = median(known)
  const width = median(known.map(value => Math.abs(value - usual)))
  const most = Math.max(STEP_WIDTHS * width, least)
  for (let at = changes.length - 3; at >= 0; at--) {
    const change = changes[at]!
    if (!(change - usual > most)) continue
    const before = minima[at]!
    if (minima.slice(at + 1, at + 4).every(value => value > before + change / 2)) return at + 1
  }
  return 0
}

/** Minutes that hold a whole cycle of most saw-teeth. */
const CYCLE = 15

/**
 * The same for a step that hides in the drop of a saw-tooth: the floor of the quarter of an hour after a minute against that of
 * the one before it. At a step the difference is a peak of a few minutes; where growth begins it stays.
 */
function floorStepAt(minima: readonly number[], least: number): number {
  const rises: number[] = []
  for (let at = CYCLE; at + CYCLE <= minima.length; at++)
    rises.push(floor(minima, at, at + CYCLE) - floor(minima, at - CYCLE, at))
  const known = rises.filter(Number.isFinite)
  if (known.length < CYCLE) return 0
  const highest = Math.max(...known)
  const at = rises.indexOf(highest)
  const beside = [rises[at - 8], rises[at + 8]].filter(each => each !== undefined)
  const sharp = beside.every(each => each < highest / 2)
  return sharp && highest > least + 2 * Math.abs(median(known)) ? at + CYCLE : 0
}

function floor(values: readonly number[], from: number, to: number): number {
  return Math.min(...values.slice(from, to).filter(value => !Number.isNaN(value)))
}

/** Whether the floor of each third of the window is above that of the third before. */
function rising(minima: readonly number[]): boolean {
  const third = Math.floor(minima.length / 3)
  const [first, second, last] = [0, 1, 2].map(part => floor(minima, part * third, (part + 1) * third))
  return first! < second! && second! < last! && last! < Number.POSITIVE_INFINITY
}

/** The quantile of the slopes between all pairs, per step; NaN with less than half of the values. */
export function theilSen(values: readonly number[], quantile: number): number {
  const slopes: number[] = []
  for (let i = 0; i < values.length; i++)
    for (let j = i + 1; j < values.length; j++) {
      const slope = (values[j]! - values[i]!) / (j - i)
      if (!Number.isNaN(slope)) slopes.push(slope)
    }
  if (slopes.length < (values.length * (values.length - 1)) / 8) return Number.NaN
  return Float64Array.from(slopes).sort()[Math.floor(quantile * (slopes.length - 1))]!
}

function median(values: readonly number[]): number {
  return Float64Array.from(values).sort()[values.length >> 1]!
}
