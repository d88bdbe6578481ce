// Opens the connection of a probe: resolve, judge the address, connect, TLS. The address that was judged is the one
// connected to, so a name that changes its mind between the two changes nothing.

import type { X509Certificate } from 'node:crypto'
import { lookup } from 'node:dns'
import { once } from 'node:events'
import { connect, isIP, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { blocked } from './address.ts'
import { type Failure, failed, failure, type Stopwatch } from './verdict.ts'

export interface Endpoint {
  /** A name or a literal address, IPv6 without brackets. */
  readonly host: string
  readonly port: number
  readonly tls: Tls | undefined
}

export interface Tls {
  /** Whether the certificate must be valid for the name and signed by a known authority. */
  readonly verify: boolean
  readonly serverName: string
  /** PEM of the authorities to trust instead of Node's own. */
  readonly ca: string | undefined
}

export type Opened =
  | { readonly ok: true; readonly socket: Socket; readonly notAfter?: number }
  | (Failure & { readonly notAfter?: number })

/** The caller owns the socket and destroys it. */
export async function open(
  endpoint: Endpoint,
  signal: AbortSignal,
  watch: Stopwatch,
  protocols: readonly string[] = [],
): Promise<Opened> {
  watch.enter('resolve')
  const addresses = await resolve(endpoint.host, signal)
  if ('ok' in addresses) return addresses
  watch.enter('connect')
  const opened = await connectFirst(addresses, endpoint.port, signal)
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

// getaddrinfo cannot be cancelled and occupies one of the four threads of libuv's pool: a probe whose name server hangs
// joins the question that is still open instead of asking again.
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

async function connectFirst(addresses: readonly string[], port: number, signal: AbortSignal): Promise<Opened> {
  let last: Failure = failed('dns', 'the name has no address')
  // In order and one at a time: `localhost` may be ::1 first while the application listens on 127.0.0.1 only.
  for (const address of addresses) {
    if (blocked(address)) return failed('blocked', `${address} is a link-local or metadata address`)
    const socket = connect({ host: address, port, noDelay: true, autoSelectFamily: false })
    try {
      await once(socket, 'connect', { signal })
      socket.on('error', () => {})
      if (!blocked(socket.remoteAddress ?? '')) return { ok: true, socket }
      socket.destroy()
      return failed('blocked', `${socket.remoteAddress} is a link-local or metadata address`)
    } catch (error) {
      socket.on('error', () => {})
      socket.destroy()
      last = failure(error, signal)
      if (signal.aborted) return last
    }
  }
  return last
}

async function secure(plain: Socket, tls: Tls, signal: AbortSignal, protocols: readonly string[]): Promise<Opened> {
  const socket = process.getBuiltinModule('node:tls').connect({
    socket: plain,
    // RFC 6066: the server name indication is a name, never an address.
    ...(isIP(tls.serverName) ? {} : { servername: tls.serverName }),
    ...(protocols.length > 0 ? { ALPNProtocols: [...protocols] } : {}),
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    // Judged below instead, before anything is sent: a refused certificate still shows when it expires.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  })
  try {
    await once(socket, 'secureConnect', { signal })
  } catch (error) {
    socket.on('error', () => {})
    socket.destroy()
    const why = failure(error, signal)
    // Whatever breaks a handshake other than the deadline or the peer's closing is a matter of TLS.
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

// A chain of ten certificates is longer than any that works.
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
