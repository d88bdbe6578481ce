// The sidecar itself: does it take everything in, does it keep up, and what does it cost?

import * as logs from '../collectors/logs.ts'
import * as metrics from '../collectors/metrics.ts'
import * as otlp from '../collectors/otlp.ts'
import { families as app } from '../collectors/process.ts'
import { buildInfo, cpu, loopDelay, borrowed as ours, uncaughtExceptions } from '../collectors/self.ts'
import { edgeless, excluded, targetsDropped, unpaired, unweighted } from '../collectors/spans.ts'
import {
  collectorDuration,
  collectorSuccess,
  series as kept,
  seriesExpired,
  seriesOverflow,
} from '../exporter/metrics.ts'
import { certificateExpiry, configReloaded, refusedRequests } from '../exporter/web.ts'
import { successful, successTime } from '../sidecar/families.ts'
import { type Annotation, type Board, chosen, folded, open } from './board.ts'
import { PER_INSTANCE } from './measures.ts'
import { lines, stat, table, timeline } from './panels.ts'
import * as prometheus from './prometheus.ts'
import { avg, binary, happening, labelled, max, min, quantile, share, sum } from './promql.ts'
import { now, series } from './query.ts'

const NO_SIDECAR = 'no sidecar is scraped'
const NOTHING_IN = 'nothing received yet'

const loop = (q: number) => quantile(q, sum(chosen.buckets(loopDelay), ['le', 'instance']))

const restarts: Annotation = {
  name: 'Sidecar restarts',
  colour: 'blue',
  query: binary(chosen.changes(ours.startTime, {}, '2m'), '>', '0'),
  title: '{{instance}}: the sidecar restarted',
}

export const sidecar: Board = {
  uid: 'pillion-sidecar',
  title: 'Pillion / Sidecar',
  about: 'The sidecars themselves: what came in and where it went, series, cost, and whether the event loop keeps up.',
  annotations: [restarts],
  rows: [
    open(100, 'Is it well?', [
      stat({
        id: 1,
        title: 'Scraped',
        about: 'Part of the sidecars that Prometheus could scrape (up). Below 100 % some are down or unreachable.',
        unit: 'percentunit',
        queries: [
          // `up` of the targets that were sidecars within the last hour, and of no others.
          now(
            avg(binary(chosen.value(prometheus.up), 'and', chosen.over('count', buildInfo, {}, '1h'), PER_INSTANCE)),
            'Scraped',
          ),
        ],
        empty: NO_SIDECAR,
        steps: ['red', [1, 'green']],
        decimals: 0,
        mode: 'colour',
      }),
      stat({
        id: 2,
        title: 'Collectors',
        about:
          'Whether every collector brought its numbers up to date in time (pillion_collector_success). Failing: some numbers are old or absent.',
        unit: 'none',
        queries: [series(min(chosen.value(collectorSuccess)), 'Collectors')],
        empty: NO_SIDECAR,
        words: { 1: { text: 'All well', color: 'green' }, 0: { text: 'Failing', color: 'red' } },
        steps: ['red', [1, 'green']],
        mode: 'colour',
      }),
      stat({
        id: 3,
        title: 'Refused',
        about:
          'Part of the received items that were refused (pillion_otlp_refused_items_total), over the time shown. Above 0 is lost telemetry.',
        unit: 'percentunit',
        queries: [
          now(
            share(
              sum(chosen.increase(otlp.refused, {}, '$__range')),
              sum(chosen.increase(otlp.received, {}, '$__range')),
            ),
            'Refused',
          ),
        ],
        empty: NOTHING_IN,
        steps: ['green', [0.0001, 'yellow'], [0.01, 'red']],
        decimals: 2,
      }),
      stat({
        id: 4,
        title: 'Series overflowed',
        about:
          'Updates that went to an overflow series over the time shown (pillion_series_overflow_total). Above 0: raise spans.limit or drop a dimension.',
        unit: 'short',
        queries: [now(sum(chosen.increase(seriesOverflow, {}, '$__range')), 'Overflowed')],
        empty: NO_SIDECAR,
        steps: ['green', [0.5, 'orange']],
        decimals: 0,
      }),
      stat({
        id: 5,
        title: 'Event loop p99',
        about:
          '99 of 100 timers of the worst sidecar ran at most this much late (pillion_event_loop_delay_seconds). Above 100 ms probes and scrapes suffer.',
        unit: 's',
        queries: [series(max(loop(0.99)), 'p99')],
        empty: NO_SIDECAR,
        steps: ['green', [0.03, 'yellow'], [0.1, 'red']],
      }),
      stat({
        id: 6,
        title: 'Memory',
        about:
          'Memory in RAM of the largest sidecar (pillion_process_resident_memory_bytes). Above 160 MiB is more than it should need.',
        unit: 'bytes',
        queries: [series(max(chosen.value(ours.residentMemory)), 'Memory')],
        empty: NO_SIDECAR,
        steps: ['green', [120 * 2 ** 20, 'yellow'], [160 * 2 ** 20, 'red']],
      }),
    ]),
    open(200, 'The ledger: received is accepted plus refused', [
      lines({
        id: 20,
        title: 'Accepted',
        about: 'Spans, data points and log records taken per second (pillion_otlp_accepted_items_total).',
        unit: 'cps',
        queries: [series(sum(chosen.rate(otlp.accepted), ['signal']), '{{signal}}')],
        empty: NOTHING_IN,
      }),
      lines({
        id: 21,
        title: 'Refused by reason',
        about:
          'Items that were decoded and not taken, per second (pillion_otlp_refused_items_total). not_configured: nobody here uses that signal. Others are lost telemetry.',
        unit: 'cps',
        queries: [series(happening(sum(chosen.rate(otlp.refused), ['signal', 'reason'])), '{{signal}} {{reason}}')],
        empty: 'nothing refused',
      }),
      lines({
        id: 22,
        title: 'Requests by answer',
        about:
          'OTLP requests per second by HTTP status or gRPC code (pillion_otlp_requests_total). 503: too much at once; 400: the sender is broken; 413: raise otlp.max_request.',
        unit: 'reqps',
        queries: [
          series(
            happening(sum(chosen.rate(otlp.requests), ['signal', 'transport', 'code'])),
            '{{signal}} {{transport}} {{code}}',
          ),
        ],
        empty: NOTHING_IN,
      }),
    ]),
    open(300, 'What it costs', [
      lines({
        id: 30,
        title: 'CPU',
        about:
          'Cores used by the sidecar (pillion_process_cpu_seconds_total). It should be a small part of what the application uses.',
        unit: 'short',
        queries: [series(chosen.rate(cpu), '{{instance}} {{mode}}')],
        empty: NO_SIDECAR,
      }),
      lines({
        id: 31,
        title: 'Memory of the sidecar',
        about:
          'Memory in RAM (pillion_process_resident_memory_bytes). It should be flat: everything that grows is bounded.',
        unit: 'bytes',
        queries: [series(chosen.value(ours.residentMemory), '{{instance}}')],
        empty: NO_SIDECAR,
      }),
      lines({
        id: 32,
        title: 'Event loop delay',
        about:
          'Half and 99 of 100 timers ran at most this much late (pillion_event_loop_delay_seconds): what a request or a probe waits for the sidecar.',
        unit: 's',
        queries: [series(loop(0.99), '{{instance}} p99'), series(loop(0.5), '{{instance}} p50')],
        empty: NO_SIDECAR,
      }),
    ]),
    folded(400, 'Series, spans, logs and metrics', [
      lines({
        id: 40,
        title: 'Series',
        about:
          'Label sets held by each table (pillion_series). At its limit (spans.limit for the request metrics) further ones go to the overflow series.',
        unit: 'short',
        queries: [series(chosen.value(kept), '{{instance}} {{family}}')],
        empty: NO_SIDECAR,
      }),
      lines({
        id: 41,
        title: 'Overflow and expiry',
        about:
          'Updates per second that went to an overflow series (pillion_series_overflow_total). Above 0: raise the limit or drop a dimension. And label sets that were removed since nothing came for them any more (pillion_series_expired_total).',
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
          'Log records in memory (pillion_logs_held_records), and those that gave way to newer ones within five minutes (pillion_logs_evicted_total). For more raise logs.keep.',
        unit: 'short',
        queries: [
          series(chosen.value(logs.held), '{{instance}} kept'),
          series(chosen.increase(logs.evicted, {}, '5m'), '{{instance}} gave way'),
        ],
        empty: NO_SIDECAR,
      }),
      lines({
        id: 44,
        title: 'Memory of log records',
        about: 'Bytes of the log records that are kept (pillion_logs_held_bytes). It never exceeds logs.keep.',
        unit: 'bytes',
        queries: [series(chosen.value(logs.heldBytes), '{{instance}}')],
        empty: NO_SIDECAR,
      }),
      lines({
        id: 45,
        title: 'Gaps and ends of OTLP metrics',
        about:
          'Delta points that do not continue what is held (pillion_metrics_delta_gaps_total), and series that nothing updated (pillion_metrics_expired_series_total), within five minutes. Gaps are lost telemetry.',
        unit: 'short',
        queries: [
          series(sum(chosen.increase(metrics.gaps, {}, '5m'), ['reason']), 'gap: {{reason}}'),
          series(sum(chosen.increase(metrics.expired, {}, '5m')), 'expired'),
        ],
        empty: NO_SIDECAR,
      }),
      lines({
        id: 46,
        title: 'Requests seen from one side',
        about:
          'Halves of requests per second that stayed alone (pillion_spans_unpaired_total), and those that name no peer (pillion_spans_edgeless_total). wait is usual where others have sidecars of their own; full: raise spans.graph.pending.',
        unit: 'cps',
        queries: [
          series(sum(chosen.rate(unpaired), ['side', 'reason']), '{{side}}: {{reason}}'),
          series(sum(chosen.rate(edgeless)), 'no peer named'),
        ],
        empty: 'no service graph is made',
      }),
      lines({
        id: 47,
        title: 'Weights and resources left out',
        about:
          'Spans that counted once though they stand for more (pillion_spans_unweighted_total), and resources not shown whole (pillion_spans_target_info_dropped_total), per second. full: raise spans.target_info.limit.',
        unit: 'cps',
        queries: [
          series(sum(chosen.rate(unweighted)), 'counted once'),
          series(sum(chosen.rate(targetsDropped), ['reason']), 'resource: {{reason}}'),
        ],
        empty: NO_SIDECAR,
      }),
    ]),
    folded(500, 'Doors', [
      lines({
        id: 50,
        title: 'Bytes being received',
        about:
          'Requests on their way (pillion_otlp_inflight_bytes). At otlp.max_inflight further ones are answered with 503.',
        unit: 'bytes',
        queries: [series(chosen.value(otlp.inflight), '{{instance}}')],
        empty: NO_SIDECAR,
      }),
      lines({
        id: 51,
        title: 'Connections closed at once',
        about:
          'Connections per second beyond the bound of the OTLP door (pillion_otlp_refused_connections_total). Above 0: a client does not reuse them.',
        unit: 'cps',
        queries: [series(sum(chosen.rate(otlp.refusedConnections), ['transport']), '{{transport}}')],
        empty: NO_SIDECAR,
      }),
      lines({
        id: 52,
        title: 'Turned away by the web door',
        about:
          'Requests per second that the web door refused, by reason (pillion_web_refused_requests_total). Above 0: a misconfigured client or an attack.',
        unit: 'cps',
        queries: [series(happening(sum(chosen.rate(refusedRequests), ['reason'])), '{{reason}}')],
        empty: 'nothing turned away',
      }),
      timeline({
        id: 53,
        title: 'Configuration in effect',
        about:
          'Whether the newest configuration is the one in effect (pillion_config_last_reload_successful), and the newest web configuration and certificates (pillion_web_config_last_reload_successful). Red: they were refused, the log says why, and the old ones stay.',
        unit: 'none',
        queries: [
          series(chosen.value(successful), '{{instance}}'),
          series(chosen.value(configReloaded), '{{instance}} web'),
        ],
        empty: NO_SIDECAR,
        words: { 1: { text: 'Newest', color: 'green' }, 0: { text: 'Older', color: 'red' } },
        steps: ['red', [1, 'green']],
      }),
      lines({
        id: 54,
        title: 'Age of the configuration',
        about:
          'Seconds since the configuration in effect was taken (pillion_config_last_reload_success_timestamp_seconds).',
        unit: 's',
        queries: [series(binary('time()', '-', chosen.value(successTime)), '{{instance}}')],
        empty: NO_SIDECAR,
      }),
      lines({
        id: 55,
        title: 'Days until the certificate of the web door expires',
        about:
          'pillion_web_tls_cert_not_after_timestamp_seconds. Below 21 renew it, below 7 hurry; a renewed file is taken without a restart.',
        unit: 'short',
        queries: [series(binary(binary(chosen.value(certificateExpiry), '-', 'time()'), '/', '86400'), '{{instance}}')],
        empty: 'the web door has no TLS',
      }),
    ]),
    folded(600, 'Collectors', [
      timeline({
        id: 60,
        title: 'Collectors over time',
        about:
          'Whether each collector brought its numbers up to date for the scrape (pillion_collector_success). Red: they are old or absent.',
        unit: 'none',
        queries: [series(chosen.value(collectorSuccess), '{{instance}} {{collector}}')],
        empty: NO_SIDECAR,
        words: { 1: { text: 'Well', color: 'green' }, 0: { text: 'Failed', color: 'red' } },
        steps: ['red', [1, 'green']],
        width: 12,
        height: 8,
      }),
      lines({
        id: 61,
        title: 'Time of a collection',
        about:
          'Seconds that each collector took for the last scrape (pillion_collector_duration_seconds). Near the scrape timeout its numbers are left out.',
        unit: 's',
        queries: [series(chosen.value(collectorDuration), '{{instance}} {{collector}}')],
        empty: NO_SIDECAR,
        width: 12,
      }),
    ]),
    folded(700, 'Node', [
      lines({
        id: 70,
        title: 'Heap',
        about: 'JavaScript heap used and held, and memory outside it (pillion_nodejs_…_bytes). It should be flat.',
        unit: 'bytes',
        queries: [
          series(chosen.value(ours.heapUsed), '{{instance}} used'),
          series(chosen.value(ours.heapTotal), '{{instance}} held'),
          series(chosen.value(ours.externalMemory), '{{instance}} outside'),
        ],
        empty: NO_SIDECAR,
      }),
      lines({
        id: 71,
        title: 'Garbage collection',
        about:
          'Part of the time spent collecting garbage, by kind (pillion_nodejs_gc_duration_seconds). Above a few per cent is bad.',
        unit: 'percentunit',
        queries: [series(chosen.summed(ours.gcDuration), '{{instance}} {{kind}}')],
        empty: 'no garbage collected yet',
      }),
      lines({
        id: 72,
        title: 'Open files of the sidecar',
        about: 'Open file descriptors (pillion_process_open_fds) against their limit.',
        unit: 'short',
        queries: [
          series(chosen.value(ours.openFds), '{{instance}} open'),
          series(chosen.value(ours.maxFds), '{{instance}} limit'),
        ],
        empty: NO_SIDECAR,
        dashed: '.* limit',
      }),
      lines({
        id: 73,
        title: 'Address space of the sidecar',
        about:
          'Virtual memory and data segment (pillion_process_virtual_memory_bytes, pillion_process_heap_bytes). Large is normal for Node.',
        unit: 'bytes',
        queries: [
          series(chosen.value(ours.virtualMemory), '{{instance}} virtual'),
          series(chosen.value(ours.heap), '{{instance}} data'),
        ],
        empty: NO_SIDECAR,
      }),
      lines({
        id: 74,
        title: 'What the process collector leaves out',
        about:
          'Looks per second that left something out (pillion_process_over_limit_total). Above 0: raise process.processes_limit or process.threads_limit.',
        unit: 'cps',
        queries: [series(sum(chosen.rate(app.overLimit), ['what']), '{{what}}')],
        empty: NO_SIDECAR,
      }),
      lines({
        id: 76,
        title: 'Bugs in the sidecar',
        about:
          'Errors that nothing caught, within five minutes (pillion_uncaught_exceptions_total). Above 0: please report it with the log.',
        unit: 'short',
        queries: [series(chosen.increase(uncaughtExceptions, {}, '5m'), '{{instance}}')],
        empty: NO_SIDECAR,
      }),
      table({
        id: 75,
        title: 'Versions',
        about:
          'Versions of the sidecars and of their Node (pillion_build_info). Several at once: a roll-out that has not ended.',
        by: { instance: 'Instance', version: 'Version', node: 'Node' },
        columns: [
          {
            title: 'Since',
            query: now(
              labelled(
                max(chosen.value(buildInfo), ['instance', 'version', 'node']),
                binary(max(chosen.value(ours.startTime), ['instance']), '*', '1000'),
                ['instance'],
              ),
              '{{instance}}',
            ),
            unit: 'dateTimeAsIso',
          },
        ],
        empty: NO_SIDECAR,
        width: 8,
      }),
    ]),
  ],
}
