// The numbers of the application's process and of the sidecar that the overview shows, one for each step.

import type { Metrics, Sample } from '../../../metrics/registry.ts'
import { STEPS, type Timeline } from './timeline.ts'

interface Source {
  readonly metric: string
  /** A counter is kept as its increase each second. */
  readonly counter?: boolean
  /** Several label sets are added up, unless the least of them counts. */
  readonly least?: boolean
}

const SOURCES = {
  cpuUsed: { metric: 'app_process_cpu_seconds_total', counter: true },
  cpuWaited: { metric: 'app_process_run_queue_wait_seconds_total', counter: true },
  cpuThrottled: { metric: 'app_cgroup_cpu_throttled_seconds_total', counter: true },
  cpuLimit: { metric: 'app_cgroup_cpu_limit_cores' },
  mainThread: { metric: 'app_process_main_thread_cpu_seconds_total', counter: true },
  memory: { metric: 'app_process_resident_memory_bytes' },
  memoryOfCgroup: { metric: 'app_cgroup_memory_working_set_bytes' },
  memoryLimit: { metric: 'app_cgroup_memory_limit_bytes' },
  openFiles: { metric: 'app_process_open_fds' },
  filesLimit: { metric: 'app_process_max_fds' },
  threads: { metric: 'app_process_threads' },
  healthy: { metric: 'app_health_up', least: true },
  running: { metric: 'app_process_up', least: true },
  restarts: { metric: 'app_process_restarts_total' },
  startedSeconds: { metric: 'app_process_start_time_seconds' },
  ownCpu: { metric: 'pillion_process_cpu_seconds_total', counter: true },
  ownMemory: { metric: 'pillion_process_resident_memory_bytes' },
} as const satisfies Readonly<Record<string, Source>>

export type Reading = keyof typeof SOURCES
export const READINGS = Object.keys(SOURCES) as Reading[] // of the object above

/** The memory of all of them together. */
export const MACHINE_BYTES = READINGS.length * STEPS * 8

export class Machine {
  readonly #metrics: Metrics
  readonly #rings = new Map(READINGS.map(name => [name, new Float64Array(STEPS).fill(Number.NaN)]))
  readonly #before = new Map<Reading, number>()

  constructor(metrics: Metrics) {
    this.#metrics = metrics
  }

  /** Reads all of them into the step that `timeline` has begun. A number that is absent is NaN. */
  async look(timeline: Timeline): Promise<void> {
    const step = timeline.steps - 1
    const place = step % STEPS
    const values = await Promise.all(READINGS.map(name => this.#read(SOURCES[name])))
    READINGS.forEach((name, i) => {
      const value = values[i]!
      const ring = this.#rings.get(name)!
      if (!isCounter(SOURCES[name])) ring[place] = value
      else {
        const before = this.#before.get(name) ?? Number.NaN
        this.#before.set(name, value)
        ring[place] = value < before ? Number.NaN : (value - before) / timeline.seconds(step)
      }
    })
  }

  /** The newest number; undefined while it is absent. */
  now(name: Reading, timeline: Timeline): number | undefined {
    return timeline.steps === 0 ? undefined : this.mean(name, timeline.steps - 1, timeline.steps)
  }

  /** The mean of the steps [from, to) in which it is known. */
  mean(name: Reading, from: number, to: number): number | undefined {
    const ring = this.#rings.get(name)!
    let [sum, known] = [0, 0]
    for (let step = from; step < to; step++) {
      const value = ring[step % STEPS]!
      if (Number.isNaN(value)) continue
      sum += value
      known++
    }
    return known === 0 ? undefined : sum / known
  }

  /** The first step from which on the number was what it is now. */
  unchangedSince(name: Reading, timeline: Timeline): number | undefined {
    const ring = this.#rings.get(name)!
    let step = timeline.steps - 1
    const value = ring[step % STEPS]
    if (value === undefined || Number.isNaN(value)) return undefined
    while (step > timeline.first && ring[(step - 1) % STEPS] === value) step--
    return step
  }

  async #read(source: Source): Promise<number> {
    const values = (await this.#metrics.registry.getSingleMetric(source.metric)?.get())?.values as
      | readonly Sample[]
      | undefined
    if (!values || values.length === 0) return Number.NaN
    const numbers = values.map(({ value }) => value)
    return source.least ? Math.min(...numbers) : numbers.reduce((sum, each) => sum + each, 0)
  }
}

function isCounter(source: Source): boolean {
  return source.counter === true
}
