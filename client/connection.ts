// Opens a connection: resolve, check the address, connect, TLS. It connects to the address that was checked, so
// a name that resolves differently a moment later cannot bypass the check.

import type { X509Certificate } from 'node:crypto'
import { lookup } from 'node:dns'
import { once } from 'node:events'
import { connect, isIP, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { AddressCheck, ClientTls, Endpoint } from '../telemetry/client.ts'
import { type Failure, failed, failure } from './failure.ts'
import type { Stopwatch } from './stopwatch.ts'

export type Opened =
  | { readonly ok: true; readonly socket: Socket; readonly notAfter?: number }
  | (Failure & { readonly notAfter?: number })

/** The caller owns the socket and destroys it. */
export async function open(
  endpoint: Endpoint,
  signal: AbortSignal,
  watch: Stopwatch,
  { protocols = [], blocked }: { readonly protocols?: readonly string[]; readonly blocked?: AddressCheck | undefined },
): Promise<Opened> {
  if ('socketPath' in endpoint) {
    watch.enter('connect')
    return connected(connect({ path: endpoint.socketPath }), signal)
  }
  watch.enter('resolve')
  const addresses = await resolve(endpoint.host, signal)
  if ('ok' in addresses) return addresses
  watch.enter('connect')
  const opened = await connectFirst(addresses, endpoint.port, signal, blocked)
  if (!opened.ok || !endpoint.tls) return opened
  watch.enter('tls')
  return secure(opened.socket, endpoint.tls, signal, protocols)
}

async function resolve(host: string, signal: AbortSignal): Promise<readonly string[] | Failure> {
  if (isIP(host)) return [host]
  if (signal.aborted) return failure(undefined, signal)
  const { promise, resolve: settle } = Promise.withResolvers<readonly string[] | Failure>()
  const expire = (): void => settle(failure(undefined, signal))
  signal.addEventListener('abort', expire, { once: true })
  ask(host).then(settle, error => settle(failure(error, signal)))
  const found = await promise
  signal.removeEventListener('abort', expire)
  return found
}

// getaddrinfo cannot be cancelled and occupies one of the four threads of libuv's pool: while a name server does not answer,
// further probes of the name wait for the lookup that is already open.
const asking = new Map<string, Promise<readonly string[]>>()

function ask(host: string): Promise<readonly string[]> {
  const open = asking.get(host)
  if (open) return open
  const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>()
  lookup(host, { all: true }, (error, found) => {
    asking.delete(host)
    if (error) reject(error)
    else resolve(found.map(each => each.address))
  })
  asking.set(host, promise)
  return promise
}

async function connectFirst(
  addresses: readonly string[],
  port: number,
  signal: AbortSignal,
  blocked: AddressCheck = () => undefined,
): Promise<Opened> {
  let last: Opened = failed('dns', 'the name has no address')
  // One after another: `localhost` may resolve to ::1 first while the application listens on 127.0.0.1 only.
  for (const address of addresses) {
    const why = blocked(address)
    if (why !== undefined) return failed('blocked', why)
    last = await connected(connect({ host: address, port, noDelay: true, autoSelectFamily: false }), signal)
    if (signal.aborted) return last
    if (!last.ok) continue
    const seen = blocked(last.socket.remoteAddress ?? '')
    if (seen === undefined) return last
    last.socket.destroy()
    return failed('blocked', seen)
  }
  return last
}

async function connected(socket: Socket, signal: AbortSignal): Promise<Opened> {
  try {
    await once(socket, 'connect', { signal })
    return { ok: true, socket }
  } catch (error) {
    socket.destroy()
    return failure(error, signal)
  } finally {
    socket.on('error', () => {})
  }
}

async function secure(
  plain: Socket,
  tls: ClientTls,
  signal: AbortSignal,
  protocols: readonly string[],
): Promise<Opened> {
  const socket = process.getBuiltinModule('node:tls').connect({
    socket: plain,
    // RFC 6066: the server name indication is a name, never an address.
    ...(isIP(tls.serverName) ? {} : { servername: tls.serverName }),
    ...(protocols.length > 0 ? { ALPNProtocols: [...protocols] } : {}),
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    // Verified below instead, before anything is sent, so that the expiry of a refused certificate is known too.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  })
  try {
    await once(socket, 'secureConnect', { signal })
  } catch (error) {
    socket.on('error', () => {})
    socket.destroy()
    const why = failure(error, signal)
    // Everything else that breaks a handshake is a failure of TLS.
    return why.reason === 'timeout' || why.reason === 'reset' ? why : failed('tls', why.detail)
  }
  socket.on('error', () => {})
  const certificate = socket.getPeerX509Certificate()
  const expiry = firstExpiry(certificate)
  const seen = expiry === undefined ? {} : { notAfter: expiry }
  const complaint = tls.verify ? untrusted(socket, certificate, tls.serverName) : undefined
  if (complaint === undefined) return { ok: true, socket, ...seen }
  socket.destroy()
  return { ...failed('tls', complaint), ...seen }
}

function untrusted(socket: TLSSocket, certificate: X509Certificate | undefined, name: string): string | undefined {
  if (!socket.authorized) return String(socket.authorizationError)
  if (!certificate) return 'no certificate'
  return process.getBuiltinModule('node:tls').checkServerIdentity(name, certificate.toLegacyObject())?.message
}

// No real chain has more than ten certificates.
const LONGEST_CHAIN = 10

function firstExpiry(leaf: X509Certificate | undefined): number | undefined {
  let first: number | undefined
  let certificate = leaf
  for (let n = 0; certificate && n < LONGEST_CHAIN; n++) {
    const seconds = certificate.validToDate.getTime() / 1000
    if (first === undefined || seconds < first) first = seconds
    certificate = certificate.issuerCertificate
  }
  return first
}
