// The requests on one connection and their answers, seen from the bytes that pass in both directions. It only looks: an
// error of its own costs a number, never a byte. Bytes that it cannot follow with certainty make the connection opaque:
// from then on they are counted and not read.

import { Fields, TOKEN } from './fields.ts'
import { type Body, type Fault, Framing, type Reader, type Room } from './framing.ts'

/** A request and what became of it. Times are milliseconds of the clock that never goes back; 0 is "not yet". */
export interface Exchange {
  readonly method: string
  /** Path and query, at most 1 KiB. */
  readonly target: string
  readonly traceparent: string | undefined
  readonly tracestate: string | undefined
  /** The first byte of the request, its last one, the first and the last one of the answer. */
  readonly began: number
  sent: number
  answered: number
  ended: number
  /** The final status; 0 without an answer. */
  status: number
  /** Bytes of the bodies, without the framing of chunks. */
  requestBytes: number
  responseBytes: number
  /** The ids that were given to the application in a traceparent of ours, in hexadecimal digits. */
  given: { readonly traceId: string; readonly spanId: string } | undefined
}

/** The side that closed the connection of a request without a whole answer. */
export type Lost = 'application' | 'client' | 'tap'

export interface Observer {
  /** The clock that never goes back, in milliseconds. */
  now(): number
  /** False if too many requests are open already. */
  opened(): boolean
  /** `lost` is undefined if the answer was complete. */
  closed(exchange: Exchange, lost: Lost | undefined): void
  /** Once at most for each connection. */
  opaque(reason: Opaque): void
}

export type Opaque = Fault | 'error'

export interface WatchLimits {
  readonly maxHead: number
  readonly room: Room
}

const LONGEST_TARGET = 1024
/** Requests that wait on one connection; more are hardly a client's pipeline. */
const MOST_WAITING = 100
const TLS_HANDSHAKE = 0x16

export class Watch {
  readonly #observer: Observer
  readonly #requests: Framing
  readonly #responses: Framing
  readonly #waiting: Exchange[] = []
  #opaque = false
  /** The request whose head has just become complete, in the call of `request` that goes on. */
  #fresh: ((exchange: Exchange, at: number) => void) | undefined

  constructor(observer: Observer, { maxHead, room }: WatchLimits, strict: boolean) {
    this.#observer = observer
    const requests = new Requests(this.#waiting, observer, strict, exchange =>
      this.#fresh?.(exchange, this.#requests.emptyLine),
    )
    this.#requests = new Framing(requests, maxHead, room)
    const responses = new Responses(this.#waiting, observer, exchange => this.#closed(exchange, undefined))
    this.#responses = new Framing(responses, maxHead, room)
  }

  /** Whether a request is under way, or nobody knows. */
  get busy(): boolean {
    return this.#opaque || this.#waiting.length > 0 || this.#requests.busy || this.#responses.busy
  }

  /** Whether the last byte of the client is kept back by `Injector`. */
  get atLoneReturn(): boolean {
    return !this.#opaque && this.#requests.atLoneReturn
  }

  /** Bytes of the client. `fresh` is told of each head that is complete, and where its empty line begins. */
  request(bytes: Buffer, fresh?: (exchange: Exchange, at: number) => void): void {
    if (this.#opaque) return
    this.#fresh = fresh
    this.#push(this.#requests, bytes)
  }

  /** Bytes of the application. */
  response(bytes: Buffer): void {
    if (!this.#opaque) this.#push(this.#responses, bytes)
  }

  /** The application has sent all. Requests without an answer are lost by this side. */
  responseEnd(by: Lost): void {
    if (this.#opaque) return
    const [first] = this.#waiting
    if (this.#responses.untilClose && first) {
      this.#waiting.shift()
      first.ended = this.#observer.now()
      first.responseBytes = this.#responses.bodyBytes
      this.#closed(first, undefined)
    }
    this.#lose(by)
  }

  /** The connection is over, because of this side. */
  end(by: Lost): void {
    this.#lose(by)
    this.#requests.stop()
    this.#responses.stop()
  }

  #push(framing: Framing, bytes: Buffer): void {
    let fault: Opaque | undefined
    try {
      framing.push(bytes)
      fault = framing.fault
    } catch {
      // Our own mistake; the bytes have passed all the same.
      fault = 'error'
    }
    if (fault) this.#giveUp(fault)
  }

  #giveUp(reason: Opaque): void {
    this.#opaque = true
    // The requests that wait will be answered; nobody knows how.
    for (const each of this.#waiting.splice(0)) this.#closed(each, 'tap')
    this.#requests.stop()
    this.#responses.stop()
    this.#observer.opaque(reason)
  }

  #lose(by: Lost): void {
    for (const each of this.#waiting.splice(0)) {
      each.ended = this.#observer.now()
      if (each.status > 0) each.responseBytes = this.#responses.bodyBytes
      this.#closed(each, by)
    }
  }

  #closed(exchange: Exchange, lost: Lost | undefined): void {
    // An answer that came before the end of its request.
    if (exchange.sent === 0) exchange.requestBytes = this.#requests.bodyBytes
    this.#observer.closed(exchange, lost)
  }
}

class Requests implements Reader {
  readonly #waiting: Exchange[]
  readonly #observer: Observer
  readonly #strict: boolean
  readonly #ready: (exchange: Exchange) => void
  readonly #fields = new Fields(true)
  #began = 0
  #first = true
  #method = ''
  #target = ''
  #minor = 1
  #current: Exchange | undefined

  constructor(waiting: Exchange[], observer: Observer, strict: boolean, ready: (exchange: Exchange) => void) {
    this.#waiting = waiting
    this.#observer = observer
    this.#strict = strict
    this.#ready = ready
  }

  begin(first: number): Fault | undefined {
    if (this.#first && first === TLS_HANDSHAKE) return 'tls'
    this.#first = false
    this.#began = this.#observer.now()
    return TOKEN[first] ? undefined : 'not_http'
  }

  startLine(bytes: Buffer, start: number, end: number): Fault | undefined {
    this.#fields.clear()
    let at = start
    while (at < end && TOKEN[bytes[at]!]) at++
    // SP target SP "HTTP/1." digit
    const last = end - 9
    if (at === start || bytes[at] !== 32 || last <= at + 1) return 'not_http'
    const version = bytes.toString('latin1', last, end)
    if (version === ' HTTP/2.0') return 'http2'
    if (version !== ' HTTP/1.1' && version !== ' HTTP/1.0') return 'not_http'
    for (let i = at + 1; i < last; i++) if (bytes[i] === 32) return 'not_http'
    this.#method = bytes.toString('latin1', start, Math.min(at, start + 32))
    this.#target = bytes.toString('latin1', at + 1, Math.min(last, at + 1 + LONGEST_TARGET))
    this.#minor = version === ' HTTP/1.1' ? 1 : 0
    return this.#method === 'CONNECT' ? 'connect' : undefined
  }

  field(bytes: Buffer, start: number, end: number): Fault | undefined {
    return this.#fields.read(bytes, start, end)
  }

  head(): Body | Fault {
    const { length, encoded, chunked, traceparent, tracestate } = this.#fields
    // A body that ends nowhere, or in two ways. Where something is written into heads, it must not land in a body.
    if (encoded && (!chunked || this.#minor === 0 || (this.#strict && length >= 0))) return 'length'
    if (this.#waiting.length >= MOST_WAITING || !this.#observer.opened()) return 'busy'
    const exchange: Exchange = {
      method: this.#method,
      target: this.#target,
      traceparent,
      tracestate,
      began: this.#began,
      sent: 0,
      answered: 0,
      ended: 0,
      status: 0,
      requestBytes: 0,
      responseBytes: 0,
      given: undefined,
    }
    this.#current = exchange
    this.#waiting.push(exchange)
    this.#ready(exchange)
    return chunked ? 'chunked' : Math.max(0, length)
  }

  end(bodyBytes: number): void {
    const current = this.#current
    this.#current = undefined
    if (!current) return
    current.sent = this.#observer.now()
    current.requestBytes = bodyBytes
  }
}

class Responses implements Reader {
  readonly #waiting: Exchange[]
  readonly #observer: Observer
  readonly #closed: (exchange: Exchange) => void
  readonly #fields = new Fields(false)
  #began = 0
  #status = 0

  constructor(waiting: Exchange[], observer: Observer, closed: (exchange: Exchange) => void) {
    this.#waiting = waiting
    this.#observer = observer
    this.#closed = closed
  }

  begin(): Fault | undefined {
    this.#began = this.#observer.now()
    // A protocol in which the server speaks first, or an answer to a request that did not come (408).
    return this.#waiting.length === 0 ? 'unexpected' : undefined
  }

  startLine(bytes: Buffer, start: number, end: number): Fault | undefined {
    this.#fields.clear()
    const [, status] =
      /^HTTP\/1\.[01] ([1-5]\d\d)(?: |$)/.exec(bytes.toString('latin1', start, Math.min(end, start + 16))) ?? []
    if (status === undefined) return 'not_http'
    this.#status = Number(status)
    return undefined
  }

  field(bytes: Buffer, start: number, end: number): Fault | undefined {
    return this.#fields.read(bytes, start, end)
  }

  head(): Body | Fault | 'interim' {
    const [exchange] = this.#waiting
    if (!exchange) return 'unexpected'
    const status = this.#status
    if (status < 200 && status !== 101) return 'interim'
    exchange.answered = this.#began
    exchange.status = status
    if (status === 101) {
      this.end(0)
      return 'upgrade'
    }
    if (exchange.method === 'HEAD' || status === 204 || status === 304) return 0
    const { encoded, chunked, length } = this.#fields
    if (chunked) return 'chunked'
    return encoded || length < 0 ? 'close' : length
  }

  end(bodyBytes: number): void {
    const exchange = this.#waiting.shift()
    if (!exchange) return
    exchange.ended = this.#observer.now()
    exchange.responseBytes = bodyBytes
    this.#closed(exchange)
  }
}
