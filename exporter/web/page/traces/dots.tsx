// The durations of the traces in a list over time, one dot for each: what is unusual is seen at once. The dots lead to the
// traces, and so do the links in the table below, which can be reached by keys.

import { clockTime, duration } from '../format.ts'
import { go } from '../route.ts'
import { zone } from '../settings.ts'
import { useStore } from '../store.ts'
import type { Listed } from './list.tsx'

const WIDTH = 1000
const HEIGHT = 110
const EDGE = 8
/** The left part, where the durations stand. */
const LABELS = 56

export function Dots({ traces }: { readonly traces: readonly Listed[] }) {
  const shownZone = useStore(zone)
  if (traces.length < 5) return null
  const starts = traces.map(({ start }) => start)
  const [from, to] = [Math.min(...starts), Math.max(...starts)]
  const least = Math.max(0.001, Math.min(...traces.map(each => each.duration)))
  const most = Math.max(least * 2, ...traces.map(each => each.duration))
  const x = (start: number): number => LABELS + ((start - from) / Math.max(1, to - from)) * (WIDTH - LABELS - EDGE)
  // Durations of a system spread over powers of ten.
  const y = (ms: number): number =>
    HEIGHT - EDGE - (Math.log(Math.max(ms, least) / least) / Math.log(most / least)) * (HEIGHT - 2 * EDGE)
  const lines = [0.001, 0.01, 0.1, 1, 10, 100, 1000, 10_000, 100_000].filter(ms => ms > least && ms < most)
  return (
    <figure class="dots">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`Durations of ${traces.length} traces over time`}>
        {lines.map(ms => (
          <g key={ms} aria-hidden="true">
            <line x1="0" x2={WIDTH} y1={y(ms)} y2={y(ms)} />
            <text x="2" y={y(ms) - 3}>
              {duration(ms / 1000)}
            </text>
          </g>
        ))}
        {traces.map(({ traceId, name, start, duration: ms, errors }) => (
          <g key={traceId} class="dot" onClick={() => go(`/trace/${traceId}`)}>
            {errors > 0 ? (
              <path class="failed" d={`M${x(start) - 4} ${y(ms) - 4}l8 8m0 -8l-8 8`} />
            ) : (
              <circle cx={x(start)} cy={y(ms)} r="4" />
            )}
            <title>{`${name ?? traceId}, ${duration(ms / 1000)}, ${clockTime(start, shownZone)}`}</title>
          </g>
        ))}
      </svg>
      <figcaption aria-hidden="true">
        <span>{clockTime(from, shownZone)}</span>
        <span>✕ with errors</span>
        <span>{clockTime(to, shownZone)}</span>
      </figcaption>
    </figure>
  )
}
