// The whole program beside a real application: the metrics are there, and they are right.

import { fileURLToPath } from 'node:url'
import t from 'tap'
import { startShop } from '../shop/services.ts'
import { Child, freePort, until } from './child.ts'
import { type Ride, startSidecar } from './ride.ts'

const SENDER = fileURLToPath(new URL('sender.ts', import.meta.url))
const EXAMPLE = fileURLToPath(new URL('../../examples/shop/', import.meta.url))

for (const [encoding, more] of [
  ['http/protobuf', {}],
  ['http/json', {}],
  ['http/protobuf', { OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip' }],
  ['http/json', { OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip' }],
  ['grpc', {}],
] as const)
  t.test(
    `every span of the stock SDK is counted once: ${encoding}${'OTEL_EXPORTER_OTLP_COMPRESSION' in more ? ', gzip' : ''}`,
    async t => {
      await using ride = await startSidecar()
      await using sender = await Child.start(process.execPath, [SENDER], {
        OTEL_EXPORTER_OTLP_ENDPOINT: encoding === 'grpc' ? ride.grpc : ride.otlp,
        OTEL_EXPORTER_OTLP_PROTOCOL: encoding,
        OTEL_METRICS_EXPORTER: 'none',
        OTEL_LOGS_EXPORTER: 'none',
        OTEL_SERVICE_NAME: 'orders',
        ...more,
      })
      t.same(await sender.ended, { code: 0, signal: null }, sender.stderr)
      t.equal(sender.stderr, '', 'the SDK has nothing to complain about')

      const server = { service: 'orders', span_name: 'GET /orders', span_kind: 'SPAN_KIND_SERVER' }
      const value = ride.value
      t.equal(await value('traces_spanmetrics_calls_total', { ...server, status_code: 'STATUS_CODE_ERROR' }), 6)
      t.equal(await value('traces_spanmetrics_calls_total', { ...server, status_code: 'STATUS_CODE_UNSET' }), 594)
      t.equal(await value('traces_spanmetrics_latency_count', server), 600)
      t.equal(await value('traces_spanmetrics_latency_sum', server), 300 * 0.125 + 300 * 0.25)
      t.equal(await value('traces_spanmetrics_latency_bucket', { ...server, le: '+Inf' }), 600)
      const backwards = { span_name: 'backwards', span_kind: 'SPAN_KIND_INTERNAL' }
      t.equal(await value('traces_spanmetrics_latency_count', backwards), 1)
      t.equal(await value('traces_spanmetrics_latency_sum', backwards), 0)
      t.equal(await value('pillion_otlp_received_items_total', { signal: 'traces' }), 601)
      t.equal((await value('pillion_otlp_refused_items_total')) ?? 0, 0)
    },
  )

t.test('attached to a shop by its URL: health, process and requests of all three services', async t => {
  // The sidecar comes first, as in a pod.
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const probe = `{ name: front, url: ${url}/healthz, interval: 500ms }`
  const folder = t.testdir({ 'pillion.yaml': `app: { url: ${url} }\nhealth: { probes: [${probe}] }\n` })
  await using ride = await startSidecar({ flags: ['--config', `${folder}/pillion.yaml`] })
  await using shop = await startShop(ride.otlp, port)

  for (let n = 0; n < 20; n += 1) await fetch(`${shop.url}/checkout`, { method: 'POST' })
  await shop.payment.stop()
  await until(
    'the health of the shop',
    async () => (await ride.value('app_health_up', { probe: 'front' })) || undefined,
  )

  await until('the process of the shop', async () => (await ride.value('app_process_up')) === 1 || undefined)
  t.ok(((await ride.value('app_process_cpu_seconds_total')) ?? 0) > 0)
  t.ok(((await ride.value('app_process_resident_memory_bytes')) ?? 0) > 20e6)
  t.ok(((await ride.value('app_process_open_fds')) ?? 0) > 5)
  t.ok(((await ride.value('app_health_probes_total')) ?? 0) > 0)
  t.equal(await ride.value('app_health_component_up', { component: 'cart:reached' }), 1)

  await shop.stop()
  const calls = (service: string, span_name: string, status_code: string) =>
    ride.value('traces_spanmetrics_calls_total', { service, span_name, span_kind: 'SPAN_KIND_SERVER', status_code })
  t.equal(await calls('shop', 'POST /checkout', 'STATUS_CODE_ERROR'), 2)
  t.equal(await calls('shop', 'POST /checkout', 'STATUS_CODE_UNSET'), 18)
  t.equal(await calls('cart', 'GET /items', 'STATUS_CODE_UNSET'), 20)
  t.equal(await calls('cart', 'DELETE /items', 'STATUS_CODE_UNSET'), 18)
  t.equal(await calls('payment', 'POST /charge', 'STATUS_CODE_ERROR'), 2)

  await until('the end of the shop', async () => (await ride.value('app_process_up')) === 0 || undefined)
  t.equal(await ride.value('app_process_resident_memory_bytes'), undefined, 'absent rather than 0')
  await until('the failing health', async () => (await ride.value('app_health_probe_success')) === 0 || undefined)
})

t.test('run: the application finds the sidecar by itself, and ends it with its own exit code', async t => {
  await using ride = await startSidecar({
    flags: ['--app.url', 'http://127.0.0.1:1'],
    command: [process.execPath, '--import', `${EXAMPLE}telemetry.js`, `${EXAMPLE}cart.js`],
    env: { PORT: '0', OTEL_BSP_SCHEDULE_DELAY: '100' },
  })
  const [, url] = await ride.child.says(/cart listening on (\S+)/)
  await fetch(`${url}/items`)
  await until('the span', async () => calls(ride))
  t.equal(await calls(ride), 1)
  await until('its process', async () => (await ride.value('app_process_up')) || undefined)
  t.same(await ride.child.stop(), { code: 0, signal: null }, 'SIGTERM is the application’s, which ends well')
})

t.test('the banner says where to look', async t => {
  await using ride = await startSidecar()
  await ride.child.says(new RegExp(`${ride.web}/metrics`))
  t.match(ride.child.stderr, ride.otlp)
  t.equal(ride.child.stdout, '', 'stdout belongs to the application')
})

t.test('an operator ends it with SIGTERM, and it ends well', async t => {
  await using ride = await startSidecar()
  t.same(await ride.child.stop(), { code: 0, signal: null })
})

const calls = (ride: Ride) => ride.value('traces_spanmetrics_calls_total', { span_name: 'GET /items' })

t.test(
  'probes are spans of the sidecar’s own; what the application made of them is left out of its request metrics',
  async t => {
    const port = await freePort()
    await using upstream = await startSidecar()
    const flags = ['--app.url', `http://127.0.0.1:${port}`, '--self.traces', upstream.otlp]
    await using ride = await startSidecar({ flags })
    await using _shop = await startShop(ride.otlp, port)
    const excluded = await until('the shop’s spans of the probes', async () => {
      return (await ride.value('pillion_spans_excluded_total', { reason: 'probe' })) || undefined
    })
    t.ok(excluded > 0)
    t.notMatch(await ride.scrape(), /traces_spanmetrics_calls_total\{service="shop",span_name="GET \/healthz"/)
    const own = await until('the sidecar’s spans of the probes upstream', async () => {
      return (await upstream.value('traces_spanmetrics_calls_total', { service: 'pillion' })) || undefined
    })
    t.ok(own > 0)
  },
)

t.test('the dashboards are served for import', async t => {
  await using ride = await startSidecar()
  const list = await (await fetch(`${ride.web}/dashboards/`)).text()
  const files = [...list.matchAll(/href="\/dashboards\/([^"]+\.json)"/g)].map(([, file]) => file!)
  t.ok(files.includes('pillion-overview.json'))
  for (const file of files) {
    const response = await fetch(`${ride.web}/dashboards/${file}`)
    t.match(await response.json(), { uid: file.replace('.json', ''), schemaVersion: 42 })
  }
  t.equal((await fetch(`${ride.web}/dashboards/..%2fpackage.json`)).status, 404)
})
