// The store: the newest spans in memory of a fixed size, by the bytes.

import t from 'tap'
import { view } from '../../store/view.ts'
import { AttributeValue, Key } from '../../traceql/value.ts'
import { decoder } from '../otlp/protobufjs.ts'
import type { Message } from '../points/otlp.ts'
import { EPOCH, encode, from, hex, Room, spanOf, UNHURRIED } from './room.ts'

const MIB = 2 ** 20
const Request = decoder('traces')

t.test(
  'a trace is found by its id, whole, with the spans of all requests and services in the order of their starts',
  t => {
    const room = new Room(4 * MIB)
    room.send(from('shop', { trace: 'a1', span: '2', parent: '1', name: 'query', start: 1001 }))
    room.send(from('pay', { trace: 'b2', span: '1', name: 'other' }))
    room.send(
      from('shop', { trace: 'a1', span: '1', name: 'GET /', start: 1000 }),
      from('pay', { trace: 'a1', span: '3', parent: '1', name: 'charge', start: 1002 }),
    )
    t.same(room.names('a1'), ['GET /', 'query', 'charge'])
    t.same(room.names('b2'), ['other'])
    t.same(room.names('c3'), [])
    t.same(room.names('a10000000'), [], 'an id with the same beginning is another one')
    t.end()
  },
)

t.test('nothing is made before the first span', t => {
  const room = new Room(4 * MIB)
  t.equal(room.kept.store, undefined)
  t.same(room.kept.segments, [])
  t.same(room.names('a1'), [])
  t.equal(room.host.memory.used, 0)
  room.send(from('shop', { trace: 'a1', span: '1' }))
  t.equal(room.host.memory.used, 4 * MIB)
  t.end()
})

t.test('new spans take the place of the oldest, request by request, and the books are exact', t => {
  const room = new Room(MIB)
  let sent = 0
  for (let i = 1; i <= 20_000; i++) {
    const spans = 1 + (i % 3)
    room.send(
      from(
        `service ${i % 5}`,
        ...Array.from({ length: spans }, (_, k) => ({
          trace: i.toString(16),
          span: (k + 1).toString(16),
          name: `name ${i % 700}`,
          kind: 1,
          parent: 'ff',
          attributes: { text: 'x'.repeat(i % 300) },
        })),
      ),
    )
    sent += spans
    if (i % 100 === 0) {
      const { store } = room.kept
      t.equal(store!.spans + store!.evicted.newer, sent)
      t.ok(store!.held <= MIB)
      const number = i.toString(16)
      if (room.names(number).length !== spans) t.fail(`the newest trace has ${room.names(number)}`)
    }
  }
  const { store, segments } = room.kept
  t.ok(store!.newest.spans > 500, `${store!.newest.spans} spans held`)
  const { names, services, oldest, next } = segments[0]!
  const cursor = segments[0]!.cursor()
  const [nameNumbers, serviceNumbers] = [new Set<number>(), new Set<number>()]
  for (let n = oldest; n < next; n++) {
    cursor.at(n)
    const i = Number.parseInt(cursor.bytes.toString('hex', cursor.traceId, cursor.traceId + 16), 16)
    if (names.text(cursor.name) !== `name ${i % 700}`) t.fail(`${i}: ${names.text(cursor.name)}`)
    if (services.text(cursor.service) !== `service ${i % 5}`) t.fail(`${i}: ${services.text(cursor.service)}`)
    nameNumbers.add(cursor.name)
    serviceNumbers.add(cursor.service)
  }
  t.ok(nameNumbers.size <= 700, 'each name has one number')
  t.equal(serviceNumbers.size, 5)
  t.equal(room.names('1').length, 0)
  t.end()
})

t.test('traces whose ids begin or end alike are found as quickly as others', t => {
  const room = new Room(4 * MIB)
  for (let i = 1; i <= 4000; i++) {
    const digits = i.toString(16).padStart(8, '0')
    room.send(from('shop', { trace: `${digits}abababababababababababab`, span: '1' }))
    room.send(from('shop', { trace: `abababababababababababab${digits}`, span: '1' }))
  }
  const { newest } = room.kept.store!
  let longest = 0
  for (let start = newest.oldest; start < newest.next; start++) {
    const cursor = newest.cursor().at(start)
    let steps = 0
    for (let number = newest.newest(cursor.traceHash); number >= newest.oldest; number = newest.before(number)) steps++
    longest = Math.max(longest, steps)
  }
  t.ok(longest < 30, `${longest} records in the longest chain`)
  t.end()
})

t.test('when every span has another name, numbers of names are used again', t => {
  const room = new Room(MIB)
  const named = (): void => {
    const { newest } = room.kept.store!
    const cursor = newest.cursor()
    // From the newest on, as a search does, and not all of them: others get their numbers later, between those that have one.
    for (let number = newest.next - 1; number >= newest.oldest; number--) {
      if (number % 3 === 0) continue
      const i = Number.parseInt(cursor.at(number).bytes.toString('hex', cursor.traceId, cursor.traceId + 16), 16) - 1
      const name = newest.names.text(cursor.name)
      if (name !== `operation ${i} ${'x'.repeat(i % 60)}`) t.fail(`${i}: ${name}`)
    }
  }
  for (let i = 0; i < 30_000; i++) {
    if (i % 500 === 499) named()
    room.send(
      from('shop', {
        trace: (i + 1).toString(16),
        span: '1',
        parent: 'ff',
        kind: 1,
        name: `operation ${i} ${'x'.repeat(i % 60)}`,
      }),
    )
  }
  const { store } = room.kept
  t.equal(store!.spans + store!.evicted.newer + store!.evicted.names, 30_000)
  t.equal(store!.evicted.names, 0)
  const { newest } = store!
  t.ok(newest.spans > 250, `${newest.spans} spans held`)
  const cursor = newest.cursor()
  for (let number = newest.oldest; number < newest.next; number++) {
    const { name } = cursor.at(number)
    const i = Number.parseInt(cursor.bytes.toString('hex', cursor.traceId, cursor.traceId + 16), 16) - 1
    if (newest.names.text(name) !== `operation ${i} ${'x'.repeat(i % 60)}`) t.fail(`${i}: ${newest.names.text(name)}`)
  }
  t.end()
})

t.test('a request that is larger than the store is counted, and not kept', t => {
  const room = new Room(MIB)
  room.send(from('shop', { trace: 'a1', span: '1' }))
  room.send(from('shop', { trace: 'b2', span: '1', attributes: { text: 'x'.repeat(MIB) } }))
  t.equal(room.kept.store?.evicted.too_large, 1)
  t.same(room.names('b2'), [])
  t.same(room.names('a1'), ['GET /'], 'the spans that were there stay')
  t.end()
})

t.test('a span that is sent again is shown once; the two sides of a call may share one id', t => {
  const room = new Room(MIB)
  const request = from('shop', { trace: 'a1', span: '1', kind: 3 }, { trace: 'a1', span: '1', kind: 2, name: 'server' })
  room.send(request)
  room.send(request)
  t.equal(room.names('a1').length, 2)
  t.end()
})

t.test('attributes are read in each scope, by key, and the first of two with one key counts', t => {
  const room = new Room(MIB)
  room.send(
    from('shop', {
      trace: 'a1',
      span: '1',
      attributes: { text: 'x', number: 5, float: 1.5, flag: true, list: ['a', 'b'], empty: '' },
      events: [{ name: 'e', attributes: [{ key: 'in', value: { stringValue: 'event' } }] }],
      links: [
        { traceId: hex('b2', 16), spanId: hex('3', 8), attributes: [{ key: 'in', value: { stringValue: 'link' } }] },
      ],
    }),
  )
  const cursor = room.kept.segments[0]!.cursor().at(1)
  const value = new AttributeValue()
  const f = (scope: 'span' | 'resource' | 'event' | 'link' | 'instrumentation', key: string) =>
    cursor.attribute(scope, new Key(key), value) ? value.text() : undefined
  t.equal(f('span', 'text'), 'x')
  t.equal(f('span', 'number'), '5')
  t.equal(value.number(), 5)
  t.equal(value.integer(), 5n)
  t.equal(f('span', 'float'), '1.5')
  t.equal(value.number(), 1.5)
  t.equal(f('span', 'flag'), 'true')
  t.equal(value.bool(), true)
  t.equal(f('span', 'empty'), '')
  t.equal(f('span', 'list'), '["a","b"]')
  const elements: string[] = []
  value.elements(each => void elements.push(each.text()))
  t.same(elements, ['a', 'b'])
  t.equal(f('span', 'tex'), undefined)
  t.equal(f('resource', 'service.name'), 'shop')
  t.equal(f('event', 'in'), 'event')
  t.equal(f('link', 'in'), 'link')
  t.ok(cursor.scopeName(value))
  t.equal(value.text(), 'scope')
  const links = cursor.links()
  t.ok(links.next())
  t.equal(cursor.bytes.toString('hex', links.traceId, links.traceId + 16), '000000000000000000000000000000b2')
  t.notOk(links.next())
  t.end()
})

t.test('equal resources that stand in several places of a request each have their own scopes', t => {
  const room = new Room(2 ** 20)
  const scoped = (name: string, span: string): Message => ({
    ...from('a', { trace: '1', span }),
    scopeSpans: [{ scope: { name }, spans: [spanOf({ trace: '1', span })] }],
  })
  room.send(scoped('first', '1'), scoped('second', '2'))
  const [segment] = room.kept.segments
  const value = new AttributeValue()
  const names = [1, 0].map(back => {
    segment!
      .cursor()
      .at(segment!.next - 1 - back)
      .scopeName(value)
    return value.text()
  })
  t.same(names, ['first', 'second'])
  t.end()
})

t.test('a trace lasts from its first start to its last end, to the nanosecond', t => {
  const room = new Room(2 ** 20)
  const start = BigInt(EPOCH) * 1_000_000_000n
  const timed = (span: string, from: bigint, to: bigint): Message => ({
    ...spanOf({ trace: '1', span }),
    startTimeUnixNano: String(start + from),
    endTimeUnixNano: String(start + to),
  })
  const spans = [
    timed('1', 7n, 900_000_000n),
    timed('2', 500_000_003n, 1_000_000_008n),
    timed('3', 600n, 1_000_000_006n),
  ]
  room.send({ ...from('a'), scopeSpans: [{ scope: {}, spans }] })
  const trace = room.kept.trace()
  trace.load(hex('1', 16), 0)
  t.equal(trace.durationNanos, 1_000_000_001)
  t.end()
})

t.test('a trace of thousands of spans has all of them', t => {
  const room = new Room(4 * MIB)
  room.send(from('a', ...Array.from({ length: 3000 }, (_, i) => ({ trace: '1', span: (i + 1).toString(16) }))))
  t.equal(room.names('1').length, 3000)
  t.end()
})

t.test('a trace that is loaded while its spans leave memory is what is held of it in the end', async t => {
  const SPANS = 6000
  for (const opened of [false, true]) {
    const room = new Room(8 * MIB)
    const id = hex('a1', 16)
    let other = 0
    const sendOthers = (requests: number): void => {
      for (let i = 0; i < requests; i++)
        room.send(from('pay', { trace: `f${(++other).toString(16)}`, span: '1', kind: 1, parent: 'ff' }))
    }
    // Every span is the child of one that came much earlier, or much later.
    for (let i = 1; i <= SPANS; i++)
      room.send(
        from('shop', {
          trace: 'a1',
          span: i.toString(16),
          parent: ((i * 7) % (SPANS + 1)).toString(16),
          kind: 1,
          start: EPOCH + i / 1000,
        }),
      )
    while (room.kept.store!.evicted.newer === 0) sendOthers(1)
    if (opened) room.kept.store!.open(id)
    let turns = 0
    const turn = async (): Promise<void> => {
      // Spans of others come as long as the first ring is read.
      if (++turns <= 3) sendOthers(400)
    }
    let looks = 0
    const trace = room.kept.trace()
    const size = await trace.loadHeld(id, 0, { due: () => ++looks % 500 === 0, turn })
    t.ok(turns > 6, `${turns} turns`)
    const held = room.kept.trace()
    t.equal(held.load(id, 0), size)
    if (opened) t.equal(size, SPANS - 1, 'what has left the first ring is read in the other one')
    else t.ok(size > SPANS / 2 && size < SPANS - 500, `${size} spans are held`)
    const shape = (of: typeof trace) => ({
      start: of.startNanos,
      duration: of.durationNanos,
      spans: Array.from({ length: of.size }, (_, i) => {
        const { bytes, spanId } = of.span(i)
        return [bytes.toString('hex', spanId, spanId + 8), of.parentOf(i), of.leftOf(i), of.rightOf(i)]
      }),
    })
    t.same(shape(trace), shape(held))
    t.ok(trace.load(id, 0, 100) < 0, 'it is too large to be read in one turn')
  }
})

t.test('the tree has nested-set numbers, depth first from 1; orphans have none, and circles do no harm', t => {
  const room = new Room(MIB)
  const span = (id: string, parent: string | undefined, start: number) => ({
    trace: 'a1',
    span: id,
    ...(parent !== undefined && { parent }),
    start,
    name: id,
  })
  room.send(
    from(
      'shop',
      span('1', undefined, 1),
      span('2', '1', 2),
      span('3', '2', 3),
      span('4', '1', 4),
      span('5', '99', 5),
      span('6', '7', 6),
      span('7', '6', 7),
      span('8', '5', 8),
      span('9', undefined, 9),
    ),
  )
  const trace = room.kept.trace()
  t.equal(trace.load(hex('a1', 16), 0), 9)
  const numbers = Array.from({ length: 9 }, (_, i) => [trace.leftOf(i), trace.rightOf(i), trace.nestedParentOf(i)])
  t.same(numbers, [
    [1, 8, -1],
    [2, 5, 1],
    [3, 4, 2],
    [6, 7, 1],
    [0, 0, 0],
    [0, 0, 0],
    [0, 0, 0],
    [0, 0, 0],
    [9, 10, -1],
  ])
  t.equal(trace.childrenOf(0), 2)
  t.equal(trace.rootName(), '1')
  t.equal(trace.rootService(), 'shop')
  t.equal(trace.startNanos, 1_000_000_000n)
  t.equal(trace.durationNanos, 8_001_000_000)
  t.end()
})

t.test('a trace that is shown is one request with every span under its own resource and scope', async t => {
  const room = new Room(MIB)
  const [first, second] = [
    from('shop', { trace: 'a1', span: '1' }, { trace: 'b2', span: '2' }),
    from('pay', { trace: 'a1', span: '3', parent: '1', status: 2, message: 'no money' }),
  ]
  room.send(first, second)
  const { parts } = await view(room.kept.store!, hex('a1', 16), UNHURRIED)
  const shown = Request.toObject(Request.decode(Buffer.concat(parts)), { longs: String, bytes: String })
  const wanted = encode(from('shop', { trace: 'a1', span: '1', status: 0 }), second)
  t.same(shown, Request.toObject(Request.decode(wanted), { longs: String, bytes: String }))
})

t.test('a trace that is read in slices while its spans leave the memory is shown whole, each span once', async t => {
  const room = new Room(4 * MIB)
  let requests = 0
  const fill = (): void =>
    room.send(
      from('shop', ...Array.from({ length: 50 }, () => ({ trace: `f${++requests}`, span: '1', parent: '7', kind: 1 }))),
    )
  for (let r = 0; r < 40; r++)
    room.send(
      from(
        'shop',
        ...Array.from({ length: 50 }, (_, k) => ({ trace: 'a1', span: (50 * r + k + 1).toString(16), parent: '1' })),
      ),
    )
  const store = room.kept.store!
  store.open(hex('a1', 16))
  let turns = 0
  const pace = {
    due: () => false,
    turn: async () => {
      turns++
      for (let i = 0; i < 60; i++) fill()
    },
  }
  const { parts, spans } = await view(store, hex('a1', 16), pace)
  t.ok(turns > 3, `${turns} turns`)
  t.equal(spans, 2000)
  const shown = Request.toObject(Request.decode(Buffer.concat(parts)), { bytes: String }) as {
    resourceSpans: { scopeSpans: { spans: { spanId: string }[] }[] }[]
  }
  const ids = shown.resourceSpans.flatMap(each =>
    each.scopeSpans.flatMap(scope => scope.spans.map(span => span.spanId)),
  )
  t.equal(new Set(ids).size, 2000)
  t.equal(ids.length, 2000)
})
