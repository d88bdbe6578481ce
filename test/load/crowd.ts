// A program of its own: many clients that send at once whatever the sidecar allows, as fast as they are answered, and prints
// as one line of JSON how their items were answered.
//
//   crowd.ts HTTP_PORT GRPC_PORT SECONDS HTTP_CONNECTIONS GRPC_CONNECTIONS LARGE_SHARE traces|all

import { randomInt } from 'node:crypto'
import { type ClientRequest, request } from 'node:http'
import { type ClientHttp2Session, connect } from 'node:http2'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { attribute, fixed64, ld, number, traces } from '../otlp/requests.ts'

export const SIGNALS = ['traces', 'metrics', 'logs'] as const
export type Signal = (typeof SIGNALS)[number]

export interface Tally {
  /** Items answered with 200 or code 0. */
  readonly acknowledged: Readonly<Record<Signal, number>>
  /** Items of requests that got no answer, because the client cut them off: they may have been taken or not. */
  readonly unanswered: Readonly<Record<Signal, number>>
  /** Requests by their answer: "http 200", "http 503", "grpc 14", "http cut off", "http broken". */
  readonly answers: Readonly<Record<string, number>>
}

/** Spans of a batch: of the SDKs, of a Collector in front of it, and small ones. */
const USUAL = 512
const LARGE = 8000
const SMALL = 20

/** JSON is larger: 4 MiB, the most that is taken, are some 5,800 of these spans. */
const LARGE_JSON = 5000

const CODINGS = ['identity', 'gzip', 'zstd'] as const
type Coding = (typeof CODINGS)[number]

interface Body {
  readonly signal: Signal
  readonly items: number
  readonly type: 'application/x-protobuf' | 'application/json'
  readonly coded: Readonly<Record<Coding, Buffer>>
}

function made(signal: Signal, items: number, type: Body['type'], identity: Buffer): Body {
  return {
    signal,
    items,
    type,
    coded: { identity, gzip: gzipSync(identity, { level: 1 }), zstd: zstdCompressSync(identity) },
  }
}

const ITEM = { traces: spanOf, metrics: pointOf, logs: recordOf } as const

function bodyOf(items: number, signal: Signal = 'traces'): Body {
  const resource = [attribute(1, 'service.name', 'shop'), attribute(1, 'service.instance.id', 'shop-7d9f-x2x4q')]
  // Requests of all signals have the same structure.
  return made(
    signal,
    items,
    'application/x-protobuf',
    traces(resource, ...Array.from({ length: items }, (_, i) => ITEM[signal](i))),
  )
}

/** A gauge with one point, of which 500 differ; a value may come again. */
function pointOf(i: number): Buffer {
  const time = fixed64(3, BigInt(Date.now()) * 1_000_000n)
  return Buffer.concat([
    ld(1, 'queue'),
    ld(5, ld(1, attribute(7, 'shop', `shop ${i % 500}`), time, fixed64(6, BigInt(i)))),
  ])
}

/** A log record of some 300 bytes. */
function recordOf(i: number): Buffer {
  const id = idOf(i)
  return Buffer.concat([
    fixed64(1, BigInt(Date.now()) * 1_000_000n),
    number(2, i % 10 === 0 ? 17 : 9),
    ld(5, ld(1, `order ${i} of customer ${i % 997} was taken in ${i % 113} ms ${'.'.repeat(100)}`)),
    attribute(6, 'code.function', 'take'),
    attribute(6, 'thread.name', `worker ${i % 8}`),
    ld(9, id),
    ld(10, id.subarray(8)),
  ])
}

function jsonOf(count: number): Body {
  const text = (key: string, value: string) => ({ key, value: { stringValue: value } })
  const start = BigInt(Date.now()) * 1_000_000n
  const spans = Array.from({ length: count }, (_, i) => ({
    traceId: idOf(i).toString('hex'),
    spanId: idOf(i).toString('hex', 8),
    name: `GET /api/orders/:id${i % 25}`,
    kind: 2,
    startTimeUnixNano: String(start),
    endTimeUnixNano: String(start + BigInt(1 + i) * 1_000_000n),
    attributes: [
      text('http.request.method', 'GET'),
      text('http.route', `/api/orders/:id${i % 25}`),
      text('url.path', `/api/orders/${1000 + i}`),
      text('user_agent.original', 'Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101'),
      text('client.address', '10.0.0.7'),
      text('http.response.status_code', '200'),
    ],
  }))
  const resource = { attributes: [text('service.name', 'shop'), text('service.instance.id', 'shop-7d9f-x2x4q')] }
  const whole = JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans }] }] })
  return made('traces', count, 'application/json', Buffer.from(whole))
}

function idOf(i: number): Buffer {
  const id = Buffer.alloc(16, 0xab)
  id.writeUInt32BE(i + 1, 8)
  return id
}

/** A span of some 320 bytes, with ids of its own. */
function spanOf(i: number): Buffer {
  const id = idOf(i)
  const start = BigInt(Date.now()) * 1_000_000n
  return Buffer.concat([
    ld(1, id),
    ld(2, id.subarray(8)),
    ld(5, `GET /api/orders/:id${i % 25}`),
    number(6, 2),
    fixed64(7, start),
    fixed64(8, start + BigInt(1 + i) * 1_000_000n),
    attribute(9, 'http.request.method', 'GET'),
    attribute(9, 'http.route', `/api/orders/:id${i % 25}`),
    attribute(9, 'url.path', `/api/orders/${1000 + i}`),
    attribute(9, 'user_agent.original', 'Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101'),
    attribute(9, 'client.address', '10.0.0.7'),
    attribute(9, 'http.response.status_code', '200'),
  ])
}

const answers: Record<string, number> = {}
const acknowledged = { traces: 0, metrics: 0, logs: 0 }
const unanswered = { traces: 0, metrics: 0, logs: 0 }

function count(answer: string, body?: Body): void {
  answers[answer] = (answers[answer] ?? 0) + 1
  if (!body) return
  if (answer === 'http 200' || answer === 'grpc 0') acknowledged[body.signal] += body.items
  else if (/ (cut off|broken)$/.test(answer)) unanswered[body.signal] += body.items
}

/** Sends one body over HTTP, on a connection of its own that stays open; each hundredth request is cut off in the middle. */
async function overHttp(port: number, agent: import('node:http').Agent, coding: Coding, body: Body): Promise<void> {
  const bytes = body.coded[coding]
  const cut = randomInt(100) === 0
  const headers = {
    'content-type': body.type,
    'content-length': bytes.length,
    ...(coding === 'identity' ? {} : { 'content-encoding': coding }),
  }
  await new Promise<void>(resolve => {
    const done = (answer: string): void => {
      count(answer, body)
      resolve()
    }
    const sent: ClientRequest = request(
      { port, host: '127.0.0.1', method: 'POST', path: `/v1/${body.signal}`, agent, headers },
      answer => {
        answer.resume()
        answer.on('end', () => done(`http ${answer.statusCode}`))
        answer.on('error', () => done('http broken'))
      },
    )
    sent.on('error', () => done(cut ? 'http cut off' : 'http broken'))
    if (!cut) return void sent.end(bytes)
    sent.write(bytes.subarray(0, bytes.length >> 1), () => sent.destroy(new Error('cut off')))
  })
}

/** `bodies` are the small, the usual and the large ones, as many of each. */
async function client(send: (body: Body) => Promise<void>, bodies: readonly Body[], share: number): Promise<void> {
  const sizes = bodies.length / 3
  const pick = (size: number) => bodies[size * sizes + randomInt(sizes)]!
  while (performance.now() < end) await send(pick(Math.random() < share ? 2 : randomInt(2)))
}

/** The code of a RST_STREAM for a call that the server has not begun (RFC 9113, section 8.7). */
const REFUSED_STREAM = 7

/**
 * A client with one connection, which is opened again when it has ended. A call that the end of a connection cuts off is counted
 * as broken, unless the server said by GOAWAY or REFUSED_STREAM that it has not begun it.
 */
function grpcClient(port: number, coding: Coding): (body: Body) => Promise<void> {
  let session = open()

  function open(): Session {
    // Node never takes back what it counts for a message that was still being sent when its call was answered. With any limit
    // on that count its client would drop answers once it is reached, and these calls would never end.
    const to = connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 1_000_000 })
    const made: Session = { to, last: undefined }
    to.on('error', () => {})
    to.on('goaway', (code, last) => {
      made.last = last
      count(`grpc connection ended by code ${code}`)
    })
    return made
  }

  return body =>
    new Promise(resolve => {
      if (session.to.closed || session.to.destroyed) session = open()
      const { to } = session
      const within = session
      const message = body.coded[coding]
      const cut = randomInt(100) === 0
      const path = `/opentelemetry.proto.collector.${SERVICES[body.signal]}Service/Export`
      const stream = to.request({ ...HEADERS, ':path': path, 'grpc-encoding': coding })
      let answer = cut ? 'grpc cut off' : 'grpc broken'
      const status = (fields: Record<string, unknown>) => {
        if (fields['grpc-status'] !== undefined) answer = `grpc ${fields['grpc-status']}`
      }
      stream
        .on('response', status)
        .on('trailers', status)
        .on('error', () => {})
      const silent = setTimeout(() => {
        answer = 'grpc silent and broken'
        stream.destroy()
      }, SILENT_MS)
      stream.on('close', () => {
        clearTimeout(silent)
        const notBegun =
          stream.rstCode === REFUSED_STREAM || (within.last !== undefined && (stream.id ?? 0) > within.last)
        count(answer === 'grpc broken' && notBegun ? 'grpc not begun' : answer, body)
        resolve()
      })
      stream.resume()
      const frame = frameOf(message, coding !== 'identity')
      if (!cut) return void stream.end(frame)
      stream.write(frame.subarray(0, frame.length >> 1), () => stream.close(8))
    })
}

interface Session {
  readonly to: ClientHttp2Session
  /** The last stream that is answered, once the server has said so. */
  last: number | undefined
}

/** Longer than the sidecar takes for any answer. */
const SILENT_MS = 40_000

const SERVICES = { traces: 'trace.v1.Trace', metrics: 'metrics.v1.Metrics', logs: 'logs.v1.Logs' } as const

const HEADERS = {
  ':method': 'POST',
  'content-type': 'application/grpc',
  te: 'trailers',
}

const frames = new Map<Buffer, Buffer>()

/** Made once for each message: a client that is busy with copies is slower than what it should besiege. */
function frameOf(message: Buffer, compressed: boolean): Buffer {
  const known = frames.get(message)
  if (known) return known
  const prefix = Buffer.alloc(5)
  prefix[0] = compressed ? 1 : 0
  prefix.writeUInt32BE(message.length, 1)
  const frame = Buffer.concat([prefix, message])
  frames.set(message, frame)
  return frame
}

let end = 0

if (import.meta.main) {
  const [http = 0, grpc = 0, seconds = 0, overHttp1 = 0, overGrpc = 0, share = 0] = process.argv.slice(2).map(Number)
  const { Agent } = process.getBuiltinModule('node:http')
  // As many of each size. Protobuf three times as often as JSON.
  const sizes = [SMALL, USUAL, LARGE].map(size => bodyOf(size))
  const json = [SMALL, USUAL, LARGE_JSON].map(jsonOf)
  const others = [SMALL, USUAL, LARGE].map(size => [bodyOf(size, 'metrics'), bodyOf(size, 'logs')])
  const all = process.argv[8] === 'all'
  const overGrpcSent = sizes.flatMap((each, i) => (all ? [each, ...others[i]!] : [each]))
  const mixed = sizes.flatMap((each, i) => [each, each, ...(all ? others[i]! : [each]), json[i]!])
  end = performance.now() + seconds * 1000
  // One client in four compresses all that it sends. Those that compress nothing come again the fastest.
  const codingOf = (i: number): Coding => (i % 4 !== 3 ? 'identity' : i % 8 === 3 ? 'gzip' : 'zstd')
  await Promise.all([
    ...Array.from({ length: overHttp1 }, (_, i) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      return client(body => overHttp(http, agent, codingOf(i), body), mixed, share)
    }),
    ...Array.from({ length: overGrpc }, (_, i) => client(grpcClient(grpc, codingOf(i)), overGrpcSent, share)),
  ])
  const tally: Tally = { acknowledged, unanswered, answers }
  console.log(JSON.stringify(tally))
  process.exit()
}
