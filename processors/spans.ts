// Metrics made from spans: the number, duration and size of calls by service, operation, kind and status; the service graph; and
// the resources that sent them. The names are Tempo's by default, since Grafana's trace views look for them;
// `spans.naming: otel` gives those of the OpenTelemetry connector.

import { counter, gauge, histogram } from '../metrics/family.ts'
import { type Metrics, series } from '../metrics/registry.ts'
import { choice, duration, flag, integer, list, section, text, type Values } from '../options/kinds.ts'
import { ProbeFilter } from '../otlp/probe.ts'
import type { SpanConsumer } from '../telemetry/consumer.ts'
import { ExemplarChoice } from '../telemetry/exemplar.ts'
import type { Host } from '../telemetry/host.ts'
import type { Keys } from '../telemetry/keys.ts'
import type { Part, Running } from '../telemetry/part.ts'
import { KIND, STATUS, STATUS_NAMES } from '../telemetry/span.ts'
import type { Fact } from '../telemetry/status.ts'
import { ServiceGraph } from './spans/graph.ts'
import { EXCLUSIONS, type Exclusion, SpanIntake } from './spans/intake.ts'
import { mapRoute } from './spans/map.ts'
import { RequestMetrics } from './spans/requests.ts'
import { Targets } from './spans/targets.ts'
import { Weights } from './spans/weight.ts'

/** Tempo's buckets in milliseconds: 2 ms doubled thirteen times, to 16.4 s. */
const BUCKETS_MS = Array.from({ length: 14 }, (_, i) => 2 * 2 ** i)
const BUCKETS = BUCKETS_MS.map(ms => ms / 1000)

const TEMPO = ['service', 'span_name', 'span_kind', 'status_code'] as const
const OTEL = ['service_name', 'span_name', 'span_kind', 'status_code'] as const
/** The kinds of spans, as OTLP calls them in lower case. */
const KINDS = ['server', 'client', 'producer', 'consumer', 'internal', 'unspecified'] as const

/** As the request metrics' table is called in pillion_series, by naming. */
const TABLES = ['traces_spanmetrics', 'traces_span_metrics']
const EDGE = ['client', 'server', 'connection_type'] as const

export const calls = counter(
  'traces_spanmetrics_calls_total',
  'Spans by service, operation, kind and status. Each operation has an ERROR series, which starts at 0.',
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
  'Size of the spans as received, in bytes, uncompressed.',
  TEMPO,
)
export const events = counter(
  'traces_spanmetrics_events_total',
  'Events of the spans, mostly recorded exceptions. An operation without events has no series.',
  TEMPO,
)
export const links = counter(
  'traces_spanmetrics_links_total',
  'Links of the spans to other spans. An operation without links has no series.',
  TEMPO,
)
export const otelCalls = counter(
  'traces_span_metrics_calls_total',
  'The same as traces_spanmetrics_calls_total, with spans.naming: otel.',
  OTEL,
)
export const otelDuration = histogram(
  'traces_span_metrics_duration_seconds',
  'The same as traces_spanmetrics_latency, with spans.naming: otel.',
  OTEL,
  BUCKETS,
)
export const otelEvents = counter(
  'traces_span_metrics_events_total',
  'The same as traces_spanmetrics_events_total, with spans.naming: otel.',
  OTEL,
)
export const otelLinks = counter(
  'traces_span_metrics_links_total',
  'The same as traces_spanmetrics_links_total, with spans.naming: otel.',
  OTEL,
)
export const targetInfo = gauge(
  'traces_target_info',
  'Always 1, for each resource that sends spans. Labels: service, job (namespace/name), instance, and its other attributes.',
  ['service'],
)
export const graphTotal = counter(
  'traces_service_graph_request_total',
  'Requests from one service to another. connection_type is database, messaging_system, or virtual_node for a node that sends no spans; it is empty between two services that do.',
  EDGE,
)
export const graphFailed = counter(
  'traces_service_graph_request_failed_total',
  'Requests whose client or server span has the status ERROR.',
  EDGE,
)
export const graphClient = histogram(
  'traces_service_graph_request_client_seconds',
  'Duration of requests as the client saw them.',
  EDGE,
  BUCKETS,
)
export const graphServer = histogram(
  'traces_service_graph_request_server_seconds',
  'Duration of requests as the server saw them, or as the client did if the server sends no spans.',
  EDGE,
  BUCKETS,
)
export const excluded = counter(
  'pillion_spans_excluded_total',
  'Accepted spans left out of all request metrics, by reason: probe = the application answered our own health probe, own = the sidecar made them, kind = spans.kinds leaves their kind out of traces_spanmetrics_….',
  ['reason'],
)
export const unweighted = counter(
  'pillion_spans_unweighted_total',
  'Spans counted once although their tracestate says that they stand for more, by reason: span = more than spans.weight_limit, resource = more than a million in all for the spans of one resource in one request.',
  ['reason'],
)
export const unpaired = counter(
  'pillion_spans_unpaired_total',
  'Client or server spans whose other half was not seen: it did not arrive in time, there was no room to wait, or the same half arrived again. Queries to databases are not counted.',
  ['side', 'reason'],
)
export const edgeless = counter(
  'pillion_spans_edgeless_total',
  'Spans without an edge in the service graph: a client whose server was not seen and is not named by an attribute, or a server whose caller was not seen.',
  ['side'],
)
export const targetsDropped = counter(
  'pillion_spans_target_info_dropped_total',
  'Times a resource was left out of traces_target_info (full, large), or shown without all its attributes (labels).',
  ['reason'],
)

export const options = section('Request metrics made from spans.', {
  dimensions: list(
    'Attributes of the span or its resource that become labels of the request metrics, for example http.route. Each multiplies the number of series.',
    text('An attribute key.'),
    { default: [] },
  ),
  kinds: list(
    'The kinds of spans that get request metrics. Without internal, which is most spans of many web frameworks, there are far fewer series; no rule and hardly a panel asks for them. The service graph sees all kinds. Spans of other kinds are accepted and counted in pillion_spans_excluded_total{reason="kind"}.',
    choice('A kind of spans.', KINDS, { default: 'server' }),
    { default: KINDS },
  ),
  naming: choice(
    'Names of the request metrics: those of Tempo, or those of the OpenTelemetry span metrics connector.',
    ['tempo', 'otel'],
    {
      default: 'tempo',
    },
  ),
  buckets: list(
    'Upper bounds of the buckets of the latency histogram.',
    duration('A duration such as 250ms.', { default: '1s', min: '0.001ms' }),
    { default: BUCKETS_MS },
  ),
  native_histograms: section(
    'Native (exponential) buckets of the latency histogram in addition to the classic ones, in the protobuf exposition.',
    {
      enabled: flag(
        'Keep native buckets. They take 1.3 KiB for each label set. Prometheus scrapes them only if configured to, and may then leave out the classic buckets.',
        { default: false },
      ),
      schema: integer(
        'Resolution: 2^schema buckets from each power of two to the next. 3 is 8 buckets, each 9 % wider than the one before. A label set that would need more than 160 buckets falls back to a lower schema.',
        { default: 3, max: 8 },
      ),
    },
  ),
  sampling: choice(
    'Count each span once (plain), or as the number of spans that it stands for according to the sampling threshold in its tracestate (weighted).',
    ['plain', 'weighted'],
    { default: 'plain' },
  ),
  weight_limit: integer(
    'With spans.sampling: weighted, the most spans that one span may stand for. One that claims more counts once, since the claim may come from outside.',
    { default: 1000, min: 1, max: 1_000_000 },
  ),
  limit: integer(
    'The largest number of label sets. Spans of additional ones are counted under span_name="overflow" with their service, kind and status, in an eighth as many more label sets (at least 36). Once these are used up, spans are counted in one series with metric_overflow="true".',
    {
      default: 2000,
      min: 1,
      max: 1_000_000,
    },
  ),
  expiry: duration(
    'Label sets and edges of the service graph without a span for this long are removed; one that returns starts at 0. 0s keeps them all.',
    { default: '1h' },
  ),
  probes: choice(
    'Whether to count the spans of requests made by the sidecar’s own health probes, and its own spans (self.traces).',
    ['exclude', 'include'],
    {
      default: 'exclude',
    },
  ),
  graph: section('The service graph.', {
    enabled: flag('Count requests between services.', { default: true }),
    wait: duration('How long one half of a request (client or server span) waits for the other. SDKs send every 5 s.', {
      default: '6s',
      max: '5m',
    }),
    pending: integer(
      'The largest number of client and server spans that wait for their other half at once; as many queries to databases may wait in addition. Beyond it, the oldest is counted without its other half.',
      {
        default: 10_000,
        min: 1,
        max: 100_000,
      },
    ),
    limit: integer(
      'The largest number of edges. Requests on additional ones are counted in one series with metric_overflow="true".',
      {
        default: 500,
        min: 1,
        max: 100_000,
      },
    ),
  }),
  target_info: section('The attributes of the resources that send spans, as traces_target_info.', {
    limit: integer('The largest number of resources in traces_target_info. 0 switches it off.', {
      default: 100,
      max: 10_000,
    }),
    expiry: duration('Resources without a span for this long are removed.', { default: '15m', min: '1s' }),
  }),
})

export type SpansOptions = Values<typeof options>

export interface SpansHost extends Host {
  /** Where it asks for the attributes that it reads. */
  readonly keys: Keys
  /** Which spans may be exemplars; without it all may. */
  readonly exemplars?: ExemplarChoice
}

export const spans = {
  name: 'spans',
  about: 'Request rate, errors and duration, and the service graph, derived from incoming spans.',
  families: [
    ...[calls, latency, size, events, links],
    ...[otelCalls, otelDuration, otelEvents, otelLinks],
    ...[targetInfo, graphTotal, graphFailed, graphClient, graphServer],
    ...[excluded, unweighted, unpaired, edgeless, targetsDropped],
  ],
  options,
  start(
    options: SpansOptions,
    {
      metrics,
      clock,
      keys,
      exemplars = new ExemplarChoice(),
    }: Pick<SpansHost, 'metrics' | 'clock' | 'keys' | 'exemplars'>,
  ): Running & SpanConsumer {
    const leftOut = metrics.counter(excluded)
    for (const reason of EXCLUSIONS) leftOut.inc({ reason }, 0)
    const beyond = metrics.counter(unweighted)
    for (const reason of ['span', 'resource'] as const) beyond.inc({ reason }, 0)
    const { buckets } = requestFamilies(options).latency
    const edges = {
      total: graphTotal,
      failed: graphFailed,
      client: { ...graphClient, buckets },
      server: { ...graphServer, buckets },
      unpaired,
      edgeless,
    }
    const parts = {
      requests: new RequestMetrics(options, metrics, requestFamilies(options), keys),
      graph: options.graph.enabled
        ? new ServiceGraph({ ...options.graph, expiry: options.expiry }, metrics, edges, keys)
        : undefined,
      targets: new Targets(options.target_info, metrics, targetInfo, targetsDropped),
      probes: options.probes === 'exclude' ? new ProbeFilter(keys) : undefined,
      facts: () => facts(metrics),
      routes: (collect: () => void) => [
        mapRoute(metrics, options.graph.enabled ? edges : undefined, () => clock.now(), collect),
      ],
      excluded: (reason: Exclusion, n: number) => leftOut.inc({ reason }, n),
      weights: options.sampling === 'weighted' ? new Weights(options.weight_limit) : undefined,
      exemplars,
      kinds: options.kinds.map(kind => KIND[kind]),
      unweighted: (reason: 'span' | 'resource', n: number) => beyond.inc({ reason }, n),
    }
    return new SpanIntake(parts, clock)
  },
} satisfies Part<SpansOptions, SpansHost>

const ERROR = STATUS_NAMES[STATUS.error]

/** Spans that were counted, weighted if the application samples, and those of them with an error. */
export async function counted(metrics: Metrics): Promise<{ readonly spans: number; readonly errors: number }> {
  const all = [...(await metrics.samples(calls)), ...(await metrics.samples(otelCalls))]
  const total = (some: typeof all): number => some.reduce((sum, each) => sum + each.value, 0)
  return { spans: total(all), errors: total(all.filter(({ labels }) => labels['status_code'] === ERROR)) }
}

async function facts(metrics: Metrics): Promise<readonly Fact[]> {
  const { spans } = await counted(metrics)
  const held = (await metrics.samples(series)).filter(({ labels }) => TABLES.includes(`${labels['family']}`))
  return [{ name: 'spans counted', value: spans }, ...held.map(({ value }) => ({ name: 'label sets', value }))]
}

/** The request metrics under the names and with the buckets that are chosen: what is exposed, and what rules ask for. */
export function requestFamilies(options: Pick<SpansOptions, 'naming' | 'buckets'>) {
  const buckets = [...new Set(options.buckets)].sort((a, b) => a - b).map(ms => ms / 1000)
  return options.naming === 'tempo'
    ? ({ service: 'service', calls, latency: { ...latency, buckets }, size, events, links } as const)
    : ({
        service: 'service_name',
        calls: otelCalls,
        latency: { ...otelDuration, buckets },
        size: undefined,
        events: otelEvents,
        links: otelLinks,
      } as const)
}
