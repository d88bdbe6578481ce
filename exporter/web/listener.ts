// The server of the web door, with or without TLS, before it listens: its limits, and what never becomes a request.

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Server as SecureServer } from 'node:https'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { RefusalReason } from './refusals.ts'
import type { Limits } from './server.ts'
import type { Tls } from './tls.ts'

const { createServer, STATUS_CODES } = process.getBuiltinModule('node:http')

export interface Served {
  request(request: IncomingMessage, response: ServerResponse): void
  /** Whether the client may stay after its TLS handshake. */
  admits(socket: TLSSocket): boolean
}

export function listener(
  limits: Limits,
  tls: Tls | undefined,
  refused: (reason: RefusalReason) => void,
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
  }
  const server = tls
    ? secureServer({ ...options, handshakeTimeout: limits.handshakeMs }, tls, refused, served)
    : createServer(options)
  server.maxConnections = limits.connections
  server.on('drop', () => refused('connections'))
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (reject(error, socket)) refused('malformed')
  })
  server.on('request', (request, response) => served.request(request, response))
  return server
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
