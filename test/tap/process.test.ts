// The tap as a process, beside a sidecar: its numbers are the application's own, and requests pass whoever dies.

import { Agent } from 'node:http'
import { connect } from 'node:net'
import t from 'tap'
import { Child } from '../e2e/child.ts'
import { MAIN, startSidecar } from '../e2e/ride.ts'
import { Application, ask, end, flags, Load, ports, tapAnswers, tapped, told, until } from './tapped.ts'

t.setTimeout(240_000)

const SERVER = { span_kind: 'SPAN_KIND_SERVER', service: 'legacy' } as const

t.test('metrics and spans count what the application counts itself', async t => {
  const application = await Application.start(t)
  const at = await ports()
  const ride = await tapped(t, application.port, at)
  const agent = new Agent({ keepAlive: true, maxSockets: 5 })
  const trace = '0af7651916cd43dd8448eb211c80319c'
  const all = Array.from({ length: 300 }, (_, i) => {
    const path = i % 10 === 9 ? '/fails' : i % 10 === 8 ? `/nowhere/${i}` : `/users/${i}/orders?token=secret${i}`
    const headers = i === 0 ? { traceparent: `00-${trace}-b7ad6b7169203331-01` } : {}
    return ask(at.tap, path, { agent, headers, ...(i % 3 === 0 && { method: 'POST', body: 'b'.repeat(i) }) })
  })
  await Promise.all(all)
  agent.destroy()
  t.equal(application.requests, 300)
  await until(
    'all spans',
    async () => (await ride.value('traces_spanmetrics_calls_total', SERVER)) === 300 || undefined,
  )
  const calls = (labels: object) => ride.value('traces_spanmetrics_calls_total', { ...SERVER, ...labels })
  t.equal(await calls({ status_code: 'STATUS_CODE_ERROR' }), application.statuses.get(503))
  t.equal(await ride.value('app_tap_requests_total', { class: '5xx' }), application.statuses.get(503))
  t.equal(await ride.value('app_tap_requests_total', { class: '4xx' }), application.statuses.get(404))
  t.equal(await ride.value('app_tap_requests_total', { class: '2xx' }), application.statuses.get(200))
  t.equal(await ride.value('app_tap_request_size_bytes_sum'), application.bodyBytes)
  t.equal(await ride.value('app_tap_request_size_bytes_count'), 300)
  t.equal(await ride.value('app_tap_response_size_bytes_sum'), 300 * 20)
  t.equal(await ride.value('app_tap_wait_seconds_count'), 300)
  t.equal(await ride.value('app_tap_connections_total'), 5)
  t.equal(await ride.value('app_tap_requests_in_flight'), 0)
  t.equal(await ride.value('pillion_tap_spans_total'), 300)
  t.equal(await calls({ span_name: 'POST /users/{id}/orders' }), 80)
  t.notMatch(await ride.scrape(), /secret/, 'queries are not kept')
  const found = (await (await fetch(`${ride.web}/tempo/api/v2/traces/${trace}`)).json()) as object
  const text = JSON.stringify(found)
  t.match(text, /"parentSpanId":"[^"]+"/, 'a child of the caller’s span')
  t.match(text, /SPAN_KIND_SERVER/)
  t.match(text, /http.response.body.size/)
})

t.test('the passive probe hears of the answers that the tap has seen', async t => {
  const application = await Application.start(t)
  const at = await ports()
  const probe = {
    name: 'seen',
    kind: 'passive',
    window: '5s',
    interval: '200ms',
    failing_interval: '200ms',
    failure_threshold: 1,
  }
  const more = Object.entries(probe).map(([name, value]) => `--health.probes.0.${name}=${value}`)
  const ride = await tapped(t, application.port, at, more)
  for (let i = 0; i < 30; i++) await ask(at.tap, '/fine')
  await until('the probe', async () => (await ride.value('app_health_up', { probe: 'seen' })) === 1 || undefined)
  t.equal(await ride.value('app_health_up', { probe: 'seen' }), 1)
  for (let i = 0; i < 60; i++) await ask(at.tap, '/fails')
  await until('the failure', async () => (await ride.value('app_health_up', { probe: 'seen' })) === 0 || undefined)
  t.equal(await ride.value('app_health_up', { probe: 'seen' }), 0)
})

t.test('kill -9 of the sidecar under load: no request is lost, and the next sidecar adopts the tap', async t => {
  const application = await Application.start(t)
  const at = await ports()
  const first = await startSidecar({ flags: flags(at, application.port) })
  t.teardown(() => end(at))
  const { pid } = await tapAnswers(at)
  const load = new Load(at.tap, 8)
  await until('some load', () => load.answered > 500 || undefined)
  first.child.kill('SIGKILL')
  await first.child.ended
  const before = load.answered
  await until('load without a sidecar', () => load.answered > before + 500 || undefined)
  const port = (url: string) => new URL(url).port
  const listeners = [
    '--web.listen',
    `127.0.0.1:${port(first.web)}`,
    '--otlp.http.listen',
    `127.0.0.1:${port(first.otlp)}`,
  ]
  await using second = await Child.start(process.execPath, [
    MAIN,
    ...listeners,
    '--otlp.grpc.listen=off',
    ...flags(at, application.port),
  ])
  await second.says(/the tap runs already/)
  await load[Symbol.asyncDispose]()
  t.same(load.failures, [])
  t.equal(load.answered, application.requests, 'each request was answered once')
  t.equal((await tapAnswers(at)).pid, pid, 'it is the same tap')
  const value = async (name: string) => {
    const text = await (await fetch(`${first.web}/metrics`)).text()
    return [...text.matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)`, 'gm'))].reduce(
      (sum, [, n]) => sum + Number(n),
      0,
    )
  }
  const spans = async () => (await value('pillion_tap_spans_total')) + (await value('pillion_tap_dropped_spans_total'))
  await until('every span', async () => (await spans()) === application.requests || undefined)
  t.equal(await value('app_tap_requests_total'), application.requests, 'no request is missing in its numbers')
  await second.stop()
  await until('the end of the tap', async () => (await told(at)) === undefined || undefined)
  t.notOk(await told(at), 'an orderly end of the sidecar ends the tap that it has adopted')
})

t.test('an orderly end of the sidecar takes the last spans first', async t => {
  const application = await Application.start(t)
  const at = await ports()
  // The pause between two sendings is half a second, so some of the spans wait when the end comes.
  for (let n = 0; n < 3; n++) {
    const ride = await tapped(t, application.port, at)
    for (let i = 0; i < 25; i++) await ask(at.tap, '/')
    await ride.child.stop()
    t.match(ride.child.stderr, /msg=stopped traces_accepted=25 /)
    await until('the end of the tap', async () => (await told(at)) === undefined || undefined)
  }
})

t.test('a tap that dies is started again', async t => {
  const application = await Application.start(t)
  const at = await ports()
  const ride = await tapped(t, application.port, at)
  const { pid } = await tapAnswers(at)
  process.kill(pid, 'SIGKILL')
  const next = await until('another tap', async () => {
    const found = await told(at)
    return found && found.pid !== pid ? found : undefined
  })
  t.not(next.pid, pid)
  t.equal((await ask(at.tap, '/')).status, 200)
  t.equal(await ride.value('pillion_tap_restarts_total'), 1)
  t.equal(await ride.value('app_tap_up'), 1)
})

t.test('an application that dies is answered for with resets, and found again', async t => {
  const application = await Application.start(t)
  const at = await ports()
  const ride = await tapped(t, application.port, at)
  t.equal((await ask(at.tap, '/')).status, 200)
  const hanging = ask(at.tap, '/hang')
  await until('the request', async () => ((await told(at))?.numbers.inFlight === 1 ? true : undefined))
  application.stop()
  await t.rejects(hanging, 'a request that was open is cut')
  await t.rejects(ask(at.tap, '/'), 'and so is a new one')
  await until(
    'the count',
    async () => (await ride.value('app_tap_unreachable_total', { reason: 'refused' })) === 1 || undefined,
  )
  // The new one may be reset before its request has come.
  t.ok((await ride.value('app_tap_unanswered_requests_total', { side: 'application' }))! >= 1)
  await Application.start(t, application.port)
  t.equal((await ask(at.tap, '/')).status, 200)
  await until(
    'the span of the request that was cut',
    async () =>
      (await ride.value('traces_spanmetrics_calls_total', {
        span_name: 'GET /hang',
        status_code: 'STATUS_CODE_ERROR',
      })) === 1 || undefined,
  )
})

t.test(
  'alone, without a sidecar, it relays, and drops the oldest spans beyond tap.max_pending with a count',
  async t => {
    const application = await Application.start(t)
    const at = await ports()
    const more = ['--tap.max_pending=1MiB', '--tap.otlp=http://127.0.0.1:1', '--log.level=error']
    await using child = await Child.start(process.execPath, [MAIN, 'tap', ...flags(at, application.port, more)])
    await tapAnswers(at)
    const load = new Load(at.tap, 8)
    const full = () =>
      until('dropped spans', async () => {
        const found = await told(at)
        const { full } = (found?.numbers['droppedSpans'] ?? { full: 0 }) as { full: number }
        return full > 0 ? full : undefined
      })
    t.ok((await full()) > 0)
    await load[Symbol.asyncDispose]()
    t.same(load.failures, [])
    t.equal(load.answered, application.requests)
    t.same(await child.stop(), { code: 0, signal: null })
  },
)

t.test('SIGTERM: it takes no more, closes what is idle, and lets open requests end', async t => {
  const application = await Application.start(t)
  const at = await ports()
  await using child = await Child.start(process.execPath, [MAIN, 'tap', ...flags(at, application.port)])
  await tapAnswers(at)
  const idle = connect(at.tap, '127.0.0.1')
  idle.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await until('an answer', () => (idle.bytesRead > 0 ? true : undefined))
  // A request whose body comes slowly.
  const slow = connect(at.tap, '127.0.0.1')
  slow.setEncoding('utf8')
  let answer = ''
  slow.on('data', text => {
    answer += text
  })
  slow.write('POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab')
  await until('both', async () => ((await told(at))?.open === 2 ? true : undefined))
  const closed = new Promise(resolve => idle.resume().on('close', resolve))
  child.kill('SIGTERM')
  await closed
  await t.rejects(ask(at.tap, '/'), { message: /ECONNREFUSED/ })
  slow.write('cd')
  await until('the answer', () => answer.includes('xxxx') || undefined)
  t.match(answer, /^HTTP\/1.1 200 OK/)
  t.same(await child.ended, { code: 0, signal: null })
  slow.destroy()
})

t.test('a setting that cannot work is said: no address, no application, a port that is taken', async t => {
  const at = await ports()
  const run = async (args: readonly string[]) => {
    await using child = await Child.start(process.execPath, [MAIN, 'tap', ...args])
    return { ...(await child.ended), said: child.stderr }
  }
  t.match(await run(['--app.url', 'http://127.0.0.1:1']), { code: 1, said: /tap.listen is off; give it an address/ })
  t.match(await run(['--tap.listen', '127.0.0.1:0']), { code: 78, said: /tap.upstream: is missing; give the address/ })
  const application = await Application.start(t)
  const taken = ['--tap.listen', `127.0.0.1:${application.port}`, '--tap.status', `127.0.0.1:${at.status}`]
  t.match(await run([...taken, '--app.url', 'http://127.0.0.1:1']), { code: 69, said: /the port is taken/ })
  t.match(await run([...taken, '--tap.upstream', `127.0.0.1:${application.port}`]), {
    said: /must not be the tap itself/,
  })
})
