// The refusals of OTLP over HTTP: status, message and fields.

import type { Decision } from '../../telemetry/intake.ts'
import type { Inflated } from './inflate.ts'
import { CODE, type Code, retryMs } from './status.ts'

export type Headers = Readonly<Record<string, string>>

export interface HttpRefusal {
  readonly code: keyof typeof STATUS
  readonly message: string
  readonly headers?: Headers
}

/** The code of google.rpc.Status for each HTTP status. */
export const STATUS = {
  400: CODE.invalidArgument,
  403: CODE.permissionDenied,
  404: CODE.notFound,
  405: CODE.unimplemented,
  408: CODE.deadlineExceeded,
  413: CODE.resourceExhausted,
  415: CODE.invalidArgument,
  417: CODE.invalidArgument,
  431: CODE.resourceExhausted,
  500: CODE.internal,
  501: CODE.unimplemented,
  503: CODE.unavailable,
  505: CODE.unimplemented,
} as const satisfies Record<number, Code>

/** The HTTP status for each reason of the intake. */
const DECIDED = { undecodable: 400, too_large: 413, loop: 400, internal: 500 } as const

export const CLOSE = { Connection: 'close' }

export const NOWHERE_TO_GO: HttpRefusal = {
  code: 404,
  message: 'nothing is here; OTLP goes to /v1/traces, /v1/metrics or /v1/logs',
}
export const WRONG_TYPE: HttpRefusal = {
  code: 415,
  message: 'cannot take this content type; send application/x-protobuf or application/json',
  headers: { Accept: 'application/x-protobuf, application/json' },
}
export const WRONG_ENCODING: HttpRefusal = {
  code: 415,
  message: 'cannot take this content encoding; send gzip, zstd or none',
  headers: { 'Accept-Encoding': 'gzip, zstd' },
}
export const BUSY: HttpRefusal = {
  code: 503,
  message: 'too many bytes are being received right now; try again',
  headers: { 'Retry-After': '1' },
}
export const LATE: HttpRefusal = { code: 408, message: 'the request took too long to arrive', headers: CLOSE }

/** A request that the intake has not taken. Retry-After has whole seconds. */
export function notTaken(decision: Exclude<Decision, { kind: 'taken' }>): HttpRefusal {
  if (decision.kind === 'refused') return { code: DECIDED[decision.reason], message: decision.text }
  const seconds = String(Math.ceil(retryMs(decision.ms) / 1000))
  return { code: 503, message: 'no room for these items right now; try again', headers: { 'Retry-After': seconds } }
}

export function tooLarge(limit: string): HttpRefusal {
  return { code: 413, message: `cannot take more than ${limit} at once; send smaller batches` }
}

export function notInflated(inflated: Exclude<Inflated, { kind: 'body' }>): HttpRefusal {
  if (inflated.kind === 'no_room') return BUSY
  if (inflated.kind === 'too_large') return tooLarge(inflated.why)
  return { code: 400, message: `cannot decompress the body: ${inflated.why}` }
}
