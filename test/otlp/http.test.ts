import { createServer } from 'node:net'
import { gzipSync } from 'node:zlib'
import protobuf from 'protobufjs'
import t from 'tap'
import { type Got, OPTIONS, receiver, Wire } from './receiver.ts'
import { Recorder } from './recorder.ts'
import { attribute, ld, many, SID, span, TID, traces } from './requests.ts'

const GOOD = traces([attribute(1, 'service.name', 'shop')], span('a'), span('b'))
const EMPTY = Buffer.alloc(0)

// The few messages that a client decodes, described apart from the product's own schema.
const { root } = protobuf.parse(`syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message Partial { int64 rejected = 1; string error_message = 2; }
  message Response { Partial partial_success = 1; }`)
const asStatus = ({ body }: Got) => root.lookupType('Status').decode(body).toJSON()
const asResponse = ({ body }: Got) => root.lookupType('Response').decode(body).toJSON()
const asJson = ({ body }: Got) => JSON.parse(body.toString())

t.test('a request in protobuf is taken, visited once, and answered with nothing', async t => {
  const spans = new Recorder()
  const { fetch, counted } = await receiver(t, { spans: [spans] })
  const got = await fetch('/v1/traces', { body: GOOD })
  t.equal(got.status, 200)
  t.equal(got.headers.get('content-type'), 'application/x-protobuf')
  t.equal(got.body.length, 0, 'partial_success must be unset, and an empty message has no bytes')
  t.same(
    spans.spans.map(each => each.name),
    ['a', 'b'],
  )
  t.match(spans.requests, [{ signal: 'traces', items: 2 }])
  t.same(spans.requests[0]?.bytes, GOOD, 'the bytes are those that came')
  t.same(await counted('pillion_otlp_received_items_total'), { '{signal="traces"}': 2 })
  t.same(await counted('pillion_otlp_accepted_items_total'), { '{signal="traces"}': 2 })
  t.same(await counted('pillion_otlp_refused_items_total'), {})
  t.same(await counted('pillion_otlp_requests_total'), { '{signal="traces",transport="http",code="200"}': 1 })
})

t.test('a request that is refused by its head and cannot be read further is answered once', async t => {
  const { port, counted } = await receiver(t, { spans: [new Recorder()] })
  const wire = new Wire(port)
  // The parser has no end for such a body, and reports that behind the head.
  wire.send('POST /v1/traces HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n')
  await wire.untilClosed()
  t.same(wire.text.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 501'])
  t.same(await counted('pillion_otlp_requests_total'), { '{signal="none",transport="http",code="501"}': 1 })
})

t.test('a request may be given less time than a head', async t => {
  const http = { ...OPTIONS.http, header_timeout: 10_000, request_timeout: 3000 }
  const { fetch } = await receiver(t, { spans: [new Recorder()] }, { http })
  t.equal((await fetch('/v1/traces', { body: GOOD })).status, 200)
})

t.test('an empty request is taken', async t => {
  const { fetch } = await receiver(t, { spans: [new Recorder()] })
  t.match(await fetch('/v1/traces', { body: EMPTY }), { status: 200, body: EMPTY })
  t.match(await fetch('/v1/traces', {}), { status: 200, body: EMPTY })
})

t.test('a request in JSON is answered in JSON', async t => {
  const spans = new Recorder()
  const { fetch } = await receiver(t, { spans: [spans] })
  const ids = { traceId: 'AB'.repeat(16), spanId: 'cd'.repeat(8) }
  const body = JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [{ ...ids, name: 'ä' }] }] }] })
  const got = await fetch('/v1/traces', { type: 'application/json; charset=utf-8', body })
  t.equal(got.body.toString(), '{}')
  t.equal(got.headers.get('content-type'), 'application/json')
  t.match(spans.spans, [{ name: 'ä', traceId: 'ab'.repeat(16) }])
  t.match(spans.requests, [{ items: 1 }])
})

t.test(
  'gzip and identity are accepted in any case of letters; other encodings than gzip and zstd are refused',
  async t => {
    const spans = new Recorder()
    const { fetch } = await receiver(t, { spans: [spans] })
    const status = async (encoding: string, body: Buffer) =>
      (await fetch('/v1/traces', { headers: { 'content-encoding': encoding }, body })).status
    t.equal(await status('gzip', gzipSync(GOOD)), 200)
    t.equal(await status('GZIP', gzipSync(GOOD)), 200)
    t.equal(await status('x-gzip', gzipSync(GOOD)), 200)
    t.equal(await status('identity', GOOD), 200)
    t.equal(await status('', GOOD), 200)
    t.equal(spans.spans.length, 10)
    for (const other of ['br', 'deflate', 'snappy', 'gzip, gzip', 'none']) t.equal(await status(other, GOOD), 415)
    const got = await fetch('/v1/traces', { headers: { 'content-encoding': 'br' }, body: GOOD })
    t.equal(got.headers.get('accept-encoding'), 'gzip, zstd')
    t.match(asStatus(got), { code: 3, message: /gzip/ })
  },
)

t.test('a request that cannot be taken is answered with a Status in its own encoding', async t => {
  const { fetch, counted } = await receiver(t, { spans: [new Recorder()] })
  const type = 'application/json'
  const nowhere = await fetch('/v1/profiles', { body: GOOD })
  t.equal(nowhere.status, 404)
  t.equal(nowhere.headers.get('content-type'), 'application/x-protobuf')
  t.match(asStatus(nowhere), { code: 5, message: /\/v1\/traces/ })
  t.match(asJson(await fetch('/v1/profiles', { type, body: '{}' })), { code: 5 })

  const got = await fetch('/v1/traces', { method: 'GET', type: '' })
  t.equal(got.status, 405)
  t.equal(got.headers.get('allow'), 'POST')
  t.match(asJson(got), { code: 12, message: /use POST/ })
  t.equal((await fetch('/v1/traces', { method: 'PUT', body: GOOD })).status, 405)

  const broken = await fetch('/v1/traces', { body: Buffer.from('0a021b000a00', 'hex') })
  t.equal(broken.status, 400)
  t.match(asStatus(broken), { code: 3, message: /at byte 3/ })
  const wrong = await fetch('/v1/traces', { type, body: '{"resourceSpans":[{"scopeSpans":7}]}' })
  t.equal(wrong.status, 400)
  t.match(asJson(wrong), { code: 3, message: /at byte 32, in resource_spans\.scope_spans/ })
  t.same(await counted('pillion_otlp_received_items_total'), {}, 'items that cannot be decoded cannot be counted')
  t.same(await counted('pillion_otlp_requests_total'), {
    '{signal="none",transport="http",code="404"}': 2,
    '{signal="traces",transport="http",code="400"}': 2,
    '{signal="traces",transport="http",code="405"}': 2,
  })
})

t.test('web pages cannot write: other content types, foreign origins and preflights are refused', async t => {
  const spans = new Recorder()
  const { port } = await receiver(t, { spans: [spans] })
  // fetch() would not send these headers as they are, so they are written by hand.
  const status = async (method: string, headers: string) => {
    const wire = new Wire(port)
    wire.send(`${method} /v1/traces HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n${headers}\r\n{}`)
    await wire.untilClosed()
    t.notMatch(wire.text, /access-control/i)
    return wire.text.slice(9, 12)
  }
  t.equal(await status('POST', 'Content-Type: text/plain\r\n'), '415')
  t.equal(await status('POST', 'Content-Type: multipart/form-data; boundary=x\r\n'), '415')
  t.equal(await status('POST', 'Content-Type: application/x-www-form-urlencoded\r\n'), '415')
  t.equal(await status('POST', 'Content-Type: application/jsonp\r\n'), '415')
  t.equal(await status('POST', ''), '415')
  t.equal(await status('POST', 'Content-Type: application/json\r\nOrigin: https://evil.example\r\n'), '403')
  t.equal(await status('POST', 'Content-Type: application/json\r\nOrigin: null\r\n'), '403')
  t.equal(await status('OPTIONS', 'Origin: https://evil.example\r\n'), '403')
  t.equal(await status('OPTIONS', ''), '405')
  t.equal(await status('POST', 'Content-Type: application/json\r\n'), '200')
  t.equal(spans.spans.length, 0)
})

t.test('bad spans are refused by number and reason; the good ones of the same request are taken', async t => {
  const spans = new Recorder()
  const { fetch, counted } = await receiver(t, { spans: [spans] })
  const bad = [SID, Buffer.concat([TID, ld(2, Buffer.alloc(8))]), Buffer.concat([ld(1, Buffer.alloc(16)), SID])]
  const got = await fetch('/v1/traces', { body: traces([], span('good'), ...bad) })
  t.equal(got.status, 200)
  t.match(asResponse(got), {
    partialSuccess: { rejected: '3', errorMessage: /2 spans with a trace id .* 1 spans with a span id .* byte \d+/ },
  })
  t.same(
    spans.spans.map(each => each.name),
    ['good'],
  )
  t.same(spans.requests[0]?.bytes, traces([], span('good')))
  t.equal(spans.requests[0]?.items, 1)
  t.same(await counted('pillion_otlp_received_items_total'), { '{signal="traces"}': 4 })
  t.same(await counted('pillion_otlp_accepted_items_total'), { '{signal="traces"}': 1 })
  t.same(await counted('pillion_otlp_refused_items_total'), {
    '{signal="traces",reason="invalid_trace_id"}': 2,
    '{signal="traces",reason="invalid_span_id"}': 1,
  })
  const body = JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [{ traceId: 'ab'.repeat(15) }] }] }] })
  const json = await fetch('/v1/traces', { type: 'application/json', body })
  t.match(asJson(json), { partialSuccess: { rejectedSpans: '1', errorMessage: /trace id/ } })
  t.equal(spans.requests.length, 1, 'a request of bad spans only is given to nobody')
})

t.test('spans that end before they start are taken, and counted', async t => {
  const { fetch, counted } = await receiver(t, { spans: [new Recorder()] })
  const odd = (start: string, end: string) => Buffer.concat([TID, SID, Buffer.from(`39${start}41${end}`, 'hex')])
  const [early, late] = ['0100000000000000', '0200000000000000']
  await fetch('/v1/traces', { body: traces([], odd(late, early), odd(early, late), Buffer.concat([TID, SID])) })
  t.same(await counted('pillion_otlp_adjusted_spans_total'), {
    '{reason="ends_before_start"}': 1,
    '{reason="time_missing"}': 1,
  })
})

t.test('a signal that nothing uses is answered with success and all items rejected', async t => {
  const { fetch, counted } = await receiver(t, { spans: [] })
  const points = ld(1, ld(2, ld(2, ld(5, ld(1), ld(1)))))
  const metrics = await fetch('/v1/metrics', { body: points })
  t.equal(metrics.status, 200)
  t.match(asResponse(metrics), { partialSuccess: { rejected: '2', errorMessage: /metrics are switched off/ } })
  const type = 'application/json'
  const logs = await fetch('/v1/logs', { type, body: '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}' })
  t.match(asJson(logs), { partialSuccess: { rejectedLogRecords: '1' } })
  t.match(asResponse(await fetch('/v1/traces', { body: GOOD })), { partialSuccess: { rejected: '2' } })
  t.same((await fetch('/v1/metrics', { body: EMPTY })).body, EMPTY, 'nothing was lost, so nothing is said')
  t.same(await counted('pillion_otlp_refused_items_total'), {
    '{signal="metrics",reason="not_configured"}': 2,
    '{signal="logs",reason="not_configured"}': 1,
    '{signal="traces",reason="not_configured"}': 2,
  })
})

t.test(
  'consumers of metrics and logs are given the checked request, and what they refuse is told and counted',
  async t => {
    const seen: number[] = []
    const metrics = {
      name: 'metrics',
      reasons: ['type_conflict'],
      take({ items }: { items: number }) {
        seen.push(items)
        return [{ reason: 'type_conflict', items: 1, text: 'x is a gauge already' }]
      },
    }
    const { fetch, counted } = await receiver(t, { spans: [], metrics: [metrics] })
    const got = await fetch('/v1/metrics', { body: ld(1, ld(2, ld(2, ld(5, ld(1), ld(1))))) })
    t.match(asResponse(got), { partialSuccess: { rejected: '1', errorMessage: 'x is a gauge already' } })
    t.same(seen, [2])
    t.same(await counted('pillion_otlp_accepted_items_total'), { '{signal="metrics"}': 1 })
    t.same(await counted('pillion_otlp_refused_items_total'), { '{signal="metrics",reason="type_conflict"}': 1 })
  },
)

t.test('a consumer that throws costs its request, and nothing else', async t => {
  const broken = { name: 'broken', span: () => JSON.parse('x') }
  const { fetch, counted, logged } = await receiver(t, { spans: [broken] })
  const got = await fetch('/v1/traces', { body: GOOD })
  t.equal(got.status, 500)
  t.match(asStatus(got), { code: 13 })
  t.match(logged, [/^error cannot take an OTLP request/])
  t.same(await counted('pillion_otlp_refused_items_total'), { '{signal="traces",reason="internal"}': 2 })
})

t.test('a body in pieces is put together', async t => {
  const spans = new Recorder()
  const { port } = await receiver(t, { spans: [spans] })
  const wire = new Wire(port)
  wire.send(
    'POST /v1/traces?x=1 HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\nTransfer-Encoding: chunked\r\n\r\n',
  )
  for (const byte of GOOD) wire.send(Buffer.concat([Buffer.from('1\r\n'), Buffer.from([byte]), Buffer.from('\r\n')]))
  wire.send('0\r\n\r\n')
  await wire.until(() => wire.text.includes('200 OK'), 'an answer')
  t.equal(spans.spans.length, 2)
  t.same(spans.requests[0]?.bytes, GOOD)
  wire.close()
})

t.test('large bodies that arrive at the same time are not mixed up', async t => {
  const spans = new Recorder()
  const { port } = await receiver(t, { spans: [spans] })
  const bodies = [many('a', 3000), many('b', 4000), many('c', 9000), many('d', 3000)]
  const wires = bodies.map(() => new Wire(port))
  for (const [i, body] of bodies.entries()) {
    const head = `POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\nContent-Length: ${body.length}`
    wires[i]?.send(`${head}\r\n\r\n`)
    wires[i]?.send(body.subarray(0, 150_000))
  }
  for (const [i, body] of bodies.entries()) wires[i]?.send(body.subarray(150_000))
  for (const wire of wires) await wire.until(() => wire.text.includes('200 OK'), 'an answer')
  t.same(
    new Set(spans.requests.map(({ bytes }) => bodies.findIndex(body => body.equals(bytes)))),
    new Set([0, 1, 2, 3]),
    'each as it was sent',
  )
  for (const wire of wires) wire.close()
})

t.test('a client that asks first is told to go on, or why not', async t => {
  const spans = new Recorder()
  const { port } = await receiver(t, { spans: [spans] })
  const head = `Host: a\r\nContent-Type: application/x-protobuf\r\nContent-Length: ${GOOD.length}\r\n`
  const good = new Wire(port)
  good.send(`POST /v1/traces HTTP/1.1\r\n${head}Expect: 100-continue\r\n\r\n`)
  await good.until(() => good.text.includes('100 Continue'), '100 Continue')
  good.send(GOOD)
  await good.until(() => good.text.includes('200 OK'), 'an answer')
  t.equal(spans.spans.length, 2)
  good.close()
  const bad = new Wire(port)
  bad.send(`POST /v1/nothing HTTP/1.1\r\n${head}Expect: 100-continue\r\n\r\n`)
  await bad.untilClosed()
  t.match(bad.text, /^HTTP\/1.1 404 /)
  t.notMatch(bad.text, /100 Continue/)
  const odd = new Wire(port)
  odd.send(`POST /v1/traces HTTP/1.1\r\n${head}Expect: foo\r\n\r\n`)
  await odd.untilClosed()
  t.match(odd.text, /^HTTP\/1.1 417 [\s\S]*cannot meet this expectation/)
})

t.test('both loopback addresses are listened on, under one port', async t => {
  const spans = new Recorder()
  const { port } = await receiver(t, { spans: [spans] })
  const wire = new Wire(port, '::1')
  await wire.until(() => wire.closed || !wire.socket.connecting, 'a connection')
  if (wire.closed) {
    t.pass('this machine has no ::1')
    return
  }
  wire.send(
    `POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\nContent-Length: ${GOOD.length}\r\n\r\n`,
  )
  wire.send(GOOD)
  await wire.until(() => wire.text.includes('200 OK'), 'an answer')
  wire.close()
})

t.test('a taken port names the port and the option', async t => {
  const squatter = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => squatter.once('listening', resolve))
  t.teardown(() => squatter.close())
  const address = squatter.address()
  if (typeof address !== 'object' || !address) throw new Error('a TCP server has an address')
  const { port } = address
  const http = { ...OPTIONS.http, listen: { host: '127.0.0.1', port } }
  const error = await receiver(t, { spans: [] }, { http }).then(
    () => undefined,
    error => error,
  )
  t.match(error, {
    message: `cannot listen on 127.0.0.1:${port}: the port is taken; free it, or choose another with --otlp.http.listen`,
    code: 'EADDRINUSE',
    cause: { code: 'EADDRINUSE' },
  })
})

t.test('closing lets requests on their way finish, and says that the connection ends', async t => {
  const spans = new Recorder()
  const { running, port } = await receiver(t, { spans: [spans] })
  const wire = new Wire(port)
  wire.send(
    `POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\nContent-Length: ${GOOD.length}\r\n\r\n`,
  )
  wire.send(GOOD.subarray(0, 10))
  await wire.until(() => !wire.socket.connecting && wire.socket.bytesWritten > 100, 'the first half to be sent')
  await new Promise(resolve => setTimeout(resolve, 100))
  const closed = running[Symbol.asyncDispose]()
  wire.send(GOOD.subarray(10))
  await closed
  await wire.untilClosed()
  t.match(wire.text, /^HTTP\/1.1 200 OK[\s\S]*Connection: close/i)
  t.equal(spans.spans.length, 2)
  await running[Symbol.asyncDispose]()
})

t.test('the families are there from the start, all their series at 0', async t => {
  const { value } = await receiver(t, { spans: [new Recorder()] })
  t.equal(await value('pillion_otlp_received_items_total{signal="logs"}'), 0)
  t.equal(await value('pillion_otlp_refused_items_total{signal="traces",reason="too_many_items"}'), 0)
  t.equal(await value('pillion_otlp_requests_total{signal="traces",transport="http",code="503"}'), 0)
  t.equal(await value('pillion_otlp_inflight_bytes'), 0)
})
