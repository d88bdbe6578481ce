// The sidecar itself: its version, what it costs, and whether its event loop keeps up.
//
// Some of prom-client's default metrics stand here under `pillion_`, since bare process_* and nodejs_* belong to the
// application. Left out are the gauges that forget when one scraper reads them (event loop lag), what needs a timer ten
// times a second (event loop utilisation), what is misnamed for promtool (gauges that end in _total), and its CPU counters,
// which load 8 MiB of OpenTelemetry for an exemplar.

import gc from 'prom-client/lib/metrics/gc.js'
import heapSizeAndUsed from 'prom-client/lib/metrics/heapSizeAndUsed.js'
import memory from 'prom-client/lib/metrics/osMemoryHeap.js'
import maxFds from 'prom-client/lib/metrics/processMaxFileDescriptors.js'
import openFds from 'prom-client/lib/metrics/processOpenFileDescriptors.js'
import startTime from 'prom-client/lib/metrics/processStartTime.js'
import { counter, gauge, histogram } from '../exporter/metrics.ts'
import { section, url, type Values } from '../options/kinds.ts'
import type { Collector, Host, Running } from './collector.ts'

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

export const cpu = counter('pillion_process_cpu_seconds_total', 'CPU time of the sidecar itself.', ['mode'])

export const ownMemory = gauge('pillion_process_resident_memory_bytes', 'Resident memory size in bytes.')

export const uncaughtExceptions = counter(
  'pillion_uncaught_exceptions_total',
  'Errors that nothing in the sidecar caught. Each is a bug in it, is logged, and does not end the application.',
)

/** What the chosen default metrics of prom-client yield, declared for the catalogue in prom-client's own words. */
export const borrowed = {
  startTime: gauge('pillion_process_start_time_seconds', 'Start time of the process since unix epoch in seconds.'),
  residentMemory: ownMemory,
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

const SAMPLE_MS = 500

export const options = section('The sidecar itself.', {
  traces: url(
    'Where spans of its own go: the base URL of an OTLP/HTTP receiver, to which it adds v1/traces. Each health probe is a span, which the application’s own span joins. Loads the OpenTelemetry SDK (20 MiB).',
  ),
})

export type SelfOptions = Values<typeof options>

export interface SelfRunning extends Running {
  /** Counts an error that nothing caught. */
  uncaught(): void
}

export const self: Omit<Collector<SelfOptions>, 'start'> & {
  start(options: SelfOptions, host: Host, about: { readonly version: string }): SelfRunning
} = {
  name: 'self',
  about: 'The sidecar itself: version, CPU, memory, event loop.',
  families: [buildInfo, loopDelay, cpu, uncaughtExceptions, ...Object.values(borrowed)],
  options,
  start(_options, { metrics, clock }, { version }) {
    metrics.gauge(buildInfo).set({ version, node: process.version }, 1)
    for (const register of [startTime, memory, openFds, maxFds, heapSizeAndUsed, gc])
      register(metrics.registry, { prefix: 'pillion_' })
    const used = metrics.reading(cpu)
    const uncaught = metrics.counter(uncaughtExceptions)
    const delays = metrics.histogram(loopDelay)
    let due = clock.monotonic() + SAMPLE_MS
    const timer = setInterval(() => {
      const now = clock.monotonic()
      delays.observe(Math.max(0, now - due) / 1000)
      due = now + SAMPLE_MS
    }, SAMPLE_MS).unref()
    return {
      uncaught: () => uncaught.inc(),
      collect() {
        const { user, system } = process.cpuUsage()
        used.set({ mode: 'user' }, user / 1e6)
        used.set({ mode: 'system' }, system / 1e6)
      },
      async [Symbol.asyncDispose]() {
        clearInterval(timer)
      },
    }
  },
}
