// The strip above the spans: how the process and its machine fared while the trace ran, on the same axis (GET /api/moments).

import { share, type Window } from './axis.ts'

/** The answer of /api/moments. Times are milliseconds since the epoch. */
export interface Moments {
  readonly from: number
  readonly to: number
  readonly step: number
  readonly series: readonly MomentSeries[]
  readonly marks: readonly Mark[]
}

export interface MomentSeries {
  readonly name: string
  readonly unit: 'share' | 'bytes' | string
  readonly values: readonly (number | null)[]
}

export interface Mark {
  readonly at: number
  readonly kind: string
  readonly text: string
}

export interface Lane {
  readonly name: string
  readonly label: string
  readonly unit: string
  /** The largest value in sight, and the value of the lane's upper edge. */
  readonly most: number
  readonly top: number
  /** Runs of points, x and y from 0 to 1, y upwards: between two runs nothing is known. */
  readonly runs: readonly (readonly (readonly [x: number, y: number])[])[]
}

export interface PlacedMark extends Mark {
  /** From 0 to 1. */
  readonly x: number
}

const LABELS: Readonly<Record<string, string>> = {
  cpu_used: 'CPU used',
  cpu_main_thread: 'CPU of the main thread',
  garbage_collection: 'garbage collection',
  major_faults: 'pages read from disk',
  cpu_wait: 'waiting for CPU',
  throttled: 'throttled',
  memory: 'memory',
}

/** The most frequent answer comes first. */
const ORDER = ['cpu_wait', 'throttled', 'garbage_collection', 'major_faults', 'cpu_used', 'memory', 'cpu_main_thread']
/** These are shown even where they are 0: whether they were at all is worth knowing. */
const ALWAYS = new Set(['cpu_used', 'memory'])
const MOST_LANES = 6
const MOST_MARKS = 500

/** The lanes in a window of the trace, which begins at `origin` (milliseconds since the epoch) and counts in microseconds. */
export function lanes({ series, from, step }: Moments, origin: number, window: Window): Lane[] {
  const ranked = [...series].sort((a, b) => rank(a.name) - rank(b.name))
  const found = ranked.flatMap(({ name, unit, values }) => {
    const runs: [number, number][][] = []
    let run: [number, number][] = []
    let most = 0
    // Each value holds for a step.
    const wide = (step * 1000) / (window.to - window.from)
    for (const [i, value] of values.entries()) {
      const x = share(window, (from + i * step - origin) * 1000)
      if (value === null || !Number.isFinite(value) || x < -wide || x > 1) {
        if (run.length > 0) runs.push(run)
        run = []
        continue
      }
      most = Math.max(most, value)
      run.push([x, value], [x + wide, value])
    }
    if (run.length > 0) runs.push(run)
    if (runs.length === 0 || (most === 0 && !ALWAYS.has(name))) return []
    const top = unit === 'share' ? Math.max(1, most) : most * 1.1 || 1
    return [
      {
        name,
        label: LABELS[name] ?? name.replaceAll('_', ' '),
        unit,
        most,
        top,
        runs: runs.map(each => each.map(([x, y]) => [x, y / top] as const)),
      },
    ]
  })
  return found.slice(0, MOST_LANES)
}

/** The marks in the window, in order of time. */
export function marks({ marks: all }: Moments, origin: number, window: Window): PlacedMark[] {
  return all
    .map(each => ({ ...each, x: share(window, (each.at - origin) * 1000) }))
    .filter(({ x }) => x >= 0 && x <= 1)
    .sort((a, b) => a.at - b.at)
    .slice(0, MOST_MARKS)
}

function rank(name: string): number {
  const at = ORDER.indexOf(name)
  return at < 0 ? ORDER.length : at
}

/** The answer of GET /api/insight/trace/ID: the waits of a span, as far as the moments tell. */
export interface Blame {
  readonly spans: readonly {
    readonly span_id: string
    readonly causes: readonly {
      readonly cause: string
      readonly from: number
      readonly to: number | null
      readonly seconds: number
    }[]
  }[]
}

export interface Band {
  readonly cause: string
  /** Microseconds from the start of the trace. */
  readonly start: number
  readonly duration: number
  readonly seconds: number
}

/** The bands above each span, by its id. */
export function bands({ spans }: Blame, origin: number, end: number): Map<string, readonly Band[]> {
  return new Map(
    spans.map(({ span_id, causes }) => [
      span_id,
      causes.map(({ cause, from, to, seconds }) => {
        const start = (from - origin) * 1000
        return { cause, start, duration: Math.max(0, (to === null ? end : (to - origin) * 1000) - start), seconds }
      }),
    ]),
  )
}

/** As people say it: "waited for a core". */
export function causeText(cause: string): string {
  const peer = /^dependency:(.*)$/s.exec(cause)?.[1]
  return peer === undefined ? (CAUSES[cause] ?? cause.replaceAll('_', ' ')) : `waited for ${peer}`
}

const CAUSES: Readonly<Record<string, string>> = {
  own_cpu: 'CPU of its own',
  waiting_for_cpu: 'waited for a core',
  throttled: 'throttled by its quota',
  stopped: 'stopped',
  paging: 'read pages from disk',
  disk: 'waited for a disk',
  lock: 'waited for a lock',
  gc: 'garbage collection',
  unexplained: 'not explained',
}

/** The class of a band, which gives it its colour. */
export function causeClass(cause: string): string {
  return /^[a-z_]+/.exec(cause)?.[0] ?? ''
}

/** Seconds by cause, the most first. */
export function totals(bands: Iterable<Band>): (readonly [cause: string, seconds: number])[] {
  const sums = new Map<string, number>()
  for (const { cause, seconds } of bands) sums.set(cause, (sums.get(cause) ?? 0) + seconds)
  return [...sums].sort((a, b) => b[1] - a[1])
}
