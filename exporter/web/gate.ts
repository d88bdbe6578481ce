// Who may come in. Decided for each request before any route sees it, from the request alone:
// the name it calls us by (against DNS rebinding), where it comes from, its token, and the page that sent it.

import type { IncomingMessage } from 'node:http'
import { isIP, isIPv6 } from 'node:net'
import type { RefusalReason } from './refusals.ts'

export interface Refusal {
  readonly reason: RefusalReason
  readonly status: 400 | 401 | 403 | 421 | 503
  readonly text: string
}

export interface Admission {
  readonly reason?: undefined
  /** The path without query, as sent: nothing is decoded. */
  readonly path: string
  /** Path and query, for who routes further. */
  readonly target: string
}

export interface Rules {
  readonly allowedHosts: readonly string[]
  /** Compares in constant time; undefined when no token is configured. */
  readonly token: { matches(authorization: string): Promise<boolean> } | undefined
  /** Remembers what it has compared; 'busy' when too many passwords are waiting. Undefined when no users are configured. */
  readonly users: { matches(authorization: string): Promise<boolean | 'busy'> } | undefined
}

export async function admit(request: IncomingMessage, rules: Rules): Promise<Admission | Refusal> {
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

  const denied = await identify(request, target.path, rules)
  if (denied) return denied

  if (request.method !== 'GET' && request.method !== 'HEAD' && foreign(request))
    return refuse('origin', 403, 'requests from the pages of other sites are not accepted')

  return { path: target.path, target: target.path + target.query }
}

function refuse(reason: RefusalReason, status: Refusal['status'], text: string): Refusal {
  return { reason, status, text }
}

interface Target {
  readonly path: string
  readonly query: string
  /** Of the absolute form, "GET http://host/path", which overrides the Host header (RFC 9112, 3.2.2). */
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

/** Refuses who is neither here nor known, for all that is not open to everybody. */
async function identify(request: IncomingMessage, path: string, rules: Rules): Promise<Refusal | undefined> {
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
  if (open(request, path, token !== undefined || users !== undefined)) return undefined
  // Whoever configures users expects, as with other exporters, that everybody is asked.
  if (users) return refuse('user', 401, 'this needs a user and a password of basic_auth_users of web.config.file')
  if (local(request)) return undefined
  if (token)
    return refuse('token', 401, 'from another host this needs "Authorization: Bearer" with the text of web.token_file')
  return refuse(
    'remote',
    403,
    'from another host only /metrics and /-/ can be read; set web.token_file to open the rest',
  )
}

function open(request: IncomingMessage, path: string, secret: boolean): boolean {
  if (request.method !== 'GET' && request.method !== 'HEAD') return false
  // Kubernetes' probes cannot keep a secret, so these two stay open.
  if (path === '/-/healthy' || path === '/-/ready') return true
  return !secret && (path === '/metrics' || path.startsWith('/-/'))
}

/** From this host itself. What a proxy passes on is not, however near the proxy is. */
function local(request: IncomingMessage): boolean {
  const { headers, socket } = request
  if (headers['forwarded'] ?? headers['x-forwarded-for'] ?? headers['x-real-ip']) return false
  const address = socket.remoteAddress?.replace(/^::ffff:/i, '') ?? ''
  return address === '::1' || (isIP(address) === 4 && address.startsWith('127.'))
}

/** Browsers say where a writing request comes from; anything but our own page is foreign. */
function foreign({ headers }: IncomingMessage): boolean {
  const { origin, host } = headers
  if (origin !== undefined) return URL.parse(origin)?.host !== host?.toLowerCase()
  const site = headers['sec-fetch-site']
  return site !== undefined && site !== 'same-origin' && site !== 'none'
}
