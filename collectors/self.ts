// The sidecar itself: its version, what it costs, and whether its event loop keeps up.
//
// Some of prom-client's default metrics stand here under `pillion_`, since bare process_* and nodejs_* belong to the
// application. Left out are gauges that are reset when one scraper reads them (event loop lag), a timer that runs ten times a
// second (event loop utilisation), names that promtool refuses (gauges that end in _total), and the CPU counters, which
// load 8 MiB of OpenTelemetry for an exemplar.

import gc from 'prom-client/lib/metrics/gc.js'
import heapSizeAndUsed from 'prom-client/lib/metrics/heapSizeAndUsed.js'
import memory from 'prom-client/lib/metrics/osMemoryHeap.js'
import maxFds from 'prom-client/lib/metrics/processMaxFileDescriptors.js'
import openFds from 'prom-client/lib/metrics/processOpenFileDescriptors.js'
import startTime from 'prom-client/lib/metrics/processStartTime.js'
import { counter, gauge, histogram } from '../metrics/family.ts'
import { type Kind, section, shown, url, type Values } from '../options/kinds.ts'
import type { Host } from '../telemetry/host.ts'
import type { Part, Running } from '../telemetry/part.ts'

export const buildInfo = gauge('pillion_build_info', 'The versions of the sidecar and of its Node. Always 1.', [
  'version',
  'node',
])
export const loopDelay = histogram(
  'pillion_event_loop_delay_seconds',
  'How late a timer ran, sampled twice a second: the time that requests and probes wait for the event loop of the sidecar.',
  [],
  [0.001, 0.0025, 0.005, 0.01, 0.03, 0.05, 0.1, 0.25, 1],
)

export const cpu = counter('pillion_process_cpu_seconds_total', 'CPU time of the sidecar itself.', ['mode'])

const ownMemory = gauge('pillion_process_resident_memory_bytes', 'Resident memory size in bytes.')

export const uncaughtExceptions = counter(
  'pillion_uncaught_exceptions_total',
  'Uncaught errors of the sidecar. Each is a bug, is logged, and does not end the application.',
)

/** The families of the chosen default metrics of prom-client, declared for the catalogue in prom-client's own words. */
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

/** A switch, or the URL of another receiver: "true", "false" or the URL. */
const traces: Kind<string> = {
  kind: 'scalar',
  about:
    'Whether the sidecar records spans of its own: of probes, scrapes, pushes and reloads. true: they go to its own OTLP/HTTP receiver, and are kept and forwarded like those of the application; a URL: to the OTLP/HTTP receiver with this base URL, to which v1/traces is added. The application’s span of a probe belongs to the trace of the probe. Loads the OpenTelemetry SDK (38 MiB).',
  expects: 'true, false or a URL (http://… or https://…)',
  json: { type: ['boolean', 'string'] },
  default: 'false',
  parse(value) {
    if (value === true || value === false || value === 'true' || value === 'false') return String(value)
    try {
      return url('').parse(value)
    } catch {
      throw new Error(`must be ${this.expects}, not ${shown(value)}`)
    }
  },
  write: value => (value === 'true' || value === 'false' ? value === 'true' : value),
}

export const options = section('The sidecar itself.', { traces })

export type SelfOptions = Values<typeof options>

export interface SelfRunning extends Running {
  /** Counts an error that nothing caught. */
  uncaught(): void
}

export interface SelfHost extends Host {
  readonly version: string
}

export const self = {
  name: 'self',
  about: 'The sidecar itself: version, CPU, memory, event loop.',
  families: [buildInfo, loopDelay, cpu, uncaughtExceptions, ...Object.values(borrowed)],
  options,
  start(_options: SelfOptions, { metrics, clock, version }: SelfHost): SelfRunning {
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
      async facts() {
        return (await metrics.samples(ownMemory)).map(({ value }) => ({ name: 'memory', value, unit: 'bytes' }))
      },
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
} satisfies Part<SelfOptions, SelfHost>
