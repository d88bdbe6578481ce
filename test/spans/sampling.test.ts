// The facts that a tracestate carries: probes, and how many spans a sampled one stands for.

import t from 'tap'
import { adjustedCount, ofProbe } from '../../otlp/trace-state.ts'
import { PROBE_TRACESTATE } from '../../telemetry/probe.ts'
import fc from '../property.ts'
import { Room } from './room.ts'
import { resource, type Sent, show } from './views.ts'

const SHOP: Sent = { service: 'shop', name: 'GET /', kind: 2 }
const CALLS = 'traces_spanmetrics_calls_total'

t.test('the threshold in the tracestate tells how many spans one stands for', async t => {
  const count = (text: string) => adjustedCount(Buffer.from(`--${text}--`), 2, 2 + text.length)
  const f = (text: string, expected: number) => t.equal(count(text), expected, text)
  f('ot=th:0', 1)
  f('ot=th:8', 2)
  f('ot=th:c', 4)
  f('ot=th:fd70a3d70a3d71', 2 ** 56 / Number(2n ** 56n - 0xfd70a3d70a3d71n))
  f('ot=th:ffffffffffffff', 2 ** 56)
  f('ot=rv:6e6d1a75832a2f;th:8', 2)
  f('vendor=th:c, ot=rv:1;th:8 ,x=y', 2)
  f('congo=t61rcWkgMzE', 1)
  f('', 1)
  f('ot=', 1)
  f('ot=th:', 1)
  f('ot=th:8G', 1)
  f('ot=th:123456789abcdef', 1)
  f('ot=th:-1', 1)
  f('OT=th:8', 1)
})

t.test('every threshold is read as arithmetic with big integers reads it', async t => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 56n - 1n }), threshold => {
      const digits = threshold.toString(16).padStart(14, '0').replace(/0+$/, '') || '0'
      const bytes = Buffer.from(`ot=th:${digits}`)
      t.equal(adjustedCount(bytes, 0, bytes.length), 2 ** 56 / Number(2n ** 56n - threshold))
    }),
  )
})

t.test('any bytes are a tracestate to which neither reader falls', async t => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), bytes => {
      ofProbe(bytes, 0, bytes.length)
      t.ok(adjustedCount(bytes, 0, bytes.length) >= 1)
    }),
  )
})

t.test('a probe’s member is found wherever it stands, and only as a whole', async t => {
  const f = (text: string, expected: boolean) => t.equal(ofProbe(Buffer.from(text), 0, text.length), expected, text)
  f(PROBE_TRACESTATE, true)
  f(`ot=th:8,${PROBE_TRACESTATE}`, true)
  f(`ot=th:8 ,\t ${PROBE_TRACESTATE} , x=y`, true)
  f(`${PROBE_TRACESTATE}s`, false)
  f(PROBE_TRACESTATE.slice(0, -1), false)
  f(`x${PROBE_TRACESTATE}`, false)
  f(`x=${PROBE_TRACESTATE}`, false)
  f('pillion=probe', false)
  f('pillion=', false)
  f(',,,', false)
})

t.test('spans of a trace that a probe began are left out of everything', async t => {
  const room = new Room()
  const traceState = `ot=th:0,${PROBE_TRACESTATE}`
  room.send(
    { ...SHOP, traceState },
    { ...SHOP, name: 'query', kind: 3, traceState, attributes: { 'db.system': 'redis' } },
    { ...SHOP, name: 'parse', kind: 1, traceState },
  )
  t.same(await room.lines('traces_spanmetrics'), [])
  t.same(await room.lines('traces_service_graph'), [])
  t.same(await room.samples('pillion_spans_excluded_total'), [
    '{reason="kind"} 0',
    '{reason="own"} 0',
    '{reason="probe"} 3',
  ])

  const including = new Room({ probes: 'include' })
  including.send({ ...SHOP, traceState })
  t.equal(await including.total(CALLS), 1)
})

t.test('with spans.sampling: weighted a span counts as often as it stands for, everywhere', async t => {
  const room = new Room({ sampling: 'weighted' })
  const sent = { ...SHOP, seconds: 0.5, status: 2, events: 2, links: 1, traceState: 'ot=th:c' }
  room.send(sent, { ...sent, traceState: 'x=y' })
  t.equal(await room.total(CALLS), 5)
  t.equal(await room.total('traces_spanmetrics_latency_count'), 5)
  t.equal(await room.total('traces_spanmetrics_latency_sum'), 2.5)
  t.equal(await room.total('traces_spanmetrics_events_total'), 10)
  t.equal(await room.total('traces_spanmetrics_links_total'), 5)
  t.equal(await room.total('traces_service_graph_request_total'), 5)
  t.equal(await room.total('traces_service_graph_request_failed_total'), 5)
  t.equal(await room.total('traces_service_graph_request_server_seconds_count'), 5)

  const plain = new Room()
  plain.send(sent)
  t.equal(await plain.total(CALLS), 1)
})

t.test('both halves of a request weigh as one', async t => {
  const room = new Room({ sampling: 'weighted' })
  const traceState = 'ot=th:c'
  room.send({ ...SHOP, kind: 3, span: 2, traceState }, { ...SHOP, service: 'cart', span: 3, parent: 2, traceState })
  t.equal(await room.total('traces_service_graph_request_total'), 4)
  t.equal(await room.total('traces_service_graph_request_client_seconds_count'), 4)
})

t.test('counts stay whole numbers within 1 of the sum of the weights, in each series', async t => {
  const weights = [1.25, 1.6, 3.75, 10.1, 100]
  const thresholds = weights.map(weight =>
    (2n ** 56n - BigInt(Math.round(2 ** 56 / weight))).toString(16).padStart(14, '0'),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(weights.length - 1), fc.nat(2)), { maxLength: 60 }), async stream => {
      const room = new Room({ sampling: 'weighted' })
      const expected = new Map<string, number>()
      for (const [which, name] of stream) {
        room.send({ ...SHOP, status: 2, name: `n${name}`, traceState: `ot=th:${thresholds[which]}` })
        expected.set(`n${name}`, (expected.get(`n${name}`) ?? 0) + weights[which]!)
      }
      for (const line of await room.samples(CALLS)) {
        const [, name = '', count = ''] = /span_name="(n\d)".* (\S+)$/.exec(line) ?? []
        t.match(count, /^\d+$/)
        t.ok(Math.abs(Number(count) - expected.get(name)!) <= 1, `${count} of ${expected.get(name)}`)
      }
      const total = await room.total(CALLS)
      t.equal(await room.total('traces_spanmetrics_latency_count'), total)
    }),
    { numRuns: 30 },
  )
})

t.test('a span that claims to stand for more than the limit counts once, and is counted', async t => {
  const room = new Room({ sampling: 'weighted', weight_limit: 4 })
  const claims = ['ot=th:c', 'ot=th:d', 'ot=th:ffffffffffffff']
  room.send(...claims.map(traceState => ({ ...SHOP, status: 2, traceState })))
  t.equal(await room.total(CALLS), 4 + 1 + 1)
  t.equal(await room.total('traces_service_graph_request_total'), 4 + 1 + 1)
  t.same(await room.samples('pillion_spans_unweighted_total'), ['{reason="resource"} 0', '{reason="span"} 2'])
})

t.test('the spans of one resource stand for a million in a request at most, and leave others theirs', async t => {
  const room = new Room({ sampling: 'weighted' })
  const many = Array.from({ length: 2000 }, (): Sent => ({ ...SHOP, status: 2, traceState: 'ot=th:ff8' }))
  // Two resources in one request; one of them may have been asked by somebody who writes thresholds.
  const bytes = Buffer.concat([resource('shop', many), resource('cart', [{ ...many[0]!, name: 'cart' }])])
  show(room, bytes, 2001)
  const samples = (await room.samples(CALLS)).map(line => line.replace(/,span_name.*}/, '}'))
  // 1953 of 512 each are 999,936; the other 47 count once.
  t.same(samples, ['{service="cart"} 512', '{service="shop"} 999983'])
  t.same(await room.samples('pillion_spans_unweighted_total'), ['{reason="resource"} 47', '{reason="span"} 0'])
  room.send({ ...SHOP, status: 2, name: 'next', traceState: 'ot=th:8' })
  t.equal(await room.total(CALLS), 512 + 999_983 + 2, 'the next request has a budget of its own')
})
