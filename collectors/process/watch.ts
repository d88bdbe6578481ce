// The background life of the collector: find the application, notice when it ends, find it again, and keep its counters
// going meanwhile. A scrape only reads once more and publishes.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Finding, Host, Running } from '../collector.ts'
import { Access } from './access.ts'
import { Account } from './account.ts'
import { Cgroup } from './cgroup.ts'
import { type Found, find, hidepid, selfPid } from './discovery.ts'
import { overLimit } from './families.ts'
import { readText } from './file.ts'
import { parseUptime, TICKS_PER_SECOND } from './parse.ts'
import { Rare, type RareOptions } from './rare.ts'
import { type Incarnation, Readings } from './readings.ts'
import { Table } from './table.ts'
import { fdSizeKnown, Tracked } from './tracked.ts'
import { Tree } from './tree.ts'

export interface WatchOptions extends RareOptions {
  readonly children: 'together' | 'apart'
  readonly interval: number
  readonly processes_limit: number
  readonly threads_limit: number
}

/** Between looks for the end of the application, or for its beginning. */
const WATCH_MS = 1000
/** The same in the first seconds, when `pillion run` starts its child: then a look costs next to nothing. */
const YOUNG_MS = 100
const YOUNG_FOR_MS = 10_000
/** What is missing is logged when it is still missing after this time. */
const PATIENCE_MS = 1000
/** Other network namespaces are looked through each so many times only: a link to read for every process. */
const WIDE_EVERY = 15
/** After this time refused files are tried again, and the name is read again. */
const RENEW_MS = 60_000

export class Watch implements Running {
  readonly #host: Host
  readonly #options: WatchOptions
  readonly #table: Table
  readonly #access: Access
  readonly #cgroup: Cgroup
  readonly #rare: Rare
  readonly #readings: Readings
  readonly #overLimit
  readonly #mine = new Account()
  readonly #theirs: Account
  readonly #fdSize: boolean
  readonly #stop = new AbortController()
  #self: number | undefined
  #startedAt = 0
  #first: Promise<void> | undefined
  #loop: Promise<void> = Promise.resolve()

  #tree: Tree | undefined
  #incarnation: Incarnation | undefined
  #restarts = -1
  /** Why there is no process, or what is doubtful about the one that was found. */
  #missing = ''
  #missingSince = 0
  #missingLogged = false
  #note: string | undefined
  #searches = 0
  #searchDue = Number.NEGATIVE_INFINITY
  #searchPause = WATCH_MS
  #tableAt = Number.NEGATIVE_INFINITY
  #sampledAt = Number.NEGATIVE_INFINITY
  #renewDue = 0

  constructor(options: WatchOptions, host: Host) {
    this.#options = options
    this.#host = host
    this.#table = new Table(host.proc)
    this.#access = new Access(host.proc, host.log)
    this.#cgroup = new Cgroup(host.proc)
    this.#readings = new Readings(host.metrics)
    this.#overLimit = host.metrics.counter(overLimit)
    for (const what of ['processes', 'threads', 'tcp', 'smaps']) this.#overLimit.inc({ what }, 0)
    this.#rare = new Rare(options, host, this.#access, what => this.#overLimit.inc({ what }))
    this.#theirs = options.children === 'apart' ? new Account() : this.#mine
    this.#fdSize = fdSizeKnown(host.proc)
  }

  /** Ends after the first look, so that what was found can be told; on a huge machine after a second. */
  async start(): Promise<void> {
    const { clock } = this.#host
    const { signal } = this.#stop
    this.#startedAt = clock.monotonic()
    this.#self = await selfPid(this.#host.proc)
    const first = this.#tick()
    this.#first = first
    this.#loop = first.then(async () => {
      this.#first = undefined
      while (!signal.aborted) {
        await clock.sleep(this.#pause(), signal).catch(() => undefined)
        if (!signal.aborted) await this.#tick()
      }
    })
    await Promise.race([first, clock.sleep(1000, signal).catch(() => undefined)])
  }

  async collect(signal: AbortSignal): Promise<void> {
    // Before the first look has ended it is not known whether there is a process.
    if (this.#first) await Promise.race([this.#first, aborted(signal)])
    this.#sample(false)
    this.#readings.publish({
      tree: this.#tree,
      incarnation: this.#incarnation,
      restarts: Math.max(0, this.#restarts),
      mine: this.#mine,
      theirs: this.#theirs,
      rare: this.#rare,
      cgroup: this.#cgroup,
      access: this.#access,
      nowMs: this.#host.clock.monotonic(),
    })
  }

  findings(): Finding[] {
    const findings: Finding[] = []
    const { pid, port } = this.#host.app
    if (this.#tree && this.#incarnation) {
      const { name, foundBy } = this.#incarnation
      const listens = port === undefined ? '' : `, listening on port ${port}`
      findings.push({ level: 'info', text: `process ${pid} (${name}), found by ${foundBy}${listens}` })
      if (this.#note) findings.push({ level: 'warning', text: this.#note })
    } else if (this.#missing) findings.push({ level: 'warning', text: this.#missing })
    return [...findings, ...this.#access.findings()]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#loop
    this.#tree?.[Symbol.dispose]()
    this.#tree = undefined
    this.#cgroup[Symbol.dispose]()
  }

  /** One turn of the background. What is thrown here is a defect, and must not end the watching. */
  async #tick(): Promise<void> {
    try {
      const now = this.#host.clock.monotonic()
      // Between whole looks, one read tells whether the main process still lives.
      const ended = this.#tree && (!this.#tree.main.look() || this.#tree.main.stat.ended)
      if (ended || now - this.#sampledAt >= this.#options.interval) this.#sample(true)
      if (!this.#tree && now >= this.#searchDue) await this.#search()
      if (this.#tree) await this.#rare.look(this.#tree)
    } catch (error) {
      this.#host.log.error('cannot watch the application; trying again', { error })
    }
  }

  #pause(): number {
    if (this.#tree) return Math.min(WATCH_MS, this.#options.interval)
    const { select, child, url } = this.#host.app
    const { pid, pid_file, cgroup, match, port } = select
    const age = this.#host.clock.monotonic() - this.#startedAt
    // A child is still to come where nothing is set, and may be where only the URL is.
    const cheap = pid !== undefined || child !== undefined || (url ?? pid_file ?? cgroup ?? match ?? port) === undefined
    return age < PATIENCE_MS || (cheap && age < YOUNG_FOR_MS) ? YOUNG_MS : WATCH_MS
  }

  async #search(): Promise<void> {
    const { clock, app, proc } = this.#host
    const now = clock.monotonic()
    while (this.#table.refresh(now) > 0) await nextTurn()
    this.#tableAt = now
    const wide = this.#searches++ % WIDE_EVERY === 0
    const sight = { proc, table: this.#table, self: this.#self, child: app.child, wide }
    const found = await find({ ...app.select, url: app.url }, sight)
    if (this.#stop.signal.aborted) return
    if (found.pid !== undefined) {
      this.#adopt(found)
      return
    }
    // Going through all descriptors or command lines costs too much to be done each second for ever.
    this.#searchPause = found.costlyMs === 0 ? 0 : Math.min(Math.max(WATCH_MS, this.#searchPause * 2), found.costlyMs)
    this.#searchDue = now + this.#searchPause
    const hidden = await hidepid(proc)
    this.#miss(found.why + (hidden ? ` (/proc hides the processes of other users: hidepid=${hidden})` : ''))
  }

  #miss(why: string): void {
    const now = this.#host.clock.monotonic()
    if (why !== this.#missing) {
      this.#missing = why
      this.#missingSince = now
      this.#missingLogged = false
    }
    if (this.#missingLogged || now - this.#missingSince < PATIENCE_MS) return
    this.#missingLogged = true
    this.#host.log.warn(why)
  }

  #adopt(found: Found & { readonly pid: number }): void {
    const { proc, app, clock, log } = this.#host
    const main = new Tracked(proc, found.pid, this.#fdSize)
    if (!main.look() || main.stat.ended) {
      this.#miss(`process ${found.pid}, found by ${found.by}, ended at once or may not be read`)
      main[Symbol.dispose]()
      return
    }
    this.#tree = new Tree(proc, main, this.#fdSize, {
      processes: this.#options.processes_limit,
      threads: this.#options.threads_limit,
    })
    this.#restarts++
    this.#missing = ''
    this.#note = found.note
    this.#searches = 0
    this.#searchPause = 0
    const ageAtMs = clock.monotonic()
    const age = parseUptime(readText(`${proc}/uptime`) ?? '') - main.startTicks / TICKS_PER_SECOND
    // Inside a container /proc/uptime may be the container's while start times are the machine's: then there is no age.
    const ageSeconds = age >= -1 ? Math.max(0, age) : Number.NaN
    const startSeconds = clock.now() / 1000 - ageSeconds
    this.#incarnation = { name: main.name(), foundBy: found.by, startSeconds, ageSeconds, ageAtMs }
    this.#renewDue = ageAtMs + RENEW_MS
    app.pid = found.pid
    log.info('application found', { pid: found.pid, name: this.#incarnation.name, found_by: found.by })
    this.#cgroup.begin(found.pid)
    this.#sample(true)
  }

  /** Reads all that is read in microseconds. `whole`: also every thread, which a scrape does without. */
  #sample(whole: boolean): void {
    const tree = this.#tree
    if (!tree) return
    const now = this.#host.clock.monotonic()
    if (now - this.#tableAt >= WATCH_MS) {
      this.#table.refresh(now)
      this.#tableAt = now
    }
    if (now >= this.#renewDue) this.#renew(tree, now)
    if (!tree.look(this.#table, this.#self, this.#mine, this.#theirs, whole)) {
      this.#lose()
      return
    }
    this.#cgroup.look(now)
    if (whole) {
      this.#sampledAt = now
      if (tree.processesLeftOut > 0) this.#overLimit.inc({ what: 'processes' })
      if (tree.threadsLeftOut > 0) this.#overLimit.inc({ what: 'threads' })
    }
    const { pid, outcome } = tree.main
    for (const file of ['stat', 'status', 'io', 'schedstat', 'limits', 'fd'] as const)
      if (outcome[file] === 'ok' || outcome[file] === 'denied') this.#access.note(file, outcome[file] === 'ok', pid)
    if (this.#cgroup.told) this.#access.note('cgroup', this.#cgroup.place !== undefined, pid)
  }

  #renew(tree: Tree, now: number): void {
    this.#renewDue = now + RENEW_MS
    tree.retry()
    this.#cgroup.retry()
    if (this.#incarnation) this.#incarnation = { ...this.#incarnation, name: tree.main.name() }
  }

  #lose(): void {
    const { app, log } = this.#host
    log.warn(`the application's process ${app.pid} ended`)
    this.#tree?.[Symbol.dispose]()
    this.#tree = undefined
    this.#incarnation = undefined
    this.#rare.forget()
    this.#cgroup.leave()
    this.#access.forget()
    app.pid = undefined
    app.port = undefined
    this.#searchDue = Number.NEGATIVE_INFINITY
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  if (signal.aborted) reject(signal.reason)
  signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  return promise
}
