// HTTP/2 frame by frame: what clients may do that libraries rarely do, and the limits.

import t from 'tap'
import { ArrivingBody, Blocks } from '../../../collectors/otlp/blocks.ts'
import { FrameReader } from '../../../collectors/otlp/http2/reader.ts'
import { CALL, type Frame, frame, frames, headers, hpack, OPENING, PREFACE, TYPE } from '../../threats/frames.ts'
import { receiver, Wire } from '../receiver.ts'
import { Recorder } from '../recorder.ts'
import { hex, many, span, traces } from '../requests.ts'

t.setTimeout(60_000)

const END_STREAM = 1
const ACK = 1
const PING = 6
const WINDOW_UPDATE = 8
const GOOD = message(traces([], span('good')))
const NOTHING = Buffer.alloc(0)

function message(body: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(body.length, 1)
  return Buffer.concat([head, body])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** A whole call, its message in DATA frames of at most so many bytes. */
function call(stream: number, body = GOOD, most = 16_384): Buffer {
  const pieces = [headers(stream, CALL)]
  for (let at = 0; at < body.length; at += most)
    pieces.push(frame(TYPE.data, at + most < body.length ? 0 : END_STREAM, stream, body.subarray(at, at + most)))
  return Buffer.concat(pieces)
}

function sent(wire: Wire, type: number): Frame[] {
  return [...frames(wire.received)].filter(each => each.type === type)
}

/** The grpc-status of each call that has been answered. */
function statuses(wire: Wire): Record<number, string> {
  const found: Record<number, string> = {}
  for (const { stream, payload } of sent(wire, TYPE.headers)) {
    const at = payload.indexOf('grpc-status')
    const length = payload[at + 11] ?? 0
    if (at >= 0) found[stream] = payload.toString('latin1', at + 12, at + 12 + length)
  }
  return found
}

async function answered(wire: Wire, streams: readonly number[], expected = '0'): Promise<boolean> {
  await wire.until(() => wire.closed || streams.every(each => statuses(wire)[each]), `answers to ${streams}`)
  return streams.every(each => statuses(wire)[each] === expected)
}

t.test('a conversation that comes byte by byte, or all at once, is answered alike', async t => {
  const spans = new Recorder()
  const { grpcPort } = await receiver(t, { spans: [spans] })
  const padded = frame(TYPE.data, END_STREAM | 8, 3, Buffer.concat([Buffer.from([3]), GOOD, Buffer.alloc(3)]))
  const trailers = headers(5, hpack({ 'x-after': 'a' }))
  trailers[4] = 4 | END_STREAM
  const prioritised = headers(7, Buffer.concat([Buffer.from([2]), hex('00000001 10'), CALL, Buffer.alloc(2)]))
  prioritised[4] = 4 | 8 | 0x20
  const all = Buffer.concat([
    ...[OPENING, frame(TYPE.settings, ACK, 0, NOTHING), call(1, GOOD, 7)],
    ...[headers(3, CALL), padded],
    ...[headers(5, CALL), frame(TYPE.data, 0, 5, GOOD), trailers],
    ...[frame(0xbb, 0, 0, GOOD), frame(2, 0, 9, hex('00000003 10')), frame(PING, 0, 0, Buffer.alloc(8))],
    ...[prioritised, frame(TYPE.data, END_STREAM, 7, GOOD)],
    ...[frame(TYPE.headers, 0, 11, CALL.subarray(0, 9)), frame(TYPE.continuation, 0, 11, CALL.subarray(9, 40))],
    ...[frame(TYPE.continuation, 4, 11, CALL.subarray(40)), frame(TYPE.data, END_STREAM, 11, GOOD)],
  ])
  for (const size of [1, 2, 3, 10, 100, all.length]) {
    const wire = new Wire(grpcPort)
    for (let at = 0; at < all.length; at += size) {
      wire.send(all.subarray(at, at + size))
      if (size < 100) await new Promise(resolve => setImmediate(resolve))
    }
    t.ok(await answered(wire, [1, 3, 5, 7, 11]), `in pieces of ${size}`)
    t.equal(sent(wire, PING).length, 1)
    t.notOk(wire.closed)
    wire.close()
  }
  t.equal(spans.spans.length, 6 * 5)
})

t.test('a client may ping after each answer, and not much more often', async t => {
  const { grpcPort } = await receiver(t, { spans: [new Recorder()] })
  const wire = new Wire(grpcPort)
  wire.send(OPENING)
  const ping = frame(PING, 0, 0, Buffer.alloc(8))
  for (let n = 0; n < 300; n += 1) {
    wire.send(Buffer.concat([call(2 * n + 1), ping]))
    if (n % 50 === 0) t.ok(await answered(wire, [2 * n + 1]))
  }
  t.ok(await answered(wire, [599]))
  await wire.until(() => sent(wire, PING).length === 300, 'the answers to its pings')
  t.notOk(wire.closed)
  for (let n = 0; n < 150; n += 1) wire.send(ping)
  await wire.untilClosed()
  t.equal(sent(wire, TYPE.goaway)[0]?.payload.readUInt32BE(4), 11, 'ENHANCE_YOUR_CALM')
})

t.test('a call that is refused before it has been sent does not disturb the others', async t => {
  const spans = new Recorder()
  const { grpcPort } = await receiver(t, { spans: [spans] })
  const wire = new Wire(grpcPort)
  const elsewhere = hpack({ ':method': 'POST', ':scheme': 'http', ':path': '/a/b', 'content-type': 'application/grpc' })
  wire.send(Buffer.concat([OPENING, headers(1, elsewhere)]))
  t.ok(await answered(wire, [1], '12'))
  t.equal(sent(wire, TYPE.reset)[0]?.payload.readUInt32BE(0), 0, 'NO_ERROR: it may stop sending')
  // It did not know yet.
  wire.send(Buffer.concat([frame(TYPE.data, 0, 1, GOOD), frame(TYPE.data, END_STREAM, 1, GOOD), call(3)]))
  t.ok(await answered(wire, [3]))
  t.equal(spans.spans.length, 1)
  wire.close()
})

t.test('calls beyond a hundred at a time are refused, and those within are answered', async t => {
  const { grpcPort } = await receiver(t, { spans: [new Recorder()] })
  const wire = new Wire(grpcPort)
  wire.send(OPENING)
  const streams = Array.from({ length: 120 }, (_, i) => 2 * i + 1)
  for (const each of streams) wire.send(headers(each, CALL))
  for (const each of streams.slice(0, 100)) wire.send(frame(TYPE.data, END_STREAM, each, GOOD))
  t.ok(await answered(wire, streams.slice(0, 100)))
  t.same(
    sent(wire, TYPE.reset).map(({ stream, payload }) => [stream, payload.readUInt32BE(0)]),
    streams.slice(100).map(each => [each, 7]),
  )
  wire.send(call(241))
  t.ok(await answered(wire, [241]))
  wire.close()
})

t.test('an answer comes whole through a window that opens byte by byte', async t => {
  const { grpcPort } = await receiver(t, { spans: [new Recorder()] })
  const wire = new Wire(grpcPort)
  const settings = frame(TYPE.settings, 0, 0, hex('0004 00000000'))
  wire.send(Buffer.concat([PREFACE, settings, call(1)]))
  await wire.until(() => sent(wire, TYPE.headers).length === 1, 'the head of the answer')
  for (let n = 1; n <= 5; n += 1) {
    wire.send(frame(WINDOW_UPDATE, 0, 1, uint32(1)))
    await wire.until(() => sent(wire, TYPE.data).length === n, `byte ${n}`)
  }
  t.ok(await answered(wire, [1]))
  t.same(Buffer.concat(sent(wire, TYPE.data).map(({ payload }) => payload)), Buffer.alloc(5))
  wire.close()
})

t.test('a client that keeps to its windows can send a message that is larger: they open as it is read', async t => {
  const spans = new Recorder()
  const { grpcPort } = await receiver(t, { spans: [spans] })
  const wire = new Wire(grpcPort)
  const body = message(many('a', 3000))
  wire.send(Buffer.concat([OPENING, headers(1, CALL)]))
  // Never more than it may.
  let sentBytes = 0
  const allowed = () =>
    sent(wire, WINDOW_UPDATE)
      .filter(({ stream }) => stream === 1)
      .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 256 * 1024)
  for (let at = 0; at < body.length; at += 16_384) {
    const piece = body.subarray(at, at + 16_384)
    await wire.until(() => sentBytes + piece.length <= allowed(), 'room')
    wire.send(frame(TYPE.data, at + 16_384 < body.length ? 0 : END_STREAM, 1, piece))
    sentBytes += piece.length
  }
  t.ok(await answered(wire, [1]))
  t.equal(spans.spans.length, 3000)
  wire.close()
})

t.test(
  'a client that is told to go elsewhere is answered what it had sent by then, and what comes later is left alone',
  async t => {
    const spans = new Recorder()
    const { grpcPort, running } = await receiver(t, { spans: [spans] })
    const wire = new Wire(grpcPort)
    wire.send(Buffer.concat([OPENING, headers(1, CALL)]))
    await wire.until(() => sent(wire, TYPE.settings).length === 2, 'settings')
    const closed = running[Symbol.asyncDispose]()
    await wire.until(() => sent(wire, PING).length === 1, 'a PING after the warning')
    const last = () => sent(wire, TYPE.goaway).map(({ payload }) => payload.readUInt32BE(0))
    t.same(last(), [0x7fff_ffff], 'no call is refused yet')
    // On its way before the client knew.
    wire.send(call(3))
    t.ok(await answered(wire, [3]))
    wire.send(frame(PING, ACK, 0, sent(wire, PING)[0]!.payload))
    await wire.until(() => sent(wire, TYPE.goaway).length === 2, 'the last call')
    t.same(last(), [0x7fff_ffff, 3])
    wire.send(Buffer.concat([call(5), frame(TYPE.data, END_STREAM, 1, GOOD)]))
    t.ok(await answered(wire, [1]))
    await wire.untilClosed()
    await closed
    t.same(statuses(wire), { 1: '0', 3: '0' })
    t.equal(spans.spans.length, 2)
  },
)

t.test('a client that closes its side behind its last call has each answer', async t => {
  const decided = Promise.withResolvers<boolean>()
  const slow = { name: 'slow', reasons: [], take: () => undefined, settled: () => decided.promise }
  const spans = new Recorder()
  const { grpcPort, counted } = await receiver(t, { spans: [spans], traces: [slow] })
  const wire = new Wire(grpcPort)
  wire.send(Buffer.concat([OPENING, call(1), call(3), headers(5, CALL)]))
  wire.socket.end()
  await wire.until(() => sent(wire, TYPE.goaway).length === 1, 'that no other calls are taken')
  decided.resolve(true)
  await wire.untilClosed()
  t.same(statuses(wire), { 1: '0', 3: '0' })
  t.equal(spans.spans.length, 2)
  t.same(await counted('pillion_otlp_requests_total'), {
    '{signal="traces",transport="grpc",code="0"}': 2,
    '{signal="traces",transport="grpc",code="1"}': 1,
  })
})

t.test('a client that does not show that it knows is told after a second which call is the last', async t => {
  const spans = new Recorder()
  const { grpcPort, running } = await receiver(t, { spans: [spans] })
  const wire = new Wire(grpcPort)
  wire.send(Buffer.concat([OPENING, headers(1, CALL)]))
  await wire.until(() => sent(wire, TYPE.settings).length === 2, 'settings')
  const closed = running[Symbol.asyncDispose]()
  await wire.until(() => sent(wire, TYPE.goaway).length === 2, 'the last call')
  t.equal(sent(wire, TYPE.goaway)[1]?.payload.readUInt32BE(0), 1)
  wire.send(Buffer.concat([call(3), frame(TYPE.data, END_STREAM, 1, GOOD)]))
  t.ok(await answered(wire, [1]))
  await wire.untilClosed()
  await closed
  t.same(statuses(wire), { 1: '0' })
  t.equal(spans.spans.length, 1)
})

t.test(
  'frames are read from chunks whose memory is given away with the last of their data, wherever they are divided',
  async t => {
    const whole = Buffer.concat([OPENING, call(1, GOOD, 20), call(3, GOOD, 7)])
    // Each with memory of its own, as it is read from a socket.
    const read = (divided: readonly Buffer[]) => {
      const reader = new FrameReader()
      const heads: string[] = []
      const data: Record<number, string> = {}
      for (const piece of divided) {
        const chunk = Buffer.from(new Uint8Array(piece).buffer)
        reader.feed(chunk)
        for (let each = reader.next(); each; each = reader.next()) {
          if (each === 'head') heads.push(`${reader.type} ${reader.stream} ${reader.length}`)
          if (each !== 'data') continue
          data[reader.stream] = `${data[reader.stream] ?? ''}${reader.bytes.toString('hex', reader.start, reader.end)}`
          // The request is whole, and read on another thread.
          if (reader.end === piece.length) chunk.buffer.transfer(0)
        }
      }
      return { heads, data }
    }
    const expected = read([whole])
    t.same(expected.data, { 1: GOOD.toString('hex'), 3: GOOD.toString('hex') })
    for (let at = 1; at < whole.length; at += 1)
      t.same(read([whole.subarray(0, at), whole.subarray(at)]), expected, `divided at ${at}`)
  },
)

t.test('a body in pieces of one byte takes little more memory than its bytes', async t => {
  const blocks = new Blocks()
  const read = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251))
  for (const size of [1, 7, 600, 9000, 70_000]) {
    const pieces = new ArrivingBody(blocks)
    for (let at = 0; at < read.length; at += size) pieces.add(read.subarray(at, at + size))
    const chunks = pieces.take()
    t.ok(Buffer.concat(chunks).equals(read), `in pieces of ${size}`)
    t.ok(chunks.length < 12, `${chunks.length} buffers`)
    const kept = chunks.reduce((sum, { buffer }) => sum + buffer.byteLength, 0)
    t.ok(kept < 3 * read.length, `${kept} bytes`)
    pieces.release()
  }

  const { grpcPort, value } = await receiver(t, { spans: [new Recorder()] })
  const wire = new Wire(grpcPort)
  const body = message(many('a', 500))
  wire.send(Buffer.concat([OPENING, call(1, body, 1)]))
  t.ok(await answered(wire, [1]))
  t.equal(await value('pillion_otlp_inflight_bytes'), 0)
  wire.close()
})
