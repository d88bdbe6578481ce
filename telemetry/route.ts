// A route: what a part answers over HTTP. Parts contribute routes; the web server serves, guards and limits them.

import type { IncomingMessage, ServerResponse } from 'node:http'

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

/**
 * The clients that may ask for a route:
 * - `anyone`: clients that cannot keep a secret, such as the kubelet's probes. Only for answers of a few bytes.
 * - `scraper`: any host as long as no token and no users are configured; then it needs one of them.
 * - `operator`: this host where only this host can connect; otherwise a token, a user or a client certificate.
 */
export type Access = 'anyone' | 'scraper' | 'operator'

export interface Route {
  /** The path, matched as it was sent; one that ends with "/" stands for everything below it too. */
  readonly path: string
  /** GET answers HEAD too: Node leaves the body out. */
  readonly methods: readonly Method[]
  readonly access: Access
  /** The answer may take as long as it likes (a stream of events); others are cut off when they are not taken in time. */
  readonly streams?: boolean
  /** The largest body that the route reads, in bytes; without it a request with a body is refused. */
  readonly maxBody?: number
  /**
   * Answers the request. Never called for a method, a client or a body that the route does not allow. The signal aborts when
   * the client has gone, the answer took too long, or the server closes. A rejection is logged and answered with 500.
   */
  handle(request: RouteRequest, response: ServerResponse, signal: AbortSignal): void | Promise<void>
}

export interface RouteRequest {
  readonly method: Method
  /** The path without query, as sent: nothing is decoded. */
  readonly path: string
  /** Path and query, as sent. */
  readonly target: string
  readonly headers: IncomingMessage['headers']
  /** The body; empty when there is none. Never longer than the route's `maxBody`. */
  readonly body: Buffer
}
