// A chart over time, as SVG. All charts of a page share one crosshair. The values at the crosshair, or the newest ones,
// stand in its legend.
//
// It is our own: uPlot, which can do far more, took 24.5 of the 60 kB that the whole page may have.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { clockTime, figure, type Unit } from './format.ts'
import { zone } from './settings.ts'
import { Store, useStore } from './store.ts'

export interface Line {
  readonly label: string
  /** One for each time; null where nothing is known. */
  readonly values: readonly (number | null)[]
  /** A colour of the style sheet: "var(--accent)". */
  readonly colour: string
  readonly filled?: boolean
  readonly dashed?: boolean
}

export interface ChartProps {
  /** A description for those who cannot see it. */
  readonly label: string
  /** Seconds since the epoch, rising. */
  readonly times: readonly number[]
  readonly lines: readonly Line[]
  readonly unit: Unit
  readonly height?: number
  /** The least top of the axis: a limit that the numbers are held against. */
  readonly top?: number | undefined
  /** Without axes: a small one in a table or a card. */
  readonly bare?: boolean
}

/** The time under the pointer, in seconds since the epoch. */
const crosshair = new Store<number | undefined>(undefined)

/** Pixels beside and below the plot, for its axes. */
const LEFT = 62
const BELOW = 22
/** An axis is not shorter than this. */
const LEAST_SECONDS = 120
/** Pixels between two marks of an axis. */
const ACROSS = 80
/** Half the width of the longest of these marks, "12:03:05". */
const HALF_LABEL = 26
const UP = 34

export function Chart({ label, times, lines, unit, height = 160, top, bare = false }: ChartProps) {
  const place = useRef<HTMLDivElement>(null)
  const [width, measure] = useState(300)
  const shownZone = useStore(zone)
  const pointed = useStore(crosshair)
  useEffect(() => {
    const element = place.current
    if (!element) return
    const sizes = new ResizeObserver(() => measure(element.clientWidth || 300))
    sizes.observe(element)
    return () => sizes.disconnect()
  }, [])

  const [left, below] = bare ? [0, 0] : [LEFT, BELOW]
  const last = times.at(-1) ?? 1
  // A line that has just begun does not fill the axis.
  const first = Math.min(times[0] ?? 0, last - LEAST_SECONDS)
  const inner = { width: Math.max(1, width - left - 4), height: height - below - 8 }
  const most = Math.max(
    top ?? 0,
    ...lines.map(({ values }) => values.reduce<number>((most, each) => Math.max(most, each ?? 0), 0)),
  )
  const high = most * 1.08 || (unit === 'ratio' ? 0.1 : 1)
  const x = (time: number): number => left + ((time - first) / (last - first || 1)) * inner.width
  const y = (value: number): number => 8 + (1 - value / high) * inner.height
  const drawn = useMemo(
    () =>
      lines.map(({ values }) =>
        runsOf(values).map(run => run.map(i => `${x(times[i]!).toFixed(1)} ${y(values[i]!).toFixed(1)}`)),
      ),
    [times, lines, width, height, high],
  )
  // Where the crosshair is, unless it is in a chart of another time.
  const at = pointed === undefined || bare || pointed < first || pointed > last ? undefined : nearest(times, pointed)
  const shown = at ?? times.length - 1
  return (
    <div class="chart" role="img" aria-label={summary(label, lines, unit)}>
      <div
        ref={place}
        class="plot"
        style={{ height: `${height}px` }}
        aria-hidden="true"
        onPointerMove={event => {
          const from = event.currentTarget.getBoundingClientRect().left + left
          crosshair.set(first + ((event.clientX - from) / inner.width) * (last - first))
        }}
        onPointerLeave={() => crosshair.set(undefined)}
      >
        <svg width={width} height={height} aria-hidden="true">
          {!bare && (
            <g class="axes">
              {steps(high, inner.height / UP, unit === 'bytes').map(value => (
                <g key={value}>
                  <line x1={left} x2={width} y1={y(value)} y2={y(value)} />
                  <text x={left - 8} y={y(value) + 4} text-anchor="end">
                    {figure(value, unit)}
                  </text>
                </g>
              ))}
              {timeSteps(first, last, inner.width / ACROSS)
                // One that would be cut at the edge says less than none.
                .filter(time => x(time) + HALF_LABEL <= width)
                .map(time => (
                  <text key={time} x={x(time)} y={height - 4} text-anchor="middle">
                    {clockTime(time * 1000, shownZone).slice(0, last - first < 180 ? 8 : 5)}
                  </text>
                ))}
            </g>
          )}
          {lines.map(({ label, colour, filled, dashed }, i) => (
            <g key={label} style={{ '--key': colour }}>
              {filled && <path class="area" d={drawn[i]!.map(run => area(run, y(0))).join('')} />}
              <path class={dashed ? 'line dashed' : 'line'} d={drawn[i]!.map(run => `M${run.join('L')}`).join('')} />
            </g>
          ))}
          {at !== undefined && (
            <g class="crosshair">
              <line x1={x(times[at]!)} x2={x(times[at]!)} y1="8" y2={y(0)} />
              {lines.map(({ label, values, colour }) => {
                const value = values[at]
                return value === null || value === undefined ? null : (
                  <circle key={label} cx={x(times[at]!)} cy={y(value)} r="3" style={{ '--key': colour }} />
                )
              })}
            </g>
          )}
        </svg>
      </div>
      {!bare && times.length < 2 && <p class="soon">The line begins in a moment.</p>}
      {!bare && (
        <div class="legend" aria-hidden="true">
          {at !== undefined && <b class="when">{clockTime(times[at]! * 1000, shownZone)}</b>}
          {lines.map(line => (
            <span key={line.label}>
              <i class={line.dashed ? 'key dashed' : 'key'} style={{ '--key': line.colour }} />
              {line.label} <b>{figure(line.values[shown] ?? undefined, unit)}</b>
            </span>
          ))}
        </div>
      )}
    </div>
  )
}

/** "request rate: all 12.3/s, failed 0/s" */
function summary(label: string, lines: readonly Line[], unit: Unit): string {
  const last = lines.map(
    ({ label, values }) => `${label} ${figure(values.findLast(each => each !== null) ?? undefined, unit)}`,
  )
  return `${label}, now: ${last.join(', ')}`
}

/** The positions of known values, in runs without a gap. */
function runsOf(values: readonly (number | null)[]): number[][] {
  const runs: number[][] = []
  for (const [i, value] of values.entries()) {
    if (value === null) continue
    const run = runs.at(-1)
    if (run && run.at(-1) === i - 1) run.push(i)
    else runs.push([i])
  }
  return runs
}

function area(run: readonly string[], floor: number): string {
  const [from, to] = [run[0]!, run.at(-1)!].map(point => point.slice(0, point.indexOf(' ')))
  return `M${from} ${floor}L${run.join('L')}L${to} ${floor}Z`
}

/** The position of the time next to another. */
function nearest(times: readonly number[], time: number): number {
  let at = times.findIndex(each => each >= time)
  if (at < 0) at = times.length - 1
  return at > 0 && time - times[at - 1]! < times[at]! - time ? at - 1 : at
}

/** Round values from 0 on, about so many; `binary` ones are powers of two. */
function steps(to: number, about: number, binary: boolean): number[] {
  const rough = to / Math.max(1, about)
  const power = 10 ** Math.floor(Math.log10(rough))
  const round = [1, 2, 5, 10].map(each => each * power).find(each => each >= rough) ?? rough
  const step = binary ? 2 ** Math.ceil(Math.log2(rough)) : round
  const found: number[] = []
  for (let i = 0; i * step <= to && found.length < 50; i++) found.push(i * step)
  return found
}

/** Whole seconds, minutes or hours. */
function timeSteps(from: number, to: number, about: number): number[] {
  const rough = (to - from) / Math.max(1, about)
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400].find(
    each => each >= rough,
  )
  if (step === undefined) return []
  const found: number[] = []
  for (let time = Math.ceil(from / step) * step; time <= to && found.length < 50; time += step) found.push(time)
  return found
}
