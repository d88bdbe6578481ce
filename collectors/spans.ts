// Request metrics from spans: how many calls, how long, how big, for each service, operation, kind and status. The names
// are Tempo's by default, since Grafana's trace views look for them; `spans.naming: otel` gives the connector's.

import { counter, histogram } from '../exporter/metrics.ts'
import { choice, integer, list, section, text, type Values } from '../options/kinds.ts'
import type { Collector, Host, Running } from './collector.ts'
import type { SpanConsumer } from './otlp.ts'
import { RequestMetrics } from './spans/requests.ts'

/** Tempo's buckets: 2 ms doubled thirteen times, to 16.4 s. */
const BUCKETS = Array.from({ length: 14 }, (_, i) => 0.002 * 2 ** i)

const TEMPO = ['service', 'span_name', 'span_kind', 'status_code'] as const
const OTEL = ['service_name', 'span_name', 'span_kind', 'status_code'] as const

export const calls = counter(
  'traces_spanmetrics_calls_total',
  'Spans seen, by service, operation, kind and status. An ERROR series exists from 0 on for each operation.',
  TEMPO,
)
export const latency = histogram(
  'traces_spanmetrics_latency',
  'Duration of spans in seconds; a span that ends before it starts lasts 0.',
  TEMPO,
  BUCKETS,
)
export const size = counter(
  'traces_spanmetrics_size_total',
  'Bytes of the spans as they were received, uncompressed.',
  TEMPO,
)
export const otelCalls = counter(
  'traces_span_metrics_calls_total',
  'As traces_spanmetrics_calls_total, with spans.naming: otel.',
  OTEL,
)
export const otelDuration = histogram(
  'traces_span_metrics_duration_seconds',
  'As traces_spanmetrics_latency, with spans.naming: otel.',
  OTEL,
  BUCKETS,
)
export const excluded = counter(
  'pillion_spans_excluded_total',
  'Accepted spans left out of the request metrics, by reason: probe = the application answering our own health probe.',
  ['reason'],
)

export const options = section('Request metrics made from spans.', {
  dimensions: list(
    'Span or resource attributes that become labels of the request metrics, for instance http.route. Each multiplies the series.',
    text('An attribute key.'),
    { default: [] },
  ),
  naming: choice(
    'Metric names: those of Tempo, or those of the OpenTelemetry span metrics connector.',
    ['tempo', 'otel'],
    {
      default: 'tempo',
    },
  ),
  limit: integer('Label sets kept; what comes beyond is counted in one series with metric_overflow="true".', {
    default: 2000,
    min: 1,
    max: 1_000_000,
  }),
  probes: choice('Whether spans of requests made by our own health probes are counted.', ['exclude', 'include'], {
    default: 'exclude',
  }),
})

export type SpansOptions = Values<typeof options>

export const spans: Omit<Collector<SpansOptions>, 'start'> & {
  start(options: SpansOptions, host: Pick<Host, 'metrics'>): Running & SpanConsumer
} = {
  name: 'spans',
  about: 'Request rate, errors and duration, derived from the spans that come in.',
  families: [calls, latency, size, otelCalls, otelDuration, excluded],
  options,
  start(options, host) {
    return new RequestMetrics(options, host.metrics, families(options))
  },
}

function families(options: SpansOptions): ConstructorParameters<typeof RequestMetrics>[2] {
  return options.naming === 'tempo'
    ? { calls, latency, size, excluded }
    : { calls: otelCalls, latency: otelDuration, size: undefined, excluded }
}
