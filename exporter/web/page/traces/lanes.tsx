// The strip above the spans, on their axis: what the process waited for, its memory, failures of health probes, restarts.

import { bytes, count, duration, percent, rate } from '../format.ts'
import { bar, coveredAt, type Window } from './axis.ts'
import {
  type Band,
  causeClass,
  causeText,
  type Lane,
  lanes,
  type Moments,
  marks,
  type PlacedMark,
  totals,
} from './strip.ts'

const HEIGHT = 26
/** The share of the width that a text needs. */
const TEXT = 0.12
const UNITS: Readonly<Record<string, (value: number) => string>> = { bytes, share: percent, rate }
const SIGNS: Readonly<Record<string, string>> = { health: '✕', restart: '↻', oom: '!' }

export function Strip(props: {
  readonly moments: Moments | undefined
  /** Of all spans. */
  readonly bands: readonly Band[]
  readonly origin: number
  readonly window: Window
}) {
  const { moments, bands, origin, window } = props
  const shown = moments ? lanes(moments, origin, window) : []
  const signs = moments ? marks(moments, origin, window) : []
  if (shown.length === 0 && signs.length === 0 && bands.length === 0)
    return (
      <p class="moments-none">
        {moments
          ? 'Nothing about the process was kept for this part of the trace.'
          : 'Nothing about the process was kept for this time: CPU, throttling, memory and health stand here for recent traces.'}
      </p>
    )
  return (
    <div class="moments" role="group" aria-label="The process while this trace ran">
      {signs.length > 0 && <Signs signs={signs} />}
      {bands.length > 0 && <Causes bands={bands} window={window} />}
      {shown.map(lane => (
        <LaneRow key={lane.name} lane={lane} />
      ))}
    </div>
  )
}

function Signs({ signs }: { readonly signs: readonly PlacedMark[] }) {
  return (
    <div class="lane">
      <span class="lane-name">
        <b>{signs.length === 1 ? 'one event' : `${signs.length} events`}</b>
      </span>
      <span class="lane-place signs">
        {signs.map(({ x, kind, text, at }) => (
          <abbr key={`${at}${kind}`} class={`sign ${kind}`} style={{ left: `${x * 100}%` }} title={`${kind}: ${text}`}>
            {SIGNS[kind] ?? '•'}
          </abbr>
        ))}
      </span>
      <ul class="unseen">
        {signs.map(({ kind, text, at }) => (
          <li key={`${at}${kind}`}>
            {kind}: {text}
          </li>
        ))}
      </ul>
    </div>
  )
}

/** Where the time of slow requests went. */
function Causes({ bands, window }: { readonly bands: readonly Band[]; readonly window: Window }) {
  const all = totals(bands)
  const text = all.map(([cause, seconds]) => `${causeText(cause)} ${duration(seconds)}`).join(', ')
  const [first] = all
  const drawn = bands.flatMap(band => {
    const at = bar(window, band.start, band.duration)
    return at ? [{ ...band, ...at }] : []
  })
  return (
    <div class="lane">
      <span class="lane-name" title={text}>
        <bdi>{first && causeText(first[0])}</bdi> <b>{first && duration(first[1])}</b>
        {all.length > 1 && ` and ${all.length - 1} more`}
      </span>
      <span class="lane-place causes" role="img" aria-label={`Why it was slow: ${text}`}>
        {drawn.map(({ cause, left, width, seconds }, i) => {
          const covered = width > TEXT ? coveredAt(left, TEXT, drawn.slice(i + 1)) : 0
          return (
            <i
              key={i}
              class={`band ${causeClass(cause)}`}
              style={{
                left: `${left * 100}%`,
                width: `${width * 100}%`,
                textIndent: `calc(0.4em + ${width > 0 ? (covered / width) * 100 : 0}%)`,
              }}
              title={`${causeText(cause)}: ${duration(seconds)}`}
            >
              {width - covered > TEXT && causeText(cause)}
            </i>
          )
        })}
      </span>
    </div>
  )
}

function LaneRow({ lane: { name, label, unit, most, runs } }: { readonly lane: Lane }) {
  const value = (UNITS[unit] ?? count)(most)
  return (
    <div class="lane">
      <span class="lane-name">
        {label} <b>{value}</b>
      </span>
      <svg
        class={`lane-place ${name}`}
        viewBox={`0 0 1000 ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${label}: at most ${value}`}
      >
        {runs.map((run, i) => (
          <path key={i} d={area(run)} />
        ))}
      </svg>
    </div>
  )
}

function area(run: readonly (readonly [number, number])[]): string {
  const point = ([x, y]: readonly [number, number]): string =>
    `${(x * 1000).toFixed(1)},${(HEIGHT - y * (HEIGHT - 2)).toFixed(1)}`
  const [first, last] = [run[0]!, run.at(-1)!].map(([x]) => (x * 1000).toFixed(1))
  return `M${first},${HEIGHT}L${run.map(point).join('L')}L${last},${HEIGHT}Z`
}
