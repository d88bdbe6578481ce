// VictoriaMetrics as what is behind the sidecar: metrics of an application that are forwarded to it, and the page that is
// pushed to it, over OTLP and remote write. Counted by its query API.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { FOLDER } from '../deploy/judges.ts'
import { Child, freePort, until } from '../e2e/child.ts'
import { startSidecar } from '../e2e/ride.ts'
import { encoded, from, gauge, point, sum } from '../points/otlp.ts'

t.setTimeout(120_000)

const VICTORIA = join(FOLDER, 'bin', 'victoria-metrics')
const skip = existsSync(VICTORIA) ? false : 'needs VictoriaMetrics: .ci/judges'
const SERIES = 200

interface Store extends AsyncDisposable {
  readonly url: string
  /** The only value of a query; waits until there is one. */
  value(query: string): Promise<number>
}

async function victoria(t: Test): Promise<Store> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const child = await Child.start(VICTORIA, [
    ...[`-httpListenAddr=127.0.0.1:${port}`, `-storageDataPath=${t.testdir({})}/data`, '-retentionPeriod=1d'],
    // It shows nothing of the last 30 s otherwise.
    ...['-search.latencyOffset=0s', '-search.disableCache', '-opentelemetry.usePrometheusNaming'],
  ])
  await child.says(/started server at/)
  return {
    url,
    value: query =>
      until(query, async () => {
        await fetch(`${url}/internal/force_flush`)
        const response = await fetch(`${url}/api/v1/query?${new URLSearchParams({ query })}`)
        // The shape of Prometheus' API (docs.victoriametrics.com/victoriametrics/#prometheus-querying-api-usage).
        const { data } = (await response.json()) as { data: { result: { value: [number, string] }[] } }
        const [found, ...more] = data.result
        if (more.length > 0) throw new Error(`${more.length + 1} results of ${query}`)
        return found && Number(found.value[1])
      }),
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  }
}

/** Sends metrics as an SDK does: many series of a counter, and a gauge. */
async function feed(t: Test, otlp: string): Promise<void> {
  const now = BigInt(Date.now()) * 1_000_000n
  const times = { startTimeUnixNano: String(now - 5_000_000_000n), timeUnixNano: String(now) }
  const points = Array.from({ length: SERIES }, (_, n) => point(n, { kind: `k-${n}` }, times))
  const body = encoded(
    from({ 'service.name': 'shop' }, sum('orders', ...points), gauge('warmth', point(21.5, {}, times))),
  )
  const headers = { 'content-type': 'application/x-protobuf' }
  const { status } = await fetch(`${otlp}/v1/metrics`, { method: 'POST', headers, body: new Uint8Array(body) })
  t.equal(status, 200)
}

t.test('VictoriaMetrics has every point that is forwarded to it', { skip }, async t => {
  await using store = await victoria(t)
  await using ride = await startSidecar({
    flags: ['--health.guess', 'false', '--forward.endpoint', `${store.url}/opentelemetry`],
  })
  await feed(t, ride.otlp)
  const metrics = { signal: 'metrics' }
  await until(
    'it forwarded',
    async () => (await ride.value('pillion_forward_items_total', metrics)) === SERIES + 1 || undefined,
  )
  t.equal(await ride.value('pillion_forward_dropped_items_total', metrics), 0)
  t.equal(await store.value('count(orders_total)'), SERIES)
  t.equal(await store.value('sum(orders_total)'), (SERIES * (SERIES - 1)) / 2)
  t.equal(await store.value('warmth'), 21.5)
})

for (const { protocol, path } of [
  { protocol: 'otlp', path: '/opentelemetry/v1/metrics' },
  { protocol: 'remote-write', path: '/api/v1/write' },
])
  t.test(`VictoriaMetrics has the page that is pushed to it (${protocol})`, { skip }, async t => {
    await using store = await victoria(t)
    const push = ['--push.endpoint', `${store.url}${path}`, '--push.protocol', protocol, '--push.interval', '1s']
    await using ride = await startSidecar({ flags: ['--health.guess', 'false', ...push] })
    await feed(t, ride.otlp)
    await until('it pushed', async () => ((await ride.value('pillion_push_samples_total')) ?? 0) > SERIES || undefined)
    t.equal(await store.value('count(orders_total)'), SERIES)
    t.equal(await store.value('sum(orders_total)'), (SERIES * (SERIES - 1)) / 2)
    t.equal(await store.value('warmth'), 21.5)
    t.equal(await store.value('count(pillion_build_info)'), 1)
    t.equal(await ride.value('pillion_push_failing'), 0)
    t.equal(await ride.value('pillion_push_dropped_samples_total'), 0)
  })
