// The fleet: is everything well, and if not, where? One row for each instance, with a link to it.

import { healthUp } from '../collectors/health.ts'
import { families as app } from '../collectors/process.ts'
import { buildInfo } from '../collectors/self.ts'
import { type Board, chosen, EVENTS, folded, open } from './board.ts'
import { CELL, to } from './links.ts'
import {
  cores,
  cpuOfLimit,
  duration,
  errors,
  mainThread,
  memoryOfLimit,
  PER_INSTANCE,
  requests,
  scraped,
  throttled,
  worst,
} from './measures.ts'
import { bars, lines, stat, table, timeline, UP_OR_DOWN } from './panels.ts'
import * as prometheus from './prometheus.ts'
import { binary, count, max, min, observed, select, sum } from './promql.ts'
import { now, series } from './query.ts'
import {
  AVAILABILITY_STEPS,
  ERROR_STEPS,
  LATENCY_STEPS,
  NO_PROBE,
  NO_REQUESTS,
  NO_SPANS,
  NOT_LIMITED,
  SATURATION_STEPS,
  YES_OR_NO,
} from './terms.ts'

/** Also what has no instance: alerts about services, and about sidecars that are all gone. */
const ofChosen = select({
  where: { job: { re: '$job|' }, namespace: { re: '$namespace|' }, instance: { re: '$instance|' } },
  window: '5m',
})
const OURS = { re: '(App|Sidecar|Slo).+' }

const firing = (severity: string) =>
  ofChosen.value(prometheus.alerts, { alertstate: 'firing', alertname: OURS, severity })

const available = min(chosen.over('avg', healthUp, {}, '$__range'), PER_INSTANCE)
const health = min(chosen.value(healthUp), PER_INSTANCE)

export const overview: Board = {
  uid: 'pillion-overview',
  title: 'Pillion / Overview',
  about: 'All applications with a sidecar: are they well, and if not, which one and why.',
  annotations: EVENTS,
  rows: [
    open(100, 'Is it well?', [
      stat({
        id: 1,
        title: 'Unhealthy',
        about: 'Instances of which at least one probe says down, after its thresholds (app_health_up). Above 0 is bad.',
        unit: 'none',
        queries: [now(sum(binary(health, '== bool', '0')), 'Unhealthy')],
        more: to('pillion-health'),
        empty: 'no probe has decided yet',
        steps: ['green', [1, 'red']],
        mode: 'colour',
        width: 3,
      }),
      stat({
        id: 2,
        title: 'Not running',
        about: 'Instances whose application has no running main process (app_process_up). Above 0 is bad.',
        unit: 'none',
        queries: [now(sum(binary(chosen.value(app.up), '== bool', '0')), 'Not running')],
        more: to('pillion-process'),
        empty: 'no process is watched',
        steps: ['green', [1, 'red']],
        mode: 'colour',
        width: 3,
      }),
      stat({
        id: 9,
        title: 'Not scraped',
        about:
          'Sidecars that answered within the time shown and no longer do, or that Prometheus no longer knows (pillion_build_info). Nothing is known of their applications. Above 0 is bad.',
        unit: 'none',
        queries: [now(sum(binary(scraped(chosen), '== bool', '0')), 'Not scraped')],
        more: to('pillion-sidecar'),
        empty: 'no sidecar was scraped',
        steps: ['green', [1, 'red']],
        mode: 'colour',
        width: 3,
      }),
      stat({
        id: 10,
        title: 'Available',
        about:
          'Share of the time shown in which the worst instance was up by all of its probes (app_health_up). The table below has it for each.',
        unit: 'percentunit',
        queries: [now(min(available), 'Available')],
        more: to('pillion-health'),
        empty: NO_PROBE,
        steps: AVAILABILITY_STEPS,
        decimals: 2,
        width: 3,
      }),
      stat({
        id: 3,
        title: 'Errors',
        about:
          'Share of the served requests that failed, over all instances (traces_spanmetrics_calls_total). Above 1 % look, above 5 % act.',
        unit: 'percentunit',
        queries: [now(errors(chosen, []), 'Errors')],
        more: to('pillion-requests'),
        empty: NO_REQUESTS,
        steps: ERROR_STEPS,
        decimals: 2,
        mode: 'colour',
        width: 3,
      }),
      stat({
        id: 4,
        title: 'Latency p95',
        about:
          '95 of 100 served requests took at most this long (traces_spanmetrics_latency). Compare with what you promise.',
        unit: 's',
        queries: [now(observed(duration(chosen, 0.95, [])), 'p95')],
        more: to('pillion-requests'),
        empty: NO_REQUESTS,
        steps: LATENCY_STEPS,
        mode: 'colour',
        width: 3,
      }),
      stat({
        id: 5,
        title: 'Requests',
        about: 'Requests served per second by all instances (traces_spanmetrics_calls_total). A sudden fall is bad.',
        unit: 'reqps',
        queries: [series(requests(chosen, []), 'Requests')],
        more: to('pillion-requests'),
        empty: NO_SPANS,
        width: 3,
      }),
      stat({
        id: 6,
        title: 'Instances',
        about:
          'Sidecars that answer their scrapes (pillion_build_info). Fewer than expected is bad: see the alert SidecarDown.',
        unit: 'none',
        queries: [now(count(chosen.value(buildInfo)), 'Instances')],
        empty: 'no sidecar is scraped',
        width: 3,
      }),
      timeline({
        id: 7,
        title: 'Health',
        about: 'Each instance over time: red while at least one of its probes says down (app_health_up).',
        unit: 'none',
        queries: [series(health, '{{instance}}')],
        more: to('pillion-health'),
        empty: 'no probe has decided yet',
        words: UP_OR_DOWN,
        steps: ['red', [1, 'green']],
        width: 16,
        height: 6,
      }),
      table({
        id: 8,
        title: 'Firing alerts',
        about:
          'Alerts of the chosen instances, and those of services, that fire now, if Prometheus has loaded the rules that `pillion rules` prints (ALERTS). Any row is bad; click its name for what to do.',
        by: { alertname: 'Alert', service: 'Service', instance: 'Instance' },
        leads: { alertname: CELL.alert, service: CELL.service, instance: CELL.instance },
        columns: [
          {
            query: now(
              max(
                binary(
                  binary(binary(firing('critical'), '*', '3'), 'or', binary(firing('warning'), '*', '2')),
                  'or',
                  firing('info'),
                ),
                ['alertname', 'service', 'instance'],
              ),
              '{{alertname}}',
            ),
            title: 'Severity',
            words: {
              3: { text: 'critical', color: 'red' },
              2: { text: 'warning', color: 'orange' },
              1: { text: 'info', color: 'blue' },
            },
          },
        ],
        empty: 'no alert fires',
        sorted: 'Severity',
        width: 8,
        height: 6,
      }),
    ]),
    open(200, 'Which one, and why?', [
      table({
        id: 20,
        title: 'Instances',
        about:
          'One row per instance; click it for everything about it. One that is no longer scraped keeps its row for the time shown. Restarts are counted over the time shown.',
        by: { instance: 'Instance', job: 'Job' },
        leads: { instance: CELL.instance },
        columns: [
          {
            title: 'Scraped',
            query: now(scraped(chosen), '{{instance}}'),
            words: YES_OR_NO,
            steps: ['red', [1, 'green']],
          },
          { title: 'Health', query: now(health, '{{instance}}'), words: UP_OR_DOWN, steps: ['red', [1, 'green']] },
          {
            title: 'Available',
            query: now(available, '{{instance}}'),
            unit: 'percentunit',
            steps: AVAILABILITY_STEPS,
            decimals: 2,
          },
          { title: 'Requests', query: now(requests(chosen, PER_INSTANCE), '{{instance}}'), unit: 'reqps' },
          {
            title: 'Errors',
            query: now(errors(chosen, PER_INSTANCE), '{{instance}}'),
            unit: 'percentunit',
            steps: ERROR_STEPS,
          },
          {
            title: 'p95',
            query: now(duration(chosen, 0.95, PER_INSTANCE), '{{instance}}'),
            unit: 's',
            steps: LATENCY_STEPS,
          },
          { title: 'CPU cores', query: now(cores(chosen), '{{instance}}'), decimals: 2 },
          {
            title: 'Main thread',
            query: now(mainThread(chosen), '{{instance}}'),
            unit: 'percentunit',
            steps: SATURATION_STEPS,
          },
          {
            title: 'Throttled',
            query: now(throttled(chosen), '{{instance}}'),
            unit: 'percentunit',
            steps: ['green', [0.05, 'yellow'], [0.25, 'red']],
          },
          { title: 'Memory', query: now(chosen.value(app.residentMemory), '{{instance}}'), unit: 'bytes' },
          {
            title: 'Memory of limit',
            query: now(memoryOfLimit(chosen), '{{instance}}'),
            unit: 'percentunit',
            steps: SATURATION_STEPS,
          },
          {
            title: 'Files of limit',
            query: now(chosen.value(app.worstFdRatio), '{{instance}}'),
            unit: 'percentunit',
            steps: SATURATION_STEPS,
          },
          {
            title: 'Restarts',
            query: now(chosen.increase(app.restarts, {}, '$__range'), '{{instance}}'),
            decimals: 0,
            steps: ['green', [0.5, 'orange']],
          },
        ],
        empty: 'no sidecar is scraped',
        sorted: 'Scraped',
        lowest: true,
        height: 8,
      }),
      lines({
        id: 21,
        title: 'Errors by instance',
        about:
          'Share of the served requests that failed (traces_spanmetrics_calls_total). Above 1 % look, above 5 % act.',
        unit: 'percentunit',
        queries: [series(errors(chosen, PER_INSTANCE), '{{instance}}')],
        empty: NO_SPANS,
        steps: ERROR_STEPS,
      }),
      lines({
        id: 22,
        title: 'Latency p95 by instance',
        about:
          '95 of 100 served requests took at most this long (traces_spanmetrics_latency). The dashed lines are one and two seconds.',
        unit: 's',
        queries: [series(duration(chosen, 0.95, PER_INSTANCE), '{{instance}}')],
        empty: NO_SPANS,
        steps: LATENCY_STEPS,
      }),
      bars({
        id: 23,
        title: 'Saturation of the worst instance',
        about:
          'How near the most loaded instance is to each of its limits; at 100 % it is throttled, killed, or refuses connections.',
        unit: 'percentunit',
        max: 1,
        queries: [
          series(worst(cpuOfLimit(chosen)), 'CPU of quota'),
          series(worst(throttled(chosen)), 'Throttled periods'),
          series(worst(mainThread(chosen)), 'Main thread'),
          series(worst(memoryOfLimit(chosen)), 'Memory of limit'),
          series(worst(chosen.value(app.worstFdRatio)), 'Files of limit'),
        ],
        more: to('pillion-process'),
        empty: NOT_LIMITED,
        steps: SATURATION_STEPS,
      }),
    ]),
    folded(300, 'Traffic and resources by instance', [
      lines({
        id: 30,
        title: 'Requests by instance',
        about:
          'Requests served per second (traces_spanmetrics_calls_total). An instance far from the others is suspect.',
        unit: 'reqps',
        queries: [series(requests(chosen, PER_INSTANCE), '{{instance}}')],
        empty: NO_SPANS,
      }),
      lines({
        id: 31,
        title: 'CPU by instance',
        about:
          'Cores used by the application and its descendants (app_process_cpu_seconds_total). Near the quota is bad.',
        unit: 'short',
        queries: [series(cores(chosen), '{{instance}}')],
        empty: 'no process is watched',
      }),
      lines({
        id: 32,
        title: 'Memory by instance',
        about: 'Memory in RAM (app_process_resident_memory_bytes). Growth that never ends is bad.',
        unit: 'bytes',
        queries: [series(chosen.value(app.residentMemory), '{{instance}}')],
        empty: 'no process is watched',
      }),
      lines({
        id: 33,
        title: 'Restarts by instance',
        about: 'Restarts of the application within five minutes (app_process_restarts_total). Above 0 is bad.',
        unit: 'short',
        queries: [series(chosen.increase(app.restarts, {}, '5m'), '{{instance}}')],
        empty: 'no process is watched',
      }),
      lines({
        id: 34,
        title: 'Processes killed for lack of memory',
        about:
          'Processes that the out-of-memory killer ended within five minutes (app_cgroup_oom_kills_total). Above 0 is bad.',
        unit: 'short',
        queries: [series(chosen.increase(app.cgroupOomKills, {}, '5m'), '{{instance}}')],
        empty: 'no cgroup is read',
      }),
      lines({
        id: 35,
        title: 'Open files by instance',
        about: 'Open file descriptors divided by their limit (app_process_worst_fd_ratio). Above 80 % is bad.',
        unit: 'percentunit',
        queries: [series(max(chosen.value(app.worstFdRatio), PER_INSTANCE), '{{instance}}')],
        empty: 'the open files cannot be read',
        steps: SATURATION_STEPS,
      }),
    ]),
  ],
}
