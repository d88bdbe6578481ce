// HTTP/1.1 requests on connections that are kept for the next one, for a peer that is asked often.

import type { Socket } from 'node:net'
import type { AddressCheck, ClientReason, TcpEndpoint } from '../telemetry/client.ts'
import type { Clock } from '../telemetry/host.ts'
import { open } from './connection.ts'
import { type Failure, failure } from './failure.ts'
import { type Response, ResponseReader } from './response.ts'
import { Stopwatch } from './stopwatch.ts'

export interface KeptRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
  /**
   * The lines of all headers but Connection and Content-Length, Host included, each ended by CRLF, in Latin-1. The caller has
   * checked that they may stand in a request.
   */
  readonly head: string
  /** Lent until the answer is there. */
  readonly body: Buffer
}

export interface KeptLimits {
  /** Bytes of the response's head; a larger one is a failure (`too_large`). */
  readonly maxHead: number
  /** Bytes of the body that are read; of a longer one the rest is not, and the connection is closed. */
  readonly maxBody: number
  /** Why an address must not be connected to. */
  readonly blocked?: AddressCheck
}

export type Kept = Response | (Failure & { readonly reason: ClientReason })

/** After this time a connection is not used again, so that a name that leads elsewhere now is looked up again. */
const LONGEST_LIFE_MS = 60_000

/** Connections to one endpoint. At any time there are as many as requests were under way at the same time. */
export class KeepAlive implements Disposable {
  readonly #endpoint: () => TcpEndpoint
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #limits: KeptLimits
  readonly #idle: Connection[] = []
  #closed = false

  /** The endpoint is asked for with each new connection, since certificates can change. */
  constructor(endpoint: () => TcpEndpoint, clock: Pick<Clock, 'monotonic'>, limits: KeptLimits) {
    this.#endpoint = endpoint
    this.#clock = clock
    this.#limits = limits
  }

  /** `signal` is the deadline over everything. Never rejects. */
  async request(asked: KeptRequest, signal: AbortSignal): Promise<Kept> {
    const kept = this.#kept()
    if (kept) {
      const outcome = await this.#exchange(kept, asked, signal)
      // The peer closed the connection while it was idle, and the request crossed that on its way.
      if (outcome !== CROSSED) return outcome
    }
    const opened = await open(this.#endpoint(), signal, new Stopwatch(this.#clock), { blocked: this.#limits.blocked })
    if (!opened.ok) return opened
    const connection = new Connection(opened.socket, this.#clock.monotonic())
    const outcome = await this.#exchange(connection, asked, signal)
    return outcome === CROSSED ? CLOSED : outcome
  }

  /** Closes connections that are idle and old. Called now and then. */
  sweep(): void {
    const now = this.#clock.monotonic()
    for (let i = this.#idle.length - 1; i >= 0; i--) {
      const { socket, since } = this.#idle[i]!
      if (!socket.destroyed && now - since <= LONGEST_LIFE_MS) continue
      socket.destroy()
      this.#idle.splice(i, 1)
    }
  }

  [Symbol.dispose](): void {
    this.#closed = true
    for (const { socket } of this.#idle.splice(0)) socket.destroy()
  }

  #kept(): Connection | undefined {
    this.sweep()
    return this.#idle.pop()
  }

  async #exchange(connection: Connection, asked: KeptRequest, signal: AbortSignal): Promise<Kept | typeof CROSSED> {
    const reader = new ResponseReader({ bodiless: asked.method === 'HEAD', ...this.#limits })
    const outcome = await connection.exchange(asked, reader, signal)
    // The rest of a body that the peer did not want to read cannot be taken back.
    const whole = outcome !== CROSSED && outcome.ok && reader.reusable && connection.socket.writableLength === 0
    if (whole && !this.#closed) this.#idle.push(connection)
    else connection.socket.destroy()
    return outcome
  }
}

class Connection {
  readonly socket: Socket
  readonly since: number
  /** Of the request that is under way. */
  #onData: ((bytes: Buffer) => void) | undefined
  #onEnd: ((error: Error | undefined) => void) | undefined

  constructor(socket: Socket, since: number) {
    this.socket = socket
    this.since = since
    socket.on('data', (bytes: Buffer) => {
      // Bytes that nobody asked for would be taken for the answer to the next request.
      if (this.#onData) this.#onData(bytes)
      else socket.destroy()
    })
    const end = (error?: Error): void => {
      if (this.#onEnd) this.#onEnd(error)
      else socket.destroy()
    }
    socket.on('error', end)
    socket.on('end', () => end())
    socket.on('close', () => end())
  }

  exchange(asked: KeptRequest, reader: ResponseReader, signal: AbortSignal): Promise<Kept | typeof CROSSED> {
    const { socket } = this
    if (socket.destroyed) return Promise.resolve(CROSSED)
    const { promise, resolve } = Promise.withResolvers<Kept | typeof CROSSED>()
    const settle = (outcome: Kept | typeof CROSSED): void => {
      this.#onData = undefined
      this.#onEnd = undefined
      signal.removeEventListener('abort', expire)
      // An idle connection does not keep the process alive.
      socket.unref()
      resolve(outcome)
    }
    const expire = (): void => settle(failure(undefined, signal))
    let begun = false
    this.#onData = bytes => {
      begun = true
      const outcome = reader.push(bytes)
      if (outcome) settle(outcome)
    }
    this.#onEnd = error => {
      if (begun) settle(error ? failure(error, signal) : reader.close())
      else settle(error ? crossed(error, signal) : CROSSED)
    }
    socket.ref()
    if (signal.aborted) expire()
    else {
      signal.addEventListener('abort', expire, { once: true })
      const { method, path, head, body } = asked
      socket.cork()
      socket.write(`${method} ${path} HTTP/1.1\r\n${head}content-length: ${body.length}\r\n\r\n`, 'latin1')
      if (body.length > 0) socket.write(body)
      socket.uncork()
    }
    return promise
  }
}

/** The connection was closed before anything of an answer had come. */
const CROSSED = Symbol('crossed')
const CLOSED: Failure = { ok: false, reason: 'reset', detail: 'closed without an answer' }

function crossed(error: Error, signal: AbortSignal): Kept | typeof CROSSED {
  const outcome = failure(error, signal)
  return outcome.reason === 'reset' ? CROSSED : outcome
}
