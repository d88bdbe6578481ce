// Micrometer, which Spring Boot and Quarkus have: what its OTLP registry sends is on /metrics, and goes on to an upstream.

import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { until } from '../e2e/child.ts'
import { missing } from '../e2e/programs.ts'
import { startSidecar } from '../e2e/ride.ts'
import { classPath, INSTALLING_MS, source } from '../interop/programs.ts'
import { decoder } from '../otlp/protobufjs.ts'

const skip = missing('java', 'default-jdk-headless') || missing('mvn', 'maven')
t.setTimeout(INSTALLING_MS + 120_000)

for (const temporality of ['cumulative', 'delta'] as const)
  t.test(
    `what Micrometer sends as ${temporality} adds up on the page, and goes on to the upstream`,
    { skip },
    async t => {
      const received = new Map<string, number>()
      const upstream = createServer((request, response) => {
        const parts: Buffer[] = []
        request.on('data', part => parts.push(part))
        request.on('end', () => {
          const body = Buffer.concat(parts)
          const bytes = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body
          for (const [name, points] of metricsOf(bytes)) received.set(name, (received.get(name) ?? 0) + points)
          response.setHeader('content-type', 'application/x-protobuf').end()
        })
      }).listen(0, '127.0.0.1')
      t.teardown(() => upstream.close())
      await new Promise(resolve => upstream.once('listening', resolve))
      const endpoint = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
      await using ride = await startSidecar({ flags: ['--forward.endpoint', endpoint] })
      const libraries = await classPath(source('../points/micrometer/pom.xml'))
      const program = source('../points/micrometer/Orders.java')
      const args = ['-cp', libraries, program, `${ride.otlp}/v1/metrics`, temporality]
      const { stderr } = await promisify(execFile)('java', args, { timeout: 60_000 })
      t.notMatch(stderr, /Failed to (?:publish|send)/)

      const value = (name: string, labels = {}) => ride.value(name, { job: 'shop', instance: temporality, ...labels })
      t.equal(await value('orders_total', { shop: 'north' }), 60)
      t.equal(await value('wait_milliseconds_count'), 30)
      t.equal(await value('wait_milliseconds_sum'), 10 * 50 + 20 * 500)
      t.equal(await value('wait_milliseconds_bucket', { le: '100' }), 10)
      t.equal(await value('wait_milliseconds_bucket', { le: '+Inf' }), 30)
      t.equal(await value('size_bytes_sum'), 30_000)
      t.equal(await value('queue'), 7)
      t.equal(await ride.value('pillion_otlp_refused_items_total', { signal: 'metrics' }), 0)
      const accepted = (await ride.value('pillion_otlp_accepted_items_total', { signal: 'metrics' })) ?? 0
      await until(
        'all at the upstream',
        () => [...received.values()].reduce((a, b) => a + b, 0) >= accepted || undefined,
      )
      t.equal(
        [...received.values()].reduce((a, b) => a + b, 0),
        accepted,
        'every point went on, once',
      )
      t.ok((received.get('orders') ?? 0) > 1, 'over several requests')
      await ride.child.stop()
    },
  )

interface Metric {
  readonly name: string
  readonly [data: string]: unknown
}

/** The metrics of a request, each with how many points it has. */
function metricsOf(bytes: Buffer): [name: string, points: number][] {
  const Request = decoder('metrics')
  const request = Request.toObject(Request.decode(bytes)) as {
    resourceMetrics?: { scopeMetrics?: { metrics?: Metric[] }[] }[]
  }
  return (request.resourceMetrics ?? [])
    .flatMap(each => each.scopeMetrics ?? [])
    .flatMap(each => each.metrics ?? [])
    .map(metric => {
      const data = (metric['sum'] ?? metric['gauge'] ?? metric['histogram'] ?? metric['summary']) as
        | { dataPoints?: unknown[] }
        | undefined
      return [metric.name, data?.dataPoints?.length ?? 0]
    })
}
