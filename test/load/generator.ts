// A program of its own: sends spans at a fixed rate, whatever their outcome, and prints the answers as one line of JSON. It is
// an open loop: a slow answer does not delay the next request.
//
//   generator.ts http|grpc PORT SPANS_PER_SECOND SECONDS

import { randomBytes } from 'node:crypto'
import { Agent, request } from 'node:http'
import { type ClientHttp2Session, connect } from 'node:http2'
import { attribute, fixed64, ld, number, traces } from '../otlp/requests.ts'

/** The outcomes of the spans; times are of whole requests, in milliseconds. */
export interface Report {
  readonly offered: number
  readonly accepted: number
  /** Answered with "retry later" or "too large". */
  readonly refused: number
  /** Not answered: no connection, or one that broke. */
  readonly unanswered: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export const BATCH = 100

/** Its output, whole. */
export const REPORT = /^\{.*\}$(?=\n)/m

/** An empty trace id, with its tag and length before it and those of the span id behind it. */
const MARK = Buffer.concat([ld(1, Buffer.alloc(16, 0xab)), Buffer.from([0x12, 8])])

/** A body as an SDK makes it: 100 spans of ten attributes, some 45 kB. Its ids are filled in each time it is sent. */
const template = traces(
  [attribute(1, 'service.name', 'shop'), attribute(1, 'service.instance.id', 'shop-7d9f-x2x4q')],
  ...Array.from({ length: BATCH }, (_, i) => spanOf(i)),
)
const places: number[] = []
for (let at = template.indexOf(MARK); at >= 0; at = template.indexOf(MARK, at + 1)) places.push(at)

function spanOf(i: number): Buffer {
  const start = BigInt(Date.now()) * 1_000_000n
  const attributes = Object.entries({
    'http.request.method': 'GET',
    'http.route': `/api/orders/:id${i % 25}`,
    'url.path': `/api/orders/${1000 + i}`,
    'url.scheme': 'http',
    'server.address': 'shop.example',
    'network.protocol.version': '1.1',
    'user_agent.original': 'Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101',
    'client.address': '10.0.0.7',
    'network.peer.address': '10.0.0.9',
    'http.response.status_code': '200',
  }).map(([key, value]) => attribute(9, key, value))
  return Buffer.concat([
    ld(1, Buffer.alloc(16, 0xab)),
    ld(2, Buffer.alloc(8, 0xcd)),
    ld(5, `GET /api/orders/:id${i % 25}`),
    number(6, 2),
    fixed64(7, start),
    fixed64(8, start + BigInt(1 + i) * 1_000_000n),
    ...attributes,
  ])
}

let issued = 0
const prefix = randomBytes(8)

/** The body with unique ids. */
function body(): Buffer {
  const made = Buffer.from(template)
  for (const at of places) {
    prefix.copy(made, at + 2)
    made.writeBigUInt64BE(BigInt(++issued), at + 10)
    made.writeBigUInt64BE(BigInt(issued), at + 20)
  }
  return made
}

type Answer = 'accepted' | 'refused' | 'unanswered'
type Send = (body: Buffer) => Promise<Answer>

function overHttp(port: number): Send {
  const agent = new Agent({ keepAlive: true })
  const headers = { 'content-type': 'application/x-protobuf' }
  return body =>
    new Promise(resolve => {
      const sent = request({ port, host: '127.0.0.1', method: 'POST', path: '/v1/traces', agent, headers }, answer => {
        answer.resume()
        answer.on('end', () => resolve(answer.statusCode === 200 ? 'accepted' : 'refused'))
        answer.on('error', () => resolve('unanswered'))
      })
      sent.on('error', () => resolve('unanswered'))
      sent.end(body)
    })
}

// Four connections, as four workers of an application would have. Node's client cancels calls when more than 10 MB are
// waiting to be sent; like other gRPC clients, this one has no such limit.
function overGrpc(port: number): Send {
  const sessions: ClientHttp2Session[] = Array.from({ length: 4 }, () =>
    connect(`http://127.0.0.1:${port}`, { maxSessionMemory: 100_000 }),
  )
  for (const session of sessions) session.on('error', () => {})
  const headers = {
    ':method': 'POST',
    ':path': '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
    'content-type': 'application/grpc',
    te: 'trailers',
  }
  let turn = 0
  return body =>
    new Promise(resolve => {
      const stream = sessions[turn++ % sessions.length]!.request(headers)
      let answer: Answer = 'unanswered'
      const status = (fields: Record<string, unknown>) => {
        if (fields['grpc-status'] !== undefined) answer = fields['grpc-status'] === '0' ? 'accepted' : 'refused'
      }
      stream.on('response', status)
      stream.on('trailers', status)
      stream.on('error', () => {})
      stream.on('close', () => resolve(answer))
      stream.resume()
      const prefix = Buffer.alloc(5)
      prefix.writeUInt32BE(body.length, 1)
      stream.end(Buffer.concat([prefix, body]))
    })
}

async function generate(send: Send, rate: number, seconds: number): Promise<Report> {
  const counts = { accepted: 0, refused: 0, unanswered: 0 }
  const times: number[] = []
  const open = new Set<Promise<void>>()
  const begun = performance.now()
  const total = Math.round((rate * seconds) / BATCH)
  for (let sent = 0; sent < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - begun) / 1000) * (rate / BATCH)) + 1)
    for (; sent < due; sent += 1) {
      const start = performance.now()
      const done: Promise<void> = send(body()).then(answer => {
        counts[answer] += BATCH
        times.push(performance.now() - start)
        open.delete(done)
      })
      open.add(done)
    }
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  await Promise.all(open)
  times.sort((a, b) => a - b)
  const at = (part: number) => Math.round((times[Math.floor((times.length - 1) * part)] ?? Number.NaN) * 10) / 10
  return { offered: total * BATCH, ...counts, p50: at(0.5), p99: at(0.99), max: at(1) }
}

if (import.meta.main) {
  const [protocol, port, rate, seconds] = process.argv.slice(2)
  if (places.length !== BATCH) throw new Error(`cannot find the ids: ${places.length} of ${BATCH}`)
  const send = protocol === 'grpc' ? overGrpc(Number(port)) : overHttp(Number(port))
  console.log(JSON.stringify(await generate(send, Number(rate), Number(seconds))))
  process.exit()
}
