// A real Prometheus scrapes the real sidecar beside the real shop; promtool and the strict OpenMetrics parser read it too.

import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import t from 'tap'
import { type Shop, startShop } from '../shop/services.ts'
import { Child, freePort, until } from './child.ts'
import { missing } from './programs.ts'
import { OPENMETRICS, type Ride, startSidecar, TEXT } from './ride.ts'

const SERVICES = ['shop', 'cart', 'payment']

/** A shop that has had customers, and a sidecar that has its spans and watches it. */
async function riding(): Promise<{ ride: Ride; shop: Shop } & AsyncDisposable> {
  await using open = new AsyncDisposableStack()
  const port = await freePort()
  const ride = open.use(await startSidecar({ flags: ['--app.url', `http://127.0.0.1:${port}`] }))
  const shop = open.use(await startShop(ride.otlp, port))
  for (let n = 0; n < 10; n += 1) {
    await fetch(`${shop.url}/search?q=a`)
    await fetch(`${shop.url}/checkout`, { method: 'POST' })
  }
  await until('health, process and spans of all services', async () => {
    const spans = await Promise.all(SERVICES.map(service => ride.value('traces_spanmetrics_calls_total', { service })))
    const rest = [await ride.value('app_health_up'), await ride.value('app_process_up')]
    return [...spans, ...rest].every(value => (value ?? 0) > 0) || undefined
  })
  const all = open.move()
  return { ride, shop, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

t.test('Prometheus has the numbers and the exemplars', { skip: missing('prometheus', 'prometheus') }, async t => {
  await using world = await riding()
  const { ride } = world
  const folder = t.testdir({})
  const port = await freePort()
  writeFileSync(
    `${folder}/prometheus.yml`,
    `scrape_configs: [{ job_name: pillion, scrape_interval: 1s, static_configs: [{ targets: ['${new URL(ride.web).host}'] }] }]\n`,
  )
  await using prometheus = await Child.start('prometheus', [
    `--config.file=${folder}/prometheus.yml`,
    `--storage.tsdb.path=${folder}/data`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--enable-feature=exemplar-storage',
  ])
  await prometheus.says(/Server is ready/)
  const ask = async (path: string, query: Record<string, string>): Promise<Result[]> => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}?${new URLSearchParams(query)}`)
    // Prometheus documents these shapes: prometheus.io/docs/prometheus/latest/querying/api.
    const { data } = (await response.json()) as { data: Result[] | { result: Result[] } }
    return Array.isArray(data) ? data : data.result
  }
  const value = async (query: string): Promise<number> => {
    const [first] = await until(query, async () => {
      const results = await ask('query', { query })
      return results.length > 0 ? results : undefined
    })
    return Number(first?.value?.[1])
  }

  // The first scrape of a machine that is busy may take longer than its second.
  t.equal(await value('up == 1'), 1)
  t.ok((await value('sum(app_health_probes_total)')) > 0)
  t.ok((await value('sum(app_process_cpu_seconds_total)')) > 0)
  for (const service of SERVICES)
    t.ok((await value(`sum(traces_spanmetrics_calls_total{service="${service}"})`)) > 0, service)
  t.equal(await value('sum(traces_spanmetrics_calls_total{service="shop",span_name="POST /checkout"}) == 10'), 10)
  const p99 = 'histogram_quantile(0.99, sum by (le) (traces_spanmetrics_latency_bucket{service="payment"}))'
  t.ok((await value(p99)) > 0.01, 'a charge takes at least 20 ms')

  const now = Date.now() / 1000
  const range = { start: String(now - 300), end: String(now + 60) }
  for (const query of ['traces_spanmetrics_latency_bucket', 'traces_spanmetrics_calls_total']) {
    const found = await until(`exemplars of ${query}`, async () => {
      const results = await ask('query_exemplars', { query, ...range })
      return results.length > 0 ? results.flatMap(({ exemplars }) => exemplars ?? []) : undefined
    })
    for (const { labels } of found.slice(0, 5)) t.match(labels['trace_id'], /^[0-9a-f]{32}$/, query)
  }
})

t.test('promtool has nothing to say about the text format', { skip: missing('promtool', 'prometheus') }, async t => {
  await using world = await riding()
  const { status, output } = read('promtool', ['check', 'metrics'], await world.ride.scrape(TEXT))
  t.equal(output, '')
  t.equal(status, 0)
})

const PYTHON = '/usr/bin/python3'
const PARSE = `
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.stdin.read()))
samples = [sample for family in families for sample in family.samples]
print(len(families), len(samples), len([1 for sample in samples if sample.exemplar]))
`
const parser =
  missing(PYTHON, 'python3-prometheus-client') ||
  (read(PYTHON, ['-c', 'import prometheus_client'], '').status !== 0 &&
    'needs prometheus_client: apt-get install python3-prometheus-client')

t.test('the strict OpenMetrics parser accepts it, exemplars and all', { skip: parser }, async t => {
  await using world = await riding()
  const { status, output } = read(PYTHON, ['-c', PARSE], await world.ride.scrape(OPENMETRICS))
  t.equal(status, 0, output)
  const [families = 0, samples = 0, exemplars = 0] = output.trim().split(' ').map(Number)
  t.comment(`${families} families, ${samples} samples, ${exemplars} exemplars`)
  t.ok(families > 40 && samples > families && exemplars > 5, output)
})

interface Result {
  readonly value?: readonly [seconds: number, value: string]
  readonly exemplars?: readonly { readonly labels: Readonly<Record<string, string>> }[]
}

/** Runs a program with a text as its input; its output is that of both streams. */
function read(program: string, args: readonly string[], input: string): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(program, args, { input, encoding: 'utf8' })
  return { status, output: stdout + stderr }
}
