// Reads the few numbers that can be had without /proc, through pidusage (ps, or WMI on Windows). Only its running
// totals are used: its percentage starts at 0 and is kept by the bare pid, and a rate can be computed from the counter.

import type { Host } from '../../telemetry/host.ts'
import type { Finding, Running } from '../../telemetry/part.ts'
import type { Fact } from '../../telemetry/status.ts'
import { Account, growth } from './account.ts'
import type { Absence } from './discovery.ts'
import { Ends } from './ends.ts'
import { processFacts } from './facts.ts'
import * as family from './families.ts'
import { readText } from './file.ts'
import { Job } from './job.ts'

type Usage = (pid: number) => Promise<{ readonly ctime: number; readonly memory: number; readonly elapsed: number }>

/** Without schedules of its own: asking starts a program, so it is done once per scrape. */
export async function startPortable(host: Host): Promise<Running> {
  const { default: pidusage } = await import('pidusage')
  return new Portable(host, pid => pidusage(pid))
}

/** The meaning of a failure: pidusage has one message for a number that no process has. */
function absence(error: unknown): Absence {
  return error instanceof Error && error.message === 'No matching pid found' ? 'not_running' : 'unknown'
}

/** CPU seconds by the only division that ps knows. */
const ALL = { mode: 'all' }

class Portable implements Running {
  readonly #host: Host
  readonly #usage: Usage
  readonly #up
  readonly #processes
  readonly #cpu
  readonly #memory
  readonly #startTime
  readonly #restarts
  readonly #job: Job
  readonly #ends: Ends
  readonly #total = new Account()
  #missing = ''
  #restartCount = 0
  #last: { pid: number; seconds: number; startSeconds: number } | undefined

  constructor(host: Host, usage: Usage) {
    this.#host = host
    this.#usage = usage
    this.#up = host.metrics.reading(family.up)
    this.#processes = host.metrics.reading(family.processes)
    this.#cpu = host.metrics.reading(family.cpu)
    this.#memory = host.metrics.reading(family.residentMemory)
    this.#startTime = host.metrics.reading(family.startTime)
    this.#restarts = host.metrics.reading(family.restarts)
    this.#job = new Job(host)
    this.#ends = new Ends(host)
  }

  async collect(): Promise<void> {
    this.#job.publish()
    const { app, clock } = this.#host
    const pid = this.#pid()
    const usage = pid === undefined ? 'unknown' : await this.#usage(pid).catch(absence)
    for (const each of [this.#up, this.#processes, this.#memory, this.#startTime, this.#restarts]) each.clear()
    this.#cpu.clear()
    const runs = typeof usage === 'object'
    app.pid = runs ? pid : undefined
    if (usage !== 'unknown') {
      this.#up.set({}, runs ? 1 : 0)
      this.#processes.set({}, runs ? 1 : 0)
    }
    if (pid !== undefined && runs) {
      const seconds = usage.ctime / 1000
      const startSeconds = (clock.now() - usage.elapsed) / 1000
      // ps tells the age in whole seconds, so the start is known to two; a new process is one that started later.
      const same =
        this.#last?.pid === pid && startSeconds < this.#last.startSeconds + 3 && seconds >= this.#last.seconds
      if (this.#last && !same) this.#restartCount++
      this.#total.add(0, same ? growth(this.#last!.seconds, seconds) : seconds)
      this.#last = { pid, seconds, startSeconds: same ? this.#last!.startSeconds : startSeconds }
      this.#memory.set({}, usage.memory)
      this.#startTime.set({}, this.#last.startSeconds)
    }
    this.#cpu.set(ALL, this.#total.sums[0])
    if (this.#last || usage !== 'unknown') this.#restarts.set({}, this.#restartCount)
  }

  async finish(signal: AbortSignal): Promise<void> {
    await this.#ends.finish(signal)
  }

  facts(): Promise<readonly Fact[]> {
    return processFacts(this.#host.metrics)
  }

  findings(): Finding[] {
    const text = `no ${this.#host.proc} here: only CPU time, memory and start of one process are known (by ps)`
    return [{ level: 'info', text }, ...(this.#missing ? [{ level: 'warning' as const, text: this.#missing }] : [])]
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #pid(): number | undefined {
    const { select, child } = this.#host.app
    this.#missing = ''
    if (select.pid !== undefined) return select.pid
    if (select.pid_file !== undefined) {
      const [, digits] = /^\s*([1-9]\d{0,9})\s*(?:\n|$)/.exec(readText(select.pid_file) ?? '') ?? []
      if (digits !== undefined) return Number(digits)
      this.#missing = `cannot read a process number from app.pid_file ${select.pid_file}`
      return undefined
    }
    if (child === undefined)
      this.#missing = 'without /proc the application is found by app.pid, app.pid_file or pillion run only'
    return child
  }
}
