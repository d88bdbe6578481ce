// One life of the application: what is known about its main process from its start to its end.

import type { Clock } from '../../telemetry/host.ts'
import type { FoundBy, Target } from './discovery.ts'
import { readText } from './file.ts'
import { parseUptime, TICKS_PER_SECOND } from './parse.ts'
import type { Tracked } from './tracked.ts'

export class Incarnation {
  readonly foundBy: FoundBy
  /** A doubt about it, for an operator. */
  readonly note: string | undefined
  /**
   * Seconds since the epoch, computed once: the wall clock may be set later. NaN if /proc's clock makes no sense:
   * inside a container /proc/uptime may be the container's while start times are the machine's.
   */
  readonly startSeconds: number
  readonly #main: Tracked
  #name = ''
  readonly #ageSeconds: number
  readonly #ageAtMs: number

  /** `main` has been looked at. */
  constructor(proc: string, main: Tracked, target: Target, clock: Clock) {
    this.#main = main
    this.foundBy = target.by
    this.note = target.note
    this.#ageAtMs = clock.monotonic()
    const age = parseUptime(readText(`${proc}/uptime`) ?? '') - main.startTicks / TICKS_PER_SECOND
    this.#ageSeconds = age >= -1 ? Math.max(0, age) : Number.NaN
    this.startSeconds = clock.now() / 1000 - this.#ageSeconds
  }

  get pid(): number {
    return this.#main.pid
  }

  /** Read each time, because a process takes another name by exec: a wrapper becomes the program that it starts. */
  get name(): string {
    this.#name = this.#main.name() || this.#name
    return this.#name
  }

  /** Age by a clock that never steps. */
  uptimeSeconds(nowMs: number): number {
    return this.#ageSeconds + (nowMs - this.#ageAtMs) / 1000
  }
}
