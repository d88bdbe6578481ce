// `logs.stdout: file`: the output of the application is read and copied, and the application never waits.

import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { removeLeftBehind } from '../../sidecar/left-behind.ts'
import { Child, until } from '../e2e/child.ts'
import { MAIN, startSidecar } from '../e2e/ride.ts'
import { impossible } from '../process/real.ts'

t.setTimeout(400_000)

const NO_MOUNT = impossible('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt'], 'run as root')

function folder(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'capture-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

const CAPTURE = (dir: string): string[] => ['--logs.stdout', 'file', '--logs.capture_dir', dir]

t.test('each line is copied to our output and becomes a record, and the file is gone at the end', async t => {
  const dir = folder(t)
  const script = `for (let i = 0; i < 50; i++) console.log(JSON.stringify({ level: i % 10 ? 30 : 50, msg: 'line ' + i })); setInterval(() => {}, 1000)`
  await using ride = await startSidecar({ command: [process.execPath, '-e', script], flags: CAPTURE(dir) })
  await until('50 records', async () => (await ride.value('app_log_records_total')) === 50 || undefined)
  t.equal(await ride.value('app_log_records_total', { severity: 'ERROR' }), 5)
  t.equal(await ride.value('app_log_file_lines_total', { source: 'stdout' }), 50)
  const [file = ''] = readdirSync(dir)
  t.match(file, /^pillion-\d+-stdout\.log$/)
  t.equal(statSync(join(dir, file)).mode & 0o777, 0o600)
  ride.child.kill('SIGTERM')
  await ride.child.ended
  t.equal(ride.child.stdout.split('\n').filter(line => line.includes('"msg":"line')).length, 50)
  t.same(readdirSync(dir), [])
})

t.test('the last words of an application that ends at once are copied, and its exit code stays', async t => {
  const dir = folder(t)
  await using child = await Child.start(process.execPath, [
    MAIN,
    'run',
    ...['--web.listen', '0', '--otlp.http.listen', '0', '--otlp.grpc.listen', '0'],
    ...CAPTURE(dir),
    ...['--logs.stderr', 'file'],
    ...['--', 'sh', '-c', 'echo out; echo err >&2; printf "no line break"; exit 3'],
  ])
  t.equal((await child.ended).code, 3)
  t.equal(child.stdout, 'out\nno line break')
  t.match(child.stderr, /^err$/m)
  t.same(readdirSync(dir), [])
})

t.test('the application goes on when the sidecar is stopped, and when it is killed', async t => {
  const dir = folder(t)
  const marks = join(dir, 'marks')
  const script = `const fs = require('fs'); let n = 0; const line = 'x'.repeat(1000) + '\\n'
    setInterval(() => { for (let i = 0; i < 200; i++) fs.writeSync(1, line); fs.writeFileSync(${JSON.stringify(marks)}, String(++n)) }, 5)`
  const ride = await startSidecar({ command: [process.execPath, '-e', script], flags: CAPTURE(dir) })
  const count = (): number => Number(fs(marks) || 0)
  await until('the application writes', () => count() > 3 || undefined)
  ride.child.kill('SIGSTOP')
  const stopped = count()
  await until('it writes more than any pipe holds', () => count() > stopped + 20 || undefined)
  const { pid } = ride.child
  const app = children(pid)[0]!
  t.teardown(() => process.kill(app, 'SIGKILL'))
  ride.child.kill('SIGKILL')
  // Its output stays open: the application has its standard error.
  await until('the sidecar is gone', () => !fs(`/proc/${pid}/stat`)?.match(/\) [A-Y]/) || undefined)
  const killed = count()
  await until('it still writes', () => count() > killed + 20 || undefined)
})

t.test('bytes already read are freed on the disk, and nothing is lost', async t => {
  const dir = folder(t)
  const [parts, lines] = [5, 16_000]
  const go = (part: number): string => join(dir, `go-${part}`)
  // A part is half of the limit: as long as the next one is not asked for, nothing has to be dropped, however busy the machine is.
  const script = `const fs = require('fs'); let n = 0
    const timer = setInterval(() => { if (!fs.existsSync(${JSON.stringify(go(0).slice(0, -1))} + n / ${lines})) return
      let text = ''; for (let i = 0; i < ${lines}; i++) text += String(n++).padStart(8, '0') + ' ' + 'y'.repeat(240) + '\\n'
      fs.writeSync(1, text); if (n >= ${parts * lines}) { clearInterval(timer); setInterval(() => {}, 1000) } }, 10)`
  await using ride = await startSidecar({
    command: [process.execPath, '-e', script],
    flags: [...CAPTURE(dir), '--logs.capture_limit', '8MiB'],
  })
  let most = 0
  const file = join(dir, readdirSync(dir)[0]!)
  for (let part = 0; part < parts; part++) {
    writeFileSync(go(part), '')
    await until(`part ${part}`, async () => {
      most = Math.max(most, statSync(file).blocks * 512)
      return (await ride.value('app_log_file_lines_total', { source: 'stdout' })) === (part + 1) * lines || undefined
    })
  }
  t.ok(most < 12 << 20, `20 MB were written, and at most ${most} bytes were on the disk`)
  t.equal(await ride.value('app_log_file_truncations_total', { source: 'stdout' }), 0)
  ride.child.kill('SIGTERM')
  await ride.child.ended
  const copied = ride.child.stdout.split('\n').filter(line => / y{240}$/.test(line))
  t.equal(copied.length, parts * lines)
  t.equal(new Set(copied.map(line => line.slice(0, 8))).size, parts * lines)
})

t.test('bytes that nobody reads in time are dropped and counted, and the disk is not filled', async t => {
  const dir = folder(t)
  const script = `const fs = require('fs'); const text = ('z'.repeat(99) + '\\n').repeat(10_000)
    for (let i = 0; i < 20; i++) fs.writeSync(1, text); setInterval(() => {}, 1000)`
  await using ride = await startSidecar({
    command: [process.execPath, '-e', script],
    flags: [...CAPTURE(dir), '--logs.capture_limit', '1MiB', '--files.poll', '2s'],
  })
  const file = join(dir, readdirSync(dir)[0]!)
  const value = async (name: string): Promise<number> => (await ride.value(name, { source: 'stdout' })) ?? 0
  await until('all is read or dropped', async () => {
    const [read, lost] = [await value('app_log_file_lines_total'), await value('app_log_file_dropped_lines_total')]
    return (statSync(file).size === 20_000_000 && read + lost >= 199_990) || undefined
  })
  const lost = await value('app_log_file_dropped_lines_total')
  t.ok(lost > 0)
  // A line that was cut by the end of what was dropped is read in part, and counted as dropped by its line break or not.
  t.ok(Math.abs((await value('app_log_file_lines_total')) + lost - 200_000) <= 10)
  t.ok(statSync(file).blocks * 512 < 3 << 20)
  await ride.child.stop()
})

t.test(
  'where holes cannot be punched, what nobody reads in time is counted whole when the file is truncated',
  async t => {
    const dir = folder(t)
    // Without a pause, so that more comes while what is to be truncated is counted.
    const script = `const fs = require('fs'); const text = ('z'.repeat(99) + '\\n').repeat(10); let n = 0
    setInterval(() => { for (let i = 0; i < 5 && n < 10_000; i++, n++) fs.writeSync(1, text) }, 1)`
    writeFileSync(join(dir, 'fallocate'), '#!/bin/sh\nexit 1\n', { mode: 0o755 })
    await using ride = await startSidecar({
      command: [process.execPath, '-e', script],
      flags: [...CAPTURE(dir), '--logs.capture_limit', '1MiB', '--files.poll', '2s'],
      env: { PATH: `${dir}:${process.env['PATH']}` },
    })
    const value = async (name: string): Promise<number> => (await ride.value(name, { source: 'stdout' })) ?? 0
    await until('all is read or dropped', async () => {
      const [read, lost] = [await value('app_log_file_lines_total'), await value('app_log_file_dropped_lines_total')]
      // Between the last look and the truncation something may come all the same, if another program runs just then: ten to a
      // hundred lines were seen, and some thousands where that was not looked at again.
      if (read + lost < 99_000) throw new Error(`${read} lines were read and ${lost} dropped`)
      return true
    })
    t.ok((await value('app_log_file_truncations_total')) > 0)
    t.ok((await value('app_log_file_lines_total')) + (await value('app_log_file_dropped_lines_total')) <= 100_010)
    await ride.child.stop()
  },
)

t.test('when our own output is on a full disk, output is still read and freed, and that is said once', async t => {
  const dir = folder(t)
  const script = `const fs = require('fs'); let n = 0
    const timer = setInterval(() => { fs.writeSync(1, ('x'.repeat(999) + '\\n').repeat(200)); if (++n === 100) clearInterval(timer) }, 10)
    setInterval(() => {}, 1000)`
  await using ride = await startSidecar({
    command: [process.execPath, '-e', script],
    flags: [...CAPTURE(dir), '--logs.capture_limit', '1MiB'],
    wrapper: ['sh', '-c', 'exec "$0" "$@" > /dev/full'],
  })
  const file = join(dir, readdirSync(dir)[0]!)
  await until('20,000 lines', async () => {
    const lines = (await ride.value('app_log_file_lines_total', { source: 'stdout' })) ?? 0
    const dropped = (await ride.value('app_log_file_dropped_lines_total', { source: 'stdout' })) ?? 0
    return lines + dropped >= 19_990 || undefined
  })
  await until('the freeing of bytes already read', () => statSync(file).blocks * 512 < 2 << 20 || undefined)
  await ride.child.says(/cannot copy stdout to our own.*ENOSPC/)
  t.equal(ride.child.stderr.match(/cannot copy stdout to our own.*ENOSPC/g)?.length, 1)
  await ride.child.stop()
})

for (const [size, title] of [
  ['4m', 'on a small disk the oldest is dropped before the disk is full'],
  ['512k', 'on a disk with hardly any room the output is inherited'],
] as const)
  t.test(`${title}, and no write of the application fails`, { skip: NO_MOUNT }, async t => {
    const dir = folder(t)
    // A megabyte a second: the disk is full only when the sidecar has not looked for three.
    const script = `const fs = require('fs'); let n = 0; const text = ('x'.repeat(999) + '\\n').repeat(100)
      const timer = setInterval(() => { try { fs.writeSync(1, text) } catch (error) { console.error('failed: ' + error.code) }
        if (++n === 100) { clearInterval(timer); console.error('all written') } }, 100)
      setInterval(() => {}, 1000)`
    await using ride = await startSidecar({
      command: [process.execPath, '-e', script],
      flags: CAPTURE(dir),
      wrapper: [...['unshare', '--mount', 'sh', '-c'], `mount -t tmpfs -o size=${size} none ${dir} && exec "$0" "$@"`],
    })
    await ride.child.says(/all written/)
    t.notMatch(ride.child.stderr, /failed: /)
    t.match(
      ride.child.stderr,
      size === '4m'
        ? /there is little room for captured stdout.*bytes=1048576/
        : /so it is inherited.*only 524288 bytes are free/,
    )
    await ride.child.stop()
  })

t.test('a file that a killed sidecar of the same pid left behind does not stand in the way', async t => {
  const dir = folder(t)
  await using ride = await startSidecar({
    command: ['sh', '-c', 'echo hello; exec sleep 60'],
    flags: CAPTURE(dir),
    wrapper: ['sh', '-c', `echo old > ${dir}/pillion-$$-stdout.log; exec "$0" "$@"`],
  })
  await until('a line', async () => (await ride.value('app_log_file_lines_total')) === 1 || undefined)
  t.equal(readdirSync(dir).length, 2)
  await ride.child.stop()
  const [left = ''] = readdirSync(dir)
  t.equal(fs(join(dir, left)), 'old\n')
})

t.test('files that were left behind are removed once they are old, and nobody has them open', async t => {
  const dir = folder(t)
  const make = (name: string, age: number): string => {
    writeFileSync(join(dir, name), '')
    utimesSync(join(dir, name), 1e6 - age, 1e6 - age)
    return join(dir, name)
  }
  make('pillion-1-stdout.log', 700)
  make('pillion-1-0123abcd-stderr.log', 700)
  make('pillion-2-stdout.log', 300)
  make('pillion-x-stdout.log', 700)
  make('app.log', 700)
  symlinkSync(join(dir, 'app.log'), join(dir, 'pillion-3-stdout.log'))
  const open = openSync(make('pillion-4-stdout.log', 700), 'r')
  t.same([...(await removeLeftBehind(dir, 1e9))].sort(), ['pillion-1-0123abcd-stderr.log', 'pillion-1-stdout.log'])
  closeSync(open)
  t.same(await removeLeftBehind(dir, 1e9), ['pillion-4-stdout.log'])
  t.same(await removeLeftBehind(join(dir, 'nowhere'), 1e9), [])
})

t.test('a folder that cannot be written leaves the output as it is', async t => {
  await using child = await Child.start(process.execPath, [
    MAIN,
    'run',
    ...['--web.listen', '0', '--otlp.http.listen', '0', '--otlp.grpc.listen', '0'],
    ...CAPTURE('/proc/nowhere'),
    ...['--', 'sh', '-c', 'echo out'],
  ])
  t.equal((await child.ended).code, 0)
  t.equal(child.stdout, 'out\n')
  t.match(child.stderr, /cannot capture stdout in a file, so it is inherited/)
})

t.test('a source of the stream says how its lines are read', async t => {
  const dir = folder(t)
  const config = join(dir, 'pillion.yaml')
  writeFileSync(
    config,
    `logs: { stdout: file, capture_dir: ${dir} }\nfiles: { sources: [{ name: app, stream: stdout, requests: json, keep_requests: true }] }\n`,
  )
  const line = JSON.stringify({
    level: 30,
    req: { method: 'GET', url: '/users/7' },
    res: { statusCode: 200 },
    responseTime: 12,
    msg: 'request completed',
  })
  const script = `console.log(${JSON.stringify(line)}); setInterval(() => {}, 1000)`
  await using ride = await startSidecar({ command: [process.execPath, '-e', script], flags: ['--config', config] })
  const labels = { span_name: 'GET /users/{id}', span_kind: 'SPAN_KIND_SERVER' }
  await until('a request', async () => (await ride.value('traces_spanmetrics_calls_total', labels)) === 1 || undefined)
  t.equal(await ride.value('app_log_file_lines_total', { source: 'app' }), 1)
  t.equal(await ride.value('app_log_records_total', { severity: 'INFO' }), 1)
  await ride.child.stop()
})

function fs(path: string): string | undefined {
  try {
    return process.getBuiltinModule('node:fs').readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function children(pid: number | undefined): number[] {
  return (fs(`/proc/${pid}/task/${pid}/children`) ?? '').trim().split(' ').map(Number)
}
