// Calls that a service makes: to databases, other services over HTTP or RPC, and brokers. By peer the figures come from
// the service graph, which names it; by operation from the spans of the kinds client and producer.

import { calls, graphClient, graphFailed, graphTotal } from '../processors/spans.ts'
import { chosen } from './board.ts'
import { CELL, TRACES } from './links.ts'
import { duration } from './measures.ts'
import { lines, type Panel, table } from './panels.ts'
import { quantile, share, sum } from './promql.ts'
import { now, series, traced } from './query.ts'
import { ERROR_STEPS, LATENCY_STEPS, NO_CALLS } from './terms.ts'

/** Calls by the chosen services; what comes from outside has the client user. */
const MADE = { client: [{ re: '$service' }, { not: 'user' }] } as const
const PEER = ['client', 'server', 'connection_type'] as const
const EDGE = '{{client}} → {{server}}'

const made = sum(chosen.rate(graphTotal, MADE), PEER)
const failed = sum(chosen.rate(graphFailed, MADE), PEER)
const took = (q: number) => quantile(q, sum(chosen.buckets(graphClient, MADE), ['le', ...PEER]))

const CALLED = { service: { re: '$service' }, span_kind: { re: 'SPAN_KIND_CLIENT|SPAN_KIND_PRODUCER' } } as const
const OPERATION = ['service', 'span_name'] as const

/** Rate, errors and duration by peer, as lines; `id` is that of the first of three panels. */
export function peers(id: number, height = 8): readonly Panel[] {
  return [
    lines({
      id,
      title: 'Calls by peer',
      about:
        'Calls per second to databases, brokers and other services (traces_service_graph_request_total). More than the requests explain: retries, or a query for each row.',
      unit: 'reqps',
      queries: [series(made, EDGE)],
      links: [TRACES.edge],
      empty: NO_CALLS,
      height,
    }),
    lines({
      id: id + 1,
      title: 'Failed calls by peer',
      about:
        'Share of the calls that failed, by peer (traces_service_graph_request_failed_total). Above 1 % look, above 5 % act. Errors here explain errors of the service.',
      unit: 'percentunit',
      queries: [series(share(failed, made), EDGE)],
      links: [TRACES.failedEdge],
      empty: NO_CALLS,
      steps: ERROR_STEPS,
      height,
    }),
    lines({
      id: id + 2,
      title: 'Time of calls by peer, p95',
      about:
        '95 of 100 calls took at most this long, as the caller saw it (traces_service_graph_request_client_seconds). Slow here and slow above: look at the peer. Points are exemplars: click one for its trace.',
      unit: 's',
      queries: [traced(took(0.95), EDGE)],
      links: [TRACES.edge],
      empty: NO_CALLS,
      height,
    }),
  ]
}

/** One row for each peer. */
export const peerTable: Panel = table({
  id: 70,
  title: 'Peers',
  about:
    'One row for each thing that a chosen service calls (traces_service_graph_request_…). Time spent is how many calls are under way at once on average: the largest is where requests wait.',
  by: { client: 'Service', server: 'Peer', connection_type: 'Kind' },
  leads: { client: CELL.service, server: [CELL.calls, CELL.failedCalls] },
  blank: { connection_type: 'service' },
  columns: [
    { title: 'Calls', query: now(made, EDGE), unit: 'reqps' },
    { title: 'Errors', query: now(share(failed, made), EDGE), unit: 'percentunit', steps: ERROR_STEPS },
    { title: 'p50', query: now(took(0.5), EDGE), unit: 's' },
    { title: 'p95', query: now(took(0.95), EDGE), unit: 's', steps: LATENCY_STEPS },
    { title: 'Time spent', query: now(sum(chosen.summed(graphClient, MADE), PEER), EDGE), decimals: 2 },
  ],
  empty: NO_CALLS,
  sorted: 'Errors',
  width: 12,
  height: 9,
})

/** One row for each call that is made. */
export const callTable: Panel = table({
  id: 71,
  title: 'Calls by operation',
  about:
    'One row for each call that a service makes (traces_spanmetrics_… of the kinds client and producer, which spans.kinds must have).',
  by: { span_name: 'Operation', service: 'Service' },
  leads: { span_name: [CELL.traces, CELL.failed, CELL.slow], service: CELL.service },
  columns: [
    { title: 'Calls', query: now(sum(chosen.rate(calls, CALLED), OPERATION), '{{span_name}}'), unit: 'reqps' },
    {
      title: 'Errors',
      query: now(
        share(
          sum(chosen.rate(calls, { ...CALLED, status_code: 'STATUS_CODE_ERROR' }), OPERATION),
          sum(chosen.rate(calls, CALLED), OPERATION),
        ),
        '{{span_name}}',
      ),
      unit: 'percentunit',
      steps: ERROR_STEPS,
    },
    {
      title: 'p95',
      query: now(duration(chosen, 0.95, OPERATION, CALLED), '{{span_name}}'),
      unit: 's',
      steps: LATENCY_STEPS,
    },
  ],
  empty: NO_CALLS,
  sorted: 'Errors',
  width: 12,
  height: 9,
})
