// The critical path as metrics: where the time of a request goes, by what it waited for. Nothing that runs beside something
// longer counts, so the sum over all that an operation did is the sum of its durations.

import { CounterColumn } from '../metrics/columns.ts'
import { counter } from '../metrics/family.ts'
import { duration, integer, section, type Values } from '../options/kinds.ts'
import type { Host } from '../telemetry/host.ts'
import type { Part, Running } from '../telemetry/part.ts'
import { CriticalPath } from './path/critical.ts'
import type { Trees } from './trees.ts'

const LABELS = ['service', 'root_operation', 'operation', 'kind', 'peer'] as const

export const pathSeconds = counter(
  'traces_critical_path_seconds_total',
  'Seconds that requests spent on their critical path, by the operation of their local root (root_operation) and by the span that the time belongs to: its operation, kind, and peer. retry="true": spent on a try that failed and was repeated. The sum over a root_operation is the sum of its durations.',
  [...LABELS, 'retry'],
)
export const asyncSeconds = counter(
  'traces_critical_path_async_seconds_total',
  'Seconds of spans past the end of their parent, which nobody waited for, and of consumers below their producer. They are not on the critical path.',
  LABELS,
)

export const options = section('The critical path of requests: where the time of an operation goes.', {
  limit: integer(
    'The largest number of label sets. Time of additional ones is counted in one series with metric_overflow="true".',
    { default: 1000, min: 1, max: 100_000 },
  ),
  expiry: duration('Label sets that were not added to for this long are removed. 0 keeps them for ever.', {
    default: '1h',
    min: '0ms',
  }),
})

export type PathOptions = Values<typeof options>

export interface PathHost extends Host {
  /** Requests, put together from their spans. */
  trees(): Trees
}

export const path = {
  name: 'path',
  about: 'The critical path of requests: where the time of an operation goes.',
  families: [pathSeconds, asyncSeconds],
  options,
  start({ limit, expiry }: PathOptions, host: Pick<PathHost, 'metrics' | 'clock' | 'trees'>): Running {
    const { metrics, clock } = host
    const trees = host.trees()
    const onPath = metrics.table('traces_critical_path', pathSeconds.labels, limit, expiry)
    const beside = metrics.table('traces_critical_path_async', asyncSeconds.labels, limit, expiry)
    const columns = { path: new CounterColumn(onPath, pathSeconds), async: new CounterColumn(beside, asyncSeconds) }
    metrics.add(columns.path)
    metrics.add(columns.async)
    const critical = new CriticalPath({ path: onPath, async: beside }, columns, trees)
    return {
      consumes: { spans: trees.join(critical) },
      collect() {
        critical.begin(clock.monotonic())
        trees.collect()
      },
      facts: () => [{ name: 'label sets', value: onPath.series }],
      async [Symbol.asyncDispose]() {
        trees.leave(critical)
      },
    }
  },
} satisfies Part<PathOptions, PathHost>
