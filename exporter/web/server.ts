// The listener of the web door. Machines' routes (/metrics, /-/…) are answered here, before express, which is loaded
// with the first page that a person opens: Prometheus never needs it, and it costs 19 MiB (see docs/decisions).

import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Reading } from '../metrics.ts'
import type { Deps, Running, WebOptions } from '../web.ts'
import { say } from './answer.ts'
import { type Entrance, openEntrance } from './entrance.ts'
import { admit } from './gate.ts'
import { cannotListen, listener } from './listener.ts'
import type { Pages } from './pages.ts'
import { certificateExpiry, configReloaded, countRefusals, type RefusalReason } from './refusals.ts'
import { Scrapes } from './scrape.ts'

export const LIMITS = {
  headersMs: 10_000,
  requestMs: 30_000,
  /** For the last byte to be taken, after the time that a scrape may need: a reader that does not read is cut off. */
  responseMs: 30_000,
  /** How long answers under way may go on after the door closes. */
  closeMs: 1_000,
  connections: 64,
  /** How often files behind the web configuration are looked at. */
  rereadMs: 2_000,
  handshakeMs: 5_000,
} as const

export type Limits = { readonly [K in keyof typeof LIMITS]: number }

function limitsOf({ connections = LIMITS.connections }: Deps): Limits {
  return { ...LIMITS, connections }
}

export async function serve(options: WebOptions, deps: Deps, limits = limitsOf(deps)): Promise<Running> {
  const refused = countRefusals(deps.metrics)
  if (options.listen === undefined)
    return { address: () => undefined, prepare: async () => () => {}, [Symbol.asyncDispose]: async () => {} }

  await using opened = new AsyncDisposableStack()
  const door = opened.use(new Door(options, deps, limits, refused, await openEntrance(options, deps)))
  await door.listen(options.listen)
  opened.move()
  return door
}

/** Without a reason of ours each abort makes an exception with a stack. */
const ANSWERED = new Error('the answer has been taken')

class Door implements Running {
  readonly #deps: Deps
  readonly #limits: Limits
  readonly #refused: (reason: RefusalReason) => void
  readonly #timeoutMs: number
  readonly #scrapes: Scrapes
  readonly #server: ReturnType<typeof listener>
  readonly #stop = new AbortController()
  readonly #reread: Reading<never>
  readonly #expiry: Reading<never>
  #options: WebOptions
  #entrance: Entrance
  #pages: Promise<Pages> | undefined
  #reloading = false
  #closed: Promise<void> | undefined

  constructor(
    options: WebOptions,
    deps: Deps,
    limits: Limits,
    refused: (reason: RefusalReason) => void,
    entrance: Entrance,
  ) {
    this.#deps = deps
    this.#limits = limits
    this.#refused = refused
    this.#timeoutMs = options.scrape_timeout
    this.#options = options
    this.#entrance = entrance
    this.#reread = deps.metrics.reading(configReloaded)
    this.#expiry = deps.metrics.reading(certificateExpiry)
    this.#scrapes = new Scrapes(deps, {
      timeoutMs: options.scrape_timeout,
      busy: () => refused('busy'),
      slow: () => refused('slow'),
    })
    this.#server = listener(limits, entrance.tls, refused, {
      request: (request, response) => this.#request(request, response),
      admits: socket => this.#entrance.tls?.admits(socket) ?? false,
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
        // EMFILE while accepting: the connection waits or goes, the door stays.
        this.#server.on('error', error => this.#deps.log.warn('the web door cannot accept', { error }))
        resolve()
      }
      // Without a host, Node takes all IPv6 and IPv4 addresses, and IPv4 alone where there is no IPv6.
      if (host === '::') this.#server.listen(port, listening)
      else this.#server.listen(port, host, listening)
    })
  }

  address(): { host: string; port: number; secure: boolean } | undefined {
    const address = this.#server.address()
    const secure = this.#entrance.tls !== undefined
    return address && typeof address === 'object' ? { host: address.address, port: address.port, secure } : undefined
  }

  async prepare(options: WebOptions): Promise<() => void> {
    const next = await openEntrance(options, this.#deps)
    const [before, after] = [this.#entrance.tls, next.tls]
    if ((before === undefined) !== (after === undefined) || before?.asks !== after?.asks) {
      await next[Symbol.asyncDispose]()
      throw new Error(
        'cannot turn TLS or the question for client certificates on or off while the door is open; restart the sidecar to change tls_server_config so',
      )
    }
    return () => this.#enter(options, next)
  }

  #enter(options: WebOptions, next: Entrance): void {
    const before = this.#entrance
    this.#options = options
    this.#entrance = next
    // Connections that are open keep what they have shaken hands on.
    if (next.tls && 'setSecureContext' in this.#server) this.#server.setSecureContext(next.tls.context)
    this.#publish()
    void before[Symbol.asyncDispose]()
  }

  #publish(): void {
    this.#reread.clear()
    if (this.#options.config.file !== undefined) this.#reread.set({}, 1)
    this.#expiry.clear()
    this.#expiry.set({}, this.#entrance.tls?.notAfter)
  }

  /**
   * Files behind the web configuration are taken anew when they change. What cannot be used leaves the old in effect and is
   * tried again, since what was missing may be a file that only the new configuration names.
   */
  async #watchFiles(): Promise<void> {
    const { clock, log } = this.#deps
    const { signal } = this.#stop
    let seen = await this.#entrance.stamp()
    let wrong: string | undefined
    while (!signal.aborted) {
      await clock.sleep(this.#limits.rereadMs, signal).catch(() => {})
      const now = await this.#entrance.stamp()
      if (signal.aborted || (now === seen && wrong === undefined)) continue
      seen = now
      try {
        const enter = await this.prepare(this.#options)
        enter()
        wrong = undefined
        log.info('the web configuration or a certificate has changed and is in effect')
      } catch (error) {
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
    this.#deps.clock.sleep(this.#limits.closeMs, drained.signal).then(
      () => this.#server.closeAllConnections(),
      () => {},
    )
    await closed
    drained.abort()
    await this.#entrance[Symbol.asyncDispose]()
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
      done.abort(ANSWERED)
      // While closing, a kept-alive connection has nothing to wait for once its answer is out.
      if (this.#closed) setImmediate(() => this.#server.closeIdleConnections())
    })
    response.on('error', () => {})
    this.#deps.clock.sleep(this.#limits.responseMs + this.#timeoutMs, done.signal).then(
      () => {
        this.#refused('slow')
        socket?.destroy()
      },
      () => {},
    )
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A body that no route reads must not be taken for the next request.
    if (hasBody(request)) response.setHeader('Connection', 'close')

    const { rules, headers } = this.#entrance
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    if (!this.#entrance.hasRoom()) {
      this.#refused('rate')
      return say(response, 429, 'too many requests; see rate_limit of web.config.file', { 'Retry-After': '1' })
    }
    const admission = await admit(request, rules)
    if (admission.reason !== undefined) {
      this.#refused(admission.reason)
      return say(response, admission.status, admission.text, ASK[admission.status]?.(rules))
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

/** What a refusal asks the client to send, or when to come again. */
const ASK: Readonly<Partial<Record<number, (rules: Entrance['rules']) => OutgoingHttpHeaders>>> = {
  401: ({ token, users }) => ({
    'WWW-Authenticate': [...(users ? ['Basic realm="pillion"'] : []), ...(token ? ['Bearer realm="pillion"'] : [])],
  }),
  503: () => ({ 'Retry-After': '1' }),
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}
