// Every question of every panel, asked on a real Prometheus that scraped the real sidecar beside the real shop, while the
// shop was restarted, went down and up, failed requests and answered some slowly.

import { once } from 'node:events'
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { createServer } from 'node:https'
import { join } from 'node:path'
import t from 'tap'
import { Child, freePort, until } from '../e2e/child.ts'
import { missing } from '../e2e/programs.ts'
import { type Ride, startSidecar } from '../e2e/ride.ts'
import { startShop } from '../shop/services.ts'
import { dashboards, expand, type Panel, questions, ROOT } from './files.ts'

/**
 * What may be empty where a test may not make cgroups: dashboard, id of the panel, name of the query. All of it needs a
 * limit that the cgroup of a test seldom has.
 */
const NEEDS_LIMITS = [
  'pillion-application 8 A',
  'pillion-application 30 D',
  'pillion-application 31 D',
  'pillion-application 41 A',
  'pillion-application 41 B',
  'pillion-overview 20 G',
  'pillion-overview 20 I',
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

/** Annotations that show nothing, and why. */
const NO_EVENT = new Map([['OOM kills', 'nobody is killed for lack of memory']])

const RATE_INTERVAL = '10s'
const RESTARTS = 3

t.test('every panel has data', { skip: missing('prometheus', 'prometheus') }, async t => {
  await using world = await live(t.testdir({}))
  const { prometheus, begun, confined } = world
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
      const excused = !confined && NEEDS_LIMITS.includes(name)
      if (shown.length === 0) empty += 1
      const found = shown.length > 0 ? 'has data' : excused ? 'no limit here' : `is empty: ${promql}`
      t.ok(shown.length > 0 || excused, `${name} ${panel.title} ${found}`)
      // The columns that tell the rows of a table apart.
      const rows = panel.type === 'table' ? columns(panel).filter(name => !name.startsWith('Value')) : []
      for (const label of rows)
        t.ok(
          shown.every(({ metric }) => label in metric),
          `${name} ${panel.title}: ${label}`,
        )
      for (const [, label] of (target.legendFormat ?? '').matchAll(/\{\{(\w+)\}\}/g))
        for (const { metric } of shown) t.ok(label! in metric, `${name} ${panel.title}: {{${label}}}`)
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
      if (uid !== 'pillion-sidecar')
        t.equal(results.length > 0, !NO_EVENT.has(name), `${uid}: ${name} ${NO_EVENT.get(name)}`)
    }

  const rules = await prometheus.rules()
  t.ok(rules.length > 50)
  for (const { name, health, lastError } of rules) t.equal(health, 'ok', `${name} ${lastError ?? ''}`)

  const query = 'traces_spanmetrics_latency_bucket'
  const exemplars = await prometheus.ask('query_exemplars', { query, start: `${begun}`, end: `${Date.now() / 1000}` })
  t.ok(exemplars.length > 0, 'there are points that lead to traces')
})

/** The fields that a table keeps of what it gets. */
function columns({ transformations = [] }: Panel): readonly string[] {
  return transformations.flatMap(({ options }) => options.include?.names ?? [])
}

interface Result {
  readonly metric: Readonly<Record<string, string>>
  readonly value?: readonly [seconds: number, value: string]
  readonly values?: readonly (readonly [seconds: number, value: string])[]
}

interface Prometheus {
  /** The result of a question; throws with Prometheus' own words if it is wrong. */
  ask(path: string, parameters: Readonly<Record<string, string>>): Promise<Result[]>
  /** The rules with how their last evaluation went. */
  rules(): Promise<{ readonly name: string; readonly health: string; readonly lastError?: string }[]>
}

interface Live extends AsyncDisposable {
  readonly prometheus: Prometheus
  /** In seconds since the epoch. */
  readonly begun: number
  /** Whether the shop was given limits. */
  readonly confined: boolean
}

/** A shop that has been through something, a sidecar that saw it, and a Prometheus that knows. */
async function live(folder: string): Promise<Live> {
  await using open = new AsyncDisposableStack()
  const port = await freePort()
  const documents = open.use(await healthDocuments())
  const config = join(folder, 'pillion.yaml')
  writeFileSync(config, configuration(port, documents.port))
  const ride = open.use(await startSidecar({ flags: ['--config', config] }))
  const begun = Date.now() / 1000
  const prometheus = await startPrometheus(open, folder, ride)
  const first = open.use(await startShop(ride.otlp, port))
  const front = new Front(
    first.front,
    port,
    ride.otlp,
    await Promise.all([address(first.cart), address(first.payment)]),
  )
  open.use(customers(first.url))

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
  await until('everything that comes late', async () => {
    const late = [
      'app_process_private_memory_bytes',
      'pillion_otlp_refused_items_total > 0',
      'ALERTS{alertstate="firing"}',
    ]
    const found = await Promise.all(late.map(query => prometheus.ask('query', { query })))
    return found.every(results => results.length > 0) || undefined
  })
  // Two windows of a rate, so that all have what came last.
  await new Promise(resolve => setTimeout(resolve, 10_000))
  const all = open.move()
  return { prometheus, begun, confined, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

function configuration(port: number, documents: number): string {
  return `
app: { url: 'http://127.0.0.1:${port}' }
process: { children: apart, smaps: true, interval: 1s }
health:
  probes:
    - { name: liveness, url: 'http://127.0.0.1:${port}/healthz', interval: 500ms, failing_interval: 200ms, failure_threshold: 1, timeout: 1s }
    - { name: documents, url: 'https://localhost:${documents}/', tls_verify: false, interval: 1s }
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
    // While the shop is down there is no answer, which is what it is killed for.
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

/** A span whose trace id has the wrong length, a request that is no protobuf, and, for once in order, a log record. */
async function oddTelemetry({ otlp }: Ride): Promise<void> {
  const send = (signal: string, type: string, body: string) =>
    fetch(`${otlp}/v1/${signal}`, { method: 'POST', headers: { 'content-type': type }, body })
  const span = { traceId: 'abcd', spanId: '0102030405060708', name: 'x', startTimeUnixNano: '1', endTimeUnixNano: '2' }
  await send('traces', 'application/json', JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] }))
  await send('traces', 'application/x-protobuf', 'no protobuf')
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
