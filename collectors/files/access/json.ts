// Requests in JSON lines: access logs of Caddy, Traefik and Envoy, of nginx with names of the operator's own choice, and what
// loggers of applications write for each request (pino-http, morgan-json). A line is one if it has a status and a
// method or path.

import { readTime } from '../time.ts'
import type { AccessRequest, Unit } from './request.ts'

type Values = Readonly<Record<string, unknown>>

/** The keys under which servers write a duration, with its unit; the first that is there counts. */
const DURATIONS: readonly (readonly [key: string, unit: Unit])[] = [
  ['request_time', 's'],
  ['responseTime', 'ms'],
  ['response_time_ms', 'ms'],
  ['duration_ms', 'ms'],
  ['elapsed_ms', 'ms'],
  ['duration_us', 'us'],
  ['duration_ns', 'ns'],
  ['upstream_response_time', 's'],
  // Traefik's, in nanoseconds.
  ['Duration', 'ns'],
]

/** False if the line is no request. `unit` is that of `duration`, which Caddy gives in seconds and Envoy in milliseconds. */
export function readJsonRequest(values: Values, unit: Unit, request: AccessRequest, now: number): boolean {
  const inner = object(values['request']) ?? object(values['req'])
  const answer = object(values['res']) ?? object(values['response'])
  const status = first(
    values,
    'status',
    'DownstreamStatus',
    'OriginStatus',
    'response_code',
    'status_code',
    'statusCode',
  )
  request.status = Number(status ?? first(answer ?? NONE, 'statusCode', 'status') ?? 0)
  if (request.status === 0 && (values['response_code'] === 0 || status === '000')) request.status = 499
  if (!request.plausible) return false
  if (typeof values['request'] === 'string') request.readLine(values['request'])
  const method = first(values, 'method', 'request_method', 'RequestMethod') ?? (inner && first(inner, 'method'))
  const target =
    first(values, 'request_uri', 'RequestPath', 'uri', 'path', 'url') ??
    (inner && first(inner, 'uri', 'originalUrl', 'url', 'path'))
  if (typeof method === 'string') request.method = method
  if (typeof target === 'string') request.target = target
  if (request.method === '' && request.target === '') return false
  readSeconds(values, unit, request)
  readEnd(values, request, now)
  const headers = inner && object(inner['headers'])
  const parent =
    values['traceparent'] ?? values['http_traceparent'] ?? headers?.['traceparent'] ?? headers?.['Traceparent']
  const only: unknown = Array.isArray(parent) ? parent[0] : parent
  request.traceparent = typeof only === 'string' ? only : undefined
  return true
}

function readSeconds(values: Values, unit: Unit, request: AccessRequest): void {
  const { duration } = values
  if (typeof duration === 'number') request.readDuration(String(duration), unit)
  else if (typeof duration === 'string') readNamed(duration, unit, request)
  if (request.seconds >= 0) return
  for (const [key, each] of DURATIONS) {
    const value = values[key]
    if (typeof value !== 'number' && typeof value !== 'string') continue
    request.readDuration(String(value), each)
    if (request.seconds >= 0) return
  }
}

/** "1.5ms", as Go and Caddy write it; without a unit it is that of the server. */
function readNamed(text: string, unit: Unit, request: AccessRequest): void {
  const [, number, named] = /^(\d+(?:\.\d+)?)(ns|us|µs|ms|s)?$/.exec(text) ?? []
  if (number === undefined) return
  request.readDuration(number, named === undefined ? unit : named === 'µs' ? 'us' : (named as Unit))
}

function readEnd(values: Values, request: AccessRequest, now: number): void {
  const start = first(values, 'StartUTC', 'start_time')
  if (typeof start === 'string' && readTime(start, 0, request.begin, now) >= 0) return
  const end = first(values, 'ts', 'time', 'timestamp', '@timestamp', 'time_iso8601', 'time_local', 'msec')
  if (typeof end === 'number') request.end.setEpoch(end)
  else if (typeof end === 'string' && readTime(end, 0, request.end, now) < 0) {
    request.end.clear()
    if (/^\d/.test(end)) request.end.setEpoch(Number(end))
  }
}

const NONE: Values = {}

function first(values: Values, ...keys: readonly string[]): unknown {
  for (const key of keys) {
    const value = values[key]
    if (value !== undefined && value !== null) return value
  }
  return undefined
}

function object(value: unknown): Values | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Values) : undefined
}
