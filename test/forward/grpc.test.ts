// gRPC upstreams: a real receiver, and servers that misbehave.

import { once } from 'node:events'
import { createServer, type Http2Session, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { status } from '../../collectors/otlp/status.ts'
import { receiver } from '../otlp/receiver.ts'
import { Recorder } from '../otlp/recorder.ts'
import { ld, number } from '../otlp/requests.ts'
import { points, records, spans, start } from './start.ts'
import { itemsOf, until } from './upstream.ts'

interface Call {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly items: number
}

type Respond = (stream: ServerHttp2Stream, n: number, session: Http2Session | undefined) => void

const trailers =
  (code: number, message = '', details?: Buffer): Respond =>
  stream => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () =>
      stream.sendTrailers({
        'grpc-status': String(code),
        'grpc-message': message,
        ...(details && { 'grpc-status-details-bin': details.toString('base64') }),
      }),
    )
    stream.end()
  }

const ok =
  (message: Buffer = Buffer.alloc(0)): Respond =>
  stream => {
    const prefix = Buffer.alloc(5)
    prefix.writeUInt32BE(message.length, 1)
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    stream.end(Buffer.concat([prefix, message]))
  }

async function server(t: Test, respond: Respond) {
  const calls: Call[] = []
  const sessions = new Set<Http2Session>()
  const http2 = createServer()
  http2.on('session', session => {
    sessions.add(session)
    session.on('error', () => {})
  })
  http2.on('stream', (stream, headers) => {
    const chunks: Buffer[] = []
    stream.on('error', () => {})
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => {
      const frame = Buffer.concat(chunks)
      const message = frame[0] === 1 ? gunzipSync(frame.subarray(5)) : frame.subarray(5)
      calls.push({ path: String(headers[':path']), headers, items: itemsOf('traces', message) })
      respond(stream, calls.length, stream.session)
    })
  })
  http2.listen(0, '127.0.0.1')
  await once(http2, 'listening')
  t.teardown(() => {
    for (const each of sessions) each.destroy()
    http2.close()
  })
  // A listening TCP server has an AddressInfo (node:net).
  return { url: `http://127.0.0.1:${(http2.address() as AddressInfo).port}`, calls, sessions }
}

for (const compression of ['gzip', 'zstd', 'none'])
  t.test(`a gRPC receiver gets all three signals, with the compression ${compression}`, async t => {
    const got = { traces: new Recorder(), metrics: 0, logs: 0 }
    const taker = (signal: 'metrics' | 'logs') => ({
      name: 'test',
      reasons: [],
      take(request: { readonly items: number }) {
        got[signal] += request.items
        return undefined
      },
    })
    const upstream = await receiver(t, { spans: [got.traces], metrics: [taker('metrics')], logs: [taker('logs')] })
    const all = await start(t, { endpoint: `http://127.0.0.1:${upstream.grpcPort}`, protocol: 'grpc', compression })
    all.take('traces', spans(500, 300))
    all.take('metrics', points(4))
    all.take('logs', records(3))
    await until(async () => (await upstream.value('pillion_otlp_accepted_items_total{signal="traces"}')) === 500)
    await until(() => got.metrics === 4 && got.logs === 3)
    await until(async () => (await all.total('pillion_forward_items_total', 'traces')) === 500)
    t.match(await all.counted('pillion_forward_requests_total'), {
      [`{upstream="127.0.0.1:${upstream.grpcPort}",signal="traces",code="0"}`]: 1,
    })
    await all.balance(t)
  })

t.test('headers, user agent, timeout and hops go along as metadata', async t => {
  const upstream = await server(t, ok())
  const { take } = await start(t, { endpoint: upstream.url, protocol: 'grpc', headers: ['X-Scope-OrgID: shop'] })
  take('traces', spans(1))
  await until(() => upstream.calls.length === 1)
  t.match(upstream.calls[0], {
    path: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
    items: 1,
    headers: {
      'x-scope-orgid': 'shop',
      'user-agent': 'Pillion/1.2.3',
      'grpc-timeout': '10000m',
      'grpc-encoding': 'gzip',
      'pillion-hops': /^1;/,
      te: 'trailers',
    },
  })
})

t.test('a partial success over gRPC is counted', async t => {
  const upstream = await server(t, ok(ld(1, number(1, 2), ld(2, 'two are bad'))))
  const all = await start(t, { endpoint: upstream.url, protocol: 'grpc' })
  all.take('traces', spans(5))
  await until(async () => (await all.total('pillion_forward_items_total', 'traces')) === 3)
  t.equal(await all.total('pillion_forward_dropped_items_total', 'traces'), 2)
  await all.balance(t)
})

t.test('UNAVAILABLE is tried again, and RESOURCE_EXHAUSTED after what its RetryInfo says', async t => {
  const upstream = await server(t, (stream, n, session) => {
    const answer =
      n === 1 ? trailers(14, 'busy') : n === 2 ? trailers(8, 'slow', status('protobuf', 8, 'slow', 700)) : ok()
    answer(stream, n, session)
  })
  const all = await start(t, { endpoint: upstream.url, protocol: 'grpc' })
  all.take('traces', spans(5))
  await until(async () => (await all.total('pillion_forward_items_total', 'traces')) === 5)
  t.equal(upstream.calls.length, 3)
  await all.balance(t)
})

t.test('RESOURCE_EXHAUSTED without RetryInfo halves the batch', async t => {
  const upstream = await server(t, (stream, n, session) => {
    const { items = 0 } = upstream.calls.at(-1) ?? {}
    const answer = items > 10 ? trailers(8, 'grpc: received message larger than max') : ok()
    answer(stream, n, session)
  })
  const all = await start(t, { endpoint: upstream.url, protocol: 'grpc' })
  all.take('traces', spans(64))
  await until(async () => (await all.total('pillion_forward_items_total', 'traces')) === 64)
  await all.balance(t)
})

t.test('a session that is told to go away loses nothing: what it had not seen is sent on another', async t => {
  const upstream = await server(t, (stream, n, session) => {
    ok()(stream, n, session)
    // After each answer: NO_ERROR, with the last stream that was looked at.
    if (n % 2 === 1) session?.goaway(0, stream.id ?? 0)
  })
  const all = await start(t, { endpoint: upstream.url, protocol: 'grpc' })
  for (let i = 1; i <= 6; i++) {
    all.take('traces', spans(5))
    await until(async () => (await all.total('pillion_forward_items_total', 'traces')) === 5 * i)
  }
  t.ok(upstream.sessions.size >= 3, `${upstream.sessions.size} sessions`)
  t.equal(await all.total('pillion_forward_dropped_items_total', 'traces'), 0)
  await all.balance(t)
})

t.test('a refused stream is sent again at once, and a reset one after a wait', async t => {
  const upstream = await server(t, (stream, n, session) => {
    if (n === 1) stream.close(7)
    else if (n === 2) stream.close(2)
    else ok()(stream, n, session)
  })
  const all = await start(t, { endpoint: upstream.url, protocol: 'grpc' })
  all.take('traces', spans(5))
  await until(async () => (await all.total('pillion_forward_items_total', 'traces')) === 5)
  t.equal(upstream.calls.length, 3)
  await all.balance(t)
})

t.test('a proxy that answers without gRPC is judged by its status', async t => {
  const upstream = await server(t, (stream, n, session) => {
    if (n > 1) return ok()(stream, n, session)
    stream.respond({ ':status': 503, 'content-type': 'text/html' })
    stream.end('<html>')
  })
  const all = await start(t, { endpoint: upstream.url, protocol: 'grpc' })
  all.take('traces', spans(5))
  await until(async () => (await all.total('pillion_forward_items_total', 'traces')) === 5)
  t.match(all.logged.join(), /gRPC 14: HTTP 503 without a grpc-status/)
})

t.test('a server that hangs costs the timeout, and one that speaks HTTP/1.1 is a reason of its own', async t => {
  const hanging = await server(t, (stream, n, session) => {
    if (n > 1) ok()(stream, n, session)
  })
  const all = await start(t, { endpoint: hanging.url, protocol: 'grpc', timeout: '300ms' })
  all.take('traces', spans(5))
  await until(async () => (await all.total('pillion_forward_items_total', 'traces')) === 5)
  t.match(await all.counted('pillion_forward_requests_total'), {
    [`{upstream="${hanging.url.slice(7)}",signal="traces",code="timeout"}`]: 1,
  })

  const http1 = await receiver(t, { logs: [] })
  // Its port takes both protocols, so a plain server is needed.
  const { createServer: plain } = process.getBuiltinModule('node:http')
  const old = plain((_, response) => response.end()).listen(0, '127.0.0.1')
  await once(old, 'listening')
  t.teardown(() => old.close())
  // A listening TCP server has an AddressInfo (node:net).
  const wrong = await start(t, {
    endpoint: `http://127.0.0.1:${(old.address() as AddressInfo).port}`,
    protocol: 'grpc',
    timeout: '500ms',
  })
  wrong.take('traces', spans(5))
  await until(async () => Object.keys(await wrong.counted('pillion_forward_requests_total')).length > 0)
  t.equal(await wrong.total('pillion_forward_held_items', 'traces'), 5)
  t.ok(http1.port > 0)
  await wrong.balance(t)
})
