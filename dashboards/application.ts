// One application on one screen, to find the cause of a problem: its health, its requests, and for each resource what it used
// beside what it was denied.

import { componentUp, consecutiveFailures, healthUp, probeDuration, probePhase } from '../collectors/health.ts'
import { families as app } from '../collectors/process.ts'
import { records } from '../processors/logs.ts'
import { calls } from '../processors/spans.ts'
import { type Board, chosen, EVENTS, folded, open, SERVICE } from './board.ts'
import { OF_SERVICE, TRACES, to } from './links.ts'
import {
  cores,
  cpuOfLimit,
  duration,
  errors,
  mainThread,
  memoryOfLimit,
  PER_INSTANCE,
  requests,
  SERVED,
  throttled,
} from './measures.ts'
import { peers } from './outbound.ts'
import { lines, stat, timeline, UP_OR_DOWN } from './panels.ts'
import { binary, max, min, observed, split, sum } from './promql.ts'
import { now, series, traced } from './query.ts'
import {
  AVAILABILITY_STEPS,
  ERROR_STEPS,
  LATENCY_STEPS,
  NO_CGROUP,
  NO_PROBE,
  NO_PROCESS,
  NO_REQUESTS,
  NO_SPANS,
  NOT_LIMITED,
  SATURATION_STEPS,
} from './terms.ts'

/** Several services may send to one sidecar; the figures of requests are those of the chosen ones. */
const HERE = { service: { re: '$service' } } as const

export const application: Board = {
  uid: 'pillion-application',
  title: 'Pillion / Application',
  about:
    'One application: is it well, and if not, is it the code, the machine, or a service it depends on? Choose one instance; figures of several are summed. Where several services send to one sidecar, choose a service too.',
  one: true,
  traces: true,
  variables: [SERVICE],
  annotations: EVENTS,
  rows: [
    open(100, 'Is it well?', [
      stat({
        id: 1,
        title: 'Health',
        about: 'The worst of its probes, after thresholds (app_health_up). Down is bad.',
        unit: 'none',
        queries: [now(min(chosen.value(healthUp)), 'Health')],
        more: to('pillion-health'),
        empty: NO_PROBE,
        words: UP_OR_DOWN,
        steps: ['red', [1, 'green']],
        mode: 'colour',
        width: 3,
      }),
      stat({
        id: 10,
        title: 'Available',
        about:
          'Share of the time shown in which all of its probes said up (app_health_up), of the worst instance. It is of time, not of probes.',
        unit: 'percentunit',
        queries: [now(min(min(chosen.over('avg', healthUp, {}, '$__range'), PER_INSTANCE)), 'Available')],
        more: to('pillion-health'),
        empty: NO_PROBE,
        steps: AVAILABILITY_STEPS,
        decimals: 2,
        width: 3,
      }),
      stat({
        id: 2,
        title: 'Uptime',
        about:
          'Age of its main process (app_process_uptime_seconds). Absent while there is none; a few minutes after no deployment is bad.',
        unit: 'dtdurations',
        queries: [now(min(chosen.value(app.uptime)), 'Uptime')],
        more: to('pillion-process'),
        empty: 'not running',
        steps: ['orange', [300, 'text']],
        width: 3,
      }),
      stat({
        id: 3,
        title: 'Restarts',
        about:
          'Restarts of the application over the time shown (app_process_restarts_total). Above 0 without a deployment is bad.',
        unit: 'none',
        queries: [now(sum(chosen.increase(app.restarts, {}, '$__range')), 'Restarts')],
        empty: NO_PROCESS,
        steps: ['green', [0.5, 'orange']],
        decimals: 0,
        width: 2,
      }),
      stat({
        id: 4,
        title: 'Requests',
        about: 'Requests served per second (traces_spanmetrics_calls_total). A sudden fall is bad.',
        unit: 'reqps',
        queries: [series(requests(chosen, [], HERE), 'Requests')],
        more: to('pillion-requests'),
        empty: NO_SPANS,
        width: 3,
      }),
      stat({
        id: 5,
        title: 'Errors',
        about:
          'Share of the served requests that failed (traces_spanmetrics_calls_total). Above 1 % look, above 5 % act.',
        unit: 'percentunit',
        queries: [now(errors(chosen, [], HERE), 'Errors')],
        more: to('pillion-requests'),
        empty: NO_REQUESTS,
        steps: ERROR_STEPS,
        decimals: 2,
        mode: 'colour',
        width: 3,
      }),
      stat({
        id: 6,
        title: 'Latency p95',
        about:
          '95 of 100 served requests took at most this long (traces_spanmetrics_latency). Compare with what you promise.',
        unit: 's',
        queries: [now(observed(duration(chosen, 0.95, [], HERE)), 'p95')],
        more: to('pillion-requests'),
        empty: NO_REQUESTS,
        steps: LATENCY_STEPS,
        mode: 'colour',
        width: 3,
      }),
      stat({
        id: 7,
        title: 'Main thread',
        about:
          'Share of the time that the main thread was on a core (app_process_main_thread_cpu_seconds_total). Near 100 % an event loop is saturated.',
        unit: 'percentunit',
        queries: [series(max(mainThread(chosen)), 'Main thread')],
        more: to('pillion-runtime'),
        empty: NO_PROCESS,
        steps: SATURATION_STEPS,
        decimals: 0,
        width: 2,
      }),
      stat({
        id: 8,
        title: 'Memory of limit',
        about:
          'Memory that cannot be dropped, as a share of the limit (app_cgroup_memory_working_set_bytes). Near 100 % it is killed.',
        unit: 'percentunit',
        queries: [series(max(memoryOfLimit(chosen)), 'Memory of limit')],
        more: to('pillion-process'),
        empty: NOT_LIMITED,
        steps: SATURATION_STEPS,
        decimals: 0,
        width: 2,
      }),
      timeline({
        id: 9,
        title: 'Health by probe and component',
        about:
          'Each probe (app_health_up) and each component that the health document lists (app_health_component_up), over time. Red is down.',
        unit: 'none',
        queries: [
          series(min(chosen.value(healthUp), ['probe']), '{{probe}}'),
          series(min(chosen.value(componentUp), ['probe', 'component']), '{{probe}}: {{component}}'),
          series(min(chosen.value(app.up)), 'process'),
        ],
        empty: NO_PROBE,
        words: UP_OR_DOWN,
        steps: ['red', [1, 'green']],
        height: 6,
      }),
    ]),
    open(200, 'What its callers see', [
      lines({
        id: 20,
        title: 'Requests by outcome',
        about:
          'Requests served per second by status (traces_spanmetrics_calls_total). STATUS_CODE_ERROR growing is bad.',
        unit: 'reqps',
        queries: [series(sum(chosen.rate(calls, { ...SERVED, ...HERE }), ['status_code']), '{{status_code}}')],
        empty: NO_SPANS,
        stacked: true,
        width: 6,
        height: 7,
      }),
      lines({
        id: 21,
        title: 'Errors by service',
        about:
          'Share of the served requests that failed (traces_spanmetrics_calls_total). Above 1 % look, above 5 % act.',
        unit: 'percentunit',
        queries: [series(errors(chosen, ['service'], HERE), '{{service}}')],
        links: [TRACES.failed, OF_SERVICE],
        empty: NO_SPANS,
        steps: ERROR_STEPS,
        width: 6,
        height: 7,
      }),
      lines({
        id: 22,
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
        width: 6,
        height: 7,
      }),
      lines({
        id: 23,
        title: 'Answers to probes',
        about:
          'Mean time of a probe by phase (app_health_probe_phase_seconds_total). Growing "processing" is the application, growing "connect" its accept queue.',
        unit: 's',
        queries: [
          series(
            split(sum(chosen.rate(probePhase), ['probe', 'phase']), sum(chosen.observed(probeDuration), ['probe']), [
              'probe',
            ]),
            '{{probe}} {{phase}}',
          ),
        ],
        empty: NO_PROBE,
        stacked: true,
        width: 6,
        height: 7,
      }),
    ]),
    open(250, 'What it waited for', peers(24, 7)),
    open(300, 'What it used, and what it was denied', [
      lines({
        id: 30,
        title: 'CPU',
        about:
          'Cores used (app_process_cpu_seconds_total), waited for while others ran (run_queue_wait), and denied by the quota (throttled). Waiting is the machine’s fault, throttling the quota’s.',
        unit: 'short',
        queries: [
          series(sum(cores(chosen)), 'used'),
          series(sum(chosen.rate(app.runQueueWait)), 'waiting for a core'),
          series(sum(chosen.rate(app.cgroupThrottled)), 'stopped by the quota'),
          series(sum(chosen.value(app.cgroupCpuLimit)), 'limit'),
        ],
        empty: NO_PROCESS,
        dashed: 'limit',
        width: 6,
        height: 7,
      }),
      lines({
        id: 31,
        title: 'Memory',
        about:
          'Memory in RAM (app_process_resident_memory_bytes), and what of the cgroup cannot be dropped against its limit (app_cgroup_memory_…). Reaching the limit is fatal. Without a limit the cgroup may be the whole machine, so only the application is shown.',
        unit: 'bytes',
        queries: [
          series(sum(chosen.value(app.residentMemory)), 'resident'),
          series(
            sum(binary(chosen.value(app.cgroupWorkingSet), 'and', chosen.value(app.cgroupMemoryLimit))),
            'working set of the cgroup',
          ),
          series(sum(chosen.value(app.swap)), 'swapped out'),
          series(sum(chosen.value(app.cgroupMemoryLimit)), 'limit'),
        ],
        empty: NO_PROCESS,
        dashed: 'limit',
        width: 6,
        height: 7,
      }),
      lines({
        id: 32,
        title: 'Open files and connections',
        about:
          'Open file descriptors (app_process_open_fds), established connections, and those that wait to be accepted. A growing queue means that it does not keep up.',
        unit: 'short',
        queries: [
          series(sum(chosen.value(app.openFds)), 'open files'),
          series(sum(chosen.value(app.tcpConnections, { state: 'established' })), 'connections'),
          series(sum(chosen.value(app.acceptQueue)), 'waiting to be accepted'),
        ],
        empty: NO_PROCESS,
        width: 6,
        height: 7,
      }),
      lines({
        id: 33,
        title: 'Storage',
        about:
          'Bytes fetched from and sent to storage per second (app_process_io_…_bytes_total). Unexpected reads under memory pressure are the page cache being refilled.',
        unit: 'Bps',
        queries: [series(sum(chosen.rate(app.ioRead)), 'read'), series(sum(chosen.rate(app.ioWritten)), 'written')],
        empty: 'the I/O counters cannot be read; give the sidecar the application’s user',
        width: 6,
        height: 7,
      }),
    ]),
    folded(400, 'Closer', [
      lines({
        id: 40,
        title: 'Pressure',
        about:
          'Share of the time in which something in its cgroup waited for a resource (PSI some). Above a few per cent requests get slower.',
        unit: 'percentunit',
        queries: [series(chosen.rate(app.cgroupWaiting), '{{instance}} {{resource}}')],
        empty: 'the kernel offers no pressure information for this cgroup',
      }),
      lines({
        id: 41,
        title: 'CPU of the quota',
        about:
          'CPU used as a share of the quota, and the share of the periods in which the quota stopped it. Throttling below 100 % means bursts.',
        unit: 'percentunit',
        queries: [
          series(cpuOfLimit(chosen), '{{instance}} of the quota'),
          series(throttled(chosen), '{{instance}} throttled periods'),
        ],
        empty: NOT_LIMITED,
      }),
      lines({
        id: 42,
        title: 'Restarts and kills',
        about:
          'Restarts, and processes ended by the out-of-memory killer, within five minutes. Above 0 without a deployment is bad.',
        unit: 'short',
        queries: [
          series(chosen.increase(app.restarts, {}, '5m'), '{{instance}} restarts'),
          series(chosen.increase(app.cgroupOomKills, {}, '5m'), '{{instance}} killed for lack of memory'),
        ],
        empty: NO_CGROUP,
      }),
      lines({
        id: 43,
        title: 'Failed probes in a row',
        about:
          'Failures since the last success (app_health_consecutive_failures). At the threshold the probe says down.',
        unit: 'short',
        queries: [series(chosen.value(consecutiveFailures), '{{instance}} {{probe}}')],
        empty: NO_PROBE,
      }),
      lines({
        id: 46,
        title: 'Log records by severity',
        about:
          'Log records per second that came in over OTLP (app_log_records_total). More errors than usual are worth reading.',
        unit: 'cps',
        queries: [series(sum(chosen.rate(records), ['service', 'severity']), '{{service}} {{severity}}')],
        empty: 'no log records received yet',
      }),
      lines({
        id: 44,
        title: 'Latency by operation, p95',
        about:
          '95 of 100 served requests took at most this long, by operation (traces_spanmetrics_latency). See the Requests dashboard for more.',
        unit: 's',
        queries: [series(duration(chosen, 0.95, ['service', 'span_name'], HERE), '{{service}} {{span_name}}')],
        links: [TRACES.operation, OF_SERVICE],
        empty: NO_SPANS,
      }),
      lines({
        id: 45,
        title: 'Main thread by instance',
        about: 'Share of the time that the main thread was on a core. Near 100 % an event loop is saturated.',
        unit: 'percentunit',
        queries: [series(max(mainThread(chosen), PER_INSTANCE), '{{instance}}')],
        empty: NO_PROCESS,
        steps: SATURATION_STEPS,
      }),
    ]),
  ],
}
