// The OpenTelemetry Collector takes what is pushed as OTLP, and shows the same values.

import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FOLDER } from '../deploy/judges.ts'
import { Child, freePort, until } from '../e2e/child.ts'
import { startSidecar, sum } from '../e2e/ride.ts'
import { sum as counter, encoded, from, gauge, point } from '../points/otlp.ts'

t.setTimeout(120_000)

const COLLECTOR = join(FOLDER, 'bin', 'otelcol')

t.test(
  'the Collector has the values of the page, under the resources of the page',
  { skip: existsSync(COLLECTOR) ? false : 'needs the Collector: .ci/judges' },
  async t => {
    const folder = t.testdir({})
    const [port, shown] = [await freePort(), await freePort()]
    const config = {
      receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}` } } } },
      exporters: {
        prometheus: { endpoint: `127.0.0.1:${shown}`, resource_to_telemetry_conversion: { enabled: true } },
      },
      service: {
        telemetry: { metrics: { level: 'none' }, logs: { level: 'warn' } },
        pipelines: { metrics: { receivers: ['otlp'], exporters: ['prometheus'] } },
      },
    }
    // YAML is a superset of JSON.
    writeFileSync(join(folder, 'collector.yaml'), JSON.stringify(config))
    await using _ = await Child.start(COLLECTOR, ['--config', join(folder, 'collector.yaml')])
    await until('the Collector', async () => (await fetch(`http://127.0.0.1:${shown}/metrics`)).ok || undefined)
    await using ride = await startSidecar({
      flags: [
        '--health.guess',
        'false',
        '--app.name',
        'shop',
        '--push.endpoint',
        `http://127.0.0.1:${port}`,
        '--push.interval',
        '1s',
      ],
    })
    const now = `${Date.now()}000000`
    const times = { startTimeUnixNano: now, timeUnixNano: now }
    const body = encoded(
      from(
        { 'service.name': 'shop', 'service.instance.id': 'one' },
        counter('orders', point(12, {}, times)),
        gauge('temperature', point(21.5, {}, times)),
      ),
    )
    await fetch(`${ride.otlp}/v1/metrics`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf' },
      body: new Uint8Array(body),
    })
    const page = await until('the pushed metrics', async () => {
      const text = await (await fetch(`http://127.0.0.1:${shown}/metrics`)).text()
      // The first delay of the loop is known some milliseconds after the first push.
      const whole = text.includes('orders_total') && text.includes('pillion_build_info')
      return whole && (sum(text, 'pillion_event_loop_delay_seconds_count') ?? 0) > 0 ? text : undefined
    })
    t.equal(sum(page, 'orders_total', { service_instance_id: 'one' }), 12)
    t.equal(sum(page, 'temperature', { service_name: 'shop' }), 21.5)
    t.equal(sum(page, 'pillion_build_info'), 1)
    await until(
      'a push that says so',
      async () => ((await ride.value('pillion_push_samples_total')) ?? 0) > 50 || undefined,
    )
    t.equal(await ride.value('pillion_push_failing'), 0)
    t.equal(await ride.value('pillion_push_dropped_samples_total'), 0)
  },
)
