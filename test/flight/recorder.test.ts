// The recorder: when it writes, what it leaves out, what it says upstream, and what is made of a ring that was left
// behind.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ourselves } from '../../exporter/flight/owner.ts'
import { Ring } from '../../exporter/flight/ring.ts'
import { emptyRow } from '../../telemetry/moment.ts'
import { decoder } from '../otlp/protobufjs.ts'
import { openRoom, type Room, until } from './room.ts'

t.setTimeout(120_000)

const KILLED = { reason: 'killed', evidence: 'status', text: "the application's process 7 ended by SIGKILL" }

t.test('an end is written with its reason, the samples before it, and what was noted', async t => {
  const room = await openRoom(t)
  const { host, row, look, names, record, marks } = room
  host.app.pid = process.pid
  for (let i = 0; i < 50; i++) row({ memory: 1000 + i, allRun: i / 10 })
  await look()
  t.same(await names(), [], 'nothing has happened')
  marks.push({ at: host.clock.now(), kind: 'health', text: 'ready failed' })
  host.app.pid = undefined
  host.app.ended = { ...KILLED, pid: process.pid, at: host.clock.now() }
  await look()
  const [name] = await names()
  t.match(name, /^flight-000001-\d{8}T\d{6}Z-gone\.html$/)
  const found = await record(name!)
  t.match(found, { trigger: 'gone', cause: KILLED, application: { name: 'shop', pid: process.pid } })
  t.equal(found.samples.times.length, 50)
  t.equal(found.samples.columns['memory']?.at(-1), 1049)
  t.match(found.marks, [{ text: 'ready failed' }])
  t.equal(await room.metric('pillion_flight_records_total', { reason: 'gone' }), 1)
  await look()
  t.equal((await names()).length, 1, 'once')
})

t.test(
  'after the clock was set, a record has the samples since then, in order, and none that do not compare',
  async t => {
    const { host, ring, row, look, names, record } = await openRoom(t)
    for (let i = 0; i < 20; i++) row({ memory: i })
    for (let i = 0; i < 10; i++) {
      host.clock.skip(100)
      ring.add(host.clock.now() - 3_600_000, host.clock.monotonic(), { ...emptyRow(), process: 1, memory: 100 + i })
    }
    host.app.ended = { ...KILLED, pid: 7, at: host.clock.now() - 3_600_000 }
    await look()
    const { samples, at } = await record((await names())[0]!)
    t.same(samples.columns['memory'], [100, 101, 102, 103, 104, 105, 106, 107, 108, 109])
    t.same(
      samples.times,
      samples.times.toSorted((a, b) => a - b),
    )
    t.equal(samples.times.at(-1), at)
  },
)

t.test('its summary goes upstream as a log record, and into the log', async t => {
  const { host, look, offered } = await openRoom(t)
  host.app.ended = { ...KILLED, pid: 7, at: host.clock.now() }
  await look()
  const LogsRequest = decoder('logs')
  const [request] = offered.map(bytes => LogsRequest.toObject(LogsRequest.decode(bytes), { longs: String }))
  const [{ resource, scopeLogs }] = request!['resourceLogs']
  t.match(resource.attributes, [{ key: 'service.name', value: { stringValue: 'shop' } }])
  const [log] = scopeLogs[0].logRecords
  t.match(log, { severityNumber: 21, severityText: 'FATAL', eventName: 'pillion.flight' })
  t.match(log.body.stringValue, /^shop \(pid 7\) ended at 2025-.*: killed \(proven by its exit status\)/)
  t.match(host.logged.join('\n'), /warn flight record written/)
})

t.test('a probe that goes from up to down is written, unless its process has just ended', async t => {
  const { host, look, names, record } = await openRoom(t)
  const failing = () => ({ probe: 'ready', at: host.clock.now(), failures: 3, why: 'timeout' })
  host.app.pid = process.pid
  host.app.failing = failing()
  await look()
  t.match((await record((await names())[0]!)).cause.text, /probe ready failed 3 times in a row \(timeout\)/)
  host.app.pid = undefined
  host.app.ended = { ...KILLED, pid: process.pid, at: host.clock.now() }
  host.app.failing = { ...failing(), probe: 'live' }
  await look()
  t.same(
    (await names()).map(name => name.split('-').at(-1)),
    ['gone.html', 'failing.html'],
  )
})

t.test('a resource that is almost used up is written once, and again after there was room', async t => {
  const { host, row, look, names, metric } = await openRoom(t)
  host.app.pid = process.pid
  const used = async (share: number): Promise<number> => {
    row({ memory: share * 1000, memoryLimit: 1000 })
    await look()
    return (await names()).length
  }
  t.equal(await used(0.94), 0)
  t.equal(await used(0.96), 1)
  t.equal(await used(0.99), 1)
  t.equal(await used(0.5), 1)
  t.equal(await used(0.97), 1, 'one of a kind in five minutes')
  t.equal(await metric('pillion_flight_skipped_total', { reason: 'dying' }), 1)
  await used(0.5)
  host.clock.skip(300_000)
  t.equal(await used(0.97), 2)
  host.app.uses = new Map([['descriptors', [990, 1000]]])
  t.equal(await used(0.97), 3)
})

t.test('memory that grows so that it runs out within a minute is written before, once', async t => {
  const { host, row, look, names, record, metric } = await openRoom(t)
  host.app.pid = process.pid
  const at = async (share: number): Promise<void> => {
    row({ memory: share * 1000, memoryLimit: 1000 }, 500)
    await look()
  }
  for (let s = 0; s < 120; s += 0.5) await at(0.5)
  t.equal((await names()).length, 0)
  // 0.4 % a second: at 76 % it has a minute left.
  for (let s = 0; s < 90; s += 0.5) await at(0.5 + 0.004 * s)
  t.equal((await names()).length, 1)
  const { trigger, cause, samples } = await record((await names())[0]!)
  t.match({ trigger, cause }, { trigger: 'dying', cause: { reason: 'dying' } })
  const [, used, left] = /^memory: (\d+) % of the limit is used, and all of it in (\d+) s/.exec(cause.text) ?? []
  t.ok(Number(used) >= 70 && Number(used) < 85, cause.text)
  t.ok(Math.abs(Number(left) - (100 - Number(used)) / 0.4) < 8, cause.text)
  t.ok(samples.times.length > 100)
  t.equal(await metric('pillion_flight_skipped_total', { reason: 'dying' }), 0)
  // The record at 95 % would be the second of its kind within five minutes.
  for (let s = 90; s < 118; s += 0.5) await at(0.5 + 0.004 * s)
  t.equal((await names()).length, 1)
  t.equal(await metric('pillion_flight_skipped_total', { reason: 'dying' }), 1)
})

t.test('another process has another growth', async t => {
  const { host, row, look, names } = await openRoom(t)
  const other = spawn('sleep', ['60'])
  t.teardown(() => other.kill('SIGKILL'))
  host.app.pid = process.pid
  for (let s = 0; s < 100; s += 0.5) {
    if (s === 50) host.app.pid = other.pid
    row({ memory: 400 + 5 * s, memoryLimit: 1000 }, 500)
    await look()
  }
  t.same(await names(), [], 'it is too young')
})

t.test('a stop while the application runs is written, once for a process in five minutes', async t => {
  const room = await openRoom(t)
  const { host, row, names, record, metric, recorder, dir } = room
  host.app.pid = process.pid
  for (let i = 0; i < 20; i++) row({ memory: 1000 + i })
  await recorder.finish(AbortSignal.timeout(10_000))
  const [name] = await names()
  t.match(name, /-stopping\.html$/)
  t.match(await record(name!), {
    trigger: 'stopping',
    cause: { text: 'the sidecar was told to stop while the application was running' },
    application: { pid: process.pid },
  })
  t.match(host.logged.join('\n'), /info flight record written/)
  t.equal(await metric('pillion_flight_records_total', { reason: 'stopping' }), 1)
  // The next sidecar, in the same folder. Files carry the time of the machine.
  const again = await openRoom(t, { dir })
  again.host.clock.skip(Date.now() - again.host.clock.now())
  again.host.app.pid = process.pid
  await again.recorder.finish(AbortSignal.timeout(10_000))
  t.equal(await again.metric('pillion_flight_skipped_total', { reason: 'stopping' }), 1)
  const other = spawn('sleep', ['60'])
  t.teardown(() => other.kill('SIGKILL'))
  const third = await openRoom(t, { dir })
  third.host.clock.skip(Date.now() - third.host.clock.now())
  third.host.app.pid = other.pid
  await third.recorder.finish(AbortSignal.timeout(10_000))
  t.equal((await third.names()).length, 2, 'another application')
  // In a container that was started again, the application often has the number that it had.
  const { report } = await import('../../exporter/flight/report.ts')
  const [last] = await third.names()
  const written = await third.record(last!)
  const before = { ...written, application: { ...written.application, startTicks: 1 } }
  await third.recorder.files.replace(last!, report(before))
  const fourth = await openRoom(t, { dir })
  fourth.host.clock.skip(Date.now() - fourth.host.clock.now())
  fourth.host.app.pid = other.pid
  await fourth.recorder.finish(AbortSignal.timeout(10_000))
  t.equal((await fourth.names()).length, 3, 'another one with the same number')
})

t.test('a stop does not wait for a record that hangs, and none is written if the application has gone', async t => {
  const asked = Promise.withResolvers<object>()
  const { host, names, recorder } = await openRoom(t, { recall: () => asked.promise })
  host.app.pid = process.pid
  const begun = performance.now()
  await recorder.finish(AbortSignal.timeout(60_000))
  t.ok(performance.now() - begun < 5000)
  t.same(await names(), [])
  asked.resolve({})
  await recorder.written()
  const gone = await openRoom(t)
  gone.host.app.outcome = { code: 0, seconds: 1, cpuSeconds: undefined, peakBytes: undefined, at: 1 }
  gone.host.app.pid = process.pid
  await gone.recorder.finish(AbortSignal.timeout(10_000))
  gone.host.app.outcome = undefined
  gone.host.app.pid = (await dead()).pid
  await gone.recorder.finish(AbortSignal.timeout(10_000))
  t.same(await gone.names(), [])
})

t.test('an end that is judged a moment after the stop still gets its record', async t => {
  const { host, look, names, recorder } = await openRoom(t)
  host.app.pid = process.pid
  await look()
  host.app.pid = undefined
  const finished = recorder.finish(AbortSignal.timeout(10_000))
  setTimeout(() => {
    host.app.ended = { ...KILLED, pid: process.pid, at: host.clock.now() }
  }, 50)
  await finished
  t.match(await names(), [/-gone\.html$/])
})

t.test('many ends of one kind leave one record in five minutes; another reason leaves its own', async t => {
  const { host, look, names, metric } = await openRoom(t)
  const end = async (reason: string) => {
    host.app.ended = { ...KILLED, reason, pid: 7, at: host.clock.now() }
    await look()
  }
  for (let i = 0; i < 20; i++) await end('error')
  await end('oom')
  t.equal((await names()).length, 2)
  t.equal(await metric('pillion_flight_skipped_total', { reason: 'gone' }), 19)
})

t.test('the record of an end says when the application was back', async t => {
  const { host, look, names, record } = await openRoom(t)
  host.app.ended = { ...KILLED, pid: 7, at: host.clock.now() }
  await look()
  host.clock.skip(4000)
  host.app.pid = process.pid
  await look()
  await look()
  const [name] = await names()
  const { back, at } = await record(name!)
  t.match(back, { pid: process.pid, at: at + 4000 })
})

t.test('secrets in log records, marks and names are not written', async t => {
  const room = await openRoom(t, { redact: ['internal-\\d+'] })
  const { host, logs, marks, look, names } = room
  const secrets = [
    'hunter2',
    'abcdef0123456789',
    'c2VjcmV0OnNlY3JldA',
    'internal-4711',
    'AKIAABCDEFGHIJKLMNOP',
    'gosecret',
  ]
  const log = (body: string) =>
    logs.push({ at: host.clock.now(), severity: 'INFO', service: 'shop', body, traceId: '' })
  log('password=hunter2 and {"api_key": "abcdef0123456789"}')
  log('Authorization: Basic c2VjcmV0OnNlY3JldA==')
  log('found internal-4711 with AKIAABCDEFGHIJKLMNOP')
  marks.push({ at: host.clock.now(), kind: 'health', text: 'ready failed (https://user:gosecret@host/x)' })
  host.app.ended = { ...KILLED, pid: 7, at: host.clock.now() }
  await look()
  const text = (await room.recorder.files.read((await names())[0]!))!.toString('utf8')
  for (const secret of secrets) t.notMatch(text, secret)
  t.match(text, /password=\[redacted\]/)
  for (const bytes of room.offered) for (const secret of secrets) t.notMatch(bytes.toString('latin1'), secret)
})

t.test('a record that could not be written does not keep the next of its kind from being written', async t => {
  const root = t.testdir({ dir: 'no folder yet' })
  const { host, look, names, metric } = await openRoom(t, { dir: join(root, 'dir') })
  const end = async (pid: number): Promise<void> => {
    host.app.ended = { ...KILLED, pid, at: host.clock.now() }
    await look()
  }
  await end(7)
  t.equal(await metric('pillion_flight_failures_total', { what: 'record' }), 1)
  rmSync(join(root, 'dir'))
  await end(8)
  t.equal((await names()).length, 1)
  t.equal(await metric('pillion_flight_skipped_total', { reason: 'gone' }), 0)
})

t.test('without room in the memory budget the record is written without texts, and says so', async t => {
  const { host, look, names, record, logs } = await openRoom(t)
  logs.push({ at: 1, severity: 'INFO', service: 'shop', body: 'hello', traceId: '' })
  host.memory.allot('others').add(host.memory.total)
  host.app.ended = { ...KILLED, pid: 7, at: host.clock.now() }
  await look()
  const found = await record((await names())[0]!)
  t.same(found.logs, [])
  t.match(found.missing.join(), /no room/)
})

/** A ring as a sidecar leaves it that ended suddenly. */
async function abandoned({ dir, ring: moments, row }: Room, owner: object, application: object): Promise<string> {
  const ring = await Ring.create(dir, { version: '1.2.3', made: 1, owner: owner as never })
  for (let i = 0; i < 10; i++) {
    row({ memory: 100 + i, memoryLimit: 1000 })
    ring.row(moments)
  }
  ring.text({ at: 5, kind: 'log ERROR', text: 'the last words', service: 'shop', trace: '' })
  ring.text({ at: 6, kind: 'health', text: 'ready failed' })
  ring.state({ at: 1, name: 'shop', application: application as never })
  await ring.settled()
  // Its writer does not know that it is gone.
  const name = `ring-${'0'.repeat(15)}${readdirSync(dir).length}.bin`
  renameSync(ring.path, join(dir, name))
  return name
}

/** A pid that was just used, and by whom. */
async function dead() {
  const child = spawn('sleep', ['60'])
  await once(child, 'spawn')
  const owner = { ...ourselves('/proc')!, pid: child.pid!, ticks: 1 }
  child.kill('SIGKILL')
  await once(child, 'exit')
  return owner
}

t.test('a ring that was left behind becomes a record at the next start, and is removed', async t => {
  const room = await openRoom(t)
  const owner = await dead()
  await abandoned(room, owner, { pid: owner.pid, ticks: owner.ticks, child: true, since: 1 })
  room.recorder.start()
  const [name] = await until('a record', async () => ((await room.names()).length > 0 ? await room.names() : undefined))
  const found = await room.record(name!)
  t.match(found, {
    trigger: 'both',
    cause: { reason: 'unknown', evidence: 'none' },
    application: { name: 'shop', pid: owner.pid },
    logs: [{ severity: 'ERROR', body: 'the last words' }],
    marks: [{ kind: 'health', text: 'ready failed' }],
  })
  t.equal(found.samples.times.length, 10)
  await until('no old ring', () => !readdirSync(room.dir).some(each => each.startsWith('ring-000')) || undefined)
  t.equal(await room.metric('pillion_flight_records_total', { reason: 'both' }), 1)
})

t.test('the ring of a sidecar that lives, and that of one whose application went on, become no record', async t => {
  const room = await openRoom(t)
  const self = ourselves('/proc')!
  const lives = await abandoned(room, self, { pid: 1, ticks: 1, child: true, since: 1 })
  const owner = await dead()
  const goesOn = await abandoned(room, owner, { pid: self.pid, ticks: self.ticks, child: false, since: 1 })
  room.recorder.start()
  await until('one is removed', () => !readdirSync(room.dir).includes(goesOn) || undefined)
  t.ok(readdirSync(room.dir).includes(lives))
  t.same(await room.names(), [])
  t.match(room.host.logged.join(), /the last sidecar ended suddenly, and the application went on/)
})

t.test('an owner that cannot be seen is taken for gone when its ring stays as it is', async t => {
  const room = await openRoom(t)
  const elsewhere = { ...ourselves('/proc')!, namespace: 'pid:[1]' }
  const quiet = await abandoned(room, elsewhere, { pid: 7, ticks: 1, child: true, since: 1 })
  room.recorder.start()
  await room.host.clock.pass(10_000)
  t.ok(readdirSync(room.dir).includes(quiet), 'not yet')
  await until('it is taken', async () => {
    await room.host.clock.pass(1000)
    return (await room.names()).length === 1 || undefined
  })
  t.match(await room.record((await room.names())[0]!), { trigger: 'both', cause: { reason: 'unknown' } })
})

t.test('a ring that is written on by an owner who cannot be seen is left alone', async t => {
  const room = await openRoom(t)
  const elsewhere = { ...ourselves('/proc')!, namespace: 'pid:[1]' }
  const busy = await abandoned(room, elsewhere, { pid: 7, ticks: 1, child: true, since: 1 })
  const { utimesSync } = await import('node:fs')
  room.recorder.start()
  for (let i = 0; i < 40; i++) {
    utimesSync(join(room.dir, busy), 1000 + i, 1000 + i)
    await room.host.clock.pass(1000)
  }
  t.ok(readdirSync(room.dir).includes(busy))
  t.same(await room.names(), [])
})

t.test('a ring near the memory limit says “likely”, one of an earlier start of the machine says so', async t => {
  const room = await openRoom(t)
  const owner = { ...ourselves('/proc')!, boot: 'another' }
  const application = { pid: 7, ticks: 1, child: true, since: 1 }
  await abandoned(room, owner, application)
  const gone = await dead()
  for (let i = 0; i < 3; i++) room.row({ memory: 990, memoryLimit: 1000 })
  const ring = await Ring.create(room.dir, { version: '1', made: 1, owner: gone })
  ring.row(room.ring)
  ring.state({ at: 1, application: { ...application, pid: gone.pid } })
  await ring.settled()
  room.recorder.start()
  await until('two records', async () => (await room.names()).length === 2 || undefined)
  const causes = await Promise.all((await room.names()).map(async name => (await room.record(name)).cause))
  t.ok(causes.some(({ text, reason }) => reason === 'unknown' && /started again/.test(text)))
  t.ok(causes.some(({ evidence, reason }) => reason === 'oom' && evidence === 'inferred'))
})

t.test('a ring that cannot be read is removed when nobody writes it, and counted', async t => {
  const room = await openRoom(t)
  const name = `ring-${'a'.repeat(16)}.bin`
  writeFileSync(join(room.dir, name), 'pillion-flight\n\0\x09\0\0\0 from the future'.padEnd(5000))
  room.recorder.start()
  await until('it is removed', async () => {
    await room.host.clock.pass(1000)
    return !readdirSync(room.dir).includes(name) || undefined
  })
  // It is taken, then read, then counted.
  await until('the count', async () => {
    const count = await room.metric('pillion_flight_failures_total', { what: 'ring' })
    return count === 1 || undefined
  })
  t.match(room.host.logged.join('\n'), /cannot read what a sidecar has left behind/)
})
