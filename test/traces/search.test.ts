// Searches over HTTP: the requests of Grafana's search form, of its editor and of Traces Drilldown, and the form of the answer.

import t from 'tap'
import { EPOCH, from } from './room.ts'
import { type Served, serve } from './served.ts'

const ERROR = 2

/** A shop with three traces: a visit of a cart, a failed one that asks for a payment, and one whose root is missing. */
async function shop(t: Parameters<typeof serve>[0]): Promise<Served> {
  const room = await serve(t)
  room.send(
    from('shop', {
      trace: 'a1',
      span: '1',
      name: 'GET /cart',
      seconds: 0.25,
      attributes: { 'http.route': '/cart', 'http.response.status_code': 200 },
    }),
  )
  room.send(
    from('shop', {
      trace: 'b2',
      span: '1',
      name: 'GET /fail',
      start: EPOCH + 10,
      seconds: 1.5,
      status: ERROR,
      attributes: { 'http.route': '/fail', 'http.response.status_code': 500 },
    }),
    from('pay', { trace: 'b2', span: '2', parent: '1', name: 'charge', kind: 3, start: EPOCH + 11, status: ERROR }),
  )
  room.send(from('late', { trace: 'c3', span: '5', parent: '4', name: 'orphan', start: EPOCH + 20, seconds: 0.0005 }))
  return room
}

const query = (text: string, more = ''): string =>
  `/api/search?q=${encodeURIComponent(text)}&limit=20&spss=3&start=${EPOCH - 100}&end=${EPOCH + 100}${more}`

t.test('a search answers exactly as Tempo does, with names and ids of 32 digits', async t => {
  const { json } = await shop(t)
  const found = await json(query('{span.http.response.status_code>=500}'))
  const set = {
    spans: [
      {
        spanID: '0000000000000001',
        name: 'GET /fail',
        startTimeUnixNano: `${EPOCH + 10}000000000`,
        durationNanos: '1500000000',
        attributes: [{ key: 'http.response.status_code', value: { intValue: '500' } }],
      },
    ],
    matched: 1,
  }
  t.same(found.traces, [
    {
      traceID: '000000000000000000000000000000b2',
      rootServiceName: 'shop',
      rootTraceName: 'GET /fail',
      startTimeUnixNano: `${EPOCH + 10}000000000`,
      durationMs: 1500,
      spanSet: set,
      spanSets: [set],
      serviceStats: { shop: { spanCount: 1, errorCount: 1 }, pay: { spanCount: 1, errorCount: 1 } },
    },
  ])
  t.match(found.metrics, { inspectedBytes: /^\d+$/, completedJobs: 1, totalJobs: 1 })
})

t.test('the queries that Grafana makes find what they mean', async t => {
  const { json } = await shop(t)
  const f = async (text: string, ...expected: string[]) => {
    const { traces } = await json(query(text))
    t.same(
      traces.map(({ traceID }: { traceID: string }) => traceID.replace(/^0+/, '')),
      expected,
      text,
    )
  }
  await f('{}', 'c3', 'b2', 'a1')
  await f('{resource.service.name="shop" && name="GET /cart" && duration>100ms}', 'a1')
  await f('{(span.http.route="/cart" || span.http.route="/fail")}', 'b2', 'a1')
  await f('{span.http.route!="/cart" && span.http.route!="/other"}', 'b2')
  await f('{span.http.route=~"/cart|/other"}', 'a1')
  await f('{traceDuration>1s}', 'b2')
  await f('{status=error}', 'b2')
  await f('{span.http.response.status_code=200 && resource.service.name="shop"}', 'a1')
  await f('{status=error} with(most_recent=true)', 'b2')
  await f(
    '{nestedSetParent<0 && status = error} | select(resource.service.name, event.exception.message,event.exception.stacktrace,event.exception.type) with(most_recent=true)',
    'b2',
  )
  await f(
    '({nestedSetParent<0} &>> { status = error }) || ({nestedSetParent<0}) | select(status, resource.service.name, name, nestedSetParent, nestedSetLeft, nestedSetRight)',
    'b2',
    'a1',
  )
  await f(
    '{span.db.name="N" || span.db.system="N" || span.messaging.system="N" || span.net.peer.name="N" || span.peer.service="N"}',
  )
})

t.test(
  'a trace whose root has not come says so, and lasts less than a millisecond without saying how long',
  async t => {
    const { json } = await shop(t)
    const { traces } = await json(query('{name="orphan"}'))
    t.equal(traces[0].rootServiceName, '<root span not yet received>')
    t.notOk('rootTraceName' in traces[0])
    t.notOk('durationMs' in traces[0])
  },
)

t.test('groups and aggregates stand at their spansets', async t => {
  const { json } = await shop(t)
  const sets = (await json(query('{status=error} | by(resource.service.name) | count() > 0'))).traces[0].spanSets
  t.same(
    sets.map(({ attributes }: { attributes: object }) => attributes),
    [
      [
        { key: 'by(resource.service.name)', value: { stringValue: 'shop' } },
        { key: 'count()', value: { intValue: '1' } },
      ],
      [
        { key: 'by(resource.service.name)', value: { stringValue: 'pay' } },
        { key: 'count()', value: { intValue: '1' } },
      ],
    ],
  )
  const [average] = (await json(query('{name="GET /fail"} | avg(duration) > 1s'))).traces[0].spanSets
  t.same(average.attributes, [{ key: 'avg(duration)', value: { stringValue: '1.5s' } }])
})

t.test('the form from before TraceQL finds by tags and durations, and answers without spansets', async t => {
  const { json, get } = await shop(t)
  const f = async (form: string, ...expected: string[]) => {
    const { traces } = await json(`/api/search?${form}`)
    t.same(
      traces.map(({ traceID }: { traceID: string }) => traceID.replace(/^0+/, '')),
      expected,
      form,
    )
    for (const trace of traces) if (form.includes('tags')) t.notOk('spanSets' in trace)
  }
  await f('tags=http.route%3D%2Fcart', 'a1')
  await f('tags=http.route%3D%2Fcart%20service.name%3Dpay')
  await f('tags=http.response.status_code%3D500', 'b2')
  await f('tags=name%3D%22GET%20%2Fcart%22', 'a1')
  await f('tags=error%3Dtrue', 'b2')
  await f('tags=root.service.name%3Dshop', 'b2', 'a1')
  await f('tags=status%3Derror&minDuration=1s', 'b2')
  await f('minDuration=100ms&maxDuration=1s', 'a1')
  await f('limit=1', 'c3')
  await f('', 'c3', 'b2', 'a1')
  const refused = async (form: string, expected: RegExp) => {
    const { status, text } = await get(`/api/search?${form}`)
    t.equal(status, 400, form)
    t.match(text, expected)
  }
  await refused('tags=http.route', /^invalid tags: must be key=value pairs, not "http.route"/)
  await refused('minDuration=long', /^invalid minDuration: must be a duration such as 100ms, not "long"/)
  await refused('tags=a%3Db&q=%7B%7D', /^invalid request: send q, or tags/)
})

t.test('values of a tag are narrowed by a query, and a broken query is ignored', async t => {
  const { json } = await shop(t)
  const f = async (q: string, ...expected: string[]) => {
    const { tagValues } = await json(`/api/v2/search/tag/name/values?q=${encodeURIComponent(q)}`)
    t.same(
      tagValues.map(({ value }: { value: string }) => value),
      expected,
      q,
    )
  }
  await f('{ status = error }', 'GET /fail', 'charge')
  await f('{ resource.service.name="pay" }', 'charge')
  await f('{ status = ', 'GET /cart', 'GET /fail', 'charge', 'orphan')
  const { scopes } = await json(`/api/v2/search/tags?scope=span&q=${encodeURIComponent('{name="charge"}')}`)
  t.same(scopes, [])
})

t.test('a query that is out of bounds or not TraceQL is refused with 400 and the place', async t => {
  const { get } = await shop(t)
  const f = async (more: string, expected: RegExp) => {
    const { status, text, type } = await get(`/api/search?${more}`)
    t.equal(status, 400, more)
    t.equal(type, 'text/plain; charset=utf-8')
    t.match(text, expected)
  }
  await f('q=%7B%20span.a%20%3D%3D%205%20%7D', /^invalid TraceQL query: .*line 1, col \d+/)
  await f('q=%7B%7D&limit=0', /^invalid limit: must be a number from 1 to 1000, not "0"/)
  await f('q=%7B%7D&limit=262145', /^invalid limit/)
  await f('q=%7B%7D&spss=101', /^invalid spss: must be a number from 1 to 100, not "101"/)
  await f('q=%7B%7D&start=20&end=10', /^invalid start: must be before end/)
  await f(`q=${encodeURIComponent('{} | rate()')}`, /query of metrics/)
})

t.test('an answer is cut at limit and spss, and counts all that matched', async t => {
  const room = await serve(t)
  for (let i = 0; i < 30; i++)
    room.send(
      from(
        'shop',
        ...Array.from({ length: 10 }, (_, k) => ({ trace: `${i + 1}`, span: `${k + 1}`, start: EPOCH + i })),
      ),
    )
  const { traces } = await room.json('/api/search?q=%7B%7D')
  t.equal(traces.length, 20)
  t.equal(traces[0].startTimeUnixNano, `${EPOCH + 29}000000000`, 'the newest first')
  t.equal(traces[0].spanSet.spans.length, 3)
  t.equal(traces[0].spanSet.matched, 10)
  const narrow = await room.json('/api/search?q=%7B%7D&limit=1&spss=1')
  t.equal(narrow.traces.length, 1)
  t.equal(narrow.traces[0].spanSet.spans.length, 1)
})

t.test('an empty answer is an empty list', async t => {
  const { json } = await serve(t)
  t.same((await json(query('{}'))).traces, [])
})
