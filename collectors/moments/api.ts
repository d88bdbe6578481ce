// GET /api/moments?from=MS&to=MS: what the process and its cgroup did between two times, in equal steps, for the page.

import type { ServerResponse } from 'node:http'
import type { CounterName, Mark, MomentRing, Moments } from '../../telemetry/moment.ts'
import type { Route } from '../../telemetry/route.ts'

/** The most steps of an answer. */
const STEPS = 240
/** No step is shorter: there are not more rows. */
const SHORTEST_MS = 20

export interface Series {
  readonly name: string
  /** `share`: of one core, or of the time; it can be more than 1. `bytes`; `rate`: events a second. */
  readonly unit: 'share' | 'bytes' | 'rate'
  /** One for each step; null where nothing is known. */
  readonly values: readonly (number | null)[]
}

/** Times are milliseconds since the epoch. */
export interface Strip {
  readonly from: number
  readonly to: number
  readonly step: number
  readonly series: readonly Series[]
  readonly marks: readonly Mark[]
}

export function momentsRoute(moments: Moments): Route {
  return {
    path: '/api/moments',
    methods: ['GET'],
    access: 'operator',
    handle({ target }, response) {
      const query = new URLSearchParams(target.split('?', 2)[1] ?? '')
      const [from, to] = [Number(query.get('from') ?? ''), Number(query.get('to') ?? '')]
      if (!query.get('from') || !query.get('to') || !(Number.isFinite(from) && Number.isFinite(to) && from < to))
        return answer(response, 400, {
          error: 'from and to must be milliseconds since the epoch, and from the earlier one',
        })
      answer(response, 200, strip(moments, from, to))
    },
  }
}

function answer(response: ServerResponse, status: number, value: object): void {
  const text = JSON.stringify(value)
  response
    .writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) })
    .end(text)
}

/** Growth of a counter in each step, divided by the seconds of the step. */
type Share = (ring: MomentRing, from: number, to: number) => number

const grown =
  (name: CounterName): Share =>
  (ring, from, to) =>
    ring.grown(name, from, to) / ((to - from) / 1000)

/**
 * Waiting contains throttling, which is said for itself. The cgroup's is summed over its cores, so it can be the
 * larger one.
 */
const waiting: Share = (ring, from, to) => {
  const wait = ring.grown('mainWait', from, to)
  const throttled = ring.grown('throttled', from, to)
  return Math.max(0, wait - (Number.isNaN(throttled) ? 0 : throttled)) / ((to - from) / 1000)
}

const SHARES: readonly (readonly [string, Series['unit'], Share])[] = [
  ['cpu_used', 'share', grown('allRun')],
  ['cpu_main_thread', 'share', grown('mainRun')],
  ['cpu_wait', 'share', waiting],
  ['throttled', 'share', grown('throttled')],
  ['garbage_collection', 'share', grown('gcRun')],
  ['major_faults', 'rate', grown('majorFaults')],
]

/** The series between two times; without any if nothing is known. */
export function strip({ ring, marks }: Moments, from: number, to: number): Strip {
  const step = Math.max(SHORTEST_MS, (to - from) / STEPS)
  const within = marks.filter(({ at }) => at >= from && at <= to)
  if (!ring || ring.next === ring.first || ring.wall(ring.next - 1) < from || ring.wall(ring.first) > to)
    return { from, to, step, series: [], marks: within }
  const steps = Math.ceil((to - from) / step)
  const values = (value: (from: number, to: number) => number): (number | null)[] =>
    Array.from({ length: steps }, (_, i) => {
      const found = value(from + i * step, Math.min(to, from + (i + 1) * step))
      return Number.isFinite(found) ? Number(found.toPrecision(4)) : null
    })
  const series = SHARES.map(([name, unit, share]) => ({
    name,
    unit,
    values: values((start, end) => share(ring, start, end)),
  }))
  const memory = values((_, end) => {
    const row = ring.find(end)
    // The last row must not speak for the time after it.
    return row < 0 || end - ring.wall(row) > Math.max(1000, step) ? Number.NaN : ring.value('memory', row)
  })
  return {
    from,
    to,
    step,
    series: [...series, { name: 'memory', unit: 'bytes' as const, values: memory }].filter(({ values }) =>
      values.some(value => value !== null),
    ),
    marks: within,
  }
}
