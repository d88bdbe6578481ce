// Far more than an upstream takes: memory stays within its bound, and the account balances.

import t from 'tap'
import { points, records, spans, start } from './start.ts'
import { until, upstream } from './upstream.ts'

const MOST = 8 * 2 ** 20

t.test('with a dead upstream and ten times what the queue can hold, memory stays within its bound', async t => {
  const gone = await upstream(t)
  await gone.close()
  const all = await start(t, { endpoint: gone.url, queue: { memory: '8MiB' } })
  const bodies = [spans(100, 800), spans(7, 30)]
  let bytes = 0
  for (let i = 0; bytes < 10 * MOST; i++) {
    const body = bodies[i % 2]!
    bytes += body.length
    all.take('traces', body)
    if (i % 10 === 0) {
      all.take('metrics', points(50))
      all.take('logs', records(50))
    }
    if (i % 50 === 0) {
      t.ok(all.memory.used <= MOST, `${all.memory.used} bytes`)
      await new Promise(resolve => setImmediate(resolve))
      await all.balance(t)
    }
  }
  const queued = Object.values(await all.counted('pillion_forward_queue_bytes')).reduce((sum, each) => sum + each, 0)
  t.ok(queued > MOST / 2 && queued <= MOST, `${queued} bytes are queued`)
  await all.balance(t)
  // The newest requests are left.
  const back = await upstream(t, undefined, gone.port)
  const last = spans(1)
  all.take('traces', last)
  await until(async () => (await all.total('pillion_forward_held_items', 'traces')) === 0)
  t.ok(back.arrived.some(each => each.bytes.includes(last)))
  await all.balance(t)
})

t.test('with an upstream that fails in turns, the account balances at every scrape', async t => {
  const sink = await upstream(t, (_, response, n) => {
    const status = [200, 503, 200, 400, 200, 429, 200, 200, 500][n % 9] ?? 200
    response.writeHead(status, { 'retry-after': '1' }).end()
  })
  const all = await start(t, { endpoint: sink.url })
  for (let i = 0; i < 60; i++) {
    all.take('traces', spans(20, 3000))
    if (i % 3 === 0) all.take('metrics', points(20))
    if (i % 5 === 0) all.take('logs', records(20))
    await all.balance(t)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  await all.end()
  await all.balance(t)
  t.equal(await all.total('pillion_forward_held_items', 'traces'), 0)
  t.equal(
    await all.total('pillion_forward_items_total', 'traces'),
    sink.arrived.length > 0
      ? all.accepted.traces - (await all.total('pillion_forward_dropped_items_total', 'traces'))
      : 0,
  )
})

t.test('an upstream that is slower than the senders slows them down, and nothing is dropped', async t => {
  const sink = await upstream(t, (_, response) => void setTimeout(() => response.end(), 20))
  const all = await start(t, { endpoint: sink.url, queue: { memory: '8MiB' } })
  const [consumer] = all.running.consumes?.traces ?? []
  let waited = 0
  for (let i = 0; i < 150; i++) {
    all.take('traces', spans(20, 8000))
    const wait = consumer?.settled?.()
    if (wait) waited++
    await wait
  }
  t.ok(waited > 5, `${waited} waits`)
  await until(async () => (await all.total('pillion_forward_held_items', 'traces')) === 0)
  t.equal(await all.total('pillion_forward_items_total', 'traces'), 3000)
  await all.balance(t)
})

t.test('an upstream that is away slows nobody down', async t => {
  const gone = await upstream(t)
  await gone.close()
  const all = await start(t, { endpoint: gone.url })
  all.take('traces', spans(1))
  await until(async () => (await all.total('pillion_forward_open', 'traces')) === 1)
  const [consumer] = all.running.consumes?.traces ?? []
  for (let i = 0; i < 50; i++) all.take('traces', spans(20, 8000))
  t.equal(consumer?.settled?.(), undefined)
})
