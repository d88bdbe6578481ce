// Disks that are full, read-only, slow, or that fail to keep what they took; and two processes for one folder.

import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import t from 'tap'
import { identity, lock } from '../../../queue/disk/lock.ts'
import { Memory } from '../../../telemetry/memory.ts'
import { FakeClock } from '../../world.ts'
import { next } from '../contract.ts'
import { drain, Faulty, numbered, numbers, open, root, segmentPath, segments, until, write } from './folder.ts'

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

t.test('folders are for their owner alone, and so are files', async t => {
  const folder = root(t)
  mkdirSync(`${folder}/queue`, { mode: 0o777 })
  chmodSync(`${folder}/queue`, 0o777)
  const { queue } = await open(t, folder)
  await write(queue, [numbered(1)])
  t.equal(statSync(`${folder}/queue`).mode & 0o777, 0o700)
  t.equal(statSync(`${folder}/queue/traces`).mode & 0o777, 0o700)
  for (const path of [segmentPath(folder), `${folder}/queue/LOCK`, `${folder}/queue/traces/trying`])
    t.equal(statSync(path).mode & 0o777, 0o600)
})

t.test('a folder that is a link, or a file, is refused with a message', async t => {
  const folder = root(t)
  mkdirSync(`${folder}/elsewhere`)
  symlinkSync(`${folder}/elsewhere`, `${folder}/queue`)
  await t.rejects(open(t, folder), {
    message: /^cannot keep a queue here: .*\/queue is a link or a file, and not a folder; /,
  })
  t.same(readdirSync(`${folder}/elsewhere`), [])
  const other = root(t)
  mkdirSync(`${other}/queue`)
  symlinkSync(`${folder}/elsewhere`, `${other}/queue/logs`)
  await t.rejects(open(t, other), { message: /queue\/logs is a link/ })
})

t.test('a disk that becomes full at any byte: nothing is lost, and it is written when there is room again', async t => {
  for (let bytes = 0; bytes < 32 + 3 * 56; bytes++) {
    const folder = root(t)
    const files = new Faulty()
    const { queue, lost, clock } = await open(t, folder, { files })
    files.left = bytes
    for (const each of [1, 2, 3]) {
      queue.append(numbered(each, 21))
      await queue.sync()
    }
    t.equal(queue.held('traces').items, 3)
    t.equal(queue.disk().usable, false, `full after ${bytes}`)
    t.equal(queue.disk().fault, 'ENOSPC')
    t.equal(await queue.sync(), false, 'it is not said to be safe')
    files.left = Infinity
    await until(clock, () => queue.disk().usable)
    t.equal(await queue.sync(), true)
    t.equal(queue.held('traces').bytes.memory, 0)
    await queue[Symbol.asyncDispose]()
    const { queue: again } = await open(t, folder)
    t.same(await drain(again), [1, 2, 3], `full after ${bytes}`)
    t.equal(again.disk().corrupt, 0, 'the record that was cut off has been taken back')
    t.same([...lost], [])
    await again[Symbol.asyncDispose]()
  }
})

t.test(
  'a disk that stays full: what memory holds is bounded, and the oldest is lost first, in files and in memory',
  async t => {
    const folder = root(t)
    const files = new Faulty()
    const memory = new Memory(256 << 20).allot('forward', 4 << 20)
    const { queue, lost, logged } = await open(t, folder, { files, memory })
    for (const each of range(1, 10)) await write(queue, [numbered(each, 100_000)])
    files.left = 0
    for (const each of range(11, 200)) {
      await write(queue, [numbered(each, 100_000)])
      t.ok(memory.used <= 5 << 20)
    }
    const gone = lost.get('traces queue_full') ?? 0
    t.equal(queue.held('traces').items, 200 - gone)
    t.equal(logged.filter(line => line.startsWith('error')).length, 1, 'one line')
    const found = await drain(queue)
    t.equal(found.at(-1), 200)
    t.same(found, range(201 - found.length, 200))
    t.ok(found.length > 20)
  },
)

t.test(
  'a file system that is read-only, or takes no file: the queue is in memory, until the folder can be opened',
  async t => {
    for (const fault of ['EROFS', 'EACCES', 'EDQUOT', 'EIO']) {
      const folder = root(t)
      const files = new Faulty()
      files.fault = fault
      const { queue, lost, clock } = await open(t, folder, { files })
      await write(
        queue,
        range(1, 10).map(each => numbered(each)),
      )
      t.same(queue.disk().usable, false, fault)
      t.equal(queue.disk().fault, fault)
      const batch = await next(queue)
      t.same(numbers([batch]), range(1, 10))
      queue.giveBack(batch)
      files.fault = undefined
      await until(clock, () => queue.disk().usable)
      t.equal(queue.held('traces').bytes.memory, 0)
      t.same(await drain(queue), range(1, 10))
      t.same([...lost], [])
      await queue[Symbol.asyncDispose]()
    }
  },
)

t.test('a folder that cannot be made although the one above is there: the queue is in memory', async t => {
  const { queue } = await open(t, '/proc/self')
  await write(queue, [numbered(1)])
  t.equal(queue.disk().fault, 'ENOENT')
  t.same(await drain(queue), [1])
})

t.test('a folder without permission: the queue is in memory, says so once, and goes to disk when it may', async t => {
  if (process.getuid?.() === 0) {
    t.comment('root may write anywhere: there is nothing to see')
    return
  }
  const folder = root(t)
  chmodSync(folder, 0o500)
  t.teardown(() => chmodSync(folder, 0o700))
  const { queue, logged, clock } = await open(t, folder)
  await write(queue, [numbered(1)])
  t.equal(queue.disk().fault, 'EACCES')
  await until(clock, () => clock.monotonic() > 30_000)
  t.equal(logged.filter(line => line.startsWith('error')).length, 1)
  chmodSync(folder, 0o700)
  await until(clock, () => queue.disk().usable)
  t.equal(segments(folder).length, 1)
})

t.test(
  'records of an earlier process are sent even if the folder could be opened only later, behind those in memory',
  async t => {
    const folder = root(t)
    const { queue: before } = await open(t, folder)
    await write(before, [numbered(1), numbered(2)])
    await before[Symbol.asyncDispose]()
    const files = new Faulty()
    const names = files.names
    files.names = async () => {
      throw Object.assign(new Error('not now'), { code: 'EIO' })
    }
    const { queue, clock } = await open(t, folder, { files })
    await write(queue, [numbered(3), numbered(4)])
    t.same([queue.disk().usable, queue.recovered('traces')], [false, 0])
    const batch = await next(queue)
    queue.append(numbered(5))
    files.names = names
    await until(clock, () => queue.disk().usable)
    t.equal(queue.recovered('traces'), 2)
    t.same([...numbers([batch]), ...(await drain(queue))].sort(), [1, 2, 3, 4, 5])
    queue.done(batch)
    t.equal(queue.held('traces').items, 0)
  },
)

t.test('a limit of the size of files ends a file early, and loses nothing', async t => {
  const folder = root(t)
  const files = new Faulty()
  const { queue, lost } = await open(t, folder, { files })
  await write(queue, [numbered(1), numbered(2)])
  files.fault = 'EFBIG'
  files.left = 50
  queue.append(numbered(3))
  setImmediate(() => {
    files.fault = undefined
    files.left = Infinity
  })
  await queue.sync()
  await write(queue, [numbered(4)])
  t.same(await drain(queue), [1, 2, 3, 4])
  t.same([...lost], [])
})

t.test(
  'a sync that fails: what the disk did not take is written again to another file, before it counts as safe',
  async t => {
    for (const fails of [1, 2, 5]) {
      const folder = root(t)
      const files = new Faulty()
      const { queue, clock } = await open(t, folder, { files, sync: 'request' })
      await write(queue, [numbered(1, 30)])
      t.equal(await queue.sync(), true)
      files.failingSyncs = fails
      queue.append(numbered(2, 30))
      queue.append(numbered(3, 30))
      t.equal(await queue.sync(), fails === 1, 'one failure is made good at once; a second one is a fault of the disk')
      t.equal(queue.disk().usable, fails === 1)
      await until(clock, () => queue.disk().usable)
      t.equal(await queue.sync(), true)
      // The first file ends where the disk had it, as soon as the rest is in another one.
      await until(clock, () => readFileSync(segmentPath(folder)).length === 32 + 64)
      t.ok(segments(folder).length >= 2)
      t.same(await drain(queue), [1, 2, 3])
      t.equal(queue.held('traces').items, 0)
      await queue[Symbol.asyncDispose]()
    }
  },
)

t.test('a process that ends after syncs have failed: what was to be written again is found where it was', async t => {
  const folder = root(t)
  const files = new Faulty()
  const { queue, clock } = await open(t, folder, { files })
  for (const each of range(1, 4)) await write(queue, [numbered(each, 300_000)])
  const batch = await next(queue)
  const done = numbers([batch])
  // The disk takes the cursor, which has something to say from here on, and no other file.
  queue.done(batch)
  const [syncAny, writeAny] = [files.sync, files.write]
  files.sync = async fd => {
    if (!readlinkSync(`/proc/self/fd/${fd}`).endsWith('cursor.tmp'))
      throw Object.assign(new Error('EIO'), { code: 'EIO' })
    await syncAny(fd)
  }
  // Earlier writes may have been synced already.
  await write(queue, [numbered(5, 300_000)])
  await until(clock, () => !queue.disk().usable)
  files.writeLater = async (fd, buffers) => writeAny(fd, buffers)
  files.write = () => 0
  for (let turns = 0; turns < 40; turns++) await clock.pass(500)
  files.dead = true
  await queue[Symbol.asyncDispose]()
  const { queue: again } = await open(t, folder)
  const found = new Set(await drain(again))
  for (const each of range(1, 5)) if (!done.includes(each)) t.ok(found.has(each), `record ${each}`)
})

t.test('a sync that fails while most is only in the file: it is read and written again', async t => {
  const folder = root(t)
  const files = new Faulty()
  const memory = new Memory(256 << 20).allot('forward', 1 << 20)
  const { queue, clock } = await open(t, folder, { files, memory })
  for (const each of range(1, 39)) await write(queue, [numbered(each, 50_000)])
  const batch = await next(queue)
  files.failingSyncs = 1
  // Earlier writes may have been synced already.
  await write(queue, [numbered(40, 50_000)])
  await until(clock, () => segments(folder).length > 1)
  await write(queue, [numbered(41, 50_000)])
  t.equal(queue.held('traces').items, 41)
  t.same(
    [...numbers([batch]), ...(await drain(queue))].sort((a, b) => a - b),
    range(1, 41),
  )
  queue.done(batch)
  t.equal(queue.held('traces').items, 0)
  t.equal(queue.held('traces').bytes.disk, 0)
})

t.test('with sync: request nothing is safe before the disk has it, and many requests share a sync', async t => {
  const folder = root(t)
  const files = new Faulty()
  const { queue, clock } = await open(t, folder, { files, sync: 'request' })
  await write(queue, [numbered(0)])
  const gates: (() => void)[] = []
  const { sync } = files
  files.sync = async fd => {
    await new Promise<void>(resolve => gates.push(resolve))
    await sync(fd)
  }
  const safe: number[] = []
  for (const each of range(1, 50)) {
    queue.append(numbered(each))
    queue.sync().then(() => safe.push(each))
    if (each % 10 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  await until(clock, () => gates.length === 1)
  t.same(safe, [], 'nothing yet')
  gates[0]?.()
  await until(clock, () => gates.length === 2)
  t.ok(safe.length >= 1 && safe.length < 50, `${safe.length}: those that were written when the sync began`)
  await until(clock, () => {
    for (const each of gates) each()
    return safe.length === 50
  })
  t.same(safe, range(1, 50))
  t.ok(gates.length <= 4, `${gates.length} syncs`)
})

t.test('a write that holds the loop makes further ones asynchronous, and is said once', async t => {
  const folder = root(t)
  const files = new Faulty()
  const { queue, logged, clock } = await open(t, folder, { files })
  let later = 0
  const { write: quick, writeLater } = files
  files.write = (fd, buffers) => {
    clock.skip(60)
    return quick(fd, buffers)
  }
  files.writeLater = (fd, buffers) => {
    later++
    return writeLater(fd, buffers)
  }
  for (const each of range(1, 5)) await write(queue, [numbered(each)])
  t.ok(later >= 3, `${later}`)
  t.equal(logged.filter(line => line.includes('slow')).length, 1)
  files.write = quick
  clock.skip(61_000)
  const before = later
  await write(queue, [numbered(6)])
  t.equal(later, before, 'after a minute it is tried again')
  t.same(await drain(queue), range(1, 6))
})

t.test('a request sent while a slow write is under way is neither damaged nor sent again', async t => {
  const folder = root(t)
  const files = new Faulty()
  const { queue, clock } = await open(t, folder, { files })
  const { write: quick, writeLater } = files
  files.write = (fd, buffers) => {
    clock.skip(60)
    return quick(fd, buffers)
  }
  await write(queue, [numbered(0)])
  files.writeLater = async (fd, buffers) => {
    await new Promise(resolve => setTimeout(resolve, 30))
    return writeLater(fd, buffers)
  }
  const found: number[] = []
  for (const each of range(1, 50)) {
    queue.append(numbered(each, 20_000))
    await new Promise(resolve => setImmediate(resolve))
    if (each % 3 === 0) found.push(...(await drain(queue)))
  }
  await queue.sync()
  found.push(...(await drain(queue)))
  t.same(found, range(0, 50))
  t.equal(queue.held('traces').items, 0)
  await queue[Symbol.asyncDispose]()
  const { queue: again } = await open(t, folder)
  t.equal(again.recovered('traces'), 0)
  t.equal(again.disk().corrupt, 0)
})

t.test('a second process is refused at once, with a message, and can open it when the first has ended', async t => {
  const folder = root(t)
  const { queue } = await open(t, folder)
  await t.rejects(open(t, folder), {
    message:
      /^cannot use .*\/queue as a queue: another process of this machine has it open; give each sidecar a folder/,
  })
  await write(queue, [numbered(1)])
  await queue[Symbol.asyncDispose]()
  const { queue: second } = await open(t, folder)
  t.same(await drain(second), [1])
})

t.test('a process of another network namespace, or of another machine, is seen by its heartbeat', async t => {
  const folder = root(t)
  const self = identity()
  for (const other of [{ network: 'net:[1]' }, { boot: 'another-boot' }]) {
    writeFileSync(`${folder}/LOCK`, `${Object.values({ ...self, ...other, pid: 4711 }).join(' ')}\n`)
    await t.rejects(lock(folder, new FakeClock()), {
      message: /process 4711 of another pod or machine touched LOCK \d+ ms ago/,
    })
    spawnSync('touch', ['-d', '21 seconds ago', `${folder}/LOCK`])
    const taken = await lock(folder, new FakeClock())
    t.match(readFileSync(`${folder}/LOCK`, 'utf8'), ` ${process.pid} `)
    await taken[Symbol.asyncDispose]()
    t.same(readdirSync(folder), [])
  }
})

t.test(
  'after a kill the next process has the lock at once: its own network namespace shows that the other is gone',
  async t => {
    const folder = root(t)
    writeFileSync(`${folder}/LOCK`, `${Object.values({ ...identity(), pid: 4711 }).join(' ')}\n`)
    const taken = await lock(folder, new FakeClock())
    t.match(readFileSync(`${folder}/LOCK`, 'utf8'), ` ${process.pid} `)
    await taken[Symbol.asyncDispose]()
  },
)

t.test('a process that stood still until another one took its folder changes nothing in it any more', async t => {
  const folder = root(t)
  const { queue, clock, lost } = await open(t, folder)
  await write(queue, [numbered(1)])
  await new Promise(resolve => setTimeout(resolve, 10))
  writeFileSync(
    `${folder}/LOCK.other`,
    `${Object.values({ ...identity(), network: 'net:[1]', pid: 4711 }).join(' ')}\n`,
  )
  renameSync(`${folder}/LOCK.other`, `${folder}/queue/LOCK`)
  queue.append(numbered(2))
  await until(clock, () => !queue.disk().usable)
  t.equal(queue.disk().fault, 'taken')
  const before = readFileSync(segmentPath(folder))
  queue.append(numbered(3))
  await drain(queue)
  await until(clock, () => clock.monotonic() > 60_000)
  await queue[Symbol.asyncDispose]()
  t.same(readFileSync(segmentPath(folder)), before)
  t.match(readFileSync(`${folder}/queue/LOCK`, 'utf8'), ' 4711 ')
  t.ok([...lost].length <= 1)
})
