// The application's OTLP metrics, by the rules of OpenTelemetry and Prometheus, beside ours on /metrics.

import { counter } from '../exporter/metrics.ts'
import { duration, flag, integer, section, type Values } from '../options/kinds.ts'
import type { Collector, Host, Running } from './collector.ts'
import { Accumulator } from './metrics/accumulator.ts'
import { Intake } from './metrics/intake.ts'
import { REASONS } from './metrics/refusals.ts'
import type { MetricsConsumer } from './otlp.ts'

export const gaps = counter(
  'pillion_metrics_delta_gaps_total',
  'Delta data points that do not continue what is held, by reason: missing_interval = something was lost on the way, or the application was restarted; changed_buckets = a histogram that had to begin again.',
  ['reason'],
)
export const expired = counter(
  'pillion_metrics_expired_series_total',
  'Series made from OTLP metrics that were let go because nothing updated them within metrics.expiry.',
)

export const options = section('OTLP metrics of the application, exposed on /metrics beside ours.', {
  enabled: flag('Whether OTLP metrics are taken; otherwise senders are told that they are dropped.', { default: true }),
  limit: integer(
    'Label sets kept, over all metrics. Data points of further ones are refused, and the sender is told: a gauge has no sum that an overflow series could hold.',
    { default: 2000, min: 1, max: 1_000_000 },
  ),
  expiry: duration('Series that were not updated for so long vanish.', { default: '5m', min: '10s' }),
  scope_labels: flag('Whether each series says by which instrumentation it was made (otel_scope_name and so on).', {
    default: true,
  }),
})

export type MetricsOptions = Values<typeof options>

export const metrics = {
  name: 'metrics',
  about: 'The application’s OTLP metrics as Prometheus metrics.',
  families: [gaps, expired],
  options,
  start(options: MetricsOptions, { metrics, clock }: Pick<Host, 'metrics' | 'clock'>): Running & MetricsConsumer {
    const source = metrics.imports('otlp_metrics', { series: options.limit, families: Math.min(options.limit, 1000) })
    const gap = metrics.counter(gaps)
    for (const reason of ['missing_interval', 'changed_buckets']) gap.inc({ reason }, 0)
    const gone = metrics.counter(expired)
    const accumulator = new Accumulator(source, clock, options.expiry, {
      gap: () => gap.inc({ reason: 'missing_interval' }),
      restart: () => gap.inc({ reason: 'changed_buckets' }),
      expired: series => gone.inc(series),
    })
    const intake = new Intake(options, source, accumulator)
    return {
      reasons: REASONS,
      take: request => intake.take(request),
      collect: () => accumulator.expire(),
      async [Symbol.asyncDispose]() {
        accumulator.clear()
      },
    }
  },
} satisfies Collector<MetricsOptions>
