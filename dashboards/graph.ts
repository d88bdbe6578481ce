// The edges of the service graph that touch the chosen services, as numbers. Grafana's own service graph, a view of a data
// source of traces, draws the same metrics; these panels need no such data source.

import { graphClient, graphFailed, graphServer, graphTotal } from '../processors/spans.ts'
import { chosen, open, type Row } from './board.ts'
import { CELL, TRACES } from './links.ts'
import { lines, table } from './panels.ts'
import { binary, count, happening, quantile, share, sum, type Vector, type Where } from './promql.ts'
import { now, series } from './query.ts'
import { targetsOf } from './targets.ts'
import { ERROR_STEPS, LATENCY_STEPS, NO_SPANS } from './terms.ts'

type Edge = (typeof graphTotal.labels)[number]

// Without connection_type: a request whose other half came too late is of another type, and the same edge.
const EDGE = ['client', 'server'] as const
const NAME = '{{client}} → {{server}}'

/** The edges that begin or end at one of the chosen services. */
function touching<L extends string>(edges: (where: Where<Edge>) => Vector<L>, where: Where<Edge> = {}): Vector<L> {
  const at = { re: '$service' } as const
  return binary(edges({ client: at, ...where }), 'or', edges({ server: at, ...where }))
}

const total = (where: Where<Edge>) => sum(chosen.rate(graphTotal, where), EDGE)
const failed = (where: Where<Edge>) => sum(chosen.rate(graphFailed, where), EDGE)
const p95 = (seconds: typeof graphServer) => (where: Where<Edge>) =>
  quantile(0.95, sum(chosen.buckets(seconds, where), ['le', ...EDGE]))
const mean = (seconds: typeof graphServer) => (where: Where<Edge>) =>
  share(sum(chosen.summed(seconds, where), EDGE), sum(chosen.observed(seconds, where), EDGE))

/** Attributes that SDKs give to most resources; only `service` is promised. */
const RESOURCE = [
  'service',
  'service_version',
  'telemetry_sdk_language',
  'telemetry_sdk_version',
  'process_runtime_version',
  'host_name',
] as const
const resources = targetsOf(...RESOURCE)

export const serviceGraph: Row = open(600, 'Who calls whom?', [
  table({
    id: 60,
    title: 'Service graph',
    about:
      'One row for each pair of services, one of them chosen (traces_service_graph_request_…). user begins a trace; servers whose callers have a sidecar of their own are counted there. A server that is slow for its client only: look at the network between them.',
    by: { client: 'Client', server: 'Server' },
    leads: { client: CELL.client, server: CELL.server },
    columns: [
      { title: 'Requests', query: now(touching(total), NAME), unit: 'reqps' },
      {
        title: 'Errors',
        query: now(
          touching(where => share(failed(where), total(where))),
          NAME,
        ),
        unit: 'percentunit',
        steps: ERROR_STEPS,
      },
      { title: 'p95 at the server', query: now(touching(p95(graphServer)), NAME), unit: 's', steps: LATENCY_STEPS },
      { title: 'p95 at the client', query: now(touching(p95(graphClient)), NAME), unit: 's', steps: LATENCY_STEPS },
    ],
    empty: NO_SPANS,
    sorted: 'Errors',
    width: 16,
    height: 10,
  }),
  lines({
    id: 61,
    title: 'Failed requests between services',
    about:
      'Requests per second of which either side says ERROR (traces_service_graph_request_failed_total). The edge deepest in the graph is nearest to the cause.',
    unit: 'reqps',
    queries: [series(happening(touching(failed)), NAME)],
    links: [TRACES.failedEdge],
    empty: 'no request failed',
    height: 10,
  }),
  lines({
    id: 62,
    title: 'Requests between services',
    about:
      'Requests per second by pair of services (traces_service_graph_request_total). More here than above it: somebody calls in a loop, or retries.',
    unit: 'reqps',
    queries: [series(touching(total), NAME)],
    links: [TRACES.edge],
    empty: NO_SPANS,
  }),
  lines({
    id: 63,
    title: 'Time between client and server',
    about:
      'Mean time that the client waits longer than the server works (traces_service_graph_request_client_seconds less …_server_seconds), where both send spans here. High: network, proxies, queues for connections.',
    unit: 's',
    queries: [
      series(
        touching(where => binary(mean(graphClient)(where), '-', mean(graphServer)(where)), { connection_type: '' }),
        NAME,
      ),
    ],
    empty: 'no request was seen from both sides',
    links: [TRACES.edge],
  }),
  table({
    id: 64,
    title: 'What sends spans',
    about:
      'Processes that sent spans within the last 15 minutes by default, by service and version (traces_target_info). Several versions of one service: a roll-out is under way.',
    by: {
      service: 'Service',
      service_version: 'Version',
      telemetry_sdk_language: 'Language',
      telemetry_sdk_version: 'SDK',
      process_runtime_version: 'Runtime',
      host_name: 'Host',
    },
    columns: [
      {
        title: 'Processes',
        query: now(count(chosen.value(resources, { service: { re: '$service' } }), RESOURCE), '{{service}}'),
        decimals: 0,
      },
    ],
    leads: { service: CELL.service, service_version: CELL.version },
    empty: NO_SPANS,
    sorted: 'Processes',
    width: 8,
  }),
])
