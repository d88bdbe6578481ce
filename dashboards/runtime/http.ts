// Requests as the application's own SDK or library measures them: for applications that send metrics and no spans.

import { chosen, folded, open, type Row } from '../board.ts'
import { CELL } from '../links.ts'
import { lines, stat, table } from '../panels.ts'
import { binary, copied, observed, quantile, share, sum, type Vector } from '../promql.ts'
import { now, series, traced } from '../query.ts'
import { ERROR_STEPS, LATENCY_STEPS, NO_REQUESTS } from '../terms.ts'
import { either, PROCESS, WHO } from './measures.ts'
import { db, http } from './names.ts'

const NO_HTTP = 'no HTTP server metrics: neither http.server.request.duration over OTLP nor Micrometer’s on /metrics'
const NAMES =
  'http_server_request_duration_seconds, or its old name http_server_duration_milliseconds, or Micrometer’s http_server_requests_seconds'

type Label = (typeof PROCESS)[number] | 'http_route'
const ROUTED = [...PROCESS, 'http_route'] as const
const CODED = [...ROUTED, 'http_response_status_code'] as const
const FAULT = { re: '5..' } as const

/** Requests per second by process, route and status, whatever they are called. */
const all = either(
  sum(chosen.observed(http.server), CODED),
  sum(copied(chosen.observed(http.oldServer), 'http_status_code', 'http_response_status_code'), CODED),
  sum(
    copied(copied(chosen.observed(http.micrometer), 'uri', 'http_route'), 'status', 'http_response_status_code'),
    CODED,
  ),
)
/** Answers 5xx; those 4xx are the client's fault. */
const faults = either(
  sum(chosen.observed(http.server, { http_response_status_code: FAULT }), ROUTED),
  sum(chosen.observed(http.oldServer, { http_status_code: FAULT }), ROUTED),
  sum(copied(chosen.observed(http.micrometer, { status: FAULT }), 'uri', 'http_route'), ROUTED),
)

const rate = <const B extends Label>(by: readonly B[]): Vector<B> => sum(all, by)

/** Absent where there are no requests; 0 where none failed. */
const errors = <const B extends Label>(by: readonly B[]): Vector<B> =>
  share(binary(sum(faults, by), 'or', binary(rate(by), '*', '0')), rate(by))

const p = <const B extends Label>(q: number, by: readonly B[]): Vector<B> => {
  const bounds = ['le', ...by] as const
  return either(
    quantile(q, sum(chosen.buckets(http.server), bounds)),
    binary(quantile(q, sum(chosen.buckets(http.oldServer), bounds)), '/', '1000'),
    quantile(q, sum(copied(chosen.buckets(http.micrometer), 'uri', 'http_route'), bounds)),
  ) as Vector<B>
}

export const httpRow: Row = open(100, 'Requests, as the application measures them', [
  stat({
    id: 1,
    title: 'Requests',
    about: `Requests answered per second (${NAMES}). A sudden fall is bad.`,
    unit: 'reqps',
    queries: [series(rate([]), 'Requests')],
    empty: NO_HTTP,
    width: 8,
  }),
  stat({
    id: 2,
    title: 'Errors',
    about: `Share of the answers that say 5xx (${NAMES}). Above 1 % look, above 5 % act.`,
    unit: 'percentunit',
    queries: [now(errors([]), 'Errors')],
    empty: NO_REQUESTS,
    steps: ERROR_STEPS,
    decimals: 2,
    mode: 'colour',
    width: 8,
  }),
  stat({
    id: 3,
    title: 'Latency p95',
    about: `95 of 100 answers took at most this long (${NAMES}; Micrometer has buckets only if they are switched on). Compare with what you promise.`,
    unit: 's',
    queries: [now(observed(p(0.95, [])), 'p95')],
    empty: NO_REQUESTS,
    steps: LATENCY_STEPS,
    mode: 'colour',
    width: 8,
  }),
  lines({
    id: 4,
    title: 'Requests by status',
    about: `Requests answered per second by HTTP status (${NAMES}). 5xx is the application’s fault, 4xx mostly the client’s.`,
    unit: 'reqps',
    queries: [series(sum(all, ['http_response_status_code']), '{{http_response_status_code}}')],
    empty: NO_HTTP,
    stacked: true,
  }),
  lines({
    id: 5,
    title: 'Latency',
    about: `Half, 95 and 99 of 100 answers took at most this long (${NAMES}). Points are exemplars: click one for its trace.`,
    unit: 's',
    queries: [traced(p(0.99, []), 'p99'), series(p(0.95, []), 'p95'), series(p(0.5, []), 'p50')],
    empty: NO_HTTP,
  }),
  lines({
    id: 6,
    title: 'Requests under way',
    about:
      'Requests that are being answered (http_server_active_requests). Growth without more requests: it waits for something.',
    unit: 'short',
    queries: [series(sum(chosen.value(http.active), PROCESS), WHO)],
    empty: 'http.server.active_requests is not sent',
  }),
  table({
    id: 7,
    title: 'Routes',
    about: `One row for each route of each process (${NAMES}). Routes with ids in them are a fault of the instrumentation.`,
    by: { http_route: 'Route', instance: 'Instance', exported_job: 'Service' },
    leads: { instance: CELL.instance },
    columns: [
      {
        title: 'Requests',
        query: now(rate(['http_route', 'instance', 'exported_job']), '{{http_route}}'),
        unit: 'reqps',
      },
      {
        title: 'Errors',
        query: now(errors(['http_route', 'instance', 'exported_job']), '{{http_route}}'),
        unit: 'percentunit',
        steps: ERROR_STEPS,
      },
      {
        title: 'p95',
        query: now(p(0.95, ['http_route', 'instance', 'exported_job']), '{{http_route}}'),
        unit: 's',
        steps: LATENCY_STEPS,
      },
    ],
    empty: NO_HTTP,
    sorted: 'Errors',
  }),
])

const PEER = [...PROCESS, 'server_address'] as const
const CALLS = `${WHO} → {{server_address}}` as const
const NO_CLIENT = 'no metrics of calls are sent (http.client.request.duration, db.client.operation.duration)'

const micrometerPeer = <L extends string>(v: Vector<L | 'client_name'>) => copied(v, 'client_name', 'server_address')

export const clientRow: Row = folded(200, 'Calls and connections, as the application measures them', [
  lines({
    id: 20,
    title: 'HTTP calls by server',
    about:
      'Calls per second by server (http_client_request_duration_seconds, or Micrometer’s http_client_requests_seconds).',
    unit: 'reqps',
    queries: [
      series(
        either(
          sum(chosen.observed(http.client), PEER),
          sum(micrometerPeer(chosen.observed(http.micrometerClient)), PEER),
        ),
        CALLS,
      ),
    ],
    empty: NO_CLIENT,
  }),
  lines({
    id: 21,
    title: 'Time of HTTP calls, p95',
    about: '95 of 100 calls took at most this long, by server (http_client_request_duration_seconds).',
    unit: 's',
    queries: [traced(quantile(0.95, sum(chosen.buckets(http.client), ['le', ...PEER])), CALLS)],
    empty: NO_CLIENT,
  }),
  lines({
    id: 22,
    title: 'Time of queries, p95',
    about: '95 of 100 database operations took at most this long, by system (db_client_operation_duration_seconds).',
    unit: 's',
    queries: [
      traced(
        quantile(0.95, sum(chosen.buckets(db.operation), ['le', ...PROCESS, 'db_system_name'])),
        `${WHO} {{db_system_name}}`,
      ),
    ],
    empty: NO_CLIENT,
  }),
  lines({
    id: 23,
    title: 'Pooled connections',
    about:
      'Connections of database pools in use (db_client_connection_count, hikaricp_connections_active), and requests that wait for one. Waiting above 0: the pool is too small, or connections are not given back.',
    unit: 'short',
    queries: [
      series(
        either(
          sum(chosen.value(db.connections, { db_client_connection_state: 'used' }), PROCESS),
          sum(chosen.value(db.hikariActive), PROCESS),
        ),
        `${WHO} in use`,
      ),
      series(
        either(sum(chosen.value(db.pending), PROCESS), sum(chosen.value(db.hikariPending), PROCESS)),
        `${WHO} waiting`,
      ),
    ],
    empty: 'no connection pool is measured',
  }),
])
