// Real applications with the clients of the field, and real Prometheus servers that scrape the merged page.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createSocket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { FOLDER } from '../deploy/judges.ts'
import { decoded } from '../metrics/client-model.ts'
import { faults, needs, parsed, python } from '../points/programs.ts'
import { answer, OPENMETRICS, OPENMETRICS_TYPE, PROTOBUF, type Sidecar, serve, sidecar, UTF8 } from './application.ts'
import { absent, GO_APPLICATION, judged } from './judges.ts'

t.setTimeout(180_000)

/** Starts a program that prints its address. */
async function application(t: Test, command: string, ...args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [text] = await once(child.stdout, 'data')
  return `${String(text).trim()}/metrics`
}

const NODE = `
const client = require('prom-client')
const { createServer } = require('node:http')
const registry = process.argv[1] === 'openmetrics' ? new client.Registry(client.openMetricsContentType) : new client.Registry()
client.collectDefaultMetrics({ register: registry })
const requests = new client.Counter({ name: 'shop_requests_total', help: 'Requests "served".', labelNames: ['path'], registers: [registry] })
const wait = new client.Histogram({ name: 'shop_wait_seconds', help: 'Waits.', labelNames: ['path'], registers: [registry] })
const size = new client.Summary({ name: 'shop_size_bytes', help: 'Sizes.', registers: [registry] })
for (let i = 0; i < 100; i++) { requests.inc({ path: '/a\\\\b"' }); wait.observe({ path: '/' }, i / 20); size.observe(i) }
const server = createServer(async (_, response) => {
  response.setHeader('content-type', registry.contentType)
  response.end(await registry.metrics())
}).listen(0, '127.0.0.1', () => console.log('http://127.0.0.1:' + server.address().port))
`

const PYTHON = `
import sys, threading
from wsgiref.simple_server import make_server, WSGIRequestHandler
from prometheus_client import make_wsgi_app, Counter, Gauge, Histogram, Summary, Info, Enum
c = Counter('shop_requests', 'Requests "served".\\nAll.', ['path'])
h = Histogram('shop_wait_seconds', 'Waits.', ['path'])
s = Summary('shop_size_bytes', 'Sizes.')
Info('shop_build', 'Build.').info({'version': '1'})
Enum('shop_state', 'State.', states=['on', 'off']).state('on')
for i in range(100):
    c.labels('/a\\\\b"').inc(exemplar={'trace_id': 'abc'})
    h.labels('/').observe(i / 20, exemplar={'trace_id': str(i)})
    s.observe(i)
class Quiet(WSGIRequestHandler):
    def log_message(self, *args): pass
server = make_server('127.0.0.1', 0, make_wsgi_app(), handler_class=Quiet)
print('http://127.0.0.1:%d' % server.server_port, flush=True)
server.serve_forever()
`

/** All series of the application are on the merged page, in all formats, and the judges accept each. */
async function whole(t: Test, own: Sidecar, url: string, from: 'text' | 'openmetrics'): Promise<void> {
  const accept = from === 'text' ? 'text/plain;version=0.0.4' : OPENMETRICS
  const asked = await fetch(url, { headers: { accept } })
  const format = asked.headers.get('content-type')?.startsWith('application/openmetrics') ? 'openmetrics' : 'text'
  const wanted = judged([{ format, body: Buffer.from(await asked.arrayBuffer()) }])[0]!
  t.equal(wanted.error, undefined)
  const series = (samples: typeof wanted.samples) =>
    (samples ?? [])
      .map(([each]) => each)
      .filter(each => !/__name__="(?:app_metrics|pillion)_|_created"/.test(each))
      .sort()
  for (const [to, header] of [
    ['text', undefined],
    ['openmetrics', `${OPENMETRICS}${UTF8}`],
    ['protobuf', `${PROTOBUF}${UTF8}`],
  ] as const) {
    const body = await own.bytes(header)
    const got = judged([{ format: to, body }])[0]!
    t.equal(got.error, undefined, to)
    t.same(series(got.samples), series(wanted.samples), to)
  }
  if (!needs.promtool) t.equal(faults(await own.bytes()), '')
  if (!needs.python) t.ok(parsed(await own.bytes(OPENMETRICS)).length > 10)
  t.equal(await own.number('app_metrics_up'), 1)
  t.equal(await own.number('app_metrics_untyped_families'), 0)
}

for (const kind of ['text', 'openmetrics'] as const)
  t.test(`an application with prom-client, in ${kind}`, { skip: absent }, async t => {
    const url = await application(t, process.execPath, '-e', NODE, kind)
    await whole(t, await sidecar(t, { url }), url, kind)
  })

t.test('an application with the Python client', { skip: absent || needs.python }, async t => {
  const url = await application(t, python ?? 'python3', '-c', PYTHON)
  const own = await sidecar(t, { url })
  await whole(t, own, url, 'openmetrics')
  t.match(await own.text(OPENMETRICS), /^shop_requests_total\{path="\/a\\\\b\\""\} 100.0 # \{trace_id="abc"\} 1.0 \d/m)
})

t.test('an application with client_golang, with native histograms by protobuf', { skip: absent }, async t => {
  const url = await application(t, GO_APPLICATION)
  const own = await sidecar(t, { url })
  // A scraper of text first: then the application is asked for OpenMetrics.
  const page = await own.text(`${OPENMETRICS}${UTF8}`)
  t.match(page, /^\{"shop.queue.depth","queue.name"="mail"\} 3/m)
  t.match(page, /^shop_requests_total\{.*\} 1000.0 # \{trace_id="0af7/m)
  await new Promise(resolve => setTimeout(resolve, 1100))
  const families = decoded(await own.bytes(`${PROTOBUF}${UTF8}`))
  const wait = families.find(({ name }) => name === 'shop_wait_seconds')?.metric?.[0]?.histogram
  t.ok((wait?.positiveSpan?.length ?? 0) > 0, 'it has native buckets')
  t.equal(wait?.bucket?.length, 11, 'and the classic ones')
  const verdict = judged([{ format: 'protobuf', body: await own.bytes(`${PROTOBUF}${UTF8}`) }])[0]!
  t.equal(verdict.error, undefined)
  t.match(verdict.histograms?.map(([series]) => series).sort(), [
    '{__name__="shop_native_seconds"}',
    '{__name__="shop_wait_seconds", path="/"}',
  ])
  t.ok(verdict.starts > 0, 'start times are there')
  // The same page as text, by way of protobuf.
  const texts = judged([
    { format: 'text', body: await own.bytes() },
    { format: 'openmetrics', body: await own.bytes(`${OPENMETRICS}${UTF8}`) },
  ])
  for (const { error, samples } of texts) {
    t.equal(error, undefined)
    const found = new Map(samples)
    t.equal(found.get('{__name__="shop_wait_seconds_count", path="/"}'), '1000')
    t.equal(found.get('{__name__="shop_native_seconds_count"}'), '1000')
  }
  if (!needs.promtool) t.equal(faults(await own.bytes()), '')
  if (!needs.python) t.ok(parsed(await own.bytes(OPENMETRICS)).length > 10)
  t.equal(await own.number('app_metrics_up'), 1)
})

/** A Prometheus that scrapes the merged page each second. */
async function prometheus(t: Test, program: string, own: Sidecar, options: object, flags: readonly string[] = []) {
  const accepts: string[] = []
  const target = createServer(async (request, response) => {
    accepts.push(request.headers.accept ?? '')
    const { contentType, chunks } = await own.scrape.scrape(request.headers.accept, AbortSignal.timeout(5000))
    response.writeHead(200, { 'content-type': contentType }).end(Buffer.concat(chunks))
  }).listen(0, '127.0.0.1')
  await once(target, 'listening')
  const socket = createSocket().listen(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address() as AddressInfo
  socket.close()
  await once(socket, 'close')
  const folder = mkdtempSync(join(tmpdir(), 'pillion-prometheus-'))
  const static_configs = [{ targets: [`127.0.0.1:${(target.address() as AddressInfo).port}`] }]
  const config = {
    global: { scrape_interval: '1s', scrape_timeout: '1s' },
    scrape_configs: [{ job_name: 'pillion', honor_labels: true, static_configs, ...options }],
  }
  writeFileSync(join(folder, 'prometheus.yml'), JSON.stringify(config))
  const child: ChildProcess = spawn(
    program,
    [
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=127.0.0.1:${port}`,
      ...flags,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let log = ''
  child.stderr?.on('data', chunk => {
    log = `${log}${chunk}`.slice(-4000)
  })
  t.teardown(async () => {
    child.kill('SIGKILL')
    await once(child, 'close')
    target.closeAllConnections()
    target.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return {
    accepts,
    /** The value of the first result of a query that has one. */
    async value(query: string): Promise<string> {
      for (const end = Date.now() + 60_000; Date.now() < end; ) {
        const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(query)}`
        // While it starts it answers 503, in plain text.
        const answered = await fetch(url).then(
          async response =>
            response.ok ? ((await response.json()) as { data?: { result: { value: [number, string] }[] } }) : undefined,
          () => undefined,
        )
        const value = answered?.data?.result[0]?.value[1]
        if (value !== undefined) return value
        await new Promise(resolve => setTimeout(resolve, 200))
      }
      throw new Error(`no result of ${query}; Prometheus says: ${log}`)
    },
  }
}

t.test(
  'Prometheus 2.42 reads the merged page as it would read the application',
  { skip: needs.prometheus || absent },
  async t => {
    const url = await application(t, GO_APPLICATION)
    const own = await sidecar(t, { url })
    const server = await prometheus(t, 'prometheus', own, {})
    t.equal(await server.value('shop_requests_total'), '1000')
    t.equal(await server.value('count(shop_wait_seconds_bucket{le="1.0"})'), '1')
    t.equal(await server.value('shop_queue_depth{queue_name="mail"}'), '3')
    t.equal(await server.value('app_metrics_up == 1'), '1')
    t.equal(await server.value('up == 1'), '1')
    t.match(server.accepts.at(-1), /openmetrics/)
  },
)

const PROMETHEUS_3 = join(FOLDER, 'bin/prometheus')
const no3 = existsSync(PROMETHEUS_3) && !absent ? false : 'needs: .ci/judges'

t.test('Prometheus 3 reads it, with names in UTF-8', { skip: no3 }, async t => {
  t.match(execFileSync(PROMETHEUS_3, ['--version'], { encoding: 'utf8' }), /prometheus, version/)
  const url = await application(t, GO_APPLICATION)
  const own = await sidecar(t, { url })
  const server = await prometheus(t, PROMETHEUS_3, own, {})
  t.equal(await server.value('{"shop.queue.depth","queue.name"="mail"}'), '3')
  t.equal(await server.value('shop_requests_total'), '1000')
  t.equal(await server.value('count(shop_wait_seconds_bucket{le="1.0"})'), '1')
  t.equal(await server.value('app_metrics_up == 1'), '1')
})

t.test('Prometheus 3 reads its native histograms, where it scrapes them', { skip: no3 }, async t => {
  const url = await application(t, GO_APPLICATION)
  const own = await sidecar(t, { url })
  const server = await prometheus(t, PROMETHEUS_3, own, { scrape_native_histograms: true })
  t.equal(await server.value('histogram_count(shop_native_seconds)'), '1000')
  t.equal(await server.value('histogram_count(shop_wait_seconds)'), '1000')
  // It takes UTF-8 in text only, so names in protobuf have underscores.
  t.equal(await server.value('shop_queue_depth{queue_name="mail"}'), '3')
  t.match(server.accepts.at(-1), /^application\/vnd.google.protobuf/)
})

t.test(
  'when the application fails its series are marked stale, and those of the sidecar go on',
  { skip: no3 },
  async t => {
    let fails = false
    const url = await serve(t, (request, response) => {
      if (fails) response.writeHead(500).end()
      else answer('# TYPE theirs gauge\ntheirs 7\n# EOF\n', OPENMETRICS_TYPE)(request, response)
    })
    const own = await sidecar(t, { url })
    const server = await prometheus(t, PROMETHEUS_3, own, {})
    t.equal(await server.value('theirs'), '7')
    fails = true
    t.equal(await server.value('app_metrics_up == 0'), '0')
    t.equal(await server.value('absent(theirs)'), '1')
    t.equal(await server.value('up == 1'), '1')
  },
)
