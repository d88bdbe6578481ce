// The end of a job that `pillion run` started: what the supervisor knows of it, for the last scrape or push. A job that
// lives for milliseconds ends before its process can be read; the kernel's account of what was waited for has it
// nevertheless.

import { gauge } from '../../metrics/family.ts'
import type { Host } from '../../telemetry/host.ts'

export const exitCode = gauge(
  'app_run_exit_code',
  'Exit code of the application that pillion run started; 128 + n if signal n ended it. Absent while it runs, as the others of its kind are.',
)
export const duration = gauge('app_run_duration_seconds', 'Time from the start of the application to its end.')
export const cpuTime = gauge(
  'app_run_cpu_seconds',
  'CPU time of the application from its start to its end, with all that it waited for.',
)
export const peakMemory = gauge(
  'app_run_peak_memory_bytes',
  'The most memory in RAM that one process of the application held, as far as it was seen.',
)
export const endTime = gauge(
  'app_run_end_timestamp_seconds',
  'Time at which the application ended, in seconds since the epoch.',
)

/** Shows the outcome once there is one. */
export class Job {
  readonly #host: Host
  readonly #readings

  constructor(host: Host) {
    const { metrics } = host
    this.#host = host
    this.#readings = {
      exitCode: metrics.reading(exitCode),
      duration: metrics.reading(duration),
      cpuTime: metrics.reading(cpuTime),
      peakMemory: metrics.reading(peakMemory),
      endTime: metrics.reading(endTime),
    }
  }

  publish(): void {
    const { outcome } = this.#host.app
    if (!outcome) return
    this.#readings.exitCode.set({}, outcome.code)
    this.#readings.duration.set({}, outcome.seconds)
    this.#readings.cpuTime.set({}, outcome.cpuSeconds)
    this.#readings.peakMemory.set({}, outcome.peakBytes)
    this.#readings.endTime.set({}, outcome.at / 1000)
  }
}
