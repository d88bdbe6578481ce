// From options to upstreams: for each signal where it is sent, and how. A pure function, so that the table of the
// specification can be its test.

import type { Signal } from '../../telemetry/request.ts'
import { SIGNALS } from '../../telemetry/request.ts'
import type { Coding } from './compress.ts'
import type { ForwardOptions, Protocol, UpstreamOptions } from './options.ts'

/** Where the requests of one signal go. */
export interface Target {
  readonly signal: Signal
  readonly protocol: Protocol
  /** A name or an address, IPv6 without brackets. */
  readonly host: string
  readonly port: number
  readonly secure: boolean
  /** The Host header or :authority. */
  readonly authority: string
  /** Path and query, or that of the gRPC method. */
  readonly path: string
  /** For people: without credentials and query. */
  readonly url: string
  /** The option that names it, within the section: "endpoint", "upstreams[0].endpoint". */
  readonly option: string
  /** User and password of the URL. */
  readonly userinfo: string | undefined
  /** Lines "Name: value"; later ones win. */
  readonly headers: readonly string[]
  readonly headersFiles: readonly string[]
  readonly coding: Coding
  readonly timeoutMs: number
  readonly caFile: string | undefined
  readonly certFile: string | undefined
  readonly keyFile: string | undefined
}

export interface UpstreamPlan {
  readonly name: string
  readonly targets: readonly Target[]
  readonly maxRequest: number
  /** 0: by the queue. */
  readonly maxAgeMs: number
  readonly retry500: boolean
}

type Settings = Omit<UpstreamOptions, 'name' | 'signals' | 'max_request' | 'max_age' | 'retry_500'>

const PATHS: Readonly<Record<Signal, string>> = { traces: '/v1/traces', metrics: '/v1/metrics', logs: '/v1/logs' }
const METHODS: Readonly<Record<Signal, string>> = {
  traces: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
  metrics: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
  logs: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
}

/** The upstreams of the options, those without a target left out. Throws if two have the same name. */
export function plan(options: ForwardOptions): readonly UpstreamPlan[] {
  const first = SIGNALS.flatMap(signal => {
    const own = options[signal]
    const option = own.endpoint === undefined ? 'endpoint' : `${signal}.endpoint`
    const target = own.enabled ? targetOf(signal, merged(options, own), option, own.endpoint !== undefined) : undefined
    return target ? [target] : []
  })
  const others = options.upstreams.map((each, i) => ({
    options: each,
    targets: each.signals.flatMap(signal => targetOf(signal, each, `upstreams[${i}].endpoint`, false) ?? []),
  }))
  const plans = [{ options, targets: first }, ...others]
    .filter(({ targets }) => targets.length > 0)
    .map(({ options: { name, max_request, max_age, retry_500 }, targets }) => ({
      name: name ?? nameOf(targets),
      targets,
      maxRequest: max_request,
      maxAgeMs: max_age,
      retry500: retry_500,
    }))
  for (const [i, { name }] of plans.entries())
    if (plans.findIndex(each => each.name === name) < i)
      throw new Error(`cannot forward to two upstreams with the name ${name}; give each a name with forward.…name`)
  return plans
}

/** Host and port, of the first signal that has a target. */
function nameOf([first]: readonly Target[]): string {
  if (!first) return ''
  return `${first.host.includes(':') ? `[${first.host}]` : first.host}:${first.port}`
}

/** A signal's own options win; headers are joined, and those of the signal win by their names. */
function merged(all: ForwardOptions, own: ForwardOptions[Signal]): Settings & { readonly headersFiles: string[] } {
  const pair = own.cert_file === undefined ? all : own
  return {
    endpoint: own.endpoint ?? all.endpoint,
    protocol: own.protocol ?? all.protocol,
    headers: [...all.headers, ...own.headers],
    headers_file: undefined,
    headersFiles: [all.headers_file, own.headers_file].filter(each => each !== undefined),
    compression: own.compression ?? all.compression,
    timeout: own.timeout ?? all.timeout,
    insecure: own.insecure ?? all.insecure,
    ca_file: own.ca_file ?? all.ca_file,
    cert_file: pair.cert_file,
    key_file: pair.key_file,
  }
}

function targetOf(
  signal: Signal,
  settings: Settings & { readonly headersFiles?: readonly string[] },
  option: string,
  whole: boolean,
): Target | undefined {
  const { endpoint, headers_file } = settings
  if (endpoint === undefined) return undefined
  const bare = !/^https?:\/\//i.test(endpoint)
  // Only to find the port; the scheme follows below.
  const port = URL.parse(bare ? `http://${endpoint}` : endpoint)?.port
  const protocol = settings.protocol ?? (port === '4317' ? 'grpc' : 'http/protobuf')
  const scheme = protocol === 'grpc' && !settings.insecure ? 'https' : 'http'
  const url = new URL(bare ? `${scheme}://${endpoint}` : endpoint)
  const secure = url.protocol === 'https:'
  const path = protocol === 'grpc' ? METHODS[signal] : pathOf(url, signal, whole)
  const { username, password } = url
  return {
    signal,
    protocol,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port) || (secure ? 443 : 80),
    secure,
    authority: url.host,
    path,
    url: `${url.protocol}//${url.host}${protocol === 'grpc' ? '' : path.replace(/\?.*/s, '')}`,
    option,
    userinfo: username || password ? `${decoded(username)}:${decoded(password)}` : undefined,
    headers: settings.headers,
    headersFiles: settings.headersFiles ?? (headers_file === undefined ? [] : [headers_file]),
    coding: settings.compression,
    timeoutMs: settings.timeout,
    caFile: settings.ca_file,
    certFile: settings.cert_file,
    keyFile: settings.key_file,
  }
}

/** An endpoint for one signal is used as it is; to one for all signals the path of the signal is appended. */
function pathOf({ pathname, search }: URL, signal: Signal, whole: boolean): string {
  return whole ? `${pathname}${search}` : `${pathname.replace(/\/$/, '')}${PATHS[signal]}${search}`
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
