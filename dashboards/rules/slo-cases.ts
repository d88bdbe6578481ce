// For each alert on an objective, requests that burn its budget so fast that it fires, or not quite.

import { latency } from '../../processors/spans.ts'
import { good, growing, type Line, line, reach, traffic } from './case.ts'

export interface SloCase {
  readonly slo: 'availability' | 'latency'
  /** Per cent of the requests that miss the objective, all the time. */
  readonly missed: number
  readonly at: `${number}m`
  /** The long window of the one alert that fires by then. */
  readonly fires?: '1h' | '6h' | '1d' | '3d'
}

/** The objectives of the example: 0.1 % may fail, 1 % may take longer than 256 ms. */
export const SLO_CASES: readonly SloCase[] = [
  { slo: 'availability', missed: 2, at: '10m', fires: '1h' },
  { slo: 'availability', missed: 0.8, at: '40m', fires: '6h' },
  { slo: 'availability', missed: 0.4, at: '90m', fires: '1d' },
  { slo: 'availability', missed: 0.2, at: '240m', fires: '3d' },
  { slo: 'availability', missed: 0.05, at: '240m' },
  { slo: 'latency', missed: 20, at: '10m', fires: '1h' },
  { slo: 'latency', missed: 8, at: '40m', fires: '6h' },
  { slo: 'latency', missed: 4, at: '90m', fires: '1d' },
  { slo: 'latency', missed: 2, at: '240m', fires: '3d' },
  { slo: 'latency', missed: 0.5, at: '240m' },
]

/** Ten thousand requests a minute of which so many per cent fail, or take between 512 ms and one second. */
export function sloLines({ slo, missed }: SloCase): Line[] {
  const part = missed * 100
  if (slo === 'availability') return traffic(growing(10_000 - part, 300), growing(part, 300))
  const buckets = [...latency.buckets.map(String), '+Inf'].map(le => {
    const within = reach(le) >= 1.024 ? 10_000 : reach(le) >= 0.256 ? 10_000 - part : 0
    return line({ ...latency, labels: [] }, { ...good, le }, growing(within, 300), '_bucket')
  })
  return [...buckets, line(latency, good, growing(10_000, 300), '_count')]
}
