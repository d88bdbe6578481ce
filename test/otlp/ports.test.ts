// Connections: both protocols on both ports, bounds on how many there are, and on what a client leaves unread.

import { once } from 'node:events'
import { connect } from 'node:http2'
import t from 'tap'
import { eventually, OPTIONS, receiver, Wire } from './receiver.ts'
import { Recorder } from './recorder.ts'
import { attribute, span, traces } from './requests.ts'

t.setTimeout(120_000)

const GOOD = traces([attribute(1, 'service.name', 'shop')], span('a'), span('b'))
const TRACES = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
const HEAD = 'POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\n'
const POST = Buffer.concat([Buffer.from(`${HEAD}Content-Length: ${GOOD.length}\r\n\r\n`), GOOD])

/** One gRPC call on a connection of its own; resolves with its grpc-status. */
async function exported(port: number): Promise<string> {
  const session = connect(`http://127.0.0.1:${port}`)
  const stream = session.request({ ':method': 'POST', ':path': TRACES, 'content-type': 'application/grpc' })
  const head = Buffer.alloc(5)
  head.writeUInt32BE(GOOD.length, 1)
  stream.end(Buffer.concat([head, GOOD]))
  stream.resume()
  const [trailers] = await once(stream, 'trailers')
  session.destroy()
  return String(trailers['grpc-status'])
}

function answers(wire: Wire): number {
  return wire.text.split('HTTP/1.1 200').length - 1
}

async function post(port: number): Promise<Wire> {
  const wire = new Wire(port)
  wire.send(POST)
  await wire.until(() => answers(wire) === 1, 'an answer')
  return wire
}

t.test('gRPC sent to the HTTP port and HTTP sent to the gRPC port are served', async t => {
  const spans = new Recorder()
  const { port, grpcPort, counted } = await receiver(t, { spans: [spans] })
  t.equal(await exported(port), '0')
  t.equal(await exported(grpcPort), '0')
  const wires = [await post(grpcPort), await post(port)]
  t.equal(spans.spans.length, 8)
  t.same(await counted('pillion_otlp_requests_total'), {
    '{signal="traces",transport="http",code="200"}': 2,
    '{signal="traces",transport="grpc",code="0"}': 2,
  })
  for (const wire of wires) wire.close()
})

t.test('a port serves the other protocol even if that has no port of its own', async t => {
  const spans = new Recorder()
  const { port, counted } = await receiver(t, { spans: [spans] }, { grpc: { ...OPTIONS.grpc, listen: undefined } })
  t.equal(await exported(port), '0')
  t.equal(spans.spans.length, 2)
  t.same(await counted('pillion_otlp_requests_total'), { '{signal="traces",transport="grpc",code="0"}': 1 })
})

t.test('the protocol is told also when its first bytes come one by one', async t => {
  const spans = new Recorder()
  const { port, grpcPort } = await receiver(t, { spans: [spans] })
  for (const each of [port, grpcPort]) {
    const wire = new Wire(each)
    for (const byte of POST.subarray(0, 6)) {
      wire.send(Buffer.from([byte]))
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    wire.send(POST.subarray(6))
    await wire.until(() => answers(wire) === 1, 'an answer')
    wire.close()
    const preface = new Wire(each)
    for (const byte of 'PRI') {
      preface.send(byte)
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    preface.send(' * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    preface.send(Buffer.from('000000040000000000', 'hex'))
    // Its own SETTINGS frame.
    await preface.until(() => preface.received.length > 9 && preface.received[3] === 4, 'settings')
    preface.close()
  }
  t.equal(spans.spans.length, 4)
})

t.test('a client that sends nothing, or too little to tell its protocol, is closed in time on both ports', async t => {
  const http = { ...OPTIONS.http, header_timeout: 1000 }
  const grpc = { ...OPTIONS.grpc, header_timeout: 1000 }
  const { port, grpcPort } = await receiver(t, { spans: [new Recorder()] }, { http, grpc })
  const wires = [port, grpcPort].flatMap(each => ['', 'P', 'PR'].map(text => ({ wire: new Wire(each), text })))
  for (const { wire, text } of wires) wire.send(text)
  await Promise.all(wires.map(({ wire }) => wire.untilClosed()))
  t.ok(wires.every(({ wire }) => wire.received.length === 0))
})

t.test('a client that speaks TLS is answered, and the operator is told once for each port', async t => {
  const { port, grpcPort, running, logged } = await receiver(t, { spans: [new Recorder()] })
  for (const each of [port, grpcPort, grpcPort]) {
    const wire = new Wire(each)
    wire.send(Buffer.from('160301020001000001fc0303', 'hex'))
    await wire.until(() => wire.text.startsWith('HTTP/1.1 400'), 'an answer')
    await wire.untilClosed()
  }
  const texts = running.findings?.().map(each => each.text) ?? []
  t.match(texts, [new RegExp(`TLS to port ${port}.*http://`), new RegExp(`TLS to port ${grpcPort}`)])
  t.equal(texts.length, 2)
  t.equal(logged.filter(line => line.includes('TLS')).length, 2)
})

t.test('when all connections are taken, the one that is idle the longest gives way to the new one', async t => {
  const { port, grpcPort, value } = await receiver(
    t,
    { spans: [new Recorder()] },
    { http: { ...OPTIONS.http, max_connections: 2 }, grpc: { ...OPTIONS.grpc, max_connections: 2 } },
  )
  const [first, second] = [await post(port), await post(port)]
  // The first is used again, so the second is now idle the longest.
  first.send(POST)
  await first.until(() => answers(first) === 2, 'a second answer')
  const third = await post(port)
  await second.untilClosed()
  t.notOk(first.closed)
  t.equal(await value('pillion_otlp_refused_connections_total{transport="http"}'), 1)

  // Both are busy: a body is on its way.
  for (const wire of [first, third]) wire.send(`${HEAD}Content-Length: 10\r\n\r\n12345`)
  await eventually(async () => (await value('pillion_otlp_inflight_bytes')) === 20, 'both to be busy')
  const fourth = new Wire(port)
  fourth.send(POST)
  await fourth.untilClosed()
  t.equal(fourth.text, '', 'the new one is closed')
  t.notOk(first.closed || third.closed)
  t.equal(await value('pillion_otlp_refused_connections_total{transport="http"}'), 2)
  for (const wire of [first, third]) wire.close()

  const idle = [connect(`http://127.0.0.1:${grpcPort}`), connect(`http://127.0.0.1:${grpcPort}`)]
  for (const each of idle) {
    each.on('error', () => {})
    await once(each, 'remoteSettings')
  }
  const gone = once(idle[0]!, 'close')
  t.equal(await exported(grpcPort), '0')
  await gone
  t.notOk(idle[1]!.destroyed)
  t.equal(await value('pillion_otlp_refused_connections_total{transport="grpc"}'), 1)
  for (const each of idle) each.destroy()
})

t.test('a few requests in a row are answered in order, and a connection that sends many at once is closed', async t => {
  const spans = new Recorder()
  const { port } = await receiver(t, { spans: [spans] })
  const few = new Wire(port)
  few.send(Buffer.concat([POST, POST, Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\n\r\n`), POST]))
  await few.until(() => answers(few) === 3, 'all answers')
  t.match(few.text, /200.*200.*404.*200/s)
  few.close()
  const many = new Wire(port)
  many.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1500))
  await many.untilClosed()
  t.ok(many.text.split('HTTP/1.1 404').length < 20)
})

t.test('a transfer encoding that is not chunked is 501, and another version of HTTP 505', async t => {
  const spans = new Recorder()
  const { port, counted } = await receiver(t, { spans: [spans] })
  const f = async (text: string, expected: string) => {
    const wire = new Wire(port)
    wire.send(text)
    await wire.untilClosed()
    t.equal(wire.text.slice(9, 12), expected, text)
  }
  await f(`${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, '501')
  await f(`${HEAD.replace('1.1', '2.0')}Content-Length: 0\r\n\r\n`, '505')
  t.equal(spans.requests.length, 0)
  t.same(await counted('pillion_otlp_requests_total'), {
    '{signal="none",transport="http",code="501"}': 1,
    '{signal="none",transport="http",code="505"}': 1,
  })
})

t.test('answers that a client does not take are given up, without waiting for its connection to end', async t => {
  const { grpcPort } = await receiver(t, { spans: [new Recorder()] })
  const session = connect(`http://127.0.0.1:${grpcPort}`, { settings: { initialWindowSize: 0 } })
  t.teardown(() => session.destroy())
  await once(session, 'remoteSettings')
  const head = Buffer.alloc(5)
  head.writeUInt32BE(GOOD.length, 1)
  const streams = Array.from({ length: 20 }, () => {
    const stream = session.request({ ':method': 'POST', ':path': TRACES, 'content-type': 'application/grpc' })
    stream.on('error', () => {})
    stream.end(Buffer.concat([head, GOOD]))
    return stream
  })
  await Promise.all(streams.map(stream => once(stream, 'response')))
  await Promise.all(streams.map(stream => once(stream, 'close')))
  t.same(
    streams.map(stream => stream.rstCode),
    streams.map(() => 8),
  )
  t.notOk(session.destroyed)
})

t.test('so are those of 64 connections with 100 answered calls each: nothing is held for them in the end', async t => {
  const { grpcPort, memory } = await receiver(t, { spans: [new Recorder()] })
  const head = Buffer.alloc(5)
  head.writeUInt32BE(GOOD.length, 1)
  const body = Buffer.concat([head, GOOD])
  const codes = new Map<number, number>()
  const sessions = await Promise.all(
    Array.from({ length: 64 }, async () => {
      const session = connect(`http://127.0.0.1:${grpcPort}`, { settings: { initialWindowSize: 0 } })
      t.teardown(() => session.destroy())
      session.on('error', () => {})
      await once(session, 'remoteSettings')
      return session
    }),
  )
  const closed = sessions.flatMap(session =>
    Array.from({ length: 100 }, () => {
      const stream = session.request({ ':method': 'POST', ':path': TRACES, 'content-type': 'application/grpc' })
      stream.on('error', () => {})
      stream.end(body)
      return once(stream, 'close').then(() => codes.set(stream.rstCode, (codes.get(stream.rstCode) ?? 0) + 1))
    }),
  )
  await Promise.all(closed)
  t.same([...codes], [[8, 6400]], 'each call was answered, and cancelled when its answer was not taken')
  t.equal(memory.used, 0)
  t.same(
    sessions.filter(session => session.destroyed),
    [],
  )
})
