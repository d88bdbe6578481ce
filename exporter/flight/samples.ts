// The moments that go into a record: all of the last half minute, and one a second before.

import { COUNTERS, GAUGES, type MomentRing } from '../../telemetry/moment.ts'
import { NO_SAMPLES, type Samples } from './record.ts'

/** The time before the end that a record covers. */
export const WINDOW_MS = 600_000
const FINE_MS = 30_000
const FINE_ROWS = 1500
const COARSE_MS = 1000
const NAMES = [...COUNTERS, ...GAUGES] as const

/** Up to and including the newest row at `at`. */
export function samplesOf(ring: MomentRing | undefined, at: number): Samples {
  if (!ring || ring.next === ring.first) return NO_SAMPLES
  const rows: number[] = []
  const end = ring.wall(ring.next - 1)
  let next = end
  for (let row = ring.next - 1; row >= ring.first; row--) {
    const wall = ring.wall(row)
    if (wall < Math.min(at, end) - WINDOW_MS) break
    const fine = wall > end - FINE_MS && rows.length < FINE_ROWS
    if (!fine && wall > next) continue
    rows.push(row)
    next = wall - COARSE_MS
  }
  rows.reverse()
  return columns(
    rows.map(row => ring.wall(row)),
    NAMES.map(name => [name, rows.map(row => ring.value(name, row))]),
  )
}

/** Columns of which nothing is known are left out. */
export function columns(
  times: readonly number[],
  all: readonly (readonly [name: string, values: readonly number[]])[],
): Samples {
  const known = all.filter(([, values]) => values.some(value => Number.isFinite(value)))
  return {
    times: times.map(Math.round),
    columns: Object.fromEntries(
      known.map(([name, values]) => [
        name,
        values.map(value => (Number.isFinite(value) ? Number(value.toPrecision(10)) : null)),
      ]),
    ),
  }
}

/** The values of a column, NaN where nothing is known; of the last process alone, if the samples are of several. */
export function column({ times, columns }: Samples, name: string): readonly number[] {
  const values = columns[name]
  if (!values) return times.map(() => Number.NaN)
  const processes = columns['process']
  const last = processes?.at(-1)
  return values.map((value, i) => (value === null || (processes && processes[i] !== last) ? Number.NaN : value))
}

/** The growth of a counter in a second, between each sample and one at least `spanMs` before. */
export function rate(samples: Samples, name: string, spanMs = 2000): readonly number[] {
  const { times } = samples
  const values = column(samples, name)
  let from = 0
  return values.map((value, i) => {
    while (from + 1 < i && times[from + 1]! <= times[i]! - spanMs) from++
    const ms = times[i]! - times[from]!
    return ms > 0 ? Math.max(0, value - values[from]!) / (ms / 1000) : Number.NaN
  })
}

/**
 * A counter's growth in a second over the last so many milliseconds, and over how many seconds that is known: the process may
 * be younger. NaN if it is not known.
 */
export function lately(
  samples: Samples,
  name: string,
  ms: number,
): { readonly rate: number; readonly seconds: number } {
  const { times } = samples
  const values = column(samples, name)
  const end = times.at(-1) ?? Number.NaN
  const from = times.findIndex((time, i) => time >= end - ms && Number.isFinite(values[i]!))
  const seconds = (end - (times[from] ?? Number.NaN)) / 1000
  return { rate: seconds > 0 ? (values.at(-1)! - values[from]!) / seconds : Number.NaN, seconds }
}
