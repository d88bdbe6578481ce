// The contents of a line: times, severities, traces and messages, by the habits of the loggers that people use.

import t from 'tap'
import { parseLogfmt } from '../../collectors/files/logfmt.ts'
import { severityIn, severityOf } from '../../collectors/files/severity.ts'
import { isRotated } from '../../collectors/files/siblings.ts'
import { halves, readTime, Time } from '../../collectors/files/time.ts'
import { traceIn } from '../../collectors/files/trace.ts'
import { folder, follow, type Got, records } from './start.ts'

const NOW = Date.UTC(2026, 10, 28, 12)
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'

t.test('times are read as logs write them, to the nanosecond', async t => {
  const f = (text: string, expected: string | undefined): void => {
    const time = new Time()
    const end = readTime(text, 0, time, NOW)
    if (expected === undefined) {
      t.equal(end, -1, text)
      return
    }
    const { low, high } = halves(time)
    const nanos = (BigInt(high) << 32n) | BigInt(low)
    t.equal(
      nanos,
      BigInt(Date.parse(`${expected.slice(0, 19)}Z`)) * 1_000_000n + BigInt(expected.slice(20).padEnd(9, '0')),
      text,
    )
  }
  f('2026-11-28T22:01:02.123456789Z', '2026-11-28T22:01:02.123456789')
  f('2026-11-28T22:01:02Z x', '2026-11-28T22:01:02.')
  f('[2026-11-28T22:01:02.5+01:00] x', '2026-11-28T21:01:02.5')
  f('2026-11-28 22:01:02.5 -0330', '2026-11-29T01:31:02.5')
  f('28/Nov/2026:22:01:02 +0000', '2026-11-28T22:01:02.')
  f('[28/Nov/2026:22:01:02 -0800] "GET', '2026-11-29T06:01:02.')
  f('2024-02-29T00:00:00Z', '2024-02-29T00:00:00.')
  f('2099-12-31T23:59:59.999999999Z', '2099-12-31T23:59:59.999999999')
  f('1970-01-01T00:00:01Z', '1970-01-01T00:00:01.')
  for (const none of [
    '',
    'x',
    '12:30:00 x',
    '2026-13-28T22:01:02Z',
    '2026-11-28T25:01:02Z',
    '192.168.0.1 - -',
    'Novel idea',
  ])
    f(none, undefined)
})

t.test('a time without an offset is local', async t => {
  const f = (text: string, expected: Date): void => {
    const time = new Time()
    t.ok(readTime(text, 0, time, NOW) > 0, text)
    t.equal(time.ms, expected.getTime(), text)
  }
  f('2026-11-28 22:01:02,123', new Date(2026, 10, 28, 22, 1, 2, 123))
  f('2026-07-01 02:30:00 main', new Date(2026, 6, 1, 2, 30))
  f('2026/11/28 22:01:02 [error] 7#7', new Date(2026, 10, 28, 22, 1, 2))
  f('Nov 28 02:01:02 host x[1]: y', new Date(2026, 10, 28, 2, 1, 2))
  f('Nov  8 02:01:02 host', new Date(2026, 10, 8, 2, 1, 2))
  f('Dec 31 23:59:59 host', new Date(2025, 11, 31, 23, 59, 59))
  f('[Sat Nov 28 10:01:02.250000 2026] [mpm', new Date(2026, 10, 28, 10, 1, 2, 250))
})

t.test('a severity in text is a word by itself among the first hundred bytes', async t => {
  const f = (text: string, expected: number): unknown =>
    t.equal(severityIn(Buffer.from(`xx${text}`), 2, 2 + Buffer.byteLength(text)), expected, text)
  f('2026-11-28T22:01:02Z INFO started', 9)
  f('[error] 7#7: *1 open() failed', 17)
  f('WARNING: disk', 13)
  f('level=debug msg=x', 5)
  f('<Crit>', 21)
  f('E1128 22:01:02.123456 7 main.go:1] x', 17)
  f('W1128 22:01:02.123456 7 main.go:1] x', 13)
  f('Fatal', 21)
  f('no errors found', 0)
  f('GET /info HTTP/1.1', 0)
  f('informal warned', 0)
  f('TRACE', 1)
  f('', 0)
  f(`${' '.repeat(100)}ERROR`, 0)
})

t.test('a severity in a field is a word or a number of pino or syslog', async t => {
  const f = (value: unknown, expected: number): unknown => t.equal(severityOf(value), expected, String(value))
  f('info', 9)
  f('Information', 9)
  f('NOTICE', 10)
  f('EMERGENCY', 23)
  f('dpanic', 21)
  f(10, 1)
  f(30, 9)
  f(60, 21)
  f('40', 13)
  f(3, 17)
  f(7, 5)
  f(20_000, 0)
  f(null, 0)
  f('north', 0)
})

t.test('the words of severities do not collide', async t => {
  for (const [word, number] of [
    ['trace', 1],
    ['debug', 5],
    ['info', 9],
    ['warn', 13],
    ['error', 17],
    ['fatal', 21],
    ['critical', 21],
    ['emerg', 23],
    ['trc', 1],
    ['dbg', 5],
    ['inf', 9],
    ['wrn', 13],
    ['err', 17],
    ['ftl', 21],
    ['severe', 17],
    ['panic', 21],
  ] as const)
    t.equal(severityIn(Buffer.from(word), 0, word.length), number, word)
})

t.test('only 32 hexadecimal digits are a trace id', async t => {
  const f = (text: string, traceId?: string, spanId?: string): unknown =>
    t.same(traceIn(text), traceId === undefined ? undefined : { traceId, spanId }, text)
  f(`INFO trace_id=${TRACE} span_id=${SPAN} done`, TRACE, SPAN)
  f(`"traceId":"${TRACE}"`, TRACE)
  f(`[traceparent: 00-${TRACE}-${SPAN}-01]`, TRACE, SPAN)
  f(`trace_id=${'0'.repeat(32)}`)
  f('dd.trace_id=1234567890123456789')
  f(`trace_id=${TRACE}f`)
})

t.test('logfmt is read with quotes and escapes, and text is not taken for it', async t => {
  t.same(
    { ...parseLogfmt('time=x level=info msg="it is \\"done\\"" retry=3 last') },
    {
      time: 'x',
      level: 'info',
      msg: 'it is "done"',
      retry: '3',
      last: true,
    },
  )
  t.equal(parseLogfmt('hello there'), undefined)
  t.equal(parseLogfmt('a="unended'), undefined)
  t.same(Object.entries(parseLogfmt('__proto__=1 a=') ?? {}), [
    ['__proto__', '1'],
    ['a', ''],
  ])
})

t.test('names of rotated files are known', async t => {
  const f = (name: string, of: string, expected: boolean): unknown => t.equal(isRotated(name, of), expected, name)
  f('app.log.1', 'app.log', true)
  f('app.log-20261128', 'app.log', true)
  f('app-2026-11-28.log', 'app.log', true)
  f('app.1.log', 'app.log', true)
  f('app.log.1.gz', 'app.log', false)
  f('apple.log', 'app.log', false)
  f('app.log.old', 'app.log', false)
})

/** The one record that is made of these lines. */
async function one(t: Parameters<typeof follow>[0], lines: string, options: object = {}): Promise<Got> {
  const { write, path } = folder(t)
  const following = await follow(t, {
    sources: [{ name: 'a', start: 'beginning', paths: [path('a.log')], join: false, ...options }],
  })
  write('a.log', lines)
  await records(following, 1)
  await following.stop()
  t.equal(following.records.length, 1)
  return following.records[0]!
}

t.test('pino', async t => {
  const record = await one(
    t,
    `{"level":40,"time":1795903262123,"pid":7,"hostname":"h","trace_id":"${TRACE}","span_id":"${SPAN}","msg":"slow","ms":12.5,"user":{"id":1}}\n`,
  )
  t.match(record, {
    severity: 13,
    severityText: '40',
    time: '1795903262123000000',
    body: 'slow',
    trace: TRACE,
    span: SPAN,
  })
  t.same(record.attributes, { 'log.file.name': 'a.log', pid: 7, hostname: 'h', ms: 12.5, user: { id: 1 } })
})

t.test('bunyan, zap, logback, structlog, serilog and Elastic’s', async t => {
  const f = async (line: object, expected: Partial<Got>): Promise<void> => {
    t.match(await one(t, `${JSON.stringify(line)}\n`), expected)
  }
  await f(
    { name: 'app', level: 50, msg: 'm', time: '2026-11-28T22:01:02.123Z', v: 0 },
    { severity: 17, time: '1795903262123000000', body: 'm' },
  )
  await f(
    { level: 'error', ts: 1795903262.123456, logger: 'l', msg: 'm' },
    { severity: 17, time: '1795903262123456000', body: 'm' },
  )
  await f(
    { '@timestamp': '2026-11-28T22:01:02.123+00:00', level: 'WARN', level_value: 30000, message: 'm' },
    { severity: 13, body: 'm', attributes: { level_value: 30000 } },
  )
  await f({ event: 'm', level: 'warning', timestamp: '2026-11-28T22:01:02Z' }, { severity: 13, body: 'm' })
  await f(
    { '@t': '2026-11-28T22:01:02Z', '@mt': 'Hi {Name}', Name: 'Bob', '@tr': TRACE, '@sp': SPAN },
    { severity: 9, body: 'Hi {Name}', trace: TRACE, span: SPAN, attributes: { Name: 'Bob' } },
  )
  await f(
    { '@timestamp': '2026-11-28T22:01:02Z', 'log.level': 'ERROR', message: 'm', 'trace.id': TRACE },
    { severity: 17, body: 'm', trace: TRACE },
  )
  await f({ severity: 'NOTICE', message: 'm' }, { severity: 10 })
  await f({ a: 1 }, { severity: 0, body: '{"a":1}' })
})

t.test('logfmt', async t => {
  const record = await one(t, `ts=2026-11-28T22:01:02Z level=warn traceID=${TRACE} msg="too many" n=3\n`)
  t.match(record, { severity: 13, body: 'too many', trace: TRACE, attributes: { n: '3' } })
})

t.test('CRI: stream, time, and divided lines joined', async t => {
  const record = await one(t, '2026-11-28T22:01:02.123456789Z stderr P one \n2026-11-28T22:01:03Z stderr F two\n')
  t.match(record, {
    body: 'one two',
    time: '1795903263000000000',
    severity: 0,
    attributes: { 'log.iostream': 'stderr' },
  })
  const inner = await one(t, '2026-11-28T22:01:02.5Z stdout F {"level":"error","msg":"m"}\n')
  t.match(inner, { body: 'm', severity: 17, time: '1795903262500000000' })
})

t.test('Docker’s json-file: stream, time, and divided lines joined', async t => {
  const line = (log: string) => `${JSON.stringify({ log, stream: 'stdout', time: '2026-11-28T22:01:02.123456789Z' })}\n`
  const record = await one(t, line('INFO a ') + line('b\n'))
  t.match(record, {
    body: 'INFO a b',
    severity: 9,
    time: '1795903262123456789',
    attributes: { 'log.iostream': 'stdout' },
  })
})

t.test('divided lines of two streams that are mixed', async t => {
  const { write, path } = folder(t)
  const following = await follow(t, {
    sources: [{ name: 'a', start: 'beginning', paths: [path('a.log')], format: 'cri' }],
  })
  const at = '2026-11-28T22:01:02Z'
  write(
    'a.log',
    `${at} stdout P a1 \n${at} stderr F e1\n${at} stdout P a2 \n${at} stderr P e2 \n${at} stdout F a3\n${at} stderr F e3\n`,
  )
  await records(following, 3)
  t.same(following.bodies(), ['e1', 'a1 a2 a3', 'e2 e3'])
})

t.test('stack traces are joined: Java, Python, and by a pattern', async t => {
  const java = 'ERROR failed\njava.lang.X: y\n\tat a.b(C.java:1)\n\t... 3 more\nCaused by: z\n\tat d\n'
  const python =
    'ERROR:root:failed\nTraceback (most recent call last):\n  File "x.py", line 1, in <module>\nValueError: no\n'
  const { write, path } = folder(t)
  const following = await follow(t, {
    sources: [
      { name: 'a', start: 'beginning', paths: [path('a.log')] },
      { name: 'b', start: 'beginning', paths: [path('b.log')], record_start: '^\\[\\d+\\]' },
    ],
  })
  write('a.log', `INFO one\n${java}${python}INFO last\n`)
  await records(following, 5)
  t.same(following.bodies(), [
    'INFO one',
    'ERROR failed',
    java.slice('ERROR failed\n'.length).trimEnd(),
    python.trimEnd(),
    'INFO last',
  ])
  write('b.log', '[1] a\nb\nc\n[2] d\n')
  await records(following, 7)
  t.same(following.bodies().slice(5), ['[1] a\nb\nc', '[2] d'])
  t.equal(await following.value('app_log_file_lines_total', { source: 'b' }), 4, 'lines, not records')
})

t.test('colours, zeros and what is no UTF-8 are taken out of text', async t => {
  const { path, write } = folder(t)
  const following = await follow(t, {
    sources: [{ name: 'a', start: 'beginning', paths: [path('a.log')], join: false }],
  })
  write(
    'a.log',
    Buffer.concat([
      Buffer.from('\x1b[32mINFO\x1b[0m ready\n\0\0\0\0after the hole\nbad '),
      Buffer.from([0xff, 0xfe, 10]),
    ]),
  )
  await records(following, 3)
  t.same(following.bodies(), ['INFO ready', 'after the hole', 'bad \ufffd\ufffd'])
  t.equal(following.records[0]?.severity, 9)
})
