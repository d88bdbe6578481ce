// The push over time, to receivers that behave well and badly.

import { writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import t from 'tap'
import { counter, gauge, histogram } from '../../metrics/family.ts'
import { Metrics } from '../../metrics/registry.ts'
import { until } from '../e2e/child.ts'
import { type Answering, optionsOf, pushing, type Receiving, receiving, requests, taken } from './receiver.ts'
import { type OtlpPoint, otlp, type Series, series1, series2 } from './wire.ts'

const RW = { protocol: 'remote-write', instance: 'i' } as const

function seriesOf({ got }: Receiving, n: number): Series[] {
  const each = got[n]
  if (!each) throw new Error(`no request ${n}`)
  return each.headers['x-prometheus-remote-write-version'] === '2.0.0' ? series2(each.body) : series1(each.body)
}

function named(all: readonly Series[], name: string): Series {
  const found = all.find(each => each.name === name)
  if (!found) throw new Error(`no series ${name}`)
  return found
}

/** A family that shows what it is told. */
function level(metrics: Metrics) {
  return metrics.reading(gauge('app_level', 'A level.', ['kind']))
}

const status =
  (code: number, headers: Record<string, string> = {}, body = ''): Answering =>
  (_, __, response) => {
    response.writeHead(code, headers).end(body)
  }

t.test('each interval the page is pushed, and a series that is gone from it is marked as ended', async t => {
  for (const protocol of ['remote-write', 'otlp']) {
    const receiver = await receiving(t)
    const metrics = new Metrics()
    const shown = level(metrics)
    shown.set({ kind: 'a' }, 1)
    shown.set({ kind: 'b' }, 2)
    await using _ = await pushing(t, { ...RW, protocol, endpoint: receiver.url }, { metrics, intervalMs: 100 })
    await requests(receiver, 2)
    shown.clear()
    shown.set({ kind: 'a' }, 1)
    const ended = await until('the end of b', () => {
      for (let n = 0; n < receiver.got.length; n++) {
        const found = protocol === 'otlp' ? otlpEnded(receiver, n) : seriesEnded(receiver, n)
        if (found.length > 0) return found
      }
      return undefined
    })
    t.strictSame(ended, ['b'], protocol)
  }
})

function seriesEnded(receiver: Receiving, n: number): string[] {
  return seriesOf(receiver, n)
    .filter(({ points }) => points.some(({ stale }) => stale))
    .map(({ labels }) => labels['kind'] ?? '')
}

function otlpPoints({ got }: Receiving, n: number, name: string): readonly OtlpPoint[] {
  const metric = otlp(got[n]!.body, 'gzip')
    .flatMap(({ metrics }) => metrics)
    .find(each => each.name === name)
  return (metric?.gauge ?? metric?.sum ?? metric?.histogram)?.dataPoints ?? []
}

function otlpEnded(receiver: Receiving, n: number): string[] {
  return otlpPoints(receiver, n, 'app_level')
    .filter(({ flags }) => flags === 1)
    .map(({ attributes }) => attributes[0]?.value.stringValue ?? '')
}

t.test('at the end everything is pushed once more, and all series end a while after their last value', async t => {
  for (const protocol of ['remote-write', 'otlp']) {
    const metrics = new Metrics()
    metrics.counter(counter('app_jobs_total', 'Jobs.')).inc(5)
    metrics.histogram(histogram('app_wait_seconds', 'Waits.', [], [1, 2])).observe(1.5)
    const receiver = await receiving(t)
    const pushed = await pushing(t, { ...RW, protocol, endpoint: receiver.url, stale_after: '20s' }, { metrics })
    await pushed.finish()
    await pushed.finish()
    t.equal(receiver.got.length, 2, 'values, then ends; a second call does nothing')
    if (protocol === 'otlp') {
      const [value] = otlpPoints(receiver, 0, 'app_jobs_total')
      const [end] = otlpPoints(receiver, 1, 'app_jobs_total')
      t.match(value, { asDouble: 5, flags: 0 })
      t.equal(BigInt(end!.timeUnixNano) - BigInt(value!.timeUnixNano), 20_000_000_000n)
      t.equal(end?.flags, 1)
      t.match(
        otlpPoints(receiver, 1, 'app_wait_seconds')[0],
        { flags: 1, explicitBounds: [1, 2] },
        'with its bounds, which make its series',
      )
      continue
    }
    const [values, ends] = [seriesOf(receiver, 0), seriesOf(receiver, 1)]
    const value = named(values, 'app_jobs_total').points[0]!
    const end = named(ends, 'app_jobs_total').points[0]!
    t.match(value, { value: 5, stale: false })
    t.match(end, { stale: true, ms: value.ms + 20_000 })
    const ids = (all: readonly Series[]) => all.map(({ name, labels }) => `${name} ${JSON.stringify(labels)}`).sort()
    t.strictSame(ids(ends), ids(values), 'every series, those of histograms too')
    t.ok(ends.every(({ points }) => points.every(({ stale }) => stale)))
  }
})

t.test('a push that fails at the end is followed by no ends, and its samples are counted as dropped', async t => {
  const metrics = new Metrics()
  metrics.counter(counter('app_jobs_total', 'Jobs.')).inc(5)
  const receiver = await receiving(t, status(503))
  const pushed = await pushing(t, { ...RW, endpoint: receiver.url }, { metrics })
  const begun = performance.now()
  await pushed.finish(1500)
  t.ok(performance.now() - begun < 5000, 'it does not wait for longer than it may')
  t.ok(receiver.got.every(({ body }) => series2(body).every(({ points }) => points.every(({ stale }) => !stale))))
  t.ok((await pushed.value('pillion_push_dropped_samples_total', { reason: 'shutdown' }))! > 0)
  t.equal(await pushed.value('pillion_push_samples_total'), 0)
  t.equal(pushed.memory.allot('push').used, 0, 'nothing is held')
})

t.test('ends of series that the last push cannot deliver are dropped by the end, and not superseded', async t => {
  const metrics = new Metrics()
  metrics.counter(counter('app_jobs_total', 'Jobs.')).inc(5)
  // The values are taken, the ends are not.
  const receiver = await receiving(t, (got, n, response) =>
    n === 0 ? taken(got, n, response) : status(503)(got, n, response),
  )
  const pushed = await pushing(t, { ...RW, endpoint: receiver.url }, { metrics })
  await pushed.finish(1500)
  const sent = (await pushed.value('pillion_push_samples_total')) ?? 0
  t.ok(sent > 0)
  t.equal(
    await pushed.value('pillion_push_dropped_samples_total', { reason: 'shutdown' }),
    seriesOf(receiver, 0).length,
  )
  t.equal(await pushed.value('pillion_push_dropped_samples_total', { reason: 'superseded' }), 0)
  t.match(pushed.logged.join(), /cannot push the end of the series/)
})

t.test('counters say since when they count: a reset, a label set that is new, a number of the kernel', async t => {
  const metrics = new Metrics()
  const jobs = metrics.reading(counter('pillion_jobs_total', 'Jobs.', ['kind']))
  metrics.readings.delete('pillion_jobs_total')
  const kernel = metrics.reading(counter('app_kernel_total', 'Read.'))
  const receiver = await receiving(t)
  jobs.set({ kind: 'a' }, 10)
  kernel.set({}, 5000)
  const started = Date.now()
  await using _ = await pushing(t, { ...RW, endpoint: receiver.url }, { metrics, intervalMs: 100 })
  await requests(receiver, 1)
  const first = seriesOf(receiver, 0)
  const [a, read] = [named(first, 'pillion_jobs_total').points[0]!, named(first, 'app_kernel_total').points[0]!]
  t.ok(a.startMs >= started - 1 && a.startMs < a.ms, 'since the sidecar started')
  t.equal(read.startMs, read.ms, 'nobody knows since when: from now on')

  jobs.set({ kind: 'a' }, 3)
  jobs.set({ kind: 'b' }, 1)
  kernel.set({}, 5001)
  const seen = receiver.got.length
  await requests(receiver, seen + 2)
  const find = (n: number, kind: string) =>
    seriesOf(receiver, n).find(({ name, labels }) => name === 'pillion_jobs_total' && labels['kind'] === kind)
      ?.points[0]
  const at = receiver.got.findIndex((_, n) => find(n, 'b') !== undefined)
  const before = named(seriesOf(receiver, at - 1), 'app_kernel_total').points[0]!
  t.equal(find(at, 'a')?.startMs, before.ms, 'it went back, so it began after the last push')
  t.equal(find(at, 'b')?.startMs, before.ms, 'it was not there at the last push')
  t.equal(named(seriesOf(receiver, at), 'app_kernel_total').points[0]?.startMs, read.startMs)
  await requests(receiver, at + 2)
  t.equal(find(at + 1, 'b')?.startMs, before.ms, 'and that stays')
})

t.test('a counter of an application that we have started is pushed with its 0 in remote write 1.0', async t => {
  const metrics = new Metrics()
  const receiver = await receiving(t, (got, _, response) => {
    response.writeHead(got.headers['x-prometheus-remote-write-version'] === '2.0.0' ? 415 : 204).end()
  })
  const pushed = await pushing(t, { ...RW, endpoint: receiver.url }, { metrics, app: { child: 4711 } })
  metrics.counter(counter('app_jobs_total', 'Jobs.')).inc(5)
  metrics.gauge(gauge('app_level', 'A level.')).set(5)
  await new Promise(resolve => setTimeout(resolve, 20))
  await pushed.finish()
  const values = seriesOf(receiver, 1)
  t.strictSame(
    named(values, 'app_jobs_total').points.map(({ value }) => value),
    [0, 5],
  )
  t.ok(named(values, 'app_jobs_total').points[0]!.ms < named(values, 'app_jobs_total').points[1]!.ms)
  t.strictSame(
    named(values, 'app_level').points.map(({ value }) => value),
    [5],
  )
})

t.test('remote write 2.0 first, and 1.0 for receivers that do not take it', async t => {
  const f = async (name: string, first: Answering, rest: Answering, versions: readonly string[]) => {
    const receiver = await receiving(t, (got, n, response) => (n === 0 ? first : rest)(got, n, response))
    const metrics = new Metrics()
    metrics.counter(counter('app_jobs_total', 'Jobs.')).inc(5)
    const pushed = await pushing(t, { ...RW, endpoint: receiver.url, stale_after: '0s' }, { metrics })
    await pushed.finish()
    t.strictSame(
      receiver.got.map(({ headers }) => headers['x-prometheus-remote-write-version']),
      versions,
      name,
    )
    const last = receiver.got.findLastIndex((_, n) =>
      named(seriesOf(receiver, n), 'app_jobs_total').points.some(({ stale }) => !stale),
    )
    t.equal(named(seriesOf(receiver, last), 'app_jobs_total').points.at(-1)?.value, 5, `${name}: nothing is lost`)
    t.equal(await pushed.value('pillion_push_failing'), 0, name)
    t.equal(await pushed.value('pillion_push_dropped_samples_total', { reason: 'rejected' }), 0, name)
  }
  await f('it takes 2.0', taken, taken, ['2.0.0', '2.0.0'])
  await f('415', status(415), taken, ['2.0.0', '0.1.0', '0.1.0'])
  await f('success without saying what was written', status(204), status(204), ['2.0.0', '0.1.0', '0.1.0'])
  await f('400, as nobody agreed on 2.0 before', status(400, {}, 'snappy: corrupt input'), status(200), [
    '2.0.0',
    '0.1.0',
    '0.1.0',
  ])
})

t.test('samples that a receiver of 2.0 has not written are counted as dropped', async t => {
  const receiver = await receiving(t, status(200, { 'X-Prometheus-Remote-Write-Samples-Written': '1' }, 'out of order'))
  await using pushed = await pushing(t, { ...RW, endpoint: receiver.url }, { intervalMs: 100 })
  await requests(receiver, 2)
  await until('the first push', async () => (await pushed.value('pillion_push_samples_total')) || undefined)
  t.ok((await pushed.value('pillion_push_dropped_samples_total', { reason: 'partial' }))! > 1)
  t.match(pushed.findings(), [/^warning: cannot push to .*: \d+ samples were not taken: out of order/])
})

t.test('an answer that asks to come again is obeyed, and the same page is delivered', async t => {
  const receiver = await receiving(t, (got, n, response) => {
    if (n < 2)
      response.writeHead([503, 429][n]!, { 'Retry-After': n === 0 ? '0' : new Date(Date.now()).toUTCString() }).end()
    else taken(got, n, response)
  })
  const pushed = await pushing(t, { ...RW, endpoint: receiver.url }, {})
  await pushed.finish()
  t.ok(receiver.got[0]!.body.equals(receiver.got[1]!.body), 'the same page, until the next one is due')
  t.ok(receiver.got[0]!.body.equals(receiver.got[2]!.body))
  t.equal(await pushed.value('pillion_push_requests_total', { code: '503' }), 1)
  t.equal(await pushed.value('pillion_push_requests_total', { code: '429' }), 1)
  t.equal(await pushed.value('pillion_push_failing'), 0)
})

t.test('while a receiver fails, only the newest page is kept: older ones are dropped and counted', async t => {
  const receiver = await receiving(t, status(503))
  const metrics = new Metrics()
  const jobs = metrics.counter(counter('app_jobs_total', 'Jobs.'))
  await using pushed = await pushing(
    t,
    { ...RW, endpoint: receiver.url },
    { metrics, intervalMs: 150, collect: () => jobs.inc() },
  )
  await until('pages to be dropped', async () =>
    (await pushed.value('pillion_push_dropped_samples_total', { reason: 'superseded' }))! > 50 ? true : undefined,
  )
  t.match(pushed.findings(), [
    /^warning: cannot push to http:\/\/127\.0\.0\.1:\d+\/api\/v1\/write \(remote write 2\.0\): status 503/,
  ])
  t.equal(pushed.logged.filter(line => line.startsWith('warn cannot push')).length, 1, 'said once')
  receiver.answer = taken
  await until('it works again', async () => ((await pushed.value('pillion_push_failing')) === 0 ? true : undefined))
  t.equal(pushed.logged.filter(line => line.startsWith('info pushes again')).length, 1)
  t.match(pushed.findings(), [/^info: pushes to/])
  t.ok((await pushed.value('pillion_push_last_success_timestamp_seconds'))! > Date.now() / 1000 - 60)
})

t.test('a receiver that asks for a minute is left alone for it', async t => {
  const receiver = await receiving(t, status(503, { 'Retry-After': '60' }))
  await using pushed = await pushing(t, { endpoint: receiver.url }, { intervalMs: 50 })
  await until('pushes that were not made', async () =>
    (await pushed.value('pillion_push_skipped_total', { reason: 'waiting' }))! > 3 ? true : undefined,
  )
  t.equal(receiver.got.length, 1)
})

t.test('each answer has its meaning', async t => {
  const reset = (_: unknown, __: number, response: ServerResponse) => void response.socket?.destroy()
  const f = async (name: string, answer: Answering, code: string, reason: string, protocol = 'otlp') => {
    const receiver = await receiving(t, answer)
    const pushed = await pushing(t, { endpoint: receiver.url, protocol, timeout: '300ms' })
    await pushed.finish(900)
    t.ok((await pushed.value('pillion_push_requests_total', { code }))! > 0, `${name}: ${code}`)
    const dropped = await pushed.value('pillion_push_dropped_samples_total', { reason })
    t.ok(dropped! > 0, `${name}: ${reason}`)
    t.match(pushed.findings(), [/^warning: cannot push/], name)
  }
  await f('wrong credentials', status(401), '401', 'auth')
  await f('no right', status(403), '403', 'auth')
  await f('a wrong path', status(404, { 'content-type': 'text/html' }, '<html>'), '404', 'not_supported')
  await f('no receiver for OTLP', status(405), '405', 'not_supported')
  await f('a format that it does not know', status(415), '415', 'not_supported')
  await f('a redirect, which is not followed', status(307, { location: 'http://127.0.0.1:1/' }), '307', 'redirect')
  await f('a request that it refuses', status(400, {}, 'bad\n\u001b[31m data'), '400', 'rejected')
  await f('an error of its own, in OTLP', status(500), '500', 'rejected')
  await f('an error of its own, in remote write', status(500), '500', 'shutdown', 'remote-write')
  await f('it hangs', () => {}, 'timeout', 'shutdown')
  await f('it closes the connection', reset, 'reset', 'shutdown')
  await f(
    'it speaks another protocol',
    (_, __, response) => void response.socket?.end('SSH-2.0-x\r\n'),
    'protocol',
    'shutdown',
  )
})

t.test('no receiver: the push is tried, and says so', async t => {
  const pushed = await pushing(t, { endpoint: 'http://127.0.0.1:1/' })
  await pushed.finish(400)
  t.ok((await pushed.value('pillion_push_requests_total', { code: 'refused' }))! > 0)
  t.match(pushed.findings(), [/^warning: cannot push to http:\/\/127\.0\.0\.1:1\/v1\/metrics \(OTLP\): .*ECONNREFUSED/])
})

t.test('a push that fails at a path of the other protocol says which protocol to set', async t => {
  const f = async (protocol: 'otlp' | 'remote-write', path: string, expected: RegExp | undefined) => {
    const receiver = await receiving(t, status(400))
    const pushed = await pushing(t, { protocol, endpoint: `${new URL(receiver.url).origin}${path}` })
    await pushed.finish(900)
    if (expected) t.match(pushed.findings(), [expected], path)
    else t.notMatch(pushed.findings()[0], 'push.protocol', path)
  }
  await f('otlp', '/api/v1/write', /set push\.protocol to remote-write$/)
  await f('otlp', '/api/v1/push', /set push\.protocol to remote-write$/)
  await f('remote-write', '/v1/metrics', /set push\.protocol to otlp$/)
  await f('otlp', '/v1/metrics', undefined)
  await f('otlp', '/opentelemetry/api/v1/push', undefined)
  await f('remote-write', '/api/v1/write', undefined)
})

t.test('a request that is too large is dropped, and the next ones are smaller', async t => {
  const receiver = await receiving(
    t,
    ({ body }, _, response) => void response.writeHead(body.length > 20_000 ? 413 : 200).end(),
  )
  const metrics = new Metrics()
  const shown = metrics.reading(gauge('app_level', 'A level.', ['kind']))
  for (let i = 0; i < 500; i++) shown.set({ kind: `${i}-${'x'.repeat(150)}` }, i)
  await using pushed = await pushing(t, { endpoint: receiver.url, compression: 'none' }, { metrics, intervalMs: 60 })
  await until(
    'a whole page',
    async () => (await pushed.value('pillion_push_last_success_timestamp_seconds')) || undefined,
  )
  t.ok((await pushed.value('pillion_push_dropped_samples_total', { reason: 'too_large' }))! > 0)
  t.ok((await pushed.value('pillion_push_samples_total'))! >= 500)
})

t.test(
  'partial success of OTLP is counted, in protobuf and in JSON; an answer that is neither changes nothing',
  async t => {
    const f = async (name: string, type: string, body: Buffer | string, dropped: number) => {
      const receiver = await receiving(
        t,
        (_, n, response) => void response.writeHead(200, { 'content-type': type }).end(n === 0 ? body : ''),
      )
      const pushed = await pushing(t, { endpoint: receiver.url })
      await pushed.finish()
      t.equal(await pushed.value('pillion_push_dropped_samples_total', { reason: 'partial' }), dropped, name)
    }
    const protobuf = Buffer.from([0x0a, 0x09, 0x08, 0x07, 0x12, 0x05, ...Buffer.from('stale')])
    await f('protobuf', 'application/x-protobuf', protobuf, 7)
    await f('JSON', 'application/json', '{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"no"}}', 3)
    await f('a warning', 'application/json', '{"partialSuccess":{"errorMessage":"slow down"}}', 0)
    await f('HTML', 'text/html', '<html>', 0)
    await f('broken JSON', 'application/json', '{"partialSuccess":{"rejectedDataPoints":', 0)
    await f('JSON of another kind', 'application/json', '[{"__proto__":{"partialSuccess":1}}]', 0)
    await f('a negative number', 'application/json', '{"partialSuccess":{"rejectedDataPoints":-5}}', 0)
    for (let seed = 1; seed <= 20; seed++) {
      const noise = Buffer.from(
        Array.from({ length: 300 }, (_, i) => (Math.imul(i + 1, seed * 2654435761) >>> 11) & 255),
      )
      const receiver = await receiving(
        t,
        status(200, { 'content-type': 'application/x-protobuf' }, noise.toString('latin1')),
      )
      const pushed = await pushing(t, { endpoint: receiver.url })
      await pushed.finish()
      t.equal(await pushed.value('pillion_push_requests_total', { code: '200' }), 2, `noise ${seed}`)
    }
    await f('cut in the middle', 'application/x-protobuf', protobuf.subarray(0, 5), 0)
  },
)

t.test('an answer without end is not read to its end', async t => {
  const receiver = await receiving(t, (_, __, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, 0x20)));
      if (!response.destroyed) response.once('drain', more)
    }
    more()
  })
  const pushed = await pushing(t, { endpoint: receiver.url, timeout: '5s' })
  await pushed.finish()
  t.equal(await pushed.value('pillion_push_requests_total', { code: '200' }), 2)
})

t.test('credentials that a receiver repeats are not logged, and not in findings', async t => {
  const folder = t.testdir({ token: 'secret-1\n', password: 'secret-2' })
  const receiver = await receiving(t, ({ headers }, _, response) => {
    const said = Buffer.from(headers.authorization?.replace('Basic ', '') ?? '', 'base64').toString('latin1')
    response.writeHead(401).end(`bad token ${headers.authorization} ${headers['x-key']} ${said}`)
  })
  const options = { endpoint: receiver.url, headers: ['X-Key: secret-k'] }
  for (const each of [{ token_file: `${folder}/token` }, { username: 'u', password_file: `${folder}/password` }]) {
    const pushed = await pushing(t, { ...options, ...each })
    await pushed.finish()
    t.match(pushed.logged.join(), /status 401: bad token (?:Bearer|Basic) \[redacted\] \[redacted\]/)
    t.notMatch(JSON.stringify([pushed.logged, pushed.findings()]), /secret|c2VjcmV0|dTpzZWNyZXQ/)
  }
})

t.test(
  'headers, tokens and passwords come from files that are read again for each push, and are said nowhere',
  async t => {
    const folder = t.testdir({ token: 'secret-1\n', tenant: 'tenant-1', password: 'secret-p' })
    const receiver = await receiving(t, status(401))
    const files = { token_file: `${folder}/token`, header_files: [`X-Scope-OrgID: ${folder}/tenant`] }
    await using pushed = await pushing(
      t,
      { endpoint: receiver.url, headers: ['X-Key: secret-k'], ...files },
      { intervalMs: 80 },
    )
    await requests(receiver, 1)
    t.match(receiver.got[0]!.headers, {
      authorization: 'Bearer secret-1',
      'x-scope-orgid': 'tenant-1',
      'x-key': 'secret-k',
    })
    writeFileSync(`${folder}/token`, 'secret-2')
    await until(
      'the new token',
      () => receiver.got.some(({ headers }) => headers.authorization === 'Bearer secret-2') || undefined,
    )
    t.notMatch(JSON.stringify([pushed.logged, pushed.findings()]), /secret/)

    const basic = await receiving(t)
    const other = await pushing(t, { endpoint: basic.url, username: 'u', password_file: `${folder}/password` })
    await other.finish()
    t.equal(basic.got[0]?.headers.authorization, `Basic ${Buffer.from('u:secret-p').toString('base64')}`)

    writeFileSync(`${folder}/password`, 'a\nb: c')
    const third = await pushing(t, { endpoint: basic.url, username: 'u', password_file: `${folder}/password` })
    const before = basic.got.length
    await third.finish(300)
    t.equal(basic.got.length, before, 'a password of two lines goes nowhere')
  },
)

t.test('a page that does not fit into the memory budget is not pushed, and that is counted', async t => {
  const receiver = await receiving(t)
  await using pushed = await pushing(t, { endpoint: receiver.url }, { intervalMs: 50, budget: 1000 })
  await until(
    'a push that was skipped',
    async () => (await pushed.value('pillion_push_skipped_total', { reason: 'memory' })) || undefined,
  )
  t.equal(receiver.got.length, 0)
  t.equal(pushed.memory.used, 0)
  t.match(pushed.findings(), [/memory budget/])
})

t.test('when an application that was not started here has gone, its last numbers are pushed at once', async t => {
  const receiver = await receiving(t)
  await using pushed = await pushing(t, { endpoint: receiver.url, interval: '1h' }, { app: { pid: 4711 } })
  t.equal(receiver.got.length, 0)
  await new Promise(resolve => setTimeout(resolve, 600))
  pushed.app.pid = undefined
  await requests(receiver, 1)
  t.pass('long before the hour is over')
})

t.test('memory is given back after each push, but for that needed to compare the next page', async t => {
  const receiver = await receiving(t)
  const metrics = new Metrics()
  const shown = metrics.reading(gauge('app_level', 'A level.', ['kind']))
  for (let i = 0; i < 2000; i++) shown.set({ kind: `kind ${i}` }, i)
  await using pushed = await pushing(t, { ...RW, endpoint: receiver.url }, { metrics, intervalMs: 50 })
  await until('twenty pushes', async () =>
    (await pushed.value('pillion_push_requests_total', { code: '204' }))! > 20 ? true : undefined,
  )
  const held = pushed.memory.allot('push').used
  t.ok(held > 50_000 && held < 2_000_000, `${held} bytes`)
})

t.test('options that cannot work are refused with their place', async t => {
  const f = async (values: Record<string, unknown>, wanted: RegExp) => {
    await t.rejects(optionsOf({ endpoint: 'http://a:1/', ...values }), wanted)
  }
  await f({ endpoint: 'http://u:p@a:1/' }, /push\.endpoint.*must not hold a user name/)
  await f({ headers: ['no colon'] }, /push\.headers\[0\].*must be "Name: value"/)
  await f({ headers: ['Content-Type: text/plain'] }, /push\.headers\[0\].*must not be Content-Type/)
  await f({ headers: ['X: a\r\nY: b'] }, /push\.headers\[0\]/)
  await f({ labels: ['a-b=c'] }, /push\.labels\[0\].*must be "name=value"/)
  await f({ labels: ['__name__=c'] }, /push\.labels\[0\]/)
  await f({ username: 'u' }, /push\.username.*password_file/)
  await f({ tls_cert_file: import.meta.filename }, /push\.tls_cert_file.*tls_key_file/)
  await f({ interval: '10ms' }, /push\.interval/)
  await f({ protocol: 'statsd' }, /push\.protocol/)
})
