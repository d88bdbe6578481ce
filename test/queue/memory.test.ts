import t from 'tap'
import { MemoryStore } from '../../queue/memory.ts'
import { Memory } from '../../telemetry/memory.ts'
import { all, held, Losses, next, request, testQueue } from './contract.ts'

testQueue(t, 'memory', async (t, most) => {
  const losses = new Losses()
  const queue = new MemoryStore(new Memory(64 << 20).allot('forward', most)).queue(losses.lose)
  t.teardown(() => queue[Symbol.asyncDispose]())
  return { queue, lost: losses.lost }
})

t.test('several upstreams hold the same bytes once, and each loses its own', async t => {
  const memory = new Memory(64 << 20).allot('forward', 4 << 20)
  const store = new MemoryStore(memory)
  const [one, two] = [new Losses(), new Losses()]
  const [fast, dead] = [store.queue(one.lose), store.queue(two.lose)]
  for (let i = 0; i < 100; i++) {
    const each = request(200_000, { received: i })
    for (const queue of [fast, dead]) queue.append(each)
    for (const batch of await all(fast, 'traces')) fast.done(batch)
    t.ok(memory.used <= 4 << 20)
  }
  t.same([...one.lost], [], 'the slow one takes nothing from the other')
  t.equal(held(dead).items + (two.lost.get('traces queue_full') ?? 0), 100)
  t.ok(held(dead).items >= 10, `${held(dead).items} are held`)
  await dead[Symbol.asyncDispose]()
  await fast[Symbol.asyncDispose]()
  t.equal(two.lost.get('traces shutdown'), 100 - (two.lost.get('traces queue_full') ?? 0))
})

t.test('the same object with other bytes is another request', async t => {
  const store = new MemoryStore(new Memory(64 << 20).allot('forward', 8 << 20))
  const [a, b] = [store.queue(() => {}), store.queue(() => {})]
  const lent = request(10)
  lent.bytes.fill('1')
  for (const queue of [a, b]) queue.append(lent)
  lent.bytes.fill('2')
  for (const queue of [a, b]) queue.append(lent)
  for (const queue of [a, b]) t.equal((await next(queue)).bytes.toString(), '11111111112222222222')
})

t.test('memory that nobody needs is given back to the budget', async t => {
  const memory = new Memory(64 << 20).allot('forward', 32 << 20)
  const store = new MemoryStore(memory)
  const queue = store.queue(() => {})
  for (let i = 0; i < 60; i++) queue.append(request(300_000, { received: i }))
  t.ok(memory.used > 60 * 300_000)
  for (const batch of await all(queue, 'traces')) queue.done(batch)
  t.ok(memory.used < 5 << 20, `${memory.used}: a few chunks are kept`)
  store.trim()
  t.equal(memory.used, 0)
})
