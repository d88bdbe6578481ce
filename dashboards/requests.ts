// From services to operations to traces.

import { calls, excluded, latency, size } from '../collectors/spans.ts'
import { type Board, chosen, EVENTS, folded, open, SERVICE, SPAN_NAME } from './board.ts'
import { duration, errors, FAILED, requests, SERVED } from './measures.ts'
import { heatmap, lines, stat, table } from './panels.ts'
import { count, happening, share, sum } from './promql.ts'
import { heat, now, series, traced } from './query.ts'
import { ERROR_STEPS, LATENCY_STEPS, LINKS, NO_SPANS } from './terms.ts'

const HERE = { service: { re: '$service' }, span_name: { re: '$span_name' } } as const
const OPERATION = ['service', 'span_name'] as const

export const requestsBoard: Board = {
  uid: 'pillion-requests',
  title: 'Pillion / Requests',
  about: 'Rate, errors and duration of what the services serve, down to single traces.',
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
          'Part of the served requests that failed (traces_spanmetrics_calls_total). Above 1 % look, above 5 % act.',
        unit: 'percentunit',
        queries: [series(errors(chosen, [], HERE), 'Errors')],
        empty: NO_SPANS,
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
        queries: [series(duration(chosen, 0.5, [], HERE), 'p50')],
        empty: NO_SPANS,
        width: 6,
      }),
      stat({
        id: 4,
        title: 'Latency p95',
        about:
          '95 of 100 served requests took at most this long (traces_spanmetrics_latency). Compare with what you promise.',
        unit: 's',
        queries: [series(duration(chosen, 0.95, [], HERE), 'p95')],
        empty: NO_SPANS,
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
        empty: NO_SPANS,
      }),
      lines({
        id: 21,
        title: 'Errors by service',
        about:
          'Part of the served requests that failed (traces_spanmetrics_calls_total). Above 1 % look, above 5 % act.',
        unit: 'percentunit',
        queries: [series(errors(chosen, ['service'], HERE), '{{service}}')],
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
        empty: NO_SPANS,
        steps: LATENCY_STEPS,
      }),
    ]),
    open(300, 'Which operation?', [
      table({
        id: 30,
        title: 'Operations',
        about:
          'One row per operation that is served; click it to see only that one. High errors or a p99 far above the p50 are bad.',
        by: { span_name: 'Operation', service: 'Service' },
        links: { span_name: LINKS.operation },
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
    folded(500, 'All spans, not only requests', [
      lines({
        id: 50,
        title: 'Spans by kind',
        about:
          'Spans per second by kind (traces_spanmetrics_calls_total): server and consumer are served, client and producer are asked of others, internal is the rest.',
        unit: 'cps',
        queries: [series(sum(chosen.rate(calls, HERE), ['span_kind']), '{{span_kind}}')],
        empty: NO_SPANS,
        stacked: true,
      }),
      lines({
        id: 51,
        title: 'Calls to others, p95',
        about:
          '95 of 100 calls that a service made took at most this long (traces_spanmetrics_latency with SPAN_KIND_CLIENT). Slow here and slow above: somebody it depends on.',
        unit: 's',
        queries: [
          traced(
            duration(chosen, 0.95, OPERATION, { ...HERE, span_kind: 'SPAN_KIND_CLIENT' }),
            '{{service}} {{span_name}}',
          ),
        ],
        empty: 'no calls to others received yet',
      }),
      lines({
        id: 52,
        title: 'Failed calls to others',
        about:
          'Part of the calls that a service made that failed, by operation (SPAN_KIND_CLIENT). Errors here explain errors above.',
        unit: 'percentunit',
        queries: [
          series(
            share(
              sum(
                chosen.rate(calls, { ...HERE, span_kind: 'SPAN_KIND_CLIENT', status_code: 'STATUS_CODE_ERROR' }),
                OPERATION,
              ),
              sum(chosen.rate(calls, { ...HERE, span_kind: 'SPAN_KIND_CLIENT' }), OPERATION),
            ),
            '{{service}} {{span_name}}',
          ),
        ],
        empty: 'no calls to others received yet',
        steps: ERROR_STEPS,
      }),
      lines({
        id: 53,
        title: 'Mean size of a span',
        about:
          'Bytes of a span as it was received (traces_spanmetrics_size_total / traces_spanmetrics_calls_total). Tens of kibibytes mean large attributes.',
        unit: 'bytes',
        queries: [
          series(
            share(sum(chosen.rate(size, HERE), OPERATION), sum(chosen.rate(calls, HERE), OPERATION)),
            '{{service}} {{span_name}}',
          ),
        ],
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
          'Accepted spans that are not in these figures (pillion_spans_excluded_total): answers to the sidecar’s own health probes.',
        unit: 'cps',
        queries: [series(sum(chosen.rate(excluded), ['reason']), '{{reason}}')],
        empty: NO_SPANS,
      }),
    ]),
  ],
}
