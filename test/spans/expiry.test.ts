// Label sets and edges without new spans are removed, and begin again when they come back.

import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { SpanVisitor } from '../../otlp/visit.ts'
import { ld } from '../otlp/requests.ts'
import fc from '../property.ts'
import { DEFAULTS, Room } from './room.ts'
import { encoded, type Sent } from './views.ts'

const ERROR = 2
const MINUTE = 60_000
const CALLS = 'traces_spanmetrics_calls_total'
const EDGES = 'traces_service_graph_request_total'
const SHOP: Sent = { service: 'shop', name: 'GET /', kind: 2 }

/** Calls as "name status value". */
async function calls(room: Room): Promise<string[]> {
  return (await room.samples(CALLS)).map(spelled)
}

function spelled(sample: string): string {
  const [, name, status, value] = /span_name="(.*?)".*STATUS_CODE_(\w+)"} (\d+)/.exec(sample) ?? []
  return name === undefined ? sample : `${name} ${status} ${value}`
}

t.test('a label set without a span for the expiry is removed, and begins at 0 when it comes again', async t => {
  const room = new Room({ expiry: 10 * MINUTE })
  room.send(SHOP, SHOP, { ...SHOP, name: 'POST /' })
  await room.clock.pass(6 * MINUTE)
  room.send({ ...SHOP, name: 'POST /' })
  t.equal((await calls(room)).length, 4)
  await room.clock.pass(4 * MINUTE)
  t.same(await calls(room), ['POST / ERROR 0', 'POST / UNSET 2'])
  t.equal((await room.lines('traces_spanmetrics_latency_count')).length, 1)
  t.same(await room.lines('pillion_series{family="traces_spanmetrics"}'), [
    'pillion_series{family="traces_spanmetrics"} 2',
  ])
  t.match(await room.lines('pillion_series_expired_total'), [
    'pillion_series_expired_total{family="traces_spanmetrics"} 2',
  ])
  room.send({ ...SHOP, seconds: 0.5, events: 1 })
  t.same(await calls(room), ['GET / ERROR 0', 'GET / UNSET 1', 'POST / ERROR 0', 'POST / UNSET 2'])
  const sums = await room.samples('traces_spanmetrics_latency_sum')
  t.ok(
    sums.some(sample => sample.includes('GET /') && sample.endsWith(' 0.5')),
    'nothing is left of the one before',
  )
})

t.test('the errors of an operation are kept at their number as long as anything of it comes', async t => {
  const room = new Room({ expiry: 10 * MINUTE })
  room.send({ ...SHOP, status: ERROR }, SHOP)
  room.send({ ...SHOP, name: 'first', status: 1 }, { ...SHOP, name: 'first', status: ERROR })
  for (let i = 0; i < 4; i++) {
    await room.clock.pass(8 * MINUTE)
    room.send(SHOP, { ...SHOP, name: 'first', status: 1 })
  }
  t.same(await calls(room), ['GET / ERROR 1', 'GET / UNSET 5', 'first ERROR 1', 'first OK 5'])
  await room.clock.pass(5 * MINUTE)
  room.send({ ...SHOP, status: ERROR })
  await room.clock.pass(5 * MINUTE)
  t.same(await calls(room), ['GET / ERROR 2'], 'errors do not keep what goes well')
  await room.clock.pass(5 * MINUTE)
  t.same(await calls(room), [])
})

t.test('expired label sets make room, and the overflow expires as any label set does', async t => {
  const room = new Room({ expiry: 10 * MINUTE, limit: 4 })
  for (let i = 0; i < 6; i++) room.send({ ...SHOP, name: `old ${i}`, status: ERROR })
  await room.clock.pass(10 * MINUTE)
  for (let i = 0; i < 3; i++) room.send({ ...SHOP, name: `new ${i}`, status: ERROR })
  t.same(await calls(room), ['new 0 ERROR 1', 'new 1 ERROR 1', 'new 2 ERROR 1'])
})

t.test('label sets of the overflow take no room from others, and keep theirs while anything comes', async t => {
  const room = new Room({ expiry: 10 * MINUTE, limit: 2 })
  room.send({ ...SHOP, name: 'old' })
  for (let i = 0; i < 4; i++) {
    await room.clock.pass(4 * MINUTE)
    room.send({ ...SHOP, name: `flood ${i}` }, ...(i === 0 ? [{ ...SHOP, name: 'flood', status: ERROR }] : []))
  }
  // The third of the flood found the room that "old" had left; the error, twelve minutes old, stays beside what goes on.
  t.same(await calls(room), ['flood 2 ERROR 0', 'flood 2 UNSET 1', 'overflow ERROR 1', 'overflow UNSET 3'])
})

t.test('an edge of the service graph goes as a label set does', async t => {
  const room = new Room({ expiry: 10 * MINUTE })
  const call = (server: string): Sent => ({ ...SHOP, kind: 3, attributes: { 'db.system.name': server } })
  room.send(call('redis'), call('mysql'))
  await room.clock.pass(9 * MINUTE)
  room.send(call('redis'))
  await room.clock.pass(MINUTE)
  t.same(await room.samples(EDGES), ['{client="shop",server="redis",connection_type="database"} 2'])
  room.send(call('mysql'))
  t.same(await room.samples(EDGES), [
    '{client="shop",server="mysql",connection_type="database"} 1',
    '{client="shop",server="redis",connection_type="database"} 2',
  ])
})

t.test('half a request that waits longer than its names are in use still becomes its edge', async t => {
  const room = new Room({ expiry: 1000, graph: { ...DEFAULTS.graph, wait: MINUTE } })
  room.send({ ...SHOP, kind: 3, attributes: { 'server.address': 'pay.local' } })
  await room.clock.pass(MINUTE / 2)
  for (let i = 0; i < 500; i++) room.send({ ...SHOP, kind: 3, id: 5, attributes: { 'db.system.name': `db ${i}` } })
  await room.clock.pass(MINUTE / 4)
  for (let i = 0; i < 500; i++) room.send({ ...SHOP, kind: 3, id: 5, attributes: { 'db.system.name': `bd ${i}` } })
  await room.clock.pass(MINUTE / 4)
  t.same(await room.samples(EDGES), ['{client="shop",server="pay.local",connection_type="virtual_node"} 1'])
})

t.test('an expiry of 0 keeps everything', async t => {
  const room = new Room({ expiry: 0 })
  room.send(SHOP)
  await room.clock.pass(365 * 24 * 60 * MINUTE)
  t.same(await calls(room), ['GET / ERROR 0', 'GET / UNSET 1'])
})

t.test('a page that is being written shows each label set once, whatever expires and returns meanwhile', async t => {
  const room = new Room({ expiry: MINUTE, limit: 20_000, graph: { ...DEFAULTS.graph, enabled: false } })
  const some = (from: number, count: number): Sent[] =>
    Array.from({ length: count }, (_, i) => ({ ...SHOP, name: `GET /${from + i}` }))
  for (let from = 0; from < 8000; from += 1000) room.send(...some(from, 1000))
  let over = false
  const page = room.lines('traces_').finally(() => {
    over = true
  })
  let turns = 0
  for (; !over; turns++) {
    await turn()
    // All is silent for longer than the expiry, over and over, and half of it comes again.
    room.clock.skip(2 * MINUTE)
    room.consumer.collect?.(AbortSignal.timeout(1000))
    room.send(...some((turns % 8) * 1000, 500))
  }
  const lines = (await page).map(line => line.slice(0, line.lastIndexOf(' ')))
  t.ok(turns > 5, `${turns} turns`)
  t.equal(new Set(lines).size, lines.length)
  t.equal(lines.filter(line => line.startsWith(CALLS)).length, 16_000, 'all that was there when it began')
  t.equal(lines.filter(line => line.startsWith('traces_spanmetrics_latency_count')).length, 8000)
  room.clock.skip(2 * MINUTE)
  t.same(await room.lines('traces_spanmetrics_'), [], 'afterwards it goes')
})

t.test('any stream of spans and pauses leaves the label sets that a plain model has', async t => {
  const span = fc.record({
    service: fc.constantFrom('a', 'b'),
    name: fc.integer({ min: 0, max: 8 }).map(n => `operation ${n}`),
    status: fc.constantFrom(0, 0, 1, ERROR),
    events: fc.nat(1),
  })
  const step = fc.record({
    pause: fc.constantFrom(0, 0, 1000, 4000, 9000, 20_000),
    spans: fc.array(span, { maxLength: 6 }),
    scraped: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 25 }),
      fc.constantFrom(1, 2, 3, 5, 100),
      fc.constantFrom(0, 10_000),
      async (steps, limit, expiry) => {
        const room = new Room({ limit, expiry })
        const model = new Model(limit, expiry)
        for (const { pause, spans, scraped } of steps) {
          room.clock.skip(pause)
          model.pass(pause)
          room.send(...spans.map(each => ({ ...each, kind: 2 })))
          for (const each of spans) model.span(each)
          if (!scraped) continue
          t.same(await room.samples(CALLS), model.lines())
          t.equal(await room.total('traces_spanmetrics_latency_count'), model.shown(0))
          t.equal(await room.total('traces_spanmetrics_events_total'), model.shown(1))
          t.equal(model.shown(0) + model.gone, model.sent, 'series that are not shown were removed')
          t.ok(
            (await room.lines('pillion_series')).includes(
              `pillion_series_expired_total{family="traces_spanmetrics"} ${model.expired}`,
            ),
          )
        }
      },
    ),
    { numRuns: 150 },
  )
})

/** The rules again, with a map and texts. */
class Model {
  sent = 0
  /** Spans of label sets that were removed, and how many these were. */
  gone = 0
  expired = 0
  #now = 0
  readonly #sets = new Map<
    string,
    { operation: string; status: number; seen: number; counts: [number, number]; coarser: boolean }
  >()
  readonly #limit: number
  readonly #expiry: number

  constructor(limit: number, expiry: number) {
    this.#limit = limit
    this.#expiry = expiry
  }

  pass(ms: number): void {
    this.#now += ms
    if (this.#expiry === 0) return
    const sets = [...this.#sets]
    const last = (operation: string, status: number) =>
      Math.max(
        ...sets
          .filter(([, set]) => set.operation === operation && (set.status === status || status === ERROR))
          .map(([, set]) => set.seen),
      )
    for (const [key, { operation, status, counts }] of sets) {
      if (last(operation, status) > this.#now - this.#expiry) continue
      this.#sets.delete(key)
      this.gone += counts[0]
      this.expired++
    }
  }

  span({ service, name, status, events }: Readonly<{ service: string; name: string; status: number; events: number }>) {
    this.sent++
    const operation = (called: string) => `service="${service}",span_name="${called}",span_kind="SPAN_KIND_SERVER"`
    const coarser = !this.#sets.has(`${operation(name)} ${status}`) && !this.#room
    const called = operation(coarser ? 'overflow' : name)
    const isNew = !this.#sets.has(`${called} ${status}`)
    const counts = this.#take(called, status, coarser)
    counts[0]!++
    counts[1]! += events
    if (isNew && (coarser || this.#room)) this.#take(called, ERROR, coarser)
  }

  get #room(): boolean {
    return [...this.#sets.values()].filter(({ coarser }) => !coarser).length < this.#limit
  }

  /** All that is on the page of the spans, or of their events. */
  shown(which: 0 | 1): number {
    return [...this.#sets.values()].reduce((sum, { counts }) => sum + counts[which], 0)
  }

  lines(): string[] {
    const codes = ['UNSET', 'OK', 'ERROR']
    const lines = [...this.#sets.values()].map(
      ({ operation, status, counts }) => `{${operation},status_code="STATUS_CODE_${codes[status]}"} ${counts[0]}`,
    )
    return lines.sort()
  }

  #take(operation: string, status: number, coarser: boolean): number[] {
    const key = `${operation} ${status}`
    const set = this.#sets.get(key) ?? { operation, status, seen: 0, counts: [0, 0], coarser }
    this.#sets.set(key, set)
    set.seen = this.#now
    return set.counts
  }
}

t.test('a million names that come and go are all shown in their time, in memory for those that are there', async t => {
  const BATCH = 1000
  const room = new Room({ expiry: MINUTE, graph: { ...DEFAULTS.graph, limit: 1000, wait: 0 } })
  // A server of its own for each name, so that edges come and go as well; each an error, so that it has no sibling.
  const attributes = { 'server.address': 'h000000' }
  const spans = Array.from({ length: BATCH }, () =>
    ld(2, encoded({ name: 'GET /000000', kind: 3, status: ERROR, attributes })),
  )
  const bytes = ld(1, ld(2, ...spans))
  const places: number[] = []
  for (let at = bytes.indexOf('000000'); at >= 0; at = bytes.indexOf('000000', at + 6)) places.push(at)
  const visitor = new SpanVisitor(room.keys, [room.consumer])
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const held: number[] = []
  for (let from = 0; from < 1_000_000; from += BATCH) {
    for (const [i, at] of places.entries()) bytes.write(String(from + (i >> 1)).padStart(6, '0'), at, 'latin1')
    visitor.visit({ signal: 'traces', bytes, items: BATCH, received: 0 })
    room.clock.skip(MINUTE)
    if (from % 100_000 !== 0) continue
    // Buffers that the first finds dead are swept by another thread; the second waits for it.
    collect()
    collect()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    held.push(heapUsed + arrayBuffers)
  }
  // The first tenth compiles, and fills the tables once. Eight bytes kept of each name would be 4 MB between the two.
  const growth = (Math.min(...held.slice(-4)) - Math.min(...held.slice(1, 5))) / 2 ** 20
  t.ok(growth < 2, `${growth.toFixed(1)} MiB more`)
  t.same(await room.lines('pillion_series'), [
    ...['pillion_series{family="traces_spanmetrics"} 0', 'pillion_series{family="traces_service_graph_request"} 0'],
    'pillion_series_overflow_total{family="traces_spanmetrics"} 0',
    'pillion_series_overflow_total{family="traces_service_graph_request"} 0',
    'pillion_series_expired_total{family="traces_spanmetrics"} 1000000',
    'pillion_series_expired_total{family="traces_service_graph_request"} 1000000',
  ])
})
