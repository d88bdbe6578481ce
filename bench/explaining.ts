// The cost of explaining for the built sidecar: CPU of the sampler at rest and while spans come in, and memory of all parts
// that explain, each as the difference of two sidecars beside one application, of which one has these parts switched off.
//
// Both run at the same time, so in each window they meet the same machine: others that use it empty the caches for both. What
// is left of the noise (a collection, a probe that falls into one window) is in single windows, so a budget is judged by the
// smallest difference: a sampler that is too dear is so in all of them.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { threadSeconds } from './machine.ts'
import { freePort, launch, pillion, type Server, scrape } from './server.ts'

const APPLICATION = fileURLToPath(new URL('eleven.ts', import.meta.url))
const PRELOAD = new URL('heap.ts', import.meta.url).href
/** The runner of the tests adds itself to every Node that is started, which would be measured too. */
const wrapper = ['env', '--unset', 'NODE_OPTIONS']
/** Until what runs all the time is compiled. */
const WARM_UP_MS = 5000
const BUSY_MS = 3000
/** While spans come in, a request in each so many milliseconds. */
const SENT_MS = 100

/** Shares of one core, in percent, in one window. */
export interface Pair {
  readonly with: number
  readonly without: number
}

export interface Sampled {
  readonly pairs: readonly Pair[]
  /** Moments a second. */
  readonly rate: number
}

export interface SamplerCost {
  readonly threads: number
  readonly rest: Sampled
  readonly busy: Sampled
}

async function application(): Promise<Server> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}/`
  const args = ['--v8-pool-size=4', APPLICATION, String(port)]
  const ports = { http: port, grpc: 0, metrics: port }
  return await launch({ name: 'application', command: process.execPath, args, ports, ready: url, wrapper })
}

/** CPU of the sampler: `windows` windows at rest and as many with spans, of so many seconds each. */
export async function samplerCost(windows: number, seconds: number, main?: string): Promise<SamplerCost> {
  await using app = await application()
  const flags = ['--app.url', `http://127.0.0.1:${app.http}/`]
  await using ours = await pillion(flags, { main, wrapper })
  await using other = await pillion([...flags, '--moments.enabled=false'], {
    ...{ main, wrapper },
    name: 'Pillion without moments',
  })
  const measured = async (): Promise<Sampled> => {
    const pairs: Pair[] = []
    const before = await moments(ours)
    const begun = performance.now()
    for (let n = 0; n < windows; n++) {
      const from = [threadSeconds(ours.pid), threadSeconds(other.pid), performance.now() / 1000] as const
      await sleep(seconds * 1000)
      const [mine, theirs, at] = [threadSeconds(ours.pid), threadSeconds(other.pid), performance.now() / 1000]
      const share = (now: number, then: number) => ((now - then) / (at - from[2])) * 100
      pairs.push({ with: share(mine, from[0]), without: share(theirs, from[1]) })
    }
    return { pairs, rate: ((await moments(ours)) - before) / ((performance.now() - begun) / 1000) }
  }
  await sleep(WARM_UP_MS)
  const threads = readdirSync(`/proc/${app.pid}/task`).length
  const rest = await measured()
  const stop = new AbortController()
  const sending = keepSending([ours, other], stop.signal)
  await sleep(BUSY_MS)
  const busy = await measured()
  stop.abort()
  await sending
  return { threads, rest, busy }
}

/** The smallest difference of the windows, in percent of a core. */
export function least(pairs: readonly Pair[]): number {
  return Math.min(...pairs.map(pair => pair.with - pair.without))
}

async function moments(server: Server): Promise<number> {
  return Number(/^pillion_moments_total (\d+)/m.exec(await scrape(server))?.[1])
}

async function keepSending(servers: readonly Server[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const body = request([requestOf('GET /', 5)])
    await Promise.all(servers.map(server => post(server, body)))
    await sleep(SENT_MS)
  }
}

/** More operations than the critical path and blame have room for, so that their tables are full. */
const OPERATIONS = 1200
/** So many requests of each: blame learns from the first forty. */
const REQUESTS = 48
/** Requests in one body. */
const SENT = 256

/** Bytes that are alive more with all parts that explain than without, with full tables and the whole ring of moments. */
export async function weight(folder: string, main?: string): Promise<number> {
  await using app = await application()
  const flags = ['--app.url', `http://127.0.0.1:${app.http}/`]
  const off = ['moments', 'path', 'blame', 'flight'].map(part => `--${part}.enabled=false`)
  await using ours = await pillion([...flags, '--flight.dir', folder], { main, wrapper, preload: PRELOAD })
  await using other = await pillion([...flags, ...off], { main, wrapper, preload: PRELOAD })
  await sleep(BUSY_MS)
  for (let sent = 0; sent < OPERATIONS * REQUESTS; sent += SENT) {
    // The last requests of each operation are slow.
    const ms = sent > OPERATIONS * 42 ? 400 : 5
    const names = Array.from({ length: SENT }, (_, i) => `GET /${(sent + i) % OPERATIONS}`)
    const body = request(names.map(name => requestOf(name, ms)))
    await Promise.all([ours, other].map(server => post(server, body)))
  }
  // A request is put together a second after its root.
  await sleep(BUSY_MS)
  const [mine, theirs] = [await alive(ours), await alive(other)]
  rmSync(folder, { recursive: true, force: true })
  return mine - theirs
}

async function alive(server: Server): Promise<number> {
  const answer = once(server.process, 'message')
  server.process.send({ ask: 'alive' })
  return (await answer)[0].alive
}

/** A request of the application that has just ended, with a call in it. */
function requestOf(name: string, ms: number): object[] {
  const traceId = randomBytes(16).toString('hex')
  const [root, child] = [randomBytes(8).toString('hex'), randomBytes(8).toString('hex')]
  const end = Date.now()
  const times = (from: number, to: number) => ({ startTimeUnixNano: `${from}000000`, endTimeUnixNano: `${to}000000` })
  return [
    { traceId, spanId: child, parentSpanId: root, name: 'SELECT', kind: 3, ...times(end - ms + 1, end - 1) },
    { traceId, spanId: root, name, kind: 2, ...times(end - ms, end) },
  ]
}

function request(requests: readonly (readonly object[])[]): string {
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'eleven' } }] }
  return JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans: requests.flat() }] }] })
}

async function post(server: Server, body: string): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`http://127.0.0.1:${server.http}/v1/traces`, { method: 'POST', headers, body })
  if (!response.ok) throw new Error(`cannot send spans to ${server.name}: ${response.status} ${await response.text()}`)
  await response.arrayBuffer()
}
