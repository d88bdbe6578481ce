// The push of the whole program: what is on its page, over TLS, and never to itself.

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createHttp } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { readOptions } from '../../parts.ts'
import { Child, until } from '../e2e/child.ts'
import { MAIN, startSidecar } from '../e2e/ride.ts'
import { Authority } from '../web/certificates.ts'
import { pushing, receiving } from './receiver.ts'
import { otlp, series2 } from './wire.ts'

t.setTimeout(120_000)

async function listening(t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

t.test('the application’s own /metrics, which is merged into the page, is pushed with it', async t => {
  const page =
    '# TYPE shop_carts_total counter\nshop_carts_total{country="fr"} 5\n# TYPE shop_open gauge\nshop_open 1\n'
  const app = createHttp(
    (_, response) => void response.setHeader('content-type', 'text/plain; version=0.0.4').end(page),
  )
  const port = await listening(t, app)
  for (const protocol of ['otlp', 'remote-write']) {
    const receiver = await receiving(t)
    const push = ['--push.endpoint', receiver.url, '--push.protocol', protocol, '--push.interval', '1s']
    await using _ = await startSidecar({
      flags: ['--health.guess', 'false', '--scrape.url', `http://127.0.0.1:${port}/metrics`, ...push],
    })
    const found = await until('the counter', () => {
      for (const { body } of receiver.got) {
        if (protocol === 'otlp') {
          const metric = otlp(body, 'gzip')
            .flatMap(({ metrics }) => metrics)
            .find(({ name }) => name === 'shop_carts_total')
          if (metric)
            return {
              value: metric.sum?.dataPoints[0]?.asDouble,
              labels: { country: metric.sum?.dataPoints[0]?.attributes[0]?.value.stringValue },
            }
        } else {
          const one = series2(body).find(({ name }) => name === 'shop_carts_total')
          if (one) return { value: one.points[0]?.value, labels: { country: one.labels['country'] } }
        }
      }
      return undefined
    })
    t.strictSame(found, { value: 5, labels: { country: 'fr' } }, protocol)
  }
})

t.test('a receiver with TLS is verified, and is shown our certificate', async t => {
  const folder = t.testdir({})
  const authority = new Authority(folder)
  const server = authority.sign('server', 'IP:127.0.0.1')
  const client = authority.sign('client', 'DNS:pillion')
  let clients: string[] = []
  const receiver = createServer(
    {
      cert: readFileSync(server.cert),
      key: readFileSync(server.key),
      ca: readFileSync(authority.cert),
      requestCert: true,
      rejectUnauthorized: false,
    },
    (request, response) => {
      const { subject } = (request.socket as TLSSocket).getPeerCertificate()
      clients.push(String(subject?.CN))
      request.resume().on('end', () => response.end())
    },
  )
  const endpoint = `https://127.0.0.1:${await listening(t, receiver)}/`
  const f = async (options: Record<string, unknown>) => {
    clients = []
    const pushed = await pushing(t, { endpoint, ...options })
    await pushed.finish(600)
    return { clients, failing: await pushed.value('pillion_push_failing'), findings: pushed.findings() }
  }
  t.match(await f({}), { clients: [], failing: 1, findings: [/cannot push to https:/] }, 'nobody knows who signed it')
  t.match(await f({ tls_ca_file: authority.cert }), { clients: ['undefined', 'undefined'], failing: 0 })
  t.match(await f({ tls_ca_file: authority.cert, tls_server_name: 'other' }), { clients: [], failing: 1 })
  t.match(await f({ tls_verify: false }), { failing: 0 })
  const certificate = { tls_cert_file: client.cert, tls_key_file: client.key }
  t.match(await f({ tls_ca_file: authority.cert, ...certificate }), { clients: ['client', 'client'], failing: 0 })
})

t.test('a push to one of its own listeners is refused before anything starts', async t => {
  const f = async (endpoint: string, wanted: RegExp | undefined) => {
    const reading = await readOptions({
      environment: { PILLION_PUSH_ENDPOINT: endpoint, PILLION_OTLP_GRPC_LISTEN: 'off' },
    })
    const said = reading.ok ? undefined : reading.problems.map(({ text }) => text).join()
    if (wanted) t.match(said, wanted, endpoint)
    else t.equal(said, undefined, endpoint)
  }
  await f('http://localhost:4318/', /PILLION_PUSH_ENDPOINT.*must not be the sidecar itself/)
  await f('http://127.0.0.1:4318/v1/metrics', /must not be the sidecar itself/)
  await f('http://[::1]:19464/', /must not be the sidecar itself/)
  await f('http://127.0.0.1:4317/', undefined)
  await f('http://collector:4318/', undefined)
})

t.test('a job ends with its own exit code and in time, whatever the receiver does', async t => {
  const hanging = await receiving(t, () => {})
  const failing = await receiving(t, (_, __, response) => void response.writeHead(503, { 'Retry-After': '300' }).end())
  for (const [name, url] of [
    ['it hangs', hanging.url],
    ['it asks for five minutes', failing.url],
    ['nobody is there', 'http://127.0.0.1:1/'],
  ] as const) {
    const off = [
      '--web.listen',
      'off',
      '--otlp.http.listen',
      'off',
      '--otlp.grpc.listen',
      'off',
      '--log.level',
      'error',
      '--log.quiet',
    ]
    await using job = await Child.start(process.execPath, [
      MAIN,
      'run',
      ...off,
      '--push.endpoint',
      url,
      '--',
      'sh',
      '-c',
      'date +%s.%N; exit 7',
    ])
    t.strictSame(await job.ended, { code: 7, signal: null }, name)
    const seconds = Date.now() / 1000 - Number(job.stdout)
    t.comment(`${name}: ended ${seconds.toFixed(1)} s after the application`)
    // Five seconds at most are left to it; the rest is for a machine that is busy.
    t.ok(seconds < 15, `${seconds} s`)
  }
})

t.test('run ends with one line: how, how long, CPU, memory, and the spans that were seen', async t => {
  const span = (name: string, id: string, code: number) => ({
    traceId: `0af7651916cd43dd8448eb211c8031${id}`,
    spanId: `b7ad6b71692033${id}`,
    name,
    kind: 2,
    startTimeUnixNano: '1750000000000000000',
    endTimeUnixNano: '1750000001000000000',
    status: { code },
  })
  const body = {
    resourceSpans: [
      {
        resource: { attributes: [{ key: 'service.name', value: { stringValue: 'job' } }] },
        scopeSpans: [{ spans: [span('a', '01', 0), span('b', '02', 2), span('c', '03', 2)] }],
      },
    ],
  }
  const program = `const r = await fetch(process.env.OTEL_EXPORTER_OTLP_ENDPOINT + '/v1/traces', { method: 'POST', headers: { 'content-type': 'application/json' }, body: ${JSON.stringify(JSON.stringify(body))} }); process.exit(r.status === 200 ? 4 : 1)`
  const off = ['--web.listen', 'off', '--otlp.http.listen', '0', '--otlp.grpc.listen', 'off']
  await using job = await Child.start(process.execPath, [
    MAIN,
    'run',
    ...off,
    '--',
    process.execPath,
    '--input-type=module',
    '-e',
    program,
  ])
  t.equal((await job.ended).code, 4)
  t.match(
    job.stderr,
    /msg="the application ended with exit code 4 after \d+\.\d+ s" cpu_seconds=\d\S* peak_memory_bytes=\d{7,} spans=3 errors=2/,
  )
  await using quick = await Child.start(process.execPath, [MAIN, 'run', ...off, '--', 'sleep', '0.05'])
  t.equal((await quick.ended).code, 0)
  t.match(
    quick.stderr,
    /msg="the application ended with exit code 0 after \d+\.\d+ s" cpu_seconds=\d\S* peak_memory_bytes=\d{5,}/,
  )
})

t.test('scrapes of the same format at the same time take nothing away from a push', async t => {
  const receiver = await receiving(t)
  await using ride = await startSidecar({
    flags: ['--health.guess', 'false', '--push.endpoint', receiver.url, '--push.interval', '1s'],
  })
  const accept =
    'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=underscores'
  const scraped = new AbortController()
  const scraping = (async () => {
    while (!scraped.signal.aborted) await (await fetch(`${ride.web}/metrics`, { headers: { accept } })).arrayBuffer()
  })()
  await until('three pushes', () => receiver.got.length >= 3 || undefined)
  scraped.abort()
  await scraping
  const counts = receiver.got.map(({ body }) => otlp(body, 'gzip').flatMap(({ metrics }) => metrics).length)
  t.ok(
    counts.every(each => each > 50 && Math.abs(each - counts[0]!) < 10),
    `${counts}`,
  )
  t.equal(await ride.value('pillion_push_failing'), 0)
})
