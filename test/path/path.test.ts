// The critical path of requests, as what a scrape says after real requests of OTLP.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { KIND, PARENT_KNOWN } from '../../telemetry/span.ts'
import { numbers } from '../random.ts'
import { Room, type Sent } from './room.ts'

const root = (to: number, more: Partial<Sent> = {}): Sent => ({ id: 1, name: 'GET /', from: 0, to, ...more })
const child = (id: number, name: string, from: number, to: number, more: Partial<Sent> = {}): Sent => ({
  id,
  parent: 1,
  name,
  from,
  to,
  ...more,
})

t.test('a request without children is all its own time', async t => {
  const room = new Room()
  await room.whole(root(100))
  t.same(await room.path(), { 'GET /': 100 })
})

t.test('the time that a request waits for a child is the child’s, and the gaps are its own', async t => {
  const room = new Room()
  await room.whole(child(2, 'SELECT', 10, 40), child(3, 'render', 50, 90), root(100))
  t.same(await room.path(), { 'GET /': 30, SELECT: 30, render: 40 })
})

t.test('of parallel children only the one that ends last counts', async t => {
  const room = new Room()
  await room.whole(child(2, 'short', 10, 40), child(3, 'long', 10, 90), root(100))
  t.same(await room.path(), { 'GET /': 20, long: 80 })
})

t.test('children whose times touch are both on the path', async t => {
  const room = new Room()
  await room.whole(child(2, 'first', 0, 50_000), child(3, 'second', 50_000, 100_000), root(100_000))
  t.same(await room.path(), { first: 50_000, second: 50_000 })
})

t.test('a child that ends a microsecond after the next begins is still before it', async t => {
  const room = new Room()
  await room.whole(child(2, 'first', 0, 50_900), child(3, 'second', 50_000, 100_000), root(100_000))
  t.same(await room.path(), { first: 50_000, second: 50_000 })
})

t.test('the walk goes into the children of children', async t => {
  const room = new Room()
  await room.whole({ ...child(3, 'SELECT', 30, 60), parent: 2 }, child(2, 'load', 20, 80), root(100))
  t.same(await room.path(), { 'GET /': 40, load: 30, SELECT: 30 })
})

t.test('a child that outlives its request is cut off, and its tail is counted apart', async t => {
  const room = new Room()
  await room.whole(root(100), child(2, 'audit', 60, 400))
  t.same(await room.path(), { 'GET /': 60, audit: 40 })
  const [tail] = await room.samples('traces_critical_path_async_seconds_total')
  t.equal(Math.round(tail!.value * 1e9), 300)
  t.match(tail!.labels, /operation="audit"/)
})

t.test('a child that begins after its parent has ended is not on the path', async t => {
  const room = new Room()
  await room.whole(root(100), child(2, 'later', 150, 250))
  t.same(await room.path(), { 'GET /': 100 })
  const [tail] = await room.samples('traces_critical_path_async_seconds_total')
  t.equal(Math.round(tail!.value * 1e9), 100)
})

t.test('a consumer does not hold up its producer', async t => {
  const room = new Room()
  const consumer = { parent: 2, kind: KIND.consumer, flags: PARENT_KNOWN }
  await room.whole(
    child(2, 'publish', 10, 90, { kind: KIND.producer, peer: 'queue' }),
    { ...child(3, 'process', 20, 80), ...consumer },
    root(100),
  )
  t.same(await room.path(), { 'GET /': 20, publish: 80 })
  const [tail] = await room.samples('traces_critical_path_async_seconds_total')
  t.equal(Math.round(tail!.value * 1e9), 60)
})

t.test('tries that failed and were repeated are told apart, with what they did', async t => {
  const room = new Room()
  const pay = { kind: KIND.client, peer: 'pay', name: 'POST' }
  await room.whole(
    { ...child(6, 'connect', 12, 18), parent: 2 },
    { ...child(2, '', 10, 20), ...pay, failed: true },
    { ...child(3, '', 30, 50), ...pay, failed: true },
    { ...child(4, '', 60, 90), ...pay },
    root(100),
  )
  t.same(await room.path(), {
    'GET /': 40,
    'connect retried': 6,
    'POST retried': 24,
    POST: 30,
  })
})

t.test('a last try that fails is no retry, and neither is a failure beside another operation', async t => {
  const room = new Room()
  const call = { kind: KIND.client, failed: true }
  await room.whole(
    child(2, 'POST', 10, 20, { ...call, peer: 'a' }),
    child(3, 'POST', 30, 50, { ...call, peer: 'b' }),
    root(100),
  )
  t.same(Object.keys(await room.path()).sort(), ['GET /', 'POST'])
})

t.test('a call to itself is a request of its own', async t => {
  const room = new Room()
  await room.whole(
    { ...child(3, 'GET /inner', 20, 60), parent: 2, kind: KIND.server },
    child(2, 'GET', 10, 70, { kind: KIND.client, peer: 'shop' }),
    root(100),
  )
  t.same(await room.path(), { 'GET /': 40, GET: 60, 'GET /inner': 40 })
  const rows = await room.samples('traces_critical_path_seconds_total')
  t.match(rows.find(({ labels }) => labels.includes('operation="GET /inner"'))?.labels, /root_operation="GET \/inner"/)
})

t.test('children that come before, after and in other requests than their parent are found', async t => {
  const room = new Room()
  room.send(child(2, 'SELECT', 10, 40))
  await room.pass(4000)
  room.send(root(100))
  await room.pass(900)
  room.send(child(3, 'render', 50, 90))
  await room.pass(500)
  t.same(await room.path(), { 'GET /': 30, SELECT: 30, render: 40 })
})

t.test('spans without a local root are left out, and counted', async t => {
  const room = new Room()
  room.send(child(2, 'SELECT', 10, 40))
  await room.pass(31_000)
  t.same(await room.path(), {})
  t.match(await room.samples('pillion_trees_dropped_spans_total'), [
    { labels: 'reason="orphan"', value: 0 },
    { labels: 'reason="rootless"', value: 1 },
  ])
})

t.test('a span whose parent did not come is left out, and its time stays its ancestor’s', async t => {
  const room = new Room()
  await room.whole({ ...child(3, 'SELECT', 10, 40), parent: 9 }, root(100))
  t.same(await room.path(), { 'GET /': 100 })
  t.match(await room.samples('pillion_trees_dropped_spans_total'), [{ labels: 'reason="orphan"', value: 1 }])
})

t.test('spans that are each other’s parents are left out', async t => {
  const room = new Room()
  await room.whole(
    { ...child(2, 'a', 10, 40), parent: 3 },
    { ...child(3, 'b', 10, 40), parent: 2 },
    { ...child(4, 'c', 10, 40), parent: 4 },
    root(100),
  )
  t.same(await room.path(), { 'GET /': 100 })
})

t.test('answers to our own health probes are left out', async t => {
  const { PROBE_TRACESTATE } = await import('../../telemetry/probe.ts')
  const room = new Room()
  await room.whole(root(100, { state: PROBE_TRACESTATE }))
  t.same(await room.path(), {})
  t.equal(await dropped(room, 'probe'), 1)
})

t.test('a span that ends before it starts lasts nothing', async t => {
  const room = new Room()
  await room.whole(child(2, 'odd', 60, 20), root(100))
  t.same(await room.path(), { 'GET /': 100 })
})

t.test('times of another clock are cut to the request, however far away', async t => {
  const room = new Room()
  const year = 31_536_000_000_000_000n
  await room.whole(
    { ...child(2, 'future', 0, 0), from: 40n * year, to: 41n * year },
    { ...child(3, 'past', 0, 0), from: -40n * year, to: -39n * year },
    child(4, 'near', 10, 50),
    root(100),
  )
  t.same(await room.path(), { 'GET /': 60, near: 40 })
})

t.test('of random trees, the sum of all is the sum of the roots to the nanosecond', async t => {
  const seed = Number(process.env['SEED'] ?? 1)
  const random = numbers(seed)
  const below = (n: number) => Math.floor(random() * n)
  const room = new Room({ limit: 100_000 })
  let total = 0
  for (let trace = 1; trace <= 400; trace++) {
    const length = 1 + below(1e9)
    total += length
    const spans: Sent[] = [{ trace, id: 1, name: `GET /${trace % 7}`, from: 0, to: length }]
    const many = below(40)
    for (let id = 2; id < 2 + many; id++) {
      const from = below(1.2 * length) - Math.floor(0.1 * length)
      spans.push({
        trace,
        id,
        parent: 1 + below(id - 1),
        name: `work ${below(5)}`,
        from,
        to: from + below(length),
        failed: random() < 0.2,
        kind: [KIND.internal, KIND.client, KIND.producer][below(3)]!,
      })
    }
    // In any order.
    for (let i = spans.length - 1; i > 0; i--) {
      const other = below(i + 1)
      const [a, b] = [spans[i]!, spans[other]!]
      spans[i] = b
      spans[other] = a
    }
    room.send(...spans)
  }
  await room.pass(1500)
  const rows = await room.samples('traces_critical_path_seconds_total')
  // Each row is a sum of doubles; in nanoseconds it is a whole number again.
  t.equal(
    rows.reduce((sum, { value }) => sum + Math.round(value * 1e9), 0),
    total,
    `SEED=${seed}`,
  )
})

t.test('beyond the limit of label sets the sum stays the same', async t => {
  const room = new Room({ limit: 3 })
  for (let trace = 1; trace <= 50; trace++) room.send({ ...root(100), trace, name: `GET /${trace}` })
  await room.pass(1500)
  const path = await room.path()
  t.equal(
    Object.values(path).reduce((sum, each) => sum + each, 0),
    5000,
  )
  t.equal(path['metric_overflow="true"'], 4700)
})

t.test('more operations than are held share the overflow, and the sum stays the same', async t => {
  const room = new Room({ limit: 100_000 })
  for (let trace = 1; trace <= 3000; trace++) room.send({ ...root(100), trace, name: `GET /${trace}` })
  await room.pass(1500)
  const path = await room.path()
  t.equal(Object.keys(path).length, 2001)
  t.equal(
    Object.values(path).reduce((sum, each) => sum + each, 0),
    300_000,
  )
})

t.test('a chain of thousands of spans needs no deeper stack than one', async t => {
  const room = new Room({ limit: 100_000 })
  const spans = Array.from({ length: 4999 }, (_, i) => ({
    id: i + 1,
    name: i === 0 ? 'top' : 'deep',
    from: i,
    to: 10_000 - i,
  }))
  room.send(...spans.map((span, i) => (i === 0 ? span : { ...span, parent: i })))
  await room.pass(1500)
  t.same(await room.path(), { top: 2, deep: 9998 })
})

t.test('a trace of 100 000 spans is left out and counted, and the others are not', async t => {
  const room = new Room()
  for (let at = 0; at < 100_000; at += 10_000)
    room.send(...Array.from({ length: 10_000 }, (_, i) => child(at + i + 2, 'x', 0, 1)))
  room.send(root(100))
  await room.whole({ ...root(70), trace: 2, name: 'GET /small' })
  await room.pass(31_000)
  t.same(await room.path(), { 'GET /small': 70 })
  t.equal(await dropped(room, 'large'), 100_001)
  t.equal(room.memory.parts.get('trees')!.used < 2 ** 20, true)
})

t.test('what a flood of requests has needed is not held by the trees that were made last', async t => {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  const buffers = (): number => {
    collect()
    collect()
    return process.memoryUsage().arrayBuffers
  }
  const room = new Room()
  await room.whole({ id: 1, name: 'GET /', from: 0, to: 10 })
  const before = buffers()
  // More than a mebibyte of spans that wait.
  for (let trace = 1; trace <= 800; trace++)
    room.send(
      ...Array.from({ length: 39 }, (_, i) => ({ trace, id: i + 2, parent: 1, name: 'call', from: i, to: i + 1 })),
      { trace, id: 1, name: 'GET /', from: 0, to: 50 },
    )
  t.ok(room.memory.parts.get('trees')!.used > 2 ** 20)
  await room.pass(1200)
  const more = buffers() - before
  t.ok(more < 2 ** 19, `${more} bytes more are held than before it`)
})

t.test('a flood of traces without roots holds no more memory than it may, and is counted', async t => {
  const room = new Room()
  let trace = 1
  for (let i = 0; i < 20; i++)
    room.send(...Array.from({ length: 10_000 }, () => ({ ...child(2, 'x', 0, 1), trace: ++trace })))
  t.equal(room.memory.parts.get('trees')!.used < 12 * 2 ** 20, true)
  await room.pass(32_000)
  t.equal((await dropped(room, 'memory')) + (await dropped(room, 'rootless')), 200_000)
  t.equal(room.memory.parts.get('trees')!.used < 2 ** 20, true, 'it is given back')
})

t.test('a span whose trace is decided to make room for it begins that trace anew', async t => {
  const room = new Room({}, 100_000)
  // Again and again the same traces, as clients send that repeat a request: each is the oldest when its next span comes.
  for (let round = 0; round < 40; round++)
    for (let trace = 1; trace <= 500; trace++)
      room.send({ trace, id: 10_000 * round + trace, name: 'GET /', kind: 2, from: 0, to: 1000 })
  await room.pass(60_000)
  const requests = (await room.samples('pillion_trees_requests_total'))[0]?.value ?? 0
  t.ok(requests > 0, `${requests} requests`)
  t.same(
    (await room.samples('pillion_trees_held_spans')).map(({ value }) => value),
    [0],
  )
})

t.test('without room in the memory budget spans are counted as left out', async t => {
  const room = new Room({}, 60_000)
  for (let i = 0; i < 40; i++)
    room.send(...Array.from({ length: 100 }, (_, j) => ({ ...child(2, 'x', 0, 1), trace: i * 100 + j })))
  t.equal((await dropped(room, 'memory')) > 0, true)
})

t.test('a span whose own trace is decided to make room for it begins another one', async t => {
  const room = new Room({}, 60_000)
  let sent = 0
  for (let i = 1; i < 4000; i++) {
    // Each trace comes again when it is one of the oldest, at every distance from the newest.
    for (const trace of [i, Math.max(1, i - (i % 1000))]) {
      room.send({ ...child(2, 'x', 0, 1), trace })
      sent++
    }
  }
  await room.pass(32_000)
  t.equal((await dropped(room, 'memory')) + (await dropped(room, 'rootless')), sent)
})

async function dropped(room: Room, reason: string): Promise<number> {
  const rows = await room.samples('pillion_trees_dropped_spans_total')
  return rows.find(({ labels }) => labels === `reason="${reason}"`)?.value ?? Number.NaN
}
