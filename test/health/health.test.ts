// The collector as a whole: its metrics over the life of an application, what it guesses, what it refuses, its spans.

import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import { createServer as createRaw } from 'node:net'
import t, { type Test } from 'tap'
import { GUESSED_TIMING, Guess } from '../../collectors/health/guess.ts'
import type { ProbeOptions } from '../../collectors/health/options.ts'
import { Prober } from '../../collectors/health/prober.ts'
import { Series } from '../../collectors/health/series.ts'
import { describe } from '../../collectors/health/target.ts'
import { UNRECORDED } from '../../collectors/health/trace.ts'
import { failed, type ProbeContext, Stopwatch, type Verdict } from '../../collectors/health/verdict.ts'
import { health, healthFamilies, openProbeSpans, PHASES, REASONS } from '../../collectors/health.ts'
import * as machine from './machine.ts'

const { listen, probeOptions, realClock, testHost, until, value, values } = machine

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
  await using running = await health.start({ probes, guess: true }, host)
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
  await using running = await health.start({ probes: [probeOptions({ name: 'a', url, ...quick })], guess: true }, host)
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
  const running = await health.start({ probes, guess: true }, host)
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
    spans: UNRECORDED,
    userAgent: 'test',
    startedAt: realClock.monotonic(),
  }
  const asked = machine.target({ kind: 'tcp', address: '127.0.0.1:1' })
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

t.test('a configuration that cannot work is refused with what to do', async t => {
  const f = (given: Partial<ProbeOptions>, message: string) =>
    t.throws(() => health.start({ probes: [probeOptions(given)], guess: true }, testHost()), { message })
  f({ name: '' }, 'health.probes[0].name must be 1 to 64 of letters, digits and _ . : / -, not ""')
  f({ name: 'a b' }, 'health.probes[0].name must be 1 to 64 of letters, digits and _ . : / -, not "a b"')
  f({}, 'health.probes[0].url is missing; give the URL to request, or another kind')
  f({ kind: 'tcp' }, 'health.probes[0].address must be HOST:PORT, not undefined')
  f({ kind: 'tcp', address: 'db' }, 'health.probes[0].address must be HOST:PORT, not "db"')
  f({ kind: 'grpc', address: 'db:99999' }, 'health.probes[0].address must be HOST:PORT, not "db:99999"')
  f({ kind: 'exec' }, 'health.probes[0].command is missing; give the program and its arguments as a list')
  const url = 'http://127.0.0.1/'
  f({ url, headers: ['no colon'] }, 'health.probes[0].headers[0] must be "Name: value"')
  f({ url, headers: ['X: a\nb'] }, 'health.probes[0].headers[0] is not a header that HTTP allows: "x"')
  f({ url, header_matches: ['X: ('] }, 'health.probes[0].header_matches[0] is not a regular expression: "("')
  f(
    { url: 'https://127.0.0.1/', tls_ca_file: '/nonexistent' },
    'cannot read health.probes[0].tls_ca_file "/nonexistent"; give a PEM file that this user may read',
  )
  const twice = [probeOptions({ name: 'a', url }), probeOptions({ name: 'a', url })]
  t.throws(() => health.start({ probes: twice, guess: true }, testHost()), {
    message: 'health.probes[1].name "a" is already taken; give each probe its own name',
  })
  const host = testHost()
  host.app.url = 'http://169.254.169.254/'
  t.throws(() => health.start({ probes: [], guess: true }, host), /^app.url must not be a link-local/)
})

/** Asks a guess until it has found something; what it found and the requests that it took. */
async function guessing(t: Test, answer: RequestListener, explicit: boolean, path = '/') {
  const requests: string[] = []
  const { port } = await serve(t, (request, response) => {
    requests.push(request.url ?? '')
    answer(request, response)
  })
  const url = explicit ? `http://127.0.0.1:${port}${path}` : undefined
  const guess = new Guess({ select: {}, url, child: undefined, pid: undefined, port }, () => {})
  const context = { clock: realClock, userAgent: 'test', traceparent: '', tracestate: 'pillion=probe' } as ProbeContext
  let verdict: Verdict | undefined
  for (let turn = 0; turn < 5 && !guess.found; turn++) verdict = await guess.ask(AbortSignal.timeout(5000), context)
  const shown = (asked: Parameters<typeof describe>[0] | undefined) =>
    asked && describe(asked).replace(`127.0.0.1:${port}`, 'app')
  return { liveness: shown(guess.found?.liveness), readiness: shown(guess.found?.readiness), verdict, requests }
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
    t.equal((await guessing(t, (_, response) => response.end('app'), true)).liveness, 'GET http://app/')
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
  t.equal(found.requests.length, 5, 'one request in each of five turns')
})

t.test('an open port that does not speak HTTP is asked over TCP, after some patience', async t => {
  let connections = 0
  const server = createRaw(socket => {
    connections++
    socket.on('error', () => {}).end('SSH-2.0-x\r\n')
  })
  const port = await listen(server)
  t.teardown(() => server.close())
  const guess = new Guess({ select: {}, url: undefined, child: undefined, pid: undefined, port }, () => {})
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
  const guess = new Guess(
    { select: {}, url: `http://127.0.0.1:${port}/`, child: undefined, pid: undefined, port },
    () => {},
  )
  const context = { clock: realClock, userAgent: 'test', traceparent: '', tracestate: '' }
  for (let turn = 0; turn < 40 && !guess.found; turn++) await guess.ask(AbortSignal.timeout(250), context)
  t.equal(guess.found && describe(guess.found.liveness), `GET http://127.0.0.1:${port}/api/health`)
})

t.test('an application that comes later, and then again on another port', async t => {
  const host = testHost(machine.hastened(10))
  await using running = await health.start({ probes: [], guess: true }, host)
  t.match(running.findings?.(), [{ level: 'info', text: /nothing to ask yet/ }])
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

t.test('nothing is guessed when that is switched off', async t => {
  const host = testHost()
  host.app.url = 'http://127.0.0.1:1/'
  await using running = await health.start({ probes: [], guess: false }, host)
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
    await using spans = await openProbeSpans({ endpoint: `http://127.0.0.1:${upstream.port}`, version: '1.2.3' })
    const probes = [
      probeOptions({ name: 'a', url: `http://127.0.0.1:${app.port}/`, interval: 60_000, failing_interval: 0 }),
    ]
    await using _ = await health.start({ probes, guess: true }, host, { spans, version: '1.2.3' })
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
