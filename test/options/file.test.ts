// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${env:NAME} in texts is a subject of this file

// The configuration file: its format, and the message for each mistake.

import { execFileSync } from 'node:child_process'
import { createWriteStream, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { decode, openFile } from '../../options/file.ts'
import { type Reading, read } from '../../options/read.ts'
import fc from '../property.ts'
import { schema } from './schema.ts'

const FIXTURES = join(import.meta.dirname, '../fixtures/config')
const environment = {
  TOKEN: 's3cr3t',
  INJECTED: 'a: b\nadmin: true',
  RECURSIVE: '${env:TOKEN}',
  DIMENSION: 'a, b]: {x: 1}',
  READY_INTERVAL: '5s',
  EMPTY: '',
}

async function readBytes(name: string, bytes: Uint8Array): Promise<Reading<unknown>> {
  const file = decode(name, bytes)
  if ('problem' in file) return { ok: false, problems: [{ from: 'file', text: file.problem }] }
  return read(schema, { file, environment })
}

/** The messages about the mistakes, or the values. */
async function told(text: string): Promise<unknown> {
  const reading = await readBytes('pillion.yaml', Buffer.from(text))
  return reading.ok ? reading.values : reading.problems.map(each => each.text)
}

t.test('each mistake is answered with its place, what is wrong and what to do', async t => {
  const names = readdirSync(join(FIXTURES, 'bad')).filter(name => name.endsWith('.yaml'))
  t.ok(names.length > 50, 'the fixtures were found')
  for (const name of names) {
    const reading = await readBytes(name, readFileSync(join(FIXTURES, 'bad', name)))
    const expected = readFileSync(join(FIXTURES, 'bad', name.replace('.yaml', '.txt')), 'utf8')
    const lines = reading.ok ? '' : reading.problems.map(each => `${each.text}\n`).join('')
    t.equal(lines, expected, name)
    t.notMatch(lines, /s3cr3t/, `${name} keeps its secrets`)
  }
})

t.test('a file without mistakes is read', async t => {
  const good = async (name: string): Promise<unknown> => {
    const reading = await readBytes(name, readFileSync(join(FIXTURES, 'good', `${name}.yaml`)))
    return reading.ok ? reading.values : reading.problems
  }
  const defaults = await told('')
  t.match(await good('full'), {
    app: { name: 'shop', url: 'http://127.0.0.1:8080/', port: 8080, match: '^node .*server\\.js$' },
    health: {
      probes: [
        { name: 'live', url: 'http://127.0.0.1:8080/live', interval: 90_000, verify: false, status: [200, 204] },
        { name: 'ready', url: 'http://127.0.0.1:8080/ready', interval: 5000, verify: true, status: [200] },
      ],
      guess: false,
    },
    spans: { dimensions: ['http.route', 'a, b]: {x: 1}'], naming: 'otel', limit: 500 },
    web: { listen: { host: '::', port: 9090 }, token: 's3cr3t', keys: ['one', 'two'], body: 1_048_576 },
  })
  t.same(await good('empty'), defaults)
  t.same(await good('only-comments'), defaults)
  t.same(await good('sections-commented-out'), defaults)
  t.match(await good('byte-order-mark-and-crlf'), { app: { name: 'shop', port: 8080 } })
  t.match(await good('escapes'), { app: { name: 'costs $5, $5, ${env:TOKEN} and $', match: '^a$' } })
  t.match(await good('json'), { app: { name: 'shop' }, health: { probes: [{ url: 'http://127.0.0.1:8080/' }, {}] } })
})

t.test('a variable is expanded into its own text only, and only once', async t => {
  const name = async (text: string): Promise<unknown> => told(`app:\n  name: ${text}`)
  t.match(await name('${env:INJECTED}'), { app: { name: 'a: b\nadmin: true' } })
  t.match(await name('${env:RECURSIVE}'), { app: { name: '${env:TOKEN}' } })
  t.match(await name('"a-${env:TOKEN}-${env:UNSET:-b}"'), { app: { name: 'a-s3cr3t-b' } })
  t.match(await name('x${env:EMPTY:-default}'), { app: { name: 'xdefault' } })
  t.match(await name('x${env:EMPTY}'), { app: { name: 'x' } })
  t.match(await name('${env:UNSET:-a:-b}'), { app: { name: 'a:-b' } })
  t.match(await name('$$$${env:TOKEN}'), { app: { name: '$${env:TOKEN}' } })
  t.same(await name('${env:toString}'), [
    'pillion.yaml:2:9: app.name: the environment variable toString is not set; set it, or write ${env:toString:-…} with a default',
  ])
})

t.test('prototypes cannot be reached by names', async t => {
  await told(
    '__proto__: {polluted: true}\nconstructor: {prototype: {polluted: true}}\napp: {__proto__: {polluted: true}}',
  )
  t.notOk('polluted' in {})
})

t.test('a file that would cost too much is refused', async t => {
  const large = decode('pillion.yaml', Buffer.alloc(1024 * 1024 + 1, '#'))
  t.same(large, { problem: 'pillion.yaml: is larger than 1 MiB; a configuration is a few kilobytes' })
  t.ok('text' in decode('pillion.yaml', Buffer.alloc(1024 * 1024, '#')))
  for (const deep of ['['.repeat(10_000), `app: ${'{a: '.repeat(10_000)}`])
    t.match(await told(deep), [/^pillion\.yaml:1:\d+: is nested too deeply$/])
  t.match(await told('- '.repeat(10_000)), [/^pillion\.yaml:1:/])
})

t.test('after fifty problems it is enough', async t => {
  const lines = await told(Array.from({ length: 5000 }, (_, i) => `key${i}: 1`).join('\n'))
  t.ok(Array.isArray(lines))
  const [last, ...before] = Array.isArray(lines) ? lines.toReversed() : []
  t.equal(before.length, 50)
  t.equal(last, 'there are more than 50 problems; correct these first')
})

t.test('no document makes the reader throw, and what it says is one line each', async () => {
  const word = fc.constantFrom(
    'app',
    'name',
    'url',
    'health',
    'probes',
    'interval',
    'spans',
    '<<',
    '__proto__',
    '? ',
    '| ',
  )
  const value = fc.constantFrom(
    '10s',
    '"',
    "'",
    '&a',
    '*a',
    '!x',
    '${env:X}',
    '010',
    '.inf',
    '~',
    '[',
    ']',
    '{',
    '}',
    '- ',
  )
  const glue = fc.constantFrom(
    ': ',
    '\n',
    '\n  ',
    '\n    ',
    ' ',
    '\t',
    ', ',
    '#',
    '---\n',
    '%YAML 1.1\n',
    '\r\n',
    '\u2028',
  )
  const document = fc.array(fc.oneof(word, value, glue, fc.string({ unit: 'binary', maxLength: 4 })), { maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(document, async parts => {
      const reading = await readBytes('pillion.yaml', Buffer.from(parts.join('')))
      return reading.ok || reading.problems.every(({ text }) => text.startsWith('pillion.yaml') && !/[\n\r]/.test(text))
    }),
    { numRuns: 3000 },
  )
})

t.test('random bytes do not make the reader throw', async () => {
  const bytes = fc.uint8Array({ maxLength: 200 })
  await fc.assert(
    fc.asyncProperty(bytes, async each => Boolean(await readBytes('pillion.yaml', each))),
    { numRuns: 1000 },
  )
})

t.test('a file is read up to a limit, wherever it comes from', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'pillion-'))
  t.teardown(() => execFileSync('rm', ['-r', folder]))
  const file = join(folder, 'pillion.yaml')
  writeFileSync(file, 'app: {name: shop}')
  t.same(await openFile(file), { name: file, text: 'app: {name: shop}' })
  t.equal(await openFile(join(folder, 'none.yaml')), undefined)
  t.same(await openFile(folder), {
    problem: `${folder}: cannot read the file: it is a directory; name the file in it`,
  })
  t.same(await openFile('/dev/zero'), {
    problem: '/dev/zero: is larger than 1 MiB; a configuration is a few kilobytes',
  })
})

t.test('a pipe is read until its writer closes it, and not waited for without end', async t => {
  const pipe = join(t.testdir(), 'pillion.yaml')
  execFileSync('mkfifo', [pipe])
  const problem = `${pipe}: cannot read the file: nobody has written all of it into the pipe within 0.2 s`
  t.same(await openFile(pipe, 200), { problem }, 'nobody opens it')
  const reading = openFile(pipe, 20_000)
  const writer = createWriteStream(pipe)
  writer.write('app: ')
  await new Promise(resolve => setTimeout(resolve, 50))
  writer.end('{name: shop}')
  t.same(await reading, { name: pipe, text: 'app: {name: shop}' })
  const late = openFile(pipe, 200)
  const open = createWriteStream(pipe)
  open.write('app: ')
  t.same(await late, { problem }, 'its writer does not close it')
  open.destroy()
})
