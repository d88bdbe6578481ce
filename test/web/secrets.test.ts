// One secret is planted wherever one can stand; then everything that the sidecar says is read, and it is in none of it.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { inspect } from 'node:util'
import t from 'tap'
import { readProbes } from '../../collectors/health/target.ts'
import { readOptions } from '../../parts.ts'
import { shownCommand } from '../../telemetry/status.ts'
import { Child, until } from '../e2e/child.ts'
import { MAIN, OPENMETRICS, runSidecar, startSidecar } from '../e2e/ride.ts'
import { Authority } from './certificates.ts'

const SECRET = `s3cr3t-${Math.random().toString(36).slice(2)}`
const PROTOBUF = 'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited'

t.test('a secret planted everywhere is said nowhere', async t => {
  const received: string[] = []
  const app = createServer((request, response) => {
    received.push(String(request.headers['authorization'] ?? request.headers['x-key']))
    response.writeHead(503, { 'x-echo': SECRET }).end(JSON.stringify({ status: 'fail', output: SECRET }))
  }).listen(0, '127.0.0.1')
  t.teardown(() => app.close())
  await new Promise(resolve => app.once('listening', resolve))
  const { port } = app.address() as AddressInfo

  const dir = t.testdir({ token: SECRET })
  const authority = new Authority(dir)
  const { cert } = authority.sign('server', 'DNS:localhost')
  const config = (more = ''): string => `
app: { url: 'http://127.0.0.1:${port}/?key=${SECRET}' }
health:
  probes:
    - name: file
      url: http://127.0.0.1:${port}/a?key=${SECRET}#${SECRET}
      headers: ['Authorization: Bearer ${SECRET}']
      interval: 100ms
    - name: reference
      url: http://127.0.0.1:${port}/b
      headers: ['X-Key: \${env:PLANTED}']
      interval: 100ms
    - name: nobody
      url: http://127.0.0.1:1/c?key=${SECRET}
      headers: ['X-Key: ${SECRET}']
      interval: 100ms
web: { token_file: '${join(dir, 'token')}' }
${more}`
  const file = join(dir, 'pillion.yaml')
  writeFileSync(file, config())
  const env = { PLANTED: SECRET, PILLION_HEALTH_PROBES_0_BODY_MATCHES: 'x' }
  const program = 'setTimeout(() => {}, 60_000)'
  await using ride = await startSidecar({
    flags: ['--config', file, '--health.probes.1.headers', `X-Key: ${SECRET}`, '--flight.dir', join(dir, 'flights')],
    command: [process.execPath, '-e', program, '--', `--password=${SECRET}`],
    env,
  })
  await until('every header sent', () => (received.filter(each => each.includes(SECRET)).length > 4 ? true : undefined))
  await until(
    'failures',
    async () => ((await ride.value('app_health_consecutive_failures', { probe: 'nobody' })) ?? 0) > 2 || undefined,
  )

  const said: Record<string, string> = {}
  const ask = async (name: string, path: string, init: RequestInit = {}): Promise<void> => {
    const response = await fetch(`${ride.web}${path}`, init)
    said[`${name} ${response.status}`] =
      JSON.stringify([...response.headers]) + Buffer.from(await response.arrayBuffer()).toString('latin1')
  }
  const headers = (of: Record<string, string>): RequestInit => ({ headers: of })
  await ask('text', '/metrics')
  await ask('openmetrics', '/metrics', headers({ accept: OPENMETRICS }))
  await ask('protobuf', '/metrics', headers({ accept: PROTOBUF }))
  await ask('page', '/')
  await ask('status', '/api/status')
  await ask('ready', '/-/ready')
  await ask('nothing', '/api/config')
  await ask('heap', '/debug/pprof/heap')
  await ask('wrong token', '/metrics', headers({ authorization: `Bearer ${SECRET}x` }))
  await ask('right token', '/metrics', headers({ authorization: `Bearer ${SECRET}` }))
  await ask('a secret in the path', `/${SECRET.slice(0, 3)}nothing?key=1`)

  await ask('asking for a flight record', '/-/flight', { method: 'POST' })
  const [name = ''] = readdirSync(join(dir, 'flights')).filter(each => each.endsWith('.html'))
  await ask('flight record', `/api/flight/${name}`)
  t.match(said['flight record 200'], /probe nobody/)
  const [ring = ''] = readdirSync(join(dir, 'flights')).filter(each => each.startsWith('ring-'))
  said['ring of the flight recorder'] = readFileSync(join(dir, 'flights', ring), 'latin1')

  const f = async (more: string): Promise<void> => {
    writeFileSync(file, config(more))
    await ask(`reload with ${more.replaceAll(SECRET, '…')}`, '/-/reload', { method: 'POST' })
  }
  await f(`log: { level: ${SECRET.slice(0, 1)} }\n`)
  await f(`    - { name: more, url: 'http://user:${SECRET}@127.0.0.1/' }\n`)
  await f(`spans: { limit: 3 }\n`)
  // A key and its certificate that do not fit, in the file itself.
  writeFileSync(
    join(dir, 'web.yml'),
    `tls_server_config: { cert_file: ${cert}, key: '${SECRET}' }\nbasic_auth_users: { a: ${SECRET} }\n`,
  )
  writeFileSync(file, config().replace('web: {', `web: { config: { file: ${join(dir, 'web.yml')} },`))
  await ask('reload with a web configuration', '/-/reload', { method: 'POST' })
  writeFileSync(file, config())
  await ask('reload', '/-/reload', { method: 'POST' })

  for (const verb of ['print-config', 'check', 'healthcheck']) {
    const child = await runSidecar([verb, '--config', file, '--web.listen', ride.web.slice(7)], env)
    said[verb] = child.stdout + child.stderr
    await child[Symbol.asyncDispose]()
  }
  writeFileSync(file, config('nonsense: 1\n').replace('interval', 'intervall'))
  const wrong = await runSidecar(['check', '--config', file, `--nothing=${SECRET}`], env)
  said['check with mistakes'] = wrong.stdout + wrong.stderr
  await ride.child.stop()
  said['stdout'] = ride.child.stdout
  said['stderr'] = ride.child.stderr

  for (const [name, text] of Object.entries(said)) {
    const at = text.indexOf(SECRET)
    t.equal(at < 0 ? '' : text.slice(Math.max(0, at - 100), at + 40), '', name)
    t.notMatch(text, Buffer.from(SECRET).toString('base64').slice(0, -4), `${name}, in base64`)
  }
  t.ok(Object.keys(said).includes('text 200') && Object.keys(said).includes('page 200'), 'there was something to read')
})

t.test('a secret in a flag or a variable is in no list of processes and in no report of Node', async t => {
  const dir = t.testdir({})
  const flags = [
    ...['--health.probes.0.name', 'a', '--health.probes.0.url', `http://127.0.0.1:1/a?key=${SECRET}`],
    ...['--health.probes.0.headers', `Authorization: Bearer ${SECRET}`, `--health.probes.0.headers=X-Key: ${SECRET}`],
  ]
  const env = { PLANTED: SECRET, NODE_OPTIONS: `--report-on-signal --report-directory=${dir}` }
  await using ride = await startSidecar({ flags, env })
  const { pid } = ride.child
  const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  t.notMatch(line, SECRET)
  t.match(line, /main\.ts .*--health\.probes\.0\.name a --health\.probes\.0\.url http:.*\?\[redacted\] /)
  t.notMatch(readFileSync(`/proc/${pid}/comm`, 'latin1'), SECRET)

  await using other = await startSidecar({ env })
  const before = readFileSync(`/proc/${other.child.pid}/cmdline`, 'latin1')
  t.match(before, /main\.ts\0--web\.listen\0/, 'without secrets it stays as it was')
  other.child.kill('SIGUSR2')
  const report = await until('the report', () => {
    const [name] = readdirSync(dir)
    const text = name === undefined ? '' : readFileSync(join(dir, name), 'utf8')
    return text.endsWith('}\n') || text.endsWith('}') ? text : undefined
  })
  t.match(report, /"javascriptStack"/)
  t.notMatch(report, SECRET)
})

t.test('options that are printed by mistake show no secret', async t => {
  const headers = [`X-Key: ${SECRET}`, `X-Other: ${SECRET}`]
  const probe = { name: 'a', url: `http://127.0.0.1:1/a?key=${SECRET}`, headers }
  const file = { name: 'pillion.yaml', text: JSON.stringify({ health: { probes: [probe] } }) }
  const reading = await readOptions({ file, environment: {} })
  if (!reading.ok) throw new Error('these options are right')
  const [options] = reading.values.health.probes
  const [setup] = await readProbes(reading.values.health.probes)
  const target = setup?.target.kind === 'http' ? setup.target.headers : undefined
  for (const each of [reading.values, options, options?.headers, target])
    for (const shown of [inspect(each, { depth: 9, showHidden: true }), JSON.stringify(each)]) {
      t.match(shown, '[redacted]')
      t.notMatch(shown, SECRET)
    }
  t.same([...(options?.headers ?? [])], headers, 'and are as ever')
  t.same({ ...target }, { 'x-key': SECRET, 'x-other': SECRET })
})

t.test('a password in a URL ends the start, and is not said', async t => {
  for (const flag of ['--app.url', '--health.probes.0.url']) {
    const args = [flag, `http://user:${SECRET}@127.0.0.1:1/`, '--web.listen', '0', '--otlp.http.listen', '0']
    const named = flag === '--app.url' ? [] : ['--health.probes.0.name', 'a']
    await using child = await Child.start(process.execPath, [MAIN, ...args, ...named, '--otlp.grpc.listen', 'off'])
    t.not((await child.ended).code, 0)
    t.match(child.stderr, /must not contain a user name or password/)
    t.notMatch(child.stdout + child.stderr, SECRET)
  }
})

t.test('only the program of a command is shown, and the plain words after it', async t => {
  const f = (command: string[], expected: string): void => void t.equal(shownCommand(command), expected)
  f(['node', 'server.js'], 'node server.js')
  f(['/usr/bin/node', 'dist/main.js', 'serve'], '/usr/bin/node dist/main.js serve')
  f(['node', '--password=x', 'server.js'], 'node …')
  f(['node', 'server.js', '--password', 'x'], 'node server.js …')
  f(['mysql', '-px'], 'mysql …')
  f(['app', 'postgres://user:x@host/db'], 'app …')
  f(['app', 'PASSWORD=x'], 'app …')
  f(['app', 'a', 'b', 'c', 'd'], 'app a b c …')
  f(['app', `a${'b'.repeat(64)}`], 'app …')
  f(['java'], 'java')
})
