// Questions of the page about traces, behind the real web server.

import t from 'tap'
import { columns } from '../../exporter/traces/page/columns.ts'
import { PROBE_AGENT_END, PROBE_TRACESTATE } from '../../telemetry/probe.ts'
import type { TraceColumns } from '../../telemetry/trace-columns.ts'
import { EPOCH, encode, from, hex, Room, spanOf } from './room.ts'
import { type Served, serve } from './served.ts'

const SHOP = from(
  'shop',
  { trace: 'a1', span: '1', name: 'GET /cart', seconds: 0.5, attributes: { 'http.route': '/cart' } },
  { trace: 'a1', span: '4', parent: '99', name: 'lost', start: EPOCH + 0.2 },
)
const PAY = from('pay', {
  trace: 'a1',
  span: '2',
  parent: '1',
  name: 'charge',
  kind: 3,
  start: EPOCH + 0.1,
  seconds: 0.25,
  status: 2,
  message: 'no money',
  attributes: { 'card.type': 'Visa', amount: 12 },
  events: [
    {
      name: 'exception',
      timeUnixNano: `${EPOCH}150000000`,
      attributes: [{ key: 'exception.type', value: { stringValue: 'Declined' } }],
    },
  ],
})

async function ask<T>({ port }: Served, path: string): Promise<{ status: number; text: string; json: () => T }> {
  const answer = await fetch(`http://127.0.0.1:${port}/api/traces${path}`)
  const text = await answer.text()
  // The test names the type that it is going to check.
  return { status: answer.status, text, json: () => JSON.parse(text) as T }
}

t.test('a trace is answered as columns: times from its start, parents by place, missing parents by id', async t => {
  const served = await serve(t)
  served.send(SHOP, PAY)
  const answered = (await ask<TraceColumns>(served, '/A1')).json()
  t.same(answered, {
    traceId: '000000000000000000000000000000a1',
    startUnixNano: `${EPOCH}000000000`,
    services: ['shop', 'pay'],
    names: ['GET /cart', 'charge', 'lost'],
    spanId: ['0000000000000001', '0000000000000002', '0000000000000004'],
    parent: [-1, 0, -2],
    start: [0, 100_000, 200_000],
    duration: [500_000, 250_000, 1000],
    service: [0, 1, 0],
    name: [0, 1, 2],
    kind: [2, 3, 2],
    status: [0, 2, 0],
    missing: { 2: '0000000000000099' },
    events: [[1, 150_000, 'exception']],
    eventsLeftOut: 0,
  })
})

t.test('a trace of 50,000 spans is answered, and says what is missing', async t => {
  const served = await serve(t, { keep: 64 * 2 ** 20 })
  const spans = Array.from({ length: 10_000 }, (_, i) => i)
  for (let part = 0; part < 6; part++)
    served.send({
      scopeSpans: [
        {
          spans: spans.map(i =>
            spanOf({ trace: 'b', span: (1 + part * 10_000 + i).toString(16), ...(i + part > 0 && { parent: '1' }) }),
          ),
        },
      ],
    })
  const answered = (await ask<TraceColumns>(served, '/b')).json()
  t.equal(answered.spanId.length, 50_000)
  t.match(answered.partial, /more than 50000 spans/)
})

t.test('a span is answered with all that it has, as OTLP/JSON with its resource and scope', async t => {
  const served = await serve(t)
  served.send(SHOP, PAY)
  t.same((await ask(served, '/a1/2')).json(), {
    resourceSpans: [
      {
        resource: { attributes: [{ key: 'service.name', value: { stringValue: 'pay' } }] },
        scopeSpans: [
          {
            scope: { name: 'scope', version: '1' },
            spans: [
              {
                traceId: '000000000000000000000000000000a1',
                spanId: '0000000000000002',
                parentSpanId: '0000000000000001',
                name: 'charge',
                kind: 3,
                startTimeUnixNano: `${EPOCH}100000000`,
                endTimeUnixNano: `${EPOCH}350000000`,
                attributes: [
                  { key: 'card.type', value: { stringValue: 'Visa' } },
                  { key: 'amount', value: { intValue: '12' } },
                ],
                events: [
                  {
                    timeUnixNano: `${EPOCH}150000000`,
                    name: 'exception',
                    attributes: [{ key: 'exception.type', value: { stringValue: 'Declined' } }],
                  },
                ],
                status: { message: 'no money', code: 2 },
              },
            ],
          },
        ],
      },
    ],
  })
})

t.test('a whole trace as OTLP/JSON is taken by the OTLP receiver again', async t => {
  const served = await serve(t)
  served.send(SHOP, PAY)
  const whole = (await ask<{ resourceSpans: readonly object[] }>(served, '/a1/otlp')).json()
  t.equal(whole.resourceSpans.length, 2)
  const again = await serve(t)
  const { decoder } = await import('../otlp/protobufjs.ts')
  const text = JSON.stringify(whole, (key, value) =>
    /Id$/.test(key) ? Buffer.from(String(value), 'hex').toString('base64') : value,
  )
  again.raw(
    Buffer.from(
      decoder('traces')
        .encode(decoder('traces').fromObject(JSON.parse(text)))
        .finish(),
    ),
  )
  t.same((await ask(again, '/a1')).json(), (await ask(served, '/a1')).json())
})

t.test(
  'a text is found in names, ids, attributes, events, status messages and resources, whatever its case',
  async t => {
    const served = await serve(t)
    served.send(SHOP, PAY)
    const f = async (text: string, ...expected: string[]): Promise<void> => {
      const { spans } = (await ask<{ spans: string[] }>(served, `/a1/find?text=${encodeURIComponent(text)}`)).json()
      t.same(spans.map(id => id.replace(/^0+/, '')).sort(), expected, text)
    }
    await f('CHARGE', '2')
    await f('visa', '2')
    await f('card.type=visa', '2')
    await f('amount=12', '2')
    await f('declined', '2')
    await f('No money', '2')
    await f('http.route=/c', '1')
    await f('service.name=shop', '1', '4')
    await f('0000000000000004', '4')
    await f('nothing has this')
  },
)

t.test('the list has the newest traces of a query, and leaves out those of our own probes unless asked', async t => {
  const served = await serve(t)
  served.send(SHOP, PAY)
  served.send({
    scopeSpans: [
      {
        spans: [
          { ...spanOf({ trace: 'c', span: '1', start: EPOCH + 9 }), traceState: PROBE_TRACESTATE },
          spanOf({
            trace: 'd',
            span: '1',
            start: EPOCH + 8,
            attributes: { 'user_agent.original': `x ${PROBE_AGENT_END}` },
          }),
        ],
      },
    ],
  })
  type List = { traces: Record<string, unknown>[]; probes: number; kept: { spans: number; since: number } }
  const { traces, probes, kept } = (await ask<List>(served, '')).json()
  t.equal(probes, 2)
  t.equal(kept.spans, 5)
  t.ok(kept.since > 0)
  t.same(traces, [
    {
      traceId: '000000000000000000000000000000a1',
      service: 'shop',
      name: 'GET /cart',
      start: EPOCH * 1000,
      duration: 500,
      spans: 3,
      errors: 1,
      services: [
        { name: 'shop', spans: 2, errors: 0 },
        { name: 'pay', spans: 1, errors: 1 },
      ],
      matched: 3,
      span: '0000000000000001',
    },
  ])
  const all = (await ask<List>(served, '?probes=include')).json()
  t.same(
    all.traces.map(each => String(each['traceId']).slice(-1)),
    ['c', 'd', '1'],
  )
  const found = (await ask<List>(served, `?q=${encodeURIComponent('{ status = error }')}`)).json()
  t.match(found.traces, [{ matched: 1, span: '0000000000000002' }])
})

t.test('a question without an answer is refused with the place, or with how far back memory goes', async t => {
  const served = await serve(t)
  const f = async (path: string, status: number, text: RegExp): Promise<void> => {
    const got = await ask(served, path)
    t.equal(got.status, status, path)
    t.match(got.text, text, path)
  }
  await f('/a1', 404, /holds no spans yet/)
  served.raw(encode(SHOP))
  await f('/a2', 404, /trace a2 is not in the memory of this sidecar, which holds the 2 newest spans/)
  await f('/xyz', 400, /"xyz" is no trace id/)
  await f('/a1/zz', 400, /"zz" is no span id/)
  await f('/a1/77', 404, /has no span 77/)
  await f('/a1/2/3', 404, /docs\/api\.md/)
  await f('/a1/find', 400, /text must be/)
  await f('?q=%7B%20nam', 400, /line 1, col 3/)
  await f('?limit=0', 400, /limit/)
  await f('?probes=no', 400, /exclude or include/)
  await f(`?q=${encodeURIComponent('{} | rate()')}`, 400, /query of metrics/)
})

t.test('a sidecar that keeps no traces says so', async t => {
  const served = await serve(t, { keep: 0 })
  t.equal((await ask(served, '/a1')).status, 404)
  t.match((await ask(served, '/a1')).text, /traces\.keep is 0B/)
  t.same((await ask<{ traces: object[] }>(served, '')).json().traces, [])
})

t.test('hostile ids and names stay what they are', async t => {
  const served = await serve(t)
  served.send(
    from('</script><b>', { trace: 'e', span: '5', name: '"><img src=x>\u2028', attributes: { ['__proto__']: 'x' } }),
  )
  const answered = (await ask<TraceColumns>(served, '/e')).json()
  t.same(answered.names, ['"><img src=x>\u2028'])
  t.same(answered.services, ['</script><b>'])
  t.equal(hex('5', 8).toString('hex'), answered.spanId[0])
})

t.test('a trace whose spans leave memory while it is read is read again, and says what is missing', async t => {
  const id = hex('b', 16)
  // Of 600 spans the oldest 100 go in these turns: while the trace is loaded, while parents are found, while spans are read; and
  // while spans are read for the first, the second and the last time. Then it goes on without them.
  for (const [each, goes, why] of [
    [100, [2], /may have left the memory/],
    [100, [8], /may have left the memory/],
    [50, [25], /may have left the memory/],
    [50, [1, 2, 3, 4], /may have left the memory/],
    [50, [25, 46, 63], /have left the memory of the sidecar while it was read/],
  ] as const) {
    const room = new Room(2 ** 20)
    let other = 0
    const spans = (trace: string, from: number, count: number): void =>
      room.send({
        scopeSpans: [
          {
            spans: Array.from({ length: count }, (_, i) =>
              spanOf({
                trace,
                span: (from + i).toString(16),
                kind: 1,
                // The newest are the parents of the oldest.
                parent: trace === 'b' && i === 0 ? 'ff00' : (600 - i).toString(16),
              }),
            ),
          },
        ],
      })
    for (let i = 0; i < 6; i++) spans('b', 1 + 100 * i, 100)
    const trace = room.kept.trace()
    const probe = room.kept.trace()
    let turns = 0
    let asked = 0
    const pace = {
      due: () => ++asked % each === 0,
      async turn() {
        if (!(goes as readonly number[]).includes(++turns)) return
        const before = probe.load(id, 0)
        while (before > 100 && probe.load(id, 0) === before) spans('c', 1 + 100 * other++, 100)
      },
      check() {},
    }
    const found = await columns(trace, id, pace)
    const size = found?.spanId.length ?? 0
    t.ok(turns >= Math.max(...goes))
    t.ok(size >= 100 && size < 600, `${size} spans`)
    t.equal(size, new Set(found?.spanId).size, 'each is there once')
    t.match(found?.partial, why)
    for (let i = 0; i < size; i++) {
      const at = found!.parent[i]!
      const own = Number.parseInt(found!.spanId[i]!, 16)
      t.equal(own > 0 && own <= 600, true)
      const parent = (own - 1) % 100 === 0 ? 0xff00 : 600 - ((own - 1) % 100)
      if (at >= 0) t.equal(found!.spanId[at], hex(parent.toString(16), 8).toString('hex'))
      else t.equal(found!.missing[i], hex(parent.toString(16), 8).toString('hex'))
    }
    for (const column of ['parent', 'start', 'duration', 'service', 'name', 'kind', 'status'] as const)
      t.equal(found?.[column].length, size, column)
  }
})
