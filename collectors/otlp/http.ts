// OTLP over HTTP/1.1: POST /v1/traces, /v1/metrics, /v1/logs. A request that its head rules out is answered before its body
// is read; every answer from 400 on is a google.rpc.Status in the encoding of the request.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { HOPS_HEADER } from '../../telemetry/hops.ts'
import type { Clock } from '../../telemetry/host.ts'
import type { Decision } from '../../telemetry/intake.ts'
import type { Signal } from '../../telemetry/request.ts'
import { Share } from './budget.ts'
import { KEEP_ALIVE_MS } from './http1/answers.ts'
import { Http1Server } from './http1/server.ts'
import { type Coding, type Inflated, inflate } from './inflate.ts'
import type { OtlpIntake } from './intake.ts'
import { askAtEnd } from './interim.ts'
import type { Addressee, HttpCode, Ledger } from './ledger.ts'
import type { Memory, Receiver } from './listener.ts'
import { letGo, own } from './memory.ts'
import { allowance, preflight } from './origins.ts'
import type { Place } from './places.ts'
import { receive } from './receive.ts'
import {
  BUSY,
  CLOSE,
  type Headers,
  type HttpRefusal,
  LATE,
  NOWHERE_TO_GO,
  notInflated,
  notTaken,
  STATUS,
  tooLarge,
  WRONG_ENCODING,
  WRONG_TYPE,
} from './refusals.ts'
import { CONTENT_TYPE, type Encoding, response, status } from './status.ts'

export interface HttpOptions {
  readonly max_request: number
  readonly max_json: number
  readonly header_timeout: number
  readonly request_timeout: number
  readonly allowed_origins: readonly string[]
}

/** Speaks HTTP/1.1 on connections that are handed to it; it never listens itself. */
export function httpReceiver(
  options: HttpOptions,
  intake: OtlpIntake,
  memory: Memory,
  ledger: Ledger,
  clock: Clock,
): Receiver {
  const { createServer } = process.getBuiltinModule('node:http')
  const exchange = new Exchanges(options, intake, memory, ledger, clock)
  const server = createServer({
    // Node's own 5 s would close the connection just as an exporter uses it again.
    keepAliveTimeout: KEEP_ALIVE_MS,
    // A part of the request. Node refuses to start with more.
    headersTimeout: Math.min(options.header_timeout, options.request_timeout),
    requestTimeout: options.request_timeout,
    // Both timeouts do nothing until this interval has passed.
    connectionsCheckingInterval: 1000,
    maxHeaderSize: 16_384,
  })
  server.maxHeadersCount = 100
  // A client may close its side behind its last request (RFC 9112, 9.6). Not documented, and not in the types: without it the
  // answer would be lost, and nothing else.
  Object.assign(server, { httpAllowHalfOpen: true })
  // For a peer that neither sends nor reads, at any moment.
  server.timeout = 120_000
  // Node's timeouts are checked from the time on that a server listens.
  server.emit('listening')
  server.on('request', (request, answer) => exchange.begin(request, answer, false))
  server.on('checkContinue', (request, answer) => exchange.begin(request, answer, true))
  server.on('checkExpectation', (request, answer) => exchange.expectation(request, answer))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') exchange.late(error, socket as Socket)
    else exchange.unreadable(error, socket as Socket)
  })
  const ordinary = new Http1Server(options, intake, memory, ledger, clock, (socket, place) => {
    exchange.places.set(socket, place)
    server.emit('connection', socket)
  })
  return {
    accept: (socket, place) => ordinary.accept(socket, place),
    drain() {
      // From now on each answer closes its connection, and those that are idle are closed.
      exchange.draining = true
      ordinary.drain()
      server.close()
    },
    cut() {
      ordinary.cut()
      server.closeAllConnections()
    },
  }
}

const SIGNALS: ReadonlyMap<string, Signal> = new Map([
  ['/v1/traces', 'traces'],
  ['/v1/metrics', 'metrics'],
  ['/v1/logs', 'logs'],
])

class Exchanges {
  draining = false
  readonly places = new WeakMap<Socket, Place>()
  readonly #options: HttpOptions
  readonly #intake: OtlpIntake
  readonly #memory: Memory
  readonly #ledger: Ledger
  readonly #clock: Clock
  // Connections on which a body is arriving, so that one that fails is counted once, in whichever way it is noticed first.
  readonly #reading = new WeakMap<Socket, Signal>()
  /** The last request of each connection, of which at least the head has come. */
  readonly #last = new WeakMap<Socket, IncomingMessage>()
  /** Connections that have been given their last answer, while the client is still sending. */
  readonly #lingering = new WeakSet<Socket>()

  constructor(options: HttpOptions, intake: OtlpIntake, memory: Memory, ledger: Ledger, clock: Clock) {
    this.#options = options
    this.#intake = intake
    this.#memory = memory
    this.#ledger = ledger
    this.#clock = clock
  }

  begin(request: IncomingMessage, answer: ServerResponse, waits: boolean): void {
    if (!this.#enter(request, answer)) return
    const { headers } = request
    const encoding = encodingOf(headers['content-type'])
    const signal = SIGNALS.get(pathOf(request.url ?? ''))
    const exchange: Exchange = { answer, signal: signal ?? 'none', encoding: encoding ?? 'json', waits }
    const unsupported = unsupportedBy(request)
    if (unsupported) {
      this.#linger(request, { ...exchange, signal: 'none' }, unsupported)
      return
    }
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
    const share = new Share(this.#memory.budget)
    if (declared > limit) {
      this.#linger(request, exchange, tooLarge(`${limit} bytes`))
    } else if (share.hold(Math.max(declared, 1))) {
      if (waits) answer.writeContinue()
      this.#read(request, exchange, signal, limit, share)
    } else {
      this.#refuseAfterBody(request, exchange, BUSY)
    }
  }

  /** Counts the request to its connection; false if that has too many that are not answered, which ends it. */
  #enter(request: IncomingMessage, answer: ServerResponse): boolean {
    const { socket } = request
    this.#last.set(socket, request)
    const place = this.places.get(socket)
    if (!place) return true
    place.begin()
    answer.once('close', () => place.end())
    if (place.requests <= MOST_PIPELINED) return true
    socket.destroy()
    return false
  }

  #read(request: IncomingMessage, exchange: Exchange, signal: Signal, limit: number, share: Share): void {
    const coding = CODINGS.get(codingOf(request))
    this.#reading.set(request.socket, signal)
    receive(request, limit, share, received => {
      const open = this.#reading.delete(request.socket)
      switch (received.kind) {
        case 'body':
          if (coding) {
            const memory = own(received.chunks)
            inflate(coding, { body: memory, memory }, limit, share, inflated =>
              this.#inflated(inflated, exchange, signal, share),
            )
          } else this.#take(this.#joined(received.chunks, received.length), exchange, signal, share)
          return
        case 'too_large':
          share.release()
          this.#linger(request, exchange, tooLarge(`${limit} bytes`))
          return
        case 'no_room':
          share.release()
          this.#refuseAfterBody(request, exchange, BUSY)
          return
        case 'aborted':
          share.release()
          if (open) this.#ledger.answered(signal, 'http', 499)
      }
    })
  }

  #joined(chunks: readonly Buffer[], length: number): Buffer {
    const body = this.#memory.bodies.join(chunks, length)
    // They have been copied, unless it is only one.
    if (chunks.length > 1) letGo(chunks)
    return body
  }

  #inflated(inflated: Inflated, exchange: Exchange, signal: Signal, share: Share): boolean | Promise<true> {
    if (inflated.kind === 'body') return this.#take(inflated.body, exchange, signal, share)
    share.release()
    this.#refuse(exchange, notInflated(inflated))
    return false
  }

  /** False when nobody uses the body any more; a promise when it is decided later. */
  #take(body: Buffer, exchange: Exchange, signal: Signal, share: Share): boolean | Promise<true> {
    const { socket } = exchange.answer.req
    const hops = exchange.answer.req.headers[HOPS_HEADER]
    const decision = this.#intake.take(signal, exchange.encoding, body, () => !socket.destroyed, hops?.toString())
    if (!(decision instanceof Promise)) return this.#answer(decision, exchange, signal, share)
    // HTTP/1.0 has no interim answers, and two requests in a row would ask at once.
    const asks = exchange.answer.req.httpVersionMinor > 0 && this.places.get(socket)?.requests === 1
    const asked = asks ? askAtEnd(socket) : undefined
    return decision.then(later => {
      asked?.()
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
    if (decision.kind !== 'taken') {
      this.#refuse(exchange, notTaken(decision))
      return false
    }
    this.#ledger.answered(signal, 'http', 200)
    const { encoding, answer } = exchange
    const said = response(signal, encoding, decision.rejected, decision.text)
    this.#head(answer, 200, encoding, said, {})
    // An empty chunk would make Node gather two buffers for one write: 6 to 10 % of the whole (bench row intake-http).
    if (said.length > 0) answer.end(said)
    else answer.end()
    return false
  }

  /** "Expect:" with anything but 100-continue. */
  expectation(request: IncomingMessage, answer: ServerResponse): void {
    if (!this.#enter(request, answer)) return
    const encoding = encodingOf(request.headers['content-type']) ?? 'json'
    const refusal = { code: 417, message: 'cannot meet this expectation; send none' } as const
    this.#refuse({ answer, signal: 'none', encoding, waits: true }, refusal)
  }

  /**
   * A request that took too long to arrive, unless the rest of it waits to be read: after a standstill of this process its timers
   * come first, and sockets with all that was sent meanwhile second.
   */
  late(error: Error, socket: Socket): void {
    const before = this.#last.get(socket)
    const arriving = before?.complete === false
    setImmediate(() => {
      const last = this.#last.get(socket)
      const whole = last?.complete && (arriving || last !== before)
      if (!whole) this.unreadable(error, socket)
    })
  }

  /** A request that Node's parser refused, or that took too long to arrive. */
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
    if (this.#lingering.has(socket)) return
    const [code, text, why] = UNREADABLE[error.code ?? ''] ?? [400, 'Bad Request', 'cannot read this as HTTP/1.1']
    this.#ledger.answered(signal, 'http', code)
    const body = status('json', STATUS[code], why)
    socket.end(
      `HTTP/1.1 ${code} ${text}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
    )
    socket.destroySoon()
  }

  /**
   * Refuses when the body has arrived and been let go: what arrives after an answer Node throws away for V8 to collect, and V8
   * is in no hurry to collect memory outside of its heap. A body that takes longer than a second costs the connection.
   */
  #refuseAfterBody(request: IncomingMessage, exchange: Exchange, refusal: HttpRefusal): void {
    if (exchange.waits || request.complete) {
      this.#refuse(exchange, refusal)
      return
    }
    const over = new AbortController()
    const end = (last: HttpRefusal) => {
      over.abort()
      this.#refuse(exchange, last)
    }
    const gone = () => this.#ledger.answered(exchange.signal, 'http', 499)
    request.removeAllListeners('data')
    request.on('data', (chunk: Buffer) => letGo([chunk]))
    request.once('close', gone)
    request.once('end', () => {
      request.off('close', gone)
      if (!over.signal.aborted) end(refusal)
    })
    this.#clock.sleep(1000, over.signal).then(
      () => {
        request.off('close', gone)
        end({ ...refusal, headers: { ...refusal.headers, ...CLOSE } })
      },
      () => {},
    )
  }

  #refuse(exchange: Exchange, refusal: HttpRefusal): void {
    exchange.answer.end(this.#say(exchange, refusal))
  }

  /**
   * Refuses while the client is still sending. Closing at once would reset the connection, and the client would lose the
   * answer with it; so what it still sends is thrown away, for a second at most.
   */
  #linger(request: IncomingMessage, exchange: Exchange, refusal: HttpRefusal): void {
    const body = this.#say(exchange, { ...refusal, headers: { ...refusal.headers, ...CLOSE } })
    this.#lingering.add(request.socket)
    exchange.answer.write(body)
    request.removeAllListeners('data')
    request.on('data', (chunk: Buffer) => letGo([chunk]))
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
  #say({ answer, signal, encoding, waits }: Exchange, { code, message, headers = {} }: HttpRefusal): Buffer {
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

const CODINGS: ReadonlyMap<string, Coding> = new Map([
  ['gzip', 'gzip'],
  // RFC 9110, 8.4.1.3.
  ['x-gzip', 'gzip'],
  ['zstd', 'zstd'],
])

/** A request and how to answer it. */
interface Exchange {
  readonly answer: ServerResponse
  readonly signal: Addressee
  readonly encoding: Encoding
  /** The client sends the body only after "100 Continue". */
  readonly waits: boolean
}

/** The refusal that the head alone decides, before the body is read. */
function refusalByHead(
  request: IncomingMessage,
  signal: Signal | undefined,
  encoding: Encoding | undefined,
  allowed: boolean,
): HttpRefusal | undefined {
  const { origin } = request.headers
  // A page that nobody has named and that posts to this port is an attack on the person before it.
  if (origin !== undefined && !allowed)
    return { code: 403, message: `cannot take a request from a web page (${origin}); see otlp.http.allowed_origins` }
  if (!signal) return NOWHERE_TO_GO
  if (request.method !== 'POST')
    return { code: 405, message: `cannot ${request.method}; use POST`, headers: { Allow: 'POST' } }
  if (!encoding) return WRONG_TYPE
  const coding = codingOf(request)
  return coding === '' || coding === 'identity' || CODINGS.has(coding) ? undefined : WRONG_ENCODING
}

/**
 * Requests of one connection that wait for their answers. SDKs send the next one after the answer to the one before; a chunk
 * of 64 KiB can hold thousands.
 */
const MOST_PIPELINED = 8

/** The refusal of what this server does not implement of HTTP (RFC 9112, 6.1 and 2.3). */
function unsupportedBy({ headers, httpVersionMajor }: IncomingMessage): HttpRefusal | undefined {
  if (httpVersionMajor !== 1) return { code: 505, message: 'cannot speak this version of HTTP; send HTTP/1.1' }
  const coding = headers['transfer-encoding']
  if (coding === undefined || coding.trim().toLowerCase() === 'chunked') return undefined
  return {
    code: 501,
    message: 'cannot take this transfer encoding; send chunked, and compress by Content-Encoding: gzip',
  }
}

const UNREADABLE: Readonly<Record<string, readonly [keyof typeof STATUS, string, string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout', LATE.message],
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large', 'cannot take more than 16 KiB of headers'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'Payload Too Large', 'cannot take chunk extensions of this size'],
}

function codingOf({ headers }: IncomingMessage): string {
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
