// The configuration changes while the real sidecar runs: by a signal, by a request, by the file itself. All or nothing.

import { once } from 'node:events'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { clock } from '../../host/clock.ts'
import { Metrics } from '../../metrics/registry.ts'
import { openFile } from '../../options/file.ts'
import { readOptions, settings } from '../../parts.ts'
import { changed, Reload } from '../../sidecar/reload.ts'
import { watchFile } from '../../sidecar/watch.ts'
import { until } from '../e2e/child.ts'
import { type Ride, startSidecar } from '../e2e/ride.ts'
import { FakeClock } from '../world.ts'

const app = createServer((_, response) => response.end('well')).listen(0, '127.0.0.1')
await new Promise(resolve => app.once('listening', resolve))
const { port } = app.address() as AddressInfo
t.teardown(() => app.close())

const probe = (name: string, more = ''): string =>
  `    - { name: ${name}, url: 'http://127.0.0.1:${port}/${name}', interval: 100ms${more} }\n`
const probes = (...each: string[]): string => `health:\n  probes:\n${each.join('')}`

interface Configured extends Ride {
  readonly file: string
  write(config: string): void
  /** Sends POST /-/reload. */
  post(): Promise<{ status: number; body: string }>
  /** 1 or 0 of the last reload, once it is as wanted. */
  reloaded(wanted: number): Promise<void>
}

async function configured(t: Test, config: string, command?: readonly string[]): Promise<Configured> {
  const file = join(t.testdir({ 'pillion.yaml': config }), 'pillion.yaml')
  const ride = await startSidecar({ flags: ['--config', file], ...(command ? { command } : {}) })
  return {
    ...ride,
    file,
    write: text => writeFileSync(file, text),
    async post() {
      const response = await fetch(`${ride.web}/-/reload`, { method: 'POST' })
      return { status: response.status, body: await response.text() }
    },
    reloaded: async wanted =>
      void (await until(
        `a last reload of ${wanted}`,
        async () => (await ride.value('pillion_config_last_reload_successful')) === wanted || undefined,
      )),
    [Symbol.asyncDispose]: () => ride[Symbol.asyncDispose](),
  }
}

/** The number of runs of a probe, once it has run more than `above` times. */
async function ran(ride: Ride, name: string, above = 0): Promise<number> {
  return await until(`more than ${above} probes of ${name}`, async () => {
    const count = (await ride.value('app_health_probes_total', { probe: name })) ?? 0
    return count > above ? count : undefined
  })
}

t.test('SIGHUP: probes come, change and go; those that stay are not disturbed, and all counters go on', async t => {
  await using ride = await configured(t, probes(probe('stays'), probe('changes'), probe('goes')))
  const before = {
    stays: await ran(ride, 'stays', 2),
    changes: await ran(ride, 'changes', 2),
    goes: await ran(ride, 'goes', 2),
  }
  t.equal(await ride.value('pillion_config_last_reload_successful'), 1, 'it begins with success')
  const begun = (await ride.value('pillion_config_last_reload_success_timestamp_seconds')) ?? 0
  const up = await ride.value('app_health_state_changes_total', { probe: 'stays' })

  ride.write(probes(probe('stays'), probe('changes', ', failure_threshold: 7'), probe('comes')))
  ride.child.kill('SIGHUP')
  await ran(ride, 'comes')
  t.ok((await ran(ride, 'stays', before.stays)) > before.stays)
  t.ok((await ran(ride, 'changes', before.changes)) > before.changes)
  t.ok(((await ride.value('app_health_probes_total', { probe: 'goes' })) ?? 0) >= before.goes, 'the counts stay')
  t.equal(await ride.value('app_health_up', { probe: 'goes' }), undefined, 'a removed probe has no state')
  t.equal(await ride.value('app_health_up', { probe: 'stays' }), 1)
  t.equal(await ride.value('app_health_state_changes_total', { probe: 'stays' }), up)
  t.equal(await ride.value('pillion_config_last_reload_successful'), 1)
  t.ok(((await ride.value('pillion_config_last_reload_success_timestamp_seconds')) ?? 0) >= begun)
  await ride.child.says(/msg="configuration taken" why=(SIGHUP|"the file has changed") changed=health.probes/)
})

t.test('POST /-/reload: what is wrong comes back, nothing has changed, and the next one may be right', async t => {
  await using ride = await configured(t, probes(probe('old')))
  await ran(ride, 'old')
  const f = async (config: string, expected: RegExp): Promise<void> => {
    ride.write(config)
    const { status, body } = await ride.post()
    t.equal(status, 500, config)
    t.match(body, expected)
    t.notMatch(body, /s3cr3t/)
    await ride.reloaded(0)
    const count = await ran(ride, 'old')
    t.ok((await ran(ride, 'old', count)) > count, 'the old probe goes on')
    t.equal(await ride.value('app_health_probes_total', { probe: 'new' }), undefined, 'the new one has not begun')
  }
  const fresh = probes(probe('new'))
  await f(`${fresh}log: { level: loud }\n`, /pillion.yaml:4:15: log.level: must be one of info, warn, error/)
  await f(`${fresh}nonsense: 1\n`, /nonsense/)
  await f(`${fresh}app: { url: "http://user:s3cr3t@" }\n`, /app.url/)
  await f('health: [', /pillion.yaml:1/)
  await f(`${fresh}spans: { limit: 7 }\nlog: { level: warn }\n`, /cannot change spans.limit while running; restart/)
  await f(
    `${fresh}otlp: { max_items: 7 }\nprocess: {}\nweb: { scrape_timeout: 5s }\n`,
    /otlp.max_items, web.scrape_timeout/,
  )
  await f(
    `${fresh}web: { token_file: /nowhere }\n`,
    /pillion\.yaml:4:20: web\.token_file: cannot read "\/nowhere": there is no such file/,
  )
  await f(
    `${fresh}web: { config: { file: /nowhere.yml } }\n`,
    /pillion\.yaml:4:24: web\.config\.file: cannot read "\/nowhere\.yml": there is no such file/,
  )
  await f(probes(probe('new'), probe('new')), /health\.probes\[1\]\.name: "new" is already taken/)
  await f(probes(probe('new', ', tls_ca_file: /nowhere').replace('http:', 'https:')), /tls_ca_file/)
  t.match(await (await fetch(`${ride.web}/api/status`)).text(), 'the configuration stays as it was')

  ride.write(fresh)
  t.match(await ride.post(), { status: 200 })
  await ran(ride, 'new')
  await ride.reloaded(1)
  t.notMatch(await (await fetch(`${ride.web}/api/status`)).text(), 'the configuration stays as it was')
})

t.test('a mounted ConfigMap that is swapped, and a file that vanishes', async t => {
  const mount = t.testdir({})
  // As the kubelet does it: the file leads to ..data, which leads to a folder with a date, and is replaced by a rename.
  const swap = (version: string, config: string): void => {
    mkdirSync(join(mount, `..${version}`))
    writeFileSync(join(mount, `..${version}`, 'pillion.yaml'), config)
    symlinkSync(`..${version}`, join(mount, '..data_tmp'))
    renameSync(join(mount, '..data_tmp'), join(mount, '..data'))
  }
  swap('first', probes(probe('one')))
  symlinkSync('..data/pillion.yaml', join(mount, 'pillion.yaml'))
  await using ride = await startSidecar({ flags: ['--config', join(mount, 'pillion.yaml')] })
  await ran(ride, 'one')
  swap('second', probes(probe('two')))
  await ran(ride, 'two')
  const last = async (wanted: number): Promise<void> =>
    void (await until(
      'the reload',
      async () => (await ride.value('pillion_config_last_reload_successful')) === wanted || undefined,
    ))
  swap('third', 'health: { probes: 3 }\n')
  await last(0)
  rmSync(join(mount, '..data'))
  await ride.child.says(/there is no such file/)
  const count = await ran(ride, 'two')
  await ran(ride, 'two', count)
  swap('fourth', probes(probe('four')))
  t.ok(await ran(ride, 'four'))
  await last(1)
})

t.test('names and tokens of the web server, and the level of the log, change with it', async t => {
  await using ride = await configured(t, 'log: { level: info }\n')
  const token = join(dirname(ride.file), 'token')
  writeFileSync(token, 'first-token')
  const named = async (headers: Record<string, string>): Promise<number> => {
    const { request } = process.getBuiltinModule('node:http')
    return await new Promise((resolve, reject) => {
      const sent = request(`${ride.web}/`, { headers, agent: false }, answer => {
        answer.resume()
        resolve(answer.statusCode ?? 0)
      })
      sent.on('error', reject).end()
    })
  }
  const remote = { 'X-Forwarded-For': '192.0.2.7' }
  t.equal(await named({ Host: 'shop' }), 421)
  t.equal(await named(remote), 403)
  ride.write(`log: { level: error }\nweb: { allowed_hosts: [shop], token_file: ${token} }\n`)
  t.match(await ride.post(), { status: 200 })
  t.equal(await named({ Host: 'shop' }), 200)
  t.equal(await named(remote), 401)
  t.equal(await named({ ...remote, Authorization: 'Bearer first-token' }), 200)
  const written = ride.child.stderr.length
  t.match(await ride.post(), { status: 200 })
  ride.write('web: { allowed_hosts: 3 }')
  t.match(await ride.post(), { status: 500 })
  await ride.child.says(/level=error/)
  t.notMatch(ride.child.stderr.slice(written), /level=(info|warn)/)
})

t.test('a reload that would change the gRPC listener is refused by name, and its clients stay connected', async t => {
  await using ride = await configured(t, probes(probe('a')))
  const client = connect(ride.grpc)
  t.teardown(() => client.destroy())
  let away = 0
  client.on('goaway', () => away++)
  const call = async (): Promise<string> => {
    const path = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
    const stream = client.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' })
    stream.resume().end(Buffer.alloc(5))
    const [trailers] = (await once(stream, 'trailers')) as [Record<string, string>]
    return String(trailers['grpc-status'])
  }
  t.equal(await call(), '0')
  for (const [option, value] of [
    ['max_connections', '7'],
    ['idle_timeout', '7m'],
  ]) {
    ride.write(`${probes(probe('a'))}otlp: { grpc: { ${option}: ${value} } }\n`)
    const { status, body } = await ride.post()
    t.equal(status, 500, body)
    t.ok(body.includes(`cannot change otlp.grpc.${option} while running; restart`), body)
    t.equal(await call(), '0', 'the same connection goes on')
  }
  t.equal(away, 0)
  await ride.child.stop()
  t.equal(away > 0, true, 'at the end it is told to go elsewhere')
})

t.test('from probes to guessing and back', async t => {
  await using ride = await configured(
    t,
    probes(probe('named')).replace('health:', `app: { url: 'http://127.0.0.1:${port}' }\nhealth:`),
  )
  await ran(ride, 'named')
  ride.write(`app: { url: 'http://127.0.0.1:${port}' }\n`)
  t.match(await ride.post(), { status: 200 })
  await ran(ride, 'liveness')
  t.equal(await ride.value('app_health_up', { probe: 'named' }), undefined)
  ride.write(probes(probe('named')).replace('health:', `app: { url: 'http://127.0.0.1:${port}' }\nhealth:`))
  t.match(await ride.post(), { status: 200 })
  const count = await ran(ride, 'named')
  await ran(ride, 'named', count)
  t.equal(await ride.value('app_health_up', { probe: 'liveness' }), undefined)
})

t.test('with a command SIGHUP is the application’s; its file is watched all the same', async t => {
  const program = `process.on('SIGHUP', () => console.log('the application has it')); console.log('begun'); setTimeout(() => {}, 60_000)`
  await using ride = await configured(t, probes(probe('one')), [process.execPath, '-e', program])
  await ride.child.says(/begun/)
  await ran(ride, 'one')
  ride.child.kill('SIGHUP')
  await ride.child.says(/the application has it/)
  t.notMatch(ride.child.stderr, 'configuration taken')
  ride.write(probes(probe('two')))
  t.ok(await ran(ride, 'two'))
  // The application would outlive a sidecar that is killed.
  await ride.child.stop()
})

t.test('SIGHUP many times, while requests ask for the same', async t => {
  await using ride = await configured(t, probes(probe('one')))
  for (let i = 0; i < 20; i++) {
    ride.write(probes(probe(i % 2 ? 'one' : 'two')))
    ride.child.kill('SIGHUP')
    if (i % 5 === 0) t.ok([200, 409].includes((await ride.post()).status))
  }
  ride.write(probes(probe('last')))
  ride.child.kill('SIGHUP')
  t.ok(await ran(ride, 'last'))
  t.same(await ride.child.stop(), { code: 0, signal: null })
})

t.test('every option is either live or refused by its name', async t => {
  const options = async (environment: Record<string, string>) => {
    const reading = await readOptions({ environment })
    if (!reading.ok) throw new Error(JSON.stringify(reading.problems))
    return reading.values
  }
  const plain = await options({})
  const f = async (environment: Record<string, string>, expected: Readonly<Record<string, boolean>>): Promise<void> => {
    const changes = changed(settings, plain, await options(environment))
    t.same(Object.fromEntries(changes.map(({ path, live }) => [path, live])), expected)
  }
  await f({}, {})
  await f({ PILLION_WEB_LISTEN: '127.0.0.1:1' }, { 'web.listen': false })
  await f({ PILLION_WEB_LISTEN: 'off' }, { 'web.listen': false })
  await f(
    { PILLION_OTLP_HTTP_LISTEN: ':4318', PILLION_APP_PORT: '1' },
    { 'app.port': false, 'otlp.http.listen': false },
  )
  await f({ PILLION_HEALTH_ENABLED: 'false' }, { 'health.enabled': false })
  await f(
    { PILLION_HEALTH_PROBES_0_NAME: 'a', PILLION_HEALTH_PROBES_0_URL: 'http://a/', PILLION_LOG_LEVEL: 'warn' },
    { 'health.probes': true, 'log.level': true },
  )
  const config = join(t.testdir({ 'web.yml': '{}' }), 'web.yml')
  await f(
    { PILLION_WEB_ALLOWED_HOSTS: 'a', PILLION_WEB_CONFIG_FILE: config, PILLION_WEB_SCRAPE_TIMEOUT: '1s' },
    { 'web.allowed_hosts': true, 'web.config.file': true, 'web.scrape_timeout': false },
  )
})

t.test('a file that is written again while it is read is not taken before it is whole', async t => {
  const path = join(t.testdir({ 'pillion.yaml': 'log: { level: error }' }), 'pillion.yaml')
  const read = async () => {
    const file = await openFile(path)
    return await readOptions({ environment: {}, file: file && 'text' in file ? file : undefined })
  }
  const first = await read()
  if (!first.ok) throw new Error('cannot read the first options')
  const levels: string[] = []
  const lines: string[] = []
  const line = (message: string): void => void lines.push(message)
  let reads = 0
  const reload = new Reload(
    first.values,
    async () => {
      if (reads++ > 0) return await read()
      // Opened to be written, and written a moment later.
      writeFileSync(path, '')
      const empty = await read()
      writeFileSync(path, 'log: { level: warn }')
      return empty
    },
    async next => [() => void levels.push(next.log.level)],
    { clock, log: { info: line, warn: line, error: line }, metrics: new Metrics() },
  )
  const stop = new AbortController()
  let slept = false
  const sleep = (ms: number, signal: AbortSignal): Promise<void> => {
    // It has looked at the file by now.
    if (!slept) writeFileSync(path, 'log: { level: error }\n')
    slept = true
    return clock.sleep(ms, signal)
  }
  const done = watchFile(path, { sleep }, stop.signal, still => reload.now('the file has changed', still))
  await until('a change', () => levels[0])
  t.same(levels, ['warn'], 'never the defaults of an empty file')
  t.same(lines, ['configuration taken'])
  stop.abort()
  await done
})

t.test('a file is noticed where the kernel says nothing, and not before it is whole', async t => {
  const dir = t.testdir({ elsewhere: { 'pillion.yaml': 'a' }, here: {} })
  const path = join(dir, 'here', 'pillion.yaml')
  symlinkSync('../elsewhere/pillion.yaml', path)
  const clock = new FakeClock()
  const stop = new AbortController()
  let changes = 0
  const done = watchFile(path, clock, stop.signal, async () => void changes++)
  const pass = async (ms: number): Promise<void> => {
    await clock.pass(ms)
    // Looking at a file takes real time.
    for (let i = 0; i < 30; i++) await new Promise(resolve => setTimeout(resolve, 5))
  }
  await pass(20_000)
  t.equal(changes, 0)
  writeFileSync(join(dir, 'elsewhere', 'pillion.yaml'), 'half')
  await pass(5000)
  t.equal(changes, 0, 'it may still be written')
  writeFileSync(join(dir, 'elsewhere', 'pillion.yaml'), 'half and half')
  await pass(200)
  t.equal(changes, 0, 'it was')
  await pass(200)
  await pass(200)
  t.equal(changes, 1)
  await pass(20_000)
  t.equal(changes, 1)
  stop.abort()
  await done
})
