// One service in all three signals: whatever its resource says, the label is the same, so that they can be joined.

import t from 'tap'
import { Scrape } from '../../exporter/prometheus.ts'
import { Metrics } from '../../metrics/registry.ts'
import { logs } from '../../processors/logs.ts'
import { metrics as pointCollector } from '../../processors/points.ts'
import { spans } from '../../processors/spans.ts'
import { Keys } from '../../telemetry/keys.ts'
import { Memory } from '../../telemetry/memory.ts'
import { INHERITED } from '../logs/send.ts'
import { OPTIONS } from '../points/otlp.ts'
import { DEFAULTS } from '../spans/room.ts'
import { FakeClock } from '../world.ts'
import { receiver } from './receiver.ts'
import { attribute, hex, ld, number, span } from './requests.ts'

const NAMELESS = attribute(1, 'host.name', 'box')

/** A resource attribute whose value is the given AnyValue. */
function valued(key: string, ...any: readonly Buffer[]): Buffer {
  return ld(1, ld(1, key), ld(2, ...any))
}

t.test('the three signals of a resource have the same service', async t => {
  const metrics = new Metrics()
  const clock = new FakeClock()
  const keys = new Keys()
  const host = { metrics, memory: new Memory(2 ** 30), clock, keys, log: { info() {}, warn() {}, error() {} } }
  const consumers = {
    keys,
    spans: [spans.start({ ...DEFAULTS, target_info: { limit: 100, expiry: 900_000 } }, host)],
    metrics: [pointCollector.start(OPTIONS, host)],
    logs: [logs.start({ enabled: true, keep: 0, limit: 500, ...INHERITED }, host)],
  }
  const { fetch } = await receiver(t, consumers)
  const scrape = new Scrape(metrics, [])
  const page = async () => {
    const { chunks } = await scrape.scrape(undefined, AbortSignal.timeout(5000))
    return Buffer.concat(chunks).toString().split('\n')
  }
  let sent = 0
  const f = async (expected: string, ...resource: readonly Buffer[]): Promise<void> => {
    const id = `n${++sent}`
    const all = ld(1, ...resource, attribute(1, 'service.instance.id', id))
    await fetch('/v1/traces', { body: ld(1, all, ld(2, ld(2, span(id)))) })
    const sum = ld(7, ld(1, hex('21 0000000000000000')), hex('10 02 18 01'))
    await fetch('/v1/metrics', { body: ld(1, all, ld(2, ld(2, ld(1, `requests_${id}`), sum))) })
    const before = await page()
    await fetch('/v1/logs', { body: ld(1, all, ld(2, ld(2, number(2, 9)))) })
    const after = await page()
    const label = (line: string | undefined, name: string) =>
      new RegExp(`\\b${name}="((?:[^"\\\\]|\\\\.)*)"`).exec(line ?? '')?.[1]?.replaceAll('\\"', '"')
    const named = (name: string) => after.find(line => line.startsWith(name) && line.includes(`"${id}"`))
    t.equal(label(named('traces_spanmetrics_calls_total{'), 'service'), expected, 'spans')
    const changed = after.find(line => line.startsWith('app_log_records_total{') && !before.includes(line))
    t.equal(label(changed, 'service'), expected, 'logs')
    // Without a name a series has no job: Prometheus gives it that of its scrape.
    const job = expected === 'unknown_service' ? undefined : expected
    t.equal(label(named(`requests_${id}_total{`), 'job'), job, 'metrics')
    t.equal(label(named('traces_target_info{'), 'job'), job, 'traces_target_info')
  }
  await f('shop', attribute(1, 'service.name', 'shop'))
  await f('first', attribute(1, 'service.name', 'first'), attribute(1, 'service.name', 'second'))
  await f('42', valued('service.name', number(3, 42)))
  await f('true', valued('service.name', number(2, 1)))
  await f('2.5', valued('service.name', hex('21 0000000000000440')))
  await f('["a",1]', valued('service.name', ld(5, ld(1, ld(1, 'a')), ld(1, number(3, 1)))))
  await f('after nothing', valued('service.name'), attribute(1, 'service.name', 'after nothing'))
  await f('unknown_service', attribute(1, 'service.name', ''))
  await f('unknown_service', NAMELESS)
})
