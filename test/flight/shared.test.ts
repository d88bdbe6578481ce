// A folder that several sidecars share, or that is full of other things.

import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Files } from '../../exporter/flight/files.ts'
import { ourselves } from '../../exporter/flight/owner.ts'
import { type Found, type RecoverHost, recover } from '../../exporter/flight/recover.ts'
import { Ring } from '../../exporter/flight/ring.ts'
import { until } from '../e2e/child.ts'
import { FakeClock } from '../world.ts'
import { openRoom } from './room.ts'

t.test('records that several sidecars write at the same moment are all kept', async t => {
  const dir = t.testdir({})
  const sidecars = Array.from({ length: 4 }, () => new Files(dir, { keep: 100, max_bytes: 1e9 }, () => {}))
  const names = await Promise.all(
    sidecars.flatMap((files, i) => [
      files.put('gone', 1.75e12, `first of ${i}`),
      files.put('gone', 1.75e12, `of ${i}`),
    ]),
  )
  t.equal(new Set(names).size, 8)
  const texts = await Promise.all(names.map(async name => (await sidecars[0]!.read(name))?.toString()))
  t.same(texts.sort(), ['first of 0', 'first of 1', 'first of 2', 'first of 3', 'of 0', 'of 1', 'of 2', 'of 3'])
  t.same(
    readdirSync(dir).filter(name => name.endsWith('.part')),
    [],
  )
})

t.test('a half-written record of a killed sidecar keeps its number, and nobody from writing', async t => {
  const dir = t.testdir({})
  writeFileSync(join(dir, 'flight-000007-20250615T150640Z-gone.html.part'), 'half')
  const files = new Files(dir, { keep: 3, max_bytes: 1e9 }, () => {})
  t.match(await files.put('gone', 1.75e12, 'whole'), /^flight-000008-/)
})

t.test('the bounds hold in a folder with many files of others', async t => {
  const dir = t.testdir({})
  for (let i = 0; i < 10_500; i++) writeFileSync(join(dir, `a${i}`), '')
  const files = new Files(dir, { keep: 2, max_bytes: 1e9 }, () => {})
  for (let i = 1; i <= 4; i++) await files.put('asked', i, String(i))
  t.same(
    (await files.list()).map(({ sequence }) => sequence),
    [4, 3],
  )
})

t.test('a ring that was left behind is found among those of many sidecars that live', async t => {
  const room = await openRoom(t)
  const self = ourselves('/proc')!
  const about = { version: '1', made: 1 }
  for (let i = 0; i < 20; i++) await Ring.create(room.dir, { ...about, owner: self })
  const gone = { ...self, ticks: self.ticks + 1 }
  for (let i = 0; i < 3; i++) {
    const ring = await Ring.create(room.dir, { ...about, owner: gone })
    ring.state({ at: 1, application: { pid: gone.pid, ticks: gone.ticks, child: true, since: 1 } })
    await ring.settled()
  }
  room.recorder.start()
  await until('three records', async () => (await room.names()).length === 3 || undefined)
})

/** A ring whose owner has ended; its id. */
async function left(dir: string): Promise<string> {
  const self = ourselves('/proc')!
  const gone = { ...self, ticks: self.ticks + 1 }
  const ring = await Ring.create(dir, { version: '1', made: 1, owner: gone })
  ring.state({ at: 1, application: { pid: gone.pid, ticks: gone.ticks, child: true, since: 1 } })
  await ring.settled()
  const bytes = readFileSync(ring.path)
  await ring.close()
  writeFileSync(ring.path, bytes)
  return ring.id
}

/** One of the sidecars that start, and what it does with its findings. */
function finder(write: (found: Found) => Promise<void> = async () => {}) {
  const clock = new FakeClock()
  const written: string[] = []
  const told: string[] = []
  const host: RecoverHost = {
    proc: '/proc',
    clock,
    version: '1',
    own: () => undefined,
    async write(found) {
      written.push(found.ring)
      await write(found)
    },
    nothing: why => told.push(why),
    unreadable: name => told.push(name),
  }
  return { clock, written, told, host }
}

const files = (dir: string) => new Files(dir, { keep: 100, max_bytes: 1e9 }, () => {})
const never = new AbortController().signal

t.test('of sidecars that find a ring at the same moment, one makes a record of it', async t => {
  const dir = t.testdir({})
  const ids = await Promise.all([left(dir), left(dir), left(dir)])
  const finders = Array.from({ length: 8 }, () => finder())
  const done = Promise.all(finders.map(({ host }) => recover(files(dir), host, never)))
  // A sidecar that sees one that another has taken waits to see whether it stays.
  let over = false
  void done.then(() => {
    over = true
  })
  await until('all are done', async () => {
    for (const { clock } of finders) await clock.pass(1000)
    return over || undefined
  })
  t.same(finders.flatMap(({ written }) => written).sort(), ids.sort())
  t.same(readdirSync(dir), [])
})

t.test('a ring that another has taken is left to it, and recovered if it stays: the other has ended, too', async t => {
  const dir = t.testdir({})
  const id = await left(dir)
  const { clock, written, host } = finder()
  renameSync(join(dir, `ring-${id}.bin`), join(dir, `ring-${id}.0123abcd.taken`))
  const done = recover(files(dir), host, never)
  await clock.pass(14_000)
  t.same(written, [])
  await until('it is recovered', async () => {
    await clock.pass(1000)
    return written.length > 0 || undefined
  })
  await done
  t.same(written, [id])
  t.same(readdirSync(dir), [])
})

t.test('a ring of which no record can be written has its name again, and is found by the next start', async t => {
  const dir = t.testdir({})
  const id = await left(dir)
  const full = finder(() => Promise.reject(new Error('no space left')))
  await t.rejects(recover(files(dir), full.host, never), { message: 'no space left' })
  t.same(readdirSync(dir), [`ring-${id}.bin`])
  const next = finder()
  await recover(files(dir), next.host, never)
  t.same(next.written, [id])
  t.same(readdirSync(dir), [])
})
