// Failures, done for real, and what must then be said: by alerts, by Alertmanager, and by the first panels that
// somebody looks at. An alert that is not listed must not fire.

import { spawnSync } from 'node:child_process'
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../e2e/child.ts'
import type { Judge } from './judge.ts'
import { SCALE, seconds } from './scale.ts'
import type { Trio, Wish } from './trio.ts'

/** Times are those of life. */
export interface Failure {
  readonly name: string
  readonly about: string
  readonly wish?: Wish
  /** The time for which everything runs well before. */
  readonly before?: string
  provoke(stage: Stage): Promise<void>
  /** The alerts that must fire: within which time, and what their summary says. */
  readonly fires: Readonly<Record<string, { readonly within: string; readonly says: RegExp }>>
  /** Alerts that may fire, depending on how fast this machine is. */
  readonly may?: readonly string[]
  /** Those of them that Alertmanager sends. */
  readonly sent: readonly string[]
  /** The time to look for alerts that must not fire. */
  readonly watch: string
  /** "DASHBOARD: TITLE" → the value that the panel shows. The Overview is asked for all, the others for the shop. */
  readonly panels: Readonly<Record<string, number | Condition>>
  /** Why it cannot be done here. */
  impossible?(): string | false
}

export type Condition = 'nothing' | `> ${number}` | `< ${number}`

export interface Stage {
  readonly trio: Trio
  readonly judge: Judge
  readonly job: string
  /** Ends with the failure. */
  readonly open: AsyncDisposableStack
}

const life = (duration: string) => sleep((seconds(duration) * 1000) / SCALE)

const WELL = {
  'Overview: Unhealthy': 0,
  'Overview: Not running': 0,
  'Overview: Not scraped': 0,
  'Overview: Instances': 3,
} as const

/** The cart has its requests from the shop. */
const SILENT_CART = { within: '25m', says: /^cart no longer gets requests$/ } as const

const killed: Failure = {
  name: 'killed',
  about: 'the shop is killed and does not come back',
  provoke: ({ trio }) => trio.shop.killApp(),
  fires: {
    AppProcessGone: { within: '4m', says: /^the application of 127\.0\.0\.1:\d+ does not run$/ },
    AppDown: { within: '4m', says: /is down by its liveness probe$/ },
    AppNoTraffic: SILENT_CART,
  },
  sent: ['AppProcessGone', 'AppNoTraffic'],
  watch: '18m',
  panels: {
    ...WELL,
    'Overview: Unhealthy': 1,
    'Overview: Not running': 1,
    'Application: Health': 0,
    'Process: Running': 0,
    'Health: State': 0,
    'Health: Availability': '< 1',
  },
}

const hangs: Failure = {
  name: 'hangs',
  about: 'the shop hangs (SIGSTOP)',
  provoke: async ({ trio }) => trio.shop.app!.kill('SIGSTOP'),
  fires: {
    AppDown: { within: '5m', says: /is down by its liveness probe$/ },
    AppAcceptQueueGrows: { within: '25m', says: /does not accept its connections: \d+ wait$/ },
    AppNoTraffic: SILENT_CART,
  },
  // Its accept queue is full after a while, which depends on who calls.
  may: ['AppNearLimit'],
  sent: ['AppDown', 'AppNoTraffic'],
  watch: '18m',
  panels: { ...WELL, 'Overview: Unhealthy': 1, 'Application: Health': 0, 'Process: Running': 1, 'Health: State': 0 },
}

const slowStart: Failure = {
  name: 'slow start',
  about: 'the shop needs some minutes to start',
  wish: { started: false },
  before: '1m',
  async provoke({ trio }) {
    await life('4m')
    await trio.shop.startApp()
  },
  fires: {},
  sent: [],
  watch: '10m',
  panels: { ...WELL, 'Application: Health': 1, 'Process: Running': 1 },
}

const neverUp: Failure = {
  name: 'never up',
  about: 'the shop does not start at all',
  wish: { started: false },
  provoke: async () => {},
  fires: {
    AppNeverUp: { within: '15m', says: /has never been up by its liveness probe$/ },
    AppProcessNotFound: { within: '15m', says: /has never found its application’s process$/ },
  },
  sent: ['AppNeverUp'],
  watch: '12m',
  panels: { ...WELL, 'Overview: Unhealthy': 1, 'Overview: Not running': 1, 'Application: Health': 0 },
}

const restarts: Failure = {
  name: 'restart loop',
  about: 'the shop is killed and started again, five times',
  async provoke({ trio }) {
    for (let n = 0; n < 5; n += 1) {
      await trio.shop.killApp()
      await trio.shop.startApp()
      await life('1m')
    }
  },
  fires: { AppRestarting: { within: '12m', says: /^the application of \S+ keeps restarting$/ } },
  // A start takes a minute and more in this time.
  may: ['AppFlapping', 'AppDown', 'AppProcessGone', 'AppNoTraffic'],
  sent: ['AppRestarting'],
  watch: '6m',
  panels: { ...WELL, 'Application: Restarts': '> 2', 'Application: Health': 1 },
}

const MEMORY = '/sys/fs/cgroup/memory'
const EATER = `process.on('SIGUSR2', () => { const eaten = []; for (;;) eaten.push(Buffer.alloc(16 * 2 ** 20, 1)) })`

const outOfMemory: Failure = {
  name: 'out of memory',
  about: 'the shop takes more memory than the limit of its cgroup, and is killed',
  wish: { flaw: EATER },
  async provoke({ trio, open }) {
    const folder = join(MEMORY, `pillion-provoke-${process.pid}`)
    mkdirSync(folder)
    open.defer(() =>
      until(`the end of ${folder}`, () => {
        rmdirSync(folder)
        return true
      }).then(() => {}),
    )
    writeFileSync(join(folder, 'memory.limit_in_bytes'), String(160 * 2 ** 20))
    writeFileSync(join(folder, 'cgroup.procs'), String(trio.shop.app!.pid))
    // Until the sidecar knows the cgroup.
    await life('2m')
    trio.shop.app!.kill('SIGUSR2')
    await trio.shop.app!.ended
  },
  fires: {
    AppOutOfMemory: { within: '3m', says: /^a process of \S+ was killed because memory ran out$/ },
    AppProcessGone: { within: '4m', says: /does not run$/ },
    AppDown: { within: '4m', says: /is down by its liveness probe$/ },
  },
  may: ['AppNoTraffic'],
  sent: ['AppOutOfMemory'],
  watch: '3m',
  panels: { ...WELL, 'Overview: Unhealthy': 1, 'Overview: Not running': 1, 'Application: Health': 0 },
  impossible() {
    const probe = join(MEMORY, `pillion-provoke-probe-${process.pid}`)
    try {
      mkdirSync(probe)
      rmdirSync(probe)
      return false
    } catch {
      return `cannot make a memory cgroup of version 1 in ${MEMORY}; run as root`
    }
  },
}

const descriptors: Failure = {
  name: 'no file descriptors',
  about: 'idle connections take all descriptors that the shop may open',
  async provoke({ trio, open }) {
    const { app, url } = trio.shop
    const { status, stderr } = spawnSync('prlimit', ['--pid', String(app!.pid), '--nofile=64:64'], { encoding: 'utf8' })
    if (status !== 0) throw new Error(`cannot limit the descriptors of the shop: ${stderr}`)
    const sockets = new Set<Socket>()
    // The server closes connections on which nothing comes; others take their place.
    const idle = () => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1')
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket) && setTimeout(() => sockets.size > 0 && idle(), 50))
    }
    for (let n = 0; n < 64; n += 1) idle()
    open.defer(() => {
      const all = [...sockets]
      sockets.clear()
      for (const socket of all) socket.destroy()
    })
  },
  fires: {
    AppFilesNearLimit: { within: '10m', says: /uses (9\d|1\d\d)(\.\d+)?% of its file descriptors$/ },
    AppDown: { within: '10m', says: /is down by its liveness probe$/ },
  },
  may: ['AppNoTraffic', 'AppAcceptQueueGrows', 'AppNearLimit'],
  sent: ['AppDown', 'AppFilesNearLimit'],
  watch: '8m',
  panels: { ...WELL, 'Overview: Unhealthy': 1, 'Process: Files of limit': '> 0.9', 'Application: Health': 0 },
}

/** The n-th request for a path is answered with 500 where `fails` says so. */
const failing = (path: string, fails: string) => `import http from 'node:http'
const { emit } = http.Server.prototype
let n = 0
http.Server.prototype.emit = function (event, request, response) {
  if (event === 'request' && request.url === '${path}' && (n++, ${fails})) {
    response.writeHead(500).end()
    return true
  }
  return emit.apply(this, arguments)
}`

const flaky: Failure = {
  name: 'flaky health',
  about: 'two of three probes fail',
  wish: { flaw: failing('/healthz', 'n > 25 && n % 3 > 0') },
  provoke: async () => {},
  fires: { AppHealthFlaky: { within: '40m', says: /^(5|6|7)\d(\.\d+)?% of the liveness probes of \S+ fail$/ } },
  sent: ['AppHealthFlaky'],
  watch: '20m',
  panels: { ...WELL, 'Application: Health': 1, 'Health: State': 1 },
}

/** From a signal on, every second answer to `GET /` says 500, as the instrumentation of the shop sees too. */
const erring = `import http from 'node:http'
let broken = false
process.on('SIGUSR2', () => { broken = true })
const { writeHead } = http.ServerResponse.prototype
let n = 0
http.ServerResponse.prototype.writeHead = function (status, ...rest) {
  return writeHead.call(this, broken && this.req.url === '/' && n++ % 2 === 0 ? 500 : status, ...rest)
}`

const errors: Failure = {
  name: 'errors',
  about: 'the shop answers a third of its requests with 500',
  wish: { flaw: erring },
  provoke: async ({ trio }) => trio.shop.app!.kill('SIGUSR2'),
  fires: {
    AppHighErrorRatio: { within: '12m', says: /^shop fails \d+(\.\d+)?% of its requests$/ },
    SloBudgetBurns: { within: '10m', says: /shop/ },
  },
  sent: ['SloBudgetBurns'],
  watch: '12m',
  panels: { ...WELL, 'Overview: Errors': '> 0.1', 'Application: Errors': '> 0.2', 'Application: Health': 1 },
}

const oneOfThree: Failure = {
  name: 'one replica errs',
  about: 'of three instances of the shop one answers a third of its requests with 500',
  wish: { flaw: erring, replicas: 2 },
  provoke: async ({ trio }) => trio.shop.app!.kill('SIGUSR2'),
  fires: {
    AppHighErrorRatio: { within: '12m', says: /^shop fails \d+(\.\d+)?% of its requests$/ },
    SloBudgetBurns: { within: '10m', says: /shop/ },
  },
  sent: ['SloBudgetBurns'],
  watch: '12m',
  panels: { ...WELL, 'Overview: Instances': 5, 'Overview: Errors': '> 0.04', 'Application: Errors': '> 0.2' },
}

const deadSidecar: Failure = {
  name: 'dead sidecar',
  about: 'the sidecar of the shop is killed; the shop is well',
  provoke: ({ trio }) => trio.shop.killSidecar(),
  fires: { SidecarDown: { within: '5m', says: /^the sidecar \S+ cannot be scraped$/ } },
  sent: ['SidecarDown'],
  // SidecarsFewer is silent meanwhile, and may fire when an hour ago there were more.
  may: ['SidecarsFewer'],
  watch: '15m',
  panels: {
    ...WELL,
    'Overview: Not scraped': 1,
    'Overview: Instances': 2,
    'Application: Health': 'nothing',
    'Process: Running': 'nothing',
    'Health: State': 'nothing',
  },
}

const sidecarRestarts: Failure = {
  name: 'sidecar restarts in an outage',
  about: 'the shop hangs, and then its sidecar is started again',
  async provoke({ trio, judge, job }) {
    trio.shop.app!.kill('SIGSTOP')
    await until('AppDown', async () => (await judge.firing(job)).some(({ name }) => name === 'AppDown') || undefined)
    await trio.shop.killSidecar()
    await trio.shop.startSidecar()
    await until('the end of AppDown', async () => {
      const [found] = await judge.ask(`count(app_health_up{job="${job}"} == 0)`)
      return found ? true : undefined
    })
  },
  fires: { AppDown: { within: '4m', says: /is down by its liveness probe$/ } },
  may: ['AppAcceptQueueGrows', 'AppNearLimit', 'AppNoTraffic', 'SidecarDown'],
  sent: ['AppDown'],
  watch: '15m',
  panels: { ...WELL, 'Overview: Unhealthy': 1, 'Application: Health': 0, 'Process: Running': 1 },
}

const refusedReload: Failure = {
  name: 'refused reload',
  about: 'the sidecar is told to read a configuration that is wrong',
  async provoke({ trio }) {
    writeFileSync(trio.shop.config, 'health: { probes: 7 }')
    const { status } = await fetch(`http://${trio.shop.instance}/-/reload`, { method: 'POST' })
    if (status < 400) throw new Error(`the sidecar takes a wrong configuration: ${status}`)
  },
  fires: { SidecarConfigRefused: { within: '8m', says: /^the sidecar \S+ refuses its new configuration$/ } },
  sent: ['SidecarConfigRefused'],
  watch: '7m',
  panels: { ...WELL, 'Application: Health': 1 },
}

const overflow: Failure = {
  name: 'too many series',
  about: 'names of spans carry ids',
  wish: { options: { spans: { limit: 20 } } },
  async provoke({ trio, open }) {
    let n = 0
    const timer = setInterval(() => {
      const now = BigInt(Date.now()) * 1_000_000n
      const hex = (digits: number) => (++n).toString(16).padStart(digits, 'a')
      const span = {
        ...{ traceId: hex(32), spanId: hex(16), name: `order ${n}`, kind: 1 },
        ...{ startTimeUnixNano: String(now - 1_000_000n), endTimeUnixNano: String(now) },
      }
      const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] }
      const body = JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans: [span] }] }] })
      const headers = { 'content-type': 'application/json' }
      fetch(`${trio.shop.otlp}/v1/traces`, { method: 'POST', headers, body }).then(
        answer => answer.text(),
        () => {},
      )
    }, 100)
    open.defer(() => clearInterval(timer))
  },
  fires: { SidecarSeriesOverflow: { within: '20m', says: /has more series than its limit$/ } },
  sent: ['SidecarSeriesOverflow'],
  watch: '14m',
  panels: { ...WELL, 'Application: Health': 1, 'Overview: Errors': 0 },
}

const vanished: Failure = {
  name: 'vanished target',
  about: 'service discovery forgets one of three sidecars',
  before: '65m',
  provoke: async ({ trio, judge, job }) =>
    judge.know(
      job,
      trio.pairs.slice(1).map(each => each.instance),
    ),
  fires: { SidecarsFewer: { within: '25m', says: /^fewer sidecars of \S+ are scraped than an hour ago$/ } },
  sent: ['SidecarsFewer'],
  watch: '18m',
  panels: { ...WELL, 'Overview: Not scraped': 1, 'Overview: Instances': 2 },
}

const upstreamDead: Failure = {
  name: 'upstream dead',
  about: 'the sidecar forwards to a back end that is gone',
  // Nobody listens on the port for discarding.
  wish: { options: { forward: { endpoint: 'http://127.0.0.1:9' } } },
  provoke: async () => {},
  fires: { SidecarUpstreamDown: { within: '20m', says: /takes no traces from the sidecar/ } },
  may: ['SidecarQueueGrowing'],
  sent: ['SidecarUpstreamDown'],
  watch: '12m',
  panels: { ...WELL, 'Application: Health': 1 },
}

export const FAILURES: readonly Failure[] = [
  killed,
  hangs,
  slowStart,
  neverUp,
  restarts,
  outOfMemory,
  descriptors,
  flaky,
  errors,
  oneOfThree,
  deadSidecar,
  sidecarRestarts,
  refusedReload,
  overflow,
  vanished,
  upstreamDead,
]
