// Forwarding with its queue on disk.

import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { until } from '../../e2e/child.ts'
import { spans, start } from '../../forward/start.ts'
import { upstream } from '../../forward/upstream.ts'
import { root } from './folder.ts'

function options(url: string, dir: string, queue: object = {}): object {
  return { endpoint: url, name: 'up', drain: '0s', queue: { dir, ...queue } }
}

t.test(
  'requests that an upstream did not take are sent by the next process, and the account is exact across both',
  async t => {
    const dir = root(t)
    const down = await upstream(t, (_arrived, response) => response.writeHead(503).end())
    const first = await start(t, options(down.url, dir))
    for (let i = 0; i < 10; i++) first.take('traces', spans(10))
    await until('a first attempt', () => down.arrived.length > 0 || undefined)
    await first.balance(t)
    await first.end()
    t.equal(await first.total('pillion_forward_held_items', 'traces'), 100, 'it is held, not lost')
    t.equal(await first.total('pillion_forward_dropped_items_total', 'traces'), 0)

    const up = await upstream(t)
    const second = await start(t, options(up.url, dir))
    t.equal(await second.total('pillion_forward_recovered_items_total', 'traces'), 100)
    second.take('traces', spans(7))
    await until('everything to arrive', () => up.taken() === 107 || undefined)
    t.equal(await second.total('pillion_forward_items_total', 'traces'), 107)
    t.equal(await second.total('pillion_forward_held_items', 'traces'), 0)
  },
)

t.test('a sender is answered when its request has been written', async t => {
  const dir = root(t)
  const down = await upstream(t, () => {})
  for (const sync of ['interval', 'request']) {
    const forward = await start(t, options(down.url, `${dir}/${sync}`, { sync }))
    const [consumer] = forward.running.consumes?.traces ?? []
    forward.take('traces', spans(10))
    const safe = consumer?.settled?.()
    t.same(
      readdirSync(`${dir}/${sync}/up/traces`).filter(name => name.endsWith('.q')),
      [],
      'not yet',
    )
    t.equal(await safe, true)
    const [name = ''] = readdirSync(`${dir}/${sync}/up/traces`).filter(each => each.endsWith('.q'))
    t.ok(statSync(`${dir}/${sync}/up/traces/${name}`).size > 500)
    t.equal(await forward.counted('pillion_forward_queue_disk_usable').then(found => found['{upstream="up"}']), 1)
  }
})

t.test('without a folder nobody waits, as long as the upstream keeps up', async t => {
  const { url } = await upstream(t)
  const { running } = await start(t, { endpoint: url })
  for (const consumer of Object.values(running.consumes ?? {}).flat()) t.equal(consumer.settled?.(), undefined)
})

t.test(
  'a folder that cannot be used: in memory, with a metric and a finding; a policy that refuses tells senders',
  async t => {
    const dir = root(t)
    writeFileSync(`${dir}/file`, '')
    const down = await upstream(t, () => {})
    for (const full of ['drop_oldest', 'refuse']) {
      const forward = await start(t, options(down.url, `${dir}/file/below`, { full }))
      const [consumer] = forward.running.consumes?.traces ?? []
      forward.take('traces', spans(10))
      t.equal(await consumer?.settled?.(), full === 'drop_oldest')
      const request = { signal: 'traces', bytes: spans(1), items: 1, received: 0 } as const
      t.equal((consumer?.admit?.(request) ?? 0) > 0, full === 'refuse', 'senders are told to come again')
      t.same(await forward.counted('pillion_forward_queue_disk_usable'), {}, 'it is 0')
      t.match(
        forward.running.findings?.()[0]?.text,
        /^the queue for up cannot be written to disk \(ENOTDIR\); until it can/,
      )
      await forward.balance(t)
    }
  },
)

t.test('names of upstreams lead nowhere else', async t => {
  const dir = root(t)
  const up = await upstream(t)
  for (const name of ['..', '.', '../../etc', 'a/b', 'x'.repeat(300), 'ü\0']) {
    const forward = await start(t, { ...options(up.url, `${dir}/queues`), name })
    await forward.end()
  }
  t.same(readdirSync(dir), ['queues'])
  t.equal(readdirSync(`${dir}/queues`).length, 6)
})

t.test('a second sidecar with the same folder does not start, and the first one continues', async t => {
  const dir = root(t)
  const up = await upstream(t)
  const first = await start(t, options(up.url, dir))
  await t.rejects(start(t, options(up.url, dir)), { message: /cannot use .* as a queue: another process/ })
  first.take('traces', spans(3))
  await until('everything to arrive', () => up.taken() === 3 || undefined)
})

t.test('a folder that is deleted while it is used: it is noticed, and what comes then is kept and sent', async t => {
  const dir = root(t)
  const up = await upstream(t)
  const forward = await start(t, options(up.url, dir))
  forward.take('traces', spans(3))
  await until('the first', () => up.taken() === 3 || undefined)
  rmSync(dir, { recursive: true })
  forward.take('traces', spans(4))
  await until('the rest', () => up.taken() === 7 || undefined)
  await until('new files', () => {
    forward.take('traces', spans(1))
    return (
      (existsSync(`${dir}/up/traces`) && readdirSync(`${dir}/up/traces`).some(each => each.endsWith('.q'))) || undefined
    )
  })
  await forward.balance(t)
})
