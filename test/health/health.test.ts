// The collector as a whole: its metrics over the life of an application, what it guesses, what it refuses, its spans.

import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import { createServer as createRaw } from 'node:net'
import t, { type Test } from 'tap'
import { failed } from '../../client/failure.ts'
import { Stopwatch } from '../../client/stopwatch.ts'
import { guessFault, healthFaults } from '../../collectors/health/faults.ts'
import { GUESSED_TIMING, Guess, NOWHERE } from '../../collectors/health/guess.ts'
import type { HealthOptions, ProbeOptions } from '../../collectors/health/options.ts'
import { Prober } from '../../collectors/health/prober.ts'
import { Series } from '../../collectors/health/series.ts'
import { describe } from '../../collectors/health/target.ts'
import type { ProbeContext, Verdict } from '../../collectors/health/verdict.ts'
import { health, healthFamilies, REASONS } from '../../collectors/health.ts'
import { readOptions } from '../../parts.ts'
import { record } from '../../sidecar/traces.ts'
import { PHASES } from '../../telemetry/client.ts'
import { PROBE_TRACESTATE } from '../../telemetry/probe.ts'
import { type Tracer, UNRECORDED } from '../../telemetry/tracer.ts'
import * as machine from './machine.ts'

const { healthOptions, listen, probeOptions, realClock, testHost, until, value, values } = machine

async function serve(t: Test, answer: RequestListener, port = 0): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer(answer)
  if (port === 0) port = await listen(server)
  else await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
  t.teardown(close)
  return { port, close }
}

const quick = { interval: 50, failing_interval: 20, timeout: 2000 }

t.test('every family is declared once, with the promised names', async t => {
  const names = healthFamilies.map(family => family.name)
  t.equal(new Set(names).size, names.length)
  for (const promised of [
    'app_health_up',
    'app_health_probe_success',
    'app_health_probes_total',
    'app_health_probe_failures_total',
    'app_health_probe_duration_seconds',
    'app_health_probe_phase_seconds_total',
    'app_health_status_code',
    'app_health_consecutive_failures',
    'app_health_state_changes_total',
    'app_health_last_probe_timestamp_seconds',
    'app_health_component_up',
    'app_health_tls_cert_not_after_timestamp_seconds',
    'app_health_time_to_first_success_seconds',
  ])
    t.ok(
      names.some(name => name === promised),
      promised,
    )
})

t.test('before the first verdict only what is known is there', async t => {
  const host = testHost()
  const probes = [probeOptions({ name: 'slow', url: 'http://127.0.0.1:1/', initial_delay: 60_000 })]
  await using running = await health.start(healthOptions({ probes }), host)
  const probe = 'slow'
  for (const name of ['app_health_up', 'app_health_probe_success', 'app_health_status_code'])
    t.same(await values(host, name), [], name)
  t.equal(await value(host, 'app_health_probes_total', { probe }), 0)
  for (const reason of REASONS) t.equal(await value(host, 'app_health_probe_failures_total', { probe, reason }), 0)
  for (const phase of PHASES) t.equal(await value(host, 'app_health_probe_phase_seconds_total', { probe, phase }), 0)
  t.equal(await value(host, 'app_health_probe_duration_seconds_count', { probe }), 0)
  t.equal(await value(host, 'app_health_state_changes_total', { probe }), 0)
  t.same(await values(host, 'app_health_last_probe_timestamp_seconds'), [])
  t.same(await values(host, 'app_health_time_to_first_success_seconds'), [])
  t.match(running.findings?.(), [{ level: 'info', text: /probe slow: GET http:\/\/127.0.0.1:1\/ is not decided yet/ }])
})

t.test('the life of an application: up, down, gone, up', async t => {
  let status = 200
  const answer: RequestListener = (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ status: 'UP', components: { db: { status: status === 200 ? 'UP' : 'DOWN' } } }))
  }
  const first = await serve(t, answer)
  const host = testHost()
  const url = `http://127.0.0.1:${first.port}/healthz?token=secret`
  await using running = await health.start(
    healthOptions({ probes: [probeOptions({ name: 'a', url, ...quick })] }),
    host,
  )
  const probe = 'a'
  const up = () => value(host, 'app_health_up', { probe })
  const db = () => value(host, 'app_health_component_up', { probe, component: 'db' })

  await until(async () => (await up()) === 1, 'it is up')
  t.equal(await db(), 1)
  t.equal(await value(host, 'app_health_status_code', { probe }), 200)
  t.ok(((await value(host, 'app_health_time_to_first_success_seconds', { probe })) ?? -1) > 0)
  const age = Date.now() / 1000 - ((await value(host, 'app_health_last_probe_timestamp_seconds', { probe })) ?? 0)
  t.ok(age >= 0 && age < 20, `the last probe was ${age} s ago`)

  status = 503
  await until(async () => (await up()) === 0, 'it is down')
  t.equal(await db(), 0)
  t.equal(await value(host, 'app_health_status_code', { probe }), 503)
  t.ok(((await value(host, 'app_health_consecutive_failures', { probe })) ?? 0) >= 3)
  t.match(running.findings?.(), [{ level: 'warning', text: /is down, \d+ failures in a row \(status: status 503\)/ }])

  await first.close()
  const refused = { probe, reason: 'refused' }
  await until(async () => (await value(host, 'app_health_probe_failures_total', refused)) ?? 0, 'it is refused')
  t.equal(await db(), undefined, 'components are absent when there is no document')
  t.equal(await value(host, 'app_health_status_code', { probe }), undefined)

  status = 200
  await serve(t, answer, first.port)
  await until(async () => (await up()) === 1, 'it is up again')
  t.equal(await value(host, 'app_health_state_changes_total', { probe }), 2)
  t.equal(await value(host, 'app_health_consecutive_failures', { probe }), 0)

  await running[Symbol.asyncDispose]()
  const count = await value(host, 'app_health_probe_duration_seconds_count', { probe })
  t.equal(await value(host, 'app_health_probes_total', { probe }), count)
  const phases = await values(host, 'app_health_probe_phase_seconds_total')
  const sum = await value(host, 'app_health_probe_duration_seconds_sum', { probe })
  t.ok(Math.abs(phases.reduce((total, each) => total + each.value, 0) - (sum ?? 0)) < 1e-9, 'phases add up')
  t.same(
    host.lines.map(line => line.split(' ').slice(0, 4).join(' ')),
    ['info application is up', 'warn application is down', 'info application is up'],
  )
  t.notMatch(host.lines.join(' ') + (await host.metrics.registry.metrics()), /secret/)
})

t.test('one probe is in flight while the application hangs, and disposing does not wait for it', async t => {
  let requests = 0
  const { port } = await serve(t, () => {
    requests++
  })
  const host = testHost()
  const url = `http://127.0.0.1:${port}/`
  const probes = [probeOptions({ name: 'hung', url, interval: 100, failing_interval: 100, timeout: 60_000 })]
  const running = await health.start(healthOptions({ probes }), host)
  await until(() => requests > 0, 'the request is there')
  await new Promise(resolve => setTimeout(resolve, 500))
  t.equal(requests, 1)
  const begin = performance.now()
  await running[Symbol.asyncDispose]()
  await running[Symbol.asyncDispose]()
  t.ok(performance.now() - begin < 5000)
  t.equal(await value(host, 'app_health_probes_total', { probe: 'hung' }), 0, 'an interrupted probe says nothing')
})

t.test('a probe that the sidecar itself could not make is counted and decides nothing', async t => {
  const host = testHost()
  const around = {
    host,
    series: new Series(host.metrics),
    tracer: UNRECORDED,
    userAgent: 'test',
    traceparent: 'auto' as const,
    startedAt: realClock.monotonic(),
  }
  const asked = await machine.target({ kind: 'tcp', address: '127.0.0.1:1' })
  let verdict = async (): Promise<Verdict> => new Stopwatch(realClock).stop({ ok: true })
  const question = { target: () => asked, ask: () => verdict() }
  const prober = new Prober('p', question, { ...GUESSED_TIMING, failureThreshold: 1 }, around)
  const stop = new AbortController().signal
  await prober.turn(stop)
  t.equal(await value(host, 'app_health_up', { probe: 'p' }), 1)

  verdict = async () => new Stopwatch(realClock).stop(failed('local', 'EMFILE'))
  t.same(await prober.turn(stop), { well: false })
  verdict = async () => {
    throw new Error('a fault of ours')
  }
  await prober.turn(stop)
  t.equal(await value(host, 'app_health_up', { probe: 'p' }), 1)
  t.equal(await value(host, 'app_health_consecutive_failures', { probe: 'p' }), 0)
  t.equal(await value(host, 'app_health_probe_failures_total', { probe: 'p', reason: 'local' }), 2)
  t.equal(await value(host, 'app_health_probe_success', { probe: 'p' }), 0)
  t.match(host.lines.at(-1), /error cannot probe probe=p error=Error: a fault of ours/)
})

t.test('all that is wrong with a configuration is said at once, each with its option and what to do', async t => {
  const url = 'http://127.0.0.1/'
  const f = (given: Partial<ProbeOptions>, ...expected: (readonly [option: string, message: string])[]) =>
    t.same(
      healthFaults(healthOptions({ probes: [probeOptions(given)] })),
      expected.map(([option, message]) => ({ path: `probes[0].${option}`, message })),
    )
  f({ url })
  f({ name: '', url }, ['name', 'must be 1 to 64 of letters, digits and _ . : / -, not ""'])
  f({ name: 'a b', url }, ['name', 'must be 1 to 64 of letters, digits and _ . : / -, not "a b"'])
  f({ name: undefined, url }, ['name', 'is missing; give each probe its own name'])
  f({}, ['url', 'is missing; give the URL to request, or another kind'])
  f({ kind: 'tcp' }, ['address', 'is missing; give HOST:PORT'])
  f({ kind: 'tcp', address: 'db' }, ['address', 'must be HOST:PORT, not "db"'])
  f({ kind: 'grpc', address: 'db:99999' }, ['address', 'must be HOST:PORT, not "db:99999"'])
  f({ kind: 'exec' }, ['command', 'is missing; give the program and its arguments as a list'])
  f(
    { url, headers: ['X: y', 'no colon', 'X: a\nb'], header_matches: ['none'] },
    ['headers[1]', 'must be "Name: value"'],
    ['headers[2]', 'is not a header that HTTP allows: "x"'],
    ['header_matches[0]', 'must be "Name: regular expression"'],
  )
  f({ kind: 'exec', command: ['true'], headers: ['no colon'] })
  f({ url: 'http://user:password@127.0.0.1/' }, [
    'url',
    'must not contain a user name or password; send an Authorization header with `headers`',
  ])

  const probes = [
    probeOptions({ name: 'a', url }),
    probeOptions({ name: 'a', kind: 'tcp' }),
    probeOptions({ name: 'a b', url }),
  ]
  t.same(
    healthFaults(healthOptions({ probes })).map(({ path }) => path),
    ['probes[1].name', 'probes[1].address', 'probes[2].name'],
  )
  const blocked = 'http://169.254.169.254/'
  t.match(guessFault(healthOptions({}), blocked), /^must not be a link-local/)
  t.equal(guessFault(healthOptions({ guess: false }), blocked), undefined)
  t.equal(guessFault(healthOptions({ probes }), blocked), undefined)
})

t.test('check and start name each fault with its place, and all of them at once', async t => {
  const text = [
    'app: {url: "http://user:secret@127.0.0.1/"}',
    'health:',
    '  probes:',
    '    - {name: a, kind: tcp}',
    '    - {name: a, kind: tcp, address: db}',
    '    - {name: b}',
    '    - {name: c, kind: exec}',
    '    - name: d',
    '      url: https://127.0.0.1/',
    '      headers: ["X: y", no colon]',
    '      tls_ca_file: /nonexistent',
  ].join('\n')
  const reading = await readOptions({ file: { name: 'pillion.yaml', text } })
  if (reading.ok) throw new Error('these options are wrong')
  t.same(reading.problems.map(problem => problem.text).sort(), [
    'pillion.yaml:10:25: health.probes[4].headers[1]: must be "Name: value"',
    'pillion.yaml:11:20: health.probes[4].tls_ca_file: cannot read "/nonexistent": there is no such file',
    'pillion.yaml:4:7: health.probes[0].address: is missing; give HOST:PORT',
    'pillion.yaml:5:14: health.probes[1].name: "a" is already taken; give each probe its own name',
    'pillion.yaml:5:37: health.probes[1].address: must be HOST:PORT, not "db"',
    'pillion.yaml:6:7: health.probes[2].url: is missing; give the URL to request, or another kind',
    'pillion.yaml:7:7: health.probes[3].command: is missing; give the program and its arguments as a list',
  ])
  const guessed = await readOptions({ file: { name: 'pillion.yaml', text: text.split('\n')[0] ?? '' } })
  t.match(guessed, {
    ok: false,
    problems: [{ text: /^pillion\.yaml:1:12: app\.url: must not contain a user name or password/ }],
  })
  t.notMatch(JSON.stringify(guessed), 'secret')
})

t.test(
  'probes that cannot work are refused at the start and by a reload, and the probes go on as they were',
  async t => {
    const wrong = healthOptions({ probes: [probeOptions({ name: 'a b', kind: 'tcp' })] })
    const message =
      'health.probes[0].name must be 1 to 64 of letters, digits and _ . : / -, not "a b"\n' +
      'health.probes[0].address is missing; give HOST:PORT'
    await t.rejects(health.start(wrong, testHost()), { message })
    const host = testHost()
    const probes = [probeOptions({ name: 'a', url: 'http://127.0.0.1:1/', ...quick })]
    await using running = await health.start(healthOptions({ probes }), host)
    await t.rejects(running.prepare(wrong), { message })
    const again = healthOptions({ probes: [probeOptions({ url: 'http://127.0.0.1:1/', body_matches: 'a(?=b)' })] })
    await t.rejects(running.prepare(again), {
      message:
        'health.probes[0].body_matches uses a look-ahead, which RE2 cannot match in linear time; write it without',
    })
    const made = await value(host, 'app_health_probes_total', { probe: 'a' })
    await until(
      async () => ((await value(host, 'app_health_probes_total', { probe: 'a' })) ?? 0) > (made ?? 0),
      'it goes on',
    )
  },
)

/** Asks a guess until it has found something; what it found and the requests that it took. */
async function guessing(t: Test, answer: RequestListener, explicit: boolean, path = '/', program?: string) {
  const requests: string[] = []
  const { port } = await serve(t, (request, response) => {
    requests.push(request.url ?? '')
    answer(request, response)
  })
  const url = explicit ? `http://127.0.0.1:${port}${path}` : undefined
  const guess = new Guess({
    app: { select: {}, url, child: undefined, pid: undefined, port },
    program: () => program,
    onFound: () => {},
  })
  const context = { clock: realClock, userAgent: 'test', traceparent: '', tracestate: 'pillion=probe' } as ProbeContext
  let verdict: Verdict | undefined
  for (let turn = 0; turn < 5 && !guess.found; turn++) verdict = await guess.ask(AbortSignal.timeout(5000), context)
  const shown = (asked: Parameters<typeof describe>[0] | undefined) =>
    asked && describe(asked).replace(`127.0.0.1:${port}`, 'app')
  const { liveness, readiness, how } = guess.found ?? {}
  return { liveness: shown(liveness), readiness: shown(readiness), how, verdict, requests }
}

/** An application with only these paths. */
const only =
  (...paths: string[]): RequestListener =>
  (request, response) =>
    response.writeHead(paths.includes(request.url ?? '') ? 200 : 404).end(request.url)

t.test('well-known paths are found', async t => {
  const f = async (paths: string[], liveness: string, readiness?: string) => {
    const found = await guessing(t, only(...paths), true)
    t.equal(found.liveness, liveness, paths.join(' '))
    t.equal(found.readiness, readiness)
    t.equal(found.verdict?.ok, true)
  }
  await f(['/healthz'], 'GET http://app/healthz')
  await f(['/livez', '/readyz', '/healthz'], 'GET http://app/livez', 'GET http://app/readyz')
  await f(['/health'], 'GET http://app/health')
  await f(['/actuator/health'], 'GET http://app/actuator/health')
  await f(
    ['/actuator/health', '/actuator/health/liveness', '/actuator/health/readiness'],
    'GET http://app/actuator/health/liveness',
    'GET http://app/actuator/health/readiness',
  )
  await f(
    ['/q/health', '/q/health/live', '/q/health/ready'],
    'GET http://app/q/health/live',
    'GET http://app/q/health/ready',
  )
  await f(['/api/health'], 'GET http://app/api/health')
  await f(['/readyz'], 'GET http://app/readyz')
})

t.test('few requests are made, the likeliest first', async t => {
  const f = async (paths: string[], expected: string[], program?: string) => {
    const { requests } = await guessing(t, only(...paths), true, '/', program)
    t.same(requests, expected, `${paths.join(' ')} of ${program}`)
  }
  const missing = `/${NOWHERE}`
  await f(['/healthz'], ['/healthz', missing, '/readyz'])
  await f(['/health'], ['/healthz', '/health', missing, '/health/ready'])
  await f(['/healthz', '/readyz', '/livez'], ['/healthz', missing, '/readyz', '/livez'])
  await f(['/livez', '/readyz'], ['/healthz', '/health', '/livez', missing, '/readyz'])
  await f(
    ['/actuator/health', '/actuator/health/readiness', '/actuator/health/liveness'],
    ['/actuator/health', missing, '/actuator/health/readiness', '/actuator/health/liveness'],
    'java',
  )
  await f([], ['/healthz', '/health', '/livez', '/api/health', '/readyz', '/'], 'node')
  await f([], ['/healthz', '/health', '/livez', '/actuator/health', '/q/health', '/api/health', '/readyz', '/'])
})

t.test('a health document needs no comparison with a missing page', async t => {
  const answer: RequestListener = (request, response) =>
    request.url === '/healthz'
      ? response.setHeader('content-type', 'application/json').end('{"status":"UP"}')
      : response.writeHead(404).end()
  const { liveness, requests } = await guessing(t, answer, true)
  t.equal(liveness, 'GET http://app/healthz')
  t.same(requests, ['/healthz', '/readyz'])
})

t.test('an application that comes back on another port is asked where it was found before', async t => {
  const requests: string[] = []
  const answer: RequestListener = (request, response) => {
    requests.push(request.url ?? '')
    response.writeHead(request.url === '/api/health' ? 200 : 404).end()
  }
  const [first, second] = [await serve(t, answer), await serve(t, answer)]
  const app = { select: {}, url: undefined, child: undefined, pid: undefined, port: first.port }
  const guess = new Guess({ app, program: () => undefined, onFound: () => {} })
  const context = { clock: realClock, userAgent: 'test', traceparent: undefined, tracestate: '' }
  await guess.ask(AbortSignal.timeout(5000), context)
  t.equal(guess.found && describe(guess.found.liveness), `GET http://127.0.0.1:${first.port}/api/health`)
  requests.length = 0
  app.port = second.port
  await guess.ask(AbortSignal.timeout(5000), context)
  t.equal(guess.found && describe(guess.found.liveness), `GET http://127.0.0.1:${second.port}/api/health`)
  t.same(requests, ['/api/health', `/${NOWHERE}`])
})

t.test('an application without a health path that comes back on another port is not asked again', async t => {
  const requests: string[] = []
  const answer: RequestListener = (request, response) => {
    requests.push(request.url ?? '')
    response.writeHead(404).end()
  }
  const [first, second] = [await serve(t, answer), await serve(t, answer)]
  const app = { select: {}, url: undefined, child: undefined, pid: undefined, port: first.port }
  const guess = new Guess({ app, program: () => undefined, onFound: () => {} })
  const context = { clock: realClock, userAgent: 'test', traceparent: undefined, tracestate: '' }
  await guess.ask(AbortSignal.timeout(5000), context)
  requests.length = 0
  app.port = second.port
  t.equal((await guess.ask(AbortSignal.timeout(5000), context)).ok, true)
  t.equal(guess.found && describe(guess.found.liveness), `tcp 127.0.0.1:${second.port}`)
  t.same(requests, [])
})

t.test('app.port is asked even where nobody can see who listens on it', async t => {
  const { port } = await serve(t, only('/healthz'))
  const app = { select: { port }, url: undefined, child: undefined, pid: undefined, port: undefined }
  const guess = new Guess({ app, program: () => undefined, onFound: () => {} })
  await guess.base(realClock, AbortSignal.timeout(5000))
  const context = { clock: realClock, userAgent: 'test', traceparent: undefined, tracestate: '' }
  t.equal((await guess.ask(AbortSignal.timeout(5000), context)).ok, true)
})

t.test('paths are looked for below app.url', async t => {
  const found = await guessing(t, only('/shop/healthz'), true, '/shop/')
  t.equal(found.liveness, 'GET http://app/shop/healthz')
})

t.test('a health path that says 503 is one, and not ready is not dead', async t => {
  const answer: RequestListener = (request, response) =>
    response.writeHead(request.url === '/livez' ? 200 : request.url === '/readyz' ? 503 : 404).end()
  const found = await guessing(t, answer, true)
  t.equal(found.liveness, 'GET http://app/livez')
  t.equal(found.readiness, 'GET http://app/readyz')
  const down: RequestListener = (request, response) => response.writeHead(request.url === '/health' ? 503 : 404).end()
  const sick = await guessing(t, down, true)
  t.equal(sick.liveness, 'GET http://app/health')
  t.match(sick.verdict, { ok: false, reason: 'status', status: 503 })
})

t.test(
  'an application that answers 200 to everything has no health path, unless it answers with a document',
  async t => {
    const found = await guessing(t, (_, response) => response.end('app'), true)
    t.equal(found.liveness, 'GET http://app/')
    t.match(found.how, /^every path is answered with success, even one that cannot exist.*app\.url itself is asked$/)
    const answer: RequestListener = (request, response) => {
      if (request.url !== '/health') return response.end('app')
      return response.setHeader('content-type', 'application/json').end('{"status":"UP"}')
    }
    t.equal((await guessing(t, answer, true)).liveness, 'GET http://app/health')
  },
)

t.test('without a health path app.url itself is asked, if it was configured, and else the port', async t => {
  const root = only('/')
  t.equal((await guessing(t, root, true)).liveness, 'GET http://app/')
  t.equal((await guessing(t, root, false)).liveness, 'tcp app')
})

t.test('an API without a page at its root is not down for that: its port is asked', async t => {
  const found = await guessing(t, only('/orders'), true)
  t.equal(found.liveness, 'tcp app')
  t.equal(found.verdict?.ok, true)
})

t.test('an application that answers 503 to everything is asked again, one request at a time', async t => {
  const found = await guessing(t, (_, response) => response.writeHead(503).end(), true)
  t.equal(found.liveness, undefined)
  t.match(found.verdict, { ok: false, reason: 'status' })
  t.same(found.requests, ['/healthz', ...Array(5).fill(`/${NOWHERE}`)], 'one request in each turn after the first')
})

t.test('an open port that does not speak HTTP is asked over TCP, after some patience', async t => {
  let connections = 0
  const server = createRaw(socket => {
    connections++
    socket.on('error', () => {}).end('SSH-2.0-x\r\n')
  })
  const port = await listen(server)
  t.teardown(() => server.close())
  const guess = new Guess({
    app: { select: {}, url: undefined, child: undefined, pid: undefined, port },
    program: () => undefined,
    onFound: () => {},
  })
  const context = { clock: realClock, userAgent: 'test', traceparent: '', tracestate: '' }
  const oks: boolean[] = []
  for (let n = 0; n < 4; n++) oks.push((await guess.ask(AbortSignal.timeout(5000), context)).ok)
  t.same(oks, [false, false, true, true])
  t.equal(guess.found && describe(guess.found.liveness), `tcp 127.0.0.1:${port}`)
  t.equal(connections, 5)
})

t.test('a slow application is asked on where the time ran out', async t => {
  const requests: string[] = []
  const { port } = await serve(t, (request, response) => {
    requests.push(request.url ?? '')
    setTimeout(() => response.writeHead(request.url === '/api/health' ? 200 : 404).end(), 60)
  })
  const guess = new Guess({
    app: { select: {}, url: `http://127.0.0.1:${port}/`, child: undefined, pid: undefined, port },
    program: () => undefined,
    onFound: () => {},
  })
  const context = { clock: realClock, userAgent: 'test', traceparent: '', tracestate: '' }
  for (let turn = 0; turn < 40 && !guess.found; turn++) await guess.ask(AbortSignal.timeout(250), context)
  t.equal(guess.found && describe(guess.found.liveness), `GET http://127.0.0.1:${port}/api/health`)
})

t.test('an application that comes later, and then again on another port', async t => {
  const host = testHost(machine.hastened(10))
  await using running = await health.start(healthOptions({}), host)
  t.match(running.findings?.(), [{ level: 'info', text: /nothing to probe yet/ }])
  t.same(await values(host, 'app_health_probes_total'), [])

  const port = await machine.freePort()
  host.app.port = port
  const probe = 'liveness'
  const refused = { probe, reason: 'refused' }
  await until(async () => await value(host, 'app_health_probe_failures_total', refused), 'the closed port is refused')
  const first = await serve(t, only('/livez', '/readyz'), port)
  await until(async () => (await values(host, 'app_health_up')).length === 2, 'both probes are decided')
  t.same(
    (await values(host, 'app_health_up')).map(each => each.value),
    [1, 1],
  )
  t.match(
    running.findings?.()[0]?.text,
    /liveness GET .*\/livez, readiness GET .*\/readyz \(guessed from well-known paths\)/,
  )

  const second = await serve(t, only('/health'))
  host.app.port = second.port
  await first.close()
  const target = `GET http://127.0.0.1:${second.port}/health`
  await until(async () => await value(host, 'app_health_probe_info', { probe, target }), 'the new port is asked')
  t.equal(await value(host, 'app_health_up', { probe: 'readiness' }), undefined, 'there is no readiness any more')
  t.equal(await value(host, 'app_health_up', { probe }), 1)
})

t.test('probes are sampled only if their own spans are recorded, unless an option says otherwise', async t => {
  let seen: IncomingMessage['headers'] | undefined
  const { port } = await serve(t, (request, response) => {
    seen = request.headers
    response.end()
  })
  const url = `http://127.0.0.1:${port}/`
  const id = '00-0123456789abcdef0123456789abcdef-0123456789abcdef'
  const recorded = { begin: () => ({ traceparent: `${id}-01`, recorded: true, end() {} }) }
  const sentWith = async (traceparent: HealthOptions['traceparent'], tracer?: Tracer) => {
    seen = undefined
    const probes = [probeOptions({ url, interval: 60_000 })]
    await using _ = await health.start(healthOptions({ probes, traceparent }), {
      ...testHost(),
      ...(tracer && { tracer }),
    })
    await until(() => seen, 'a probe was made')
    return [seen?.['traceparent'], seen?.['tracestate']]
  }
  t.match(await sentWith('auto'), [/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/, PROBE_TRACESTATE])
  t.match(await sentWith('sampled'), [/-01$/, PROBE_TRACESTATE])
  t.match(await sentWith('unsampled'), [/-00$/, PROBE_TRACESTATE])
  t.same(await sentWith('off'), [undefined, undefined])
  t.same(await sentWith('auto', recorded), [`${id}-01`, PROBE_TRACESTATE])
  t.same(await sentWith('unsampled', recorded), [`${id}-00`, PROBE_TRACESTATE])
  t.same(await sentWith('off', recorded), [undefined, undefined])
})

t.test('nothing is guessed when that is switched off', async t => {
  const host = testHost()
  host.app.url = 'http://127.0.0.1:1/'
  await using running = await health.start(healthOptions({ guess: false }), host)
  t.match(running.findings?.(), [{ level: 'info', text: /no probe is configured/ }])
})

t.test('the sidecar’s span of a probe is sent upstream, and continues in the application', async t => {
  const exported: { traceId: string; spanId: string; name: string; attributes: { key: string }[] }[] = []
  const upstream = await serve(t, async (request, response) => {
    const body = JSON.parse(await text(request))
    exported.push(...body.resourceSpans[0].scopeSpans[0].spans)
    response.setHeader('content-type', 'application/json').end('{}')
  })
  const parents: unknown[] = []
  const app = await serve(t, (request, response) => {
    parents.push(request.headers['traceparent'])
    response.statusCode = 503
    response.end()
  })
  const host = testHost()
  {
    await using tracer = record(`http://127.0.0.1:${upstream.port}`, '1.2.3')
    const probes = [
      probeOptions({ name: 'a', url: `http://127.0.0.1:${app.port}/`, interval: 60_000, failing_interval: 0 }),
    ]
    await using _ = await health.start(healthOptions({ probes }), { ...host, tracer, version: '1.2.3' })
    await until(async () => await value(host, 'app_health_probes_total', { probe: 'a' }), 'a probe was made')
  }
  t.equal(exported.length, 1)
  const [span] = exported
  t.equal(parents[0], `00-${span?.traceId}-${span?.spanId}-01`)
  t.equal(span?.name, 'probe a')
  t.match(
    span?.attributes.map(each => each.key),
    /error\.type/,
  )
  t.match(JSON.stringify(span?.attributes), /"error.type","value":\{"stringValue":"status"\}/)
})

async function text(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
