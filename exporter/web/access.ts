// Access. Decided for each request before its route sees it, from the request alone: the name in its Host header (against
// DNS rebinding), where it comes from, its token, and the page that sent it.

import type { IncomingMessage } from 'node:http'
import { isIP, isIPv6, type Socket } from 'node:net'
import type { Access, Method, Route } from '../../telemetry/route.ts'
import type { RefusalReason } from './refusals.ts'

export interface Denied {
  readonly reason: RefusalReason
  readonly status: 400 | 401 | 403 | 421 | 503
  readonly text: string
}

export interface Granted {
  readonly reason?: undefined
  /** The path without query, as sent: nothing is decoded. */
  readonly path: string
  /** Path and query. */
  readonly target: string
  /** Undefined for the pages. */
  readonly route: Route | undefined
  /** The method, as the route knows it (HEAD is GET); undefined if the route does not allow it. */
  readonly method: Method | undefined
}

export interface Rules {
  readonly allowedHosts: readonly string[]
  /** Compares in constant time; undefined when no token is configured. */
  readonly token: { matches(authorization: string): Promise<boolean> } | undefined
  /** Whether the client of this connection has shown a certificate that was verified. */
  certified?(socket: Socket): boolean
  /** Remembers what it has compared; 'busy' when too many passwords are waiting. Undefined when no users are configured. */
  readonly users: { matches(authorization: string): Promise<boolean | 'busy'> } | undefined
}

/** `shared`: hosts other than this one can connect, so that an address of this host proves nothing. */
export async function authorize(
  request: IncomingMessage,
  rules: Rules,
  shared: boolean,
  find: (path: string) => Route | undefined,
): Promise<Granted | Denied> {
  const target = requestTarget(request)
  if (!target) return refuse('target', 400, 'cannot read the request target; ask for a path such as /metrics')

  // Node keeps the first of several Host or Authorization headers, a proxy before us may have looked at the last.
  const repeated = ['host', 'authorization'].find(name => times(request, name) > 1)
  if (repeated) return refuse(repeated === 'host' ? 'host' : 'token', 400, `the ${repeated} header must be sent once`)

  const { host } = request.headers
  const names = target.host === undefined ? [host] : [host ?? target.host, target.host]
  if (!names.every(name => known(name, rules.allowedHosts)))
    return refuse(
      'host',
      421,
      'this host is not known by the name in the Host header; call it localhost or by its IP address, or add the name to web.allowed_hosts',
    )

  const route = find(target.path)
  const asked = request.method === 'HEAD' ? 'GET' : request.method
  const method = route?.methods.find(each => each === asked)
  const denied = await identify(
    request,
    method === undefined ? 'operator' : (route?.access ?? 'operator'),
    rules,
    shared,
  )
  if (denied) return denied

  if (request.method !== 'GET' && request.method !== 'HEAD' && foreign(request))
    return refuse('origin', 403, 'requests from the pages of other sites are not accepted')
  // Reading has effects too: a trace that is looked at is kept, a query takes time.
  if ((route?.access ?? 'operator') === 'operator' && embedded(request))
    return refuse('origin', 403, 'the pages of other sites may link to this, and not ask for it themselves')

  return { path: target.path, target: target.path + target.query, route, method }
}

function refuse(reason: RefusalReason, status: Denied['status'], text: string): Denied {
  return { reason, status, text }
}

interface Target {
  readonly path: string
  readonly query: string
  /** The host of the absolute form, "GET http://host/path", which overrides the Host header (RFC 9112, 3.2.2). */
  readonly host: string | undefined
}

function requestTarget({ url = '' }: IncomingMessage): Target | undefined {
  if (url.startsWith('/')) {
    const query = url.indexOf('?')
    return query === -1
      ? { path: url, query: '', host: undefined }
      : { path: url.slice(0, query), query: url.slice(query), host: undefined }
  }
  const parsed = /^https?:\/\//i.test(url) ? URL.parse(url) : null
  return parsed ? { path: parsed.pathname, query: parsed.search, host: parsed.host } : undefined
}

function times({ rawHeaders }: IncomingMessage, name: string): number {
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]!.toLowerCase() === name) count++
  return count
}

/** Rebinding needs a name that the attacker controls: localhost and IP addresses are not, others must be configured. */
function known(host: string | undefined, allowed: readonly string[]): boolean {
  const [, name = '', bracketed] = /^(\[([^\]]+)\]|[^:[\]]+)(?::\d{1,5})?$/.exec(host?.toLowerCase() ?? '') ?? []
  if (bracketed !== undefined) return isIPv6(bracketed)
  if (name === 'localhost' || isIP(name) !== 0) return true
  return allowed.some(entry => matches(name, entry.toLowerCase()))
}

function matches(name: string, entry: string): boolean {
  if (entry === '*') return name !== ''
  return entry.startsWith('*.') ? name.endsWith(entry.slice(1)) : name !== '' && name === entry
}

/** Refuses a client that is neither on this host nor known, for all that is not open to it. */
async function identify(
  request: IncomingMessage,
  access: Access,
  rules: Rules,
  shared: boolean,
): Promise<Denied | undefined> {
  const { token, users } = rules
  const { authorization } = request.headers
  // Also from this host: a token or a password that is wrong is a mistake to be seen.
  if (users && authorization !== undefined && (!token || /^basic\b/i.test(authorization))) {
    const known = await users.matches(authorization)
    if (known === 'busy') return refuse('user', 503, 'too many passwords are being checked; ask again later')
    return known ? undefined : refuse('user', 401, 'user or password is wrong; see basic_auth_users of web.config.file')
  }
  if (token && authorization !== undefined) {
    if (await token.matches(authorization)) return undefined
    return refuse('token', 401, 'the token is not valid; send "Authorization: Bearer" with the text of web.token_file')
  }
  if (access === 'anyone' || (access === 'scraper' && !token && !users)) return undefined
  // As with other exporters, users that are configured are asked for everywhere, this host included.
  if (users) return refuse('user', 401, 'this needs a user and a password of basic_auth_users of web.config.file')
  if (!token && rules.certified?.(request.socket)) return undefined
  if (!shared && local(request)) return undefined
  if (token) return refuse('token', 401, 'this needs "Authorization: Bearer" with the text of web.token_file')
  return refuse('remote', 403, shared ? SHARED : REMOTE)
}

const REMOTE =
  'from another host only /metrics, /-/healthy and /-/ready can be read; set web.token_file to open the rest'
const SHARED =
  'only /metrics, /-/healthy and /-/ready can be read, since web.listen is open to other hosts, so that an address identifies nobody; set web.token_file to open the rest'

/**
 * From this host itself. Requests that a proxy passes on are not, however near the proxy is. 127.0.0.6 is where Istio's sidecar
 * connects from with the requests of other hosts.
 */
function local({ headers, socket }: IncomingMessage): boolean {
  if (Object.keys(headers).some(name => FORWARDED.test(name))) return false
  const address = socket.remoteAddress?.replace(/^::ffff:/i, '') ?? ''
  return isLoopback(address) && address !== '127.0.0.6'
}

/** Headers by which proxies and meshes say that they pass a request on. */
const FORWARDED =
  /^(?:forwarded|via|x-forwarded(?:-.*)?|x-envoy-.*|x-real-ip|x-client-ip|x-cluster-client-ip|x-original-forwarded-for|true-client-ip|cf-connecting-ip)$/

/** Whether only this host can connect to a listener at this address. */
export function isLoopback(address: string): boolean {
  const plain = address.replace(/^::ffff:/i, '')
  return plain === '::1' || (isIP(plain) === 4 && plain.startsWith('127.'))
}

/** Browsers say where a writing request comes from; anything but our own page is foreign. */
function foreign({ headers }: IncomingMessage): boolean {
  const { origin, host } = headers
  if (origin !== undefined) return URL.parse(origin)?.host !== host?.toLowerCase()
  const site = headers['sec-fetch-site']
  return site !== undefined && site !== 'same-origin' && site !== 'none'
}

/** A page of another site asks in the background, as for a script, a picture or by fetch; a person who follows a link does not. */
function embedded({ headers }: IncomingMessage): boolean {
  const site = headers['sec-fetch-site']
  return (site === 'cross-site' || site === 'same-site') && headers['sec-fetch-mode'] !== 'navigate'
}
