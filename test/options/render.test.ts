// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${env:NAME} in texts is a subject of this file

// Everything that is generated from the schema: help, docs/options.md, the JSON Schema, print-config.

import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { helpText, topicHelp, wholeHelp } from '../../options/help.ts'
import { jsonSchema } from '../../options/jsonschema.ts'
import { bytes, duration, type Kind, list, listen, section, text } from '../../options/kinds.ts'
import { optionsMarkdown } from '../../options/markdown.ts'
import { flagOf, Names, variableOf } from '../../options/names.ts'
import { withoutSecrets } from '../../options/opaque.ts'
import { printConfig } from '../../options/print.ts'
import { read } from '../../options/read.ts'
import fc from '../property.ts'
import { schema } from './schema.ts'

const GOOD = join(import.meta.dirname, '../fixtures/config/good')
const environment = { TOKEN: 's3cr3t', DIMENSION: 'http.method', READY_INTERVAL: '5s' }

async function printed(file: string, env: Record<string, string> = environment): Promise<string> {
  const reading = await read(schema, { file: { name: 'pillion.yaml', text: file }, environment: env })
  return reading.ok ? printConfig(schema, reading) : reading.problems.map(each => each.text).join('\n')
}

t.test('print-config shows each value, where it comes from, and no secret', async t => {
  const file = [
    'app: {url: "http://user:s3cr3t@127.0.0.1:8080/x?token=s3cr3t"}',
    'health: {probes: [{interval: 90s}]}',
    'web: {token: "${env:TOKEN}", keys: [s3cr3t, more]}',
  ].join('\n')
  const env = { ...environment, PILLION_HEALTH_PROBES_0_NAME: 'null', OTEL_SERVICE_NAME: 'my shop' }
  t.equal(
    await printed(file, env),
    `app:
  name: "my shop"                                       # env OTEL_SERVICE_NAME
  url: "http://[redacted]@127.0.0.1:8080/x?[redacted]"  # file pillion.yaml:1:12
  # port: not set                                       # default
  # match: not set                                      # default
health:
  probes:
    -
      name: "null"                                      # env PILLION_HEALTH_PROBES_0_NAME
      # url: not set                                    # default
      interval: 1m30s                                   # file pillion.yaml:2:30
      verify: true                                      # default
      status: [200]                                     # default
  guess: true                                           # default
spans:
  dimensions: []                                        # default
  naming: tempo                                         # default
  limit: 2000                                           # default
web:
  listen: 127.0.0.1:19464                               # default
  token: "[redacted]"                                   # file pillion.yaml:3:14
  keys: ["[redacted]", "[redacted]"]                    # file pillion.yaml:3:36
  body: 16MiB                                           # default
  # memory: not set                                     # default
`,
  )
})

t.test('the output of print-config is read back as the same', async t => {
  const file = readFileSync(join(GOOD, 'full.yaml'), 'utf8').replace(/^ {2}(token|keys):.*\n/gm, '')
  const once = await printed(file)
  const bare = (text: string): string => text.replaceAll(/ +# .*/g, '')
  t.equal(bare(await printed(once)), bare(once))
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary' }), async name => {
      const reading = await read(schema, { environment: name ? { PILLION_APP_NAME: name } : {} })
      if (!reading.ok || withoutSecrets(name) !== name) return true
      const again = await read(schema, { file: { name: 'x', text: printConfig(schema, reading) } })
      return again.ok && again.values.app.name === reading.values.app.name
    }),
    { numRuns: 500, examples: [['$${env:X}'], ['yes'], ['010'], ['a: b'], ['# x'], ['a:'], ['1e3'], ['.inf'], ['$']] },
  )
})

t.test('the userinfo and the query of a URL are not printed', async t => {
  const f = (url: string, expected: string) => t.equal(withoutSecrets(url), expected)
  f('http://127.0.0.1:8080/x', 'http://127.0.0.1:8080/x')
  f('http://a:b@h/x?y=z#w', 'http://[redacted]@h/x?[redacted]')
  f('http://token@h/', 'http://[redacted]@h/')
  f('what?no', 'what?no')
})

t.test('help shows the commands and the options to begin with, and how to see the others', async t => {
  const help = helpText(schema, ['app.url', 'health.probes[].name'])
  t.match(help, '  pillion run [options] -- CMD ARGS…      start an application')
  t.match(help, '  --app.url  a URL')
  t.match(help, '  --health.probes.0.name  a string\n        Its name.\n')
  t.notMatch(help, '--app.name')
  t.match(help, `There are ${new Names(schema).paths().length} options. pillion help SECTION`)
  t.match(help, 'Sections: app, health, spans, web.')
  for (const line of help.split('\n')) t.ok(line.length <= 140, line)
})

t.test('help --all names every option, its variable can be told from it, and no secret default', async t => {
  const help = wholeHelp(schema)
  const names = new Names(schema)
  for (const path of names.paths()) t.match(help, `  ${flagOf(path)}`)
  t.match(help, '  pillion run [options] -- CMD ARGS…      start an application')
  t.match(help, '  --health.guess, --no-health.guess  true or false; default true\n        Whether to guess.\n')
  t.match(help, '  --app.name  a string; default OTEL_SERVICE_NAME\n')
  for (const line of help.split('\n')) t.ok(line.length <= 140, line)
  for (const path of names.paths()) t.equal(names.variable(variableOf(path))?.path, path.replace('[]', '[0]'))
})

t.test('help about a section, a list, an option or a command says only that', async t => {
  const f = (topic: string, has: RegExp, hasNot: RegExp) => {
    const found = topicHelp(schema, topic)
    const text = found.ok ? found.text : found.message
    t.match(text, has, topic)
    t.notMatch(text, hasNot, topic)
  }
  f('app', /^The application\.\n {2}--app\.name .*\n.*\n {2}--app\.url /, /--web|--health|Usage/)
  f('health', /--health\.guess[\s\S]*--health\.probes\.0\.name/, /--web|--app/)
  f('health.probes', /^The probes\. One probe\.\n {2}--health\.probes\.0\.name/, /--health\.guess/)
  f('health.probes.0', /--health\.probes\.0\.name/, /--health\.guess/)
  f('app.url', /^ {2}--app\.url {2}a URL/, /--app\.name/)
  f('run', /^Usage:\n {2}pillion run \[options\] -- CMD/, /--app|pillion check/)
  f('helth', /^helth: no such section or command; did you mean health\?$/, /--/)
  f('xyzxyz', /^xyzxyz: no such section or command; sections are app, health, spans, web$/, /--/)
  f('__proto__', /no such section/, /--/)
  const both = section('', { metrics: section('A section like a command.', { limit: text('A limit.') }) })
  t.match(topicHelp(both, 'metrics'), { text: /pillion metrics \[--json\][\s\S]*--metrics\.limit/ })
})

t.test('docs/options.md has a table for each section', async t => {
  const markdown = optionsMarkdown(schema)
  t.match(markdown, '## app\n\nThe application.\n\n| option | environment | default | meaning |\n|---|---|---|---|\n')
  t.match(markdown, '| `app.name` | `PILLION_APP_NAME` | `OTEL_SERVICE_NAME` | Its name. *a string* |')
  t.match(markdown, '### health.probes[]\n\nThe probes. One probe.\n\n')
  t.match(
    markdown,
    '| `health.probes[].interval` | `PILLION_HEALTH_PROBES_0_INTERVAL` | `10s` | How often. *a duration such as 10s (at least 1s)* |',
  )
  t.match(markdown, '| `spans.naming` | `PILLION_SPANS_NAMING` | `tempo` | Names. *tempo \\| otel* |')
  t.match(
    markdown,
    '| `web.token` | `PILLION_WEB_TOKEN` | – | Who knows it may read everything. *a string*, never printed |',
  )
})

const python = spawnSync('python3', ['-c', 'import jsonschema; jsonschema.Draft202012Validator'])
const skip = python.status === 0 ? false : 'needs a validator: apt-get install python3-jsonschema'

t.test('characters with a meaning in Markdown are escaped', async t => {
  const odd = section('', { hosts: text('Names ("*.a", `*|`).', { default: 'a|b' }) })
  t.match(optionsMarkdown(odd), '| `a\\|b` | Names ("\\*.a", `*\\|`). *a string* |')
})

t.test('a validator of JSON Schema takes what we take and refuses what we refuse', { skip }, async t => {
  const good = (name: string): unknown => parse(readFileSync(join(GOOD, name), 'utf8'))
  const bad = [
    { ap: {} },
    { app: { port: 0 } },
    { app: { port: 'http' } },
    { app: { name: 5 } },
    { app: 'x' },
    { health: { probes: {} } },
    { health: { probes: [{ interval: '10' }] } },
    { health: { probes: [{ status: [99] }] } },
    { health: { guess: 'maybe' } },
    { spans: { naming: 'Tempo' } },
    { web: { listen: 'nowhere' } },
    { web: { listen: 65536 } },
    { web: { body: '1MB' } },
  ]
  const input = { schema: jsonSchema(schema), good: readdirSync(GOOD).map(good), bad }
  const program = `
import json, sys
from jsonschema import Draft202012Validator
given = json.load(sys.stdin)
Draft202012Validator.check_schema(given['schema'])
validator = Draft202012Validator(given['schema'])
print(json.dumps({
  'refused': [next(validator.iter_errors(each)).message for each in given['good'] if not validator.is_valid(each)],
  'taken': [each for each in given['bad'] if validator.is_valid(each)],
}))`
  const { stdout, stderr } = spawnSync('python3', ['-c', program], { input: JSON.stringify(input), encoding: 'utf8' })
  t.same(stdout && JSON.parse(stdout), { refused: [], taken: [] }, stderr)
})

t.test('the JSON Schema tells no secret default', async t => {
  const secret = section('', { keys: list('', text('', { secret: true }), { default: ['s3cr3t'] }) })
  for (const each of [
    JSON.stringify(jsonSchema(secret)),
    optionsMarkdown(secret),
    wholeHelp(secret),
    helpText(secret, ['keys']),
  ])
    t.notMatch(each, /s3cr3t/)
})

t.test('durations, sizes and addresses are written as they are read', async t => {
  const time = duration('', { default: '10s' })
  const size = bytes('', { default: '1MiB' })
  const address = listen('', { default: 'off' })
  const f = <Value>(kind: Kind<Value>, value: string, expected = value) =>
    t.equal(kind.write?.(kind.parse(value)), expected)
  f(time, '10s')
  f(time, '90s', '1m30s')
  f(time, '1500ms')
  f(time, '0ms', '0s')
  f(time, '36h', '1d12h')
  f(size, '16MiB')
  f(size, '1024', '1KiB')
  f(size, '1025B')
  f(size, '0', '0B')
  f(address, 'off')
  f(address, ':80')
  f(address, '80', '127.0.0.1:80')
  f(address, '[::1]:80')
  f(address, 'localhost:0')
})
