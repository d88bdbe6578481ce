// OTLP over HTTP/1.1: POST /v1/traces, /v1/metrics, /v1/logs. What can be known from the head of a request is decided
// before its body is read; every answer from 400 on is a google.rpc.Status in the encoding of the request.

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock } from '../collector.ts'
import { type Budget, type Inflated, inflate, type Received, receive, Share } from './body.ts'
import type { Intake } from './intake.ts'
import type { Addressee, HttpCode, Ledger } from './ledger.ts'
import { CODE, CONTENT_TYPE, type Code, type Encoding, response, type Signal, status } from './status.ts'

export interface HttpOptions {
  readonly max_request: number
  readonly max_json: number
  readonly max_connections: number
  readonly header_timeout: number
  readonly request_timeout: number
}

export interface Door {
  readonly server: Server
  /** From now on each answer closes its connection, so that closing the server ends when the last one is given. */
  drain(): void
}

/** A server that is not listening yet. */
export function httpDoor(options: HttpOptions, intake: Intake, budget: Budget, ledger: Ledger, clock: Clock): Door {
  const { createServer } = process.getBuiltinModule('node:http')
  const exchange = new Exchanges(options, intake, budget, ledger, clock)
  const server = createServer({
    // SDKs export every 5 s by default; Node's own 5 s would close the connection just as they use it again.
    keepAliveTimeout: 65_000,
    headersTimeout: options.header_timeout,
    requestTimeout: options.request_timeout,
    // Both timeouts do nothing until this interval has passed.
    connectionsCheckingInterval: 1000,
    maxHeaderSize: 16_384,
  })
  server.maxHeadersCount = 100
  server.maxConnections = options.max_connections
  // A peer that neither sends nor reads, at whatever moment.
  server.timeout = 120_000
  server.on('connection', socket => socket.setKeepAlive(true, 30_000))
  server.on('request', (request, answer) => exchange.begin(request, answer, false))
  server.on('checkContinue', (request, answer) => exchange.begin(request, answer, true))
  server.on('checkExpectation', (request, answer) => exchange.expectation(request, answer))
  server.on('clientError', (error, socket) => exchange.unreadable(error, socket as Socket))
  server.on('drop', () => ledger.connections.http++)
  return {
    server,
    drain: () => {
      exchange.draining = true
    },
  }
}

const SIGNALS: ReadonlyMap<string, Signal> = new Map([
  ['/v1/traces', 'traces'],
  ['/v1/metrics', 'metrics'],
  ['/v1/logs', 'logs'],
])

/** Said while the body of a request is still on its way, and so counted only once, whoever ends it. */
interface Reading {
  readonly signal: Signal
}

class Exchanges {
  draining = false
  readonly #options: HttpOptions
  readonly #intake: Intake
  readonly #budget: Budget
  readonly #ledger: Ledger
  readonly #clock: Clock
  readonly #reading = new WeakMap<Socket, Reading>()

  constructor(options: HttpOptions, intake: Intake, budget: Budget, ledger: Ledger, clock: Clock) {
    this.#options = options
    this.#intake = intake
    this.#budget = budget
    this.#ledger = ledger
    this.#clock = clock
  }

  begin(request: IncomingMessage, answer: ServerResponse, waits: boolean): void {
    const { headers } = request
    const encoding = encodingOf(headers['content-type'])
    const signal = SIGNALS.get(pathOf(request.url ?? ''))
    const refuse: Refuse = (code, message, extra = {}) =>
      this.#refuse(answer, signal ?? 'none', encoding ?? 'json', code, message, extra, waits)

    // Nothing here is for browsers: a page that posts to this port is an attack on the person before it.
    if (headers.origin !== undefined) return refuse(403, `cannot take a request from a web page (${headers.origin})`)
    if (!signal) return refuse(404, 'nothing is here; OTLP goes to /v1/traces, /v1/metrics or /v1/logs')
    if (request.method !== 'POST') return refuse(405, `cannot ${request.method}; use POST`, { Allow: 'POST' })
    if (!encoding)
      return refuse(415, 'cannot take this content type; send application/x-protobuf or application/json', {
        Accept: 'application/x-protobuf, application/json',
      })
    const compression = (headers['content-encoding'] ?? '').trim().toLowerCase()
    const gzipped = compression === 'gzip'
    if (!gzipped && compression !== '' && compression !== 'identity')
      return refuse(415, 'cannot take this content encoding; send gzip or none', { 'Accept-Encoding': 'gzip' })

    const limit = encoding === 'json' ? this.#options.max_json : this.#options.max_request
    const declared = Number(headers['content-length'] ?? 0)
    const share = new Share(this.#budget)
    const tooLarge = `cannot take more than ${limit} bytes at once; send smaller batches`
    if (declared > limit) return this.#linger(request, answer, () => refuse(413, tooLarge, CLOSE))
    if (!share.hold(Math.max(declared, 1))) return refuse(503, BUSY, RETRY)
    if (waits) answer.writeContinue()

    const decode = (body: Buffer) => {
      const decision = this.#intake.take(signal, encoding, body)
      share.release()
      if (decision.kind === 'taken') {
        this.#ledger.answered(signal, 'http', 200)
        return this.#send(answer, 200, encoding, response(signal, encoding, decision.rejected, decision.text), {})
      }
      refuse(DECIDED[decision.reason], decision.text)
    }
    const inflated = (result: Inflated) => {
      if (result.kind === 'body') return decode(result.body)
      share.release()
      if (result.kind === 'no_room') return refuse(503, BUSY, RETRY)
      if (result.kind === 'broken') return refuse(400, `cannot decompress the body: ${result.why}`)
      refuse(413, `cannot take a body of ${result.why}; send smaller batches`)
    }
    const received = (result: Received) => {
      const open = this.#reading.delete(request.socket)
      if (result.kind === 'body') return gzipped ? inflate(result.body, limit, share, inflated) : decode(result.body)
      share.release()
      if (result.kind === 'no_room')
        return this.#linger(request, answer, () => refuse(503, BUSY, { ...RETRY, ...CLOSE }))
      if (result.kind === 'too_large') return this.#linger(request, answer, () => refuse(413, tooLarge, CLOSE))
      if (open) this.#ledger.answered(signal, 'http', 499)
    }
    this.#reading.set(request.socket, { signal })
    receive(request, limit, share, received)
  }

  /** "Expect:" with anything but 100-continue. */
  expectation(request: IncomingMessage, answer: ServerResponse): void {
    const encoding = encodingOf(request.headers['content-type']) ?? 'json'
    this.#refuse(answer, 'none', encoding, 417, 'cannot meet this expectation', CLOSE, true)
  }

  /** What Node's parser refused, or what took too long to arrive. */
  unreadable(error: NodeJS.ErrnoException, socket: Socket): void {
    const signal = this.#reading.get(socket)?.signal ?? 'none'
    this.#reading.delete(socket)
    if (!socket.writable || error.code === 'ECONNRESET') {
      if (signal !== 'none') this.#ledger.answered(signal, 'http', 499)
      socket.destroy()
      return
    }
    const [code, text, why] = UNREADABLE[error.code ?? ''] ?? [400, 'Bad Request', 'cannot read this as HTTP/1.1']
    this.#ledger.answered(signal, 'http', code)
    const body = status('json', STATUS[code], why)
    socket.end(
      `HTTP/1.1 ${code} ${text}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    )
    socket.destroySoon()
  }

  #refuse(
    answer: ServerResponse,
    signal: Addressee,
    encoding: Encoding,
    code: keyof typeof STATUS,
    message: string,
    extra: Readonly<Record<string, string>>,
    waits: boolean,
  ): void {
    this.#ledger.answered(signal, 'http', signal !== 'none' || NOWHERE.has(code) ? code : 404)
    // A client that waits for "100 Continue" may or may not send its body now; only closing is unambiguous.
    const headers = waits ? { ...extra, ...CLOSE } : extra
    this.#send(answer, code, encoding, status(encoding, STATUS[code], message), headers)
  }

  #send(
    answer: ServerResponse,
    code: HttpCode,
    encoding: Encoding,
    body: Buffer,
    extra: Readonly<Record<string, string>>,
  ): void {
    const headers = { 'Content-Type': CONTENT_TYPE[encoding], 'Content-Length': body.length, ...extra }
    answer.writeHead(code, this.draining ? { ...headers, ...CLOSE } : headers)
    if (LINGERING.has(answer)) answer.write(body)
    else answer.end(body)
  }

  /**
   * Answers while the client is still sending. Closing at once would reset the connection, and the client would lose the
   * answer with it; so what it still sends is thrown away, for a second at most.
   */
  #linger(request: IncomingMessage, answer: ServerResponse, refuse: () => void): void {
    LINGERING.add(answer)
    refuse()
    request.removeAllListeners('data')
    request.resume()
    const over = new AbortController()
    const end = () => {
      over.abort()
      answer.end()
    }
    request.once('end', end)
    request.once('close', end)
    this.#clock.sleep(1000, over.signal).then(end, () => {})
  }
}

type Refuse = (code: keyof typeof STATUS, message: string, extra?: Readonly<Record<string, string>>) => void

const LINGERING = new WeakSet<ServerResponse>()

const BUSY = 'too many bytes are being received right now; try again'
const RETRY = { 'Retry-After': '1' }
const CLOSE = { Connection: 'close' }

const STATUS = {
  400: CODE.invalidArgument,
  403: CODE.permissionDenied,
  404: CODE.notFound,
  405: CODE.unimplemented,
  408: CODE.deadlineExceeded,
  413: CODE.resourceExhausted,
  415: CODE.invalidArgument,
  417: CODE.invalidArgument,
  431: CODE.resourceExhausted,
  500: CODE.internal,
  503: CODE.unavailable,
} as const satisfies Record<number, Code>

const DECIDED = { undecodable: 400, too_large: 413, internal: 500 } as const

/** Codes that a request for none of the signals can get. */
const NOWHERE: ReadonlySet<number> = new Set([400, 403, 404, 408, 413, 417, 431])

const UNREADABLE: Readonly<Record<string, readonly [keyof typeof STATUS, string, string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout', 'the request took too long to arrive'],
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large', 'cannot take more than 16 KiB of headers'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'Payload Too Large', 'cannot take chunk extensions of this size'],
}

/** The path without the query; anything else than an absolute path is none of ours. */
function pathOf(url: string): string {
  const query = url.indexOf('?')
  return query < 0 ? url : url.slice(0, query)
}

/**
 * Only these two types, which a web page cannot send without asking first (a preflight, which is refused). Parameters such
 * as a charset are allowed and mean nothing.
 */
function encodingOf(type: string | undefined): Encoding | undefined {
  if (type === 'application/x-protobuf') return 'protobuf'
  if (type === 'application/json') return 'json'
  const bare = type?.split(';', 1)[0]?.trim().toLowerCase()
  return bare === 'application/x-protobuf' ? 'protobuf' : bare === 'application/json' ? 'json' : undefined
}
