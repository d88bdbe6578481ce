// OTLP over HTTP/1.1: POST /v1/traces, /v1/metrics, /v1/logs. What can be known from the head of a request is decided
// before its body is read; every answer from 400 on is a google.rpc.Status in the encoding of the request.

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock } from '../collector.ts'
import { type Budget, type Inflated, inflate, join, own, receive, Share } from './body.ts'
import type { Decision, Intake } from './intake.ts'
import type { Addressee, HttpCode, Ledger } from './ledger.ts'
import { allowance, preflight } from './origins.ts'
import { CODE, CONTENT_TYPE, type Code, type Encoding, response, type Signal, status } from './status.ts'

export interface HttpOptions {
  readonly max_request: number
  readonly max_json: number
  readonly max_connections: number
  readonly header_timeout: number
  readonly request_timeout: number
  readonly allowed_origins: readonly string[]
}

export interface HttpDoor {
  readonly server: Server
  /** From now on each answer closes its connection, so that closing the server ends when the last one is given. */
  drain(): void
  /** Ends every connection at once. */
  cut(): void
}

/** A server that is not listening yet. */
export function httpDoor(options: HttpOptions, intake: Intake, budget: Budget, ledger: Ledger, clock: Clock): HttpDoor {
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
    cut: () => server.closeAllConnections(),
  }
}

const SIGNALS: ReadonlyMap<string, Signal> = new Map([
  ['/v1/traces', 'traces'],
  ['/v1/metrics', 'metrics'],
  ['/v1/logs', 'logs'],
])

class Exchanges {
  draining = false
  readonly #options: HttpOptions
  readonly #intake: Intake
  readonly #budget: Budget
  readonly #ledger: Ledger
  readonly #clock: Clock
  // Connections on which a body is arriving, so that one that fails is counted once, whoever notices first.
  readonly #reading = new WeakMap<Socket, Signal>()

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
    const exchange: Exchange = { answer, signal: signal ?? 'none', encoding: encoding ?? 'json', waits }
    const page = allowance(request, this.#options.allowed_origins)
    for (const [name, value] of Object.entries(page ?? {})) answer.setHeader(name, value)
    const asked = page && signal && preflight(request)
    // It carries nothing, so the ledger does not count it.
    if (asked) return void answer.writeHead(204, asked).end()
    const refusal = refusalByHead(request, signal, encoding, page !== undefined)
    // The two are defined if nothing was refused, which the types do not see.
    if (refusal || !signal || !encoding) {
      this.#refuse(exchange, refusal ?? NOWHERE_TO_GO)
      return
    }
    const limit = encoding === 'json' ? this.#options.max_json : this.#options.max_request
    const declared = Number(headers['content-length'] ?? 0)
    const share = new Share(this.#budget)
    if (declared > limit) {
      this.#linger(request, exchange, tooLarge(`${limit} bytes`))
    } else if (share.hold(Math.max(declared, 1))) {
      if (waits) answer.writeContinue()
      this.#read(request, exchange, signal, limit, share)
    } else {
      this.#refuse(exchange, BUSY)
    }
  }

  #read(request: IncomingMessage, exchange: Exchange, signal: Signal, limit: number, share: Share): void {
    const gzipped = compressionOf(request) === 'gzip'
    this.#reading.set(request.socket, signal)
    receive(request, limit, share, received => {
      const open = this.#reading.delete(request.socket)
      switch (received.kind) {
        case 'body':
          if (gzipped)
            inflate(own(received.chunks), limit, share, inflated => this.#inflated(inflated, exchange, signal, share))
          else this.#take(join(received.chunks, received.length), exchange, signal, share)
          return
        case 'too_large':
          share.release()
          this.#linger(request, exchange, tooLarge(`${limit} bytes`))
          return
        case 'no_room':
          share.release()
          this.#linger(request, exchange, BUSY)
          return
        case 'aborted':
          share.release()
          if (open) this.#ledger.answered(signal, 'http', 499)
      }
    })
  }

  #inflated(inflated: Inflated, exchange: Exchange, signal: Signal, share: Share): boolean | Promise<true> {
    if (inflated.kind === 'body') return this.#take(inflated.body, exchange, signal, share)
    share.release()
    if (inflated.kind === 'no_room') this.#refuse(exchange, BUSY)
    else if (inflated.kind === 'too_large') this.#refuse(exchange, tooLarge(inflated.why))
    else this.#refuse(exchange, { code: 400, message: `cannot decompress the body: ${inflated.why}` })
    return false
  }

  /** False if nobody keeps the body; a consumer that failed may. A promise when it is decided later. */
  #take(body: Buffer, exchange: Exchange, signal: Signal, share: Share): boolean | Promise<true> {
    const { socket } = exchange.answer.req
    const decision = this.#intake.take(signal, exchange.encoding, body, () => !socket.destroyed)
    if (!(decision instanceof Promise)) return this.#answer(decision, exchange, signal, share)
    return decision.then(later => {
      if (later) this.#answer(later, exchange, signal, share)
      else {
        share.release()
        this.#ledger.answered(signal, 'http', 499)
      }
      return true
    })
  }

  #answer(decision: Decision, exchange: Exchange, signal: Signal, share: Share): boolean {
    share.release()
    if (decision.kind === 'refused') {
      this.#refuse(exchange, { code: DECIDED[decision.reason], message: decision.text })
      return decision.reason === 'internal'
    }
    this.#ledger.answered(signal, 'http', 200)
    const { encoding, answer } = exchange
    const said = response(signal, encoding, decision.rejected, decision.text)
    this.#head(answer, 200, encoding, said, {})
    // An empty chunk would make Node gather two buffers for one write: 6 to 10 % of the whole (bench row intake-http).
    if (said.length > 0) answer.end(said)
    else answer.end()
    return true
  }

  /** "Expect:" with anything but 100-continue. */
  expectation(request: IncomingMessage, answer: ServerResponse): void {
    const encoding = encodingOf(request.headers['content-type']) ?? 'json'
    const refusal = { code: 417, message: 'cannot meet this expectation; send none' } as const
    this.#refuse({ answer, signal: 'none', encoding, waits: true }, refusal)
  }

  /** What Node's parser refused, or what took too long to arrive. */
  unreadable(error: NodeJS.ErrnoException, socket: Socket): void {
    const signal = this.#reading.get(socket) ?? 'none'
    this.#reading.delete(socket)
    // Without its connection, or without the rest of its body, a request has nobody left to answer.
    const gone = error.code === 'ECONNRESET' || (error.code === 'HPE_INVALID_EOF_STATE' && signal !== 'none')
    if (gone || !socket.writable) {
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

  #refuse(exchange: Exchange, refusal: Refusal): void {
    exchange.answer.end(this.#say(exchange, refusal))
  }

  /**
   * Refuses while the client is still sending. Closing at once would reset the connection, and the client would lose the
   * answer with it; so what it still sends is thrown away, for a second at most.
   */
  #linger(request: IncomingMessage, exchange: Exchange, refusal: Refusal): void {
    const body = this.#say(exchange, { ...refusal, headers: { ...refusal.headers, ...CLOSE } })
    exchange.answer.write(body)
    request.removeAllListeners('data')
    request.resume()
    const over = new AbortController()
    const end = () => {
      over.abort()
      exchange.answer.end()
    }
    request.once('end', end)
    request.once('close', end)
    this.#clock.sleep(1000, over.signal).then(end, () => {})
  }

  /** Counts the refusal and writes its head; the body is returned. */
  #say({ answer, signal, encoding, waits }: Exchange, { code, message, headers = {} }: Refusal): Buffer {
    this.#ledger.answered(signal, 'http', code)
    // A client that waits for "100 Continue" may or may not send its body now; only closing is unambiguous.
    const all = waits ? { ...headers, ...CLOSE } : headers
    const body = status(encoding, STATUS[code], message)
    this.#head(answer, code, encoding, body, all)
    return body
  }

  #head(answer: ServerResponse, code: HttpCode, encoding: Encoding, body: Buffer, extra: Headers): void {
    const headers = { 'Content-Type': CONTENT_TYPE[encoding], 'Content-Length': body.length, ...extra }
    answer.writeHead(code, this.draining ? { ...headers, ...CLOSE } : headers)
  }
}

type Headers = Readonly<Record<string, string>>

/** A request and how to answer it. */
interface Exchange {
  readonly answer: ServerResponse
  readonly signal: Addressee
  readonly encoding: Encoding
  /** The client sends the body only after "100 Continue". */
  readonly waits: boolean
}

interface Refusal {
  readonly code: keyof typeof STATUS
  readonly message: string
  readonly headers?: Headers
}

/** What can be refused before the body is read, by the head alone. */
function refusalByHead(
  request: IncomingMessage,
  signal: Signal | undefined,
  encoding: Encoding | undefined,
  allowed: boolean,
): Refusal | undefined {
  const { origin } = request.headers
  // A page that nobody has named and that posts to this port is an attack on the person before it.
  if (origin !== undefined && !allowed)
    return { code: 403, message: `cannot take a request from a web page (${origin}); see otlp.http.allowed_origins` }
  if (!signal) return NOWHERE_TO_GO
  if (request.method !== 'POST')
    return { code: 405, message: `cannot ${request.method}; use POST`, headers: { Allow: 'POST' } }
  if (!encoding) return WRONG_TYPE
  return ['', 'identity', 'gzip'].includes(compressionOf(request)) ? undefined : WRONG_ENCODING
}

const NOWHERE_TO_GO: Refusal = {
  code: 404,
  message: 'nothing is here; OTLP goes to /v1/traces, /v1/metrics or /v1/logs',
}
const WRONG_TYPE: Refusal = {
  code: 415,
  message: 'cannot take this content type; send application/x-protobuf or application/json',
  headers: { Accept: 'application/x-protobuf, application/json' },
}
const WRONG_ENCODING: Refusal = {
  code: 415,
  message: 'cannot take this content encoding; send gzip or none',
  headers: { 'Accept-Encoding': 'gzip' },
}
const BUSY: Refusal = {
  code: 503,
  message: 'too many bytes are being received right now; try again',
  headers: { 'Retry-After': '1' },
}

function tooLarge(limit: string): Refusal {
  return { code: 413, message: `cannot take more than ${limit} at once; send smaller batches` }
}

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

const UNREADABLE: Readonly<Record<string, readonly [keyof typeof STATUS, string, string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout', 'the request took too long to arrive'],
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large', 'cannot take more than 16 KiB of headers'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'Payload Too Large', 'cannot take chunk extensions of this size'],
}

function compressionOf({ headers }: IncomingMessage): string {
  return (headers['content-encoding'] ?? '').trim().toLowerCase()
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
