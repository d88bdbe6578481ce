// The row of what telemetry becomes: series, spans, logs and metrics.

import * as otlp from '../../collectors/otlp.ts'
import { series as kept, seriesExpired, seriesOverflow } from '../../metrics/registry.ts'
import * as logs from '../../processors/logs.ts'
import * as metrics from '../../processors/points.ts'
import { edgeless, excluded, targetsDropped, unpaired, unweighted } from '../../processors/spans.ts'
import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { sum } from '../promql.ts'
import { series } from '../query.ts'
import { NO_SIDECAR } from '../terms.ts'

export const telemetryRow: Row = folded(400, 'Series, spans, logs and metrics', [
  lines({
    id: 40,
    title: 'Series',
    about:
      'Label sets held by each table (pillion_series). At the limit (spans.limit for the request metrics) further ones are counted in overflow series.',
    unit: 'short',
    queries: [series(chosen.value(kept), '{{instance}} {{family}}')],
    empty: NO_SIDECAR,
  }),
  lines({
    id: 41,
    title: 'Overflow and expiry',
    about:
      'Updates per second that went to an overflow series (pillion_series_overflow_total). Above 0: raise the limit or drop a dimension. Also label sets removed because nothing came for them any more (pillion_series_expired_total).',
    unit: 'cps',
    queries: [
      series(sum(chosen.rate(seriesOverflow), ['family']), '{{family}}'),
      series(sum(chosen.rate(seriesExpired), ['family']), '{{family}} expired'),
    ],
    empty: NO_SIDECAR,
  }),
  lines({
    id: 42,
    title: 'Spans adjusted or left out',
    about:
      'Accepted spans without a usable duration (pillion_otlp_adjusted_spans_total), and answers to our own probes (pillion_spans_excluded_total), per second.',
    unit: 'cps',
    queries: [
      series(sum(chosen.rate(otlp.adjusted), ['reason']), 'adjusted: {{reason}}'),
      series(sum(chosen.rate(excluded), ['reason']), 'left out: {{reason}}'),
    ],
    empty: NO_SIDECAR,
  }),
  lines({
    id: 43,
    title: 'Log records kept',
    about:
      'Log records in memory (pillion_logs_held_records), and those replaced by newer ones within five minutes (pillion_logs_evicted_total). Raise logs.keep to hold more.',
    unit: 'short',
    queries: [
      series(chosen.value(logs.held), '{{instance}} kept'),
      series(chosen.increase(logs.evicted, {}, '5m'), '{{instance}} gave way'),
    ],
    empty: NO_SIDECAR,
  }),
  lines({
    id: 44,
    title: 'Memory of metrics and logs',
    about:
      'Bytes that the series of OTLP metrics take (pillion_metrics_held_bytes, at most metrics.memory), and those of the log records that are kept (pillion_logs_held_bytes, at most logs.keep).',
    unit: 'bytes',
    queries: [
      series(chosen.value(metrics.heldBytes), '{{instance}} metrics'),
      series(chosen.value(logs.heldBytes), '{{instance}} logs'),
    ],
    empty: NO_SIDECAR,
  }),
  lines({
    id: 45,
    title: 'Gaps and ends of OTLP metrics',
    about:
      'Within five minutes: delta points that do not continue their sum (pillion_metrics_delta_gaps_total), which are lost telemetry; series that nothing updated (pillion_metrics_expired_series_total); sums of deltas that made room for new series (pillion_metrics_evicted_sums_total), for which metrics.limit is too low; points of several processes with one service.instance.id (pillion_metrics_conflicting_points_total).',
    unit: 'short',
    queries: [
      series(sum(chosen.increase(metrics.gaps, {}, '5m'), ['reason']), 'gap: {{reason}}'),
      series(sum(chosen.increase(metrics.expired, {}, '5m')), 'expired'),
      series(sum(chosen.increase(metrics.evicted, {}, '5m')), 'evicted'),
      series(sum(chosen.increase(metrics.conflicts, {}, '5m')), 'conflicting'),
    ],
    empty: NO_SIDECAR,
  }),
  lines({
    id: 46,
    title: 'Requests seen from one side',
    about:
      'Halves of requests per second whose other half was not seen (pillion_spans_unpaired_total), and those of them that make no edge (pillion_spans_edgeless_total): servers with an unseen caller, clients that name no peer. wait is usual where others have sidecars of their own; full: raise spans.graph.pending.',
    unit: 'cps',
    queries: [
      series(sum(chosen.rate(unpaired), ['side', 'reason']), '{{side}}: {{reason}}'),
      series(sum(chosen.rate(edgeless), ['side']), 'no edge: {{side}}'),
    ],
    empty: 'no service graph is made',
  }),
  lines({
    id: 47,
    title: 'Weights and resources left out',
    about:
      'Spans that counted once although they claim to stand for more (pillion_spans_unweighted_total), and resources not shown completely (pillion_spans_target_info_dropped_total), per second. counted once, span: raise spans.weight_limit if your samplers keep less. full: raise spans.target_info.limit.',
    unit: 'cps',
    queries: [
      series(sum(chosen.rate(unweighted), ['reason']), 'counted once: {{reason}}'),
      series(sum(chosen.rate(targetsDropped), ['reason']), 'resource: {{reason}}'),
    ],
    empty: NO_SIDECAR,
  }),
])
