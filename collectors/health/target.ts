// From options to what the probes work with: targets with their expressions compiled, and timings.

import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { type Expression, expression } from '../../options/expression.ts'
import { opaqueFields } from '../../options/opaque.ts'
import type { ClientTls, TcpEndpoint } from '../../telemetry/client.ts'
import type { ExecTarget } from './exec.ts'
import type { GrpcTarget } from './grpc.ts'
import type { HttpTarget } from './http.ts'
import { header, hostPort, unbracketed } from './notation.ts'
import type { ProbeOptions } from './options.ts'
import type { PassiveTarget } from './passive.ts'
import type { TcpTarget } from './tcp.ts'

/** A target that is asked. */
export type ActiveTarget = HttpTarget | TcpTarget | GrpcTarget | ExecTarget
export type Target = ActiveTarget | PassiveTarget

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

/** The options must be without faults (faults.ts). Rejects if RE2 cannot match an expression, and names its option. */
export function readProbes(probes: readonly ProbeOptions[]): Promise<readonly Setup[]> {
  return Promise.all(
    probes.map(async (options, place) => ({
      name: options.name ?? '',
      target: await readTarget(options, `health.probes[${place}]`),
      timing: readTiming(options),
    })),
  )
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

async function readTarget(options: ProbeOptions, where: string): Promise<Target> {
  switch (options.kind) {
    case 'http':
      return readHttp(options, where)
    case 'tcp':
      return {
        kind: 'tcp',
        endpoint: readEndpoint(options),
        send: options.send,
        expect: await readExpression(options.expect, `${where}.expect`),
      }
    case 'grpc':
      return {
        kind: 'grpc',
        endpoint: readEndpoint(options),
        authority: options.address ?? '',
        service: options.service ?? '',
      }
    case 'exec': {
      const [program = '', ...args] = options.command
      return { kind: 'exec', program, args }
    }
    case 'passive':
      return {
        kind: 'passive',
        window: options.window,
        minAnswers: options.min_answers,
        maxErrors: options.max_errors,
      }
  }
}

async function readHttp(options: ProbeOptions, where: string): Promise<HttpTarget> {
  const plain = httpTarget(options.url ?? '')
  const headers = Object.fromEntries(options.headers.map(header).map(parts => [parts?.name ?? '', parts?.value ?? '']))
  return {
    ...plain,
    endpoint: { ...plain.endpoint, tls: plain.endpoint.tls && readTls(options, plain.endpoint.host) },
    authority: headers['host'] ?? plain.authority,
    method: options.method,
    headers: opaqueFields(headers, Object.keys(headers)),
    statuses: options.status.map(readStatus),
    headerMatches: await Promise.all(
      options.header_matches.map(async (line, place) => {
        const { name = '', value = '' } = header(line) ?? {}
        return [name, await readExpression(value, `${where}.header_matches[${place}]`)] as const
      }),
    ),
    bodyMatches: await readExpression(options.body_matches, `${where}.body_matches`),
    bodyNotMatches: await readExpression(options.body_not_matches, `${where}.body_not_matches`),
    document: options.document,
  }
}

function readExpression(source: string, where: string): Promise<Expression>
function readExpression(source: string | undefined, where: string): Promise<Expression | undefined>
async function readExpression(source: string | undefined, where: string): Promise<Expression | undefined> {
  if (source === undefined) return undefined
  try {
    return await expression(source)
  } catch (cause) {
    throw new Error(`${where} ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
}

/** A GET of this URL with nothing further asked of the answer. */
export function httpTarget(href: string): HttpTarget {
  const url = new URL(href)
  const host = unbracketed(url.hostname)
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

function readEndpoint(options: ProbeOptions): TcpEndpoint {
  const { host, port } = hostPort(options.address ?? '') ?? { host: '', port: 0 }
  return { host, port, tls: options.tls ? readTls(options, host) : undefined }
}

function readTls({ tls_verify, tls_server_name, tls_ca_file }: ProbeOptions, host: string): ClientTls {
  const ca = tls_ca_file === undefined ? undefined : readFileSync(tls_ca_file, 'utf8')
  return { verify: tls_verify, serverName: tls_server_name ?? host, ca }
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
    case 'passive':
      return `answers of the last ${target.window / 1000} s`
  }
}

function bracketed({ host, port }: TcpEndpoint): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`
}
