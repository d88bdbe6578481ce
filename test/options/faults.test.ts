// Values that can be parsed and cannot work: the faults that the checks of sections and options find, and their places.

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parseCommandLine } from '../../options/commandline.ts'
import { checked, choice, type Fault, file, list, section, text } from '../../options/kinds.ts'
import { Names } from '../../options/names.ts'
import { read } from '../../options/read.ts'

const probe = section('One probe.', {
  name: text('Its name.'),
  kind: choice('What is asked.', ['http', 'tcp'], { default: 'http' }),
  address: text('HOST:PORT.'),
  headers: list('Headers.', text('One.', { default: '' })),
})

const schema = section('A schema whose parts can be at fault.', {
  app: section('The application.', { name: text('Its name.', { otel: 'OTEL_SERVICE_NAME' }) }),
  health: checked(section('Probes.', { probes: list('The probes.', probe) }), ({ probes }): Fault[] =>
    probes.flatMap(({ kind, address, headers }, index) => [
      ...(kind === 'tcp' && address === undefined
        ? [{ path: `probes[${index}].address`, message: 'is missing; give HOST:PORT' }]
        : []),
      ...headers.flatMap((each, at) =>
        each.includes(':') ? [] : [{ path: `probes[${index}].headers[${at}]`, message: 'must be "Name: value"' }],
      ),
    ]),
  ),
  web: checked(
    section('The web server.', { token_file: file('A token.'), ca_files: list('Authorities.', file('One.')) }),
    async ({ token_file }) => (token_file === undefined ? [] : [{ path: 'token_file', message: 'is always wrong' }]),
  ),
})
const unnamed = checked(section('', { app: section('', { name: text('') }) }), ({ app }) =>
  app.name === 'bad'
    ? [{ path: 'app.name', message: 'is bad' }]
    : app.name
      ? []
      : [{ path: 'app', message: 'is empty' }],
)

interface From {
  readonly text?: string
  readonly flags?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
}

async function told({ text, flags = [], environment = {} }: From): Promise<readonly string[]> {
  const line = parseCommandLine(flags, new Names(schema))
  const source = text === undefined ? undefined : { name: 'pillion.yaml', text }
  const reading = await read(schema, { file: source, flags: line.flags, environment })
  return reading.ok ? [] : reading.problems.map(each => each.text)
}

t.test('a fault has the place of its option: line and column, the flag, or the variable', async t => {
  t.same(await told({ text: 'health:\n  probes:\n    - name: a\n      kind: tcp\n    - headers: ["a: b", c]' }), [
    'pillion.yaml:3:7: health.probes[0].address: is missing; give HOST:PORT',
    'pillion.yaml:5:25: health.probes[1].headers[1]: must be "Name: value"',
  ])
  t.same(await told({ flags: ['--health.probes.0.kind=tcp', '--health.probes.0.headers=a'] }), [
    '--health.probes.0.kind: health.probes[0].address: is missing; give HOST:PORT',
    '--health.probes.0.headers: health.probes[0].headers[0]: must be "Name: value"',
  ])
  t.same(await told({ environment: { PILLION_HEALTH_PROBES_0_KIND: 'tcp' } }), [
    'PILLION_HEALTH_PROBES_0_KIND: health.probes[0].address: is missing; give HOST:PORT',
  ])
})

t.test('the place is that of the source whose value is in effect', async t => {
  const text = 'web:\n  token_file: /nowhere/file'
  t.same(await told({ text }), [
    'pillion.yaml:2:15: web.token_file: cannot read "/nowhere/file": there is no such file',
  ])
  const variable = { PILLION_WEB_TOKEN_FILE: '/nowhere/variable' }
  t.same(await told({ text, environment: variable }), [
    'PILLION_WEB_TOKEN_FILE: cannot read "/nowhere/variable": there is no such file',
  ])
  t.same(await told({ text, environment: variable, flags: ['--web.token_file=/nowhere/flag'] }), [
    '--web.token_file: cannot read "/nowhere/flag": there is no such file',
  ])
})

t.test('a value of an OTEL_ variable has a place too, and a fault without one names its path', async t => {
  const f = async (environment: Record<string, string>, expected: string) => {
    const reading = await read(
      { ...unnamed, fields: { app: section('', { name: text('', { otel: 'OTEL_SERVICE_NAME' }) }) } },
      { environment },
    )
    t.same(reading.ok || reading.problems, [{ from: 'check', text: expected }])
  }
  await f({ OTEL_SERVICE_NAME: 'bad' }, 'OTEL_SERVICE_NAME: is bad')
  await f({}, 'app: is empty')
})

t.test('faults are reported together with what cannot be parsed, and never about the same option', async t => {
  const text = [
    'health:',
    '  probes:',
    '    - {kind: tcp, adress: "a:1"}',
    '    - {kind: tcp, address: [1]}',
    '    - {kind: tcp}',
    'web: {nonsense: 1, token_file: /}',
  ].join('\n')
  t.same(await told({ text, flags: ['--health.probes.4.kind=udp'] }), [
    '--health.probes.4.kind: must be one of http, tcp, not "udp"',
    'pillion.yaml:3:19: health.probes[0].adress: unknown key; did you mean address?',
    'pillion.yaml:4:28: health.probes[1].address: must be a string, not a list',
    'pillion.yaml:6:7: web.nonsense: unknown key; known here: token_file, ca_files',
    'pillion.yaml:5:7: health.probes[2].address: is missing; give HOST:PORT',
    'pillion.yaml:6:32: web.token_file: cannot read "/": it is a directory; name the file in it',
  ])
  t.match(await told({ text: 'health: {probes: [{kind: tcp}' }), [/indentation/], 'only what the parser says')
})

t.test('a file that an option names must be readable', async t => {
  const folder = t.testdir({ token: 'x' })
  mkdirSync(join(folder, 'locked'))
  writeFileSync(join(folder, 'locked/token'), 'x')
  const f = async (name: string, expected: RegExp | undefined) => {
    const lines = await told({ flags: [`--web.ca_files=${join(folder, name)}`] })
    t.equal(lines.length, expected ? 1 : 0)
    if (expected) t.match(lines[0], expected, name)
  }
  await f('token', undefined)
  await f('nothing', /^--web\.ca_files: web\.ca_files\[0\]: cannot read ".*nothing": there is no such file$/)
  await f('token/below', /there is no such file$/)
  await f('.', /it is a directory; name the file in it$/)
  chmodSync(join(folder, 'token'), 0)
  if (process.getuid?.() !== 0) await f('token', /permission denied; let the user of the sidecar read it$/)
})
