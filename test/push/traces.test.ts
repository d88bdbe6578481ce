// The sidecar's own spans, posted to its own receiver.

import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { Child, freePort, until } from '../e2e/child.ts'
import { MAIN, startSidecar } from '../e2e/ride.ts'
import { startShop } from '../shop/services.ts'
import { receiving } from './receiver.ts'

t.setTimeout(120_000)

interface Span {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly traceState?: string
  readonly status?: { readonly code?: number; readonly message?: string }
}

t.test(
  'probes, scrapes, pushes and reloads are spans, which come in like others, are counted, and are left out of request metrics',
  async t => {
    const receiver = await receiving(t)
    const port = await freePort()
    const folder = t.testdir({ 'pillion.yaml': '{}' })
    const push = ['--push.endpoint', receiver.url, '--push.protocol', 'remote-write', '--push.interval', '1s']
    await using ride = await startSidecar({
      flags: [
        '--self.traces',
        'true',
        '--config',
        `${folder}/pillion.yaml`,
        '--app.url',
        `http://127.0.0.1:${port}`,
        ...push,
      ],
    })
    await using _shop = await startShop(ride.otlp, port)
    t.equal((await fetch(`${ride.web}/-/reload`, { method: 'POST' })).status, 200)
    writeFileSync(`${folder}/pillion.yaml`, 'process: { smaps: true }')
    t.equal((await fetch(`${ride.web}/-/reload`, { method: 'POST' })).status, 500)

    const own = await until(
      'own spans',
      async () => (await ride.value('pillion_spans_excluded_total', { reason: 'own' })) || undefined,
    )
    t.ok(own > 0)
    await until(
      'the shop’s spans of the probes',
      async () => (await ride.value('pillion_spans_excluded_total', { reason: 'probe' })) || undefined,
    )
    const page = await ride.scrape()
    t.notMatch(page, /traces_spanmetrics_calls_total\{service="pillion"/)
    t.notMatch(page, /traces_target_info\{[^}]*pillion/)
    t.ok((await ride.value('pillion_otlp_accepted_items_total', { signal: 'traces' }))! >= own)
    t.equal(await ride.value('pillion_otlp_refused_items_total', { signal: 'traces' }), 0)
    const pushed = receiver.got.find(({ headers }) => headers['traceparent'] !== undefined)
    t.match(
      pushed?.headers['traceparent'],
      /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/,
      'the receiver’s span joins that of the push',
    )
  },
)

t.test(
  'with a URL they go there: one for each of what was done, with its outcome, and none about sending them',
  async t => {
    const spans: Span[] = []
    const upstream = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', chunk => chunks.push(chunk))
      request.on('end', () => {
        const { resourceSpans } = JSON.parse(Buffer.concat(chunks).toString())
        for (const { resource, scopeSpans } of resourceSpans) {
          t.match(resource.attributes, [{ key: 'service.name', value: { stringValue: 'pillion' } }])
          for (const scope of scopeSpans) spans.push(...scope.spans)
        }
        response.setHeader('content-type', 'application/json').end('{}')
      })
    }).listen(0, '127.0.0.1')
    t.teardown(() => upstream.close())
    const receiver = await receiving(t, (_, __, response) => void response.writeHead(401).end())
    const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
    const folder = t.testdir({ 'pillion.yaml': '{}' })
    const flags = [
      '--self.traces',
      url,
      '--health.guess',
      'false',
      '--config',
      `${folder}/pillion.yaml`,
      '--push.endpoint',
      receiver.url,
      '--push.interval',
      '1s',
    ]
    await using ride = await startSidecar({ flags, env: { OTEL_TRACES_SAMPLER: 'always_off' } })
    await ride.scrape()
    await fetch(`${ride.web}/-/reload`, { method: 'POST' })
    await until('a push that failed', async () => (await ride.value('pillion_push_failing')) || undefined)
    await ride.child.stop()
    const named = (name: string) => spans.filter(each => each.name === name)
    t.ok(named('scrape').length >= 1)
    t.equal(named('reload').length, 1)
    t.match(named('push')[0]?.status, { code: 2, message: /401/ })
    t.strictSame([...new Set(spans.map(({ name }) => name))].sort(), ['push', 'reload', 'scrape'], 'and nothing else')
    t.ok(spans.every(({ traceState }) => /^pillion=[0-9a-f]{16}\.own$/.test(traceState ?? '')))
  },
)

t.test('without a receiver of its own, the sidecar says so and goes on', async t => {
  const off = ['--otlp.http.listen', 'off', '--otlp.grpc.listen', 'off', '--web.listen', '0']
  await using sidecar = await Child.start(process.execPath, [MAIN, '--self.traces', 'true', ...off])
  await sidecar.says(/self\.traces needs otlp\.http\.listen/)
  t.strictSame(await sidecar.stop(), { code: 0, signal: null })
})
