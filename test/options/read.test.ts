// Flags, variables and precedence.

import t from 'tap'
import { type Command, parseCommandLine } from '../../options/commandline.ts'
import { section, text } from '../../options/kinds.ts'
import { Names } from '../../options/names.ts'
import { nearest } from '../../options/nearest.ts'
import { type Reading, read } from '../../options/read.ts'
import { schema } from './schema.ts'

const names = new Names(schema)

interface Given {
  args?: string[]
  env?: Record<string, string>
  file?: string
}

async function settle({ args = [], env = {}, file }: Given): Promise<Reading<unknown>> {
  const line = parseCommandLine(args, names)
  const named = file === undefined ? undefined : { name: 'pillion.yaml', text: file }
  const reading = await read(schema, { flags: line.flags, environment: env, file: named })
  const problems = [...line.problems, ...(reading.ok ? [] : reading.problems)]
  return problems.length ? { ok: false, problems } : reading
}

async function values(given: Given): Promise<unknown> {
  const reading = await settle(given)
  return reading.ok ? reading.values : reading.problems
}

async function problems(given: Given): Promise<readonly string[]> {
  const reading = await settle(given)
  return reading.ok ? [] : reading.problems.map(each => each.text)
}

async function origin(path: string, given: Given): Promise<string | undefined> {
  const reading = await settle(given)
  return reading.ok ? reading.origins.get(path) : reading.problems.map(each => each.text).join('\n')
}

t.test('flag beats variable beats file beats OpenTelemetry beats default, option by option', async t => {
  const all = {
    args: ['--app.name', 'flag'],
    env: { PILLION_APP_NAME: 'env', OTEL_SERVICE_NAME: 'otel' },
    file: 'app:\n  name: file\n  port: 8080\n',
  }
  const f = async (given: Given, name: string | undefined, from: string): Promise<void> => {
    t.match(await values(given), { app: { name } })
    t.equal(await origin('app.name', given), from)
  }
  await f(all, 'flag', 'flag --app.name')
  await f({ ...all, args: [] }, 'env', 'env PILLION_APP_NAME')
  await f({ file: all.file, env: { OTEL_SERVICE_NAME: 'otel' } }, 'file', 'file pillion.yaml:2:9')
  await f({ env: { OTEL_SERVICE_NAME: 'otel' } }, 'otel', 'env OTEL_SERVICE_NAME')
  await f({}, undefined, 'default')
  t.equal(await origin('app.port', all), 'file pillion.yaml:3:9')
})

t.test('a nearer source may turn something off', async t => {
  t.match(await values({ args: ['--web.listen=off'], file: 'web: {listen: 9090}' }), { web: { listen: undefined } })
  t.match(await values({ args: ['--no-health.guess'], env: { PILLION_HEALTH_GUESS: 'true' } }), {
    health: { guess: false },
  })
  t.match(await values({ args: ['--spans.dimensions='], file: 'spans: {dimensions: [a]}' }), {
    spans: { dimensions: [] },
  })
})

t.test('an address by itself is app.url, and HOST:PORT is one', async t => {
  const f = async (args: string[], url: string) => {
    t.match(await values({ args }), { app: { url } }, args.join(' '))
    t.equal(await origin('app.url', { args }), 'flag --app.url')
  }
  await f(['--app.url', 'localhost:8080'], 'http://localhost:8080/')
  await f(['--app.url', '127.0.0.1:8080/shop'], 'http://127.0.0.1:8080/shop')
  await f(['--app.url=[::1]:80'], 'http://[::1]/')
  await f(['http://127.0.0.1:8080'], 'http://127.0.0.1:8080/')
  await f(['localhost:8080'], 'http://localhost:8080/')
  await f(['HTTPS://shop.example/'], 'https://shop.example/')
  await f(['check', 'http://127.0.0.1:8080', '--app.name', 'x'], 'http://127.0.0.1:8080/')
  t.same(await problems({ args: ['localhost'] }), ['localhost: unknown command; see pillion help'])
  t.same(await problems({ args: ['localhost:8080', 'localhost:8081'] }), [
    '--app.url: is given twice; keep one of them',
  ])
  t.match(await problems({ args: ['--app.url', 'mailto:a'] }), [/^--app\.url: must be a URL/])
})

t.test('flags are written with a space, with an equals sign, or bare when they are true or false', async t => {
  t.match(await values({ args: ['--app.port', '80', '--app.name=a=b', '--health.guess'] }), {
    app: { port: 80, name: 'a=b' },
    health: { guess: true },
  })
  t.match(await values({ args: ['--health.guess', 'false', '--app.name=-x', '--app.match='] }), {
    app: { name: '-x', match: '' },
    health: { guess: false },
  })
})

t.test('lists are separated by commas, and repeated flags add to them', async t => {
  t.match(await values({ args: ['--spans.dimensions=a, b', '--spans.dimensions=c'] }), {
    spans: { dimensions: ['a', 'b', 'c'] },
  })
  t.match(await values({ env: { PILLION_SPANS_DIMENSIONS: 'a,b' } }), { spans: { dimensions: ['a', 'b'] } })
  t.same(await problems({ args: ['--health.probes.0.status=200,ok'] }), [
    '--health.probes.0.status: each part must be a whole number from 100 to 599, not "ok"',
  ])
})

t.test('mappings in a list are numbered, and change single options of what the file has', async t => {
  const given = {
    args: ['--health.probes.1.interval=3s'],
    env: { PILLION_HEALTH_PROBES_0_URL: 'http://127.0.0.1/env', PILLION_HEALTH_PROBES_2_NAME: 'third' },
    file: 'health:\n  probes:\n    - {name: first, url: "http://127.0.0.1/file"}\n    - name: second\n',
  }
  t.match(await values(given), {
    health: {
      probes: [
        { name: 'first', url: 'http://127.0.0.1/env', interval: 10_000 },
        { name: 'second', url: undefined, interval: 3000 },
        { name: 'third', interval: 10_000 },
      ],
    },
  })
  t.equal(await origin('health.probes[0].url', given), 'env PILLION_HEALTH_PROBES_0_URL')
  t.equal(await origin('health.probes[0].name', given), 'file pillion.yaml:3:14')
  t.same(await problems({ args: ['--health.probes.2.name=x', '--health.probes.0.name=x'] }), [
    '--health.probes.2.name: there is no health.probes[1] before it; number the items from 0 without gaps',
  ])
  t.same(await problems({ env: { PILLION_HEALTH_PROBES_7_NAME: 'x' } }), [
    'PILLION_HEALTH_PROBES_7_NAME: there is no health.probes[0] before it; number the items from 0 without gaps',
  ])
})

t.test('an unknown flag is answered with the one that was meant', async t => {
  const f = async (args: string[], expected: string) => t.same(await problems({ args }), [expected], args.join(' '))
  await f(['--app.ulr=x'], '--app.ulr: unknown option; did you mean --app.url?')
  await f(['--App.URL', 'x'], '--App.URL: unknown option; did you mean --app.url?')
  await f(['--port=1'], '--port: unknown option; did you mean --app.port?')
  await f(
    ['--health.probes.3.intervall=1s'],
    '--health.probes.3.intervall: unknown option; did you mean --health.probes.3.interval?',
  )
  await f(['--confg=x'], '--confg: unknown option; did you mean --config?')
  await f(['--frobnicate'], '--frobnicate: unknown option; see pillion help')
  await f(['-x'], '-x: unknown option; see pillion help')
  await f(['--app'], '--app: unknown option; it is a group of options, such as --app.name, --app.url, --app.port')
  await f(
    ['--health.probes=x'],
    '--health.probes: unknown option; it is a group of options, such as --health.probes.0.name, --health.probes.0.url, --health.probes.0.interval',
  )
  await f(
    ['--health.probes.01.name=x'],
    '--health.probes.01.name: unknown option; did you mean --health.probes.0.name?',
  )
  await f(['--__proto__=x'], '--__proto__: unknown option; see pillion help')
  await f(['--no-app.name'], '--no-app.name: unknown option; did you mean --app.name?')
})

t.test('a flag that is used wrongly says how to use it', async t => {
  const f = async (args: string[], expected: string) => t.same(await problems({ args }), [expected], args.join(' '))
  await f(['--app.url'], '--app.url: needs a value: --app.url=… (a URL (http://… or https://…))')
  await f(['--app.name', '--health.guess'], '--app.name: needs a value: --app.name=… (a string)')
  await f(['--app.port=http'], '--app.port: must be a whole number from 1 to 65535, not "http"')
  await f(['--app.port=1', '--app.port=2'], '--app.port: is given twice; keep one of them')
  await f(['--no-health.guess=true'], '--no-health.guess: takes no value; write --health.guess=true')
  await f(['--config'], '--config: needs the name of a file')
  await f(['--config', 'a', '--config.file=b'], '--config.file: is given twice; only one file can be read')
})

t.test('an unknown variable is answered with the one that was meant', async t => {
  const f = async (name: string, expected: string) => t.same(await problems({ env: { [name]: 'x' } }), [expected])
  await f('PILLION_APP_ULR', 'PILLION_APP_ULR: unknown variable; did you mean PILLION_APP_URL?')
  await f('PILLION_CONFG', 'PILLION_CONFG: unknown variable; did you mean PILLION_CONFIG?')
  await f('PILLION_NOTHING_LIKE_IT', 'PILLION_NOTHING_LIKE_IT: unknown variable; see pillion help')
  await f('PILLION_APP_PORT', 'PILLION_APP_PORT: must be a whole number from 1 to 65535, not "x"')
  t.same(await problems({ env: { PILLION_CONFIG: 'x', OTHER_APP_URL: 'x', pillion_x: 'y' } }), [])
})

t.test('an empty variable counts as unset', async t => {
  t.equal(
    await origin('app.port', { env: { PILLION_APP_PORT: '' }, file: 'app: {port: 80}' }),
    'file pillion.yaml:1:13',
  )
  t.equal(await origin('app.name', { env: { OTEL_SERVICE_NAME: '' } }), 'default')
})

t.test('the variables that Kubernetes sets for a Service named pillion are not ours', async t => {
  const env = {
    PILLION_SERVICE_HOST: '10.0.0.7',
    PILLION_SERVICE_PORT: '19464',
    PILLION_SERVICE_PORT_WEB: '19464',
    PILLION_PORT: 'tcp://10.0.0.7:19464',
    PILLION_PORT_19464_TCP: 'tcp://10.0.0.7:19464',
    PILLION_PORT_19464_TCP_PROTO: 'tcp',
    PILLION_PORT_19464_TCP_PORT: '19464',
    PILLION_PORT_19464_TCP_ADDR: '10.0.0.7',
    PILLION_WEB_PORT: 'tcp://10.0.0.7:19464',
  }
  t.same(await problems({ env }), [])
  t.same(await problems({ env: { PILLION_PORT: '8080' } }), ['PILLION_PORT: unknown variable; see pillion help'])
})

t.test('an OTEL_ variable with a bad value is ignored with a warning', async t => {
  const otel = section('', { limit: { ...schema.fields.spans.fields.limit, otel: 'OTEL_LIMIT' } })
  const reading = await read(otel, { environment: { OTEL_LIMIT: 'many' } })
  t.match(reading, {
    ok: true,
    values: { limit: 2000 },
    warnings: ['OTEL_LIMIT: must be a whole number from 1, not "many"; it is ignored, set --limit instead'],
  })
})

t.test('all mistakes of all sources are told together', async t => {
  const given = { args: ['--app.ulr=x', '--spans.limit=0'], env: { PILLION_APP_PORT: 'x' }, file: 'web: {lisen: 1}' }
  t.same(await problems(given), [
    '--app.ulr: unknown option; did you mean --app.url?',
    '--spans.limit: must be a whole number from 1, not "0"',
    'PILLION_APP_PORT: must be a whole number from 1 to 65535, not "x"',
    'pillion.yaml:1:7: web.lisen: unknown key; did you mean listen?',
  ])
  t.same(
    await problems({ args: ['--app.port=1'], file: 'app: {port: ten}' }),
    ['pillion.yaml:1:13: app.port: must be a whole number from 1 to 65535, not "ten"'],
    'also those that a nearer source covers',
  )
})

t.test('no message holds a secret', async t => {
  const given = {
    args: [
      '--app.url=http://user:s3cr3t@127.0.0.1:99999/',
      '--web.tokn',
      's3cr3t',
      '--web.passwd=s3cr3t',
      '--app.port=\u001b[2J',
    ],
    env: { PILLION_HEALTH_PROBES_0_URL: 'ftp://s3cr3t@h/', PILLION_WEB_TOKNE: 's3cr3t' },
  }
  const lines = (await problems(given)).join('\n')
  t.match(lines, /--web\.tokn: unknown option; did you mean --web\.token\?/)
  t.notMatch(lines, /s3cr3t/)
  t.notMatch(lines, /\u001b/)
})

t.test('the command line has a command, options, and a command of the application', async t => {
  const f = (args: string[], command: Command, application: string[] = []): void => {
    const line = parseCommandLine(args, names)
    t.same(line.problems, [], args.join(' '))
    t.match({ command: line.command, application: [...line.application] }, { command, application })
  }
  f([], '')
  f(['--app.name', 'run'], '')
  f(['run', '--', 'node', '--json', '--', 'x'], 'run', ['node', '--json', '--', 'x'])
  f(['--app.name=x', 'run', '--app.port=1', '--', 'sleep', '1'], 'run', ['sleep', '1'])
  f(['--config', 'check', 'check'], 'check')
  f(['-h'], 'help')
  f(['run', '--help'], 'help')
  f(['help', 'run'], 'help')
  f(['--version'], 'version')
  f(['version', '--json'], 'version')
})

t.test('a command that is used wrongly says how to use it', async t => {
  const f = async (args: string[], expected: string) => t.same(await problems({ args }), [expected], args.join(' '))
  await f(['chekc'], 'chekc: unknown command; did you mean check?')
  await f([''], '"": unknown command; see pillion help')
  await f(['8080'], '8080: unknown command; an application on this port is localhost:8080')
  await f([':8080'], ':8080: unknown command; an application on this port is localhost:8080')
  await f(['__proto__'], '__proto__: unknown command; see pillion help')
  await f(['run'], 'run: needs a command after "--", as in: pillion run -- node server.js')
  await f(['run', '--'], 'run: needs a command after "--", as in: pillion run -- node server.js')
  await f(['run', 'node', 'server.js'], 'node: the command comes after "--", as in: pillion run -- node')
  await f(['--', 'node', 'x'], '--: only run and exec take a command, as in: pillion run -- node')
  await f(['check', '--', 'node'], '--: only run and exec take a command, as in: pillion run -- node')
  await f(['check', 'pillion.yaml'], 'pillion.yaml: unexpected; options begin with --')
  await f(['check', '--json'], '--json: only metrics, version, flight can print JSON')
})

t.test('nearest finds what was meant, and nothing when nothing is near', async t => {
  const known = ['app.url', 'app.port', 'web.listen', 'otlp.http.listen', 'app.pid_file']
  const f = (word: string, expected: string[]) => t.same(nearest(word, known), expected)
  f('app.ulr', ['app.url'])
  f('app.pid-file', ['app.pid_file'])
  f('listen', ['web.listen', 'otlp.http.listen'])
  f('application.address', [])
  f('x'.repeat(1_000_000), [])
})

t.test('two options that would share a variable are a mistake in the schema', async t => {
  const clash = section('', { a: section('', { b_c: text('') }), a_b: section('', { c: text('') }) })
  t.throws(() => new Names(clash), { message: 'cannot name a_b.c: PILLION_A_B_C is already a.b_c; rename one of them' })
})

t.test('the values cannot be changed', async t => {
  const reading = await read(schema, {})
  t.throws(() => Object.assign(reading.ok ? reading.values.app : {}, { name: 'x' }), TypeError)
})
