import t from 'tap'
import type { SpansOptions } from '../../collectors/spans.ts'
import { Room } from './room.ts'
import { encoded, type Sent } from './views.ts'

/** Feeds spans to the collector and answers the lines that begin with `name`. */
async function lines(sent: readonly Sent[], name: string, options: Partial<SpansOptions> = {}, accept?: string) {
  const room = new Room(options)
  room.send(...sent)
  return await room.lines(name, accept)
}

const SHOP = { service: 'shop', name: 'GET /', kind: 2 }

t.test('a span counts once in calls, latency and size', async t => {
  const labels = 'service="shop",span_name="GET /",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_UNSET"'
  const sent = [
    { ...SHOP, seconds: 0.003 },
    { ...SHOP, seconds: 0.005 },
  ]
  t.ok((await lines(sent, 'traces_spanmetrics_calls_total')).includes(`traces_spanmetrics_calls_total{${labels}} 2`))
  t.ok(
    (await lines(sent, 'traces_spanmetrics_latency_bucket')).includes(
      `traces_spanmetrics_latency_bucket{${labels},le="0.004"} 1`,
    ),
  )
  t.same(await lines(sent, 'traces_spanmetrics_latency_sum'), [`traces_spanmetrics_latency_sum{${labels}} 0.008`])
  t.same(await lines(sent, 'traces_spanmetrics_size_total'), [
    `traces_spanmetrics_size_total{${labels}} ${sent.reduce((sum, span) => sum + encoded(span).length, 0)}`,
  ])
})

t.test('with the first span of an operation its errors are exposed as 0', async t => {
  t.same(await lines([SHOP], 'traces_spanmetrics_calls_total'), [
    'traces_spanmetrics_calls_total{service="shop",span_name="GET /",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_UNSET"} 1',
    'traces_spanmetrics_calls_total{service="shop",span_name="GET /",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_ERROR"} 0',
  ])
  t.equal((await lines([SHOP], 'traces_spanmetrics_latency_count')).length, 1, 'without a histogram of nothing')
})

t.test('kinds and statuses have the names that Grafana asks for', async t => {
  const sent = [1, 2, 3, 4, 5, 0].map(kind => ({ service: 's', name: 'n', kind, status: 2 }))
  const kinds = (await lines(sent, 'traces_spanmetrics_calls_total')).map(line => /SPAN_KIND_\w+/.exec(line)?.[0])
  t.same(
    kinds,
    ['INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER', 'UNSPECIFIED'].map(k => `SPAN_KIND_${k}`),
  )
})

t.test('a resource without service.name is unknown_service', async t => {
  const found = await lines([{ name: 'n', kind: 1, status: 2 }], 'traces_spanmetrics_calls_total')
  t.match(found[0], 'service="unknown_service"')
})

t.test('dimensions come from the span, else from the resource, else are left out', async t => {
  const sent: Sent[] = [
    {
      ...SHOP,
      status: 2,
      attributes: { 'http.route': '/a', 'http.response.status_code': 503 },
      resource: { zone: 'eu' },
    },
    { ...SHOP, status: 2, attributes: { zone: 'us' }, resource: { zone: 'eu' } },
  ]
  const found = await lines(sent, 'traces_spanmetrics_calls_total', {
    dimensions: ['http.route', 'http.response.status_code', 'zone'],
  })
  t.match(found[0], 'status_code="STATUS_CODE_ERROR",http_route="/a",http_response_status_code="503",zone="eu"} 1')
  t.match(found[1], 'status_code="STATUS_CODE_ERROR",zone="us"} 1')
})

t.test('a dimension whose label name is taken gets a prefix', async t => {
  const found = await lines([{ ...SHOP, status: 2, attributes: { 'span.name': 'x' } }], 'traces_spanmetrics_calls', {
    dimensions: ['span.name'],
  })
  t.match(found[0], 'span_name="GET /"')
  t.match(found[0], 'attribute_span_name="x"')
})

t.test('new names beyond the limit are counted in the overflow series and nothing is lost', async t => {
  const sent = Array.from({ length: 500 }, (_, i) => ({ service: `s${i % 7}`, name: `GET /${i}`, kind: 2 }))
  const found = await lines(sent, 'traces_spanmetrics_calls_total', { limit: 40 })
  t.equal(found.length, 41)
  t.match(found[0], '{metric_overflow="true"} 480')
  const total = found.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
  t.equal(total, 500)
})

t.test('spans of our own health probes are left out and counted, unless they are wanted', async t => {
  const probe = { ...SHOP, attributes: { 'user_agent.original': 'pillion-health/1.0' } }
  t.same(await lines([probe], 'traces_spanmetrics_calls_total'), [])
  t.same(await lines([probe], 'pillion_spans_excluded_total'), ['pillion_spans_excluded_total{reason="probe"} 1'])
  t.equal((await lines([probe], 'traces_spanmetrics_calls_total', { probes: 'include' })).length, 2)
})

t.test('the names of the OpenTelemetry connector can be chosen', async t => {
  const found = await lines([SHOP], 'traces_span_metrics', { naming: 'otel' })
  t.match(
    found[0],
    'traces_span_metrics_calls_total{service_name="shop",span_name="GET /",span_kind="SPAN_KIND_SERVER"',
  )
  t.ok(found.some(line => line.startsWith('traces_span_metrics_duration_seconds_bucket{service_name="shop"')))
})

t.test('the newest span of each bucket is its exemplar', async t => {
  const sent = [
    { ...SHOP, seconds: 0.0005, id: 1 },
    { ...SHOP, seconds: 0.0006, id: 2 },
    { ...SHOP, seconds: 100, id: 3 },
  ]
  const found = await lines(sent, 'traces_spanmetrics_latency_bucket', {}, 'application/openmetrics-text')
  t.match(found[0], `le="0.002"} 2 # {trace_id="${'02'.repeat(16)}",span_id="${'02'.repeat(8)}"} 0.0006 1750000000.000`)
  t.match(found.at(-1), `le="+Inf"} 3 # {trace_id="${'03'.repeat(16)}"`)
  t.equal(found.filter(line => line.includes('trace_id')).length, 2)
})

t.test('a resource of the next request is looked at again', async t => {
  const room = new Room()
  room.send({ ...SHOP, service: 'one' })
  room.send({ ...SHOP, service: 'two' })
  t.match((await room.lines('traces_spanmetrics_calls_total')).join(), 'service="two"')
})

t.test('events and links are counted by operation, and operations without them have no series', async t => {
  const sent = [
    { ...SHOP, events: 2, links: 1 },
    { ...SHOP, events: 1 },
    { ...SHOP, name: 'quiet' },
  ]
  const labels = 'service="shop",span_name="GET /",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_UNSET"'
  t.same(await lines(sent, 'traces_spanmetrics_events_total'), [`traces_spanmetrics_events_total{${labels}} 3`])
  t.same(await lines(sent, 'traces_spanmetrics_links_total'), [`traces_spanmetrics_links_total{${labels}} 1`])
  const otel = await lines(sent, 'traces_span_metrics_events_total', { naming: 'otel' })
  t.match(otel[0], /^traces_span_metrics_events_total\{service_name="shop",.*\} 3$/)
})

t.test('the buckets can be chosen, in any order', async t => {
  const found = await lines([{ ...SHOP, seconds: 0.06 }], 'traces_spanmetrics_latency_bucket', {
    buckets: [250, 50, 0.5, 250, 1000],
  })
  t.same(
    found.map(line => /le="(.*)"\} (\d)/.exec(line)?.slice(1).join(' ')),
    ['0.0005 0', '0.05 0', '0.25 1', '1 1', '+Inf 1'],
  )
})

t.test('the same values in other spellings are the same label set, and other values never are', async t => {
  const room = new Room({ dimensions: ['a', 'b'] })
  const sent = (name: string, attributes: Readonly<Record<string, string | number>>): Sent => ({
    ...{ ...SHOP, status: 2 },
    ...{ name, attributes },
  })
  for (let i = 0; i < 2; i++)
    room.send(
      ...[sent('n', { a: 200 }), sent('n', { a: '200' })],
      ...[
        sent('n', { a: 'x', b: 'yz' }),
        sent('n', { a: 'xy', b: 'z' }),
        sent('nx', { a: 'yz' }),
        sent('n', { b: 'x' }),
      ],
      ...[sent('y'.repeat(256), {}), sent('y'.repeat(300), {}), sent(`${'y'.repeat(256)}z`, {})],
      ...[sent('huge', { a: 'z'.repeat(5000) }), sent('huge', { a: 'z'.repeat(6000) }), sent('zero', { a: 'x\0' })],
      sent('zero', { a: 'x' }),
    )
  const counts = (await room.samples('traces_spanmetrics_calls_total')).map(line => Number(line.split(' ').at(-1)))
  t.same(counts.sort(), [2, 2, 2, 2, 2, 2, 4, 4, 6])
})

t.test('a service for which there is no room is not taken for another', async t => {
  const room = new Room({ limit: 1 })
  // The first of our own symbols, as the name of a service.
  room.send({ ...SHOP, service: 'SPAN_KIND_UNSPECIFIED', status: 2 })
  room.send({ ...SHOP, service: 'late', status: 2 }, { ...SHOP, service: 'SPAN_KIND_UNSPECIFIED', status: 2 })
  const found = await room.samples('traces_spanmetrics_calls_total')
  t.equal(found[0], '{metric_overflow="true"} 1')
  t.match(found[1], /service="SPAN_KIND_UNSPECIFIED",.* 2$/)
})
