// gRPC's client for Node in the ways that applications use it: deadlines, cancelled calls, keepalive, compression, large
// messages, and many calls at once on one connection.

import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js'
import t, { type Test } from 'tap'
import { eventually, receiver } from '../receiver.ts'
import { Recorder } from '../recorder.ts'
import { many, span, traces } from '../requests.ts'

t.setTimeout(180_000)

const EXPORT = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
const GOOD = traces([], span('good'))

function client(t: Test, port: number, options: Record<string, unknown> = {}): Client {
  const made = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), { 'grpc.enable_retries': 0, ...options })
  t.teardown(() => made.close())
  return made
}

/** Sends one request; resolves with the code of the answer. */
function send(sender: Client, body: Buffer, deadlineMs = 60_000): Promise<number> {
  const same = (bytes: Buffer) => bytes
  const options = { deadline: Date.now() + deadlineMs }
  return new Promise(resolve =>
    sender.makeUnaryRequest<Buffer, Buffer>(EXPORT, same, same, body, new Metadata(), options, error =>
      resolve(error?.code ?? 0),
    ),
  )
}

t.test('three thousand calls, two hundred at a time, on one connection: each is answered and taken once', async t => {
  const spans = new Recorder()
  const { grpcPort, value, counted } = await receiver(t, { spans: [spans] })
  const sender = client(t, grpcPort)
  let next = 0
  const codes = new Set<number>()
  const worker = async () => {
    while (next < 3000) codes.add(await send(sender, traces([], span(`call ${next++}`))))
  }
  await Promise.all(Array.from({ length: 200 }, worker))
  t.same([...codes], [0])
  t.equal(new Set(spans.spans.map(({ name }) => name)).size, 3000)
  t.same(await counted('pillion_otlp_requests_total'), { '{signal="traces",transport="grpc",code="0"}': 3000 })
  t.equal(await value('pillion_otlp_inflight_bytes'), 0)
})

t.test('messages of 4 MiB and more, plain and gzip, several at once', async t => {
  const spans = new Recorder()
  const { grpcPort } = await receiver(t, { spans: [spans] })
  const body = many('a'.repeat(100), 30_000)
  t.ok(body.length > 4 << 20, `${body.length} bytes`)
  for (const compression of [0, 2]) {
    const sender = client(t, grpcPort, { 'grpc.default_compression_algorithm': compression })
    const codes = await Promise.all(Array.from({ length: 4 }, () => send(sender, body)))
    t.same(codes, [0, 0, 0, 0])
  }
  t.equal(spans.spans.length, 8 * 30_000)
})

t.test('a call that is cancelled leaves nothing behind, and its connection goes on', async t => {
  const { grpcPort, value, counted } = await receiver(t, { spans: [new Recorder()] })
  const sender = client(t, grpcPort)
  const same = (bytes: Buffer) => bytes
  const { promise, resolve } = Promise.withResolvers<ServiceError | null>()
  const call = sender.makeClientStreamRequest<Buffer, Buffer>(EXPORT, same, same, resolve)
  call.write(Buffer.alloc(100_000, 0))
  await eventually(async () => ((await value('pillion_otlp_inflight_bytes')) ?? 0) > 90_000, 'its bytes')
  call.cancel()
  t.match(await promise, { code: 1 })
  await eventually(async () => (await value('pillion_otlp_inflight_bytes')) === 0, 'its bytes to be given back')
  // grpc-js ends the body of a call that it resets, so this one, whose message was whole, may have been read.
  t.same(Object.values(await counted('pillion_otlp_requests_total')), [1])
  t.equal(await send(sender, GOOD), 0)
})

t.test('a deadline that passes is answered as such', async t => {
  const { grpcPort } = await receiver(t, { spans: [new Recorder()] })
  const sender = client(t, grpcPort)
  const same = (bytes: Buffer) => bytes
  const code = await new Promise(resolve => {
    const options = { deadline: Date.now() + 100 }
    const call = sender.makeClientStreamRequest<Buffer, Buffer>(EXPORT, same, same, new Metadata(), options, error =>
      resolve(error?.code ?? 0),
    )
    call.on('error', () => {})
    call.write(Buffer.alloc(10))
  })
  t.equal(code, 4)
  t.equal(await send(sender, GOOD), 0)
})

t.test('a client that asks every second whether the connection lives is answered', async t => {
  const { grpcPort } = await receiver(t, { spans: [new Recorder()] })
  const sender = client(t, grpcPort, {
    'grpc.keepalive_time_ms': 1000,
    'grpc.keepalive_timeout_ms': 2000,
    'grpc.keepalive_permit_without_calls': 1,
  })
  t.equal(await send(sender, GOOD), 0)
  const channel = sender.getChannel()
  const state = channel.getConnectivityState(false)
  // It would be given up 2 s after a question without an answer, the first of which is sent after a second.
  await new Promise(resolve => setTimeout(resolve, 4500))
  t.equal(channel.getConnectivityState(false), state, 'it has stayed connected')
  t.equal(await send(sender, GOOD), 0)
})

t.test('calls that go on while the receiver closes are answered, or told that nobody is there', async t => {
  const spans = new Recorder()
  const { grpcPort, running } = await receiver(t, { spans: [spans] })
  const sender = client(t, grpcPort)
  const codes: number[] = []
  let over = false
  const worker = async () => {
    while (!over) codes.push(await send(sender, GOOD))
  }
  const workers = Array.from({ length: 20 }, worker)
  await eventually(async () => codes.length > 100, 'calls')
  await running[Symbol.asyncDispose]()
  over = true
  await Promise.all(workers)
  codes.push(await send(sender, GOOD))
  const answered = codes.filter(code => code === 0).length
  t.equal(spans.spans.length, answered, 'each taken request was answered, and nothing else was')
  t.same([...new Set(codes)].sort(), [0, 14])
})
