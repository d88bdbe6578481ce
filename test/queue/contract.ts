// The promises of queue/queue.ts as tests, for each implementation of it.

import type { Test } from 'tap'
import { BATCH, type Batch, MOST, type Queue, type QueueLoss } from '../../queue/queue.ts'
import { type Request, SIGNALS, type Signal } from '../../telemetry/request.ts'

export interface Opened {
  readonly queue: Queue
  /** "signal reason" → items. */
  readonly lost: ReadonlyMap<string, number>
}

/** Opens an empty queue with room for about `most` bytes, which is disposed of at the end of the test. */
export type Open = (t: Test, most: number) => Promise<Opened>

/** Notes losses, for the `Lose` of a queue. */
export class Losses {
  readonly lost = new Map<string, number>()
  readonly lose = (signal: Signal, reason: QueueLoss, items: number): void => {
    const key = `${signal} ${reason}`
    this.lost.set(key, (this.lost.get(key) ?? 0) + items)
  }
}

let serial = 0

/** A request of so many bytes that no other request equals. */
export function request(length: number, { signal = 'traces' as Signal, items = 1, received = 1000 } = {}): Request {
  const bytes = Buffer.alloc(length, 0x55)
  bytes.write(`<${serial++}>`)
  return { signal, bytes, items, received }
}

export function testQueue(t: Test, kind: string, open: Open): void {
  t.test(
    `${kind}: bytes come out as they went in, joined in order, though what was lent has changed since`,
    async t => {
      const { queue } = await open(t, 8 << 20)
      const requests = Array.from({ length: 50 }, (_, i) => request(10 + 97 * i, { items: i + 1, received: 1000 + i }))
      const expected = Buffer.concat(requests.map(each => each.bytes))
      for (const each of requests) {
        queue.append(each)
        each.bytes.fill(0)
      }
      t.same(held(queue).items, 1275)
      t.equal(queue.waiting('traces'), expected.length)
      const batches = await all(queue, 'traces')
      t.same(Buffer.concat(batches.map(({ bytes }) => bytes)), expected)
      t.equal(sum(batches), 1275)
      t.equal(batches[0]?.received, 1000, 'a batch is as old as its oldest request')
      t.equal(queue.waiting('traces'), 0)
      t.equal(held(queue).items, 1275, 'batches that are out are still held')
      for (const each of batches) queue.done(each)
      t.same(held(queue), { items: 0, bytes: { memory: 0, disk: 0 }, oldest: undefined })
    },
  )

  t.test(
    `${kind}: a batch ends at ${BATCH} bytes, and only a request that is larger alone makes one over ${MOST}`,
    async t => {
      const { queue } = await open(t, 16 << 20)
      const sizes = [200_000, 200_000, 200_000, 850_000, 100_000, 850_000, 2_000_000, 10]
      for (const each of sizes) queue.append(request(each))
      const batches = await all(queue, 'traces')
      t.equal(total(batches), total(sizes.map(length => ({ bytes: { length } }))))
      for (const { bytes, items } of batches) t.ok(bytes.length <= MOST || items === 1, `${bytes.length}`)
      t.ok(batches.length < sizes.length, 'small ones are joined')
    },
  )

  t.test(`${kind}: signals do not mix`, async t => {
    const { queue } = await open(t, 8 << 20)
    for (const [i, signal] of SIGNALS.entries()) queue.append(request(100 + i, { signal, items: i + 1 }))
    for (const [i, signal] of SIGNALS.entries()) {
      t.equal(queue.held(signal).items, i + 1)
      const batch = await queue.next(signal)
      t.equal(batch?.signal, signal)
      t.equal(batch?.bytes.length, 100 + i)
      t.equal(await queue.next(signal), undefined)
    }
  })

  t.test(`${kind}: a batch that is given back is handed out again before the others`, async t => {
    const { queue } = await open(t, 8 << 20)
    queue.append(request(300_000, { received: 1 }))
    const first = await next(queue)
    const bytes = Buffer.from(first.bytes)
    queue.append(request(300_000, { received: 2 }))
    queue.giveBack(first)
    const again = await next(queue)
    t.same(again.bytes.subarray(0, bytes.length), bytes)
    t.equal(held(queue).items, 2)
    queue.done(again)
    for (const each of await all(queue, 'traces')) queue.done(each)
    t.equal(held(queue).items, 0)
  })

  t.test(
    `${kind}: a full queue loses its oldest requests, counts them, and never loses a batch that is out`,
    async t => {
      const { queue, lost } = await open(t, 4 << 20)
      queue.append(request(300_000, { received: 1 }))
      const out = await next(queue)
      const bytes = Buffer.from(out.bytes)
      const newest = request(300_000, { received: 1_000_000 })
      for (let i = 0; i < 60; i++) queue.append(request(300_000, { received: 2 + i }))
      t.notOk(queue.room(newest), 'no room without a loss')
      queue.append(newest)
      const gone = lost.get('traces queue_full') ?? 0
      t.ok(gone > 40 && gone < 62, `lost ${gone}`)
      t.equal(held(queue).items + gone, 62)
      t.same(out.bytes, bytes)
      const rest = await all(queue, 'traces')
      t.equal(rest.at(-1)?.bytes.subarray(-newest.bytes.length).equals(newest.bytes), true, 'the newest is there')
      t.equal(sum(rest), 61 - gone)
    },
  )

  for (const flood of ['traces', 'logs'] as const)
    t.test(`${kind}: a flood of ${flood} costs no other signal what it holds`, async t => {
      const { queue, lost } = await open(t, 2 << 20)
      let received = 0
      for (let i = 0; i < 20; i++) queue.append(request(2000, { signal: 'metrics', received: received++ }))
      for (let i = 0; i < 500; i++) {
        for (let n = 0; n < 4; n++) queue.append(request(10_000, { signal: flood, received: received++ }))
        if (i % 100 === 0) queue.append(request(2000, { signal: 'metrics', received: received++ }))
      }
      t.same([...lost.keys()], [`${flood} queue_full`])
      t.equal(queue.held('metrics').items, 25)
      const kept = 2000 - (lost.get(`${flood} queue_full`) ?? 0)
      t.equal(queue.held(flood).items, kept)
      t.ok(kept > 50, `${kept} of the newest are held`)
    })

  t.test(`${kind}: a request that is larger than the whole queue is lost and counted`, async t => {
    const { queue, lost } = await open(t, 2 << 20)
    queue.append(request(100))
    queue.append(request(5 << 20, { items: 7 }))
    t.ok((lost.get('traces queue_full') ?? 0) >= 7)
    t.equal(held(queue).items + (lost.get('traces queue_full') ?? 0), 8)
  })

  t.test(`${kind}: what is older than the limit is lost, but not what is out`, async t => {
    const { queue, lost } = await open(t, 8 << 20)
    queue.append(request(300_000, { received: 1000, items: 2 }))
    const out = await next(queue)
    queue.append(request(300_000, { received: 2000, items: 3, signal: 'logs' }))
    queue.append(request(300_000, { received: 3000, items: 4 }))
    queue.expire(2500)
    t.same([...lost], [['logs too_old', 3]])
    t.equal(held(queue).items, 6)
    t.equal(held(queue).oldest, 1000)
    queue.done(out)
    t.equal(held(queue).oldest, 3000)
  })

  t.test(`${kind}: sync resolves, and a request without items is not appended`, async t => {
    const { queue } = await open(t, 8 << 20)
    queue.append(request(100, { items: 0 }))
    t.equal(await queue.next('traces'), undefined)
    queue.append(request(100))
    await queue.sync()
    t.equal(held(queue).items, 1)
  })
}

export function held(queue: Queue, signal: Signal = 'traces') {
  return queue.held(signal)
}

export async function next(queue: Queue, signal: Signal = 'traces'): Promise<Batch> {
  const batch = await queue.next(signal)
  if (!batch) throw new Error(`nothing of ${signal} is waiting`)
  return batch
}

/** All batches that are waiting, handed out. */
export async function all(queue: Queue, signal: Signal): Promise<Batch[]> {
  const batches: Batch[] = []
  for (let batch = await queue.next(signal); batch; batch = await queue.next(signal)) batches.push(batch)
  return batches
}

function sum(batches: readonly Batch[]): number {
  return batches.reduce((items, batch) => items + batch.items, 0)
}

function total(batches: readonly { readonly bytes: { readonly length: number } }[]): number {
  return batches.reduce((length, { bytes }) => length + bytes.length, 0)
}
