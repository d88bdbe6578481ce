import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { clock } from '../../host/clock.ts'
import { LineLog, printable, stderr } from '../../host/log.ts'

/** A log whose clock stands still until it is moved, and what it wrote. */
function written(level: 'info' | 'warn' | 'error' = 'info'): {
  log: LineLog
  lines: string[]
  pass(ms: number): void
  full: { yes: boolean }
} {
  let now = 0
  const full = { yes: false }
  const lines: string[] = []
  const log = new LineLog(level, { now: () => 1_795_229_340_123, monotonic: () => now }, text => {
    if (full.yes) return false
    lines.push(text)
    return true
  })
  const pass = (ms: number): void => {
    now += ms
  }
  return { log, lines, pass, full }
}

/** The rest of the only line, after its head. */
function fields(values: Record<string, unknown>): string {
  const { log, lines } = written()
  log.info('m', values)
  return lines
    .join('')
    .replace(/^.* msg=m ?/, '')
    .replace(/\n$/, '')
}

t.test('a line is logfmt that names its time, level and writer', async t => {
  const { log, lines } = written()
  log.info('listening', { address: '127.0.0.1:19464', tries: 2, ready: true })
  log.warn('two words')
  log.error('failed', { error: new Error('no "luck"'), nothing: undefined, none: null, list: [1] })
  t.same(lines, [
    'time=2026-11-21T02:49:00.123Z level=info logger=pillion msg=listening address=127.0.0.1:19464 tries=2 ready=true\n',
    'time=2026-11-21T02:49:00.123Z level=warn logger=pillion msg="two words"\n',
    'time=2026-11-21T02:49:00.123Z level=error logger=pillion msg=failed error="no \\"luck\\"" none=null list=[1]\n',
  ])
})

t.test('lines below the level are left out', async t => {
  const { log, lines } = written('warn')
  log.info('a')
  log.warn('b')
  log.error('c')
  t.equal(lines.length, 2)
})

t.test('nothing from outside can forge a line or speak to the terminal', async t => {
  const f = (value: unknown, expected: string): void => {
    t.equal(fields({ v: value }), `v=${expected}`)
  }
  f('x\n{"level":"error","msg":"forged"}', '"x\\n{\\"level\\":\\"error\\",\\"msg\\":\\"forged\\"}"')
  f('\x1b[2J', '"\\u{1b}[2J"')
  f('\x9b31m', '"\\u{9b}31m"')
  f('a\u2028b\u2029', '"a\\u{2028}b\\u{2029}"')
  f('\u202etxt.exe', '"\\u{202e}txt.exe"')
  f('\u2066x\u200f', '"\\u{2066}x\\u{200f}"')
  f('\ud800', '"\\u{d800}"')
  f('ok 😀', '"ok 😀"')
  f('\r\t\0\x7f', '"\\r\\t\\u{0}\\u{7f}"')
  f('a\\b', '"a\\\\b"')
  f('a=b', '"a=b"')
  f('', '""')
  t.equal(fields({ 'k v=\n1': 1 }), 'k_v__1=1')
})

t.test('no byte of a line can act, whatever the value', async t => {
  let all = ''
  for (let code = 0; code < 0x3000; code++) all += String.fromCharCode(code)
  for (let at = 0; at < all.length; at += 40)
    t.notMatch(fields({ v: all.slice(at, at + 40) }), /[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/)
  t.equal(printable('a\nb'), 'a\\nb')
})

t.test('a value has at most 256 bytes, a line at most 4096', async t => {
  const long = fields({ v: 'a'.repeat(1_000_000) })
  t.equal(long, `v="${'a'.repeat(253)}…"`)
  t.equal(fields({ v: 'a'.repeat(256) }), `v=${'a'.repeat(256)}`)
  t.ok(Buffer.byteLength(fields({ v: '😀'.repeat(1000) })) <= 256 + 'v=""'.length)
  t.match(fields({ v: '\u202e'.repeat(1000) }), /^v="(\\u\{202e\})+…"$/, 'an escape is not cut')
  const many = fields(Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`k${i}`, 'a'.repeat(200)])))
  t.ok(many.length < 4096)
  t.match(many, / truncated=true$/)
})

t.test('a value that cannot be printed does not throw', async t => {
  const circle: Record<string, unknown> = {}
  circle['self'] = circle
  t.equal(fields({ circle, big: 1n, fn: Symbol('x') }), 'circle=[unprintable] big=1 fn=Symbol(x)')
})

t.test('one message is written ten times a second, and what was left out is counted', async t => {
  const { log, lines, pass } = written()
  for (let i = 0; i < 100; i++) log.warn('storm')
  log.info('another')
  t.equal(lines.length, 11)
  pass(1000)
  log.warn('storm', { n: 1 })
  t.match(lines.at(-1), 'msg=storm suppressed=90 n=1\n')
  pass(1000)
  log.warn('storm')
  t.match(lines.at(-1), 'msg=storm\n')
  for (let i = 0; i < 10_000; i++) log.warn(`message ${i}`)
  t.equal(lines.length, 13 + 10_000, 'many messages are forgotten in turn, not kept')
})

t.test('lines that stderr does not take are counted on the next one', async t => {
  const { log, lines, full } = written()
  full.yes = true
  log.info('a')
  log.info('b')
  full.yes = false
  log.info('c')
  log.info('d')
  t.match(lines, [/msg=c dropped=2\n$/, /msg=d\n$/])
})

const linux = process.platform === 'linux' ? false : 'needs /proc'
t.test('writing', async t => {
  t.test('a pipe that nobody reads does not block us, and its other writers still may', { skip: linux }, async t => {
    const path = join(t.testdir({}), 'pipe')
    execFileSync('mkfifo', [path])
    const shared = openSync(path, constants.O_RDWR)
    t.teardown(() => closeSync(shared))
    const write = stderr(shared)
    let taken = 0
    while (write('x'.repeat(4096))) taken++
    t.ok(taken > 0)
    const flags = /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${shared}`, 'utf8'))?.[1] ?? ''
    t.equal(Number.parseInt(flags, 8) & constants.O_NONBLOCK, 0)
    readSync(shared, Buffer.alloc(65_536))
    t.ok(write('again\n'))
  })

  t.test('a file is appended to where it is', async t => {
    const path = join(t.testdir({ log: '' }), 'log')
    const fd = openSync(path, 'w')
    t.teardown(() => closeSync(fd))
    const write = stderr(fd)
    t.ok(write('one\n'))
    t.ok(write('two\n'))
    t.equal(readFileSync(path, 'utf8'), 'one\ntwo\n')
  })

  t.test('a closed stderr costs the line, not the process', async t => {
    t.notOk(stderr(9999)('x\n'))
  })
})

t.test('the clock', async t => {
  // A sleep does not keep the process alive, so something else has to.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => clearInterval(alive))

  t.test('sleeps for the time, and not a moment after it is told to stop', async t => {
    const { signal } = new AbortController()
    const before = clock.monotonic()
    await clock.sleep(20, signal)
    t.ok(clock.monotonic() - before >= 19)
    const stop = new AbortController()
    const sleeping = clock.sleep(3_000_000_000, stop.signal)
    const why = new Error('stop')
    stop.abort(why)
    await t.rejects(sleeping, why)
    await t.rejects(clock.sleep(1, stop.signal), why)
  })

  t.test('does not take a month for a moment', async t => {
    const stop = new AbortController()
    let woke = false
    clock.sleep(31 * 86_400_000, stop.signal).then(
      () => {
        woke = true
      },
      () => {},
    )
    await clock.sleep(20, stop.signal)
    t.notOk(woke)
    stop.abort()
  })

  t.test('tells the time', async t => {
    t.ok(Math.abs(clock.now() - Date.now()) < 1000)
  })
})
