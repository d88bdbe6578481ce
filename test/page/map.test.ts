// The map as a picture, and records of logs in the browser.

import t from 'tap'
import { joined, type LogRecord, MOST, ordered } from '../../exporter/web/page/logs/records.ts'
import { flows, type MapAnswer, type MapEdge, picture, quantile } from '../../exporter/web/page/map/graph.ts'

function edge(client: string, server: string, more: Partial<MapEdge> = {}): MapEdge {
  return { client, server, type: '', requests: 10, failed: 0, seconds: 1, buckets: [10, 0, 0], ...more }
}

function answer(now: number, ...edges: readonly MapEdge[]): MapAnswer {
  return { now, enabled: true, bounds: [0.1, 0.2], edges, overflow: 0 }
}

t.test('rates, errors and latency are those of the time between two answers', async t => {
  const before = answer(1000, edge('a', 'b', { requests: 10, failed: 5, buckets: [10, 0, 0] }))
  const now = answer(
    5000,
    edge('a', 'b', { requests: 30, failed: 6, buckets: [10, 20, 0] }),
    edge('a', 'new', { requests: 4 }),
  )
  t.match(flows(now, before), [
    { requests: 20, rate: 5, errors: 0.05 },
    { server: 'new', requests: 4, rate: 1 },
  ])
  t.ok(Math.abs(flows(now, before)[0]!.p50! - 0.15) < 1e-9)
  t.match(flows(now, undefined)[0], { requests: 30, rate: undefined, errors: 0.2 })
})

t.test('an edge whose numbers went back has begun anew', async t => {
  const [flow] = flows(answer(2000, edge('a', 'b', { requests: 3 })), answer(1000, edge('a', 'b', { requests: 50 })))
  t.match(flow, { requests: 3, rate: 3 })
})

t.test('quantiles are interpolated in their bucket, and stop at the last bound', async t => {
  t.equal(quantile([1, 2], [0, 10, 0], 0.5), 1.5)
  t.equal(quantile([1, 2], [0, 0, 10], 0.95), 2)
  t.equal(quantile([1, 2], [0, 0, 0], 0.5), undefined)
})

t.test(
  'clients stand on the left, services behind those that call them, and nodes without spans on the right',
  async t => {
    const { places, edges, leftOut } = picture(
      flows(
        answer(
          0,
          edge('user', 'shop', { type: 'virtual_node' }),
          edge('shop', 'cart'),
          edge('cart', 'redis', { type: 'database' }),
          edge('shop', 'bank', { type: 'virtual_node' }),
          edge('shop', 'shop'),
          edge('worker', 'cart'),
        ),
        undefined,
      ),
    )
    const column = Object.fromEntries(places.map(each => [each.name, each.column]))
    t.same(column, { user: 0, shop: 1, worker: 1, cart: 2, redis: 3, bank: 3 })
    t.equal(edges.length, 6)
    t.equal(leftOut, 0)
    for (const { d } of edges) t.notMatch(d, 'NaN')
    const seen = new Set(places.map(({ x, y }) => `${x} ${y}`))
    t.equal(seen.size, places.length, 'no two in one place')
  },
)

t.test('services that call each other in a circle, and many of them, have places', async t => {
  const circle = flows(answer(0, edge('a', 'b'), edge('b', 'c'), edge('c', 'a')), undefined)
  t.same(
    picture(circle)
      .places.map(({ name }) => name)
      .sort(),
    ['a', 'b', 'c'],
  )
  const many = flows(
    answer(0, ...Array.from({ length: 500 }, (_, i) => edge('hub', `s${i}`, { type: 'virtual_node' }))),
    undefined,
  )
  const { places, leftOut, edges } = picture(many)
  t.equal(places.length, 41)
  t.equal(leftOut, 460)
  t.equal(edges.length, 40)
  t.same(picture([]).places, [])
})

t.test('log records are shown by their own times, whichever batch came in first', async t => {
  const record = (number: number, time?: string): LogRecord => ({
    ...{ number, severity: 'INFO', service: 's', body: '' },
    ...(time !== undefined && { timeUnixNano: time }),
  })
  const f = (given: readonly LogRecord[], expected: readonly number[]) =>
    t.same(
      ordered(given).map(({ number }) => number),
      expected,
    )
  f([], [])
  f([record(4, '20'), record(3, '40'), record(2, '30'), record(1, '10')], [3, 2, 4, 1])
  f([record(3, '20'), record(2), record(1, '30')], [1, 3, 2])
  f([record(2), record(1)], [2, 1])
  f([record(2, '1750000000000000001'), record(1, '1750000000000000001')], [2, 1])
})

t.test('log records are joined newest first, each once, and not without end', async t => {
  const record = (number: number): LogRecord => ({ number, severity: 'INFO', service: 's', body: `${number}` })
  const shown = [record(3), record(2), record(1)]
  t.same(
    joined([record(5), record(4), record(3)], shown).map(({ number }) => number),
    [5, 4, 3, 2, 1],
  )
  t.equal(joined([], shown), shown)
  const many = Array.from({ length: MOST }, (_, i) => record(MOST - i))
  t.equal(joined([record(MOST + 1)], many).length, MOST)
  t.equal(joined([record(MOST + 1)], many)[0]!.number, MOST + 1)
})
