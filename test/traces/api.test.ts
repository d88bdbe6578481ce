// Tempo's HTTP API as Grafana uses it: the requests that its data source sends, word by word.

import t from 'tap'
import { EPOCH, from, hex } from './room.ts'
import { serve, TracesData } from './served.ts'

const SHOP = from('shop', {
  trace: 'a1',
  span: '1',
  name: 'GET /cart',
  attributes: { 'http.route': '/cart', 'http.response.status_code': 200, tags: ['x', 'y'] },
  events: [
    { name: 'exception', timeUnixNano: '5', attributes: [{ key: 'exception.type', value: { stringValue: 'E' } }] },
  ],
})
const PAY = from('pay', {
  trace: 'a1',
  span: '2',
  parent: '1',
  name: 'charge',
  kind: 3,
  start: EPOCH + 1,
  status: 2,
  message: 'no money',
})

t.test('"Save & test" is answered', async t => {
  const { get } = await serve(t)
  const { status, text, type } = await get('/api/echo')
  t.equal(status, 200)
  t.equal(text.trim(), 'echo')
  t.match(type, /^text\/plain/)
  t.match((await get('/api/status/buildinfo')).text, /"version":"2\.8\.0\+pillion/)
})

t.test(
  'a trace is answered as protobuf, wrapped in the second version, with every message that Grafana needs',
  async t => {
    const { get, send } = await serve(t)
    send(SHOP, PAY, {
      scopeSpans: [
        {
          spans: [
            { traceId: hex('a1', 16), spanId: hex('3', 8), name: 'bare', startTimeUnixNano: '9', endTimeUnixNano: '5' },
          ],
        },
      ],
    })
    const accept = { accept: 'application/protobuf' }
    const first = await get('/api/traces/000000000000000000000000000000a1', accept)
    t.equal(first.type, 'application/protobuf')
    // biome-ignore lint/suspicious/noExplicitAny: the decoded message
    const message = TracesData.toObject(TracesData.decode(first.body), { longs: String, bytes: String }) as any
    t.equal(message.resourceSpans.length, 3)
    for (const { resource, scopeSpans } of message.resourceSpans) {
      t.ok(resource.attributes.length > 0, 'a resource without attributes would be dropped')
      t.ok(scopeSpans[0].scope, 'a missing scope would be a panic')
      for (const span of scopeSpans[0].spans) t.ok(span.status, 'a missing status would be a panic')
    }
    const bare = message.resourceSpans[2]
    t.same(bare.resource.attributes, [{ key: 'service.name', value: { stringValue: 'unknown_service' } }])
    t.equal(bare.scopeSpans[0].spans[0].endTimeUnixNano, '9', 'a span that ends before it starts ends at its start')
    const second = await get('/api/v2/traces/a1?start=1&end=2', accept)
    const head = second.body.indexOf(first.body)
    t.equal(second.body[0], 0x0a, 'field 1 is the trace')
    t.equal(second.body.subarray(head + first.body.length).toString('hex'), '1200', 'then empty metrics')
  },
)

t.test(
  'a trace is answered as JSON as jsonpb writes it: ids in base64, enums as names, 64-bit numbers as strings',
  async t => {
    const { json, send } = await serve(t)
    send(SHOP, PAY)
    const { trace, metrics } = await json('/api/v2/traces/a1')
    t.same(metrics, {})
    const [shop, pay] = trace.resourceSpans
    t.same(shop.scopeSpans[0].spans[0], {
      traceId: 'AAAAAAAAAAAAAAAAAAAAoQ==',
      spanId: 'AAAAAAAAAAE=',
      name: 'GET /cart',
      kind: 'SPAN_KIND_SERVER',
      startTimeUnixNano: '1750000000000000000',
      endTimeUnixNano: '1750000000001000000',
      attributes: [
        { key: 'http.route', value: { stringValue: '/cart' } },
        { key: 'http.response.status_code', value: { intValue: '200' } },
        { key: 'tags', value: { arrayValue: { values: [{ stringValue: 'x' }, { stringValue: 'y' }] } } },
      ],
      events: [
        { timeUnixNano: '5', name: 'exception', attributes: [{ key: 'exception.type', value: { stringValue: 'E' } }] },
      ],
      status: {},
    })
    t.same(pay.scopeSpans[0].spans[0].status, { message: 'no money', code: 'STATUS_CODE_ERROR' })
    t.same((await json('/api/traces/00000000a1')).batches, trace.resourceSpans)
  },
)

t.test('a trace that is not here is 404 in both versions, and the text says how far back memory goes', async t => {
  const { get, send } = await serve(t)
  t.match(
    (await get('/api/v2/traces/a1')).text,
    /^trace a1 is not in the memory of this sidecar, which holds no spans yet/,
  )
  send(SHOP)
  for (const path of ['/api/v2/traces/B2', '/api/traces/b2']) {
    const { status, text, type } = await get(path)
    t.equal(status, 404)
    t.equal(type, 'text/plain; charset=utf-8')
    t.match(
      text,
      /^trace b2 is not in the memory .* which holds the 1 newest spans, since 20\d\d-\d\d-\d\dT.*Z \(0 s ago\); raise traces\.keep/,
    )
  }
  for (const id of ['xyz', '0'.repeat(33), 'a1%00', '-1']) t.equal((await get(`/api/v2/traces/${id}`)).status, 400, id)
})

t.test('tags are answered by scope, those that spans in memory have', async t => {
  const { json, get, send } = await serve(t)
  t.same(
    (await json('/api/v2/search/tags?limit=5000')).scopes.map(({ name }: { name: string }) => name),
    ['intrinsic'],
  )
  send(SHOP, PAY)
  const { scopes } = await json('/api/v2/search/tags?limit=5000')
  const [intrinsic, ...others] = scopes
  t.equal(intrinsic.tags.length, 25)
  t.same(others, [
    { name: 'span', tags: ['http.response.status_code', 'http.route', 'tags'] },
    { name: 'resource', tags: ['service.name'] },
    { name: 'event', tags: ['exception.type'] },
  ])
  t.same((await json('/api/v2/search/tags?scope=resource')).scopes, [{ name: 'resource', tags: ['service.name'] }])
  const all = ['exception.type', 'http.response.status_code', 'http.route', 'service.name', 'tags']
  t.same((await json('/api/search/tags')).tagNames, all)
  t.same((await json('/api/v2/search/tags?scope=none')).scopes, scopes)
  const { status, text } = await get('/api/v2/search/tags?scope=spam')
  t.equal(status, 400)
  t.match(text, /^invalid scope: must be one of none, intrinsic, span, .* not "spam"/)
})

t.test('values of a tag are answered with their types', async t => {
  const { json, get, send } = await serve(t)
  send(
    SHOP,
    PAY,
    from('shop', {
      trace: 'b2',
      span: '1',
      attributes: { 'http.response.status_code': '200', 'a/b': true, ratio: 0.5 },
    }),
  )
  const f = async (path: string, expected: object) =>
    t.same((await json(`/api/v2/search/tag/${path}`)).tagValues, expected, path)
  const text = (...values: string[]) => values.map(value => ({ type: 'string', value }))
  const service = 'resource.service.name'
  await f(`${service}/values?limit=5000&tag=${service}`, text('pay', 'shop'))
  await f('.service.name/values', text('pay', 'shop'))
  await f('span.http.response.status_code/values', [{ type: 'int', value: '200' }, ...text('200')])
  await f('span.tags/values', text('x', 'y'))
  await f('span.ratio/values', [{ type: 'float', value: '0.5' }])
  await f('span.a/b/values?limit=5000&tag=span.a%252Fb', [{ type: 'bool', value: 'true' }])
  await f('span.a%2Fb/values', [{ type: 'bool', value: 'true' }])
  await f('event.exception.type/values', text('E'))
  await f('name/values', text('GET /', 'GET /cart', 'charge'))
  await f('rootName/values', text('GET /', 'GET /cart'))
  await f('rootServiceName/values', text('shop'))
  await f('statusMessage/values', text('no money'))
  await f('event:name/values', text('exception'))
  await f('instrumentation:name/values', text('scope'))
  await f('duration/values', [])
  await f(
    'status/values',
    ['error', 'ok', 'unset'].map(value => ({ type: 'keyword', value })),
  )
  await f('span.undefined/values?limit=5000&tag=span.undefined', [])
  t.same((await json('/api/search/tag/service.name/values')).tagValues, ['pay', 'shop'])
  t.same((await json('/api/search/tag/name/values')).tagValues, ['GET /', 'GET /cart', 'charge'])
  t.same((await json(`/api/v2/search/tag/name/values?limit=1`)).tagValues.length, 1)
  const { status, text: refused } = await get('/api/v2/search/tag/undefined/values')
  t.equal(status, 400)
  t.match(refused, /^unknown tag "undefined"/)
})

t.test('tags and values can be limited to a time', async t => {
  const { json, send } = await serve(t)
  send(SHOP, from('later', { trace: 'b2', span: '1', start: EPOCH + 100, attributes: { later: 1 } }))
  const f = async (query: string, ...expected: string[]) =>
    t.same((await json(`/api/search/tag/service.name/values?${query}`)).tagValues, expected, query)
  await f(`start=${EPOCH + 50}&end=${EPOCH + 200}`, 'later')
  await f(`start=${EPOCH - 50}&end=${EPOCH + 50}`, 'shop')
  await f(`start=${EPOCH}000000000&end=${EPOCH + 100}000000000`, 'later', 'shop')
})

t.test('parameters that cannot be read are refused in words', async t => {
  const { get } = await serve(t)
  const f = async (query: string, expected: RegExp) => {
    const { status, text, type } = await get(`/api/v2/search/tags?${query}`)
    t.equal(status, 400, query)
    t.equal(type, 'text/plain; charset=utf-8')
    t.match(text, expected)
  }
  await f('start=tomorrow', /^invalid start: must be a Unix time in seconds or nanoseconds, not "tomorrow"/)
  await f('start=9&end=5', /^invalid start: must be before end/)
  await f('limit=-1', /^invalid limit: must be a number from 0 to 10000, not "-1"/)
  await f('limit=1e9', /^invalid limit/)
  t.equal((await get('/api/unknown')).status, 404)
  t.equal((await get('/api/search/tag//values')).status, 404)
})

t.test('a sidecar that keeps no traces says so', async t => {
  const { get } = await serve(t, { keep: 0 })
  t.match((await get('/api/traces/a1')).text, /keeps no traces/)
  t.equal((await get('/api/echo')).status, 200)
})

t.test('answers are never stored, and no page of another site may read them', async t => {
  const { get, send } = await serve(t)
  send(SHOP)
  for (const path of ['/api/traces/a1', '/api/v2/search/tags', '/api/traces/b2']) {
    const { headers } = await get(path, { origin: 'https://evil.example' })
    t.equal(headers.get('cache-control'), 'no-store')
    t.equal(headers.get('access-control-allow-origin'), null)
  }
})

t.test('queries are counted by kind and outcome', async t => {
  const { get, send, lines } = await serve(t)
  send(SHOP)
  for (const path of [
    '/api/traces/a1',
    '/api/traces/b2',
    '/api/traces/x',
    '/api/v2/search/tags',
    '/api/v2/search/tags?limit=x',
  ])
    await get(path)
  const counted = (await lines('pillion_traces_queries_total')).filter(line => !line.endsWith(' 0'))
  t.same(counted, [
    'pillion_traces_queries_total{kind="trace",outcome="ok"} 1',
    'pillion_traces_queries_total{kind="trace",outcome="not_found"} 1',
    'pillion_traces_queries_total{kind="trace",outcome="bad"} 1',
    'pillion_traces_queries_total{kind="tags",outcome="ok"} 1',
    'pillion_traces_queries_total{kind="tags",outcome="bad"} 1',
  ])
})

t.test('a search that leaves out a trace, since it is too large for the query, says so', async t => {
  const room = await serve(t, { keep: 32 * 2 ** 20, query: { timeout: 60_000 } })
  for (let r = 0; r < 100; r++)
    room.send(
      from(
        'shop',
        ...Array.from({ length: 200 }, (_, k) => ({
          trace: 'a1',
          span: (200 * r + k + 1).toString(16),
          parent: '1',
          attributes: { text: 'ab'.repeat(150) + k },
        })),
      ),
    )
  // Each span is looked at with all of these: seconds for 20,000 of them.
  const slow = Array.from({ length: 15 }, (_, i) => `span.text !~ "(.*a)+[ab]*${i}x"`).join(' && ')
  const answer = await room.get(`/api/search?q=${encodeURIComponent(`{ ${slow} }`)}`)
  t.equal(answer.status, 200)
  const { traces, metrics } = JSON.parse(answer.text)
  t.same(traces, [])
  t.match(metrics, { completedJobs: 1, totalJobs: 2 })
  t.match(answer.headers.get('pillion-partial'), /^trace 0{30}a1 has 20000 spans, too many for this query$/)
  const whole = await room.get(`/api/search?q=${encodeURIComponent('{ name = "other" }')}`)
  t.match(JSON.parse(whole.text).metrics, { completedJobs: 1, totalJobs: 1 })
  t.equal(whole.headers.get('pillion-partial'), null)
})
