// From options to targets: everything that can be wrong with a probe's configuration is found here, before the first
// probe, with a message that says which one and what to do.

import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { shown } from '../../options/kinds.ts'
import { opaqueFields } from '../../options/opaque.ts'
import { blocked } from './address.ts'
import type { Endpoint, Tls } from './connection.ts'
import type { ExecTarget } from './exec.ts'
import type { GrpcTarget } from './grpc.ts'
import type { HttpTarget } from './http.ts'
import type { ProbeOptions } from './options.ts'
import type { TcpTarget } from './tcp.ts'

export type Target = HttpTarget | TcpTarget | GrpcTarget | ExecTarget

/** When to probe and what to make of it. Times in milliseconds. */
export interface Timing {
  readonly interval: number
  readonly failingInterval: number
  readonly timeout: number
  readonly initialDelay: number
  readonly successThreshold: number
  readonly failureThreshold: number
}

export interface Setup {
  readonly name: string
  readonly target: Target
  readonly timing: Timing
}

/** Throws an Error that names the option to mend. */
export function readProbes(probes: readonly ProbeOptions[]): readonly Setup[] {
  const names = new Set<string>()
  return probes.map((options, place) => {
    const where = `health.probes[${place}]`
    const name = options.name ?? ''
    if (!/^[\w.:/-]{1,64}$/.test(name))
      throw new Error(`${where}.name must be 1 to 64 of letters, digits and _ . : / -, not ${shown(options.name)}`)
    if (names.has(name)) throw new Error(`${where}.name ${shown(name)} is already taken; give each probe its own name`)
    names.add(name)
    return { name, target: readTarget(options, where), timing: readTiming(options) }
  })
}

function readTiming(options: ProbeOptions): Timing {
  const { interval, failing_interval: failing } = options
  return {
    interval,
    failingInterval: failing > 0 ? Math.min(failing, interval) : interval,
    timeout: options.timeout,
    initialDelay: options.initial_delay,
    successThreshold: options.success_threshold,
    failureThreshold: options.failure_threshold,
  }
}

function readTarget(options: ProbeOptions, where: string): Target {
  switch (options.kind) {
    case 'http':
      return readHttp(options, where)
    case 'tcp':
      return {
        kind: 'tcp',
        endpoint: readEndpoint(options, where),
        send: options.send,
        expect: options.expect === undefined ? undefined : new RegExp(options.expect, 'u'),
      }
    case 'grpc':
      return {
        kind: 'grpc',
        endpoint: readEndpoint(options, where),
        authority: options.address ?? '',
        service: options.service ?? '',
      }
    case 'exec': {
      const [program, ...args] = options.command
      if (!program) throw new Error(`${where}.command is missing; give the program and its arguments as a list`)
      return { kind: 'exec', program, args }
    }
  }
}

function readHttp(options: ProbeOptions, where: string): HttpTarget {
  if (options.url === undefined) throw new Error(`${where}.url is missing; give the URL to request, or another kind`)
  const plain = httpTarget(options.url, `${where}.url`)
  const { validateHeaderName, validateHeaderValue } = process.getBuiltinModule('node:http')
  const headers: Record<string, string> = {}
  for (const [place, line] of options.headers.entries()) {
    const [name, value] = readHeader(line, `${where}.headers[${place}]`)
    try {
      validateHeaderName(name)
      validateHeaderValue(name, value)
    } catch (cause) {
      // Without the value, which may be a secret.
      throw new Error(`${where}.headers[${place}] is not a header that HTTP allows: ${shown(name)}`, { cause })
    }
    headers[name] = value
  }
  return {
    ...plain,
    endpoint: { ...plain.endpoint, tls: plain.endpoint.tls && readTls(options, plain.endpoint.host, where) },
    authority: headers['host'] ?? plain.authority,
    method: options.method,
    headers: opaqueFields(headers, Object.keys(headers)),
    statuses: options.status.map(readStatus),
    headerMatches: options.header_matches.map((line, place) => {
      const at = `${where}.header_matches[${place}]`
      const [name, source] = readHeader(line, at)
      return [name, readPattern(source, at)] as const
    }),
    bodyMatches: options.body_matches === undefined ? undefined : new RegExp(options.body_matches, 'u'),
    bodyNotMatches: options.body_not_matches === undefined ? undefined : new RegExp(options.body_not_matches, 'u'),
    document: options.document,
  }
}

/** A GET of this URL with nothing further asked of the answer. */
export function httpTarget(href: string, option: string): HttpTarget {
  const url = new URL(href)
  if (url.username || url.password)
    throw new Error(`${option} must not contain a user name or password; send an Authorization header with \`headers\``)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  refuseBlocked(host, option)
  const secure = url.protocol === 'https:'
  return {
    kind: 'http',
    endpoint: {
      host,
      port: Number(url.port) || (secure ? 443 : 80),
      tls: secure ? { verify: true, serverName: host, ca: undefined } : undefined,
    },
    authority: url.host,
    path: `${url.pathname}${url.search}`,
    method: 'GET',
    headers: {},
    statuses: [[200, 399]],
    headerMatches: [],
    bodyMatches: undefined,
    bodyNotMatches: undefined,
    document: 'auto',
  }
}

function readEndpoint(options: ProbeOptions, where: string): Endpoint {
  const [, host, port] = /^(\[[^\]]+\]|[^:\s/]+):(\d{1,5})$/.exec(options.address ?? '') ?? []
  if (host === undefined || Number(port) === 0 || Number(port) > 65535)
    throw new Error(`${where}.address must be HOST:PORT, not ${shown(options.address)}`)
  const bare = host.replace(/^\[|\]$/g, '')
  refuseBlocked(bare, `${where}.address`)
  return { host: bare, port: Number(port), tls: options.tls ? readTls(options, bare, where) : undefined }
}

function readTls(options: ProbeOptions, host: string, where: string): Tls {
  const file = options.tls_ca_file
  let ca: string | undefined
  try {
    ca = file === undefined ? undefined : readFileSync(file, 'utf8')
  } catch (cause) {
    throw new Error(`cannot read ${where}.tls_ca_file ${shown(file)}; give a PEM file that this user may read`, {
      cause,
    })
  }
  return { verify: options.tls_verify, serverName: options.tls_server_name ?? host, ca }
}

function refuseBlocked(host: string, option: string): void {
  if (isIP(host) && blocked(host))
    throw new Error(`${option} must not be a link-local or metadata address: ${host}; probe the application itself`)
}

function readHeader(line: string, where: string): readonly [name: string, value: string] {
  const colon = line.indexOf(':')
  if (colon < 1) throw new Error(`${where} must be "Name: value"`)
  return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()]
}

function readPattern(source: string, where: string): RegExp {
  try {
    return new RegExp(source, 'u')
  } catch (cause) {
    throw new Error(`${where} is not a regular expression: ${shown(source)}`, { cause })
  }
}

function readStatus(range: string): readonly [from: number, to: number] {
  const [from = Number.NaN, to = from] = range.split('-').map(Number)
  return [from, to]
}

/** A target as people name it, without what may be secret in it (headers, query). */
export function describe(target: Target): string {
  switch (target.kind) {
    case 'http':
      return `${target.method} ${target.endpoint.tls ? 'https' : 'http'}://${target.authority}${target.path.replace(/\?.*/s, '')}`
    case 'tcp':
      return `tcp ${bracketed(target.endpoint)}`
    case 'grpc':
      return `grpc ${bracketed(target.endpoint)}${target.service && ` ${target.service}`}`
    case 'exec':
      return `exec ${target.program}`
  }
}

function bracketed({ host, port }: Endpoint): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}
