// The gRPC probe: grpc.health.v1.Health/Check over node:http2. The two messages of the protocol are small enough to be
// encoded and decoded here:
//
//   request  = frame { HealthCheckRequest  { string service = 1 } }
//   response = frame { HealthCheckResponse { ServingStatus status = 1 } }   1 = SERVING
//   frame    = compressed (1 byte, 0) length (4 bytes, big endian) message

import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import { open } from '../../client/connection.ts'
import { failed, failure } from '../../client/failure.ts'
import { Stopwatch } from '../../client/stopwatch.ts'
import { varints } from '../../protobuf/varint.ts'
import type { TcpEndpoint } from '../../telemetry/client.ts'
import { refusal } from './address.ts'
import { type Failure, type Probe, type ProbeContext, propagation } from './verdict.ts'

export interface GrpcTarget {
  readonly kind: 'grpc'
  readonly endpoint: TcpEndpoint
  readonly authority: string
  readonly service: string
}

/** `status` is the gRPC status: 0 OK, 5 unknown service, 12 no health service, 14 unavailable. */
type Reply = ({ readonly ok: true } | Failure) & { readonly status?: number }

const RESPONSE_LIMIT = 64 * 1024

export const grpc: Probe<GrpcTarget> = async (target, signal, context) => {
  const watch = new Stopwatch(context.clock)
  const opened = await open(target.endpoint, signal, watch, { protocols: ['h2'], blocked: refusal })
  const tls = opened.notAfter === undefined ? {} : { notAfter: opened.notAfter }
  if (!opened.ok) return watch.stop(opened)
  watch.enter('processing')
  const session = process
    .getBuiltinModule('node:http2')
    .connect(`${target.endpoint.tls ? 'https' : 'http'}://${target.authority}`, {
      createConnection: () => opened.socket,
      settings: { enablePush: false },
      // MiB. A peer that sends more than this at once ends its session.
      maxSessionMemory: 1,
    })
  try {
    const { status, ...outcome } = await check(session, target, signal, context, watch)
    return watch.stop({ ...outcome, ...tls, ...(status === undefined ? {} : { status }) })
  } finally {
    session.destroy()
    opened.socket.destroy()
  }
}

function check(
  session: ClientHttp2Session,
  target: GrpcTarget,
  signal: AbortSignal,
  context: ProbeContext,
  watch: Stopwatch,
): Promise<Reply> {
  const { promise, resolve } = Promise.withResolvers<Reply>()
  const lose = (error?: unknown): void => resolve(failure(error, signal))
  const expire = (): void => lose()
  if (signal.aborted) expire()
  else signal.addEventListener('abort', expire, { once: true })
  session.on('error', lose)
  session.on('close', () => resolve(failed('reset', 'the session was closed')))
  const stream = session.request({
    ':method': 'POST',
    ':path': '/grpc.health.v1.Health/Check',
    'content-type': 'application/grpc',
    te: 'trailers',
    'user-agent': context.userAgent,
    ...propagation(context),
  })
  listen(stream, resolve, lose, watch)
  stream.end(request(target.service))
  return promise.finally(() => signal.removeEventListener('abort', expire))
}

function listen(
  stream: ClientHttp2Stream,
  resolve: (reply: Reply) => void,
  lose: (error?: unknown) => void,
  watch: Stopwatch,
): void {
  const chunks: Buffer[] = []
  let size = 0
  // A response without a message may have its status in the headers ("trailers only").
  let last: IncomingHttpHeaders | undefined
  stream.on('response', headers => {
    watch.enter('transfer')
    last = headers
    if (headers[':status'] !== 200 || !headers['content-type']?.startsWith('application/grpc'))
      resolve(failed('protocol', `not gRPC: status ${headers[':status']}, content type ${headers['content-type']}`))
  })
  stream.on('trailers', trailers => {
    last = trailers
  })
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    size += chunk.length
    if (size > RESPONSE_LIMIT) resolve(failed('too_large', `the answer is longer than ${RESPONSE_LIMIT} bytes`))
  })
  stream.on('error', lose)
  stream.on('end', () => {
    if (last) resolve(judge(last['grpc-status'], Buffer.concat(chunks)))
    else resolve(failed('reset', 'the stream was closed without an answer'))
  })
  stream.on('close', () => resolve(failed('reset', 'the stream was closed')))
}

function judge(code: string | string[] | undefined, body: Buffer): Reply {
  if (typeof code !== 'string' || !/^\d{1,3}$/.test(code)) return failed('protocol', 'the answer has no grpc-status')
  const status = Number(code)
  if (status !== 0) return { ...failed('status', `gRPC status ${status}`), status }
  const serving = servingStatus(body)
  if (serving === undefined) return { ...failed('protocol', 'the answer is not a HealthCheckResponse'), status }
  if (serving === 1) return { ok: true, status }
  return {
    ...failed('status', ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'][serving] ?? `${serving}`),
    status,
  }
}

function request(service: string): Buffer {
  const name = Buffer.from(service)
  const message = name.length === 0 ? name : Buffer.concat([varints(0x0a, name.length), name])
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** Field 1 of the message in the only frame; undefined if there is no such frame. Unknown fields are skipped. */
function servingStatus(frame: Buffer): number | undefined {
  if (frame.length < 5 || frame[0] !== 0 || frame.readUInt32BE(1) !== frame.length - 5) return undefined
  let at = 5
  let serving = 0
  const read = (): number => {
    let value = 0
    for (let shift = 0; shift < 35 && at < frame.length; shift += 7) {
      const byte = frame[at++]!
      value += (byte & 127) * 2 ** shift
      if (byte < 128) return value
    }
    return Number.NaN
  }
  while (at < frame.length) {
    const tag = read()
    if (tag === 8) serving = read()
    else if (tag % 8 === 0) read()
    else if (tag % 8 === 2) {
      const length = read()
      at += length
    } else return undefined
    if (!(at <= frame.length) || Number.isNaN(serving)) return undefined
  }
  return serving
}
