// The background life of the collector: find the application, notice when it ends, find it again, and keep its counters
// going meanwhile. A scrape only reads once more and publishes.

import type { Finding, Host, Running } from '../collector.ts'
import { Access } from './access.ts'
import { Account } from './account.ts'
import { Cgroup } from './cgroup.ts'
import { type Found, find, hidepid, type Sight, selfPid, socketOwners } from './discovery.ts'
import { overLimit } from './families.ts'
import { readText } from './file.ts'
import { parseUptime, type Smaps, TICKS_PER_SECOND } from './parse.ts'
import { type Incarnation, Readings } from './readings.ts'
import { readSmaps } from './smaps.ts'
import { readTcp, type TcpState } from './sockets.ts'
import { Table } from './table.ts'
import { fdSizeKnown, Tracked } from './tracked.ts'
import { Tree } from './tree.ts'

export interface WatchOptions {
  readonly children: 'together' | 'apart'
  readonly interval: number
  readonly processes_limit: number
  readonly threads_limit: number
  readonly tcp: boolean
  readonly smaps: boolean
  readonly smaps_limit: number
}

/** Between looks for the end of the application, or for its beginning. */
const WATCH_MS = 1000
/** The same for a known pid in the first seconds, when `pillion run` has just started it. */
const CHILD_MS = 100
const CHILD_FOR_MS = 10_000
const TCP_MS = 15_000
const SMAPS_MS = 60_000
const RETRY_MS = 60_000
/** A background read may take this part of the time at most: then its interval grows. */
const SHARE = 1 / 50

export class Watch implements Running {
  readonly #host: Host
  readonly #options: WatchOptions
  readonly #table: Table
  readonly #access: Access
  readonly #cgroup: Cgroup
  readonly #readings: Readings
  readonly #overLimit
  readonly #mine = new Account()
  readonly #theirs: Account
  readonly #stop = new AbortController()
  readonly #fdSize: boolean
  #self: number | undefined
  #loop: Promise<void> = Promise.resolve()
  #tree: Tree | undefined
  #incarnation: Incarnation | undefined
  #restarts = -1
  #missing = ''
  #note: string | undefined
  #startedAt = 0
  #tableAt = Number.NEGATIVE_INFINITY
  #sampleAt = Number.NEGATIVE_INFINITY
  #retryAt = 0
  #searchAt = Number.NEGATIVE_INFINITY
  #searchPause = WATCH_MS
  #tcpAt = Number.NEGATIVE_INFINITY
  #smapsAt = Number.NEGATIVE_INFINITY
  #portAt = Number.NEGATIVE_INFINITY
  #portPause = WATCH_MS
  #tcp: Map<TcpState, number> | undefined
  #acceptQueue: number | undefined
  #smaps: Smaps | undefined

  constructor(options: WatchOptions, host: Host) {
    this.#options = options
    this.#host = host
    this.#table = new Table(host.proc)
    this.#access = new Access(host.proc, host.log)
    this.#cgroup = new Cgroup(host.proc)
    this.#readings = new Readings(host.metrics)
    this.#overLimit = host.metrics.counter(overLimit)
    for (const what of ['processes', 'threads', 'tcp', 'smaps']) this.#overLimit.inc({ what }, 0)
    this.#theirs = options.children === 'apart' ? new Account() : this.#mine
    this.#fdSize = fdSizeKnown(host.proc)
  }

  /** Ends after the first look, so that what was found can be told; on a huge machine a second later at most. */
  async start(): Promise<void> {
    const { clock } = this.#host
    const { signal } = this.#stop
    this.#startedAt = clock.monotonic()
    this.#self = await selfPid(this.#host.proc)
    const first = this.#tick()
    this.#loop = first.then(async () => {
      while (!signal.aborted) {
        await clock.sleep(this.#pause(), signal).catch(() => undefined)
        if (!signal.aborted) await this.#tick()
      }
    })
    await Promise.race([first, clock.sleep(1000, signal).catch(() => undefined)])
  }

  collect(): void {
    this.#sample(false)
    this.#publish()
  }

  findings(): Finding[] {
    const findings: Finding[] = []
    const { pid, port } = this.#host.app
    if (this.#tree && this.#incarnation) {
      const { name, foundBy } = this.#incarnation
      const listens = port === undefined ? '' : `, listening on port ${port}`
      findings.push({ level: 'info', text: `application: process ${pid} (${name}), found by ${foundBy}${listens}` })
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

  /** One turn of the background. What goes wrong here is a defect, and must not end the watching. */
  async #tick(): Promise<void> {
    try {
      const now = this.#host.clock.monotonic()
      // Between whole looks, one read tells whether the main process still lives.
      if (this.#tree && (!this.#tree.main.look() || this.#tree.main.stat.ended)) this.#sample(true)
      if (!this.#tree) await this.#search()
      else if (now - this.#sampleAt >= this.#options.interval) this.#sample(true)
      await this.#readPort()
      await this.#readTcp()
      await this.#readSmaps()
    } catch (error) {
      this.#host.log.error('cannot watch the application; trying again', { error })
    }
  }

  #pause(): number {
    if (this.#tree) return Math.min(WATCH_MS, this.#options.interval)
    const { select, child } = this.#host.app
    const known = select.pid !== undefined || child !== undefined
    const young = this.#host.clock.monotonic() - this.#startedAt < CHILD_FOR_MS
    return known && young ? CHILD_MS : WATCH_MS
  }

  async #search(): Promise<void> {
    const { clock, app, proc } = this.#host
    const now = clock.monotonic()
    if (now - this.#searchAt < this.#searchPause - WATCH_MS / 2) return
    this.#searchAt = now
    while (this.#table.refresh(now) > 0) await new Promise(setImmediate)
    this.#tableAt = now
    const sight: Sight = { proc, table: this.#table, self: this.#self, child: app.child }
    const found = await find({ ...app.select, url: app.url }, sight)
    if (this.#stop.signal.aborted) return
    if (found.pid !== undefined) {
      this.#adopt(found)
      return
    }
    // Going through all descriptors or command lines costs too much to be done each second for ever.
    this.#searchPause = found.costly ? Math.min(this.#searchPause * 2, 30_000) : WATCH_MS
    const hidden = await hidepid(proc)
    this.#miss(
      hidden ? `${found.why} (/proc is mounted with hidepid=${hidden}, which hides processes of others)` : found.why,
    )
  }

  #miss(why: string): void {
    if (why !== this.#missing) this.#host.log.warn(why)
    this.#missing = why
  }

  #adopt(found: Found & { readonly pid: number }): void {
    const { proc, app, clock, log } = this.#host
    const main = new Tracked(proc, found.pid, this.#fdSize)
    if (!main.look() || main.stat.ended) {
      if (main.outcome.stat === 'denied') this.#access.note('stat', false, found.pid)
      main[Symbol.dispose]()
      return
    }
    this.#access.forget()
    this.#tree = new Tree(proc, main, this.#fdSize, {
      processes: this.#options.processes_limit,
      threads: this.#options.threads_limit,
    })
    this.#restarts++
    this.#missing = ''
    this.#note = found.note
    this.#searchPause = WATCH_MS
    this.#portPause = WATCH_MS
    this.#portAt = this.#tcpAt = this.#smapsAt = Number.NEGATIVE_INFINITY
    const ageAtMs = clock.monotonic()
    const age = parseUptime(readText(`${proc}/uptime`) ?? '') - main.startTicks / TICKS_PER_SECOND
    // Inside a container /proc/uptime may be the container's while start times are the machine's: then there is no age.
    const ageSeconds = age >= -1 ? Math.max(0, age) : Number.NaN
    const startSeconds = clock.now() / 1000 - ageSeconds
    this.#incarnation = { name: main.name(), foundBy: found.by, startSeconds, ageSeconds, ageAtMs }
    app.pid = found.pid
    this.#retryAt = ageAtMs + RETRY_MS
    log.info('application found', { pid: found.pid, name: this.#incarnation.name, found_by: found.by })
    this.#sample(true)
  }

  /** Reads everything that is read in microseconds. `whole`: also all threads, which a scrape does without. */
  #sample(whole: boolean): void {
    const tree = this.#tree
    if (!tree) return
    const { clock } = this.#host
    const now = clock.monotonic()
    if (now - this.#tableAt >= WATCH_MS) {
      this.#table.refresh(now)
      this.#tableAt = now
    }
    if (now >= this.#retryAt) {
      this.#retryAt = now + RETRY_MS
      tree.retry()
    }
    if (!tree.look(this.#table, this.#self, this.#mine, this.#theirs, whole)) {
      this.#lose()
      return
    }
    if (whole) {
      this.#sampleAt = now
      if (tree.processesLeftOut > 0) this.#overLimit.inc({ what: 'processes' })
      if (tree.threadsLeftOut > 0) this.#overLimit.inc({ what: 'threads' })
    }
    const { pid, outcome } = tree.main
    const fresh = this.#freshCgroup !== tree
    this.#freshCgroup = tree
    this.#cgroup.look(pid, fresh, now)
    for (const file of ['stat', 'status', 'io', 'schedstat', 'limits', 'fd'] as const)
      if (outcome[file] === 'ok' || outcome[file] === 'denied') this.#access.note(file, outcome[file] === 'ok', pid)
    this.#access.note('cgroup', this.#cgroup.place !== undefined, pid)
  }
  #freshCgroup: Tree | undefined

  #lose(): void {
    const { app, log } = this.#host
    log.warn('application process ended', { pid: app.pid })
    this.#tree?.[Symbol.dispose]()
    this.#tree = undefined
    this.#incarnation = undefined
    this.#tcp = undefined
    this.#acceptQueue = undefined
    this.#smaps = undefined
    this.#cgroup.leave()
    this.#access.forget()
    app.pid = undefined
    app.port = undefined
    this.#searchAt = Number.NEGATIVE_INFINITY
  }

  async #readPort(): Promise<void> {
    const tree = this.#tree
    const { clock, proc, app } = this.#host
    const now = clock.monotonic()
    if (!tree || now - this.#portAt < this.#portPause - WATCH_MS / 2) return
    this.#portAt = now
    const ports = new Map<number, number>()
    await readTcp(`${proc}/${tree.main.pid}/net`, row => {
      if (row.state === 'listen') ports.set(row.inode, row.port)
    })
    const pids = [...tree.members].map(member => member.pid)
    const { held } = await socketOwners({ proc }, pids, new Set(ports.keys()))
    if (this.#tree !== tree) return
    const own = [...held].map(inode => ports.get(inode)!).sort((a, b) => a - b)
    app.port = own[0] ?? app.port
    this.#portPause = app.port === undefined ? Math.min(this.#portPause * 2, 30_000) : RETRY_MS
  }

  async #readTcp(): Promise<void> {
    const tree = this.#tree
    const { clock, proc, app } = this.#host
    const start = clock.monotonic()
    if (!tree || !this.#options.tcp || start < this.#tcpAt) return
    const counts = new Map<TcpState, number>()
    let waiting: number | undefined
    const { pid } = tree.main
    const outcome = await readTcp(`${proc}/${pid}/net`, row => {
      counts.set(row.state, (counts.get(row.state) ?? 0) + 1)
      if (row.state === 'listen' && row.port === app.port) waiting = (waiting ?? 0) + row.receiveQueue
    })
    const end = clock.monotonic()
    this.#tcpAt = start + Math.max(TCP_MS, (end - start) / SHARE)
    if (this.#tree !== tree) return
    if (outcome === 'cut') this.#overLimit.inc({ what: 'tcp' })
    this.#tcp = outcome === 'whole' ? counts : undefined
    this.#acceptQueue = outcome === 'whole' ? waiting : undefined
    this.#access.note('net/tcp', outcome !== 'unreadable', pid)
  }

  async #readSmaps(): Promise<void> {
    const tree = this.#tree
    const { clock } = this.#host
    const start = clock.monotonic()
    if (!tree || !this.#options.smaps || start < this.#smapsAt) return
    const read = await readSmaps(tree.members, this.#options.smaps_limit)
    this.#smapsAt = start + Math.max(SMAPS_MS, (clock.monotonic() - start) / SHARE)
    if (this.#tree !== tree) return
    this.#smaps = read.sum
    if (!read.sum && read.why === 'large') this.#overLimit.inc({ what: 'smaps' })
    if (read.sum || read.why === 'denied') this.#access.note('smaps_rollup', read.sum !== undefined, tree.main.pid)
  }

  #publish(): void {
    this.#readings.publish({
      tree: this.#tree,
      incarnation: this.#incarnation,
      restarts: Math.max(0, this.#restarts),
      mine: this.#mine,
      theirs: this.#theirs,
      tcp: this.#tcp,
      acceptQueue: this.#acceptQueue,
      smaps: this.#smaps,
      cgroup: this.#cgroup,
      access: this.#access,
      nowMs: this.#host.clock.monotonic(),
    })
  }
}
