// The application's OTLP metrics, by the rules of OpenTelemetry and Prometheus, beside ours on /metrics.

import { counter, gauge } from '../metrics/family.ts'
import { series } from '../metrics/registry.ts'
import { bytes, duration, flag, integer, section, type Values } from '../options/kinds.ts'
import type { RequestConsumer } from '../telemetry/consumer.ts'
import type { Host } from '../telemetry/host.ts'
import type { Part, Running } from '../telemetry/part.ts'
import { Accumulator } from './points/accumulator.ts'
import { PointIntake } from './points/intake.ts'
import { REASONS } from './points/refusals.ts'
import { Writers } from './points/writers.ts'

export const heldBytes = gauge(
  'pillion_metrics_held_bytes',
  'Approximate memory of the series of OTLP metrics. At metrics.memory, new series are refused.',
)
export const gaps = counter(
  'pillion_metrics_delta_gaps_total',
  'Delta data points that do not continue the sum, by reason: missing_interval = telemetry was lost, or the application was restarted; changed_buckets = the histogram’s bounds changed, and its sum began again.',
  ['reason'],
)
export const expired = counter(
  'pillion_metrics_expired_series_total',
  'Series of OTLP metrics that were removed because nothing updated them within metrics.expiry.',
)
export const evicted = counter(
  'pillion_metrics_evicted_sums_total',
  'Sums of OTLP deltas that were removed to make room for new series within metrics.limit and metrics.memory, the longest idle first. A sum that is updated again begins at 0.',
)
export const conflicts = counter(
  'pillion_metrics_conflicting_points_total',
  'Cumulative OTLP data points with an earlier start time than the point before, or with a lower count since the same start: several processes with the same service.instance.id replace each other’s values.',
)

export const options = section('OTLP metrics of the application, exposed on /metrics beside those of the sidecar.', {
  enabled: flag('Accept OTLP metrics; if false, senders are told that their data points are dropped.', {
    default: true,
  }),
  limit: integer(
    'The largest number of label sets, over all metrics. Data points of additional label sets are refused and the sender is told, since gauges cannot be added up in an overflow series.',
    { default: 2000, min: 1, max: 1_000_000 },
  ),
  memory: bytes(
    'Memory for the series of OTLP metrics. Beyond it, data points of additional label sets are refused, as beyond metrics.limit.',
    { default: '32MiB', min: '1MiB', max: '4GiB' },
  ),
  expiry: duration(
    'Series not updated for this long are removed. Sums of deltas are kept until metrics.limit or metrics.memory is reached; then those idle the longest are removed first.',
    { default: '5m', min: '10s' },
  ),
  scope_labels: flag(
    'Add the name, version and attributes of the instrumentation scope to each series as otel_scope_… labels.',
    { default: true },
  ),
})

export type MetricsOptions = Values<typeof options>

export const metrics = {
  name: 'metrics',
  about: 'The application’s OTLP metrics as Prometheus metrics.',
  families: [heldBytes, gaps, expired, evicted, conflicts],
  options,
  start(
    options: MetricsOptions,
    { metrics, clock, log, memory }: Pick<Host, 'metrics' | 'clock' | 'log' | 'memory'>,
  ): Running & RequestConsumer {
    const source = metrics.imports('otlp_metrics', {
      series: options.limit,
      families: Math.min(options.limit, 1000),
      bytes: options.memory,
      memory: memory.allot('metrics'),
    })
    const held = metrics.reading(heldBytes)
    const gap = metrics.counter(gaps)
    for (const reason of ['missing_interval', 'changed_buckets']) gap.inc({ reason }, 0)
    const [gone, out, conflict] = [metrics.counter(expired), metrics.counter(evicted), metrics.counter(conflicts)]
    const writers = new Writers(clock, log, options.expiry)
    const accumulator = new Accumulator(source, clock, options.expiry, {
      gap: () => gap.inc({ reason: 'missing_interval' }),
      restart: () => gap.inc({ reason: 'changed_buckets' }),
      expired: series => gone.inc(series),
      evicted: series => out.inc(series),
      returned(resource, metric, times) {
        conflict.inc()
        writers.returned(resource, metric, times)
      },
    })
    const intake = new PointIntake(options, source, accumulator)
    const consumer: RequestConsumer = { name: 'metrics', reasons: REASONS, take: request => intake.take(request) }
    return {
      ...consumer,
      consumes: { metrics: [consumer] },
      async facts() {
        const sets = (await metrics.samples(series)).filter(({ labels }) => labels['family'] === 'otlp_metrics')
        return sets.map(({ value }) => ({ name: 'label sets', value }))
      },
      collect() {
        accumulator.expire()
        held.set({}, source.bytes)
      },
      findings: () => writers.findings(),
      async [Symbol.asyncDispose]() {
        accumulator.clear()
      },
    }
  },
} satisfies Part<MetricsOptions>
