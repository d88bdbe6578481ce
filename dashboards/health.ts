// The results of the probes: states, reasons, phases, components, certificates.

import * as health from '../collectors/health.ts'
import { type Board, chosen, EVENTS, folded, OF_CHOSEN, open, type Variable } from './board.ts'
import { CELL, to } from './links.ts'
import { heatmap, lines, stat, table, timeline, UP_OR_DOWN } from './panels.ts'
import { binary, happening, labelled, max, min, observed, quantile, share, split, sum } from './promql.ts'
import { heat, now, series } from './query.ts'
import { NO_PROBE } from './terms.ts'

const PROBE: Variable = { name: 'probe', label: 'Probe', family: health.probes, of: 'probe', where: OF_CHOSEN }
const HERE = { probe: { re: '$probe' } } as const
const EACH = ['instance', 'probe'] as const

const DAY = '86400'

export const healthBoard: Board = {
  uid: 'pillion-health',
  title: 'Pillion / Health',
  about: 'Whether the applications answer, why not, and in which phase of the answer the time goes.',
  variables: [PROBE],
  annotations: EVENTS,
  rows: [
    open(100, 'Is it well?', [
      stat({
        id: 1,
        title: 'State',
        about: 'The worst of the chosen probes, after thresholds (app_health_up). Down is bad.',
        unit: 'none',
        queries: [now(min(chosen.value(health.healthUp, HERE)), 'State')],
        more: to('pillion-application'),
        empty: NO_PROBE,
        words: UP_OR_DOWN,
        steps: ['red', [1, 'green']],
        mode: 'colour',
      }),
      stat({
        id: 2,
        title: 'Availability',
        about:
          'Share of the time shown in which the worst of the chosen probes said up (app_health_up). It is of time, not of probes, which come more often while they fail.',
        unit: 'percentunit',
        queries: [now(min(chosen.over('avg', health.healthUp, HERE, '$__range')), 'Availability')],
        empty: NO_PROBE,
        steps: ['red', [0.99, 'yellow'], [0.999, 'green']],
        decimals: 2,
      }),
      stat({
        id: 3,
        title: 'Changes',
        about:
          'Changes between up and down over the time shown (app_health_state_changes_total). More than a few: it flaps.',
        unit: 'none',
        queries: [now(sum(chosen.increase(health.stateChanges, HERE, '$__range')), 'Changes')],
        empty: NO_PROBE,
        steps: ['green', [0.5, 'yellow'], [4, 'red']],
        decimals: 0,
      }),
      stat({
        id: 4,
        title: 'Answer p95',
        about:
          '95 of 100 probes took at most this long, failed ones included (app_health_probe_duration_seconds). Near the timeout is bad.',
        unit: 's',
        queries: [series(observed(quantile(0.95, sum(chosen.buckets(health.probeDuration, HERE), ['le']))), 'p95')],
        empty: NO_PROBE,
      }),
      stat({
        id: 5,
        title: 'Certificate',
        about:
          'Days until the first certificate expires (app_health_tls_cert_not_after_timestamp_seconds). Below 21 renew it, below 7 hurry.',
        unit: 'short',
        queries: [
          now(binary(binary(min(chosen.value(health.certificateExpiry, HERE)), '-', 'time()'), '/', DAY), 'Days left'),
        ],
        empty: 'no probe over TLS',
        steps: ['red', [7, 'yellow'], [21, 'green']],
        decimals: 0,
      }),
      stat({
        id: 6,
        title: 'Last probe',
        about:
          'Age of the oldest last probe (app_health_last_probe_timestamp_seconds). Longer than its interval: the sidecar does not keep up.',
        unit: 's',
        queries: [now(max(binary('time()', '-', chosen.value(health.lastProbe, HERE))), 'Ago')],
        empty: NO_PROBE,
        decimals: 0,
      }),
      timeline({
        id: 7,
        title: 'States',
        about: 'Each probe over time, after thresholds (app_health_up). Red is down.',
        unit: 'none',
        queries: [series(chosen.value(health.healthUp, HERE), '{{instance}} {{probe}}')],
        empty: NO_PROBE,
        words: UP_OR_DOWN,
        steps: ['red', [1, 'green']],
        width: 12,
        height: 6,
      }),
      timeline({
        id: 8,
        title: 'Components',
        about:
          'Components of the health documents over time (app_health_component_up). Red: the application says that this part of it is down.',
        unit: 'none',
        queries: [series(chosen.value(health.componentUp, HERE), '{{instance}} {{component}}')],
        empty: 'no health document lists components',
        words: UP_OR_DOWN,
        steps: ['red', [1, 'green']],
        width: 12,
        height: 6,
      }),
    ]),
    open(200, 'Why?', [
      lines({
        id: 20,
        title: 'Failed probes by reason',
        about:
          'Failed probes within five minutes, by the first thing that was wrong (app_health_probe_failures_total). local: the sidecar itself could not probe.',
        unit: 'short',
        queries: [
          series(
            happening(sum(chosen.increase(health.probeFailures, HERE, '5m'), ['probe', 'reason'])),
            '{{probe}} {{reason}}',
          ),
        ],
        empty: 'no probe failed',
      }),
      lines({
        id: 21,
        title: 'Where the time goes',
        about:
          'Mean time of a probe by phase (app_health_probe_phase_seconds_total). Growing processing is the application, growing connect its accept queue, growing resolve the name server.',
        unit: 's',
        queries: [
          series(
            split(
              sum(chosen.rate(health.probePhase, HERE), ['probe', 'phase']),
              sum(chosen.observed(health.probeDuration, HERE), ['probe']),
              ['probe'],
            ),
            '{{probe}} {{phase}}',
          ),
        ],
        empty: NO_PROBE,
        stacked: true,
      }),
      lines({
        id: 22,
        title: 'Duration',
        about:
          'Half and 95 of 100 probes took at most this long (app_health_probe_duration_seconds). Near the timeout is bad.',
        unit: 's',
        queries: [
          series(quantile(0.95, sum(chosen.buckets(health.probeDuration, HERE), ['le', 'probe'])), '{{probe}} p95'),
          series(quantile(0.5, sum(chosen.buckets(health.probeDuration, HERE), ['le', 'probe'])), '{{probe}} p50'),
        ],
        empty: NO_PROBE,
      }),
      table({
        id: 23,
        title: 'Probes',
        about:
          'The target of each probe (app_health_probe_info) and its last result. Status: HTTP status, gRPC status or exit code.',
        by: { instance: 'Instance', probe: 'Probe', kind: 'Kind', target: 'Target' },
        leads: { instance: CELL.instance },
        sorted: 'State',
        lowest: true,
        columns: [
          {
            title: 'State',
            query: now(
              labelled(
                max(chosen.value(health.probeInfo, HERE), ['instance', 'probe', 'kind', 'target']),
                min(chosen.value(health.healthUp, HERE), EACH),
                EACH,
              ),
              '{{probe}}',
            ),
            words: UP_OR_DOWN,
            steps: ['red', [1, 'green']],
          },
          {
            title: 'Status',
            query: now(
              labelled(
                max(chosen.value(health.probeInfo, HERE), ['instance', 'probe', 'kind', 'target']),
                max(chosen.value(health.statusCode, HERE), EACH),
                EACH,
              ),
              '{{probe}}',
            ),
            unit: 'none',
          },
          {
            title: 'Failures in a row',
            query: now(
              labelled(
                max(chosen.value(health.probeInfo, HERE), ['instance', 'probe', 'kind', 'target']),
                max(chosen.value(health.consecutiveFailures, HERE), EACH),
                EACH,
              ),
              '{{probe}}',
            ),
            unit: 'none',
          },
          {
            title: 'First success after',
            query: now(
              labelled(
                max(chosen.value(health.probeInfo, HERE), ['instance', 'probe', 'kind', 'target']),
                max(chosen.value(health.firstSuccess, HERE), EACH),
                EACH,
              ),
              '{{probe}}',
            ),
            unit: 's',
          },
        ],
        empty: NO_PROBE,
        height: 6,
      }),
    ]),
    folded(300, 'Single probes', [
      timeline({
        id: 30,
        title: 'Success of each probe',
        about:
          'Whether the last probe succeeded (app_health_probe_success), before thresholds. Red here and green above: the thresholds tolerate it.',
        unit: 'none',
        queries: [series(chosen.value(health.probeSuccess, HERE), '{{instance}} {{probe}}')],
        empty: NO_PROBE,
        words: { 1: { text: 'Success', color: 'green' }, 0: { text: 'Failure', color: 'red' } },
        steps: ['red', [1, 'green']],
        width: 12,
        height: 7,
      }),
      lines({
        id: 31,
        title: 'Status',
        about: 'HTTP status, gRPC status or exit code of the last probe (app_health_status_code).',
        unit: 'none',
        queries: [series(chosen.value(health.statusCode, HERE), '{{instance}} {{probe}}')],
        empty: 'no probe got a status',
        width: 12,
        height: 7,
      }),
      heatmap({
        id: 32,
        title: 'Durations',
        about: 'How many probes fell into each bucket (app_health_probe_duration_seconds).',
        unit: 's',
        queries: [heat(sum(chosen.cells(health.probeDuration, HERE), ['le']))],
        empty: NO_PROBE,
        width: 12,
        height: 8,
      }),
      lines({
        id: 33,
        title: 'Probes',
        about:
          'Probes per second (app_health_probes_total). Fewer than its interval implies: the sidecar does not keep up.',
        unit: 'cps',
        queries: [series(sum(chosen.rate(health.probes, HERE), EACH), '{{instance}} {{probe}}')],
        empty: NO_PROBE,
        width: 6,
      }),
      lines({
        id: 34,
        title: 'Not the application’s fault',
        about:
          'Share of the time of probes in which the sidecar itself was held up (app_health_probe_loop_delay_seconds_total). Above a few per cent the durations are too high.',
        unit: 'percentunit',
        queries: [
          series(
            share(
              sum(chosen.rate(health.probeLoopDelay, HERE), EACH),
              sum(chosen.summed(health.probeDuration, HERE), EACH),
            ),
            '{{instance}} {{probe}}',
          ),
        ],
        empty: NO_PROBE,
        width: 6,
      }),
    ]),
    folded(400, 'Documents and certificates', [
      lines({
        id: 40,
        title: 'Values that components report',
        about: 'Numbers of the health documents, in the unit that they name (app_health_component_observed_value).',
        unit: 'short',
        queries: [series(chosen.value(health.componentValue, HERE), '{{instance}} {{component}} {{unit}}')],
        empty: 'no health document reports values',
        width: 12,
      }),
      lines({
        id: 41,
        title: 'Components left out',
        about:
          'Components and values beyond the bound, within five minutes (app_health_components_dropped_total). Above 0 the list above is not complete.',
        unit: 'short',
        queries: [series(chosen.increase(health.componentsDropped, HERE, '5m'), '{{instance}} {{probe}}')],
        empty: NO_PROBE,
        width: 6,
      }),
      lines({
        id: 42,
        title: 'Days until the certificate expires',
        about: 'app_health_tls_cert_not_after_timestamp_seconds. Below 21 renew it, below 7 hurry.',
        unit: 'short',
        queries: [
          series(
            binary(binary(chosen.value(health.certificateExpiry, HERE), '-', 'time()'), '/', DAY),
            '{{instance}} {{probe}}',
          ),
        ],
        empty: 'no probe over TLS',
        width: 6,
      }),
    ]),
  ],
}
