// The stock SDKs of four languages send all three signals over each protocol they speak, compressed and not: every item
// arrives, none twice, the numbers are right, and no SDK has anything to complain about.

import t, { type Test } from 'tap'
import { Child, until } from '../e2e/child.ts'
import { type Ride, startSidecar } from '../e2e/ride.ts'
import { CLIENTS, SENT } from './clients.ts'
import { INSTALLING_MS } from './programs.ts'

t.setTimeout(4 * INSTALLING_MS)

for (const { language, skip, protocols, install } of CLIENTS)
  t.test(`the SDK of ${language}`, { skip }, async t => {
    const [command, ...args] = await install()
    await using ride = await startSidecar()
    let runs = 0
    for (const protocol of protocols)
      for (const compression of ['none', 'gzip'])
        await t.test(`${protocol}, compression ${compression}`, async t => {
          const service = `${language} ${protocol} ${compression}`
          await using client = await Child.start(command, args, {
            OTEL_SERVICE_NAME: service,
            OTEL_EXPORTER_OTLP_ENDPOINT: protocol === 'grpc' ? ride.grpc : ride.otlp,
            OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
            // Python's gRPC exporter knows no "none".
            ...(compression === 'gzip' ? { OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip' } : {}),
            OTEL_TRACES_EXPORTER: 'otlp',
            OTEL_METRICS_EXPORTER: 'otlp',
            OTEL_LOGS_EXPORTER: 'otlp',
          })
          t.same(await client.ended, { code: 0, signal: null }, client.stderr)
          t.equal(client.stderr, '', 'the SDK has nothing to complain about')
          runs += 1
          await everythingIsThere(t, ride, service, runs)
        })
  })

/** Languages whose client can name its exporter in code. */
const NAMING = ['go', 'python']

for (const { language, skip, install } of CLIENTS)
  t.test(`the SDK of ${language} through pillion run, with defaults alone`, { skip }, async t => {
    const command = await install()
    for (const exporter of ['', ...(NAMING.includes(language) ? ['grpc'] : [])])
      await t.test(
        exporter === '' ? 'the exporter that the SDK chooses' : `a ${exporter} exporter named in code`,
        async t => {
          const env = {
            INTEROP_EXPORTER: exporter,
            OTEL_TRACES_EXPORTER: 'otlp',
            OTEL_METRICS_EXPORTER: 'otlp',
            OTEL_LOGS_EXPORTER: 'otlp',
          }
          // The sidecar would end with the application.
          await using ride = await startSidecar({ command, env, flags: ['--run.linger', '5m'] })
          for (const [signal, items] of Object.entries(SENT))
            await until(`${items} ${signal}`, async () => {
              const accepted = (await ride.value('pillion_otlp_accepted_items_total', { signal })) ?? 0
              return accepted >= items || undefined
            })
          t.equal(await ride.value('pillion_otlp_accepted_items_total', { signal: 'traces' }), SENT.traces)
          t.equal(await ride.value('pillion_otlp_accepted_items_total', { signal: 'logs' }), SENT.logs)
          t.equal(await ride.value('interop_wait_seconds_count'), 3)
        },
      )
  })

async function everythingIsThere(t: Test, ride: Ride, service: string, runs: number): Promise<void> {
  for (const [signal, items] of Object.entries(SENT)) {
    t.equal(await ride.value('pillion_otlp_received_items_total', { signal }), runs * items, signal)
    t.equal(await ride.value('pillion_otlp_accepted_items_total', { signal }), runs * items, signal)
  }
  const span = { service, span_name: 'GET /orders', span_kind: 'SPAN_KIND_SERVER' }
  const value = ride.value
  t.equal(await value('traces_spanmetrics_calls_total', { ...span, status_code: 'STATUS_CODE_ERROR' }), 6)
  t.equal(await value('traces_spanmetrics_calls_total', { ...span, status_code: 'STATUS_CODE_UNSET' }), 594)
  t.equal(await value('traces_spanmetrics_latency_sum', span), 600 * 0.25)

  const job = service
  for (const [shop, count] of Object.entries({ north: 10, south: 20, west: 30 }))
    t.equal(await value('interop_orders_total', { job, shop }), count, `orders of ${shop}`)
  t.equal(await value('interop_wait_seconds_count', { job }), 3)
  t.equal(await value('interop_wait_seconds_sum', { job }), 2.75)
  t.equal(await value('interop_queue', { job }), 7)

  t.equal(await value('app_log_records_total', { service, severity: 'ERROR' }), 100)
  t.equal(await value('app_log_records_total', { service, severity: 'INFO' }), 200)
}
