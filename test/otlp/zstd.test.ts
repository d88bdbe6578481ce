// Bodies in zstd: nothing of one is lost, whatever it consists of, and bombs stay small.

import { once } from 'node:events'
import { connect } from 'node:http2'
import { constants, zstdCompressSync } from 'node:zlib'
import t from 'tap'
import { receiver } from './receiver.ts'
import { Recorder } from './recorder.ts'
import { attribute, ld, span, traces } from './requests.ts'

const MIB = 1024 * 1024
const GOOD = traces([attribute(1, 'service.name', 'shop')], span('a'), span('b'))
const ZSTD = { 'content-encoding': 'zstd' }
const CHECKED = { params: { [constants.ZSTD_c_checksumFlag]: 1 } }

function skippable(text: string): Buffer {
  const head = Buffer.from('5a2a4d1800000000', 'hex')
  head.writeUInt32LE(text.length, 4)
  return Buffer.concat([head, Buffer.from(text)])
}

/** As a streaming encoder makes it, which does not know the size of what is to come. */
function unsized(body: Buffer): Buffer {
  return zstdCompressSync(body, { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } })
}

t.test('zstd bodies are taken whole: one frame, several, with sizes and checksums or without', async t => {
  const f = async (frames: readonly Buffer[], spans: number) => {
    const recorder = new Recorder()
    const { fetch } = await receiver(t, { spans: [recorder] })
    t.equal((await fetch('/v1/traces', { headers: ZSTD, body: Buffer.concat(frames) })).status, 200)
    t.equal(recorder.spans.length, spans)
  }
  const whole = zstdCompressSync(GOOD)
  await f([whole], 2)
  await f([unsized(GOOD)], 2)
  await f([zstdCompressSync(GOOD, CHECKED)], 2)
  // Requests one after another are one request.
  await f([whole, whole], 4)
  await f([skippable('about'), unsized(GOOD), zstdCompressSync(GOOD, CHECKED), skippable(''), whole], 6)
  const half = GOOD.length >> 1
  await f([zstdCompressSync(GOOD.subarray(0, half)), zstdCompressSync(GOOD.subarray(half))], 2)
  const padded = Buffer.concat([GOOD, ld(100, Buffer.alloc(3 * MIB, 'ab'))])
  await f([zstdCompressSync(padded)], 2)
  await f([unsized(padded), whole], 4)
})

t.test('zstd that is broken or not whole is refused', async t => {
  const spans = new Recorder()
  const { fetch } = await receiver(t, { spans: [spans] })
  const whole = zstdCompressSync(GOOD, CHECKED)
  const f = async (body: Buffer, what: string) =>
    t.equal((await fetch('/v1/traces', { headers: ZSTD, body })).status, 400, what)
  const wrong = Buffer.from(whole)
  wrong[wrong.length - 1]! ^= 1
  await f(wrong, 'a wrong checksum')
  await f(Buffer.concat([whole, Buffer.from('garbage')]), 'something after the end')
  await f(Buffer.concat([whole, whole.subarray(0, -1)]), 'a second frame that is cut off')
  await f(Buffer.concat([whole, skippable('text').subarray(0, -1)]), 'a skippable frame that is cut off')
  for (let length = 0; length < whole.length; length++) {
    const { status } = await fetch('/v1/traces', { headers: ZSTD, body: whole.subarray(0, length) })
    if (status !== 400) t.fail(`cut off after ${length} bytes: ${status}`)
  }
  await f(GOOD, 'not zstd')
  await f(Buffer.alloc(65 * whole.length, whole), 'more frames than any client sends')
  t.equal(spans.spans.length, 0)
})

t.test('zstd bombs are refused by what they declare, or as soon as they pass the limit', async t => {
  const { fetch, value } = await receiver(t, { spans: [new Recorder()] }, { max_request: MIB })
  const zeros = Buffer.alloc(100 * MIB)
  const f = async (body: Buffer, what: string) =>
    t.equal((await fetch('/v1/traces', { headers: ZSTD, body })).status, 413, what)
  await f(zstdCompressSync(zeros), 'declared')
  await f(unsized(zeros), 'not declared')
  const part = zstdCompressSync(zeros.subarray(0, MIB >> 1))
  await f(Buffer.concat([part, part, zstdCompressSync(Buffer.from('x'))]), 'in frames that are each small enough')
  t.equal(await value('pillion_otlp_inflight_bytes'), 0)
})

t.test('gRPC messages in zstd are taken', async t => {
  const spans = new Recorder()
  const { grpcPort } = await receiver(t, { spans: [spans] })
  const session = connect(`http://127.0.0.1:${grpcPort}`)
  t.teardown(() => session.destroy())
  const stream = session.request({
    ...{ ':method': 'POST', ':path': '/opentelemetry.proto.collector.trace.v1.TraceService/Export' },
    ...{ 'content-type': 'application/grpc', 'grpc-encoding': 'zstd' },
  })
  const body = Buffer.concat([unsized(GOOD), unsized(GOOD)])
  const head = Buffer.alloc(5, 1)
  head.writeUInt32BE(body.length, 1)
  stream.end(Buffer.concat([head, body]))
  stream.resume()
  const [trailers] = await once(stream, 'trailers')
  t.equal(trailers['grpc-status'], '0')
  t.equal(spans.spans.length, 4)
})
