// The background life of the collector: find the application, notice when it ends, find it again, and keep its counters
// going meanwhile. A scrape only reads once more and publishes.

import { resolve } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { helperName, ownHelper } from '../../own/program.ts'
import type { Host } from '../../telemetry/host.ts'
import type { End } from '../../telemetry/incident.ts'
import type { MomentsHost } from '../../telemetry/moment.ts'
import type { Finding, Running } from '../../telemetry/part.ts'
import type { Fact } from '../../telemetry/status.ts'
import { FileAccess } from './access.ts'
import { Cgroup } from './cgroup.ts'
import type { Target } from './discovery.ts'
import { type Departed, Ends } from './ends.ts'
import { processFacts } from './facts.ts'
import { Job } from './job.ts'
import { TICKS_PER_SECOND } from './parse.ts'
import { Rare, type RareOptions } from './rare.ts'
import { Readings } from './readings.ts'
import { Saturation } from './saturation.ts'
import { Search, WATCH_MS } from './search.ts'
import { Subject, type SubjectOptions } from './subject.ts'
import { Table } from './table.ts'
import type { Tracked } from './tracked.ts'

export interface WatchOptions extends RareOptions, SubjectOptions {
  readonly interval: number
  /** `auto`, `off` or the path of the program. */
  readonly exit_helper: string
}

/** After this time files of the cgroup that were refused, or not there, are tried again. */
const RETRY_MS = 60_000
/** The program behind `process.exit_helper`. */
const EXIT_STATUS = 'exit-status'

export class Watch implements Running {
  readonly #host: Host
  readonly #intervalMs: number
  readonly #table: Table
  readonly #search: Search
  readonly #access: FileAccess
  readonly #subject: Subject
  readonly #cgroup: Cgroup
  readonly #rare: Rare
  readonly #readings: Readings
  readonly #job: Job
  readonly #ends: Ends
  /** The program that learns exit statuses; undefined where there is none. */
  readonly #helper: string | undefined
  readonly #helperWanted: boolean
  readonly #saturation: Saturation
  readonly #stop = new AbortController()
  #first: Promise<void> | undefined
  #loop: Promise<void> = Promise.resolve()
  #sampledAt = Number.NEGATIVE_INFINITY
  #retryDue = 0
  /** Says that the last process may no longer be read, while there is none. */
  #hidden = ''

  constructor(options: WatchOptions, host: Host & Partial<MomentsHost>) {
    this.#host = host
    this.#intervalMs = options.interval
    this.#table = new Table(host.proc)
    this.#search = new Search(host, this.#table)
    this.#access = new FileAccess(host.proc, host.log)
    this.#readings = new Readings(host.metrics)
    this.#job = new Job(host)
    const { exit_helper } = options
    this.#helperWanted = exit_helper !== 'off'
    if (this.#helperWanted) this.#helper = exit_helper === 'auto' ? ownHelper(EXIT_STATUS) : resolve(exit_helper)
    this.#ends = new Ends(host, this.#helper)
    this.#saturation = new Saturation(host)
    this.#subject = new Subject(options, host, this.#access)
    this.#cgroup = new Cgroup(host)
    this.#rare = new Rare(
      options,
      host,
      this.#access,
      () => this.#grow(),
      what => this.#subject.leftOut(what),
      (toOne, waiting) => this.#saturation.connections(toOne, waiting),
    )
  }

  /** Ends after the first look, so that what was found can be told; on a huge machine after a second. */
  async start(): Promise<void> {
    const { clock } = this.#host
    const { signal } = this.#stop
    await this.#search.start()
    const first = this.#tick()
    this.#first = first
    this.#loop = first.then(async () => {
      this.#first = undefined
      while (!signal.aborted) {
        const pause = this.#subject.tree ? Math.min(WATCH_MS, this.#intervalMs) : this.#search.pauseMs()
        await clock.sleep(pause, signal).catch(() => undefined)
        if (!signal.aborted) await this.#tick()
      }
    })
    await Promise.race([first, clock.sleep(1000, signal).catch(() => undefined)])
  }

  /** The last ends of the application, the newest first. */
  ends(): readonly End[] {
    return this.#ends.all
  }

  /** The application that `pillion run` started has ended. */
  async finish(signal: AbortSignal): Promise<void> {
    if (this.#subject.tree) this.#sample(true)
    await this.#ends.finish(signal)
  }

  async collect(signal: AbortSignal): Promise<void> {
    this.#job.publish()
    this.#ends.settle()
    // Before the first look has ended it is not known whether there is a process.
    if (this.#first) await Promise.race([this.#first, aborted(signal)])
    await this.#grow()
    this.#sample(false)
    this.#saturation.publish()
    this.#readings.publish({
      subject: this.#subject,
      absence: this.#search.absence,
      rare: this.#rare,
      cgroup: this.#cgroup,
      access: this.#access,
      nowMs: this.#host.clock.monotonic(),
    })
  }

  facts(): Promise<readonly Fact[]> {
    return processFacts(this.#host.metrics)
  }

  findings(): Finding[] {
    const findings: Finding[] = []
    const warn = (text: string | undefined) => void (text && findings.push({ level: 'warning', text }))
    const { tree, incarnation } = this.#subject
    if (tree && incarnation) {
      const { pid, name, foundBy, note } = incarnation
      const { port } = this.#host.app
      const listens = port === undefined ? '' : `, listening on port ${port}`
      findings.push({ level: 'info', text: `process ${pid} (${name}), found by ${foundBy}${listens}` })
      warn(note)
      if (tree.main.stat.stopped)
        warn(`process ${pid} is stopped (by SIGSTOP, a terminal or a debugger) and does nothing until SIGCONT`)
      const unknown = this.#unwitnessed(tree.main)
      if (unknown) findings.push({ level: 'info', text: `its exit status will not be known: ${unknown}` })
    } else {
      warn(this.#ends.last ?? this.#hidden)
      warn(this.#search.why)
    }
    return [...findings, ...this.#access.findings()]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#loop
    this.#ends[Symbol.dispose]()
    this.#subject[Symbol.dispose]()
    this.#cgroup[Symbol.dispose]()
  }

  /** One turn of the background. An exception here is a defect, and must not end the watching. */
  async #tick(): Promise<void> {
    const { tree } = this.#subject
    try {
      const now = this.#host.clock.monotonic()
      this.#ends.settle()
      // Between whole looks, one read tells whether the main process still lives.
      if (tree && !this.#subject.runs()) this.#sample(true)
      else if (now - this.#sampledAt >= this.#intervalMs) {
        await this.#grow()
        this.#sample(true)
      }
      if (!this.#subject.tree) {
        const target = await this.#search.look()
        if (target && !this.#stop.signal.aborted) await this.#adopt(target)
      }
      if (this.#subject.tree) {
        this.#saturation.lookAtDisk(this.#subject.tree.main.pid)
        await this.#rare.look(this.#subject.tree)
      }
    } catch (error) {
      this.#host.log.error('cannot watch the application; trying again', { error })
    }
  }

  async #adopt(target: Target): Promise<void> {
    const { app, log } = this.#host
    const { pid, by } = target
    switch (this.#subject.adopt(target)) {
      case 'ended':
        this.#search.miss('not_running', `process ${pid}, found by ${by}, ended at once`)
        return
      case 'denied':
        this.#search.miss(
          'unknown',
          `process ${pid}, found by ${by}, may not be read; run the sidecar as its user, or mount /proc without hidepid`,
        )
        return
      case 'adopted':
    }
    this.#search.end()
    this.#hidden = ''
    this.#ends.forget()
    app.pid = pid
    log.info('application found', { pid, name: this.#subject.incarnation?.name, found_by: by })
    this.#cgroup.begin(pid)
    await this.#grow()
    this.#sample(true)
  }

  /** Takes in new processes of the application, a few in each turn, so that hundreds of them do not hold the loop. */
  async #grow(): Promise<void> {
    const { tree } = this.#subject
    if (!tree) return
    this.#table.refreshOlder(this.#host.clock.monotonic(), WATCH_MS)
    while (this.#subject.tree === tree && tree.recruit(this.#table, this.#search.self)) await nextTurn()
  }

  /** Reads all that is read in microseconds. `whole`: also every thread, which a scrape does without. */
  #sample(whole: boolean): void {
    const now = this.#host.clock.monotonic()
    if (whole) this.#sampledAt = now
    const { tree } = this.#subject
    if (!tree) {
      // Kills in the cgroup that the last process left behind.
      this.#cgroup.look(now)
      return
    }
    this.#table.refreshOlder(now, WATCH_MS)
    if (!this.#subject.look(this.#table, this.#search.self, whole)) {
      this.#lose(tree.main.outcome.stat === 'denied', now)
      return
    }
    if (now >= this.#retryDue) {
      this.#retryDue = now + RETRY_MS
      this.#cgroup.retry()
    }
    this.#cgroup.look(now)
    if (whole) {
      this.#cgroup.alive()
      this.#weigh(tree.main)
      if (this.#foreign(tree.main)) this.#ends.watch(tree.main.pid, tree.main.startTicks)
    }
    if (this.#cgroup.told) this.#access.note('cgroup', this.#cgroup.place !== undefined, tree.main.pid)
  }

  /** Whether somebody else waits for it; and it has the number here that we would ask the kernel for. */
  #foreign({ stat }: Tracked): boolean {
    const { self } = this.#search
    return self === process.pid && stat.ppid !== self
  }

  /** Why its exit status will not be known; undefined if it will, or nobody wants to know. */
  #unwitnessed(main: Tracked): string | undefined {
    if (!this.#helperWanted || !this.#foreign(main)) return undefined
    if (this.#helper !== undefined) return this.#ends.trouble
    return `there is no ${helperName(EXIT_STATUS)} beside the program; see process.exit_helper`
  }

  #weigh({ openFds, maxFds }: Tracked): void {
    const { gauges } = this.#cgroup
    this.#saturation.look({
      memory: [gauges?.workingSetBytes ?? Number.NaN, gauges?.memoryLimitBytes ?? Number.NaN],
      descriptors: [openFds, maxFds],
      threads: [gauges?.pids ?? Number.NaN, gauges?.pidsLimit ?? Number.NaN],
    })
  }

  /** `hidden`: it may run on, but may no longer be read. */
  #lose(hidden: boolean, now: number): void {
    const { app, log } = this.#host
    const { gauges } = this.#cgroup
    const kills = this.#cgroup.end(now)
    if (hidden) {
      this.#hidden = `process ${app.pid} may no longer be read`
      log.warn(this.#hidden)
      this.#ends.leave()
    } else {
      const { main } = this.#subject.tree!
      this.#ends.add({
        pid: main.pid,
        startSeconds: main.startTicks / TICKS_PER_SECOND,
        stat: main.zombie,
        readable: main.outcome.io === 'ok',
        kills,
        memoryShare: gauges ? gauges.workingSetBytes / gauges.memoryLimitBytes : Number.NaN,
      } satisfies Departed)
    }
    this.#subject[Symbol.dispose]()
    this.#rare.forget()
    this.#saturation.forget()
    this.#access.forget()
    app.pid = undefined
    app.port = undefined
    this.#search.begin(hidden ? 'unknown' : 'not_running')
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  if (signal.aborted) reject(signal.reason)
  signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  return promise
}
