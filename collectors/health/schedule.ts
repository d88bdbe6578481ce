// The schedule of a probe: at fixed intervals, one probe at a time. If a probe takes longer than the interval, the next one
// starts at the next multiple of it; missed probes are not made up for.

import type { Clock } from '../../telemetry/host.ts'

export interface Intervals {
  readonly interval: number
  readonly failingInterval: number
  readonly initialDelay: number
}

/** Runs `turn` until `signal` aborts, and then resolves. If a turn was not well, the next one comes sooner. */
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
