// The totals over all series equal what was sent, for any input, and memory does not grow.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { SpanVisitor } from '../../otlp/visit.ts'
import { ld } from '../otlp/requests.ts'
import fc from '../property.ts'
import { DEFAULTS, Room } from './room.ts'
import { encoded, request } from './views.ts'

t.test('totals over all series are the spans sent, for any stream of requests', async t => {
  const span = fc.record({
    service: fc.constantFrom('', 'a', 'b', 'metric_overflow'),
    name: fc.oneof(fc.constantFrom('GET /', ''), fc.string({ unit: 'binary' })),
    kind: fc.nat(9),
    status: fc.nat(4),
    seconds: fc.constantFrom(0, 0.001, 0.25, 20),
    id: fc.integer({ min: 1, max: 300 }),
    events: fc.nat(2),
    links: fc.nat(2),
    attributes: fc.dictionary(fc.constantFrom('zone', 'http.route', 'x'), fc.oneof(fc.string(), fc.nat())),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(span, { maxLength: 8 }), { maxLength: 6 }),
      fc.integer({ min: 1, max: 12 }),
      async (requests, limit) => {
        const room = new Room({ dimensions: ['zone', 'http.route'], limit })
        for (const spans of requests) room.send(...spans)
        const all = requests.flat()
        const sum = (of: (span: (typeof all)[number]) => number) => all.reduce((total, each) => total + of(each), 0)
        t.equal(await room.total('traces_spanmetrics_calls_total'), all.length)
        t.equal(await room.total('traces_spanmetrics_latency_count'), all.length)
        t.equal(
          await room.total('traces_spanmetrics_size_total'),
          sum(each => encoded(each).length),
        )
        t.equal(
          await room.total('traces_spanmetrics_events_total'),
          sum(each => each.events),
        )
        t.equal(
          await room.total('traces_spanmetrics_links_total'),
          sum(each => each.links),
        )
        t.ok((await room.lines('traces_spanmetrics_calls_total')).length <= limit + 36 + 1)
      },
    ),
    { numRuns: 100 },
  )
})

t.test(
  'totals by service, kind and status are exact whatever names and dimensions one of them floods with',
  async t => {
    const span = fc.record({
      service: fc.constantFrom('shop', 'cart'),
      name: fc.oneof(fc.constantFrom('GET /', 'overflow'), fc.nat(10_000).map(String)),
      kind: fc.constantFrom(1, 2, 3),
      status: fc.nat(2),
      seconds: fc.constantFrom(0.001, 0.25, 20),
      attributes: fc.dictionary(fc.constant('zone'), fc.nat(10_000)),
    })
    const labels = (line: string) =>
      ['service', 'span_kind', 'status_code'].map(name => new RegExp(`${name}="([^"]*)"`).exec(line)?.[1]).join(' ')
    const grouped = (lines: readonly string[]) => {
      const sums = new Map<string, number>()
      for (const line of lines) {
        const value = Number(line.split(' ').at(-1))
        if (value > 0) sums.set(labels(line), (sums.get(labels(line)) ?? 0) + value)
      }
      return sums
    }
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(span, { minLength: 1, maxLength: 40 }), { maxLength: 6 }),
        fc.integer({ min: 1, max: 40 }),
        async (requests, limit) => {
          const room = new Room({ dimensions: ['zone'], limit })
          for (const spans of requests) room.send(...spans)
          const counts = new Map<string, number>()
          const slow = new Map<string, number>()
          const add = (to: Map<string, number>, key: string) => to.set(key, (to.get(key) ?? 0) + 1)
          for (const { service, kind, status, seconds } of requests.flat()) {
            const key = `${service} SPAN_KIND_${['', 'INTERNAL', 'SERVER', 'CLIENT'][kind]} STATUS_CODE_${['UNSET', 'OK', 'ERROR'][status]}`
            add(counts, key)
            if (seconds > 0.001) add(slow, key)
          }
          t.strictSame(grouped(await room.samples('traces_spanmetrics_calls_total')), counts)
          t.strictSame(grouped(await room.samples('traces_spanmetrics_latency_count')), counts)
          const within = grouped(
            (await room.samples('traces_spanmetrics_latency_bucket')).filter(line => line.includes('le="0.002"')),
          )
          const slower = [...counts].map(([key, count]) => [key, count - (within.get(key) ?? 0)] as const)
          t.strictSame(new Map(slower.filter(([, count]) => count > 0)), slow, 'buckets, which objectives are made of')
        },
      ),
      { numRuns: 60 },
    )
  },
)

const MILLION = 1_000_000
const BATCH = 1000

/** One request of a thousand spans whose texts hold six digits each, which can be overwritten to make the next request. */
function template(bytes: Buffer): { readonly bytes: Buffer; number(from: number): void } {
  const places: number[] = []
  for (let at = bytes.indexOf('000000'); at >= 0; at = bytes.indexOf('000000', at + 6)) places.push(at)
  return {
    bytes,
    number(from) {
      const each = places.length / BATCH
      for (const [i, at] of places.entries())
        bytes.write(String(from + Math.floor(i / each)).padStart(6, '0'), at, 'latin1')
    },
  }
}

async function attack(t: Test, name: string, room: Room, bytes: Buffer): Promise<void> {
  const visitor = new SpanVisitor(room.keys, [room.consumer])
  const made = template(bytes)
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const held: number[] = []
  for (let from = 0; from < MILLION; from += BATCH) {
    made.number(from)
    visitor.visit({ signal: 'traces', bytes, items: BATCH, received: 0 })
    if (from % (MILLION / 10) !== 0) continue
    // Buffers that the first finds dead are swept by another thread; the second waits for it.
    collect()
    collect()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    held.push(heapUsed + arrayBuffers)
  }
  // The first tenth warms up and fills the tables.
  const growth = (held.at(-1)! - held[1]!) / 2 ** 20
  t.ok(growth < 4, `${name}: ${growth.toFixed(1)} MiB more`)
}

t.test('a million distinct span names', async t => {
  const room = new Room()
  const spans = Array.from({ length: BATCH }, () => ld(2, encoded({ name: 'GET /000000', kind: 2, parent: 7 })))
  await attack(t, 'names', room, ld(1, ld(2, ...spans)))
  t.equal(await room.total('traces_spanmetrics_calls_total'), MILLION)
  t.equal((await room.samples('traces_spanmetrics_calls_total')).length, 2000 + 2)
})

t.test('a million distinct services', async t => {
  const room = new Room()
  await attack(
    t,
    'services',
    room,
    request(Array.from({ length: BATCH }, () => ({ service: 's000000', name: 'n', kind: 2 }))),
  )
  t.equal(await room.total('traces_spanmetrics_calls_total'), MILLION)
  t.equal((await room.samples('traces_spanmetrics_calls_total')).length, 2000 + 250 + 1)
  t.equal(await room.total('traces_service_graph_request_total'), MILLION)
  t.equal((await room.samples('traces_service_graph_request_total')).length, 501)
  t.equal((await room.samples('traces_target_info')).length, 100)
  t.equal(await room.total('pillion_spans_target_info_dropped_total'), MILLION - 100)
})

t.test('a million distinct routes and peers', async t => {
  const room = new Room({ dimensions: ['http.route'], graph: { ...DEFAULTS.graph, wait: 0 } })
  const attributes = { 'http.route': '/r/000000', 'server.address': 'h000000' }
  const spans = Array.from({ length: BATCH }, () => ld(2, encoded({ name: 'n', kind: 3, attributes })))
  await attack(t, 'routes', room, ld(1, ld(2, ...spans)))
  t.equal(await room.total('traces_spanmetrics_calls_total'), MILLION)
  t.equal((await room.samples('traces_spanmetrics_calls_total')).length, 2000 + 2)
  t.equal(await room.total('traces_service_graph_request_total'), MILLION)
  t.equal((await room.samples('traces_service_graph_request_total')).length, 501)
})
