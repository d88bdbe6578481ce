import t from 'tap'
import { HOPS_HEADER } from '../../telemetry/hops.ts'
import { attribute, ld, number, span } from '../otlp/requests.ts'
import { points, records, spans, start } from './start.ts'
import { until, upstream } from './upstream.ts'

t.test('accepted requests arrive upstream byte for byte, unknown fields too, joined and in order', async t => {
  const sink = await upstream(t)
  const { take, balance, counted } = await start(t, { endpoint: sink.url })
  const strange = ld(
    1,
    ld(2, ld(2, span('strange'), ld(77, 'a field that nobody knows')), ld(99, 'here too')),
    number(500, 7),
  )
  const all = [spans(3), strange, spans(20)]
  for (const each of all) take('traces', each)
  take('metrics', points(5))
  take('logs', records(7))
  await balance(t)
  await until(() => sink.taken() === 36)
  const arrived = sink.arrived.filter(({ signal }) => signal === 'traces')
  t.equal(arrived.length, 1, 'three requests became one')
  t.same(arrived[0]?.bytes, Buffer.concat(all))
  t.same(sink.arrived.map(({ path }) => path).sort(), ['/v1/logs', '/v1/metrics', '/v1/traces'])
  const { headers } = arrived[0]!
  t.equal(headers['content-type'], 'application/x-protobuf')
  t.equal(headers['content-encoding'], 'gzip')
  t.equal(headers['user-agent'], 'Pillion/1.2.3')
  t.match(headers[HOPS_HEADER], /^1;[0-9a-f]{16}$/)
  await until(async () => Object.keys(await counted('pillion_forward_items_total')).length === 3)
  const name = `upstream="127.0.0.1:${sink.port}"`
  t.same(await counted('pillion_forward_items_total'), {
    [`{${name},signal="traces"}`]: 24,
    [`{${name},signal="metrics"}`]: 5,
    [`{${name},signal="logs"}`]: 7,
  })
  t.same(await counted('pillion_forward_requests_total'), {
    [`{${name},signal="traces",code="200"}`]: 1,
    [`{${name},signal="metrics",code="200"}`]: 1,
    [`{${name},signal="logs",code="200"}`]: 1,
  })
  await balance(t)
})

for (const compression of ['gzip', 'zstd', 'none'])
  t.test(`bodies are sent with the compression ${compression}, large and small`, async t => {
    const sink = await upstream(t)
    const { take, balance } = await start(t, { endpoint: sink.url, compression })
    take('traces', spans(2))
    await until(() => sink.taken() === 2)
    take('traces', spans(2000, 200))
    await until(() => sink.taken() === 2002)
    const coding = compression === 'none' ? undefined : compression
    for (const { headers } of sink.arrived) t.equal(headers['content-encoding'], coding)
    await balance(t)
  })

t.test('a request above the cap is divided, and each piece has the resource', async t => {
  const sink = await upstream(t)
  const { take, balance } = await start(t, { endpoint: sink.url, max_request: '20KiB' })
  take('traces', spans(1000, 100))
  await until(
    () => sink.taken() === 1000,
    () => sink.arrived.map(({ items }) => items),
  )
  for (const { bytes } of sink.arrived) {
    t.ok(bytes.length <= 20 * 1024, `${bytes.length}`)
    t.ok(bytes.includes('service.name'))
  }
  await balance(t)
})

t.test('connections are kept for the next request', async t => {
  const sink = await upstream(t)
  const { take } = await start(t, { endpoint: sink.url })
  for (let i = 1; i <= 5; i++) {
    take('logs', records(1))
    await until(() => sink.taken() === i)
  }
  t.equal(new Set(sink.arrived.map(({ connection }) => connection)).size, 1)
})

t.test('two upstreams get everything, and one that is dead does not hold the other', async t => {
  const sink = await upstream(t)
  const dead = await upstream(t)
  await dead.close()
  const { take, counted } = await start(t, {
    endpoint: sink.url,
    upstreams: [{ endpoint: dead.url, name: 'dead', signals: ['traces'] }],
  })
  for (let i = 1; i <= 20; i++) {
    take('traces', spans(10))
    await until(() => sink.taken() === 10 * i)
  }
  take('metrics', points(1))
  // The answer comes after the items.
  await until(async () => sink.taken() === 201 && Object.keys(await counted('pillion_forward_held_items')).length === 1)
  t.same(await counted('pillion_forward_held_items'), { '{upstream="dead",signal="traces"}': 200 })
  t.same(await counted('pillion_forward_open'), { '{upstream="dead",signal="traces"}': 1 })
})

t.test('held requests are sent at the end', async t => {
  const sink = await upstream(t)
  const { take, end, balance } = await start(t, { endpoint: sink.url })
  take('traces', spans(5))
  take('logs', records(6))
  await end()
  t.equal(sink.taken(), 11)
  await balance(t)
})

t.test('attributes of any size pass, and a resource alone is not sent', async t => {
  const sink = await upstream(t)
  const { take, end } = await start(t, { endpoint: sink.url })
  take('traces', ld(1, ld(1, attribute(1, 'service.name', 'shop'))))
  take('traces', spans(1, 3_000_000))
  await end()
  t.same(
    sink.arrived.map(({ items }) => items),
    [1],
  )
})
