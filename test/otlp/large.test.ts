// Requests too large to be taken in one turn of the event loop: read on a thread, as a whole, and taken in parts.

import { gzipSync } from 'node:zlib'
import t from 'tap'
import { OtlpIntake } from '../../collectors/otlp/intake.ts'
import { Ledger } from '../../collectors/otlp/ledger.ts'
import type { RequestConsumer } from '../../telemetry/consumer.ts'
import type { Request } from '../../telemetry/request.ts'
import { world } from '../world.ts'
import { eventually, OPTIONS, receiver, Wire } from './receiver.ts'
import { Recorder } from './recorder.ts'
import { attribute, hex, ld, many, SID, span, traces } from './requests.ts'

t.setTimeout(120_000)

const COUNT = 20_000
const PAD = attribute(9, 'pad', 'x'.repeat(200))

/** 5.3 MB of spans, whose names say which one each is. */
function large(service: string): Buffer {
  return traces([attribute(1, 'service.name', service)], ...names(service).map(name => span(name, PAD)))
}

function names(service: string): string[] {
  return Array.from({ length: COUNT }, (_, n) => `${service}-${n}`)
}

function post(port: number, body: Buffer, more = ''): Wire {
  const wire = new Wire(port)
  wire.send('POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\n')
  wire.send(`${more}Content-Length: ${body.length}\r\n\r\n`)
  wire.send(body)
  return wire
}

function answered(wire: Wire): Promise<void> {
  return wire.until(() => wire.text.includes('HTTP/1.1 '), 'an answer')
}

/** A recorder that tells when it is shown the first request. */
class Watched extends Recorder {
  onFirst: () => void = () => {}

  override begin(request: Request): void {
    super.begin(request)
    if (this.requests.length === 1) this.onFirst()
  }
}

t.test('while a large request is taken, another connection is answered', async t => {
  const spans = new Watched()
  const { port } = await receiver(t, { spans: [spans] })
  const other = new Wire(port)
  await other.until(() => !other.socket.connecting, 'a connection')
  const small = traces([], span('small'))
  spans.onFirst = () => {
    other.send(`POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\n`)
    other.send(Buffer.concat([Buffer.from(`Content-Length: ${small.length}\r\n\r\n`), small]))
  }
  const wire = post(port, large('a'))
  await answered(other)
  t.equal(wire.text, '', 'the large one has no answer yet')
  await answered(wire)
  t.match(wire.text, /^HTTP\/1.1 200 OK/)
  const seen = spans.spans.map(each => each.name)
  const at = seen.indexOf('small')
  t.ok(at > 0 && at < COUNT, 'it was taken between two parts')
  t.same(seen.toSpliced(at, 1), names('a'), 'all are taken once, in their order')
  wire.close()
  other.close()
})

t.test('each part is a request of its own, with its resource and its scope', async t => {
  const spans = new Recorder([], ['service.name', 'host.name'])
  const { fetch } = await receiver(t, { spans: [spans] })
  const resource = Buffer.concat([attribute(1, 'service.name', 'shop'), attribute(1, 'host.name', 'h')])
  const scope = ld(1, ld(1, 'library'))
  const some = (count: number) => Array.from({ length: count }, (_, n) => ld(2, span(`s-${n}`, PAD)))
  // Unknown fields, a group, an empty scope, and scopes before their resource.
  const odd = hex('7801 7b7c')
  const body = ld(
    1,
    odd,
    ld(2, odd, ...some(8000), scope),
    ld(2),
    ld(1, resource),
    ld(2, scope, ...some(100)),
    ld(3, 'schema'),
  )
  t.equal((await fetch('/v1/traces', { body })).status, 200)
  t.equal(spans.spans.length, 8100)
  t.same(
    new Set(spans.spans.map(each => JSON.stringify(each.resource))),
    new Set(['{"service.name":"shop","host.name":"h"}']),
  )
  t.ok(spans.requests.length > 10)
  for (const { bytes, items } of spans.requests) {
    t.ok(bytes.length < 70_000, `${bytes.length} bytes`)
    t.ok(Buffer.from(bytes).includes(scope), 'the scope stands in each part')
    t.ok(items > 0)
  }
  t.equal(
    spans.requests.reduce((sum, each) => sum + each.items, 0),
    8100,
  )
})

t.test('spans of a thousand resources are taken in one piece, and those of more in parts, each once', async t => {
  for (const [count, whole] of [
    [1000, true],
    [1001, false],
  ] as const) {
    const spans = new Recorder([], ['service.name'])
    const { fetch, counted } = await receiver(t, { spans: [spans] })
    const services = Array.from({ length: count }, (_, n) => `s-${n}`)
    const body = Buffer.concat(services.map(each => traces([attribute(1, 'service.name', each)], span('a'))))
    t.equal((await fetch('/v1/traces', { body })).status, 200)
    t.equal(spans.requests.length === 1, whole, `${spans.requests.length} requests`)
    t.same(
      spans.spans.map(each => each.resource['service.name']),
      services,
    )
    t.same(await counted('pillion_otlp_received_items_total'), { '{signal="traces"}': count })
  }
})

t.test('two large requests at the same time are taken one after the other', async t => {
  const spans = new Recorder()
  const { port, fetch } = await receiver(t, { spans: [spans] })
  const one = post(port, large('a'))
  const packed = fetch('/v1/traces', { body: gzipSync(large('b')), headers: { 'content-encoding': 'gzip' } })
  await answered(one)
  t.equal((await packed).status, 200)
  const seen = spans.spans.map(each => each.name)
  const [first, second] = seen[0] === 'a-0' ? ['a', 'b'] : ['b', 'a']
  t.same(seen, [...names(first!), ...names(second!)])
  t.same(
    spans.spans.filter(each => !each.name.startsWith(`${each.resource['service.name']}-`)),
    [],
  )
  one.close()
})

t.test('those that are joined where others are joined after them keep their own bytes', async t => {
  const spans = new Recorder()
  const { port } = await receiver(t, { spans: [spans] })
  const services = Array.from({ length: 8 }, (_, n) => `service-${n}`)
  // 530 kB to 960 kB: with others of a size that is taken at once among them.
  const bodies = services.map((service, n) => many(service, n % 4 === 3 ? 2000 : 10_000 + 1000 * n))
  const wires = bodies.map(body => post(port, body))
  for (const wire of wires) await wire.until(() => wire.text.includes('200 OK'), 'an answer')
  const counts = services.map(service => spans.spans.filter(each => each.name === service).length)
  t.same(counts, [10_000, 11_000, 12_000, 2000, 14_000, 15_000, 16_000, 2000])
  t.equal(spans.spans.filter(each => each.name !== each.resource['service.name']).length, 0)
  for (const wire of wires) wire.close()
})

t.test('the memory of what was read together with a body is not given to the thread', async t => {
  // 2,001 resources without anything, and behind them what another call has sent.
  const read = Buffer.from(new ArrayBuffer(7000))
  const body = read.subarray(0, 4002)
  body.fill('0a00', 'hex')
  read.fill('b', 4002)
  const spans = new Recorder()
  const { metrics, log, clock } = world('/proc')
  const consumers = { keys: spans.keys, spans: [spans] }
  const ledger = new Ledger(metrics, consumers, {})
  const intake = new OtlpIntake(OPTIONS, consumers, ledger, log, clock)
  t.same(await intake.take('traces', 'protobuf', body, () => true), { kind: 'taken', rejected: 0, text: '' })
  t.equal(read.length, 7000)
  t.equal(read.toString('latin1', 4002), 'b'.repeat(2998))
  await intake[Symbol.asyncDispose]()
})

t.test('the ledger never says more than was shown, and in the end all', async t => {
  const spans = new Recorder()
  const { port, value } = await receiver(t, { spans: [spans] })
  const bad = Array.from({ length: 3000 }, () => ld(2, SID, PAD))
  const wire = post(port, Buffer.concat([large('a'), ld(1, ld(2, ...bad))]))
  const received = async () => (await value('pillion_otlp_received_items_total{signal="traces"}')) ?? 0
  const accepted = async () => (await value('pillion_otlp_accepted_items_total{signal="traces"}')) ?? 0
  let between = 0
  while (!wire.text.includes('HTTP/1.1 ')) {
    const before = spans.spans.length
    const counted = await accepted()
    t.ok(counted >= before && counted <= spans.spans.length, `${before} ≤ ${counted} ≤ ${spans.spans.length}`)
    if (counted > 0 && counted < COUNT) between++
    await new Promise(resolve => setImmediate(resolve))
  }
  t.ok(between > 0, 'it was asked meanwhile')
  t.equal(await received(), COUNT + 3000)
  t.equal(await accepted(), COUNT)
  t.equal(await value('pillion_otlp_refused_items_total{signal="traces",reason="invalid_trace_id"}'), 3000)
  t.match(wire.text, /refused 3000 spans with a trace id/)
  t.equal(await value('pillion_otlp_inflight_bytes'), 0)
  wire.close()
})

t.test('a large request that is bad in its last byte is refused whole', async t => {
  const spans = new Recorder()
  const { fetch, counted } = await receiver(t, { spans: [spans] })
  const body = Buffer.concat([large('a'), hex('0a')])
  const got = await fetch('/v1/traces', { body })
  t.equal(got.status, 400)
  t.match(got.body.toString('latin1'), `a field without its length at byte ${body.length - 1}, in resource_spans`)
  const json = `{"resourceSpans":[{"scopeSpans":[{"spans":[${'{},'.repeat(200_000)}{}]}]}]]`
  const other = await fetch('/v1/traces', { type: 'application/json', body: json })
  t.equal(other.status, 400)
  t.match(other.body.toString(), `at byte ${json.length - 1}`)
  t.equal(spans.requests.length, 0)
  t.same(await counted('pillion_otlp_received_items_total'), {})
})

t.test('large JSON is taken in parts as well', async t => {
  const spans = new Recorder()
  const { fetch } = await receiver(t, { spans: [spans] })
  const ids = { traceId: 'ab'.repeat(16), spanId: 'cd'.repeat(8) }
  const body = JSON.stringify({
    resourceSpans: [{ scopeSpans: [{ spans: names('a').map(name => ({ ...ids, name })) }] }],
  })
  t.equal((await fetch('/v1/traces', { type: 'application/json', body })).status, 200)
  t.same(
    spans.spans.map(each => each.name),
    names('a'),
  )
  t.ok(spans.requests.length > 1)
})

t.test('items that consumers refuse in several parts are reported as one sum', async t => {
  const seen: Request[] = []
  const metrics: RequestConsumer = {
    name: 'metrics',
    reasons: ['odd'],
    take(request) {
      seen.push({ ...request, bytes: Buffer.from(request.bytes) })
      return [{ reason: 'odd', items: 1, text: 'points that are odd' }]
    },
  }
  const { fetch, counted } = await receiver(t, { spans: [], metrics: [metrics] })
  const points = Array.from({ length: 20_000 }, (_, n) => ld(1, attribute(7, 'a', `${n}`), hex('21 0000000000000000')))
  const sum = ld(7, ...points, hex('10 02 18 01'))
  const body = ld(1, ld(1, attribute(1, 'service.name', 'shop')), ld(2, ld(2, ld(1, 'a'), sum, ld(3, 'By'))))
  const got = await fetch('/v1/metrics', { body })
  t.ok(seen.length > 1)
  t.match(got.body.toString('latin1'), `refused ${seen.length} points that are odd`)
  t.same(await counted('pillion_otlp_refused_items_total'), { '{signal="metrics",reason="odd"}': seen.length })
  t.equal(
    seen.reduce((all, each) => all + each.items, 0),
    20_000,
  )
  for (const { bytes } of seen)
    t.ok(Buffer.from(bytes).includes(hex('10 02 18 01')), 'the temporality stands in each part')
})

t.test('a consumer that throws costs the rest of a large request, and nothing else', async t => {
  const spans = new Watched()
  const { fetch, counted } = await receiver(t, { spans: [spans] })
  spans.onFirst = () => {
    spans.span = () => {
      throw new Error('a fault')
    }
  }
  const got = await fetch('/v1/traces', { body: large('a') })
  t.equal(got.status, 500)
  t.equal(spans.requests.length, 1, 'the parts after it are shown to nobody')
  t.same(await counted('pillion_otlp_refused_items_total'), { '{signal="traces",reason="internal"}': COUNT })
  t.same(await counted('pillion_otlp_received_items_total'), { '{signal="traces"}': COUNT })
})

t.test('an item or a resource with more fields than any has is refused, and counted', async t => {
  const spans = new Recorder()
  const { fetch, counted } = await receiver(t, { spans: [spans] })
  const tiny = Buffer.alloc(4 * 500_000, hex('4a02 1200'))
  const body = traces([], span('a'), Buffer.concat([span('b'), tiny]))
  const got = await fetch('/v1/traces', { body })
  t.equal(got.status, 413)
  t.match(got.body.toString('latin1'), /more than 500000 fields/)
  t.same(await counted('pillion_otlp_refused_items_total'), { '{signal="traces",reason="too_many_fields"}': 2 })
  const long = traces([], Buffer.concat([span('a'), attribute(9, 'prompt', 'x'.repeat(8_000_000))]))
  t.equal((await fetch('/v1/traces', { body: long })).status, 200, 'one that is only long is taken')
  t.same(
    spans.spans.map(each => each.name),
    ['a'],
  )
})

for (const coding of ['identity', 'gzip', 'x-gzip'])
  t.test(`a large request whose client has gone before its turn is not taken (${coding})`, async t => {
    const spans = new Watched()
    const { port, counted } = await receiver(t, { spans: [spans] })
    const first = post(port, large('a'))
    const body = large('b')
    const second = post(port, coding === 'identity' ? body : gzipSync(body), `Content-Encoding: ${coding}\r\n`)
    spans.onFirst = () => second.close()
    await answered(first)
    const codes = () => counted('pillion_otlp_requests_total')
    await eventually(async () => Object.values(await codes()).reduce((a, b) => a + b, 0) === 2, 'both to be over')
    const taken = new Set(spans.spans.map(each => each.resource['service.name']))
    // Whichever came first was being taken when the second one went away.
    if (taken.has('b')) t.equal(spans.spans[0]?.name, 'b-0')
    else
      t.same(await codes(), {
        '{signal="traces",transport="http",code="200"}': 1,
        '{signal="traces",transport="http",code="499"}': 1,
      })
    t.same(await counted('pillion_otlp_accepted_items_total'), { '{signal="traces"}': spans.spans.length })
    first.close()
  })

t.test('a receiver that is closed takes to the end what it has begun, and answers it', async t => {
  const spans = new Watched()
  const { port, running } = await receiver(t, { spans: [spans] })
  let closed: PromiseLike<void> | undefined
  spans.onFirst = () => {
    closed = running[Symbol.asyncDispose]()
  }
  const wire = post(port, large('a'))
  await answered(wire)
  t.match(wire.text, /^HTTP\/1.1 200 OK/)
  t.equal(spans.spans.length, COUNT)
  await closed
})
