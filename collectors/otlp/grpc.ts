// OTLP over gRPC: unary Export of the three services, over node:http2 without TLS.
//
//   request  = HEADERS (:path /package.Service/Export, content-type application/grpc) · one frame · END_STREAM
//   frame    = compressed (1 byte, 0 or 1) · length (4 bytes, big-endian) · message
//   response = HEADERS · frame · trailers (grpc-status), or, without a message, HEADERS with the status alone
//
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

import type {
  Http2Server,
  IncomingHttpHeaders,
  OutgoingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
} from 'node:http2'
import { createServer, type Server } from 'node:net'
import type { Clock } from '../collector.ts'
import { type Budget, type Inflated, inflate, join, own, Share } from './body.ts'
import { guard, type SessionLimits } from './grpc-session.ts'
import type { Decision, Intake } from './intake.ts'
import type { Addressee, Ledger } from './ledger.ts'
import { CODE, type Code, response, type Signal, status } from './status.ts'

export interface GrpcOptions extends SessionLimits {
  readonly max_request: number
  readonly max_connections: number
  readonly request_timeout: number
}

export interface GrpcDoor {
  readonly server: Server
  /** Tells every client to go elsewhere; calls on their way are still answered. */
  drain(): void
  /** Ends every connection at once. */
  cut(): void
}

/** A server that is not listening yet. It loads node:http2 (10 MiB) with the first connection, since most never come. */
export function grpcDoor(options: GrpcOptions, intake: Intake, budget: Budget, ledger: Ledger, clock: Clock): GrpcDoor {
  const sessions = new Set<ServerHttp2Session>()
  const calls = new Calls(options, intake, budget, ledger, clock)
  let http2: Http2Server | undefined
  const server = createServer(socket => {
    http2 ??= http2Server(options, sessions, calls, clock)
    http2.emit('connection', socket)
  })
  server.maxConnections = options.max_connections
  server.on('drop', () => ledger.connections.grpc++)
  // One timer for all calls: a timer for each would cost as much as decoding a small request.
  const closed = new AbortController()
  const sweeping = async () => {
    for (;;) {
      await clock.sleep(SWEEP_MS, closed.signal)
      calls.sweep()
    }
  }
  sweeping().catch(() => {})
  return {
    server,
    drain: () => {
      for (const session of sessions) session.close()
    },
    cut: () => {
      closed.abort()
      for (const session of sessions) session.destroy()
    },
  }
}

/** Speaks HTTP/2 on connections that are handed to it; it never listens itself. */
function http2Server(options: GrpcOptions, sessions: Set<ServerHttp2Session>, calls: Calls, clock: Clock): Http2Server {
  const server = process.getBuiltinModule('node:http2').createServer({
    maxSessionMemory: 32,
    maxHeaderListPairs: 100,
    maxSessionInvalidFrames: 10,
    maxSessionRejectedStreams: 100,
    maxSettings: 32,
    // Node's own limit lets a thousand resets through at once; no gRPC client resets a hundred calls.
    streamResetBurst: 100,
    streamResetRate: 33,
    unknownProtocolTimeout: 5000,
    settings: {
      enablePush: false,
      maxConcurrentStreams: 100,
      initialWindowSize: STREAM_WINDOW,
      maxHeaderListSize: 16_384,
    },
  })
  guard(server, sessions, SESSION_WINDOW, options, clock)
  server.on('stream', (stream, headers) => calls.begin(stream, headers))
  return server
}

// What a client may send on one connection before it is read, and of that on one stream: a batch of the SDKs (512 spans,
// 172 kB) in one go. With HTTP/2's own 64 KiB it comes in three, each waiting for the one before, with twice as many writes
// and 1.07 to 1.09 times the CPU (bench row intake-grpc). Windows of 1 and 4 MiB brought no more.
const SESSION_WINDOW = 1024 * 1024
const STREAM_WINDOW = 256 * 1024

const SIGNALS: ReadonlyMap<string, Signal> = new Map([
  ['/opentelemetry.proto.collector.trace.v1.TraceService/Export', 'traces'],
  ['/opentelemetry.proto.collector.metrics.v1.MetricsService/Export', 'metrics'],
  ['/opentelemetry.proto.collector.logs.v1.LogsService/Export', 'logs'],
])

/** One call. It is answered exactly once: by its end, its deadline, or whatever makes it hopeless before. */
interface Call {
  readonly stream: ServerHttp2Stream
  readonly signal: Addressee
  readonly share: Share
  // Emptied when it is over. Node's own objects of a call outlive it until the whole heap is collected; with the body among
  // what they hold, that was every 30 requests of 512 spans, and a quarter of all time (bench row intake-grpc).
  readonly chunks: Buffer[]
  /** When it is given up, on the monotonic clock, and what was allowed, in milliseconds. */
  readonly deadline: number
  readonly limit: number
  over: boolean
  /** It is whole, and being decided: neither its deadline nor its client ends it. */
  deciding: boolean
}

interface Refusal {
  readonly code: Code
  readonly message: string
  readonly retry?: boolean
}

class Calls {
  readonly #options: GrpcOptions
  readonly #intake: Intake
  readonly #budget: Budget
  readonly #ledger: Ledger
  readonly #clock: Clock
  readonly #open = new Set<Call>()

  constructor(options: GrpcOptions, intake: Intake, budget: Budget, ledger: Ledger, clock: Clock) {
    this.#options = options
    this.#intake = intake
    this.#budget = budget
    this.#ledger = ledger
    this.#clock = clock
  }

  begin(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const signal = SIGNALS.get(headers[':path'] ?? '')
    const timeout = milliseconds(headers['grpc-timeout'])
    const limit = Math.min(timeout ?? Number.POSITIVE_INFINITY, this.#options.request_timeout)
    const share = new Share(this.#budget)
    const deadline = this.#clock.monotonic() + limit
    const call: Call = { stream, signal: signal ?? 'none', share, chunks: [], deadline, limit, ...OPEN }
    this.#open.add(call)
    // A stream without this listener would take the process with it when its client goes away.
    stream.on('error', () => {})
    stream.on('close', () => this.#abandon(call))
    const type = headers['content-type'] ?? ''
    if (headers[':method'] !== 'POST' || !/^application\/grpc(?:\+proto)?(?:;|$)/.test(type)) {
      this.#notGrpc(call, headers[':method'] === 'POST' ? 415 : 405)
      return
    }
    const refusal = signal ? refusalByHead(headers, timeout) : UNKNOWN
    if (refusal || !signal) {
      this.#refuse(call, refusal ?? UNKNOWN)
      return
    }
    this.#receive(call, signal, headers['grpc-encoding'] === 'gzip')
  }

  /** Gives up the calls that are past their deadline. */
  sweep(): void {
    const now = this.#clock.monotonic()
    for (const call of this.#open) if (now >= call.deadline && !call.deciding) this.#refuse(call, late(call))
  }

  #receive(call: Call, signal: Signal, gzip: boolean): void {
    const { stream, share, chunks } = call
    let length = 0
    let expected = -1
    stream.on('data', (chunk: Buffer) => {
      if (call.over) return
      chunks.push(chunk)
      length += chunk.length
      if (expected < 0 && length >= PREFIX) {
        // The prefix almost always comes whole in the first chunk.
        if (chunks.length > 1) chunks.splice(0, chunks.length, Buffer.concat(chunks))
        expected = PREFIX + chunks[0]!.readUInt32BE(1)
      }
      if (expected - PREFIX > this.#options.max_request)
        this.#refuse(call, tooLarge(`a message of ${expected - PREFIX} bytes`, this.#options.max_request))
      else if (expected >= 0 && length > expected) this.#refuse(call, malformed('more than one message'))
      else if (!share.hold(length)) this.#refuse(call, BUSY)
    })
    stream.on('end', () => {
      if (call.over) return
      if (length > 0 && length === expected) {
        this.#whole(call, signal, gzip, length)
        return
      }
      // A reset ends the data too, and is not the client's mistake. Most say so now; a wait for each of a flood of them was a
      // third of what held the loop (test/threats/http2.test.ts). The others are known a moment later.
      if (stream.rstCode !== NO_ERROR) return
      const what = length === 0 ? 'no message' : 'a message that is cut off'
      this.#clock.sleep(SETTLE_MS, NEVER).then(() => {
        if (!stream.aborted) this.#refuse(call, malformed(what))
      })
    })
  }

  #whole(call: Call, signal: Signal, gzip: boolean, length: number): void {
    const { chunks } = call
    const compressed = chunks[0]![0]
    if (compressed === 0) this.#take(call, signal, join(chunks, length).subarray(PREFIX))
    else if (compressed !== 1) this.#refuse(call, malformed(`compression flag ${compressed}`))
    else if (!gzip) this.#refuse(call, malformed('a compressed message without grpc-encoding'))
    else
      inflate(own(chunks).subarray(PREFIX), this.#options.max_request, call.share, inflated => {
        if (inflated.kind === 'body') return this.#take(call, signal, inflated.body)
        this.#refuse(call, notInflated(inflated))
        return false
      })
  }

  /** False if nobody keeps the message; a consumer that failed may. A promise when it is decided later. */
  #take(call: Call, signal: Signal, message: Buffer): boolean | Promise<true> {
    // The deadline may have passed, or the client gone, while a large body was being decompressed.
    if (call.over) return false
    const { stream, deadline } = call
    const awaited = () => !stream.destroyed && this.#clock.monotonic() < deadline
    const decision = this.#intake.take(signal, 'protobuf', message, awaited)
    if (!(decision instanceof Promise)) return this.#decided(decision, call, signal)
    call.deciding = true
    return decision.then(later => {
      call.deciding = false
      if (stream.destroyed) this.#abandon(call)
      else if (later) this.#decided(later, call, signal)
      else this.#refuse(call, late(call))
      return true
    })
  }

  #decided(decision: Decision, call: Call, signal: Signal): boolean {
    if (decision.kind === 'refused') {
      this.#refuse(call, { code: DECIDED[decision.reason], message: decision.text })
      return decision.reason === 'internal'
    }
    this.#end(call, CODE.ok)
    const { stream } = call
    const body = response(signal, 'protobuf', decision.rejected, decision.text)
    const frame = Buffer.alloc(PREFIX + body.length)
    frame.writeUInt32BE(body.length, 1)
    body.copy(frame, PREFIX)
    stream.respond(HEADERS, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers(OK))
    stream.end(frame)
    return true
  }

  #refuse(call: Call, { code, message, retry }: Refusal): void {
    if (call.over) return
    this.#end(call, code)
    const headers: OutgoingHttpHeaders = {
      ...HEADERS,
      'grpc-status': String(code),
      'grpc-message': percent(message.slice(0, LONGEST_MESSAGE)),
    }
    if (retry) headers['grpc-status-details-bin'] = status('protobuf', code, message, 1).toString('base64')
    this.#answer(call.stream, headers)
  }

  #notGrpc(call: Call, httpStatus: 405 | 415): void {
    this.#end(call, CODE.internal)
    this.#answer(call.stream, { ':status': httpStatus, ...(httpStatus === 405 ? { allow: 'POST' } : {}) })
  }

  /** Sends an answer that is headers only, and ends the call even if the client is still sending. */
  #answer(stream: ServerHttp2Stream, headers: OutgoingHttpHeaders): void {
    stream.removeAllListeners('data')
    stream.resume()
    // Not from inside a 'data' event: Node would then stop reading the whole connection.
    setImmediate(() => {
      if (stream.destroyed) return
      stream.respond(headers, { endStream: true })
      // NO_ERROR asks the client to stop sending, and leaves it the answer.
      if (!stream.readableEnded) stream.close(NO_ERROR)
    })
  }

  /** The client went away before its request was whole. */
  #abandon(call: Call): void {
    if (!call.over && !call.deciding) this.#end(call, CODE.cancelled)
  }

  #end(call: Call, code: Code): void {
    call.over = true
    call.chunks.length = 0
    this.#open.delete(call)
    call.share.release()
    this.#ledger.answered(call.signal, 'grpc', code)
  }
}

const OPEN = { over: false, deciding: false }
const SWEEP_MS = 500
const SETTLE_MS = 20
const NEVER = new AbortController().signal
const PREFIX = 5
const NO_ERROR = 0
const LONGEST_MESSAGE = 1024

const HEADERS: OutgoingHttpHeaders = {
  ':status': 200,
  'content-type': 'application/grpc',
  'grpc-accept-encoding': 'identity,gzip',
}
const OK: OutgoingHttpHeaders = { 'grpc-status': '0' }

const DECIDED = {
  undecodable: CODE.invalidArgument,
  too_large: CODE.resourceExhausted,
  internal: CODE.internal,
} as const

const UNKNOWN: Refusal = {
  code: CODE.unimplemented,
  message: 'nothing is here; OTLP goes to Export of the TraceService, MetricsService and LogsService, version v1',
}
const BUSY: Refusal = {
  code: CODE.unavailable,
  message: 'too many bytes are being received right now; try again',
  retry: true,
}

/** grpc-message: printable ASCII stands for itself, all else as %XX of its UTF-8. */
function percent(message: string): string {
  return message.toWellFormed().replace(/[^ -$&-~]/gu, encodeURIComponent)
}

function malformed(what: string): Refusal {
  return { code: CODE.internal, message: `cannot read the gRPC frame: ${what}` }
}

function late({ limit }: Call): Refusal {
  return {
    code: CODE.deadlineExceeded,
    message: `the request did not arrive, or could not be read, within ${Math.ceil(limit)} ms`,
  }
}

function tooLarge(what: string, limit: number): Refusal {
  return { code: CODE.resourceExhausted, message: `cannot take ${what}; send at most ${limit}` }
}

function notInflated(inflated: Exclude<Inflated, { kind: 'body' }>): Refusal {
  if (inflated.kind === 'no_room') return BUSY
  if (inflated.kind === 'broken') return malformed(`the compression: ${inflated.why}`)
  return { code: CODE.resourceExhausted, message: `cannot take more than ${inflated.why}; send smaller batches` }
}

function refusalByHead(headers: IncomingHttpHeaders, timeout: number | undefined): Refusal | undefined {
  const encoding = headers['grpc-encoding']
  if (encoding !== undefined && encoding !== 'gzip' && encoding !== 'identity')
    return { code: CODE.unimplemented, message: 'cannot take this grpc-encoding; send gzip or identity' }
  if (Number.isNaN(timeout))
    return { code: CODE.internal, message: 'cannot read grpc-timeout; send up to 8 digits and a unit' }
  if (timeout === 0) return { code: CODE.deadlineExceeded, message: 'the deadline had passed already' }
  return undefined
}

const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }

/** A grpc-timeout in milliseconds: undefined if there is none, NaN if it cannot be read. */
function milliseconds(timeout: string | string[] | undefined): number | undefined {
  if (timeout === undefined) return undefined
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(String(timeout)) ?? []
  return digits && unit ? Number(digits) * UNITS[unit]! : Number.NaN
}
