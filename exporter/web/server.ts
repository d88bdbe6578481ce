// The web server: its life, and what it does with each request: the rules of access, the limits, the route.

import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Reading } from '../../metrics/registry.ts'
import type { Finding } from '../../telemetry/part.ts'
import type { Route } from '../../telemetry/route.ts'
import { authorize, isLoopback } from './access.ts'
import { SECURITY, say } from './answer.ts'
import { hasBody, readBody } from './body.ts'
import { Connections } from './connections.ts'
import type { WebHost, WebRunning } from './host.ts'
import { LIMITS, type Limits } from './limits.ts'
import { cannotListen, listener } from './listener.ts'
import type { WebOptions } from './options.ts'
import { openPolicy, type Policy } from './policy.ts'
import { certificateExpiry, configReloaded, countRefusals, type RefusalReason } from './refusals.ts'
import { type Pages, Routes } from './routes.ts'
import { Scrapes } from './scrape.ts'

function limitsOf({ connections = LIMITS.connections }: WebHost): Limits {
  return { ...LIMITS, connections }
}

export async function serve(options: WebOptions, host: WebHost, limits = limitsOf(host)): Promise<WebRunning> {
  const refused = countRefusals(host.metrics)
  if (options.listen === undefined)
    return { address: () => undefined, prepare: async () => () => {}, [Symbol.asyncDispose]: async () => {} }

  await using opened = new AsyncDisposableStack()
  const server = opened.use(new WebServer(options, host, limits, refused, await openPolicy(options, host)))
  await server.listen(options.listen)
  opened.move()
  return server
}

/** Without a reason of ours each abort makes an exception with a stack. */
const ANSWERED = new Error('the answer has been taken')
const GONE = new Error('the client has gone')

class WebServer implements WebRunning {
  readonly #host: WebHost
  readonly #limits: Limits
  readonly #refused: (reason: RefusalReason) => void
  readonly #timeoutMs: number
  readonly #routes: Routes
  readonly #connections: Connections
  readonly #server: ReturnType<typeof listener>
  readonly #stop = new AbortController()
  readonly #reread: Reading<never>
  readonly #expiry: Reading<never>
  /** Answers that may go on for long (scrapes, streams), each at a time: a share of the connections. */
  readonly #places: number
  #streams = 0
  /** Whether other hosts can connect. */
  #shared = true
  #options: WebOptions
  #policy: Policy
  #pages: Promise<Pages & AsyncDisposable> | undefined
  #closed: Promise<void> | undefined

  constructor(
    options: WebOptions,
    host: WebHost,
    limits: Limits,
    refused: (reason: RefusalReason) => void,
    policy: Policy,
  ) {
    this.#host = host
    this.#limits = limits
    this.#refused = refused
    this.#timeoutMs = options.scrape_timeout
    this.#options = options
    this.#policy = policy
    this.#reread = host.metrics.reading(configReloaded)
    this.#expiry = host.metrics.reading(certificateExpiry)
    this.#places = Math.max(1, Math.floor(limits.connections / 4))
    this.#connections = new Connections(limits.connections, () => refused('connections'))
    const scrapes = new Scrapes(host, {
      timeoutMs: options.scrape_timeout,
      readers: this.#places,
      busy: () => refused('busy'),
      slow: () => refused('slow'),
    })
    this.#routes = new Routes(host, scrapes)
    this.#server = listener(limits, policy.tls, refused, this.#connections, {
      request: (request, response) => this.#request(request, response),
      admits: socket => this.#policy.tls?.admits(socket) ?? false,
    })
    this.#publish()
    void this.#watchFiles()
  }

  listen({ host, port }: { readonly host: string; readonly port: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (cause: NodeJS.ErrnoException): void => reject(cannotListen(host, port, cause))
      this.#server.once('error', fail)
      const listening = (): void => {
        this.#server.off('error', fail)
        this.#shared = !isLoopback(this.address()?.host ?? '')
        // EMFILE while accepting: the connection waits or is closed, the server stays.
        this.#server.on('error', error => this.#host.log.warn('the web server cannot accept a connection', { error }))
        resolve()
      }
      // Without a host, Node takes all IPv6 and IPv4 addresses, and IPv4 alone where there is no IPv6.
      if (host === '::') this.#server.listen(port, listening)
      else this.#server.listen(port, host, listening)
    })
  }

  address(): { host: string; port: number; secure: boolean } | undefined {
    const address = this.#server.address()
    const secure = this.#policy.tls !== undefined
    return address && typeof address === 'object' ? { host: address.address, port: address.port, secure } : undefined
  }

  findings(): readonly Finding[] {
    const { token, users } = this.#policy.rules
    if (!this.#shared || token || users || this.#policy.tls?.asks) return []
    const text =
      'the page, /api/status and /-/reload are closed, since other hosts can connect (web.listen); set web.token_file to open them'
    return [{ level: 'info', text }]
  }

  async prepare(options: WebOptions): Promise<() => void> {
    const next = await this.#open(options)
    return () => this.#apply(options, next)
  }

  /** The policy that options ask for; throws for what cannot change while the server listens. */
  async #open(options: WebOptions): Promise<Policy> {
    const next = await openPolicy(options, this.#host)
    const [before, after] = [this.#policy.tls, next.tls]
    if ((before === undefined) !== (after === undefined) || before?.asks !== after?.asks) {
      await next[Symbol.asyncDispose]()
      throw new Error(
        'cannot turn TLS or the request for client certificates on or off while the web server listens; restart the sidecar to change that in tls_server_config',
      )
    }
    return next
  }

  #apply(options: WebOptions, next: Policy): void {
    const before = this.#policy
    this.#options = options
    this.#policy = next
    // Connections that are open keep the certificate of their handshake.
    if (next.tls && 'setSecureContext' in this.#server) this.#server.setSecureContext(next.tls.context)
    this.#publish()
    void before[Symbol.asyncDispose]()
  }

  #publish(): void {
    this.#reread.clear()
    if (this.#options.config.file !== undefined) this.#reread.set({}, 1)
    this.#expiry.clear()
    this.#expiry.set({}, this.#policy.tls?.notAfter)
  }

  /**
   * Files behind the web configuration are read again when they change, and not while they are written: a file that is still
   * empty would let everybody in. If they cannot be used, the old ones stay in effect and the new ones are tried again, since
   * what was missing may be a file that only the new configuration names.
   */
  async #watchFiles(): Promise<void> {
    const { clock, log } = this.#host
    const { signal } = this.#stop
    let seen = await this.#policy.stamp()
    let looked = seen
    let wrong: string | undefined
    while (!signal.aborted) {
      await clock.sleep(this.#limits.rereadMs, signal).catch(() => {})
      const before = looked
      looked = await this.#policy.stamp()
      if (signal.aborted || looked !== before || (looked === seen && wrong === undefined)) continue
      try {
        const next = await this.#open(this.#options)
        if ((await this.#policy.stamp()) !== looked) {
          await next[Symbol.asyncDispose]()
          continue
        }
        seen = looked
        this.#apply(this.#options, next)
        wrong = undefined
        log.info('the web configuration or a certificate has changed and is in effect')
      } catch (error) {
        seen = looked
        const why = error instanceof Error ? error.message : String(error)
        if (why !== wrong) log.error('the web configuration stays as it was', { error })
        wrong = why
        this.#reread.set({}, 0)
      }
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#stop.abort()
    const drained = new AbortController()
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    this.#host.clock.sleep(this.#limits.closeMs, drained.signal).then(
      () => this.#server.closeAllConnections(),
      () => {},
    )
    await closed
    drained.abort()
    await (await this.#pages)?.[Symbol.asyncDispose]()
    await this.#policy[Symbol.asyncDispose]()
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    if (request.socket.destroyed) return
    this.#connections.begin(response)
    response.on('error', () => {})
    response.once('close', () => {
      // While closing, a kept-alive connection has nothing to wait for once its answer has been sent.
      if (this.#closed) setImmediate(() => this.#server.closeIdleConnections())
    })
    this.#answer(request, response).catch((error: unknown) => {
      this.#host.log.error('the web server failed to answer', { error })
      say(response, 500, 'the sidecar failed to answer; its log says why')
    })
  }

  /** Cuts off a client that does not read the answer in time. */
  #limit(response: ServerResponse): void {
    const { socket } = response
    const done = new AbortController()
    response.once('close', () => done.abort(ANSWERED))
    this.#host.clock.sleep(this.#limits.responseMs + this.#timeoutMs, done.signal).then(
      () => {
        this.#refused('slow')
        socket?.destroy()
      },
      () => {},
    )
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A body that no route reads must not be taken for the next request.
    if (hasBody(request)) response.setHeader('Connection', 'close')
    const unspoken = notSpoken(request)
    if (unspoken) {
      this.#limit(response)
      this.#refused('malformed')
      return say(response, ...unspoken, { Connection: 'close' })
    }

    const { rules, headers } = this.#policy
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    if (!this.#policy.hasRoom()) {
      this.#limit(response)
      this.#refused('rate')
      return say(response, 429, 'too many requests; see rate_limit of web.config.file', { 'Retry-After': '1' })
    }
    const verdict = await authorize(request, rules, this.#shared, path => this.#routes.find(path))
    if (verdict.reason !== undefined) {
      this.#limit(response)
      this.#refused(verdict.reason)
      return say(response, verdict.status, verdict.text, ASK[verdict.status]?.(rules))
    }
    const { path, target, route, method } = verdict
    if (!route?.streams) this.#limit(response)
    else if (!this.#reserve(response)) return
    if (!route) {
      if (request.method !== 'GET' && request.method !== 'HEAD')
        return say(response, 405, 'this address can only be read: use GET', { Allow: 'GET, HEAD' })
      request.url = target
      const pages = await this.#load()
      if (!response.destroyed) pages(request, response)
      return
    }
    if (method === undefined) return say(response, 405, ...wrongMethod(path, route))
    const body = await this.#body(request, response, route)
    if (!body) return
    for (const [name, value] of Object.entries(SECURITY)) if (!response.hasHeader(name)) response.setHeader(name, value)
    const gone = new AbortController()
    response.once('close', () => gone.abort(GONE))
    const signal = AbortSignal.any([gone.signal, this.#stop.signal])
    await route.handle({ method, path, target, headers: request.headers, body }, response, signal)
  }

  /** A place for a stream; false if there is none, which has been answered. */
  #reserve(response: ServerResponse): boolean {
    if (this.#streams >= this.#places) {
      this.#limit(response)
      this.#refused('busy')
      say(response, 503, 'too many streams at a time; close one, or ask again later', { 'Retry-After': '1' })
      return false
    }
    this.#streams++
    response.once('close', () => this.#streams--)
    return true
  }

  /** The body that the route reads; undefined when the request has been refused because of it. */
  async #body(request: IncomingMessage, response: ServerResponse, route: Route): Promise<Buffer | undefined> {
    if (!hasBody(request)) return EMPTY
    // A GET whose body nobody reads is answered all the same, as before HTTP said so: the connection ends with it.
    if (route.maxBody === undefined) {
      if (request.method === 'GET' || request.method === 'HEAD') return EMPTY
      // The head of a request whose body then breaks must not have an effect.
      say(response, 400, `${route.path} takes no body`)
      return undefined
    }
    const body = await readBody(request, route.maxBody)
    if (body === 'too large') say(response, 413, `the body is larger than ${route.maxBody} bytes`)
    return typeof body === 'string' ? undefined : body
  }

  /** Express and the pages, which only people need: 19 MiB (docs/decisions). */
  #load(): Promise<Pages & AsyncDisposable> {
    this.#pages ??= import('./pages.ts').then(({ pages }) => pages(this.#host))
    return this.#pages
  }
}

const EMPTY = Buffer.alloc(0)

/** The answer to HTTP that Node's parser takes and we do not speak (RFC 9112, 2.3 and 6.1). */
function notSpoken({ httpVersionMajor, headers }: IncomingMessage): [number, string] | undefined {
  if (httpVersionMajor !== 1) return [505, 'only HTTP/1.0 and HTTP/1.1 are spoken here']
  const coding = headers['transfer-encoding']
  if (coding === undefined || coding.trim().toLowerCase() === 'chunked') return undefined
  return [501, 'no transfer coding but "chunked" is known here']
}

function wrongMethod(path: string, { methods }: Route): [string, OutgoingHttpHeaders] {
  const allowed = methods.flatMap(method => (method === 'GET' ? ['GET', 'HEAD'] : [method]))
  const readOnly = methods.every(method => method === 'GET')
  const text = readOnly ? `${path} can only be read: use GET` : `${path} takes ${methods.join(' or ')}`
  return [text, { Allow: allowed.join(', ') }]
}

/** Headers of a refusal: the credentials that the client should send, or when it should come again. */
const ASK: Readonly<Partial<Record<number, (rules: Policy['rules']) => OutgoingHttpHeaders>>> = {
  401: ({ token, users }) => ({
    'WWW-Authenticate': [...(users ? ['Basic realm="pillion"'] : []), ...(token ? ['Bearer realm="pillion"'] : [])],
  }),
  503: () => ({ 'Retry-After': '1' }),
}
