// Access logs become SERVER spans: the formats by name, format strings, JSON, and the routes of paths.

import t from 'tap'
import { compileFormat } from '../../collectors/files/access/format.ts'
import { pathOf, Routes } from '../../otlp/http-route.ts'
import { UNTIMED } from '../../telemetry/span.ts'
import { folder, follow, type GotSpan, until } from './start.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'
const END = 1_795_903_262_000_000_000n

async function spansOf(
  test: Parameters<typeof follow>[0],
  lines: string,
  options: object,
  count = 1,
): Promise<readonly GotSpan[]> {
  const { write, path } = folder(test)
  const following = await follow(test, {
    sources: [{ name: 'a', start: 'beginning', paths: [path('a.log')], ...options }],
  })
  write('a.log', lines)
  await until(
    () => following.spans.length >= count,
    () => `${following.spans.length} of ${count} spans; ${following.bodies().join()}`,
  )
  await following.stop()
  test.equal(following.spans.length, count)
  return following.spans
}

const REQUEST = {
  'http.request.method': 'GET',
  'http.route': '/users/{id}',
  'http.response.status_code': 200,
  'url.path': '/users/7',
}

t.test('nginx: combined and $request_time', async t => {
  const line = (rest: string, status = 200) =>
    `10.0.0.1 - bob [28/Nov/2026:22:01:02 +0000] "GET /users/7?token=secret HTTP/1.1" ${status} 612 "-" "curl/8 \\x22x\\x22"${rest}\n`
  const spans = await spansOf(
    t,
    line(' 0.250') + line(' "-" rt=1.005 0.9', 503) + line(''),
    { requests: 'nginx', service: 'web' },
    3,
  )
  t.match(spans[0], {
    name: 'GET /users/{id}',
    kind: 2,
    service: 'web',
    status: 0,
    end: END,
    start: END - 250_000_000n,
    parent: '',
  })
  t.same(spans[0]?.attributes, REQUEST, 'no query, which may be secret')
  t.match(spans[0]?.trace, /^[\da-f]{32}$/)
  t.match(spans[1], { status: 2, start: END - 1_005_000_000n })
  t.equal(spans[2]?.start, END, 'without a duration')
  t.same(spans[2]?.attributes, { ...REQUEST, [UNTIMED]: true }, 'which is said, for 0 s would be a measurement')
  t.equal(new Set(spans.map(each => each.trace)).size, 3)
})

t.test('apache: combined and %D; a request with an escaped quote', async t => {
  const line = (request: string, rest: string) =>
    `10.0.0.1 - - [28/Nov/2026:22:01:02 +0000] "${request}" 200 12 "-" "Mozilla/5.0 \\"odd\\" 7"${rest}\n`
  const spans = await spansOf(
    t,
    line('GET /users/7 HTTP/1.1', ' 1500') + line('GET /a\\"b HTTP/1.0', ''),
    { requests: 'apache' },
    2,
  )
  t.match(spans[0], { name: 'GET /users/{id}', start: END, end: END + 1_500_000n }, 'its time is that of the request')
  t.equal(spans[1]?.attributes['url.path'], '/a\\"b')
})

t.test('Caddy, Traefik and Envoy, as text and JSON', async t => {
  const f = async (requests: string, line: string | object, expected: object): Promise<void> => {
    const text = typeof line === 'string' ? line : JSON.stringify(line)
    const [span] = await spansOf(t, `${text}\n`, { requests })
    t.match(span, { name: 'GET /users/{id}', kind: 2, ...expected }, requests)
  }
  await f(
    'caddy',
    {
      level: 'info',
      ts: 1795903262.5,
      logger: 'http.log.access',
      msg: 'handled request',
      request: { method: 'GET', uri: '/users/7?x=1', headers: { Traceparent: [`00-${TRACE}-${SPAN}-01`] } },
      duration: 0.125,
      size: 3,
      status: 200,
    },
    { end: END + 500_000_000n, start: END + 375_000_000n, trace: TRACE, parent: SPAN },
  )
  await f(
    'traefik',
    '10.0.0.1 - - [28/Nov/2026:22:01:02 +0000] "GET /users/7 HTTP/1.1" 200 12 "-" "curl" 42 "web@docker" "http://10.0.0.2:80" 17ms',
    { start: END, end: END + 17_000_000n },
  )
  await f(
    'traefik',
    {
      RequestMethod: 'GET',
      RequestPath: '/users/7',
      DownstreamStatus: 502,
      Duration: 17_000_000,
      StartUTC: '2026-11-28T22:01:02Z',
      time: '2026-11-28T22:01:03Z',
    },
    { start: END, end: END + 17_000_000n, status: 2 },
  )
  await f(
    'envoy',
    '[2026-11-28T22:01:02.000Z] "GET /users/7 HTTP/1.1" 200 - 0 12 17 16 "10.0.0.1" "curl" "id" "shop" "10.0.0.2:80"',
    { start: END, end: END + 17_000_000n },
  )
  await f(
    'envoy',
    { start_time: '2026-11-28T22:01:02.000Z', method: 'GET', path: '/users/7', response_code: 200, duration: 17 },
    { start: END, end: END + 17_000_000n },
  )
  await f(
    'nginx',
    {
      time_iso8601: '2026-11-28T22:01:02+00:00',
      request: 'GET /users/7 HTTP/1.1',
      status: '200',
      request_time: '0.017',
    },
    { end: END, start: END - 17_000_000n },
  )
  await f(
    'json',
    {
      level: 30,
      time: 1795903262000,
      req: { method: 'GET', url: '/users/7' },
      res: { statusCode: 200 },
      responseTime: 17,
      msg: 'request completed',
    },
    { end: END, start: END - 17_000_000n },
  )
})

t.test('a format string of one’s own: nginx’s, Apache’s, and for any text', async t => {
  const f = async (request_format: string, line: string, expected: object, requests = 'custom'): Promise<void> => {
    const [span] = await spansOf(t, `${line}\n`, { requests, request_format })
    t.match(span, expected, request_format)
  }
  await f(
    '$status $request_time [$time_iso8601] $request_method $request_uri',
    '200 0.017 [2026-11-28T22:01:02+00:00] GET /users/7',
    { name: 'GET /users/{id}', start: END - 17_000_000n, end: END },
  )
  await f(
    '%t %{ms}T "%r" %>s "%{traceparent}i"',
    `[28/Nov/2026:22:01:02 +0000] 17 "GET /users/7 HTTP/1.1" 200 "00-${TRACE}-${SPAN}-01"`,
    {
      trace: TRACE,
      parent: SPAN,
      end: END + 17_000_000n,
    },
  )
  await f(
    '$time INFO served $method $path in $duration_ms ms: $status',
    '2026-11-28T22:01:02Z INFO served POST /pay in 12.5 ms: 500',
    {
      name: 'POST /pay',
      status: 2,
      start: END - 12_500_000n,
    },
  )
})

t.test('a format string that cannot work is refused with what is missing', async t => {
  const f = (format: string, message: RegExp): unknown => t.throws(() => compileFormat(format), { message })
  f('$request', /must have a field for the status/)
  f('$status$request', /must have text between status and the next field/)
  const { path } = folder(t)
  const source = { name: 'a', paths: [path('a.log')], requests: 'custom' }
  await t.rejects(follow(t, { sources: [source] }), { message: /request_format: is missing/ })
  await t.rejects(follow(t, { sources: [{ ...source, request_format: '$method' }] }), {
    message: /must have a field for the status/,
  })
})

t.test('a line that is no request is counted, and kept as a record; what bots send is one', async t => {
  const { write, path } = folder(t)
  const following = await follow(t, {
    sources: [{ name: 'a', start: 'beginning', paths: [path('a.log')], requests: 'nginx' }],
  })
  const line = (request: string, status: number | string) =>
    `10.0.0.1 - - [28/Nov/2026:22:01:02 +0000] "${request}" ${status} 0 "-" "-" 0.001\n`
  write(
    'a.log',
    `something else\n${line('\\x16\\x03\\x01', 400)}${line('-', 408)}${line('FOO / HTTP/1.1', 405)}${line('GET http://evil/ HTTP/1.1', 200)}${line('GET / HTTP/1.1', '000')}`,
  )
  await until(
    () => following.spans.length === 5,
    () => following.bodies().join(),
  )
  t.same(
    following.spans.map(each => each.name),
    ['HTTP', 'HTTP', 'HTTP', 'GET /', 'GET /'],
  )
  t.equal(following.spans[4]?.attributes['http.response.status_code'], 499)
  t.same(following.bodies(), ['something else'])
  t.equal(await following.value('app_log_file_unparsed_lines_total', { source: 'a' }), 1)
  t.equal(await following.value('app_log_file_requests_total', { source: 'a' }), 5)
})

t.test('routes: templates first, ids out, files together', async t => {
  const routes = new Routes(['/users/{name}/orders', '/files/*', '/v1/:id'], 100)
  const f = (target: string, expected: string | undefined, status = 200): unknown =>
    t.equal(routes.of(pathOf(target), status), expected, target)
  f('/users/bob/orders', '/users/{name}/orders')
  f('/files/a/b/c.txt', '/files/*')
  f('/v1/anything?x', '/v1/:id')
  f('/', '/')
  f('/users/123/x', '/users/{id}/x')
  f('/o/550e8400-e29b-41d4-a716-446655440000', '/o/{id}')
  f('/o/dead8eef', '/o/{id}')
  f('/o/facade', '/o/facade')
  f('/o/01ARZ3NDEKTSV4RRFFQ69G5FAV', '/o/{id}')
  f('/d/2026-11-28', '/d/{id}')
  f('/u/bob@example.com', '/u/{id}')
  f('/api/v2/items', '/api/v2/items')
  f('/static/app.3f2a1b.js', '/static/{file}')
  f('/a/b/c/d/e/f/g/h/i/j/k/l', '/a/b/c/d/e/f/g/h/i/j/{rest}')
  f('http://host/x?y', '/x')
  f('*', '*')
  f('garbage', undefined)
  f('/wp-login.php', undefined, 404)
  f('/users/123/x', '/users/{id}/x', 404)
  t.equal(pathOf('/a#b?c'), '/a')
})

t.test('a thousand paths make no more routes than the limit, and the rest is counted', async t => {
  const routes = new Routes([], 10)
  const names = Array.from(
    { length: 1000 },
    (_, i) => `/${'abcdefghij'[i % 10]}${'klmnopqrst'[Math.floor(i / 10) % 10]}/${'uvwxyz'[i % 6]}`,
  )
  const found = new Set(names.map(each => routes.of(each, 200)))
  t.equal(found.size, 11, 'ten, and none')
  t.ok(routes.beyond > 0)
})

t.test('requests are counted in the families of spans, and seen by passive probes', async t => {
  const { write, path } = folder(t)
  const following = await follow(t, {
    sources: [{ name: 'a', start: 'beginning', paths: [path('a.log')], requests: 'nginx', keep_requests: true }],
  })
  const time = (): string => {
    const now = new Date()
    const month = now.toLocaleString('en', { month: 'short', timeZone: 'UTC' })
    return `${String(now.getUTCDate()).padStart(2, '0')}/${month}/${now.getUTCFullYear()}:${now.toISOString().slice(11, 19)} +0000`
  }
  const line = (status: number, seconds: string) =>
    `10.0.0.1 - - [${time()}] "GET /users/7 HTTP/1.1" ${status} 0 "-" "-" ${seconds}\n`
  write('a.log', line(200, '0.100') + line(200, '0.300') + line(500, '0.001'))
  await until(
    () => following.spans.length === 3,
    () => `${following.spans.length}`,
  )
  const labels = { service: 'shop', span_name: 'GET /users/{id}', span_kind: 'SPAN_KIND_SERVER' }
  t.equal(await following.value('traces_spanmetrics_calls_total', labels), 3)
  t.equal(await following.value('traces_spanmetrics_calls_total', { ...labels, status_code: 'STATUS_CODE_ERROR' }), 1)
  t.ok(Math.abs((await following.value('traces_spanmetrics_latency_sum', labels)) - 0.401) < 1e-9)
  t.match(following.seen.within(60_000), { answers: 3, failures: 1 })
  t.equal(following.records.length, 3, 'keep_requests keeps the lines as records, too')
})

t.test('requests without a duration are counted, with their errors, and nothing is measured', async t => {
  const { write, path } = folder(t)
  const following = await follow(t, {
    sources: [{ name: 'a', start: 'beginning', paths: [path('a.log')], requests: 'nginx' }],
  })
  const line = (target: string, status: number, rest = '') =>
    `10.0.0.1 - - [28/Nov/2026:22:01:02 +0000] "GET ${target} HTTP/1.1" ${status} 0 "-" "-"${rest}\n`
  write('a.log', line('/users/7', 200) + line('/users/7', 500) + line('/cart', 200, ' 0.250') + line('/cart', 200))
  await until(
    () => following.spans.length === 4,
    () => `${following.spans.length}`,
  )
  const labels = { service: 'shop', span_name: 'GET /users/{id}' }
  t.equal(await following.value('traces_spanmetrics_calls_total', labels), 2)
  t.equal(await following.value('traces_spanmetrics_calls_total', { ...labels, status_code: 'STATUS_CODE_ERROR' }), 1)
  t.equal(await following.value('traces_service_graph_request_total'), 4)
  t.same(await following.value('traces_spanmetrics_latency_count', labels), Number.NaN, 'no histogram of zeros')
  t.equal(await following.value('traces_spanmetrics_latency_count', { span_name: 'GET /cart' }), 1, 'the timed one')
  t.equal(await following.value('traces_service_graph_request_server_seconds_count'), 1)
  t.match(
    following.running.findings?.().map(({ text }) => text),
    [/counted without a latency; add \$request_time/],
  )
})
