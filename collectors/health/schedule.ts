// When to probe: on a grid, one at a time. A probe that takes longer than the interval makes the next one wait for the
// next place on the grid; what was missed is not made up for.

import type { Clock } from '../collector.ts'

export interface Intervals {
  readonly interval: number
  readonly failingInterval: number
  readonly initialDelay: number
}

/** Runs `turn` until `signal` aborts, and then resolves. `turn` says whether all is well; if not, the next comes sooner. */
export async function schedule(
  intervals: Intervals,
  turn: () => Promise<{ well: boolean }>,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  try {
    await clock.sleep(intervals.initialDelay, signal)
    while (!signal.aborted) {
      const begin = clock.monotonic()
      const { well } = await turn()
      const period = well ? intervals.interval : intervals.failingInterval
      const elapsed = clock.monotonic() - begin
      const places = Math.max(1, Math.ceil(elapsed / period))
      await clock.sleep(places * period - elapsed, signal)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
