import t from 'tap'
import { hashOfFour } from '../../metrics/hash.ts'
import { word } from '../../metrics/word.ts'
import { Check } from '../../otlp/check.ts'
import { Peers } from '../../otlp/peer.ts'
import { acceptable, withoutBadSpans } from '../../otlp/reject.ts'
import { message } from '../../otlp/schema.ts'
import {
  ATTRIBUTE_RECORD,
  ATTRIBUTES,
  KIND_AND_STATUS,
  NAME_END,
  NAME_START,
  OPERATION,
  SAME_TRACE,
  SPAN_ID,
  SPAN_RECORD,
} from '../../otlp/tape.ts'
import { SpanVisitor } from '../../otlp/visit.ts'
import type { SpanConsumer, SpanView } from '../../telemetry/consumer.ts'
import { Keys } from '../../telemetry/keys.ts'
import { Recorder } from './recorder.ts'
import { attribute, double, fixed64, hex, ld, number, request, SID, START, span, TID, traces } from './requests.ts'

function visit(body: Buffer, recorder = new Recorder(['http.route', 'http.response.status_code'])) {
  const check = new Check()
  if (!check.run(body, message('TracesRequest'))) throw new Error(check.why)
  const visitor = new SpanVisitor(recorder.keys, [recorder])
  visitor.visit({ signal: 'traces', bytes: body, items: check.items, received: 0 })
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

t.test('if an attribute occurs twice, the first wins, and similar keys are not confused', async t => {
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
  const keys = new Keys()
  const one = new Recorder(['a', 'b'], ['x'], keys)
  const two = new Recorder(['c', 'b'], ['y', 'x'], keys)
  const body = traces(
    [attribute(1, 'x', '1'), attribute(1, 'y', '2')],
    span('s', ...['a', 'b', 'c'].map(key => attribute(9, key, key.toUpperCase()))),
  )
  new SpanVisitor(keys, [one, two]).visit({ signal: 'traces', bytes: body, items: 1, received: 0 })
  t.match(one.spans[0], { attributes: { a: 'A', b: 'B' }, resource: { x: '1' } })
  t.match(two.spans[0], { attributes: { c: 'C', b: 'B' }, resource: { x: '1', y: '2' } })
  t.throws(() => keys.span('late'), { message: /ask before it starts/ })
})

t.test('a consumer that is apart is shown the same spans in the same order, and each is counted once', async t => {
  const keys = new Keys()
  const recorder = new Recorder(['n'], ['service.name'], keys)
  const one: string[] = []
  const other: string[] = []
  const write = (to: string[]) => (view: SpanView) => {
    const { bytes, nameStart, nameEnd, resourceSerial } = view
    to.push(`${bytes.toString('utf8', nameStart, nameEnd)} ${resourceSerial} ${view.nanoseconds}`)
  }
  const consumers: SpanConsumer[] = [
    { name: 'apart', apart: true, span: write(one) },
    recorder,
    { name: 'too', apart: true, span: write(other) },
  ]
  const visitor = new SpanVisitor(keys, consumers)
  const some = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => span(`s${from + i}`, attribute(9, 'n', `${from + i}`)))
  const early = Buffer.concat([TID, SID, ld(5, 'early'), fixed64(7, START), fixed64(8, START - 1n)])
  const body = Buffer.concat([
    traces([attribute(1, 'service.name', 'a')], ...some(0, 700), early),
    traces([attribute(1, 'service.name', 'b')], ...some(701, 3)),
  ])
  visitor.visit({ signal: 'traces', bytes: body, items: 704, received: 0 })
  t.equal(recorder.spans.length, 704)
  t.same(
    recorder.spans.map(({ attributes }) => attributes['n'] ?? 'early'),
    recorder.spans.map(({ name }) => name.replace('s', '')),
  )
  const expected = recorder.spans.map(({ name, serial, seconds }) => `${name} ${serial} ${Math.round(seconds * 1e9)}`)
  t.same(one, expected)
  t.same(other, expected)
  t.equal(visitor.reversed, 1)
})

t.test('a consumer that takes spans in runs is given notes on the same spans, and each is counted once', async t => {
  const keys = new Keys()
  const recorder = new Recorder(['n'], ['service.name'], keys)
  const noted: string[] = []
  const runs: number[] = []
  const run = (view: SpanView, notes: Int32Array, from: number, to: number): void => {
    let spans = 0
    for (let at = from; at < to; at += SPAN_RECORD + ATTRIBUTE_RECORD * notes[at + ATTRIBUTES]!, spans++) {
      const text = (start: number, end: number) => view.bytes.toString('utf8', start, end)
      const id = view.bytes.toString('hex', notes[at + SPAN_ID]!, notes[at + SPAN_ID]! + 8)
      const name = text(notes[at + NAME_START]!, notes[at + NAME_END]!)
      noted.push(`${name} ${id} ${view.resourceSerial} ${text(view.scopeNameStart, view.scopeNameEnd)}`)
    }
    runs.push(spans)
  }
  const body = Buffer.concat(
    ['a', 'b'].map(service =>
      traces(
        [attribute(1, 'service.name', service)],
        ...Array.from({ length: 300 }, (_, i) => span(`s${i}`, attribute(9, 'n', `${i}`))),
        Buffer.concat([TID, SID, ld(5, 'early'), fixed64(7, START), fixed64(8, START - 1n)]),
      ),
    ),
  )
  for (const consumers of [
    [{ name: 'runs', apart: true, run }, recorder],
    [recorder, { name: 'runs', apart: true, run }],
  ]) {
    recorder.spans = []
    noted.length = runs.length = 0
    const visitor = new SpanVisitor(keys, consumers)
    visitor.visit({ signal: 'traces', bytes: body, items: 602, received: 0 })
    t.same(
      noted,
      recorder.spans.map(({ name, spanId, serial, scope }) => `${name} ${spanId} ${serial} ${scope.split('@')[0]}`),
    )
    t.equal(noted.length, 602)
    t.ok(
      runs.every(spans => spans > 0 && spans < 200),
      'not many at a time',
    )
    t.equal(visitor.reversed, 2)
  }
  // Alone, or if it fails, all spans are gone through once.
  const failing: SpanConsumer = {
    name: 'failing',
    apart: true,
    run() {
      throw new Error('a fault')
    },
  }
  for (const consumers of [[{ name: 'runs', apart: true, run }], [failing], [failing, recorder]]) {
    recorder.spans = []
    const visitor = new SpanVisitor(keys, consumers)
    visitor.visit({ signal: 'traces', bytes: body, items: 602, received: 0 })
    t.equal(visitor.reversed, 2)
    t.equal(visitor.failed.length, consumers[0] === failing ? 1 : 0)
    t.equal(recorder.spans.length, consumers.length === 2 ? 602 : 0)
  }
})

t.test('a consumer that is apart and fails is left out of the rest, and costs the others nothing', async t => {
  const recorder = new Recorder()
  let shown = 0
  const failing: SpanConsumer = {
    name: 'failing',
    apart: true,
    span() {
      shown++
      throw new Error('a fault')
    },
  }
  const visitor = new SpanVisitor(recorder.keys, [failing, recorder])
  const bytes = traces([], ...Array.from({ length: 300 }, () => span('a')))
  visitor.visit({ signal: 'traces', bytes, items: 300, received: 0 })
  t.match(visitor.failed, [{ consumer: failing }])
  t.equal(shown, 1)
  t.equal(recorder.spans.length, 300)
})

/** Notes the name of each span, and how many there are in a run. */
class Names implements SpanConsumer {
  readonly name = 'names'
  readonly apart = true
  readonly all: string[] = []
  readonly runs: number[] = []

  run({ bytes }: SpanView, records: Int32Array, from: number, to: number): void {
    const before = this.all.length
    for (let at = from; at < to; at += SPAN_RECORD + ATTRIBUTE_RECORD * records[at + ATTRIBUTES]!)
      this.all.push(bytes.toString('utf8', records[at + NAME_START]!, records[at + NAME_END]!))
    this.runs.push(this.all.length - before)
  }
}

t.test('a consumer that reads records is shown those of all spans in wire order, alone and beside others', async t => {
  const early = Buffer.concat([TID, SID, ld(5, 'early'), fixed64(7, START), fixed64(8, START - 1n)])
  const some = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) =>
      span(`s${from + i}`, ...Array.from({ length: i % 3 }, (_, n) => attribute(9, 'abc'[n]!, 'x'))),
    )
  const bytes = Buffer.concat([
    traces([attribute(1, 'service.name', 'a')], ...some(0, 300), early),
    traces([attribute(1, 'service.name', 'b')], ...some(301, 3)),
  ])
  const expected = Array.from({ length: 304 }, (_, i) => (i === 300 ? 'early' : `s${i}`))
  for (const beside of [false, true]) {
    const keys = new Keys()
    const recorder = new Recorder(['a', 'b', 'c'], ['service.name'], keys)
    const names = new Names()
    const visitor = new SpanVisitor(keys, beside ? [names, recorder] : [names])
    visitor.visit({ signal: 'traces', bytes, items: 304, received: 0 })
    t.same(names.all, expected)
    t.same(names.runs, [128, 128, 45, 3])
    t.equal(visitor.reversed, 1, 'an odd span is counted once')
    if (beside)
      t.same(
        recorder.spans.map(({ name }) => name),
        expected,
      )
  }
})

t.test('the number that a consumer leaves for a span is shown to those that are shown it later', async t => {
  const keys = new Keys()
  const seen: string[] = []
  const text = (view: SpanView) => view.bytes.toString('utf8', view.nameStart, view.nameEnd)
  const leaves: SpanConsumer = {
    name: 'leaves',
    span: view => {
      seen.push(`first ${view.operation}`)
      if (text(view) !== 'b') view.operation = text(view).charCodeAt(0)
    },
  }
  const beside: SpanConsumer = { name: 'beside', span: view => void seen.push(`beside ${view.operation}`) }
  const apart: SpanConsumer = { name: 'apart', apart: true, span: view => void seen.push(`apart ${view.operation}`) }
  const reads: SpanConsumer = {
    name: 'reads',
    apart: true,
    run(_, records, from, to) {
      for (let at = from; at < to; at += SPAN_RECORD + ATTRIBUTE_RECORD * records[at + ATTRIBUTES]!)
        seen.push(`reads ${records[at + OPERATION]}`)
    },
  }
  const bytes = traces([], span('a'), span('b'), span('c'))
  const visitor = new SpanVisitor(keys, [apart, leaves, reads, beside])
  const expected = ['first 0', 'beside 97', 'first 0', 'beside 0', 'first 0', 'beside 99']
  for (let round = 0; round < 2; round++) {
    seen.length = 0
    visitor.visit({ signal: 'traces', bytes, items: 3, received: 0 })
    t.same(seen, [...expected, 'apart 97', 'apart 0', 'apart 99', 'reads 97', 'reads 0', 'reads 99'])
  }
})

t.test('the record of a span says whether it is of the same trace as the one before', async t => {
  const one = Buffer.concat([ld(1, hex('01'.repeat(16))), SID])
  const two = Buffer.concat([ld(1, hex(`${'01'.repeat(15)}02`)), SID])
  const three = Buffer.concat([ld(1, hex(`02${'01'.repeat(15)}`)), SID])
  const same: boolean[] = []
  const reads: SpanConsumer = {
    name: 'reads',
    apart: true,
    run(_, records, from, to) {
      for (let at = from; at < to; at += SPAN_RECORD + ATTRIBUTE_RECORD * records[at + ATTRIBUTES]!)
        same.push((records[at + KIND_AND_STATUS]! & SAME_TRACE) !== 0)
    },
  }
  const bytes = traces([], one, one, two, two, two, one, three, one)
  new SpanVisitor(new Keys(), [reads]).visit({ signal: 'traces', bytes, items: 8, received: 0 })
  t.same(same, [false, true, false, true, true, false, false, false])
})

t.test('a consumer that reads records and fails is left out of the rest, and costs the others nothing', async t => {
  const recorder = new Recorder()
  let runs = 0
  const failing: SpanConsumer = {
    name: 'failing',
    apart: true,
    run() {
      runs++
      throw new Error('a fault')
    },
  }
  const visitor = new SpanVisitor(recorder.keys, [failing, recorder])
  const bytes = traces([], ...Array.from({ length: 300 }, () => span('a')))
  visitor.visit({ signal: 'traces', bytes, items: 300, received: 0 })
  t.match(visitor.failed, [{ consumer: failing }])
  t.equal(runs, 1)
  t.equal(recorder.spans.length, 300)
})

t.test('the peer in the record of a span is that in its view, whoever asked for its attributes before', async t => {
  const names = ['peer.service', 'net.peer.name', 'db.name', 'db.system', 'messaging.system', 'server.address']
  const spans = Array.from({ length: 1 << names.length }, (_, set) => {
    const there = names.filter((_, i) => set & (1 << i)).map((name, i) => attribute(9, name, (set + i) % 5 ? name : ''))
    return span(`s${set}`, ...(set % 2 ? there : there.toReversed()), attribute(9, 'other', 'x'))
  })
  for (const before of [[], ['server.address', 'other', 'db.system']]) {
    const keys = new Keys()
    for (const each of before) keys.span(each)
    const peers = new Peers(keys)
    const views: number[] = []
    const records: number[] = []
    const viewing: SpanConsumer = {
      name: 'views',
      span(view) {
        for (const at of [peers.server(view), peers.broker(view)])
          views.push(at < 0 ? -1 : view.spanAttributes.start[at]!)
      },
    }
    const reading: SpanConsumer = {
      name: 'records',
      apart: true,
      run(_, all, from, to) {
        for (let at = from; at < to; at += SPAN_RECORD + ATTRIBUTE_RECORD * all[at + ATTRIBUTES]!)
          for (const each of [peers.serverIn(all, at), peers.brokerIn(all, at)])
            records.push(each < 0 ? -1 : all[each + 1]!)
      },
    }
    const bytes = traces([], ...spans)
    new SpanVisitor(keys, [viewing, reading]).visit({ signal: 'traces', bytes, items: spans.length, received: 0 })
    t.equal(views.length, 2 * spans.length)
    t.equal(views.filter(each => each >= 0).length > spans.length, true)
    t.same(records, views)
  }
})

t.test('spans that follow each other have one serial and one hash if they are of one trace', async t => {
  const seen: [serial: number, hash: number, expected: number][] = []
  const note = ({ bytes, traceId, traceSerial, traceHash }: SpanView) => {
    const words = [0, 4, 8, 12].map(at => word(bytes, traceId + at))
    seen.push([traceSerial, traceHash, hashOfFour(words[0]!, words[1]!, words[2]!, words[3]!)])
  }
  const of = (first: number, last: number) =>
    Buffer.concat([ld(1, Buffer.from([first, ...Array(14).fill(7), last])), SID, ld(5, 'a')])
  const bytes = traces([], of(1, 1), of(1, 1), of(2, 1), of(2, 2), of(1, 1))
  const visitor = new SpanVisitor(new Keys(), [{ name: 'note', span: note }])
  for (let i = 0; i < 2; i++) visitor.visit({ signal: 'traces', bytes, items: 5, received: 0 })
  const serials = seen.map(([serial]) => serial)
  t.equal(serials[0], serials[1])
  t.equal(new Set(serials).size, 8, 'a serial is not used again for what comes later')
  for (const [, hash, expected] of seen) t.equal(hash, expected)
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
