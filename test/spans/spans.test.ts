import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import type { SpansOptions } from '../../processors/spans.ts'
import { OWN_TRACESTATE, probeAgent } from '../../telemetry/probe.ts'
import { UNTIMED } from '../../telemetry/span.ts'
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

t.test('a span of which nobody knows how long it took is counted, and not in the latency', async t => {
  const unknown = { ...SHOP, seconds: 0, attributes: { [UNTIMED]: 'true' } }
  const labels = 'service="shop",span_name="GET /",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_UNSET"'
  const alone = new Room()
  alone.send(unknown, unknown)
  t.match(await alone.samples('traces_spanmetrics_calls_total'), [/ERROR/, `{${labels}} 2`])
  t.equal((await alone.samples('traces_spanmetrics_size_total')).length, 1)
  t.same(await alone.lines('traces_spanmetrics_latency_'), [], 'no histogram rather than one of zeros')
  t.same(await alone.samples('traces_service_graph_request_total'), [
    `{client="user",server="shop",connection_type="virtual_node"} 2`,
  ])
  t.same(await alone.lines('traces_service_graph_request_server_seconds_'), [])

  const mixed = new Room()
  mixed.send(unknown, { ...SHOP, seconds: 0 }, { ...SHOP, seconds: 0.25 }, unknown)
  t.equal(await mixed.total('traces_spanmetrics_calls_total'), 4)
  t.same(await mixed.samples('traces_spanmetrics_latency_count'), [`{${labels}} 2`], 'a span that did last 0 s is one')
  t.same(await mixed.samples('traces_spanmetrics_latency_sum'), [`{${labels}} 0.25`])
  t.equal(await mixed.total('traces_service_graph_request_server_seconds_count'), 2)
})

t.test('a span that says how long it took is measured, whatever its attributes say', async t => {
  const room = new Room()
  room.send({ ...SHOP, seconds: 0.25, attributes: { [UNTIMED]: 'true' } })
  t.equal(await room.total('traces_spanmetrics_latency_sum'), 0.25)
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

t.test('names beyond the limit are counted as "overflow" with service, kind and status', async t => {
  const room = new Room({ limit: 2 })
  room.send({ ...SHOP, name: 'first' })
  for (let i = 0; i < 10; i++) room.send({ ...SHOP, name: `GET /${i}`, seconds: 0.5, status: i < 3 ? 2 : 0 })
  room.send({ ...SHOP, name: 'call', kind: 3, status: 1 })
  const overflow = (kind: string, status: string) =>
    `{service="shop",span_name="overflow",span_kind="SPAN_KIND_${kind}",status_code="STATUS_CODE_${status}"}`
  t.same(await room.samples('traces_spanmetrics_calls_total'), [
    '{service="shop",span_name="first",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_ERROR"} 0',
    '{service="shop",span_name="first",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_UNSET"} 1',
    `${overflow('CLIENT', 'ERROR')} 0`,
    `${overflow('CLIENT', 'OK')} 1`,
    `${overflow('SERVER', 'ERROR')} 3`,
    `${overflow('SERVER', 'UNSET')} 7`,
  ])
  t.equal((await room.samples('traces_spanmetrics_latency_sum')).at(-1), `${overflow('SERVER', 'UNSET')} 3.5`)
  t.same(await room.samples('pillion_series_overflow_total'), [
    '{family="traces_service_graph_request"} 0',
    '{family="traces_spanmetrics"} 11',
  ])
})

t.test('dimensions of what overflows are left out', async t => {
  const room = new Room({ limit: 1, dimensions: ['zone'] })
  for (const zone of ['a', 'b', 'c']) room.send({ ...SHOP, status: 2, attributes: { zone } })
  t.same(await room.samples('traces_spanmetrics_calls_total'), [
    '{service="shop",span_name="GET /",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_ERROR",zone="a"} 1',
    '{service="shop",span_name="overflow",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_ERROR"} 2',
  ])
})

t.test('services beyond the spare room are counted in the bare overflow series and nothing is lost', async t => {
  // A span with an error takes one label set: 40 with their names, 36 as overflow, the rest without a name.
  const sent = Array.from({ length: 500 }, (_, i) => ({ service: `s${i}`, name: 'GET /', kind: 2, status: 2 }))
  const found = await lines(sent, 'traces_spanmetrics_calls_total', { limit: 40 })
  t.equal(found.length, 40 + 36 + 1)
  t.match(found[0], '{metric_overflow="true"} 424')
  t.equal(found.filter(line => line.includes('span_name="overflow"')).length, 36)
})

t.test('spans of our own health probes are left out and counted, unless they are wanted', async t => {
  const probe = { ...SHOP, attributes: { 'user_agent.original': probeAgent('1.0') } }
  t.same(await lines([probe], 'traces_spanmetrics_calls_total'), [])
  t.match((await lines([probe], 'pillion_spans_excluded_total{')).join(), '{reason="probe"} 1')
  t.equal((await lines([probe], 'traces_spanmetrics_calls_total', { probes: 'include' })).length, 2)
})

t.test('the sidecar’s own spans are left out and counted, with their resource, unless they are wanted', async t => {
  const own = { ...SHOP, traceState: OWN_TRACESTATE }
  const room = new Room()
  room.send(own, own, SHOP)
  t.equal(await room.total('traces_spanmetrics_calls_total'), 1)
  t.strictSame(await room.samples('pillion_spans_excluded_total'), [
    '{reason="kind"} 0',
    '{reason="own"} 2',
    '{reason="probe"} 0',
  ])
  t.equal((await lines([own], 'traces_target_info')).filter(line => !line.startsWith('#')).length, 0)
  t.ok((await lines([own], 'traces_spanmetrics_calls_total', { probes: 'include' })).length > 0)
})

t.test('spans of a kind that is not wanted get no series and are counted, and the service graph goes on', async t => {
  const kinds = ['server', 'consumer'] as const
  const sent = [
    { ...SHOP, span: 1, seconds: 0.1 },
    { ...SHOP, span: 2, parent: 1, name: 'render', kind: 1 },
    { ...SHOP, span: 3, parent: 2, name: 'SELECT', kind: 3, seconds: 0.003, attributes: { 'db.system': 'redis' } },
    { ...SHOP, span: 4, parent: 1, name: 'whatever', kind: 0 },
  ]
  const room = new Room({ kinds })
  room.send(...sent)
  const all = new Room()
  all.send(...sent)
  const names = async (of: Room) =>
    new Set((await of.lines('traces_spanmetrics')).map(l => /span_name="([^"]*)"/.exec(l)?.[1]))
  t.same(await names(room), new Set(['GET /']))
  t.same(await names(all), new Set(['GET /', 'render', 'SELECT', 'whatever']))
  t.same(await room.samples('pillion_spans_excluded_total'), [
    '{reason="kind"} 3',
    '{reason="own"} 0',
    '{reason="probe"} 0',
  ])
  t.equal((await room.lines('traces_target_info')).length, (await all.lines('traces_target_info')).length)
  for (const each of [room, all]) each.clock.skip(10_000)
  const edges = async (of: Room) => (await of.lines('traces_service_graph_request')).sort()
  const graph = await edges(room)
  t.ok(graph.some(line => line.includes('server="redis"') && line.includes('le="0.004"') && line.endsWith(' 1')))
  t.same(graph, await edges(all), 'it is the same graph, with the same durations')
  t.equal(await new Room({ kinds: [] }).total('traces_spanmetrics_calls_total'), 0)
})

t.test('a request cannot be hidden by what anyone may send', async t => {
  const agents = ['pillion-health/1.0', 'pillion-health/1.0 ()', 'pillion-health/1.0 (0123456789abcdef)', '(', '']
  const states = [
    'pillion=probe',
    'pillion=',
    'pillion=0123456789abcdef',
    'pillion=0123456789abcdef.own',
    'pillion=.own',
  ]
  const sent = [
    ...agents.map(agent => ({ ...SHOP, attributes: { 'user_agent.original': agent, 'http.user_agent': agent } })),
    ...states.map(traceState => ({ ...SHOP, traceState })),
    { ...SHOP, traceState: 'pillion=probe', attributes: { 'user_agent.original': 'pillion-health/1.0' } },
  ]
  const room = new Room()
  room.send(...sent)
  t.equal(await room.total('traces_spanmetrics_calls_total'), sent.length)
  t.equal(await room.total('pillion_spans_excluded_total'), 0)
})

t.test('the mark of probes is another one in each process', async t => {
  const program = `import { PROBE_TRACESTATE } from ${JSON.stringify(join(import.meta.dirname, '../../telemetry/probe.ts'))}
    console.log(PROBE_TRACESTATE)`
  const mark = () => execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' })
  const [one, other] = [mark(), mark()]
  for (const each of [one, other]) t.match(each, /^pillion=[0-9a-f]{16}\n$/)
  t.not(one, other)
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
  for (let i = 0; i < 36; i++) room.send({ ...SHOP, service: `s${i}`, status: 2 })
  room.send({ ...SHOP, service: 'late', status: 2 }, { ...SHOP, service: 'SPAN_KIND_UNSPECIFIED', status: 2 })
  const found = await room.samples('traces_spanmetrics_calls_total')
  t.equal(found[0], '{metric_overflow="true"} 1')
  t.match(found[1], /service="SPAN_KIND_UNSPECIFIED",.* 2$/)
  t.notMatch(found.join(), 'late')
})
