import t from 'tap'
import { Check } from '../../collectors/otlp/check.ts'
import { acceptable, withoutBadSpans } from '../../collectors/otlp/reject.ts'
import { message } from '../../collectors/otlp/schema.ts'
import { SpanVisitor } from '../../collectors/otlp/visit.ts'
import { Recorder } from './recorder.ts'
import { attribute, double, fixed64, hex, ld, number, request, SID, START, span, TID, traces } from './requests.ts'

function visit(body: Buffer, recorder = new Recorder(['http.route', 'http.response.status_code'])) {
  const check = new Check()
  if (!check.run(body, message('TracesRequest'))) throw new Error(check.why)
  const visitor = new SpanVisitor([recorder])
  visitor.visit({ signal: 'traces', encoding: 'protobuf', bytes: body, items: check.items }, body)
  return { spans: recorder.spans, visitor }
}

function first(...fields: readonly Buffer[]) {
  return visit(request(...fields)).spans[0]!
}

t.test('a span is shown with its ids, name, kind, status, times and wanted attributes', async t => {
  const resource = [attribute(1, 'host.name', 'box'), attribute(1, 'service.name', 'shop')]
  const fields = [
    ld(4, hex('0102030405060708')),
    attribute(9, 'http.route', '/cart'),
    ld(15, ld(2, 'bad'), number(3, 2)),
  ]
  const { spans } = visit(traces(resource, span('GET /cart', ...fields)))
  t.match(spans, [
    {
      traceId: 'ab'.repeat(16),
      spanId: 'cd'.repeat(8),
      parent: '0102030405060708',
      name: 'GET /cart',
      kind: 2,
      status: 2,
      seconds: 0.25,
      attributes: { 'http.route': '/cart' },
      resource: { 'service.name': 'shop' },
    },
  ])
})

t.test('the resource may come after the spans, and in pieces', async t => {
  const one = ld(1, attribute(1, 'service.name', 'shop'))
  const two = ld(1, attribute(1, 'host.name', 'box'))
  const late = ld(1, ld(2, ld(2, span('a'))), one, two)
  const recorder = new Recorder([], ['service.name', 'host.name'])
  t.same(visit(late, recorder).spans[0]?.resource, { 'service.name': 'shop', 'host.name': 'box' })
})

t.test('a span without a resource does not get the one before', async t => {
  const { spans } = visit(
    Buffer.concat([traces([attribute(1, 'service.name', 'shop')], span('a')), request(span('b'))]),
  )
  t.same(
    spans.map(each => each.resource),
    [{ 'service.name': 'shop' }, {}],
  )
})

t.test('the resource’s serial stays while the resource stays, wherever it stands', async t => {
  const shop = [attribute(1, 'service.name', 'shop'), attribute(1, 'empty', '')]
  const cart = [attribute(1, 'service.name', 'cart')]
  const body = Buffer.concat([
    traces(shop, span('a'), span('b')),
    traces(shop, span('c')),
    traces(cart, span('d')),
    traces(shop, span('e')),
  ])
  const { spans } = visit(body, new Recorder([], ['service.name', 'empty']))
  t.same(
    spans.map(each => each.serial),
    [1, 1, 1, 2, 3],
  )
  t.same(spans[2]?.resource, { 'service.name': 'shop', empty: '' })
  t.same(spans[4]?.resource, { 'service.name': 'shop', empty: '' })
})

t.test('an attribute is found whatever the order and number of its fields', async t => {
  const key = ld(1, 'http.route')
  const value = (...fields: readonly Buffer[]) => ld(2, ...fields)
  const found = (...fields: readonly Buffer[]) => first(span('a', ld(9, ...fields))).attributes['http.route']
  t.equal(found(key, value(ld(1, '/a'))), '/a')
  t.equal(found(value(ld(1, '/a')), key), '/a', 'value before key')
  t.equal(found(ld(1, 'other'), key, value(ld(1, '/a'))), '/a', 'the last key holds')
  t.equal(found(key, ld(1, 'other'), value(ld(1, '/a'))), undefined)
  t.equal(found(key, value(ld(1, '/a')), value(ld(1, '/b'))), '/b', 'the last value holds')
  t.equal(found(key, value(ld(1, '/a')), value()), '/a', 'a piece that sets nothing changes nothing')
  t.equal(found(key, value(number(2, 1), ld(1, '/a'))), '/a', 'the last kind holds')
  t.equal(found(key, value(ld(1, '/a'), number(2, 1))), 'bool 0a022f611001')
  t.equal(found(key, value(ld(1, ''))), '', 'an empty text is a value')
  t.equal(found(key, value()), undefined, 'an empty value is none')
  t.equal(found(key), undefined)
  t.equal(found(key, number(3, 7), value(ld(1, '/a'))), '/a', 'unknown fields are passed over')
  t.equal(found(key, hex('7b08017c'), value(ld(1, '/a'))), '/a', 'and unknown groups')
  t.equal(found(key, value(number(3, 200))), 'int 18c801')
  t.equal(found(key, value(double(4, 1.5))), 'double 21000000000000f83f')
  t.equal(found(key, value(ld(5, ld(1, ld(1, 'x'))))), 'other 2a050a030a0178')
  t.equal(found(key, value(ld(7, hex('00ff')))), 'other 3a0200ff')
  t.equal(found(key, value(ld(1, 'x'.repeat(300)))), 'x'.repeat(300))
})

t.test('of an attribute that occurs twice the first one holds, and similar keys are not confused', async t => {
  const near = [attribute(9, 'http.routx', 'x'), attribute(9, 'xttp.route', 'x'), attribute(9, 'http.rout', 'x')]
  const twice = [attribute(9, 'http.route', '/a'), attribute(9, 'http.route', '/b')]
  t.same(first(span('a', ...near, ...twice)).attributes, { 'http.route': '/a' })
})

t.test('attributes of one span do not leak into the next', async t => {
  const { spans } = visit(traces([], span('a', attribute(9, 'http.route', '/a')), span('b')))
  t.same(spans[1]?.attributes, {})
})

t.test('fields may come in any order, twice, and in the wrong wire type', async t => {
  const times = [fixed64(7, START), fixed64(8, START + 1n)]
  t.match(first(...times, number(6, 3), ld(5, 'late'), SID, TID), { name: 'late', kind: 3, seconds: 1e-9 })
  t.match(first(TID, SID, ld(5, 'one'), ld(5, 'two'), number(6, 1), number(6, 4)), { name: 'two', kind: 4 })
  t.equal(first(TID, SID, ld(5, 'one'), ld(5)).name, '')
  t.match(first(TID, SID, ld(5, 'one'), number(5, 7), ld(6, 'x')), { name: 'one', kind: 0 })
  t.match(first(TID, SID, ld(15, number(3, 2)), ld(15, ld(2, 'why'))), { status: 2 }, 'a status in pieces is merged')
  const overlong = [hex('aa0000'), hex('ad0000000000'), hex('8a8000808000')]
  t.match(first(SID, ...overlong, TID, ld(5, 'x')), { name: 'x', traceId: 'ab'.repeat(16) })
})

t.test('kinds and status codes that do not exist are 0', async t => {
  t.equal(first(TID, SID, hex('30ffffffffffffffffff01')).kind, 0)
  t.equal(first(TID, SID, number(6, 999)).kind, 0)
  t.equal(first(TID, SID, number(6, 2 ** 32 + 2)).kind, 2, 'an int32 is the low half of a longer number')
  t.equal(first(TID, SID, ld(15, number(3, 7))).status, 0)
})

t.test('durations are exact to the nanosecond, and never negative or since 1970', async t => {
  const seconds = (start: bigint, end: bigint) => {
    const { spans, visitor } = visit(request(TID, SID, fixed64(7, start), fixed64(8, end)))
    return `${spans[0]?.seconds} reversed ${visitor.reversed} untimed ${visitor.untimed}`
  }
  t.equal(seconds(START, START + 1n), '1e-9 reversed 0 untimed 0')
  t.equal(seconds(START, START + 86_400_000_000_001n), '86400.000000001 reversed 0 untimed 0')
  t.equal(seconds(START + 0xffff_ffffn, START + 0x1_0000_0000n), '1e-9 reversed 0 untimed 0')
  t.equal(seconds(START, START), '0 reversed 0 untimed 0')
  t.equal(seconds(START, START - 1n), '0 reversed 1 untimed 0')
  t.equal(seconds(2n ** 64n - 1n, START), '0 reversed 1 untimed 0')
  t.equal(seconds(0n, START), '0 reversed 0 untimed 1')
  t.equal(seconds(START, 0n), '0 reversed 0 untimed 1')
})

t.test('the end is given in seconds since the epoch, as exact as a double can be', async t => {
  t.ok(Math.abs(first(span('a')).endSeconds - 1_700_000_000.25) < 1e-6)
})

t.test('a parent of zeros is none', async t => {
  t.equal(first(TID, SID, ld(4, Buffer.alloc(8))).parent, undefined)
  t.equal(first(TID, SID, ld(4)).parent, undefined)
  t.equal(first(TID, SID).parent, undefined)
})

t.test('each consumer finds its own keys in the united view', async t => {
  const one = new Recorder(['a', 'b'], ['x'])
  const two = new Recorder(['c', 'b'], ['y', 'x'])
  const body = traces(
    [attribute(1, 'x', '1'), attribute(1, 'y', '2')],
    span('s', ...['a', 'b', 'c'].map(key => attribute(9, key, key.toUpperCase()))),
  )
  new SpanVisitor([one, two]).visit({ signal: 'traces', encoding: 'protobuf', bytes: body, items: 1 }, body)
  t.match(one.spans[0], { attributes: { a: 'A', b: 'B' }, resource: { x: '1' } })
  t.match(two.spans[0], { attributes: { c: 'C', b: 'B' }, resource: { x: '1', y: '2' } })
  t.equal(two.ended, 1)
})

t.test('a request without its bad spans keeps all the rest, byte for byte', async t => {
  const good = [span('a'), span('b', attribute(9, 'k', 'x'.repeat(500)))]
  const bad = [ld(5, 'nameless'), Buffer.concat([TID, ld(2, Buffer.alloc(8))])]
  const resource = [attribute(1, 'service.name', 'shop')]
  const group = hex('7b08017c')
  const whole = Buffer.concat([traces(resource, good[0]!, bad[0]!, good[1]!, bad[1]!), group])
  t.same(withoutBadSpans(whole), Buffer.concat([traces(resource, ...good), group]))
  t.ok(acceptable(good[0]!, 0, good[0]!.length))
  t.notOk(acceptable(bad[0]!, 0, bad[0]!.length))
})
