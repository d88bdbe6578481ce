// The listener of the web door. Machines' routes (/metrics, /-/…) are answered here, before express, which is loaded
// with the first page that a person opens: Prometheus never needs it, and it costs 19 MiB (see docs/decisions).

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Deps, Running, WebOptions } from '../web.ts'
import { say } from './answer.ts'
import { admit, type Rules } from './gate.ts'
import type { Pages } from './pages.ts'
import { countRefusals, type RefusalReason } from './refusals.ts'
import { Scrapes } from './scrape.ts'

const { createServer, STATUS_CODES } = process.getBuiltinModule('node:http')

export const LIMITS = {
  headersMs: 10_000,
  requestMs: 30_000,
  /** For the last byte to be taken, after the time that a scrape may need: a reader that does not read is cut off. */
  responseMs: 30_000,
  /** How long answers under way may go on after the door closes. */
  closeMs: 1_000,
  connections: 64,
} as const

export type Limits = { readonly [K in keyof typeof LIMITS]: number }

function limitsOf({ connections = LIMITS.connections }: Deps): Limits {
  return { ...LIMITS, connections }
}

export async function serve(options: WebOptions, deps: Deps, limits = limitsOf(deps)): Promise<Running> {
  const refused = countRefusals(deps.metrics)
  if (options.listen === undefined) return { address: () => undefined, [Symbol.asyncDispose]: async () => {} }

  const token =
    options.token_file === undefined
      ? undefined
      : await (await import('./token.ts')).Token.open(options.token_file, deps.clock, deps.log)
  const door = new Door(deps, limits, {
    rules: { allowedHosts: options.allowed_hosts, token },
    timeoutMs: options.scrape_timeout,
    refused,
  })
  await door.listen(options.listen)
  return door
}

interface Behaviour {
  readonly rules: Rules
  readonly timeoutMs: number
  refused(reason: RefusalReason): void
}

class Door implements Running {
  readonly #deps: Deps
  readonly #limits: Limits
  readonly #behaviour: Behaviour
  readonly #scrapes: Scrapes
  readonly #server: Server
  #pages: Promise<Pages> | undefined
  #reloading = false
  #closed: Promise<void> | undefined

  constructor(deps: Deps, limits: Limits, behaviour: Behaviour) {
    this.#deps = deps
    this.#limits = limits
    this.#behaviour = behaviour
    this.#scrapes = new Scrapes(deps, { timeoutMs: behaviour.timeoutMs, busy: () => behaviour.refused('busy') })
    this.#server = createServer({
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      // The two above are only looked at this often; Node's default is 30 s.
      connectionsCheckingInterval: Math.min(1000, limits.headersMs),
      // Longer than any usual scrape interval, so that Prometheus keeps its connection.
      keepAliveTimeout: 65_000,
      maxHeaderSize: 16_384,
    })
    this.#server.maxConnections = limits.connections
    this.#server.on('drop', () => behaviour.refused('connections'))
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      if (reject(error, socket)) behaviour.refused('malformed')
    })
    this.#server.on('request', (request, response) => this.#request(request, response))
  }

  listen({ host, port }: { readonly host: string; readonly port: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (cause: NodeJS.ErrnoException): void => reject(cannotListen(host, port, cause))
      this.#server.once('error', fail)
      const listening = (): void => {
        this.#server.off('error', fail)
        // EMFILE while accepting: the connection waits or goes, the door stays.
        this.#server.on('error', error => this.#deps.log.warn('the web door cannot accept', { error }))
        resolve()
      }
      // Without a host, Node takes all IPv6 and IPv4 addresses, and IPv4 alone where there is no IPv6.
      if (host === '::') this.#server.listen(port, listening)
      else this.#server.listen(port, host, listening)
    })
  }

  address(): { host: string; port: number } | undefined {
    const address = this.#server.address()
    return address && typeof address === 'object' ? { host: address.address, port: address.port } : undefined
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const drained = new AbortController()
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    this.#deps.clock.sleep(this.#limits.closeMs, drained.signal).then(
      () => this.#server.closeAllConnections(),
      () => {},
    )
    await closed
    drained.abort()
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    this.#watch(response)
    this.#route(request, response).catch((error: unknown) => {
      this.#deps.log.error('the web door failed to answer', { error })
      say(response, 500, 'the sidecar failed to answer; its log says why')
    })
  }

  /** Cuts off whoever does not read the answer in time. */
  #watch(response: ServerResponse): void {
    const { socket } = response
    const done = new AbortController()
    response.once('close', () => {
      done.abort()
      // While closing, a kept-alive connection has nothing to wait for once its answer is out.
      if (this.#closed) setImmediate(() => this.#server.closeIdleConnections())
    })
    response.on('error', () => {})
    this.#deps.clock.sleep(this.#limits.responseMs + this.#behaviour.timeoutMs, done.signal).then(
      () => {
        this.#behaviour.refused('slow')
        socket?.destroy()
      },
      () => {},
    )
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A body that no route reads must not be taken for the next request.
    if (hasBody(request)) response.setHeader('Connection', 'close')

    const admission = await admit(request, this.#behaviour.rules)
    if (admission.reason !== undefined) {
      this.#behaviour.refused(admission.reason)
      const challenge = admission.status === 401 ? { 'WWW-Authenticate': 'Bearer realm="pillion"' } : {}
      return say(response, admission.status, admission.text, challenge)
    }

    const { path } = admission
    if (path === '/-/reload') return this.#reload(request, response)
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return say(response, 405, `${path === '/metrics' ? path : 'this address'} can only be read: use GET`, {
        Allow: 'GET, HEAD',
      })
    if (path === '/metrics') return this.#scrapes.answer(request, response)
    if (path === '/-/healthy') return say(response, 200, 'healthy')
    if (path === '/-/ready') return this.#ready(response)
    if (path.startsWith('/-/')) return say(response, 404, 'there are /-/healthy, /-/ready and POST /-/reload')
    request.url = admission.target
    const pages = await this.#load()
    if (!response.destroyed) pages(request, response)
  }

  #ready(response: ServerResponse): void {
    const { ready, why } = this.#deps.ready()
    if (ready) say(response, 200, 'ready')
    else say(response, 503, why === undefined ? 'not ready' : `not ready: ${why}`)
  }

  async #reload(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'POST') return say(response, 405, 'reloading changes things: use POST', { Allow: 'POST' })
    // The head of a request whose body then breaks must not have had an effect.
    if (hasBody(request)) return say(response, 400, 'reloading takes no body')
    if (!this.#deps.reload)
      return say(response, 501, 'this sidecar cannot reload its configuration; restart it instead')
    if (this.#reloading) return say(response, 409, 'a reload is under way; ask again later', { 'Retry-After': '1' })
    this.#reloading = true
    try {
      await this.#deps.reload()
      say(response, 200, 'reloaded')
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      say(response, 500, `cannot reload, the configuration stays as it was: ${why}`)
    } finally {
      this.#reloading = false
    }
  }

  #load(): Promise<Pages> {
    this.#pages ??= import('./pages.ts').then(({ pages }) => pages(this.#deps))
    return this.#pages
  }
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

/**
 * What Node's parser refused never became a request; the peer is told in the few bytes that need no response object.
 * False when there is nobody to tell: the peer has gone, or was told already.
 */
function reject(error: NodeJS.ErrnoException, socket: Duplex): boolean {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return false
  }
  const status =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? 431
      : error.code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW'
        ? 413
        : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
          ? 408
          : 400
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () =>
    socket.destroy(),
  )
  return true
}

function cannotListen(host: string, port: number, cause: NodeJS.ErrnoException): Error {
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`
  const remedy =
    cause.code === 'EADDRINUSE'
      ? 'the port is taken; free it, or choose another with web.listen'
      : cause.code === 'EACCES'
        ? 'the port is reserved for privileged processes; choose one above 1023 with web.listen'
        : cause.code === 'EADDRNOTAVAIL' || cause.code === 'ENOTFOUND'
          ? 'this machine has no such address; choose another with web.listen'
          : `${cause.message}; choose another address with web.listen`
  return new Error(`cannot listen on ${where}: ${remedy}`, { cause })
}
