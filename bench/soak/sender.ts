// Sends many spans at a fixed rate, whatever their outcome, half over OTLP/HTTP and half over gRPC, and counts the answers. The
// bodies come from an SDK; each request has unique ids. Some are compressed, some contain a span with an invalid id, some are
// truncated.

import { readFileSync } from 'node:fs'
import type { ClientHttp2Session } from 'node:http2'
import { gzipSync } from 'node:zlib'
import { decoder } from '../../test/otlp/protobufjs.ts'
import { unpackBodies } from '../load.ts'
import { answering } from './ask.ts'

export type Question =
  /** Starts sending to these ports, or to others than before. */
  | { readonly send: { readonly http: number; readonly grpc: number; readonly rate: number; readonly bodies: string } }
  /** Stops sending until the next `send`; answered when the last request is. */
  | { readonly rest: true }
  | { readonly account: true }

/** In spans, from the start of this process. */
export interface Account {
  /** In requests that can be decoded and have an outcome; and in those that are in flight. */
  readonly offered: number
  readonly underWay: number
  /** In requests that were answered with success. */
  readonly taken: number
  /** Those with an invalid id, which the answer reports as rejected. */
  readonly rejected: number
  /** In requests that were answered with "retry later" or "too large". */
  readonly refused: number
  /** In requests that were not answered: the connection broke, or time ran out. They may have been accepted. */
  readonly unanswered: number
  /** In requests for which no connection could be made, for instance while nothing listens. */
  readonly unsent: number
  /** Requests by what was answered: "http 200", "grpc 3". */
  readonly answers: Readonly<Record<string, number>>
  /** Answers that are wrong for the request. */
  readonly wrong: readonly string[]
}

/** In this many requests, two (one for each protocol) are compressed; contain an invalid id; are truncated. */
const GZIP = 4
const INVALID = 10
const CUT_OFF = 100
/** More unanswered requests than this stop the sender, whose memory would grow without limit. */
const IN_FLIGHT = 500
const TIMEOUT_MS = 15_000
const KEPT_WRONG = 5

interface Template {
  readonly bytes: Buffer
  readonly spans: number
  /** The offsets of the ids. */
  readonly ids: readonly number[]
  readonly firstTraceId: number
}

interface Request {
  readonly body: Buffer
  readonly spans: number
  readonly gzip: boolean
  readonly kind: 'good' | 'invalid' | 'cut off'
}

/** The code, and whether the answer reports rejected spans; or the reason why there was none. */
type Answer = { readonly code: number; readonly partly: boolean } | 'unanswered' | 'unsent'
type Post = (request: Request) => Promise<Answer>

const counts = { offered: 0, underWay: 0, taken: 0, rejected: 0, refused: 0, unanswered: 0, unsent: 0 }
const answers: Record<string, number> = {}
const wrong: string[] = []
const inFlight = new Set<Promise<void>>()
let issued = 0

if (import.meta.main) {
  let templates: readonly Template[] = []
  let sending: NodeJS.Timeout | undefined
  answering<Question, Account>(async question => {
    if ('send' in question || 'rest' in question) clearInterval(sending)
    if ('rest' in question) await Promise.all(inFlight)
    if ('send' in question) {
      const { http, grpc, rate, bodies } = question.send
      if (templates.length === 0) templates = unpackBodies(readFileSync(bodies)).map(template)
      sending = steadily(rate, templates, [
        { transport: 'http', post: overHttp(http) },
        { transport: 'grpc', post: overGrpc(grpc) },
      ])
    }
    return { ...counts, answers: { ...answers }, wrong: [...wrong] }
  })
}

interface Way {
  readonly transport: 'http' | 'grpc'
  readonly post: Post
}

function steadily(rate: number, templates: readonly Template[], ways: readonly Way[]): NodeJS.Timeout {
  const begun = performance.now()
  let sent = 0
  return setInterval(() => {
    // Requests that a late timer has missed are sent now.
    while (sent < ((performance.now() - begun) / 1000) * rate) {
      if (inFlight.size >= IN_FLIGHT) return
      const request = next(templates)
      sent += request.spans
      counts.underWay += offered(request)
      const { transport, post } = ways[issued % ways.length]!
      const done: Promise<void> = post(request).then(answer => {
        note(transport, request, answer)
        inFlight.delete(done)
      })
      inFlight.add(done)
    }
  }, 10)
}

function next(templates: readonly Template[]): Request {
  issued++
  // Not `issued % length`: of an even number of templates, each way would only ever get the same half.
  const { bytes, spans, ids, firstTraceId } = templates[Math.floor(issued / 2) % templates.length]!
  const body = Buffer.from(bytes)
  for (const at of ids) body.writeUInt32BE(issued, at)
  const cutOff = issued % CUT_OFF < 2
  const invalid = !cutOff && issued % INVALID < 2
  if (invalid) body.fill(0, firstTraceId, firstTraceId + 16)
  return {
    body: cutOff ? body.subarray(0, -3) : body,
    spans,
    gzip: issued % GZIP < 2,
    kind: cutOff ? 'cut off' : invalid ? 'invalid' : 'good',
  }
}

/** Spans that can be counted. */
function offered({ kind, spans }: Request): number {
  return kind === 'cut off' ? 0 : spans
}

function note(transport: Way['transport'], request: Request, answer: Answer): void {
  const { kind } = request
  const spans = offered(request)
  counts.offered += spans
  counts.underWay -= spans
  if (typeof answer === 'string') {
    counts[answer] += spans
    return
  }
  const { code, partly } = answer
  const name = `${transport} ${code}`
  answers[name] = (answers[name] ?? 0) + 1
  const [success, badRequest] = transport === 'http' ? [200, 400] : [0, 3]
  if (code === success && kind !== 'cut off') {
    counts.taken += spans
    if (kind === 'invalid') counts.rejected++
    if (partly === (kind === 'invalid')) return
  } else if (code === badRequest && kind === 'cut off') return
  else counts.refused += spans
  if ([429, 503, 8, 14].includes(code) || wrong.length >= KEPT_WRONG) return
  wrong.push(`${new Date().toISOString()} ${kind}: ${name}${partly ? ', partly' : ''}`)
}

function template(bytes: Buffer): Template {
  const type = decoder('traces')
  // `bytes: Array` gives plain arrays, and what is absent is an empty one.
  const { resourceSpans } = type.toObject(type.decode(bytes), { bytes: Array, arrays: true, defaults: true }) as {
    resourceSpans: { scopeSpans: { spans: { traceId: number[]; spanId: number[]; parentSpanId: number[] }[] }[] }[]
  }
  const spans = resourceSpans.flatMap(each => each.scopeSpans).flatMap(each => each.spans)
  const ids = new Set<number>()
  const find = (field: number, id: readonly number[]): number => {
    const mark = Buffer.from([field * 8 + 2, id.length, ...id])
    if (id.length === 0) return -1
    const first = bytes.indexOf(mark)
    for (let at = first; at >= 0; at = bytes.indexOf(mark, at + 1)) ids.add(at + 2)
    return first + 2
  }
  for (const { traceId, spanId, parentSpanId } of spans)
    for (const [field, id] of [[1, traceId] as const, [2, spanId] as const, [4, parentSpanId] as const]) find(field, id)
  return { bytes, spans: spans.length, ids: [...ids], firstTraceId: find(1, spans[0]!.traceId) }
}

const clients: { http?: [number, Post]; grpc?: [number, Post] } = {}

function overHttp(port: number): Post {
  if (clients.http?.[0] === port) return clients.http[1]
  const { Agent, request } = process.getBuiltinModule('node:http')
  const agent = new Agent({ keepAlive: true })
  const options = { port, host: '127.0.0.1', method: 'POST', path: '/v1/traces', agent, timeout: TIMEOUT_MS }
  const post: Post = ({ body, gzip }) =>
    new Promise(resolve => {
      const headers = { 'content-type': 'application/x-protobuf', ...(gzip ? { 'content-encoding': 'gzip' } : {}) }
      const sent = request({ ...options, headers }, answer => {
        let length = 0
        answer.on('data', (chunk: Buffer) => {
          length += chunk.length
        })
        answer.on('end', () => resolve({ code: answer.statusCode ?? 0, partly: length > 0 }))
        answer.on('error', () => resolve('unanswered'))
      })
      sent.on('timeout', () => sent.destroy())
      sent.on('error', error => resolve('code' in error && error.code === 'ECONNREFUSED' ? 'unsent' : 'unanswered'))
      sent.end(gzip ? gzipSync(body, { level: 1 }) : body)
    })
  clients.http = [port, post]
  return post
}

function overGrpc(port: number): Post {
  if (clients.grpc?.[0] === port) return clients.grpc[1]
  const { connect } = process.getBuiltinModule('node:http2')
  const headers = {
    ':method': 'POST',
    ':path': '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
    'content-type': 'application/grpc',
    'grpc-encoding': 'gzip',
    te: 'trailers',
  }
  let session: ClientHttp2Session | undefined
  const connected = new WeakSet<ClientHttp2Session>()
  const post: Post = ({ body, gzip }) =>
    new Promise(resolve => {
      if (!session || session.closed || session.destroyed) {
        const opened = connect(`http://127.0.0.1:${port}`)
        session = opened.on('error', () => {}).on('connect', () => connected.add(opened))
      }
      const mine = session
      const stream = mine.request(headers)
      stream.setTimeout(TIMEOUT_MS, () => stream.close())
      let code: number | undefined
      let length = 0
      const status = (fields: Record<string, unknown>) => {
        if (fields['grpc-status'] !== undefined) code = Number(fields['grpc-status'])
      }
      stream.on('response', status).on('trailers', status)
      stream.on('error', () => {})
      stream.on('data', (chunk: Buffer) => {
        length += chunk.length
      })
      stream.on('close', () => {
        if (code === undefined) resolve(connected.has(mine) ? 'unanswered' : 'unsent')
        else resolve({ code, partly: code === 0 && length > 5 })
      })
      const message = gzip ? gzipSync(body, { level: 1 }) : body
      const head = Buffer.alloc(5)
      head[0] = gzip ? 1 : 0
      head.writeUInt32BE(message.length, 1)
      stream.end(Buffer.concat([head, message]))
    })
  clients.grpc = [port, post]
  return post
}
