// From services to operations to traces.

import { calls, events, excluded, latency, links, size } from '../processors/spans.ts'
import { type Board, chosen, EVENTS, folded, open, SERVICE, SPAN_NAME } from './board.ts'
import { serviceGraph } from './graph.ts'
import { CELL, OBJECTIVES, TRACES } from './links.ts'
import { duration, errors, FAILED, requests, SERVED } from './measures.ts'
import { callTable, peers, peerTable } from './outbound.ts'
import { heatmap, lines, stat, table } from './panels.ts'
import { count, happening, observed, share, sum } from './promql.ts'
import { heat, now, series, traced } from './query.ts'
import { blameRow } from './requests/blame.ts'
import { pathRow } from './requests/path.ts'
import { ERROR_STEPS, LATENCY_STEPS, NO_REQUESTS, NO_SPANS } from './terms.ts'
import { versionRow, weekRow } from './versions.ts'

const HERE = { service: { re: '$service' }, span_name: { re: '$span_name' } } as const
const OPERATION = ['service', 'span_name'] as const

/** The average of something per span, by operation. */
const each = (family: typeof size) =>
  share(sum(chosen.rate(family, HERE), OPERATION), sum(chosen.rate(calls, HERE), OPERATION))

export const requestsBoard: Board = {
  uid: 'pillion-requests',
  title: 'Pillion / Requests',
  about: 'Rate, errors and duration of the requests that services answer, down to single traces.',
  traces: true,
  variables: [SERVICE, SPAN_NAME],
  annotations: EVENTS,
  rows: [
    open(100, 'Is it well?', [
      stat({
        id: 1,
        title: 'Requests',
        about: 'Requests served per second (traces_spanmetrics_calls_total). A sudden fall is bad.',
        unit: 'reqps',
        queries: [series(requests(chosen, [], HERE), 'Requests')],
        empty: NO_SPANS,
        width: 6,
      }),
      stat({
        id: 2,
        title: 'Errors',
        about:
          'Share of the served requests that failed (traces_spanmetrics_calls_total). Above 1 % look, above 5 % act.',
        unit: 'percentunit',
        queries: [now(errors(chosen, [], HERE), 'Errors')],
        empty: NO_REQUESTS,
        steps: ERROR_STEPS,
        decimals: 2,
        mode: 'colour',
        width: 6,
      }),
      stat({
        id: 3,
        title: 'Latency p50',
        about: 'Half of the served requests took at most this long (traces_spanmetrics_latency).',
        unit: 's',
        queries: [now(observed(duration(chosen, 0.5, [], HERE)), 'p50')],
        empty: NO_REQUESTS,
        width: 6,
      }),
      stat({
        id: 4,
        title: 'Latency p95',
        about:
          '95 of 100 served requests took at most this long (traces_spanmetrics_latency). Compare with what you promise.',
        unit: 's',
        queries: [now(observed(duration(chosen, 0.95, [], HERE)), 'p95')],
        empty: NO_REQUESTS,
        steps: LATENCY_STEPS,
        mode: 'colour',
        width: 6,
      }),
    ]),
    open(200, 'Which service?', [
      lines({
        id: 20,
        title: 'Requests by service',
        about: 'Requests served per second (traces_spanmetrics_calls_total). A sudden fall is bad.',
        unit: 'reqps',
        queries: [series(requests(chosen, ['service'], HERE), '{{service}}')],
        links: [TRACES.service, OBJECTIVES],
        empty: NO_SPANS,
      }),
      lines({
        id: 21,
        title: 'Errors by service',
        about:
          'Share of the served requests that failed (traces_spanmetrics_calls_total). Above 1 % look, above 5 % act.',
        unit: 'percentunit',
        queries: [series(errors(chosen, ['service'], HERE), '{{service}}')],
        links: [TRACES.failed, OBJECTIVES],
        empty: NO_SPANS,
        steps: ERROR_STEPS,
      }),
      lines({
        id: 22,
        title: 'Latency p95 by service',
        about:
          '95 of 100 served requests took at most this long (traces_spanmetrics_latency). Points are exemplars: click one for its trace.',
        unit: 's',
        queries: [traced(duration(chosen, 0.95, ['service'], HERE), '{{service}}')],
        links: [TRACES.service, OBJECTIVES],
        empty: NO_SPANS,
        steps: LATENCY_STEPS,
      }),
    ]),
    open(300, 'Which operation?', [
      table({
        id: 30,
        title: 'Operations',
        about:
          'One row for each operation that is served; click it to see only that one. High errors or a p99 far above the p50 are bad. A row named overflow holds the operations beyond spans.limit.',
        by: { span_name: 'Operation', service: 'Service' },
        leads: { span_name: [CELL.operation, CELL.traces, CELL.failed, CELL.slow], service: CELL.service },
        columns: [
          {
            title: 'Requests',
            query: now(requests(chosen, OPERATION, HERE), '{{span_name}}'),
            unit: 'reqps',
          },
          {
            title: 'Errors',
            query: now(errors(chosen, OPERATION, HERE), '{{span_name}}'),
            unit: 'percentunit',
            steps: ERROR_STEPS,
          },
          { title: 'p50', query: now(duration(chosen, 0.5, OPERATION, HERE), '{{span_name}}'), unit: 's' },
          {
            title: 'p95',
            query: now(duration(chosen, 0.95, OPERATION, HERE), '{{span_name}}'),
            unit: 's',
            steps: LATENCY_STEPS,
          },
          { title: 'p99', query: now(duration(chosen, 0.99, OPERATION, HERE), '{{span_name}}'), unit: 's' },
          {
            title: 'Time spent',
            query: now(sum(chosen.summed(latency, { ...SERVED, ...HERE }), OPERATION), '{{span_name}}'),
            unit: 'percentunit',
          },
        ],
        empty: NO_SPANS,
        sorted: 'Errors',
        width: 16,
        height: 10,
      }),
      lines({
        id: 31,
        title: 'Failed requests by operation',
        about:
          'Failed requests per second (traces_spanmetrics_calls_total with STATUS_CODE_ERROR). Points are exemplars: click one for its trace.',
        unit: 'reqps',
        queries: [
          traced(happening(sum(chosen.rate(calls, { ...FAILED, ...HERE }), OPERATION)), '{{service}} {{span_name}}'),
        ],
        links: [TRACES.failedOperation],
        empty: 'no request failed',
        height: 10,
      }),
    ]),
    open(400, 'How slow, and which traces?', [
      heatmap({
        id: 40,
        title: 'Latency',
        about:
          'How many served requests fell into each bucket (traces_spanmetrics_latency). Points are exemplars: click one for its trace. Two bands mean two kinds of requests.',
        unit: 's',
        queries: [heat(sum(chosen.cells(latency, { ...SERVED, ...HERE }), ['le']))],
        empty: NO_SPANS,
        width: 16,
      }),
      lines({
        id: 41,
        title: 'Latency',
        about:
          'Half, 95 and 99 of 100 served requests took at most this long (traces_spanmetrics_latency). Points are exemplars: click one for its trace.',
        unit: 's',
        queries: [
          traced(duration(chosen, 0.99, [], HERE), 'p99'),
          series(duration(chosen, 0.95, [], HERE), 'p95'),
          series(duration(chosen, 0.5, [], HERE), 'p50'),
        ],
        empty: NO_SPANS,
        height: 10,
      }),
    ]),
    blameRow,
    pathRow,
    serviceGraph,
    open(650, 'What does it call?', [...peers(67), peerTable, callTable]),
    versionRow,
    weekRow,
    folded(500, 'All spans, not only requests', [
      lines({
        id: 50,
        title: 'Spans by kind',
        about:
          'Spans per second by kind (traces_spanmetrics_calls_total): server and consumer are requests served, client and producer are calls to others, internal is the rest.',
        unit: 'cps',
        queries: [series(sum(chosen.rate(calls, HERE), ['span_kind']), '{{span_kind}}')],
        empty: NO_SPANS,
        stacked: true,
      }),
      lines({
        id: 53,
        title: 'Mean size of a span',
        about:
          'Bytes of a span as it was received (traces_spanmetrics_size_total / traces_spanmetrics_calls_total). Tens of kibibytes mean large attributes.',
        unit: 'bytes',
        queries: [series(each(size), '{{service}} {{span_name}}')],
        empty: NO_SPANS,
      }),
      lines({
        id: 54,
        title: 'Operations by service',
        about:
          'Different operation names (traces_spanmetrics_calls_total). Growth without end means that names carry ids.',
        unit: 'short',
        queries: [series(count(sum(chosen.rate(calls, HERE), OPERATION), ['service']), '{{service}}')],
        empty: NO_SPANS,
      }),
      lines({
        id: 55,
        title: 'Spans left out',
        about:
          'Accepted spans that are left out of these figures (pillion_spans_excluded_total): answers to the sidecar’s own health probes.',
        unit: 'cps',
        queries: [series(sum(chosen.rate(excluded), ['reason']), '{{reason}}')],
        empty: NO_SPANS,
      }),
      lines({
        id: 56,
        title: 'Events of a span',
        about:
          'Events per span, mostly exceptions (traces_spanmetrics_events_total / traces_spanmetrics_calls_total). A rise where nothing fails: errors that are caught.',
        unit: 'short',
        queries: [series(each(events), '{{service}} {{span_name}}')],
        empty: 'no span has events',
      }),
      lines({
        id: 57,
        title: 'Links of a span',
        about:
          'Links to other spans per span (traces_spanmetrics_links_total / traces_spanmetrics_calls_total). For a consumer this is the size of its batches; growing batches mean that it falls behind.',
        unit: 'short',
        queries: [series(each(links), '{{service}} {{span_name}}')],
        empty: 'no span has links',
      }),
    ]),
  ],
}
