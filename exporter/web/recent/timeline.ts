// The time axis that all rings of recent numbers share: one step for each look at the metrics, about a second apart. A
// ring keeps one number for each step, in the place that the axis gives it.

/** Steps that are kept: 15 minutes at one a second. */
export const STEPS = 900

export class Timeline {
  /** Steps taken so far; the newest has the number steps − 1. */
  steps = 0
  /** The end of each step, in milliseconds since the epoch. */
  readonly #times = new Float64Array(STEPS)
  /** The duration of each step, in seconds. */
  readonly #seconds = new Float64Array(STEPS)

  /** Begins a step that ends now and took so long; returns its place in a ring. */
  step(now: number, seconds: number): number {
    const place = this.steps % STEPS
    this.#times[place] = now
    this.#seconds[place] = seconds
    this.steps++
    return place
  }

  /** The number of the oldest step that is kept. */
  get first(): number {
    return Math.max(0, this.steps - STEPS)
  }

  time(step: number): number {
    return this.#times[step % STEPS]!
  }

  seconds(step: number): number {
    return this.#seconds[step % STEPS]!
  }

  /** The first step within the last so many seconds. */
  since(seconds: number): number {
    if (this.steps === 0) return 0
    const from = this.time(this.steps - 1) - seconds * 1000
    let step = this.steps
    while (step > this.first && this.time(step - 1) > from) step--
    return step
  }
}

/** Steps put together for a chart: no more than `most`, each made of the same number of steps. */
export interface Group {
  readonly from: number
  /** Not included. */
  readonly to: number
  readonly seconds: number
  /** The end, in milliseconds since the epoch. */
  readonly time: number
}

/** Groups of `size` steps. They begin at multiples of it, so that what is over does not change with each new step. */
export function groups(timeline: Timeline, size: number, from = timeline.first): readonly Group[] {
  const found: Group[] = []
  for (let start = Math.ceil(from / size) * size; start + size <= timeline.steps; start += size) {
    let seconds = 0
    for (let step = start; step < start + size; step++) seconds += timeline.seconds(step)
    found.push({ from: start, to: start + size, seconds, time: timeline.time(start + size - 1) })
  }
  return found
}
