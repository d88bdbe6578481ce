// The sidecar itself: does it take everything in, does it keep up, and what does it cost?

import * as memory from '../collectors/memory.ts'
import * as otlp from '../collectors/otlp.ts'
import { buildInfo, cpu, loopDelay, borrowed as ours } from '../collectors/self.ts'
import { collectorDuration, collectorSuccess } from '../exporter/prometheus.ts'
import { certificateExpiry, configReloaded, refusedRequests } from '../exporter/web.ts'
import { seriesOverflow } from '../metrics/registry.ts'
import { successful, successTime } from '../telemetry/reload.ts'
import { type Annotation, type Board, chosen, folded, open } from './board.ts'
import { PER_INSTANCE } from './measures.ts'
import { lines, stat, timeline } from './panels.ts'
import * as prometheus from './prometheus.ts'
import { avg, binary, happening, max, min, quantile, share, sum } from './promql.ts'
import { now, series } from './query.ts'
import { filesRow } from './sidecar/files.ts'
import { flightRow } from './sidecar/flight.ts'
import { forwardRow } from './sidecar/forward.ts'
import { momentsRow } from './sidecar/moments.ts'
import { nodeRow } from './sidecar/node.ts'
import { pushRow } from './sidecar/push.ts'
import { samplingRow } from './sidecar/sampling.ts'
import { scrapeRow } from './sidecar/scrape.ts'
import { tapRow } from './sidecar/tap.ts'
import { telemetryRow } from './sidecar/telemetry.ts'
import { tracesRow } from './sidecar/traces.ts'
import { treesRow } from './sidecar/trees.ts'
import { NO_SIDECAR } from './terms.ts'

const NOTHING_IN = 'nothing received yet'

const loop = (q: number) => quantile(q, sum(chosen.buckets(loopDelay), ['le', 'instance']))

const starts: Annotation = {
  name: 'Sidecar starts',
  colour: 'blue',
  query: binary(chosen.value(ours.startTime), '*', '1000'),
  valueIsTime: true,
  title: '{{instance}}: the sidecar started',
}

export const sidecar: Board = {
  uid: 'pillion-sidecar',
  title: 'Pillion / Sidecar',
  about: 'The sidecars themselves: what came in and where it went, series, cost, and whether the event loop keeps up.',
  annotations: [starts],
  rows: [
    open(100, 'Is it well?', [
      stat({
        id: 1,
        title: 'Scraped',
        about: 'Share of the sidecars that Prometheus could scrape (up). Below 100 % some are down or unreachable.',
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
          'Whether every collector updated its numbers in time (pillion_collector_success). Failing: some numbers are old or absent.',
        unit: 'none',
        queries: [now(min(chosen.value(collectorSuccess)), 'Collectors')],
        empty: NO_SIDECAR,
        words: { 1: { text: 'All well', color: 'green' }, 0: { text: 'Failing', color: 'red' } },
        steps: ['red', [1, 'green']],
        mode: 'colour',
      }),
      stat({
        id: 3,
        title: 'Refused',
        about:
          'Share of the received items that were refused (pillion_otlp_refused_items_total), over the time shown. Above 0 is lost telemetry.',
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
          'Items that were decoded and not taken, per second (pillion_otlp_refused_items_total), and items that one of their consumers could not keep (pillion_otlp_dropped_items_total). not_configured: nothing here uses that signal. Others are lost telemetry.',
        unit: 'cps',
        queries: [
          series(happening(sum(chosen.rate(otlp.refused), ['signal', 'reason'])), '{{signal}} {{reason}}'),
          series(
            happening(sum(chosen.rate(otlp.dropped), ['consumer', 'reason'])),
            'dropped by {{consumer}}: {{reason}}',
          ),
        ],
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
          'Half and 99 of 100 timers ran at most this much late (pillion_event_loop_delay_seconds): how long a request or a probe waits for the sidecar.',
        unit: 's',
        queries: [series(loop(0.99), '{{instance}} p99'), series(loop(0.5), '{{instance}} p50')],
        empty: NO_SIDECAR,
      }),
      lines({
        id: 33,
        title: 'Memory budget',
        about:
          'Bytes that each part holds of the memory budget (pillion_memory_used_bytes), and the whole budget. At the budget, what comes is refused.',
        unit: 'bytes',
        queries: [
          series(chosen.value(memory.memoryUsed), '{{instance}} {{part}}'),
          series(chosen.value(memory.memoryBudget), '{{instance}} budget'),
        ],
        empty: NO_SIDECAR,
      }),
      lines({
        id: 34,
        title: 'Refused for lack of memory',
        about:
          'Times per second that a part found no room in the memory budget (pillion_memory_refused_total). Raise memory.budget, or send less.',
        unit: 'cps',
        queries: [series(chosen.rate(memory.memoryRefused), '{{instance}} {{part}}')],
        empty: NO_SIDECAR,
      }),
    ]),
    telemetryRow,
    tracesRow,
    forwardRow,
    samplingRow,
    treesRow,
    folded(500, 'Listeners', [
      lines({
        id: 50,
        title: 'Bytes being received',
        about:
          'Bytes of requests being received or processed (pillion_otlp_inflight_bytes). At otlp.max_inflight further requests are answered with 503.',
        unit: 'bytes',
        queries: [series(chosen.value(otlp.inflight), '{{instance}}')],
        empty: NO_SIDECAR,
      }),
      lines({
        id: 51,
        title: 'Connections closed at once',
        about:
          'Connections per second beyond the bound of the OTLP receiver (pillion_otlp_refused_connections_total). Above 0: a client does not reuse them.',
        unit: 'cps',
        queries: [series(sum(chosen.rate(otlp.refusedConnections), ['transport']), '{{transport}}')],
        empty: NO_SIDECAR,
      }),
      lines({
        id: 52,
        title: 'Rejected by the web server',
        about:
          'Requests per second rejected by the web server, by reason (pillion_web_refused_requests_total). Above 0: a misconfigured client or an attack.',
        unit: 'cps',
        queries: [series(happening(sum(chosen.rate(refusedRequests), ['reason'])), '{{reason}}')],
        empty: 'nothing rejected',
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
        title: 'Days until the certificate of the web server expires',
        about:
          'pillion_web_tls_cert_not_after_timestamp_seconds. Below 21 renew it, below 7 hurry; a renewed file is taken without a restart.',
        unit: 'short',
        queries: [series(binary(binary(chosen.value(certificateExpiry), '-', 'time()'), '/', '86400'), '{{instance}}')],
        empty: 'the web server has no TLS',
      }),
    ]),
    folded(600, 'Collectors', [
      timeline({
        id: 60,
        title: 'Collectors over time',
        about:
          'Whether each collector updated its numbers for the scrape (pillion_collector_success). Red: they are old or absent.',
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
    scrapeRow,
    filesRow,
    tapRow,
    momentsRow,
    flightRow,
    nodeRow,
    pushRow,
  ],
}
