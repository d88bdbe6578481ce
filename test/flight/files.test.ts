// The folder of the records: bounds, links, a full or read-only disk, a clock that is set, and what is asked over HTTP.

import { execFileSync } from 'node:child_process'
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Files, isRecordName, readFile } from '../../exporter/flight/files.ts'
import { impossible } from '../process/real.ts'
import { openServer, parsed } from '../web/open.ts'
import { scraped } from '../world.ts'
import { OPTIONS, openRoom, started, until } from './room.ts'

const NO_MOUNT = impossible('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt'], 'run as root')
const ENDED = { pid: 7, at: 1.75e12, reason: 'killed', evidence: 'status', text: 'it ended by SIGKILL' }

t.test('the oldest records are removed beyond a number and beyond bytes, never the newest', async t => {
  const removed: string[] = []
  const files = new Files(t.testdir({}), { keep: 3, max_bytes: 1000 }, limit => removed.push(limit))
  for (let i = 1; i <= 5; i++) await files.put('asked', i * 1e12, `record ${i}`)
  t.same(
    (await files.list()).map(({ sequence }) => sequence),
    [5, 4, 3],
  )
  t.same(removed, ['keep', 'keep'])
  await files.put('gone', 1, 'x'.repeat(995))
  t.same(
    (await files.list()).map(({ sequence }) => sequence),
    [6],
  )
  await files.put('gone', 2, 'x'.repeat(5000))
  t.equal((await files.list()).length, 1, 'one that is larger than the bound is still kept, alone')
  t.same(removed.slice(2), ['max_bytes', 'max_bytes', 'keep', 'max_bytes'])
})

t.test('a clock that is set back makes new records no older than those before', async t => {
  const files = new Files(t.testdir({}), { keep: 2, max_bytes: 1e9 }, () => {})
  for (const at of [3e12, 2e12, 1e12]) await files.put('gone', at, String(at))
  const [newest] = await files.list()
  t.equal((await files.read(newest!.name))?.toString(), '1000000000000')
})

t.test('records are for their owner alone, and so is a folder that is made for them', async t => {
  const dir = join(t.testdir({}), 'made/for/it')
  const files = new Files(dir, { keep: 2, max_bytes: 1e9 }, () => {})
  await files.prepare()
  const name = await files.put('gone', 1, 'text')
  t.equal(statSync(dir).mode & 0o777, 0o700)
  t.equal(statSync(join(dir, name)).mode & 0o777, 0o600)
})

t.test('links in the folder are neither followed nor read, and what they point to stays as it is', async t => {
  const root = t.testdir({ target: 'precious', dir: {} })
  const dir = join(root, 'dir')
  const files = new Files(dir, { keep: 1, max_bytes: 1e9 }, () => {})
  const next = 'flight-000001-19700101T000000Z-gone.html'
  symlinkSync(join(root, 'target'), join(dir, `${next}.part`))
  symlinkSync(join(root, 'target'), join(dir, next))
  t.same(await files.list(), [], 'a link is no record')
  t.equal(await files.read(next), undefined)
  t.equal(await readFile(join(dir, next), 1000), undefined)
  const name = await files.put('gone', 0, 'text')
  t.ok(lstatSync(join(dir, name)).isFile())
  symlinkSync(join(root, 'target'), join(dir, `ring-${'b'.repeat(16)}.bin`))
  symlinkSync('/dev/zero', join(dir, `ring-${'c'.repeat(16)}.bin`))
  mkdirSync(join(dir, `ring-${'d'.repeat(16)}.bin`))
  execFileSync('mkfifo', [join(dir, `ring-${'e'.repeat(16)}.bin`)])
  const room = await openRoom(t, { dir })
  room.recorder.start()
  room.host.app.ended = ENDED
  await room.look()
  t.equal((await room.names()).length, 2, 'it works on')
  t.equal(readFileSync(join(root, 'target'), 'utf8'), 'precious')
})

t.test('a folder that cannot be written is said, counted, and tried again; nothing else suffers', async t => {
  const root = t.testdir({ file: 'no folder' })
  const room = await openRoom(t, { dir: join(root, 'file') })
  room.recorder.start()
  room.host.app.ended = ENDED
  await room.look()
  await until(
    'the ring has failed',
    async () => ((await room.metric('pillion_flight_failures_total', { what: 'ring' })) ?? 0) > 0 || undefined,
  )
  t.equal(await room.metric('pillion_flight_failures_total', { what: 'record' }), 1)
  t.match(room.recorder.findings()[0]?.text, /cannot write .*; check flight\.dir and the room on its disk/)
  t.match(room.host.logged.join('\n'), /flight record not written/)
  t.equal(room.offered.length, 1, 'the summary goes upstream all the same')
  rmSync(join(root, 'file'))
  room.host.clock.skip(60_000)
  await room.look()
  await until('a ring', () => readdirSync(join(root, 'file')).some(name => name.startsWith('ring-')) || undefined)
  room.host.app.ended = { ...ENDED, reason: 'oom' }
  await room.look()
  t.equal((await room.names()).length, 1)
  t.same(room.recorder.findings(), [])
})

t.test('a folder in which none can be made is said at once, and tried no more than others', async t => {
  const room = await openRoom(t, { dir: '/proc/nowhere/flights' })
  room.host.app.ended = ENDED
  await room.look()
  t.match(room.recorder.findings()[0]?.text, /cannot make the folder \/proc\/nowhere: nothing can be made in \/proc/)
})

for (const [title, options] of [
  ['a full disk', 'size=64k'],
  ['a disk that is read-only', 'ro'],
] as const)
  t.test(`${title} costs the record, and is said`, { skip: NO_MOUNT }, async t => {
    // In a mount namespace of its own, so that nothing is left.
    const program = join(import.meta.dirname, 'full.ts')
    const script = `mount -t tmpfs -o ${options} none /mnt && exec "$0" "$@"`
    const out = execFileSync('unshare', ['--mount', 'sh', '-c', script, process.execPath, program, '/mnt'], {
      encoding: 'utf8',
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    const { findings, failures, names } = JSON.parse(out.trim().split('\n').at(-1)!)
    t.match(findings.join('\n'), /cannot write a flight record in \/mnt: E(NOSPC|ROFS)/)
    t.match(findings.join('\n'), /cannot write the ring of the flight recorder in \/mnt: E(NOSPC|ROFS)/)
    t.same(failures, [1, 1])
    t.same(names, [], 'nothing half written is left')
  })

t.test('a record that was half written is removed later', async t => {
  const dir = t.testdir({ 'flight-000001-19700101T000000Z-gone.html.part': 'half', 'other.part': 'not ours' })
  const files = new Files(dir, { keep: 1, max_bytes: 1e9 }, () => {})
  await files.sweep(0)
  t.equal(readdirSync(dir).length, 2, 'it may be under way')
  await files.sweep(Date.now() + 1000)
  t.same(readdirSync(dir), ['other.part'])
})

t.test('records are listed, fetched and asked for over HTTP; no other file is', async t => {
  const dir = t.testdir({ secret: 'no', 'flight-1.html': 'no' })
  const { running, host } = await started(dir)
  t.teardown(() => running[Symbol.asyncDispose]())
  host.clock.skip(5000)
  const { ask } = await openServer(t, { host: { routes: () => running.routes ?? [] } })
  const made = parsed(await ask('POST /-/flight'))
  t.equal(made.status, 201)
  const { name } = JSON.parse(made.body)
  t.ok(isRecordName(name))
  t.equal(parsed(await ask('POST /-/flight')).status, 429, 'not twice in a second')
  const list = JSON.parse(parsed(await ask('GET /api/flight')).body)
  t.match(list, { on: true, records: [{ name, trigger: 'asked' }] })
  const one = parsed(await ask(`GET /api/flight/${name}`))
  t.equal(one.status, 200)
  t.match(one.head, /Content-Disposition: attachment/)
  t.match(one.head, /Content-Security-Policy: /)
  for (const path of [
    'secret',
    'flight-1.html',
    '..%2fsecret',
    '../secret',
    `${name}%00`,
    'flight-000009-19700101T000000Z-gone.html',
  ])
    t.equal(parsed(await ask(`GET /api/flight/${path}`)).status, 404, path)
})

t.test('a reload with a lower bound removes what is beyond it at once', async t => {
  const dir = t.testdir({})
  const { running, host } = await started(dir)
  t.teardown(() => running[Symbol.asyncDispose]())
  const files = new Files(dir, { keep: 10, max_bytes: 1e9 }, () => {})
  for (let i = 0; i < 5; i++) await files.put('asked', i, 'text')
  const step = await running.prepare({ ...OPTIONS, dir, keep: 2 })
  t.equal((await files.list()).length, 5, 'judged, and not in effect')
  await step()
  await until('two are left', async () => (await files.list()).length === 2 || undefined)
  await running.collect?.(AbortSignal.timeout(5000))
  const text = await scraped(host)
  t.match(text, 'pillion_flight_held_records 2')
  t.match(text, 'pillion_flight_removed_total{limit="keep"} 3')
})

t.test('without flight.dir nothing is written, and asking says what to set', async t => {
  const { running } = await started(undefined)
  const { ask } = await openServer(t, { host: { routes: () => running.routes ?? [] } })
  const { status, body } = parsed(await ask('POST /-/flight'))
  t.equal(status, 409)
  t.match(JSON.parse(body).error, /set flight\.dir/)
  t.match(JSON.parse(parsed(await ask('GET /api/flight')).body), { on: false, records: [] })
})

t.test('records are not shown to other hosts without a token', async t => {
  const { running } = await started(t.testdir({}))
  t.teardown(() => running[Symbol.asyncDispose]())
  for (const { path, access } of running.routes ?? []) t.equal(access, 'operator', path)
})

t.test(
  'a file that is put in the place of the ring is not taken, and a ring that was removed is made again',
  async t => {
    const room = await openRoom(t)
    room.recorder.start()
    room.recorder.look()
    const name = await until('a ring', () => readdirSync(room.dir).find(each => each.startsWith('ring-')))
    rmSync(join(room.dir, name))
    writeFileSync(join(room.dir, name), 'another file')
    await until('another ring', async () => {
      room.host.clock.skip(60_000)
      await room.look()
      return readdirSync(room.dir).find(each => each.startsWith('ring-') && each !== name)
    })
    t.equal(readFileSync(join(room.dir, name), 'utf8'), 'another file')
  },
)
