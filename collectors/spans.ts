// Metrics made from spans: for each service, operation, kind and status how many calls, how long, how big; who calls whom;
// and which resources sent them. The names are Tempo's by default, since Grafana's trace views look for them;
// `spans.naming: otel` gives the connector's.

import { counter, gauge, histogram } from '../exporter/metrics.ts'
import { choice, duration, flag, integer, list, section, text, type Values } from '../options/kinds.ts'
import type { Collector, Host, Running } from './collector.ts'
import type { SpanConsumer } from './otlp.ts'
import { ServiceGraph } from './spans/graph.ts'
import { SpanIntake } from './spans/intake.ts'
import { ProbeSpans } from './spans/probe.ts'
import { RequestMetrics } from './spans/requests.ts'
import { Targets } from './spans/targets.ts'
import { Budget } from './spans/weight.ts'

/** Tempo's buckets in milliseconds: 2 ms doubled thirteen times, to 16.4 s. */
const BUCKETS_MS = Array.from({ length: 14 }, (_, i) => 2 * 2 ** i)
const BUCKETS = BUCKETS_MS.map(ms => ms / 1000)
/** Tempo's for its service graph: 100 ms doubled seven times, to 12.8 s. */
const GRAPH_BUCKETS = Array.from({ length: 8 }, (_, i) => (100 * 2 ** i) / 1000)

const TEMPO = ['service', 'span_name', 'span_kind', 'status_code'] as const
const OTEL = ['service_name', 'span_name', 'span_kind', 'status_code'] as const
const EDGE = ['client', 'server', 'connection_type'] as const

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
export const events = counter(
  'traces_spanmetrics_events_total',
  'Events of the spans (logged exceptions and the like); an operation without events has no series.',
  TEMPO,
)
export const links = counter(
  'traces_spanmetrics_links_total',
  'Links of the spans to other spans; an operation without links has no series.',
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
export const otelEvents = counter(
  'traces_span_metrics_events_total',
  'As traces_spanmetrics_events_total, with spans.naming: otel.',
  OTEL,
)
export const otelLinks = counter(
  'traces_span_metrics_links_total',
  'As traces_spanmetrics_links_total, with spans.naming: otel.',
  OTEL,
)
export const targetInfo = gauge(
  'traces_target_info',
  'Always 1, for each resource that sends spans. Labels: service, job (namespace/name), instance, and its other attributes.',
  ['service'],
)
export const graphTotal = counter(
  'traces_service_graph_request_total',
  'Requests from one service to another; connection_type says what a node that sends no spans is, or is empty.',
  EDGE,
)
export const graphFailed = counter(
  'traces_service_graph_request_failed_total',
  'Requests of which the client or the server span has the status ERROR.',
  EDGE,
)
export const graphClient = histogram(
  'traces_service_graph_request_client_seconds',
  'Duration of requests as the client saw them.',
  EDGE,
  GRAPH_BUCKETS,
)
export const graphServer = histogram(
  'traces_service_graph_request_server_seconds',
  'Duration of requests as the server saw them; for a server that sends no spans, as its client saw them.',
  EDGE,
  GRAPH_BUCKETS,
)
export const excluded = counter(
  'pillion_spans_excluded_total',
  'Accepted spans left out of all metrics, by reason: probe = the application answering our own health probe.',
  ['reason'],
)
export const unweighted = counter(
  'pillion_spans_unweighted_total',
  'Times a span was counted once although its tracestate says that it stands for more: one request stood for over a million.',
)
export const unpaired = counter(
  'pillion_spans_unpaired_total',
  'Client or server spans whose other half was not seen: it did not come in time, there was no room to wait, or the same half came again.',
  ['side', 'reason'],
)
export const edgeless = counter(
  'pillion_spans_edgeless_total',
  'Client spans that are no edge of the service graph: their server was not seen, and no attribute names it.',
)
export const targetsDropped = counter(
  'pillion_spans_target_info_dropped_total',
  'Times a resource was not shown in traces_target_info (full, large), or not with all its attributes (labels).',
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
  buckets: list(
    'Upper bounds of the latency histogram.',
    duration('A duration such as 250ms.', { default: '1s', min: '0.001ms' }),
    { default: BUCKETS_MS },
  ),
  sampling: choice(
    'Whether a span that the SDK sampled counts once (plain), or as the number of spans that its tracestate says it stands for (weighted).',
    ['plain', 'weighted'],
    { default: 'plain' },
  ),
  limit: integer('Label sets kept; what comes beyond is counted in one series with metric_overflow="true".', {
    default: 2000,
    min: 1,
    max: 1_000_000,
  }),
  expiry: duration(
    'How long a label set or an edge of the service graph is kept after its last span; one that comes again begins at 0. 0s keeps all.',
    { default: '1h' },
  ),
  probes: choice('Whether spans of requests made by our own health probes are counted.', ['exclude', 'include'], {
    default: 'exclude',
  }),
  graph: section('The service graph.', {
    enabled: flag('Whether edges between services are counted.', { default: true }),
    wait: duration('How long one half of a request waits for the other. SDKs send every 5 s.', {
      default: '6s',
      max: '5m',
    }),
    pending: integer('Halves that wait at one time; beyond it the oldest is counted without its other half.', {
      default: 10_000,
      min: 1,
      max: 100_000,
    }),
    limit: integer('Edges kept; what comes beyond is counted in one series with metric_overflow="true".', {
      default: 500,
      min: 1,
      max: 100_000,
    }),
  }),
  target_info: section('The attributes of what sends spans, as traces_target_info.', {
    limit: integer('Resources kept; 0 turns it off.', { default: 100, max: 10_000 }),
    expiry: duration('How long a resource is shown after its last span.', { default: '15m', min: '1s' }),
  }),
})

export type SpansOptions = Values<typeof options>

export const spans: Omit<Collector<SpansOptions>, 'start'> & {
  start(options: SpansOptions, host: Pick<Host, 'metrics' | 'clock'>): Running & SpanConsumer
} = {
  name: 'spans',
  about: 'Request rate, errors and duration, and the service graph, derived from the spans that come in.',
  families: [
    ...[calls, latency, size, events, links],
    ...[otelCalls, otelDuration, otelEvents, otelLinks],
    ...[targetInfo, graphTotal, graphFailed, graphClient, graphServer],
    ...[excluded, unweighted, unpaired, edgeless, targetsDropped],
  ],
  options,
  start(options, { metrics, clock }) {
    const budget = new Budget()
    const leftOut = metrics.counter(excluded)
    leftOut.inc({ reason: 'probe' }, 0)
    const beyond = metrics.counter(unweighted)
    const edges = {
      ...{ total: graphTotal, failed: graphFailed, client: graphClient, server: graphServer },
      ...{ unpaired, edgeless },
    }
    const parts = {
      requests: new RequestMetrics(options, metrics, requestFamilies(options), budget),
      graph: options.graph.enabled
        ? new ServiceGraph({ ...options.graph, expiry: options.expiry }, metrics, edges, budget)
        : undefined,
      targets: new Targets(options.target_info, metrics, targetInfo, targetsDropped),
      probes: options.probes === 'exclude' ? new ProbeSpans() : undefined,
      excluded: (n: number) => leftOut.inc({ reason: 'probe' }, n),
      weights: options.sampling === 'weighted' ? { budget, exceeded: (n: number) => beyond.inc(n) } : undefined,
    }
    return new SpanIntake(parts, clock)
  },
}

function requestFamilies(options: SpansOptions): ConstructorParameters<typeof RequestMetrics>[2] {
  const buckets = [...new Set(options.buckets)].sort((a, b) => a - b).map(ms => ms / 1000)
  return options.naming === 'tempo'
    ? { calls, latency: { ...latency, buckets }, size, events, links }
    : {
        calls: otelCalls,
        latency: { ...otelDuration, buckets },
        size: undefined,
        events: otelEvents,
        links: otelLinks,
      }
}
