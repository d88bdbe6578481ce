// The sidecar itself: its version, what it costs, and whether its event loop keeps up.
//
// prom-client's default metrics stand under `pillion_`, since bare process_* and nodejs_* belong to the application. Left
// out of them are the gauges that forget when one scraper reads them (event loop lag), those that need a timer ten times
// a second (event loop utilisation), and those that are misnamed for promtool (gauges that end in _total).

import { collectDefaultMetrics } from 'prom-client'
import { counter, type Family, gauge, histogram } from '../exporter/metrics.ts'
import type { Collector } from './collector.ts'

export const buildInfo = gauge('pillion_build_info', '1, with the versions of the sidecar and of its Node.', [
  'version',
  'node',
])
export const loopDelay = histogram(
  'pillion_event_loop_delay_seconds',
  'How much later than due a timer ran, sampled twice a second: what a request or a probe had to wait for the sidecar.',
  [],
  [0.001, 0.0025, 0.005, 0.01, 0.03, 0.05, 0.1, 0.25, 1],
)

/** What prom-client's default metrics yield and we keep; names without prefix, help texts are prom-client's. */
export const ours = {
  cpuUser: counter('pillion_process_cpu_user_seconds_total', 'Total user CPU time spent in seconds.'),
  cpuSystem: counter('pillion_process_cpu_system_seconds_total', 'Total system CPU time spent in seconds.'),
  cpu: counter('pillion_process_cpu_seconds_total', 'Total user and system CPU time spent in seconds.'),
  startTime: gauge('pillion_process_start_time_seconds', 'Start time of the process since unix epoch in seconds.'),
  residentMemory: gauge('pillion_process_resident_memory_bytes', 'Resident memory size in bytes.'),
  virtualMemory: gauge('pillion_process_virtual_memory_bytes', 'Virtual memory size in bytes.'),
  heap: gauge('pillion_process_heap_bytes', 'Process heap size in bytes.'),
  openFds: gauge('pillion_process_open_fds', 'Number of open file descriptors.'),
  maxFds: gauge('pillion_process_max_fds', 'Maximum number of open file descriptors.'),
  heapTotal: gauge('pillion_nodejs_heap_size_total_bytes', 'Process heap size from Node.js in bytes.'),
  heapUsed: gauge('pillion_nodejs_heap_size_used_bytes', 'Process heap size used from Node.js in bytes.'),
  externalMemory: gauge('pillion_nodejs_external_memory_bytes', 'Node.js external memory size in bytes.'),
  gcDuration: histogram(
    'pillion_nodejs_gc_duration_seconds',
    'Garbage collection duration by kind, one of major, minor, incremental or weakcb.',
    ['kind'],
    [0.001, 0.01, 0.1, 1, 2, 5],
  ),
} as const
const kept = Object.values<Family>(ours)

const SAMPLE_MS = 500

/** A delay of the timers that we do not want, long enough never to matter. */
const NEVER_MS = 2 ** 31 - 1

export const self: Collector<{ readonly version: string }> = {
  name: 'self',
  about: 'The sidecar itself: version, CPU, memory, event loop.',
  families: [buildInfo, loopDelay, ...kept],
  options: undefined,
  start({ version }, { metrics, clock }) {
    metrics.gauge(buildInfo).set({ version, node: process.version }, 1)
    const wanted = new Set<string>(kept.map(family => family.name))
    const before = new Set(metrics.registry.getMetricsAsArray().map(metric => metric.name))
    collectDefaultMetrics({
      register: metrics.registry,
      prefix: 'pillion_',
      eventLoopMonitoringPrecision: NEVER_MS,
      // prom-client reads this one; its type declarations do not list it.
      ...{ eventLoopUtilizationTimeout: NEVER_MS },
    })
    for (const { name } of metrics.registry.getMetricsAsArray())
      if (!before.has(name) && !wanted.has(name)) metrics.registry.removeSingleMetric(name)

    const delays = metrics.histogram(loopDelay)
    let due = clock.monotonic() + SAMPLE_MS
    const timer = setInterval(() => {
      const now = clock.monotonic()
      delays.observe(Math.max(0, now - due) / 1000)
      due = now + SAMPLE_MS
    }, SAMPLE_MS).unref()
    return {
      async [Symbol.asyncDispose]() {
        clearInterval(timer)
      },
    }
  },
}
