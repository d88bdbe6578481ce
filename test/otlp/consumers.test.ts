// Several consumers of one signal: who is asked, who is given what, and what the sender is told.

import { once } from 'node:events'
import { connect } from 'node:http2'
import protobuf from 'protobufjs'
import t from 'tap'
import { metrics } from '../../processors/points.ts'
import type { RequestConsumer } from '../../telemetry/consumer.ts'
import type { Request, Signal } from '../../telemetry/request.ts'
import { encoded, from, gauge, OPTIONS as POINTS, point } from '../points/otlp.ts'
import { world } from '../world.ts'
import { eventually, OPTIONS, receiver } from './receiver.ts'
import { Recorder } from './recorder.ts'
import { attribute, ld, SID, span, TID, traces } from './requests.ts'

const GOOD = traces([attribute(1, 'service.name', 'shop')], span('a'), span('b'))
const METRICS = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'

const { root } = protobuf.parse(`syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message Duration { int64 seconds = 1; int32 nanos = 2; }
  message RetryInfo { Duration retry_delay = 1; }
  message Partial { int64 rejected = 1; string error_message = 2; }
  message Response { Partial partial_success = 1; }`)

const OFF = {
  http: { ...OPTIONS.http, listen: undefined },
  grpc: { ...OPTIONS.grpc, listen: undefined },
}

/** Keeps whole requests, as a queue does that forwards them. */
class Keeper implements RequestConsumer {
  readonly name: string
  readonly reasons = ['queue_full']
  readonly kept: Request[] = []
  readonly asked: Request[] = []
  /** Its answer when it is asked, in milliseconds. */
  wait = 0
  /** Whether it drops all that it is given. */
  full = false

  constructor(name = 'keeper') {
    this.name = name
  }

  admit(request: Request): number {
    this.asked.push({ ...request, bytes: Buffer.from(request.bytes) })
    return this.wait
  }

  take(request: Request) {
    if (this.full) return [{ reason: 'queue_full', items: request.items, text: 'items for which the queue is full' }]
    this.kept.push({ ...request, bytes: Buffer.from(request.bytes) })
    return undefined
  }
}

/** The real consumer of metrics, which keeps so many label sets. */
function points(name: string, limit: number): RequestConsumer {
  return { ...metrics.start({ ...POINTS, limit }, world('/proc')), name }
}

/** Four data points, each a label set of its own. */
const FOUR = encoded(
  from({ 'service.name': 'shop' }, gauge('load', ...['a', 'b', 'c', 'd'].map(at => point(1, { at })))),
)

t.test('span consumers and request consumers of traces are given the same request', async t => {
  const spans = new Recorder()
  const keeper = new Keeper()
  const { fetch, counted } = await receiver(t, { spans: [spans], traces: [keeper] })
  const before = Date.now()
  t.equal((await fetch('/v1/traces', { body: GOOD })).status, 200)
  t.equal(spans.spans.length, 2)
  t.match(keeper.kept, [{ signal: 'traces', items: 2, bytes: GOOD }])
  t.ok(keeper.kept[0]!.received >= before && keeper.kept[0]!.received <= Date.now())
  t.same(await counted('pillion_otlp_accepted_items_total'), { '{signal="traces"}': 2 })
})

t.test('traces are checked span by span also when only a request consumer takes them', async t => {
  const keeper = new Keeper()
  const { fetch, counted } = await receiver(t, { traces: [keeper] })
  const got = await fetch('/v1/traces', { body: traces([], span('a'), Buffer.concat([TID, ld(5, 'no id')])) })
  t.match(root.lookupType('Response').decode(got.body).toJSON(), { partialSuccess: { rejected: '1' } })
  t.match(keeper.kept, [{ items: 1, bytes: traces([], span('a')) }])
  t.match(keeper.asked, [{ items: 1 }])
  t.same(await counted('pillion_otlp_refused_items_total'), { '{signal="traces",reason="invalid_span_id"}': 1 })
  await fetch('/v1/traces', { body: traces([], ld(5, 'nothing')) })
  t.equal(keeper.asked.length, 1, 'a request without a good span is given to nobody')
})

t.test('a consumer that says "later" leaves the whole request untaken by all', async t => {
  for (const signal of ['traces', 'metrics', 'logs'] as const) {
    const [first, second, spans] = [new Keeper('first'), new Keeper('second'), new Recorder()]
    second.wait = 1500
    const { fetch, counted } = await receiver(t, { spans: [spans], [signal]: [first, second] })
    const body = { traces: GOOD, metrics: FOUR, logs: ld(1, ld(2, ld(2), ld(2))) }[signal]
    const items = signal === 'metrics' ? 4 : 2
    const later = await fetch(`/v1/${signal}`, { body })
    t.equal(later.status, 503)
    t.equal(later.headers.get('retry-after'), '2')
    t.match(root.lookupType('Status').decode(later.body).toJSON(), { code: 14, message: /try again/ })
    t.equal(first.kept.length + second.kept.length + spans.requests.length, 0)
    t.same(await counted('pillion_otlp_refused_items_total'), { [`{signal="${signal}",reason="try_later"}`]: items })
    t.same(await counted('pillion_otlp_received_items_total'), { [`{signal="${signal}"}`]: items })

    second.wait = 0
    t.equal((await fetch(`/v1/${signal}`, { body })).status, 200)
    t.equal(first.kept.length + second.kept.length, 2)
    t.same(await counted('pillion_otlp_accepted_items_total'), { [`{signal="${signal}"}`]: items })
  }
})

t.test('"later" is answered in JSON to JSON, and never more than 2 s', async t => {
  const keeper = new Keeper()
  keeper.wait = 60_000
  const { fetch } = await receiver(t, { logs: [keeper] })
  const later = await fetch('/v1/logs', { type: 'application/json', body: '{"resourceLogs":[]}' })
  t.equal(later.status, 200, 'a request without items is not worth a wait')
  const json = '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}'
  const told = await fetch('/v1/logs', { type: 'application/json', body: json })
  t.equal(told.status, 503)
  t.equal(told.headers.get('retry-after'), '2')
  t.match(JSON.parse(told.body.toString()), { code: 14 })
})

t.test('over gRPC "later" is UNAVAILABLE with RetryInfo', async t => {
  const keeper = new Keeper()
  const { grpcPort } = await receiver(t, { metrics: [keeper] })
  const client = connect(`http://127.0.0.1:${grpcPort}`)
  t.teardown(() => client.destroy())
  const ask = async (): Promise<Record<string, unknown>> => {
    const stream = client.request({ ':method': 'POST', ':path': METRICS, 'content-type': 'application/grpc' })
    const head = Buffer.alloc(5)
    head.writeUInt32BE(FOUR.length, 1)
    stream.end(Buffer.concat([head, FOUR]))
    const [headers] = await once(stream, 'response')
    stream.resume()
    return headers
  }
  const delay = async () => {
    const headers = await ask()
    t.equal(headers['grpc-status'], '14')
    const status = root.lookupType('Status').decode(Buffer.from(String(headers['grpc-status-details-bin']), 'base64'))
    const [any] = status.toJSON()['details']
    t.equal(any.typeUrl, 'type.googleapis.com/google.rpc.RetryInfo')
    return root.lookupType('RetryInfo').decode(Buffer.from(any.value, 'base64')).toJSON()['retryDelay']
  }
  keeper.wait = 250
  t.same(await delay(), { nanos: 250_000_000 })
  keeper.wait = 60_000
  t.same(await delay(), { seconds: '2' })
  t.equal(keeper.kept.length, 0)
})

t.test('a large request is asked for once, as a whole, before its first part is taken', async t => {
  const COUNT = 20_000
  const [keeper, spans] = [new Keeper(), new Recorder()]
  const { fetch, counted } = await receiver(t, { spans: [spans], traces: [keeper] })
  const pad = attribute(9, 'pad', 'x'.repeat(200))
  const body = traces(
    [attribute(1, 'service.name', 'shop')],
    ...Array.from({ length: COUNT }, (_, n) => span(`s-${n}`, pad)),
  )
  keeper.wait = 1000
  t.equal((await fetch('/v1/traces', { body })).status, 503)
  t.equal(keeper.asked.length, 1)
  t.equal(keeper.asked[0]?.items, COUNT)
  t.equal(spans.requests.length, 0)
  t.same(await counted('pillion_otlp_refused_items_total'), { '{signal="traces",reason="try_later"}': COUNT })

  keeper.wait = 0
  t.equal((await fetch('/v1/traces', { body })).status, 200)
  t.equal(keeper.asked.length, 2, 'parts are not asked for')
  t.ok(keeper.kept.length > 1)
  t.equal(new Set(keeper.kept.map(each => each.received)).size, 1, 'all parts came when the whole came')
  t.same(Buffer.concat(keeper.kept.map(each => each.bytes)), keeper.asked[1]?.bytes)
  t.equal(spans.spans.length, COUNT)
})

t.test('the sender is told of what no consumer has kept, and each consumer counts what it dropped', async t => {
  const f = async (
    consumers: readonly RequestConsumer[],
    rejected: number,
    dropped: Readonly<Record<string, number>>,
  ): Promise<void> => {
    const { fetch, counted } = await receiver(t, { metrics: consumers })
    const got = await fetch('/v1/metrics', { body: FOUR })
    t.equal(got.status, 200)
    const partial = root.lookupType('Response').decode(got.body).toJSON()['partialSuccess']
    t.equal(Number(partial?.rejected ?? 0), rejected)
    const sum = (all: Record<string, number>) => Object.values(all).reduce((one, other) => one + other, 0)
    const refused = sum(await counted('pillion_otlp_refused_items_total'))
    t.equal(refused, rejected)
    t.equal(sum(await counted('pillion_otlp_received_items_total')), 4)
    t.equal(sum(await counted('pillion_otlp_accepted_items_total')), 4 - refused)
    const labels = ([key, items]: [string, number]) => {
      const [consumer, reason] = key.split(' ')
      return [`{consumer="${consumer}",signal="metrics",reason="${reason}"}`, items]
    }
    t.same(await counted('pillion_otlp_dropped_items_total'), Object.fromEntries(Object.entries(dropped).map(labels)))
  }
  const full = (name: string) => Object.assign(new Keeper(name), { full: true })
  await f([points('one', 3)], 1, { 'one series_limit': 1 })
  await f([points('one', 3), new Keeper()], 0, { 'one series_limit': 1 })
  await f([new Keeper(), points('one', 3)], 0, { 'one series_limit': 1 })
  await f([points('one', 3), full('queue')], 1, { 'one series_limit': 1, 'queue queue_full': 4 })
  await f([full('a'), full('b')], 4, { 'a queue_full': 4, 'b queue_full': 4 })
  await f([full('a'), points('one', 2), full('b')], 2, { 'a queue_full': 4, 'one series_limit': 2, 'b queue_full': 4 })
  // Two that drop single items may mean different ones. Never is one counted as lost that the other has kept.
  await f([points('one', 3), points('two', 2)], 0, { 'one series_limit': 1, 'two series_limit': 2 })
  await f([points('one', 1), points('two', 2)], 1, { 'one series_limit': 3, 'two series_limit': 2 })
})

t.test('a consumer that fails costs the others nothing', async t => {
  const broken = (signal: Signal): RequestConsumer => ({
    name: `broken ${signal}`,
    reasons: [],
    take() {
      throw new Error('a fault')
    },
  })
  const [spans, keeper] = [new Recorder(), new Keeper()]
  let seen = 0
  const failing = {
    name: 'failing',
    span() {
      if (++seen === 2) throw new Error('a fault')
    },
  }
  const given = { keys: spans.keys, spans: [failing, spans], traces: [broken('traces'), keeper] }
  const { fetch, counted, logged } = await receiver(t, { ...given, logs: [broken('logs')] })
  const three = traces([], span('a'), span('b'), Buffer.concat([TID, SID, ld(5, 'c')]))
  t.equal((await fetch('/v1/traces', { body: three })).status, 200)
  t.equal(spans.spans.length, 3)
  t.equal(seen, 2, 'it is not shown the rest')
  t.equal(keeper.kept.length, 1)
  t.same(await counted('pillion_otlp_accepted_items_total'), { '{signal="traces"}': 3 })
  t.same(await counted('pillion_otlp_dropped_items_total'), {
    '{consumer="failing",signal="traces",reason="internal"}': 3,
    '{consumer="broken traces",signal="traces",reason="internal"}': 3,
  })
  t.equal(logged.filter(line => line.includes('cannot take an OTLP request')).length, 2)
  t.equal((await fetch('/v1/logs', { body: ld(1, ld(2, ld(2))) })).status, 500, 'nobody has kept it')
})

t.test('other parts give telemetry to the same intake, also when no listener is on', async t => {
  const keeper = new Keeper()
  const { running, counted } = await receiver(t, { traces: [keeper] }, OFF)
  t.same(running.address(), { http: undefined, grpc: undefined })
  t.same(running.intake.offer('traces', GOOD), { kind: 'taken', rejected: 0, text: '' })
  t.match(running.intake.offer('traces', Buffer.from([0xff])), { kind: 'refused', reason: 'undecodable' })
  keeper.wait = 100
  t.same(running.intake.offer('traces', GOOD), { kind: 'later', ms: 100 })
  t.same(await counted('pillion_otlp_accepted_items_total'), { '{signal="traces"}': 2 })
  t.same(await counted('pillion_otlp_refused_items_total'), { '{signal="traces",reason="try_later"}': 2 })
  keeper.wait = 0
  const large = traces([], ...Array.from({ length: 12_000 }, () => span('a')))
  t.match(await running.intake.offer('traces', large), { kind: 'taken', rejected: 0 })
  await eventually(async () => keeper.kept.reduce((sum, each) => sum + each.items, 0) === 12_002, 'all spans')
})
