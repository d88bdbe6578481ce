import { once } from 'node:events'
import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from 'node:http2'
import { gzipSync } from 'node:zlib'
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js'
import protobuf from 'protobufjs'
import t, { type Test } from 'tap'
import { eventually, OPTIONS, receiver, Wire } from './receiver.ts'
import { Recorder } from './recorder.ts'
import { attribute, hex, ld, many, SID, span, traces } from './requests.ts'

const GOOD = traces([attribute(1, 'service.name', 'shop')], span('a'), span('b'))
const TRACES = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
const METRICS = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'

const { root } = protobuf.parse(`syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message Duration { int64 seconds = 1; }
  message RetryInfo { Duration retry_delay = 1; }`)

function frame(message: Buffer, flag = 0, length = message.length): Buffer {
  const head = Buffer.alloc(5, flag)
  head.writeUInt32BE(length, 1)
  return Buffer.concat([head, message])
}

interface Answer {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly headers: Record<string, unknown>
  readonly body: Buffer
}

/** Sends one call by hand, piece by piece; `end: false` leaves it open. */
async function call(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  pieces: readonly Buffer[],
  end = true,
): Promise<Answer> {
  const type = { 'content-type': 'application/grpc', te: 'trailers' }
  const stream = session.request({ ':method': 'POST', ':path': TRACES, ...type, ...headers })
  let all: Record<string, unknown> = {}
  const body: Buffer[] = []
  stream.on('response', head => {
    all = { ...all, ...head }
  })
  stream.on('trailers', tail => {
    all = { ...all, ...tail }
  })
  stream.on('data', chunk => body.push(chunk))
  stream.on('error', () => {})
  for (const piece of pieces) stream.write(piece)
  if (end) stream.end()
  await once(stream, 'close')
  const message = decodeURIComponent(String(all['grpc-message'] ?? ''))
  return {
    status: Number(all[':status']),
    code: String(all['grpc-status']),
    message,
    headers: all,
    body: Buffer.concat(body),
  }
}

function session(t: Test, port: number): ClientHttp2Session {
  const made = connect(`http://127.0.0.1:${port}`)
  made.on('error', () => {})
  t.teardown(() => made.destroy())
  return made
}

t.test('the gRPC client of the OpenTelemetry SDK is answered, with and without gzip', async t => {
  const spans = new Recorder()
  const { grpcPort, counted } = await receiver(t, { spans: [spans] })
  for (const compression of [0, 2]) {
    const client = new Client(`127.0.0.1:${grpcPort}`, credentials.createInsecure(), {
      'grpc.default_compression_algorithm': compression,
    })
    t.teardown(() => client.close())
    const reply = await new Promise<Buffer | undefined>((resolve, reject) =>
      client.makeUnaryRequest<Buffer, Buffer>(
        TRACES,
        each => each,
        each => each,
        GOOD,
        (error, value) => (error ? reject(error) : resolve(value)),
      ),
    )
    t.equal(reply?.length, 0)
  }
  t.same(
    spans.spans.map(each => each.name),
    ['a', 'b', 'a', 'b'],
  )
  t.same(spans.requests[0]?.bytes, GOOD)
  t.same(await counted('pillion_otlp_accepted_items_total'), { '{signal="traces"}': 4 })
  t.same(await counted('pillion_otlp_requests_total'), { '{signal="traces",transport="grpc",code="0"}': 2 })
})

t.test('the SDK’s client is told of bad data, of unknown services and of a signal that is off', async t => {
  const { grpcPort } = await receiver(t, { spans: [new Recorder()] })
  const client = new Client(`127.0.0.1:${grpcPort}`, credentials.createInsecure())
  t.teardown(() => client.close())
  const send = (path: string, body: Buffer) =>
    new Promise<Buffer | ServiceError>(resolve =>
      client.makeUnaryRequest<Buffer, Buffer>(
        path,
        each => each,
        each => each,
        body,
        (error, value) => resolve(error ?? value ?? Buffer.alloc(0)),
      ),
    )
  t.match(await send(TRACES, hex('0a')), { code: 3, details: /cannot decode the protobuf: .* at byte 0/ })
  t.match(await send('/a.b.C/Export', GOOD), { code: 12, details: /TraceService/ })
  t.match(String(await send(METRICS, ld(1, ld(2, ld(2, ld(5, ld(1))))))), /metrics are switched off/)
  t.match(String(await send(TRACES, traces([], span('good'), SID))), /1 spans with a trace id/)
})

t.test('frames that are not one message are refused', async t => {
  const spans = new Recorder()
  const { grpcPort, counted } = await receiver(t, { spans: [spans] })
  const peer = session(t, grpcPort)
  const code = async (pieces: readonly Buffer[], headers: OutgoingHttpHeaders = {}) => {
    const { code, status } = await call(peer, headers, pieces)
    return status === 200 ? code : `HTTP ${status}`
  }
  const gzip = { 'grpc-encoding': 'gzip' }
  const zipped = gzipSync(GOOD)
  t.equal(await code([frame(GOOD)]), '0')
  t.equal(await code([frame(zipped, 1)], gzip), '0')
  t.equal(await code([frame(GOOD, 0)], gzip), '0', 'a message may stay uncompressed')
  t.equal(await code([frame(GOOD)], { 'grpc-encoding': 'identity' }), '0')
  t.equal(await code([frame(GOOD)], { te: undefined }), '0')
  t.equal(await code([frame(GOOD)], { 'content-type': 'application/grpc+proto' }), '0')
  t.equal(await code([...frame(GOOD)].map(byte => Buffer.from([byte]))), '0', 'in pieces of a byte')
  t.equal(spans.spans.length, 14)
  t.equal(await code([frame(zipped, 1)]), '13', 'compressed without saying how')
  t.equal(await code([frame(GOOD, 2)]), '13', 'a flag that does not exist')
  t.equal(await code([frame(GOOD, 0, GOOD.length + 1)]), '13', 'a length past the end')
  t.equal(await code([frame(GOOD), frame(GOOD)]), '13', 'two messages')
  t.equal(await code([]), '13', 'no message')
  t.equal(await code([frame(GOOD), Buffer.from([0])]), '13', 'something after the message')
  t.equal(await code([frame(GOOD).subarray(0, 3)]), '13', 'half a prefix')
  t.equal(await code([frame(zipped.subarray(0, -9), 1)], gzip), '13', 'gzip that is cut off')
  t.equal(await code([frame(GOOD)], { ':path': '/x.Y/Z' }), '12')
  t.equal(await code([frame(GOOD)], { 'content-type': 'text/plain' }), 'HTTP 415')
  t.equal(await code([frame(GOOD)], { 'content-type': 'application/grpc-web' }), 'HTTP 415')
  t.equal(await code([frame(GOOD)], { 'content-type': 'application/grpc+json' }), 'HTTP 415')
  t.equal(await code([], { ':method': 'GET' }), 'HTTP 405')
  t.equal(await code([frame(GOOD)], { 'grpc-timeout': '1x' }), '13')
  t.equal(await code([frame(GOOD)], { 'grpc-timeout': '99999999H' }), '0')
  t.equal(await code([frame(GOOD)], { 'grpc-timeout': '0m' }), '4')
  const brotli = await call(peer, { 'grpc-encoding': 'br' }, [frame(GOOD)])
  t.match(brotli, { code: '12', headers: { 'grpc-accept-encoding': 'identity,gzip' } })
  t.equal(spans.spans.length, 16)
  t.equal((await counted('pillion_otlp_requests_total'))['{signal="traces",transport="grpc",code="13"}'], 13)
})

t.test('large messages that arrive at the same time are not mixed up', async t => {
  const spans = new Recorder()
  const { grpcPort } = await receiver(t, { spans: [spans] })
  const [one, other] = [session(t, grpcPort), session(t, grpcPort)]
  const bodies = [many('a', 3000), many('b', 4000), many('c', 9000), many('d', 3000)]
  const calls = bodies.map((body, i) => call(i % 2 ? one : other, {}, [frame(body)]))
  t.match(
    await Promise.all(calls),
    bodies.map(() => ({ code: '0' })),
  )
  t.same(
    new Set(spans.requests.map(({ bytes }) => bodies.findIndex(body => body.equals(bytes)))),
    new Set([0, 1, 2, 3]),
    'each as it was sent',
  )
})

t.test('a message over the limit is refused by its prefix, and nothing is allocated for it', async t => {
  const { grpcPort } = await receiver(t, { spans: [new Recorder()] })
  const peer = session(t, grpcPort)
  const before = process.memoryUsage().arrayBuffers
  const huge = await call(peer, {}, [frame(Buffer.alloc(0), 0, 0xffff_ffff)], false)
  t.match(huge, { code: '8', message: /4294967295 bytes/ })
  t.notMatch(huge.headers, { 'grpc-status-details-bin': /./ }, 'without RetryInfo: it would be too large again')
  t.ok(process.memoryUsage().arrayBuffers - before < 1 << 20)
  const bomb = await call(peer, { 'grpc-encoding': 'gzip' }, [frame(gzipSync(Buffer.alloc(64 << 20)), 1)])
  t.match(bomb, { code: '8' })
  t.match(await call(peer, {}, [frame(GOOD)]), { code: '0' }, 'and the connection goes on')
})

t.test('too many items and bytes in flight are told apart: only the second is worth a retry', async t => {
  const { grpcPort, counted, value } = await receiver(
    t,
    { spans: [new Recorder()] },
    { max_items: 1, max_inflight: 1 << 20 },
  )
  const peer = session(t, grpcPort)
  t.match(await call(peer, {}, [frame(GOOD)]), { code: '8', message: /send at most 1 a request/ })
  const holder = peer.request({ ':method': 'POST', ':path': TRACES, 'content-type': 'application/grpc' })
  holder.on('error', () => {})
  holder.write(Buffer.concat([frame(Buffer.alloc(0), 0, 1 << 20), Buffer.alloc(1 << 19)]))
  holder.write(Buffer.alloc(1 << 18))
  await eventually(
    async () => ((await value('pillion_otlp_inflight_bytes')) ?? 0) > 700_000,
    'the first call to be held',
  )
  const busy = await call(peer, {}, [frame(Buffer.alloc(900_000))])
  t.match(busy, { code: '14' })
  const details = Buffer.from(String(busy.headers['grpc-status-details-bin']), 'base64')
  const status = root.lookupType('Status').decode(details).toJSON()
  t.match(status, { code: 14, details: [{ typeUrl: 'type.googleapis.com/google.rpc.RetryInfo' }] })
  const info = Buffer.from(status['details'][0].value, 'base64')
  t.match(root.lookupType('RetryInfo').decode(info).toJSON(), { retryDelay: { seconds: '1' } })
  holder.close(8)
  await eventually(
    async () => (await counted('pillion_otlp_requests_total'))['{signal="traces",transport="grpc",code="1"}'] === 1,
    'the call that was given up to be counted',
  )
})

t.test('a call that does not arrive before its deadline is given up', async t => {
  const grpc = { ...OPTIONS.grpc, request_timeout: 1000 }
  const { grpcPort } = await receiver(t, { spans: [new Recorder()] }, { grpc })
  const peer = session(t, grpcPort)
  t.match(await call(peer, { 'grpc-timeout': '10m' }, [frame(GOOD).subarray(0, 9)], false), { code: '4' })
  t.match(await call(peer, {}, [frame(GOOD).subarray(0, 9)], false), { code: '4', message: /within 1000 ms/ })
})

// From here on frame by frame, as no client library would send them.
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

function http2(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

const SETTINGS = http2(4, 0, 0, Buffer.alloc(0))

/** A header block of literals without indexing. */
function hpack(headers: Readonly<Record<string, string>>): Buffer {
  const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)])
  return Buffer.concat(Object.entries(headers).flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}

const HEADERS = hpack({
  ':method': 'POST',
  ':scheme': 'http',
  ':path': TRACES,
  ':authority': 'a',
  'content-type': 'application/grpc',
})

t.test('connections that are slow or silent are closed in time', async t => {
  const grpc = { ...OPTIONS.grpc, header_timeout: 1000, request_timeout: 1000, idle_timeout: 2000 }
  const { grpcPort } = await receiver(t, { spans: [new Recorder()] }, { grpc })
  const closes = async (what: string, bytes: Buffer) => {
    const start = Date.now()
    const wire = new Wire(grpcPort)
    wire.send(bytes)
    await wire.untilClosed()
    const seconds = (Date.now() - start) / 1000
    t.ok(seconds < 8, `${what}: closed after ${seconds} s`)
  }
  await Promise.all([
    closes('nothing sent', Buffer.alloc(0)),
    closes('half a preface', PREFACE.subarray(0, 10)),
    closes('a preface only', PREFACE),
    closes('settings, then silence', Buffer.concat([PREFACE, SETTINGS])),
    closes('a call without a body', Buffer.concat([PREFACE, SETTINGS, http2(1, 4, 1, HEADERS)])),
  ])
})

t.test('floods end the connection that sends them, and nothing else', async t => {
  const { grpcPort } = await receiver(t, { spans: [new Recorder()] })
  const floods = async (what: string, flood: Buffer) => {
    const wire = new Wire(grpcPort)
    wire.send(Buffer.concat([PREFACE, SETTINGS, flood]))
    await wire.untilClosed()
    t.pass(`${what}: closed`)
  }
  const repeated = (count: number, each: (i: number) => Buffer) =>
    Buffer.concat(Array.from({ length: count }, (_, i) => each(i)))
  const open = http2(1, 4, 1, HEADERS)
  await Promise.all([
    floods(
      '10,000 PINGs',
      repeated(10_000, () => http2(6, 0, 0, Buffer.alloc(8))),
    ),
    floods(
      '10,000 SETTINGS',
      repeated(10_000, () => SETTINGS),
    ),
    floods('100,000 empty DATA', Buffer.concat([open, repeated(100_000, () => http2(0, 0, 1, Buffer.alloc(0)))])),
    floods(
      '10,000 CONTINUATION',
      Buffer.concat([http2(1, 0, 1, HEADERS), repeated(10_000, () => http2(9, 0, 1, hpack({ a: 'b' })))]),
    ),
    floods(
      'WINDOW_UPDATE to 2^31',
      repeated(3, () => http2(8, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff]))),
    ),
    floods(
      '5,000 resets',
      repeated(5000, i =>
        Buffer.concat([http2(1, 4, 2 * i + 1, HEADERS), http2(3, 0, 2 * i + 1, Buffer.from([0, 0, 0, 8]))]),
      ),
    ),
    floods('a broken header block', http2(1, 4, 1, hex('ffffffffffff'))),
  ])
  t.match(await call(session(t, grpcPort), {}, [frame(GOOD)]), { code: '0' })
})

t.test('metadata over the limit is refused', async t => {
  const { grpcPort } = await receiver(t, { spans: [new Recorder()] })
  const client = new Client(`127.0.0.1:${grpcPort}`, credentials.createInsecure())
  t.teardown(() => client.close())
  const metadata = new Metadata()
  metadata.set('x-large', 'x'.repeat(70_000))
  const error = await new Promise<ServiceError | null>(resolve =>
    client.makeUnaryRequest<Buffer, Buffer>(
      TRACES,
      each => each,
      each => each,
      GOOD,
      metadata,
      error => resolve(error),
    ),
  )
  t.equal(error?.code, 8, 'RESOURCE_EXHAUSTED')
  t.match(await call(session(t, grpcPort), {}, [frame(GOOD)]), { code: '0' })
})

t.test('closing tells clients to go elsewhere, and still answers what is on its way', async t => {
  const spans = new Recorder()
  const { grpcPort, running } = await receiver(t, { spans: [spans] })
  const peer = session(t, grpcPort)
  let away = false
  peer.on('goaway', () => {
    away = true
  })
  const stream = peer.request({ ':method': 'POST', ':path': TRACES, 'content-type': 'application/grpc' })
  const trailers = once(stream, 'trailers')
  stream.write(frame(GOOD).subarray(0, 20))
  await new Promise(resolve => setTimeout(resolve, 100))
  const closed = running[Symbol.asyncDispose]()
  stream.end(frame(GOOD).subarray(20))
  t.match(await trailers, [{ 'grpc-status': '0' }])
  stream.resume()
  await closed
  t.ok(away)
  t.equal(spans.spans.length, 2)
})

t.test('a listener that is off does not listen and has no series', async t => {
  const grpc = { ...OPTIONS.grpc, listen: undefined }
  const { running, value } = await receiver(t, { spans: [] }, { grpc })
  t.equal(running.address().grpc, undefined)
  t.equal(await value('pillion_otlp_requests_total{signal="traces",transport="grpc",code="0"}'), undefined)
})

t.test('a large message whose deadline passes while it waits for its turn is not taken', async t => {
  const spans = new Recorder()
  const { grpcPort, counted } = await receiver(t, { spans: [spans] })
  const body = many('a', 40_000)
  const [one, other] = [session(t, grpcPort), session(t, grpcPort)]
  const before = Array.from({ length: 6 }, () => call(one, {}, [frame(body)]))
  const hurried = await call(other, { 'grpc-timeout': '20m' }, [frame(body)])
  t.equal(hurried.code, '4')
  t.match(await Promise.all(before), Array(6).fill({ code: '0' }))
  t.equal(spans.spans.length, 6 * 40_000)
  t.same(await counted('pillion_otlp_accepted_items_total'), { '{signal="traces"}': 6 * 40_000 })
  t.same(await counted('pillion_otlp_requests_total'), {
    '{signal="traces",transport="grpc",code="0"}': 6,
    '{signal="traces",transport="grpc",code="4"}': 1,
  })
})

t.test('a session gives way to a new connection only when its answers have been written', async t => {
  const grpc = { ...OPTIONS.grpc, max_connections: 1 }
  for (let i = 0; i < 20; i++) {
    // A receiver of its own: connections of the round before may still be open there.
    const spans = new Recorder()
    const { grpcPort } = await receiver(t, { spans: [spans] }, { grpc })
    const session = connect(`http://127.0.0.1:${grpcPort}`)
    session.on('error', () => {})
    t.equal((await call(session, {}, [frame(GOOD)])).code, '0')
    // Without an answer, the call is not taken either.
    const answer = call(session, {}, [frame(GOOD)]).catch(() => undefined)
    // Both are there when the server looks, the call first.
    await new Promise(resolve => setImmediate(resolve))
    const other = new Wire(grpcPort)
    t.equal((await answer)?.code === '0' ? 2 : 1, spans.requests.length)
    other.close()
    session.destroy()
  }
})
