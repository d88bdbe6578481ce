import { createHook } from 'node:async_hooks'
import { once } from 'node:events'
import { connect } from 'node:http2'
import { deflateRawSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { eventually, OPTIONS, receiver, Wire } from './receiver.ts'
import { Recorder } from './recorder.ts'
import { hex, ld, nestedList, request, SID, span, TID, traces } from './requests.ts'

const GOOD = traces([], span('good'))
const MIB = 1024 * 1024
const GZIP = { 'content-encoding': 'gzip' }

t.test('a hundred item bombs in parallel cost little, are counted exactly, and hold up nobody', async t => {
  const bomb = gzipSync(ld(1, ld(2, Buffer.alloc(2_000_000, hex('1200')))))
  t.ok(bomb.length < 2100, `${bomb.length} bytes`)
  const { fetch, counted } = await receiver(t, { spans: [new Recorder()] }, { max_inflight: 512 * MIB })
  const start = performance.now()
  const all = Array.from({ length: 100 }, () => fetch('/v1/traces', { headers: GZIP, body: bomb }))
  t.equal((await fetch('/v1/traces', { body: GOOD })).status, 200)
  t.comment(`a good request behind all of them: ${(performance.now() - start).toFixed(0)} ms`)
  t.same(new Set((await Promise.all(all)).map(each => each.status)), new Set([413]))
  t.same(await counted('pillion_otlp_refused_items_total'), {
    '{signal="traces",reason="too_many_items"}': 100_000_000,
  })
  t.same(await counted('pillion_otlp_received_items_total'), { '{signal="traces"}': 100_000_001 })
  t.same(await counted('pillion_otlp_accepted_items_total'), { '{signal="traces"}': 1 })
})

t.test('gzip bombs stop at the limit', async t => {
  const { fetch, value } = await receiver(t, { spans: [new Recorder()] }, { max_request: MIB })
  const status = async (body: Buffer, headers: Record<string, string> = GZIP) =>
    (await fetch('/v1/traces', { headers, body })).status
  const zeros = gzipSync(Buffer.alloc(64 * MIB))
  t.equal(await status(zeros), 413, 'by its own claim')
  const liar = Buffer.from(zeros)
  liar.writeUInt32LE(100, liar.length - 4)
  t.equal(await status(liar), 413, 'with a small claim')
  t.equal(await status(Buffer.concat([gzipSync(Buffer.alloc(MIB)), gzipSync(Buffer.alloc(8))])), 413, 'in two members')
  t.equal(await status(gzipSync(zeros)), 400, 'a bomb inside is not protobuf')
  t.equal(await status(gzipSync(zeros), { 'content-encoding': 'gzip, gzip' }), 415)
  await Promise.all(Array.from({ length: 16 }, () => fetch('/v1/traces', { headers: GZIP, body: zeros })))
  t.equal(await value('pillion_otlp_inflight_bytes'), 0)
})

t.test('large bodies are inflated a few at a time, and all are taken', async t => {
  const { fetch, value } = await receiver(t, { spans: [new Recorder()] })
  const name = Buffer.alloc(3 * MIB)
  for (let at = 0; at < name.length; at++) name[at] = (at * 2_654_435_761) >>> 24
  const body = gzipSync(traces([], span('large', ld(9, ld(1, name)))), { level: 1 })
  const answers = Array.from({ length: 12 }, () => fetch('/v1/traces', { headers: GZIP, body }))
  t.same(new Set((await Promise.all(answers)).map(each => each.status)), new Set([200]))
  t.equal(await value('pillion_otlp_accepted_items_total{signal="traces"}'), 12)
  t.equal(await value('pillion_otlp_inflight_bytes'), 0)
})

t.test('a call that is given up while its body waits to be inflated gives its bytes back', async t => {
  const { grpcPort, counted, value } = await receiver(t, { spans: [new Recorder()] })
  const liar = gzipSync(Buffer.alloc(64 * MIB))
  liar.writeUInt32LE(MIB + 1, liar.length - 4)
  const head = Buffer.alloc(5, 1)
  head.writeUInt32BE(liar.length, 1)
  const peer = connect(`http://127.0.0.1:${grpcPort}`)
  t.teardown(() => peer.destroy())
  const path = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
  const codes = Array.from({ length: 60 }, async () => {
    const headers = { 'content-type': 'application/grpc', 'grpc-encoding': 'gzip', 'grpc-timeout': '300m' }
    const stream = peer.request({ ':method': 'POST', ':path': path, ...headers })
    stream.end(Buffer.concat([head, liar]))
    const [answer] = await once(stream, 'response')
    return String(answer['grpc-status'])
  })
  const given = await Promise.all(codes)
  t.ok(given.includes('4'), 'some had to wait for too long')
  t.same(
    given.filter(code => code !== '4' && code !== '8'),
    [],
  )
  t.equal(
    (await counted('pillion_otlp_requests_total'))['{signal="traces",transport="grpc",code="4"}'] ?? 0,
    given.filter(code => code === '4').length,
  )
  await eventually(async () => (await value('pillion_otlp_inflight_bytes')) === 0, 'the budget to be given back')
})

t.test('gzip that is broken is refused, and gzip in members is taken', async t => {
  const spans = new Recorder()
  const { fetch } = await receiver(t, { spans: [spans] })
  const status = async (body: Buffer) => (await fetch('/v1/traces', { headers: GZIP, body })).status
  const whole = gzipSync(GOOD)
  t.equal(await status(whole.subarray(0, -9)), 400, 'cut off')
  t.equal(await status(whole.subarray(0, 10)), 400, 'a header only')
  t.equal(await status(Buffer.alloc(0)), 400, 'nothing at all')
  const crc = Buffer.from(whole)
  crc[crc.length - 6]! ^= 1
  t.equal(await status(crc), 400, 'a wrong checksum')
  t.equal(await status(Buffer.concat([whole, Buffer.from('garbage')])), 400, 'something after the end')
  t.equal(await status(GOOD), 400, 'not gzip')
  t.equal(await status(deflateRawSync(GOOD)), 400, 'deflate')
  t.equal(spans.spans.length, 0)
  t.equal(await status(Buffer.concat([whole, gzipSync(GOOD)])), 200, 'two members')
  t.equal(spans.spans.length, 2)
  const empty = gzipSync(Buffer.alloc(0))
  const members = Buffer.alloc(empty.length * 200_000, empty)
  t.equal(await status(members), 200, '200,000 empty members')
})

t.test('bodies over the limit are refused by what they declare, or as soon as they pass it', async t => {
  const { port, counted, value } = await receiver(t, { spans: [new Recorder()] }, { max_request: 100_000 })
  const head = 'POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\n'
  const answer = async (declared: string, body: Buffer) => {
    const wire = new Wire(port)
    wire.send(`${head}${declared}\r\n\r\n`)
    wire.send(body)
    await wire.untilClosed()
    return wire.text.slice(9, 12)
  }
  t.equal(await answer('Content-Length: 100001', Buffer.alloc(0)), '413')
  t.equal(await answer('Content-Length: 99999999999', Buffer.alloc(10)), '413')
  t.equal(await answer('Content-Length: 1000000', Buffer.alloc(1_000_000)), '413', 'the answer outlives what is sent')
  const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(0x10000), Buffer.from('\r\n')])
  t.equal(await answer('Transfer-Encoding: chunked', Buffer.concat([chunk, chunk])), '413')
  t.same(await counted('pillion_otlp_requests_total'), { '{signal="traces",transport="http",code="413"}': 4 })
  t.equal(await value('pillion_otlp_inflight_bytes'), 0)
})

t.test(
  'a request that does not fit into the bytes in flight is told to come again, before its body is read',
  async t => {
    const { fetch, port, value } = await receiver(t, { spans: [new Recorder()] }, { max_inflight: MIB })
    const head = 'POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\n'
    const holder = new Wire(port)
    holder.send(`${head}Content-Length: ${MIB}\r\n\r\n`)
    holder.send(Buffer.alloc(100))
    await eventually(async () => (await value('pillion_otlp_inflight_bytes')) === MIB, 'the holder to be admitted')
    const busy = await fetch('/v1/traces', { body: GOOD })
    t.equal(busy.status, 503)
    t.equal(busy.headers.get('retry-after'), '1')
    t.equal(busy.headers.get('connection'), 'keep-alive')
    holder.close()
    await eventually(async () => (await value('pillion_otlp_inflight_bytes')) === 0, 'the budget to be given back')
    t.equal((await fetch('/v1/traces', { body: GOOD })).status, 200)
    t.equal(await value('pillion_otlp_requests_total{signal="traces",transport="http",code="499"}'), 1)
  },
)

t.test('depth bombs are refused, even where a stack overflow could not be caught', async t => {
  const hook = createHook({ init() {} }).enable()
  t.teardown(() => hook.disable())
  const { fetch } = await receiver(t, { spans: [new Recorder()] }, { max_json: 16 * MIB })
  const status = async (body: Buffer) => (await fetch('/v1/traces', { body })).status
  t.equal(await status(request(TID, SID, ld(9, ld(1, 'k'), nestedList(10_000)))), 400)
  t.equal(await status(Buffer.concat([Buffer.alloc(100_000, 0x7b), Buffer.alloc(100_000, 0x7c)])), 400)
  const json = (body: string) => fetch('/v1/traces', { type: 'application/json', body }).then(each => each.status)
  t.equal(await json('['.repeat(5_000_000)), 400)
  t.equal(await json(`{"x":${'['.repeat(5_000_000)}`), 400)
  const kv = '{"kvlistValue":{"values":[{"value":'.repeat(20_000)
  t.equal(await json(`{"resourceSpans":[{"resource":{"attributes":[{"value":${kv}`), 400)
})

t.test('slow and silent clients are closed in time, while good ones are served', async t => {
  const http = { ...OPTIONS.http, header_timeout: 1000, request_timeout: 2000 }
  const { fetch, port, counted } = await receiver(t, { spans: [new Recorder()] }, { http })
  const wires: Wire[] = []
  const drip = (first: string) => {
    const wire = new Wire(port)
    wires.push(wire)
    wire.send(first)
    const timer = setInterval(() => (wire.closed ? clearInterval(timer) : wire.send('a')), 300)
    t.teardown(() => clearInterval(timer))
    return wire
  }
  const body =
    'POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\nContent-Length: 100000\r\n\r\n'
  for (let i = 0; i < 20; i++) {
    drip('POST /v1/traces HTTP/1.1\r\nHost: a\r\nX-a: b')
    drip(body)
    wires.push(new Wire(port))
  }
  const start = Date.now()
  while (!wires.every(each => each.closed) && Date.now() - start < 15_000) {
    t.equal((await fetch('/v1/traces', { body: GOOD })).status, 200)
    await new Promise(resolve => setTimeout(resolve, 200))
  }
  for (const wire of wires) await wire.untilClosed()
  t.ok(Date.now() - start < 10_000, `all closed after ${Date.now() - start} ms`)
  t.ok(wires.filter(each => each.text.includes(' 408 ')).length >= 40, 'those that had sent something were told why')
  const codes = await counted('pillion_otlp_requests_total')
  t.equal(codes['{signal="traces",transport="http",code="408"}'], 20, 'the bodies that did not arrive')
})

t.test('a request that is not HTTP/1.1, or abuses it, is refused and harms nothing', async t => {
  const spans = new Recorder()
  const { fetch, port } = await receiver(t, { spans: [spans] })
  const answer = async (bytes: Buffer | string) => {
    const wire = new Wire(port)
    wire.send(bytes)
    wire.socket.end()
    await wire.untilClosed()
    return wire.text.slice(9, 12)
  }
  const post = (headers: string, body = '') =>
    answer(
      `POST /v1/traces HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n${headers}\r\n${body}`,
    )
  t.equal(await post('Content-Length: 2\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), '400')
  t.equal(await post('Content-Length: 2\r\nContent-Length: 3\r\n', '{}'), '400')
  t.equal(await post('Content-Length: -1\r\n'), '400')
  t.equal(await post('Content-Length: 100000000000000000000\r\n'), '400')
  t.equal(await post('Transfer-Encoding: chunked\r\n', 'FFFFFFFFFFFFFFFFF\r\n'), '400')
  t.match(await post('Transfer-Encoding: chunked\r\n', `1;${'x'.repeat(20_000)}\r\n{\r\n0\r\n\r\n`), /413|400/)
  t.equal(await post(`X: ${'x'.repeat(20_000)}\r\n`), '431')
  t.equal(await post('X: a\0b\r\n'), '400')
  t.equal(await answer('POST /v1/traces HTTP/1.1\r\n\r\n'), '400', 'no Host')
  t.equal(await answer(hex('160301020001000001fc0303')), '400', 'a TLS hello')
  t.equal(await answer('CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n'), '', 'CONNECT is closed')
  t.equal(await post('Upgrade: websocket\r\nContent-Length: 2\r\n', '{}'), '200', 'an upgrade is not offered')
  t.equal(await post('__proto__: x\r\nContent-Length: 2\r\n', '{}'), '200')
  t.equal(await post('Content-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n', '{}'), '415')
  for (const path of [
    '//',
    'http://[',
    '/%',
    '/ui/%2e%2e%2f..',
    '/ui/a%00.js',
    '*',
    'http://evil.example/v1/traces',
    `/${'x'.repeat(9000)}`,
  ])
    t.equal(
      await answer(`POST ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`),
      '404',
      path.slice(0, 40),
    )
  t.equal(spans.spans.length, 0)
  t.equal((await fetch('/v1/traces', { body: GOOD })).status, 200)
})
