// Every question of every panel, asked on a real Prometheus that scraped the real sidecar beside the real shop, while the
// shop was restarted, went down and up, failed requests and answered some slowly.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { createServer } from 'node:https'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import * as names from '../../dashboards/runtime/names.ts'
import type { Family } from '../../metrics/family.ts'
import { Child, freePort, until } from '../e2e/child.ts'
import { missing } from '../e2e/programs.ts'
import { MAIN, type Ride, startSidecar } from '../e2e/ride.ts'
import { startShop } from '../shop/services.ts'
import { dashboards, expand, type Panel, questions, ROOT } from './files.ts'
import { reporter } from './runtimes.ts'
import * as surroundings from './surroundings.ts'

/**
 * Queries that may be empty where a test may not make cgroups: dashboard, id of the panel, name of the query. All of it needs a
 * limit that the cgroup of a test seldom has.
 */
const NEEDS_LIMITS = [
  'pillion-application 8 A',
  'pillion-application 30 D',
  'pillion-application 31 B',
  'pillion-application 31 D',
  'pillion-application 41 A',
  'pillion-application 41 B',
  'pillion-overview 20 I',
  'pillion-overview 20 K',
  'pillion-overview 23 A',
  'pillion-overview 23 B',
  'pillion-overview 23 D',
  'pillion-process 2 A',
  'pillion-process 3 A',
  'pillion-process 4 A',
  'pillion-process 6 A',
  'pillion-process 60 C',
  'pillion-process 61 C',
]

/** Rules of groups that are evaluated each five minutes. */
const SELDOM_RULES = /^job_service:pillion_slo_.*(?:2h|6h|[13]d|30d)$/

/** Recorded each five minutes, which is longer than this test; its rules are tested by promtool. */
const NEEDS_TIME = [
  'pillion-slo 1 A',
  'pillion-slo 3 A',
  'pillion-slo 5 A',
  'pillion-slo 5 B',
  'pillion-slo 5 E',
  'pillion-slo 20 A',
]

/** A week before there was nothing. */
const NEEDS_WEEKS = ['pillion-requests 75 B', 'pillion-requests 76 B', 'pillion-requests 77 B']

/** Tries that fail and are repeated, and more traces than can be put together: test/path has them. */
const NEEDS_TREES = ['pillion-requests 47 A', 'pillion-sidecar 191 A']

/** Requests that are slower than usual, for which there is no usual yet, and a resource that runs out: test/blame has them. */
const NEEDS_USUAL = [
  'pillion-process 97 A',
  ...['42 A', '43 A', '44 A', '49 A'].map(each => `pillion-requests ${each}`),
  'pillion-sidecar 193 A',
]

/** Annotations that may show something or not. */
const MAY_HAPPEN = ['Slow requests']

/** A queue that an earlier process left, and files that are damaged: test/queue/disk has them. */
const NEEDS_DAMAGE = ['pillion-sidecar 98 A', 'pillion-sidecar 891 A', 'pillion-sidecar 891 B']

/** No alert about a service fires here. */
const NOT_HERE = ['pillion-overview 8 A service']
/** Empty because the sidecar under test has no web configuration, and so no certificate (test/web/tls.test.ts has one). */
const NEEDS_WEB_CONFIG = ['pillion-sidecar 53 B', 'pillion-sidecar 55 A']

/** Labels that not every series has: attributes of resources, the kind of an edge, the service that sent a metric. */
const SELDOM = [
  'connection_type',
  'exported_job',
  'peer',
  'service_version',
  'telemetry_sdk_language',
  'telemetry_sdk_version',
  'process_runtime_version',
  'host_name',
]

/** Annotations that show nothing, and why. */
const NO_EVENT = new Map([['OOM kills', 'nobody is killed for lack of memory']])

const RATE_INTERVAL = '10s'
const RESTARTS = 3

t.test('every panel has data', { skip: missing('prometheus', 'prometheus') }, async t => {
  await using world = await live(t.testdir({}))
  const { prometheus, begun, confined, web } = world
  const span = () => ({ start: begun, end: Date.now() / 1000 })

  let asked = 0
  let empty = 0
  for (const dashboard of dashboards())
    for (const { panel, target } of questions(dashboard)) {
      const name = `${dashboard.uid} ${panel.id} ${target.refId}`
      const { start, end } = span()
      const promql = expand(target.expr, { __rate_interval: RATE_INTERVAL, __range: `${Math.ceil(end - start)}s` })
      const results = target.instant
        ? await prometheus.ask('query', { query: promql })
        : await prometheus.ask('query_range', { query: promql, start: `${start}`, end: `${end}`, step: '2' })
      asked += 1
      const shown = results.filter(({ value, values = [] }) => [value, ...values].some(point => point?.[1] !== 'NaN'))
      const excused =
        (!confined && NEEDS_LIMITS.includes(name)) ||
        NEEDS_WEB_CONFIG.includes(name) ||
        NEEDS_TIME.includes(name) ||
        NEEDS_WEEKS.includes(name) ||
        NEEDS_USUAL.includes(name) ||
        NEEDS_TREES.includes(name) ||
        NEEDS_DAMAGE.includes(name)
      if (shown.length === 0) empty += 1
      const found = shown.length > 0 ? 'has data' : excused ? 'not here' : `is empty: ${promql}`
      t.ok(shown.length > 0 || excused, `${name} ${panel.title} ${found}`)
      // The columns that distinguish the rows of a table.
      const rows = panel.type === 'table' ? columns(panel).filter(name => !name.startsWith('Value')) : []
      for (const label of rows.filter(label => !NOT_HERE.includes(`${name} ${label}`)))
        t.ok(
          SELDOM.includes(label)
            ? shown.some(({ metric }) => label in metric)
            : shown.every(({ metric }) => label in metric),
          `${name} ${panel.title}: ${label}`,
        )
      for (const [, label] of (target.legendFormat ?? '').matchAll(/\{\{(\w+)\}\}/g))
        for (const { metric } of shown)
          t.ok(label! in metric || SELDOM.includes(label!), `${name} ${panel.title}: {{${label}}}`)
    }
  t.comment(`${asked} questions, ${empty} without data, ${confined ? 'with' : 'without'} limits of a cgroup`)

  for (const { annotations, uid } of dashboards())
    for (const { name, expr } of annotations.list) {
      if (!expr) continue
      const { start, end } = span()
      const results = await prometheus.ask('query_range', {
        query: expand(expr),
        start: `${start}`,
        end: `${end}`,
        step: '2',
      })
      if (uid !== 'pillion-sidecar' && !MAY_HAPPEN.includes(name))
        t.equal(results.length > 0, !NO_EVENT.has(name), `${uid}: ${name} ${NO_EVENT.get(name)}`)
    }

  const rules = await prometheus.rules()
  t.ok(rules.length > 50)
  // A group that is evaluated each five minutes may not have had its turn.
  for (const { name, health, lastError } of rules)
    t.ok(health === 'ok' || (health === 'unknown' && SELDOM_RULES.test(name)), `${name} ${health} ${lastError ?? ''}`)

  const query = 'traces_spanmetrics_latency_bucket'
  const exemplars = await prometheus.ask('query_exemplars', { query, start: `${begun}`, end: `${Date.now() / 1000}` })
  t.ok(exemplars.length > 0, 'there are points that lead to traces')
  await opened(t, web)

  for (const family of Object.values(names).flatMap(group => Object.values<Family>(group))) {
    const samples = family.kind === 'histogram' ? `${family.name}_count` : family.name
    t.ok((await prometheus.ask('query', { query: `count(${samples})` })).length > 0, `${samples} comes in, by its name`)
  }
})

/** Each exemplar that the sidecar shows leads to a trace at the sidecar, where the data source of the exemplars asks. */
async function opened(t: Test, web: string): Promise<void> {
  const shown = async () => {
    const page = await fetch(`${web}/metrics`, { headers: { accept: 'application/openmetrics-text; version=1.0.0' } })
    return new Set([...(await page.text()).matchAll(/# \{trace_id="(\w+)"/g)].map(([, id]) => id!))
  }
  const ids = await shown()
  t.ok(ids.size > 0)
  const lost: string[] = []
  for (const id of ids) {
    const answer = await fetch(`${web}/tempo/api/v2/traces/${id}`)
    await answer.arrayBuffer()
    if (!answer.ok) lost.push(id)
  }
  const still = await shown()
  t.same(
    lost.filter(id => still.has(id)),
    [],
    'an id that is not found is not shown any more either',
  )
}

/** The fields that a table shows. */
function columns({ transformations = [] }: Panel): readonly string[] {
  return transformations.flatMap(({ options }) => options.include?.names ?? [])
}

interface Result {
  readonly metric: Readonly<Record<string, string>>
  readonly value?: readonly [seconds: number, value: string]
  readonly values?: readonly (readonly [seconds: number, value: string])[]
}

interface Prometheus {
  /** Where it takes remote write. */
  readonly writes: string
  /** The result of a question; throws with Prometheus' own words if it is wrong. */
  ask(path: string, parameters: Readonly<Record<string, string>>): Promise<Result[]>
  /** The rules with how their last evaluation went. */
  rules(): Promise<{ readonly name: string; readonly health: string; readonly lastError?: string }[]>
}

interface Live extends AsyncDisposable {
  readonly prometheus: Prometheus
  /** In seconds since the epoch. */
  readonly begun: number
  /** The address of the sidecar's web server. */
  readonly web: string
  /** Whether the shop was given limits. */
  readonly confined: boolean
}

/** A shop that has been through something, a sidecar that saw it, and a Prometheus that knows. */
async function live(folder: string): Promise<Live> {
  await using open = new AsyncDisposableStack()
  const port = await freePort()
  const documents = open.use(await healthDocuments())
  const config = join(folder, 'pillion.yaml')
  const around = {
    upstream: open.use(await surroundings.upstream()).url,
    receiver: open.use(await surroundings.receiver()).url,
    metrics: open.use(await surroundings.metrics()).url,
    queue: join(folder, 'queue'),
    log: join(folder, 'access.log'),
    tap: { listen: await freePort(), status: await freePort() },
  }
  writeFileSync(config, configuration(port, documents.port, around))
  const ride = open.use(await startSidecar({ flags: ['--config', config] }))
  const begun = Date.now() / 1000
  const prometheus = await startPrometheus(open, folder, ride)
  await job(prometheus.writes)
  open.use(surroundings.onlooker(ride.web))
  const first = open.use(await startShop(ride.otlp, port))
  const front = new Front(
    first.front,
    port,
    ride.otlp,
    await Promise.all([address(first.cart), address(first.payment)]),
  )
  open.use(customers(first.url))
  open.use(worker(ride.otlp))
  open.use(reporter(ride.otlp))
  open.use(surroundings.accessLog(around.log))
  open.use(surroundings.throughTap(around.tap.listen))

  const state = async (wanted: string) =>
    until(`app_health_up ${wanted}`, async () => {
      const [found] = await prometheus.ask('query', { query: 'app_health_up{probe="liveness"}' })
      return found?.value?.[1] === wanted || undefined
    })
  await state('1')
  // The front last in, so first out: a cgroup can only be removed when it is empty.
  const cgroup = open.use(new Cgroup())
  open.use(front)
  let confined = false
  for (let n = 0; n < RESTARTS; n += 1) {
    await front.kill()
    await state('0')
    confined = cgroup.take(await front.start())
    await state('1')
  }
  await oddTelemetry(ride)
  await wrongName(ride)
  const late = [
    'app_process_private_memory_bytes',
    'pillion_otlp_refused_items_total > 0',
    'ALERTS{alertstate="firing"}',
    'pillion_traces_evicted_spans_total > 0',
    'pillion_forward_dropped_items_total > 0',
    'pillion_sampling_traces_total > 0',
  ]
  for (const query of late)
    await until(query, async () => (await prometheus.ask('query', { query })).length > 0 || undefined)
  // Two windows of a rate, so that every query sees the latest samples.
  await new Promise(resolve => setTimeout(resolve, 10_000))
  const all = open.move()
  return { prometheus, begun, confined, web: ride.web, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

interface Around {
  readonly upstream: string
  readonly receiver: string
  readonly metrics: string
  readonly queue: string
  readonly log: string
  readonly tap: { readonly listen: number; readonly status: number }
}

function configuration(
  port: number,
  documents: number,
  { upstream, receiver, metrics, queue, log, tap }: Around,
): string {
  return `
app: { url: 'http://127.0.0.1:${port}' }
process: { children: apart, smaps: true, interval: 1s }
health:
  probes:
    - { name: liveness, url: 'http://127.0.0.1:${port}/healthz', interval: 500ms, failing_interval: 200ms, failure_threshold: 1, timeout: 1s }
    - { name: documents, url: 'https://localhost:${documents}/', tls_verify: false, interval: 1s }
traces: { keep: 1MiB }
scrape: { url: '${metrics}/metrics' }
tap: { listen: '127.0.0.1:${tap.listen}', status: '127.0.0.1:${tap.status}', drain: 0s }
files: { positions: '${log}.positions', sources: [{ name: access, paths: ['${log}'], requests: nginx, keep_requests: true, route_limit: 1 }] }
flight: { dir: '${queue}.flight' }
push: { endpoint: '${receiver}/write', protocol: remote-write, interval: 1s }
forward: { endpoint: '${upstream}', queue: { dir: '${queue}' }, sampling: { ratio: 0.5, decision_wait: 100ms } }
`
}

/** An application over TLS whose health document lists components, one of them down, with values. */
async function healthDocuments(): Promise<{ port: number } & AsyncDisposable> {
  const file = (name: string) => readFileSync(join(ROOT, 'test/fixtures/health', name))
  const document = {
    status: 'pass',
    checks: {
      'database:connections': [{ status: 'pass', observedValue: 12, observedUnit: 'connections' }],
      'mail:reached': [{ status: 'fail' }],
    },
  }
  const server = createServer({ key: file('key.pem'), cert: file('cert.pem') }, (_, response) => {
    response.setHeader('content-type', 'application/health+json').end(JSON.stringify(document))
  })
  const port = await freePort()
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  return {
    port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}

async function startPrometheus(open: AsyncDisposableStack, folder: string, ride: Ride): Promise<Prometheus> {
  const port = await freePort()
  const rules = ['recording', 'alerts', 'slo'].map(name => join(ROOT, `dashboards/rules/pillion-${name}.yml`))
  writeFileSync(
    `${folder}/prometheus.yml`,
    `global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: ${JSON.stringify(rules)}
scrape_configs: [{ job_name: pillion, static_configs: [{ targets: ['${new URL(ride.web).host}'] }] }]
`,
  )
  const flags = [
    `--config.file=${folder}/prometheus.yml`,
    `--storage.tsdb.path=${folder}/data`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--enable-feature=exemplar-storage',
    '--web.enable-remote-write-receiver',
  ]
  const child = open.use(await Child.start('prometheus', flags))
  await child.says(/Server is ready/)
  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)
    const text = await response.text()
    if (!response.ok) throw new Error(`Prometheus says ${text}`)
    // Prometheus documents the envelope: prometheus.io/docs/prometheus/latest/querying/api.
    return (JSON.parse(text) as { data: unknown }).data
  }
  return {
    writes: `http://127.0.0.1:${port}/api/v1/write`,
    async ask(path, parameters) {
      const data = (await get(`${path}?${new URLSearchParams(parameters)}`)) as Result[] | { result: Result[] }
      return Array.isArray(data) ? data : data.result
    },
    async rules() {
      const { groups } = (await get('rules')) as { groups: { rules: Awaited<ReturnType<Prometheus['rules']>> }[] }
      return groups.flatMap(group => group.rules)
    },
  }
}

/** A job that ends at once, and whose numbers are pushed. */
async function job(receiver: string): Promise<void> {
  const off = ['--web.listen', 'off', '--otlp.http.listen', 'off', '--otlp.grpc.listen', 'off']
  const push = ['--push.endpoint', receiver, '--push.protocol', 'remote-write']
  await using child = await Child.start(process.execPath, [
    MAIN,
    'run',
    ...off,
    ...push,
    '--',
    process.execPath,
    '-e',
    '0',
  ])
  const { code } = await child.ended
  if (code !== 0) throw new Error(`the job ended with ${code}:\n${child.stderr}`)
}

/** The front of the shop, which is killed and started again. */
class Front implements AsyncDisposable {
  #child: Child
  readonly #env: NodeJS.ProcessEnv

  constructor(child: Child, port: number, otlp: string, [cart, payment]: readonly string[]) {
    this.#child = child
    this.#env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: otlp,
      OTEL_BSP_SCHEDULE_DELAY: '100',
      OTEL_SERVICE_NAME: 'shop',
      PORT: String(port),
      CART_URL: cart,
      PAYMENT_URL: payment,
    }
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#child.ended
  }

  /** It has a descendant from now on: `cat`, which ends with it. */
  async start(): Promise<number> {
    const folder = join(ROOT, 'examples/shop')
    const parent = `import { spawn } from 'node:child_process'; spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] })`
    const imports = [`data:text/javascript,${encodeURIComponent(parent)}`, join(folder, 'telemetry.js')]
    const args = [...imports.map(each => `--import=${each}`), join(folder, 'shop.js')]
    this.#child = await Child.start(process.execPath, args, this.#env)
    await address(this.#child)
    return this.#child.pid
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#child[Symbol.asyncDispose]()
  }
}

/** A cgroup with a limit of each kind, where this process may make one (cgroup v1, as root). */
class Cgroup implements AsyncDisposable {
  readonly #folders: string[] = []
  readonly #name = `pillion-test-${process.pid}`

  /** Whether the process is now in it. */
  take(pid: number): boolean {
    try {
      for (const [controller, limits] of Object.entries(LIMITS)) {
        const folder = join('/sys/fs/cgroup', controller, this.#name)
        if (!this.#folders.includes(folder)) {
          mkdirSync(folder)
          this.#folders.push(folder)
          for (const [file, value] of Object.entries(limits)) writeFileSync(join(folder, file), value)
        }
        writeFileSync(join(folder, 'cgroup.procs'), String(pid))
      }
      return true
    } catch {
      return false
    }
  }

  /** Its processes have ended by then; the kernel may take a moment to notice. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const folder of this.#folders)
      await until(`the end of ${folder}`, () => {
        rmdirSync(folder)
        return true
      })
  }
}

const LIMITS = {
  cpu: { 'cpu.cfs_quota_us': '100000' },
  memory: { 'memory.limit_in_bytes': '1073741824' },
  pids: { 'pids.max': '500' },
}

async function address(service: Child): Promise<string> {
  const [, url = ''] = await service.says(/listening on (\S+)/)
  return url
}

/** Ask for something all the time; some of it is slow, and some of it fails. */
function customers(url: string): AsyncDisposable {
  const wishes = [
    ['GET', '/'],
    ['GET', '/search?q=a'],
    ['POST', '/cart'],
    ['POST', '/checkout'],
    ['GET', '/report'],
    ['GET', '/nowhere'],
  ] as const
  let n = 0
  const ask = async () => {
    const [method, path] = wishes[n++ % wishes.length]!
    const body = path === '/cart' ? { body: JSON.stringify({ name: 'flask' }) } : {}
    // While the shop is down there is no answer, which is the reason for killing it.
    await fetch(url + path, { method, ...body }).then(
      answer => answer.text(),
      () => {},
    )
  }
  const timer = setInterval(ask, 80)
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
    },
  }
}

/** Consumes batches all the time: each has a link to its producer and an exception, and asks a database. */
function worker(otlp: string): AsyncDisposable {
  const id = (bytes: number) => randomBytes(bytes).toString('hex')
  const attribute = (key: string, value: string) => ({ key, value: { stringValue: value } })
  const resource = { attributes: [attribute('service.name', 'worker'), attribute('service.version', '1.2.3')] }
  const work = async () => {
    const now = BigInt(Date.now()) * 1_000_000n
    const span = {
      traceId: id(16),
      spanId: id(8),
      name: 'orders process',
      kind: 5,
      startTimeUnixNano: String(now - 50_000_000n),
      endTimeUnixNano: String(now),
      attributes: [attribute('messaging.system', 'kafka')],
      events: [{ timeUnixNano: String(now), name: 'exception' }],
      links: [{ traceId: id(16), spanId: id(8) }],
    }
    const query = {
      ...{ traceId: span.traceId, spanId: id(8), parentSpanId: span.spanId, name: 'SELECT stock', kind: 3 },
      ...{ startTimeUnixNano: span.startTimeUnixNano, endTimeUnixNano: span.endTimeUnixNano },
      attributes: [attribute('db.system.name', 'postgresql')],
    }
    const body = JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans: [span, query] }] }] })
    await fetch(`${otlp}/v1/traces`, { method: 'POST', headers: { 'content-type': 'application/json' }, body }).then(
      answer => answer.text(),
      () => {},
    )
  }
  const timer = setInterval(work, 500)
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
    },
  }
}

/** A span whose trace id has the wrong length, a request that is no protobuf, and, for once in order, a log record. */
async function oddTelemetry({ otlp }: Ride): Promise<void> {
  const send = (signal: string, type: string, body: string) =>
    fetch(`${otlp}/v1/${signal}`, { method: 'POST', headers: { 'content-type': type }, body })
  const span = { traceId: 'abcd', spanId: '0102030405060708', name: 'x', startTimeUnixNano: '1', endTimeUnixNano: '2' }
  await send('traces', 'application/json', JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] }))
  await send('traces', 'application/x-protobuf', 'no protobuf')
  // A sum that is neither cumulative nor delta.
  const sum = { dataPoints: [{ asInt: '1', timeUnixNano: '1' }] }
  const metrics = [{ name: 'odd', sum }]
  await send('metrics', 'application/json', JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] }))
  await send(
    'logs',
    'application/json',
    JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: { stringValue: 'hello' } }] }] }] }),
  )
}

/** A request that calls the sidecar by a name that is not its own, as DNS rebinding would. */
async function wrongName({ web }: Ride): Promise<void> {
  const [answer] = await once(get(web, { headers: { host: 'evil.example' } }), 'response')
  answer.resume()
}
