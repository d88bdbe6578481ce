// An application that is given faults beside the real sidecar. The application answers with the times of its work, and
// the harness sends them as spans, as an SDK would; the fault is named by whoever injects it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Child } from '../e2e/child.ts'
import { type Ride, startSidecar } from '../e2e/ride.ts'

export const FAULTS = [
  'own_cpu',
  'dependency',
  'lock',
  'waiting_for_cpu',
  'throttled',
  'stopped',
  'disk',
  'gc',
  'paging',
] as const
/** A cause that is injected, or none. */
export type Fault = (typeof FAULTS)[number] | 'none'

export const RUNTIMES = ['node', 'java', 'python', 'go'] as const
export type Runtime = (typeof RUNTIMES)[number]

/** The faults that the requests themselves make, by runtime; the others come from outside. */
const INSIDE: Readonly<Record<Runtime, readonly Fault[]>> = {
  node: ['own_cpu', 'dependency', 'lock', 'disk', 'gc'],
  java: ['own_cpu', 'dependency', 'lock', 'disk', 'gc'],
  python: ['own_cpu', 'dependency', 'lock', 'disk', 'paging'],
  go: ['own_cpu', 'dependency', 'lock', 'disk'],
}
const OUTSIDE: readonly Fault[] = ['waiting_for_cpu', 'throttled', 'stopped']

/** A cgroup of the first version, whose quota can be set here. */
const CPU_GROUP = '/sys/fs/cgroup/cpu'
/** One whose disk can be slowed down. */
const DISK_GROUP = '/sys/fs/cgroup/blkio'

export function canBe(runtime: Runtime, fault: Fault): boolean {
  if (fault === 'throttled') return existsSync(join(CPU_GROUP, 'cpu.cfs_quota_us')) && process.getuid?.() === 0
  return OUTSIDE.includes(fault) || INSIDE[runtime].includes(fault)
}

interface Times {
  readonly start: string
  readonly dep: readonly [string, string]
  readonly end: string
}

/** Slow requests by cause. */
export type Counts = Readonly<Record<string, number>>

export class Stand implements AsyncDisposable {
  readonly #app: Child
  readonly #url: string
  readonly #ride: Ride
  readonly #open: AsyncDisposableStack
  readonly #group: string | undefined
  /** The duration of each request, in milliseconds. */
  readonly durations: number[] = []
  #sent = 0
  #waiting: object[] = []

  private constructor(app: Child, url: string, ride: Ride, open: AsyncDisposableStack, group: string | undefined) {
    this.#app = app
    this.#url = url
    this.#ride = ride
    this.#open = open
    this.#group = group
  }

  static async start(command: readonly [string, ...string[]], flags: readonly string[] = []): Promise<Stand> {
    await using open = new AsyncDisposableStack()
    const folder = mkdtempSync(join(tmpdir(), 'pillion-faults-'))
    open.defer(() => rmSync(folder, { recursive: true, force: true }))
    const dependency = open.adopt(await slowServer(), server => void server.close())
    const { port } = dependency.address() as AddressInfo
    const [program, ...args] = command
    const env = { DEPENDENCY: `http://127.0.0.1:${port}/`, FOLDER: folder }
    let group: string | undefined
    // After the application has ended: what is first in is last out.
    open.defer(async () => {
      if (group) await ungroup(group)
    })
    const app = open.use(await Child.start(program, args, env))
    const [, listens] = await app.says(/port (\d+)/)
    group = throttling(app.pid)
    const off = ['--health.enabled', 'false', '--app.pid', String(app.pid)]
    const ride = open.use(await startSidecar({ flags: [...off, ...flags] }))
    return new Stand(app, `http://127.0.0.1:${listens}/work`, ride, open.move(), group)
  }

  /** Does so many requests, `at` at a time, with a fault, and sends their spans. */
  async requests(count: number, fault: Fault = 'none', at = 1): Promise<void> {
    await using _ = await this.#outside(fault)
    let left = count
    const one = async () => {
      while (left-- > 0) {
        const response = await fetch(`${this.#url}?fault=${fault}`)
        this.#note((await response.json()) as Times)
        await sleep(fault === 'none' ? 15 : 25)
      }
    }
    await Promise.all(Array.from({ length: at }, one))
    await this.#send()
  }

  /** Waits until all requests so far have been put together, and counts the slow ones by cause. */
  async counts(): Promise<Counts> {
    for (const end = performance.now() + 60_000; ; await sleep(100)) {
      const page = await this.#ride.scrape()
      const done = Number(/^pillion_trees_requests_total (\d+)$/m.exec(page)?.[1] ?? 0)
      if (done < this.#sent) {
        if (performance.now() > end) throw new Error(`${done} of ${this.#sent} requests were put together`)
        continue
      }
      const found: Record<string, number> = {}
      for (const [, cause, value] of page.matchAll(/^app_slow_requests_total\{.*cause="([^"]*)".*\} (\d+)$/gm)) {
        const name = cause!.startsWith('dependency:') ? 'dependency' : cause!
        found[name] = (found[name] ?? 0) + Number(value)
      }
      return found
    }
  }

  /** The newest episode. */
  async episode(): Promise<
    { readonly cause: string; readonly sentence: string; readonly trace_id: string } | undefined
  > {
    const answer = await this.json('/api/insight')
    return (answer as { episodes: { cause: string; sentence: string; trace_id: string }[] }).episodes[0]
  }

  async json(path: string): Promise<unknown> {
    const response = await fetch(`${this.#ride.web}${path}`)
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return await response.json()
  }

  async page(): Promise<string> {
    return await this.#ride.scrape()
  }

  /** Base URL of the sidecar's web server. */
  get web(): string {
    return this.#ride.web
  }

  get log(): string {
    return this.#ride.child.stderr + this.#ride.child.stdout
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open.disposeAsync()
  }

  #note({ start, dep: [from, to], end }: Times): void {
    const number = ++this.#sent
    this.durations.push(Number(BigInt(end) - BigInt(start)) / 1e6)
    const trace = number.toString(16).padStart(32, 'a')
    const id = (digit: string) => number.toString(16).padStart(16, digit)
    const peer = { key: 'peer.service', value: { stringValue: 'stock' } }
    const root = { traceId: trace, spanId: id('b'), name: 'GET /work', kind: 2, startTimeUnixNano: start }
    const call = { traceId: trace, spanId: id('c'), parentSpanId: id('b'), name: 'GET', kind: 3, attributes: [peer] }
    this.#waiting.push({ ...call, startTimeUnixNano: from, endTimeUnixNano: to }, { ...root, endTimeUnixNano: end })
    if (this.#waiting.length >= 20) void this.#send()
  }

  async #send(): Promise<void> {
    if (this.#waiting.length === 0) return
    const spans = this.#waiting
    this.#waiting = []
    const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] }
    const response = await fetch(`${this.#ride.otlp}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] }),
    })
    if (!response.ok) throw new Error(`spans were answered with ${response.status}`)
  }

  /** Does to the process what does not come from its requests, until it is disposed of. */
  async #outside(fault: Fault): Promise<AsyncDisposable> {
    if (fault === 'disk') return slowDisk(this.#app.pid, 'write_bps', 16 << 20)
    if (fault === 'paging') return slowDisk(this.#app.pid, 'read_iops', 500)
    if (fault === 'stopped') return stopping(this.#app)
    if (fault === 'waiting_for_cpu') return await hogging(this.#app.pid)
    if (fault === 'throttled') return quota(this.#group)
    return { async [Symbol.asyncDispose]() {} }
  }
}

/** Stops the process for 60 of each 70 ms: a request takes longer than the rest, so that it is hit. */
function stopping(app: Child): AsyncDisposable {
  let on = true
  const turns = (async () => {
    while (on) {
      app.kill('SIGSTOP')
      await sleep(60)
      app.kill('SIGCONT')
      await sleep(10)
    }
  })()
  return {
    async [Symbol.asyncDispose]() {
      on = false
      await turns
    },
  }
}

/** With so many, a request takes about as much longer as with the other faults. */
const HOGS = 6

/** Neighbours on the core to which the process is bound. */
async function hogging(pid: number): Promise<AsyncDisposable> {
  await run('taskset', '-a', '-c', '-p', '1', String(pid))
  // The dependency shall not be slow as well.
  await run('taskset', '-a', '-c', '-p', '0', String(process.pid))
  const hogs = await Promise.all(
    Array.from({ length: HOGS }, () => Child.start('taskset', ['-c', '1', 'sh', '-c', 'while :; do :; done'])),
  )
  // Each with the same share as the application.
  const groups = hogs.map(hog => throttling(hog.pid))
  return {
    async [Symbol.asyncDispose]() {
      for (const hog of hogs) await hog[Symbol.asyncDispose]()
      for (const group of groups) if (group) await ungroup(group)
      for (const each of [pid, process.pid]) await run('taskset', '-a', '-c', '-p', '0,1', String(each))
    },
  }
}

/** A sixteenth of a core: what a request needs takes some periods of it. */
function quota(group: string | undefined): AsyncDisposable {
  if (!group) throw new Error('cannot throttle: no cgroup of the first version, or not root')
  writeFileSync(join(group, 'cpu.cfs_quota_us'), '6250')
  return {
    async [Symbol.asyncDispose]() {
      writeFileSync(join(group, 'cpu.cfs_quota_us'), '-1')
    },
  }
}

/**
 * The application has a disk of so many bytes or operations a second, where the first version of cgroups can do that.
 * Otherwise it has the disk that there is: a fast one makes waits so short that other programs get the core in between.
 */
function slowDisk(pid: number, limit: 'write_bps' | 'read_iops', most: number): AsyncDisposable {
  const group = join(DISK_GROUP, `pillion-faults-${pid}`)
  const device = blockDevice(tmpdir())
  if (!device || !existsSync(DISK_GROUP) || process.getuid?.() !== 0) return { async [Symbol.asyncDispose]() {} }
  mkdirSync(group)
  writeFileSync(join(group, `blkio.throttle.${limit}_device`), `${device} ${most}`)
  appendFileSync(join(group, 'cgroup.procs'), String(pid))
  return {
    async [Symbol.asyncDispose]() {
      appendFileSync(join(DISK_GROUP, 'cgroup.procs'), String(pid))
      await ungroup(group)
    },
  }
}

/** "major:minor" of the device that holds a folder; undefined if it is none. */
function blockDevice(folder: string): string | undefined {
  const { dev } = statSync(folder)
  const device = `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & 0xfff00)}`
  return existsSync(`/sys/dev/block/${device}`) ? device : undefined
}

/** Puts the process in a cgroup of its own, without a quota yet. */
function throttling(pid: number): string | undefined {
  if (!canBe('node', 'throttled')) return undefined
  const group = join(CPU_GROUP, `pillion-faults-${pid}`)
  mkdirSync(group)
  // Other work on the machine is a fault that nobody has injected.
  writeFileSync(join(group, 'cpu.shares'), '262144')
  appendFileSync(join(group, 'cgroup.procs'), String(pid))
  return group
}

async function ungroup(group: string): Promise<void> {
  for (let tries = 0; tries < 50; tries++)
    try {
      rmdirSync(group)
      return
    } catch {
      await sleep(100)
    }
}

async function run(command: string, ...args: readonly string[]): Promise<void> {
  await once(spawn(command, args, { stdio: 'ignore' }), 'exit')
}

/** The dependency of the application: answers after ?ms=. */
async function slowServer(): Promise<Server> {
  const server = createServer((request, response) => {
    const ms = Number(new URL(request.url ?? '', 'http://x').searchParams.get('ms'))
    setTimeout(() => response.end('ok'), ms)
  })
  server.keepAliveTimeout = 120_000
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
