// Hostile input: long lines, garbage, many files, a full disk, a sudden end, secrets.

import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { until as came } from '../e2e/child.ts'
import { startSidecar } from '../e2e/ride.ts'
import { folder, follow, records, until } from './start.ts'

t.setTimeout(240_000)

const PLAIN = { name: 'a', start: 'beginning', join: false }

/** A small file system of its own, in a folder; undefined where that may not be made. */
function small(t: Test, dir: string, size: string): string | undefined {
  const path = join(dir, 'small')
  mkdirSync(path)
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path]).status !== 0) return undefined
  t.teardown(() => spawnSync('umount', ['-l', path]))
  return path
}

t.test('a line of 10 MiB is cut, counted once, and does not take its size in memory', async t => {
  const { path, write, append } = folder(t)
  const following = await follow(t, { sources: [{ ...PLAIN, paths: [path('a.log')] }] })
  write('a.log', `first\n${'é'.repeat(5 << 20)}\nlast\n`)
  await records(following, 3)
  const [first, long = '', last] = following.bodies()
  t.same([first, last], ['first', 'last'])
  t.equal(long.length, 32 * 1024, 'the limit is in bytes, and does not divide a character')
  t.match(long, /^é+$/)
  append('a.log', 'x'.repeat(200_000))
  append('a.log', 'x'.repeat(200_000))
  append('a.log', '\nnext\n')
  await records(following, 5)
  t.equal(following.bodies().at(-1), 'next')
  t.equal(await following.value('app_log_file_cut_lines_total', { source: 'a' }), 2)
  t.equal(await following.value('app_log_file_lines_total', { source: 'a' }), 5)
  t.ok(following.memory.used < 4 << 20)
})

t.test('a hole of zeros that is longer than a line may be becomes no text', async t => {
  const { path, write, append } = folder(t)
  const following = await follow(t, { sources: [{ ...PLAIN, paths: [path('a.log')] }] })
  // As a file that was truncated under its writer.
  write('a.log', Buffer.concat([Buffer.from('\x1b[31mred'), Buffer.alloc(1 << 20)]))
  append('a.log', '\nlast\n')
  await records(following, 2)
  t.same(following.bodies(), ['red', 'last'])
  t.equal(await following.value('app_log_file_cut_lines_total', { source: 'a' }), 1)
})

// The kernel gives this file a size, and an error to each read: loopback has no speed.
const UNREADABLE = '/sys/class/net/lo/speed'
const ANOTHER = '/sys/class/net/lo/duplex'

for (const start of ['beginning', 'end'])
  t.test(
    `files that cannot be read keep nobody from the others, and are said once for a source (start: ${start})`,
    { skip: !isUnreadable() && `${UNREADABLE} can be read here` },
    async t => {
      const { path, write, append } = folder(t)
      write('b.log', 'old\n')
      const positions = path('positions.json')
      // It is not followed before it is known where its last line begins.
      const [gauge, files] =
        start === 'end' ? (['app_log_files_unfollowed', 2] as const) : (['app_log_files', 3] as const)
      const sources = [{ ...PLAIN, start, paths: [UNREADABLE, ANOTHER, path('b.log')] }]
      const following = await follow(t, { positions, sources })
      await until(
        async () => (await following.value(gauge, { source: 'a' })) === files,
        () => following.logged.join('\n'),
      )
      append('b.log', 'new\n')
      await records(following, start === 'end' ? 1 : 2)
      await new Promise(resolve => setTimeout(resolve, 200))
      t.equal(following.logged.filter(each => /cannot (read|follow) a log file/.test(each)).length, 1)
      t.equal(following.logged.filter(each => each.startsWith('error')).length, 0)
      await following.stop()
      t.match(readFileSync(positions, 'utf8'), /b\.log/, 'positions are kept')
    },
  )

function isUnreadable(): boolean {
  try {
    readFileSync(UNREADABLE)
    return false
  } catch {
    return true
  }
}

t.test('a long line within a stack trace does not stop the reading', async t => {
  const { path, write } = folder(t)
  const following = await follow(t, { sources: [{ name: 'a', start: 'beginning', paths: [path('a.log')] }] })
  write('a.log', `ERROR x\n\tat ${'y'.repeat(1 << 20)}\nINFO z\n${'\tat q\n'.repeat(2000)}INFO end\n`)
  await until(
    () => following.bodies().includes('INFO end'),
    () =>
      following
        .bodies()
        .map(each => each.length)
        .join(),
  )
  t.ok(following.bodies().every(each => each.length <= 64 * 1024))
})

t.test('binary garbage becomes valid text, and a request for every reader', async t => {
  const { path, write } = folder(t)
  const following = await follow(t, { sources: [{ ...PLAIN, paths: [path('a.log')] }] })
  let seed = 19
  const garbage = Buffer.from(
    Array.from({ length: 200_000 }, () => {
      seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
      return seed >> 16
    }),
  )
  write(
    'a.log',
    Buffer.concat([garbage, Buffer.from('\n{"a":[[[[\n{"msg":"\\ud800"}\n{"__proto__":1,"level":[]}\nthe end\n')]),
  )
  await until(
    () => following.bodies().at(-1) === 'the end',
    () => String(following.records.length),
  )
  t.ok(following.bodies().every(each => each.isWellFormed() && !each.includes('\0')))
  t.equal(await following.value('pillion_otlp_received_items_total', { signal: 'logs' }), following.records.length)
})

t.test('JSON that is deep, wide or odd costs no more than its line', async t => {
  const { path, write } = folder(t)
  const following = await follow(t, { sources: [{ ...PLAIN, paths: [path('a.log')], max_line: '256KiB' }] })
  const deep = `{"msg":"deep","a":${'['.repeat(60_000)}${']'.repeat(60_000)}}`
  const wide = `{"msg":"wide",${Array.from({ length: 10_000 }, (_, i) => `"k${i}":${i}`).join()}}`
  const numbers = '{"msg":"numbers","a":1e400,"b":-0,"c":12345678901234567890,"d":null,"e":true}'
  write('a.log', `${deep}\n${wide}\n${numbers}\n`)
  await records(following, 3)
  t.same(following.bodies(), ['deep', 'wide', 'numbers'])
  t.equal(Object.keys(following.records[1]?.attributes ?? {}).length, 129, '128, and the name of the file')
  t.equal(following.records[2]?.attributes['e'], true)
})

t.test('text that matches a pattern is redacted everywhere, and no pattern takes long', async t => {
  const { path, write } = folder(t)
  const following = await follow(t, {
    sources: [{ ...PLAIN, paths: [path('a.log')] }],
    redact: ['password=[^ "]+', '[\\w.+-]+@[\\w-]+\\.[\\w.]+', 'aaa.*b|aaaa'],
  })
  write(
    'a.log',
    `login password=hunter2 ok\n{"level":"error","msg":"mail bob@example.com","user":{"id":"password=x"}}\n${'a'.repeat(1 << 18)}\nend\n`,
  )
  await records(following, 4)
  t.notMatch(JSON.stringify(following.records), /hunter2|bob@|password=x/)
  t.equal(following.bodies()[0], 'login [redacted] ok')
  await t.rejects(follow(t, { paths: [path('x')], redact: ['x*'] }), { message: /matches an empty text/ })
})

t.test('info lines are sampled, and a rate limit drops and counts', async t => {
  const { path, write } = folder(t)
  const following = await follow(t, {
    sources: [
      { ...PLAIN, paths: [path('a.log')], keep_info: '10%' },
      { ...PLAIN, name: 'b', paths: [path('b.log')], max_lines_per_second: 100 },
    ],
  })
  write('a.log', 'INFO x\n'.repeat(1000) + 'ERROR y\n'.repeat(7))
  await records(following, 107)
  t.equal(await following.value('app_log_file_dropped_lines_total', { source: 'a', reason: 'sampled' }), 900)
  t.equal(following.records.filter(each => each.severity === 17).length, 7, 'errors are always kept')
  write('b.log', 'ERROR z\n'.repeat(1000))
  await until(
    async () => (await following.value('app_log_file_lines_total', { source: 'b' })) === 1000,
    () => 'all are read',
  )
  const lost = await following.value('app_log_file_dropped_lines_total', { source: 'b', reason: 'rate' })
  t.ok(lost > 500)
  await until(
    () => following.records.length === 107 + 1000 - lost,
    () => `${following.records.length} and ${lost} are 1107`,
  )
})

t.test('2 000 files are followed with few open, and each line is read', async t => {
  const { dir, path, write, append } = folder(t)
  for (let i = 0; i < 2000; i++) write(`${i}.log`, `first ${i}\n`)
  const following = await follow(t, { max_open: 50, sources: [{ ...PLAIN, paths: [path('*.log')] }] })
  await until(
    () => following.records.length === 2000,
    () => `${following.records.length}`,
    60_000,
  )
  t.ok(openFiles(dir) <= 50)
  for (let i = 0; i < 2000; i += 10) append(`${i}.log`, `second ${i}\n`)
  await until(
    () => following.records.length === 2200,
    () => `${following.records.length}`,
    60_000,
  )
  t.equal(new Set(following.bodies()).size, 2200)
})

t.test('files beyond the limit, and those that may not be read, are counted and told', async t => {
  const { path, write } = folder(t)
  for (let i = 0; i < 5; i++) write(`${i}.log`, `x ${i}\n`)
  const following = await follow(t, { max_files: 3, sources: [{ ...PLAIN, paths: [path('*.log')] }] })
  await records(following, 3)
  t.equal(await following.value('app_log_files'), 3)
  t.equal(await following.value('app_log_files_unfollowed'), 2)
  t.match(
    following.running.findings?.().map(({ text }) => text),
    [/2 files of files.a are not followed/],
  )
  if (process.getuid?.() === 0) return
  chmodSync(write('secret', 'x\n'), 0)
  const other = await follow(t, { sources: [{ ...PLAIN, paths: [path('secret')] }] })
  await until(
    async () => (await other.value('app_log_files_unfollowed')) === 1,
    () => other.logged.join(),
  )
})

t.test('a backlog of a million lines is read with one buffer', async t => {
  const { path, write } = folder(t)
  const lines = 1_000_000
  write('a.log', 'INFO a line of a backlog that has grown while nobody looked at it\n'.repeat(lines))
  const before = process.memoryUsage().rss
  let most = 0
  const following = await follow(t, { sources: [{ ...PLAIN, paths: [path('a.log')] }] }, { keep: false })
  await until(
    async () => {
      most = Math.max(most, following.memory.used)
      return (await following.value('app_log_file_lines_total')) === lines
    },
    () => 'all lines',
    120_000,
  )
  t.equal(await following.value('pillion_otlp_accepted_items_total', { signal: 'logs' }), lines)
  t.ok(most <= 4 << 20, `${most} bytes of the budget`)
  t.ok(process.memoryUsage().rss - before < 150 << 20, 'the garbage of a test that decodes nothing')
})

t.test('without room in the budget reading waits, and goes on when there is some', async t => {
  const { path, write } = folder(t)
  const following = await follow(t, { sources: [{ ...PLAIN, paths: [path('a.log')] }] })
  following.memory.allot('others').add(64 << 20)
  write('a.log', 'one\n')
  await until(
    () => following.memory.allot('files').refused > 0,
    () => 'it asks',
  )
  t.same(following.bodies(), [])
  following.memory.allot('others').add(-(64 << 20))
  await records(following, 1)
})

t.test('positions that cannot be written are counted and told, and written when there is room again', async t => {
  const { dir, path, write } = folder(t)
  const disk = small(t, dir, '64k')
  if (disk === undefined) {
    t.comment('may not mount a file system here; run it as root')
    return
  }
  const filler = join(disk, 'filler')
  const fill = (): void => {
    try {
      for (let i = 0; i < 100; i++) appendFileSync(filler, 'x'.repeat(4096))
    } catch {}
  }
  fill()
  const positions = join(disk, 'positions.json')
  const following = await follow(t, { positions, sources: [{ ...PLAIN, paths: [path('a.log')] }] })
  write('a.log', 'one\n')
  await records(following, 1)
  await until(
    async () => (await following.value('pillion_files_position_failures_total')) > 0,
    () => 'it fails',
  )
  t.match(
    following.running
      .findings?.()
      .map(({ text }) => text)
      .join(),
    /cannot write files.positions: ENOSPC/,
  )
  rmSync(filler)
  await until(
    () => {
      try {
        return JSON.parse(readFileSync(positions, 'utf8')).positions[0].offset === 4
      } catch {
        return false
      }
    },
    () => 'it is written',
  )
})

t.test('a full disk under the log: what was written is read once, half a line too, and reading goes on', async t => {
  const { dir } = folder(t)
  const disk = small(t, dir, '256k')
  if (disk === undefined) {
    t.comment('may not mount a file system here; run it as root')
    return
  }
  const path = join(disk, 'app.log')
  const positions = join(disk, 'positions.json')
  writeFileSync(path, '')
  const following = await follow(t, { positions, sources: [{ ...PLAIN, paths: [path] }] })
  await until(
    async () => (await following.value('app_log_files')) === 1,
    () => 'the file is followed',
  )
  const { closeSync, openSync, writeSync } = process.getBuiltinModule('node:fs')
  let fd = openSync(path, 'a')
  let count = 0
  const line = (): Buffer => Buffer.from(`line ${String(count).padStart(6, '0')} ${'x'.repeat(500)}\n`)
  // An application that writes until nothing fits: the last line is cut.
  let written = 1
  let partial = 0
  try {
    for (; written > 0; ) {
      const bytes = line()
      written = writeSync(fd, bytes)
      if (written === bytes.length) count++
      else {
        partial = written
        break
      }
    }
  } catch (error) {
    t.match(error, { code: 'ENOSPC' })
  }
  t.ok(count > 300, `${count} lines and ${partial} bytes`)
  await until(
    () => following.records.length >= count,
    () => `${following.records.length} of ${count}`,
  )
  await until(
    async () => (await following.value('pillion_files_position_failures_total')) > 0,
    () => 'positions do not fit either',
  )
  // Somebody rotates it, and makes room.
  renameSync(path, join(disk, 'app.log.1'))
  closeSync(fd)
  fd = openSync(path, 'a')
  await until(
    async () => (await following.value('app_log_files')) === 2,
    () => 'both are followed',
  )
  rmSync(join(disk, 'app.log.1'))
  await until(
    async () => (await following.value('app_log_files')) === 1,
    () => 'the old one is given up, and its blocks with it',
    30_000,
  )
  const first = count
  for (let i = 0; i < 100; i++) {
    writeSync(fd, line())
    count++
  }
  closeSync(fd)
  await until(
    () => following.bodies().filter(each => each.length === 512).length >= count,
    () => `${following.records.length} of ${count}, ${first} before`,
  )
  const whole = following.bodies().filter(each => each.length === 512)
  t.equal(new Set(whole).size, count, 'none is lost')
  t.equal(whole.length, count, 'none comes twice')
  t.equal(following.records.length, count + (partial > 0 ? 1 : 0), 'half a line is one by itself')
  await until(
    () => {
      try {
        return JSON.parse(readFileSync(positions, 'utf8')).positions[0].offset === 100 * 513
      } catch {
        return false
      }
    },
    () => 'positions are written again',
  )
})

t.test('a file that comes from another device under the same name is another file', async t => {
  const { dir, path, write } = folder(t)
  const disk = small(t, dir, '1m')
  if (disk === undefined) {
    t.comment('may not mount a file system here; run it as root')
    return
  }
  write('a.log', 'here\n')
  const following = await follow(t, { sources: [{ ...PLAIN, paths: [path('current')] }] })
  const { symlinkSync } = process.getBuiltinModule('node:fs')
  symlinkSync(path('a.log'), path('current'))
  await records(following, 1)
  writeFileSync(join(disk, 'a.log'), 'there\n')
  symlinkSync(join(disk, 'a.log'), path('next'))
  renameSync(path('next'), path('current'))
  await records(following, 2)
  t.same(following.bodies(), ['here', 'there'])
  t.not(statSync(path('a.log')).dev, statSync(join(disk, 'a.log')).dev)
})

t.test('a sidecar that is killed in the middle loses no line; with a queue on disk each is forwarded', async t => {
  const { dir, path, write, append } = folder(t)
  const got = new Set<number>()
  let count = 0
  const { createServer } = process.getBuiltinModule('node:http')
  const { decoder } = await import('../otlp/protobufjs.ts')
  const { gunzipSync } = process.getBuiltinModule('node:zlib')
  const server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', part => parts.push(part))
    request.on('end', () => {
      const body = Buffer.concat(parts)
      const bytes = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body
      for (const [, n] of bytes.toString('latin1').matchAll(/row (\d{6}) end/g)) {
        got.add(Number(n))
        count++
      }
      response.end()
    })
  })
  t.ok(decoder('logs'))
  t.teardown(() => server.close())
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number } // a TCP server that listens
  const flags = [
    ...['--forward.endpoint', `http://127.0.0.1:${port}`, '--forward.queue.dir', path('queue')],
    ...['--files.paths', path('*.log'), '--files.positions', path('positions.json')],
  ]
  write('a.log', '')
  const total = 60_000
  let written = 0
  const more = (): void => {
    let text = ''
    for (let i = 0; i < 2000 && written < total; i++) text += `row ${String(written++).padStart(6, '0')} end\n`
    append('a.log', text)
  }
  const first = await startSidecar({ flags })
  await came('the file', async () => (await first.value('app_log_files')) === 1 || undefined)
  for (let i = 0; i < 15; i++) {
    more()
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  await came('some', () => got.size > 1000 || undefined)
  first.child.kill('SIGKILL')
  await first.child.ended
  while (written < total) more()
  await using second = await startSidecar({ flags })
  await came('all', () => got.size === total || undefined)
  t.equal(got.size, total, `${count - total} came twice`)
  await second.child.stop()
  const before = count
  append('a.log', `row ${String(total).padStart(6, '0')} end\n`)
  await using third = await startSidecar({ flags })
  await came('one more', () => got.size === total + 1 || undefined)
  await third.child.stop()
  t.equal(count, before + 1, 'after an orderly stop none comes twice')
  t.ok(dir)
})

function openFiles(dir: string): number {
  const { readdirSync, readlinkSync } = process.getBuiltinModule('node:fs')
  return readdirSync('/proc/self/fd').filter(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(dir)
    } catch {
      return false
    }
  }).length
}
