// The cost of reading processes: `node bench/proc.ts`. CPU time of one collection for 1 and for 100 processes, compared with
// pidusage, and with Debian's prometheus-process-exporter if it is installed, both scraped over HTTP in the same run.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import pidusage from 'pidusage'
import { Account } from '../collectors/process/account.ts'
import { Table } from '../collectors/process/table.ts'
import { fdSizeKnown, Tracked } from '../collectors/process/tracked.ts'
import { Tree } from '../collectors/process/tree.ts'
import { type ProcessOptions, process as processCollector } from '../collectors/process.ts'
import { Scrape } from '../exporter/prometheus.ts'
import { Metrics } from '../metrics/registry.ts'
import type { Host } from '../telemetry/host.ts'
import { Memory } from '../telemetry/memory.ts'
import { freePort } from './server.ts'

const { createServer, request } = process.getBuiltinModule('node:http')

const OPTIONS: ProcessOptions = {
  children: 'together',
  interval: 5000,
  processes_limit: 512,
  threads_limit: 256,
  tcp: true,
  smaps: false,
  smaps_limit: 2 ** 30,
  exit_helper: 'off',
}
const EXPORTER = 'prometheus-process-exporter'
const SCRAPES = 200

const [verb, argument] = process.argv.slice(2)
if (verb === 'serve') await serve(Number(argument))
else await bench()

async function bench(): Promise<void> {
  for (const count of [1, 100]) {
    await using family = await sleepers(count)
    const { pids } = family
    console.log(`\n${count} ${count === 1 ? 'process' : 'processes'}`)
    const base = baseFiles(pids[0]!, 3000 / count)
    const budget = count === 1 ? 100 : 6000
    row('base files (stat, status, io, schedstat, limits, fd count)', base, `budget ${budget} µs`)
    row('a whole collection, cgroup and publishing too', await collection(pids[0]!, 1000 / count))
    const rival = await pidusageCost(pids, 500 / count)
    row('pidusage (one file: CPU and memory)', rival, `${(rival / base).toFixed(1)} × the base files`)
    await servers(pids)
  }
}

/** A parent and its children, `count` in all, which sleep. */
async function sleepers(count: number): Promise<AsyncDisposable & { readonly pids: readonly number[] }> {
  const script = count === 1 ? 'exec sleep 600' : `for i in $(seq ${count - 1}); do sleep 600 & done; wait`
  const parent = spawn('sh', ['-c', script], { stdio: 'ignore', detached: true })
  await once(parent, 'spawn')
  const pid = parent.pid!
  let pids = [pid]
  while (pids.length < count || nameOf(pids.at(-1)!) !== 'sleep\n') {
    await sleep(20)
    pids = [pid, ...readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)]
  }
  return {
    pids,
    async [Symbol.asyncDispose]() {
      // A group of its own, made by `detached`.
      process.kill(-pid, 'SIGKILL')
      await once(parent, 'exit')
    },
  }
}

function nameOf(pid: number): string {
  return readFileSync(`/proc/${pid}/comm`, 'utf8')
}

function baseFiles(pid: number, times: number): number {
  const fdSize = fdSizeKnown('/proc')
  const main = new Tracked('/proc', pid, fdSize)
  main.look()
  const table = new Table('/proc')
  table.refresh(0)
  using tree = new Tree('/proc', main, fdSize, { processes: 512, threads: 256 })
  const account = new Account()
  const once = () => tree.look(table, undefined, account, account, true)
  for (let i = 0; i < times / 5; i++) once()
  const before = process.cpuUsage()
  for (let i = 0; i < times; i++) once()
  return microseconds(process.cpuUsage(before)) / Math.ceil(times)
}

async function collection(pid: number, times: number): Promise<number> {
  const running = await processCollector.start(OPTIONS, host(pid, new Metrics()))
  const { signal } = new AbortController()
  for (let i = 0; i < times / 5; i++) await running.collect?.(signal)
  const before = process.cpuUsage()
  for (let i = 0; i < times; i++) await running.collect?.(signal)
  const used = microseconds(process.cpuUsage(before))
  await running[Symbol.asyncDispose]()
  return used / Math.ceil(times)
}

async function pidusageCost(pids: readonly number[], times: number): Promise<number> {
  await pidusage([...pids])
  const before = process.cpuUsage()
  for (let i = 0; i < times; i++) await pidusage([...pids])
  return microseconds(process.cpuUsage(before)) / Math.ceil(times)
}

/** CPU time per scrape of whole servers, as the kernel accounts for it. */
async function servers(pids: readonly number[]): Promise<void> {
  const ours = await scraped('Pillion, this collector behind HTTP', process.execPath, () => [
    import.meta.filename,
    'serve',
    String(pids[0]),
  ])
  if (spawnSync(EXPORTER, ['-version']).error) {
    console.log(`  (no ${EXPORTER} to compare with; apt-get install ${EXPORTER})`)
    return
  }
  const f = async (title: string, ...more: string[]) => {
    const names = ['-procnames', 'sleep,sh', ...more]
    const theirs = await scraped(title, EXPORTER, port => [...names, '-web.listen-address', `127.0.0.1:${port}`])
    console.log(`    ratio ${(theirs / ours).toFixed(1)}`)
  }
  await f('process-exporter as it comes')
  await f('process-exporter without smaps and threads', '-gather-smaps=false', '-threads=false')
}

async function scraped(title: string, command: string, args: (port: number) => readonly string[]): Promise<number> {
  const free = await freePort()
  const child = spawn(command, args(free), { stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    const port = command === EXPORTER ? free : await saidPort(child)
    while (!(await get(port).catch(() => ''))) await sleep(50)
    for (let i = 0; i < 20; i++) await get(port)
    const before = ticks(child.pid!)
    for (let i = 0; i < SCRAPES; i++) await get(port)
    const used = ((ticks(child.pid!) - before) * 10_000) / SCRAPES
    row(title, used, 'per scrape, whole server')
    return used
  } finally {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
}

async function saidPort(child: ChildProcess): Promise<number> {
  const [line] = await once(child.stdout!, 'data')
  return Number(line)
}

/** The collector behind a minimal server: prints its port and serves until it is killed. */
async function serve(pid: number): Promise<void> {
  const metrics = new Metrics()
  const running = await processCollector.start(OPTIONS, host(pid, metrics))
  const scrape = new Scrape(metrics, [{ name: 'process', collect: signal => running.collect?.(signal) }])
  const server = createServer(async (_, response) => {
    const { chunks } = await scrape.scrape(undefined, AbortSignal.timeout(5000))
    response.end(Buffer.concat(chunks))
  })
  server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
}

function host(pid: number, metrics: Metrics): Host {
  const silent = () => undefined
  return {
    proc: '/proc',
    clock: {
      now: Date.now,
      monotonic: () => performance.now(),
      sleep: (ms, signal) => sleep(ms, undefined, { signal, ref: false }),
    },
    log: { info: silent, warn: silent, error: silent },
    metrics,
    memory: new Memory(2 ** 30),
    app: { url: undefined, select: { pid }, child: undefined, pid: undefined, port: undefined },
  }
}

function get(port: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  request({ host: '127.0.0.1', port, path: '/metrics', agent: false }, async response => {
    let body = ''
    for await (const chunk of response) body += chunk
    resolve(body)
  })
    .once('error', reject)
    .end()
  return promise
}

function ticks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

function microseconds({ user, system }: NodeJS.CpuUsage): number {
  return user + system
}

function row(title: string, us: number, note = ''): void {
  console.log(`  ${title.padEnd(60)} ${us.toFixed(us < 100 ? 1 : 0).padStart(7)} µs CPU  ${note}`)
}
