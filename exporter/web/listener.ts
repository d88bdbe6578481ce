// The server, with or without TLS, before it listens: its limits, and what never becomes a request.

import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http'
import type { Server as SecureServer } from 'node:https'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Connections } from './connections.ts'
import type { Limits } from './limits.ts'
import type { RefusalReason } from './refusals.ts'
import type { Tls } from './tls.ts'

const { createServer, IncomingMessage: Message, STATUS_CODES } = process.getBuiltinModule('node:http')

export interface Served {
  request(request: IncomingMessage, response: ServerResponse): void
  /** Whether the client may stay after its TLS handshake. */
  admits(socket: TLSSocket): boolean
}

export function listener(
  limits: Limits,
  tls: Tls | undefined,
  refused: (reason: RefusalReason) => void,
  connections: Connections,
  served: Served,
): Server | SecureServer {
  const options = {
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    // The two above are only looked at this often; Node's default is 30 s.
    connectionsCheckingInterval: Math.min(1000, limits.headersMs),
    // Longer than any usual scrape interval, so that Prometheus keeps its connection.
    keepAliveTimeout: 65_000,
    maxHeaderSize: 16_384,
    // A peer that has vanished without a word is noticed by the kernel.
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
    ...unpipelined(connections),
  }
  const server = tls
    ? secureServer({ ...options, handshakeTimeout: limits.handshakeMs }, tls, refused, served)
    : createServer(options)
  server.on('connection', socket => connections.opened(socket))
  // Only what `unpipelined` has stopped comes here.
  server.on('upgrade', (_, socket: Duplex) => {
    refused('pipelined')
    socket.destroy()
  })
  server.on('secureConnection', socket => connections.secured(socket))
  // A backstop for many at once: a connection that was closed is still counted until the next turn of the event loop.
  server.maxConnections = 2 * limits.connections
  server.on('drop', () => refused('connections'))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (reject(error, socket)) refused('malformed')
  })
  server.on('request', (request, response) => served.request(request, response))
  return server
}

/**
 * Options by which the parser stops at a request that is pipelined. Without them it makes a request and a response object
 * for each of the 1,500 requests that fit into one read, and Node keeps them until the connection is closed, 10 MB for each
 * connection. Node asks a request whether it is an upgrade before it hands it on; if it is, parsing ends there.
 */
function unpipelined(connections: Connections): Pick<ServerOptions, 'IncomingMessage' | 'shouldUpgradeCallback'> {
  // Node sets the property while it constructs the object, when there are no private fields yet.
  const stopped = new WeakSet<IncomingMessage>()
  class Request extends Message {
    get upgrade(): boolean {
      return stopped.has(this)
    }

    /** Set to null by the constructor, then to what the parser says, then to what the callback below says. */
    set upgrade(asked: boolean | null) {
      if (asked || (asked === false && connections.answering(this.socket))) stopped.add(this)
      else stopped.delete(this)
    }
  }
  // Real upgrades are answered as ordinary requests, which HTTP allows (RFC 9110, 7.8).
  return { IncomingMessage: Request, shouldUpgradeCallback: request => connections.answering(request.socket) }
}

function secureServer(
  options: object,
  tls: Tls,
  refused: (reason: RefusalReason) => void,
  { admits }: Served,
): SecureServer {
  const https = process.getBuiltinModule('node:https')
  // The client's certificate is judged below, by rules that can change while the server listens.
  const server = https.createServer({ ...options, ...tls.context, requestCert: tls.asks, rejectUnauthorized: false })
  // Before the listener by which https reads requests.
  server.prependListener('secureConnection', socket => {
    if (admits(socket)) return
    refused('tls')
    socket.destroy()
  })
  server.on('tlsClientError', (_, socket) => {
    refused('tls')
    socket.destroy()
  })
  return server
}

/**
 * Answers bytes that Node's parser refused. They never became a request, so the answer is written without a response object.
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
          : error.code === 'HPE_INVALID_VERSION'
            ? 505
            : 400
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () =>
    socket.destroy(),
  )
  return true
}

export function cannotListen(host: string, port: number, cause: NodeJS.ErrnoException): Error {
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
