// The shop, traced by the real OpenTelemetry SDK for Node, in front of the real receivers: probes are recognised in every
// service that they reach, and calls between the services become edges.

import t from 'tap'
import { Scrape } from '../../exporter/prometheus.ts'
import { Metrics } from '../../metrics/registry.ts'
import { spans } from '../../processors/spans.ts'
import { Keys } from '../../telemetry/keys.ts'
import { PROBE_TRACESTATE } from '../../telemetry/probe.ts'
import { until } from '../e2e/child.ts'
import { receiver } from '../otlp/receiver.ts'
import { startShop } from '../shop/services.ts'
import { DEFAULTS } from './room.ts'

t.test('a probed handler and all that it calls are left out; other requests are counted and joined', async t => {
  const metrics = new Metrics()
  const clock = { now: () => Date.now(), monotonic: () => performance.now(), sleep: () => Promise.resolve() }
  const keys = new Keys()
  const graph = { ...DEFAULTS.graph, wait: 60_000 }
  const consumer = spans.start({ ...DEFAULTS, graph }, { metrics, clock, keys })
  const server = await receiver(t, { spans: [consumer], keys })
  const page = new Scrape(metrics, [{ name: 'spans', collect: signal => consumer.collect?.(signal) }])
  const lines = async (name: string) => {
    const { chunks } = await page.scrape(undefined, AbortSignal.timeout(5000))
    return Buffer.concat(chunks)
      .toString()
      .split('\n')
      .filter(line => line.startsWith(name))
  }
  const total = async (name: string) =>
    (await lines(name)).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)

  await using shop = await startShop(`http://127.0.0.1:${server.port}`)
  const traceparent = `00-${'5'.repeat(32)}-${'6'.repeat(16)}-01`
  const checkout = (headers: Record<string, string>) => fetch(`${shop.url}/checkout`, { method: 'POST', headers })
  t.equal((await checkout({ traceparent, tracestate: `other=1,${PROBE_TRACESTATE}` })).status, 200)
  // Four servers and three clients, in three processes.
  await until('seven excluded spans', async () => (await total('pillion_spans_excluded_total')) === 7 || undefined)
  t.same(await lines('traces_spanmetrics_calls_total'), [])
  t.same(await lines('traces_service_graph_request_total'), [])

  t.equal((await checkout({})).status, 200)
  await until('seven counted spans', async () => (await total('traces_spanmetrics_calls_total')) === 7 || undefined)
  t.equal(await total('pillion_spans_excluded_total'), 7)
  t.same((await lines('traces_service_graph_request_total{')).sort(), [
    'traces_service_graph_request_total{client="shop",server="cart"} 2',
    'traces_service_graph_request_total{client="shop",server="payment"} 1',
    'traces_service_graph_request_total{client="user",server="shop",connection_type="virtual_node"} 1',
  ])
  const targets = await lines('traces_target_info{')
  t.equal(targets.length, 3)
  for (const target of targets) t.match(target, /service="(\w+)",job="\1",.*telemetry_sdk_language="nodejs"/)
})
