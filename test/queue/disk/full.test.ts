// A file system that is really full, and one that is really read-only: the sidecar in a mount namespace of its own.

import { mkdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import { until } from '../../e2e/child.ts'
import { missing } from '../../e2e/programs.ts'
import { type Ride, startSidecar, sum } from '../../e2e/ride.ts'
import { spans } from '../../forward/start.ts'
import { upstream } from '../../forward/upstream.ts'
import { root } from './folder.ts'

const skip = missing('unshare', 'util-linux') || missing('mount', 'mount')

async function send({ otlp }: Ride, count: number): Promise<number> {
  const headers = { 'Content-Type': 'application/x-protobuf' }
  const response = await fetch(`${otlp}/v1/traces`, { method: 'POST', headers, body: spans(count, 5000) })
  return response.status
}

/** A sidecar whose queue is on a tmpfs of 1 MiB at `dir`, which only it sees; a shell runs `before` when it is mounted. */
function small(dir: string, url: string, full: string, before = ':'): Promise<Ride> {
  mkdirSync(dir, { recursive: true })
  const mount = `mount -t tmpfs -o size=1m tmpfs ${dir} && { ${before}; exec "$0" "$@"; }`
  const queue = ['--forward.queue.dir', `${dir}/queues`, '--forward.queue.full', full, '--forward.queue.memory', '4MiB']
  return startSidecar({
    flags: ['--forward.endpoint', url, '--forward.name', 'up', '--forward.drain', '100ms', ...queue],
    wrapper: [
      'unshare',
      '--mount',
      ...(process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']),
      'sh',
      '-c',
      mount,
    ],
  })
}

async function account(t: Test, ride: Ride, sent: number): Promise<void> {
  // Of one page: between two, items go from held to forwarded.
  const text = await ride.scrape()
  const sums = ['items_total', 'dropped_items_total', 'held_items'].map(
    name => sum(text, `pillion_forward_${name}`, { signal: 'traces' }) ?? 0,
  )
  t.equal(sums[0]! + sums[1]! + sums[2]!, sent, `forwarded, dropped, held: ${sums}`)
}

t.test(
  'a full disk: what was taken is held in memory and sent, and with space the disk is used again',
  { skip },
  async t => {
    const down = await upstream(t, (_arrived, response) => response.writeHead(503).end())
    await using ride = await small(`${root(t)}/disk`, down.url, 'drop_oldest')
    await until('the receiver', async () => (await fetch(`${ride.otlp}/v1/traces`)).status)
    let sent = 0
    await until('the disk to be full', async () => {
      t.equal(await send(ride, 20), 200)
      sent += 20
      return (await ride.value('pillion_forward_queue_disk_usable')) === 0 || undefined
    })
    for (let i = 0; i < 10; i++) {
      t.equal(await send(ride, 20), 200)
      sent += 20
    }
    await account(t, ride, sent)
    await ride.child.says(/cannot write the queue to disk.*ENOSPC/)
    // The upstream takes it: files are deleted, and there is space.
    down.respond = undefined
    await until(
      'everything to be sent',
      async () => (await ride.value('pillion_forward_held_items')) === 0 || undefined,
    )
    await until('the disk to be used again', async () => {
      t.equal(await send(ride, 1), 200)
      sent += 1
      return (await ride.value('pillion_forward_queue_disk_usable')) === 1 || undefined
    })
    await account(t, ride, sent)
    t.equal((await ride.value('pillion_forward_dropped_items_total')) ?? 0, 0)
  },
)

t.test(
  'a full disk with a policy that refuses: nobody is told that it was taken, until there is space',
  { skip },
  async t => {
    const down = await upstream(t, (_arrived, response) => response.writeHead(503).end())
    await using ride = await small(`${root(t)}/disk`, down.url, 'refuse')
    await until('the receiver', async () => (await fetch(`${ride.otlp}/v1/traces`)).status)
    await until('a refusal', async () => (await send(ride, 20)) === 503 || undefined)
    t.equal(await ride.value('pillion_forward_queue_disk_usable'), 0)
    down.respond = undefined
    await until(
      'everything to be sent',
      async () => (await ride.value('pillion_forward_held_items')) === 0 || undefined,
    )
    await until('it to be taken again', async () => (await send(ride, 1)) === 200 || undefined)
  },
)

t.test('a disk that is full when the sidecar starts again: what is in the queue is sent', { skip }, async t => {
  const folder = root(t)
  const up = await upstream(t, (_arrived, response) => response.writeHead(503).end())
  const queue = ['--forward.queue.dir', `${folder}/queues`]
  const first = await startSidecar({ flags: ['--forward.endpoint', up.url, '--forward.name', 'up', ...queue] })
  t.teardown(() => first[Symbol.asyncDispose]())
  await until('the receiver', async () => (await fetch(`${first.otlp}/v1/traces`)).status)
  t.equal(await send(first, 20), 200)
  first.child.kill('SIGKILL')
  await first.child.ended

  up.respond = undefined
  for (const lock of ['left', 'removed']) {
    const disk = `${folder}/${lock}`
    const copy = `cp -r ${folder}/queues ${disk}/${lock === 'left' ? '' : ` && rm ${disk}/queues/up/LOCK`}`
    const full = `${copy} && ! dd if=/dev/zero of=${disk}/other bs=1k 2> /dev/null`
    const before = up.taken()
    await using ride = await small(disk, up.url, 'drop_oldest', full)
    await until('the rest', async () => up.taken() - before === 20 || undefined)
    t.equal(await ride.value('pillion_forward_recovered_items_total', { signal: 'traces' }), 20, `the lock was ${lock}`)
  }
})
