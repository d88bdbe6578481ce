// Regular expressions that meet text from outside: what they mean, what they refuse, and that they take linear time.

import t from 'tap'
import { expression } from '../../options/expression.ts'
import { readOptions } from '../../parts.ts'

t.test('an ordinary expression means what it means in JavaScript', async t => {
  const texts = [
    '',
    'UP',
    '{"status":"UP","db":{"ok":true}}',
    'status db ok',
    '+PONG\r\n',
    '220 mail.example ESMTP\r\n',
    'node /srv/server.js --port=8080',
    'first\nsecond',
    'café',
    '⛄ snow',
    '😀',
    'aaa',
    'a/b-c_d',
  ]
  const f = async (source: string) => {
    const ours = await expression(source)
    const theirs = new RegExp(source, 'u')
    for (const text of texts) t.equal(ours.test(text), theirs.test(text), `${source} on ${JSON.stringify(text)}`)
  }
  await f('')
  await f('UP')
  await f('^UP$')
  await f('.*ok')
  await f('status.*db.*ok')
  await f('"status"\\s*:\\s*"UP"')
  await f('^\\+PONG')
  await f('^220[ -].*ESMTP')
  await f('^node .*server\\.js')
  await f('(?:first|second)$')
  await f('^second')
  await f('[^a-z]')
  await f('\\bok\\b')
  await f('\\d{3,4}')
  await f('a{2,}?')
  await f('(?<word>\\w+)/')
  await f('caf\\u00e9')
  await f('\\u{1F600}')
  await f('^.$')
  await f('\\p{L}+')
  await f('[^]')
  await f('\\x55P')
  await f('\\/b\\-c'.replace('\\-', '-'))
  await f('\\r\\n$')
})

t.test('RE2 takes what Prometheus takes', async t => {
  t.equal((await expression('(?i)up')).test('Up'), true)
  t.equal((await expression('(?s)a.b')).test('a\nb'), true)
  t.equal((await expression('(?m)^b$')).test('a\nb\nc'), true)
  t.equal((await expression('[[:digit:]]+')).test('42'), true)
  t.equal((await expression('\\Qa.b\\E')).test('a.b'), true)
})

t.test('a construct that takes more than linear time is refused by its name', async t => {
  const f = async (source: string, message: string) => t.rejects(expression(source), { message }, source)
  const cannot = (what: string) => `uses ${what}, which RE2 cannot match in linear time; write it without`
  await f('a(?=b)', cannot('a look-ahead'))
  await f('a(?!b)', cannot('a look-ahead'))
  await f('(?<=a)b', cannot('a look-behind'))
  await f('(?<!a)b', cannot('a look-behind'))
  await f('(a)\\1', cannot('a back-reference'))
  await f('(?<x>a)\\k<x>', cannot('a back-reference'))
  await f('(', "is not a regular expression in RE2's syntax: missing closing )")
  await f('[', "is not a regular expression in RE2's syntax: missing closing ]")
  await f('a{1001}', "is not a regular expression in RE2's syntax: invalid repeat count")
  await f('*', "is not a regular expression in RE2's syntax: missing argument to repetition operator")
  await f('(?:[ab][cd][ef]){400}', 'is too large a regular expression; shorten it, or repeat less in it ({m,n})')
  await f('(?:a{100}){100}', "is not a regular expression in RE2's syntax: invalid repeat count")
})

t.test('it is refused with its place in the file, the variable or the flag, and all of them at once', async t => {
  const text = [
    'app:',
    '  match: (a)\\1',
    'health:',
    '  probes:',
    '    - name: a',
    '      url: http://127.0.0.1:1/',
    '      body_matches: x(?=y)',
    '      body_not_matches: (',
    '      header_matches: ["X-A: a", "X-B: (?<!b)"]',
    '    - name: b',
    '      kind: tcp',
    '      address: 127.0.0.1:1',
  ].join('\n')
  const reading = await readOptions({
    file: { name: 'pillion.yaml', text },
    environment: { PILLION_HEALTH_PROBES_1_EXPECT: '(b)\\1' },
  })
  if (reading.ok) throw new Error('these options are wrong')
  const cannot = (what: string) => `uses ${what}, which RE2 cannot match in linear time; write it without`
  t.same(reading.problems, [
    { from: 'check', text: `pillion.yaml:2:10: app.match: ${cannot('a back-reference')}` },
    {
      from: 'check',
      text: `pillion.yaml:9:34: health.probes[0].header_matches[1]: ${cannot('a look-behind')}`,
    },
    { from: 'check', text: `pillion.yaml:7:21: health.probes[0].body_matches: ${cannot('a look-ahead')}` },
    {
      from: 'check',
      text: "pillion.yaml:8:25: health.probes[0].body_not_matches: is not a regular expression in RE2's syntax: missing closing )",
    },
    { from: 'check', text: `PILLION_HEALTH_PROBES_1_EXPECT: ${cannot('a back-reference')}` },
  ])
})

t.test('an expression that comes from a variable is not shown', async t => {
  const reading = await readOptions({
    file: { name: 'pillion.yaml', text: `app: {match: "\${env:HIDDEN}"}` },
    environment: { HIDDEN: 'secret-(' },
  })
  t.notMatch(JSON.stringify(reading), 'secret')
  t.equal(reading.ok, false)
})

t.test('the text decides nothing about the time but by its length', async t => {
  // Backtracking takes 5 s and more for each of them. RE2 takes milliseconds; a loaded machine may take its time.
  const f = async (source: string, text: string) => {
    const compiled = await expression(source)
    const before = process.threadCpuUsage()
    for (let n = 0; n < 10; n++) await compiled.matches(text)
    const { user, system } = process.threadCpuUsage(before)
    const ms = (user + system) / 10_000
    t.ok(ms < 100, `${source} on ${text.length} characters: ${ms.toFixed(2)} ms`)
  }
  const line = 'a'.repeat(64 * 1024)
  await f('.*ok', line)
  await f('status.*db.*ok', 'status db '.repeat(6553))
  await f('(a+)+b', line)
  await f('(a|a)*c', line)
  await f('(.*a){20}x', line)
  await f('(.*)(.*)(.*)(.*)(.*)[^a]', line)
  await f('^(\\w+\\s?)+$', `${'word '.repeat(13_000)}!`)
  await f('\\s+$', `${' '.repeat(64 * 1024)}x`)
})

t.test(
  'a large expression on a long text is matched on a thread, and holds the event loop no longer than a small one',
  async t => {
    let seed = 1
    const random = () => (seed = (seed * 48_271) % 2_147_483_647)
    const noise = (length: number) => Array.from({ length }, () => (random() % 2 === 0 ? 'a' : 'b')).join('')
    const long = noise(64 * 1024)
    const f = async (source: string, text: string, wanted: boolean) => {
      const compiled = await expression(source)
      const before = process.threadCpuUsage()
      t.equal(await compiled.matches(text), wanted, source)
      const { user, system } = process.threadCpuUsage(before)
      const ms = (user + system) / 1000
      // 50 are wanted; a processor that is shared with others is slower. On the loop the first would take more than a second.
      t.ok(ms < 150, `${source} on ${text.length} characters: ${ms.toFixed(0)} ms`)
    }
    await f('(?:[ab]*a[ab]{10}){75}$', long, true)
    await f('(?:[ab]*a[ab]{10}){75}c$', long, false)
    await f('[ab]*a[ab]{900}$', `${long}c`, false)
    // As large as is tested at once.
    await f('[ab]*a[ab]{230}$', noise(4096), true)
    await f('(?:[ab]*a[ab]{10}){18}$', `${noise(4095)}c`, false)
    // As large as is matched with any text at once.
    await f('[ab]*a[ab]{20}[ab]*c$', long, false)
    await f('\\pL*a\\pL{20}c$', long, false)
    await f('[ab]{20}$', long, true)
    await f('^[ab]{20}c', long, false)
    const once = await expression('[ab]{95}$')
    const answers = await Promise.all([long, `${long}c`, long].map(text => once.matches(text)))
    t.same(answers, [true, false, true], 'several at once')
  },
)
