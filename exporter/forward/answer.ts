// The meaning of an upstream's answer: for each HTTP status and gRPC code, one of five things to do
// (https://opentelemetry.io/docs/specs/otlp/#failures).

import type { ClientReason } from '../../telemetry/client.ts'
import type { Signal } from '../../telemetry/request.ts'
import { type ErrorStatus, readPartialSuccess, readStatus } from './response.ts'

/** Why items are dropped because of an answer. */
export const REFUSALS = [
  'upstream_rejected',
  'redirect',
  'rejected',
  'too_large',
  'auth',
  'not_supported',
  'loop',
] as const
export type Refusal = (typeof REFUSALS)[number]

export type Verdict =
  /** Taken, except for `rejected` items. The message is a warning of the upstream. */
  | { readonly kind: 'taken'; readonly rejected: number; readonly message: string }
  /** Try again, after so many milliseconds if the upstream says so. */
  | { readonly kind: 'retry'; readonly afterMs: number | undefined; readonly message: string }
  /** Send it in smaller pieces; drop it if it cannot be divided. */
  | { readonly kind: 'divide'; readonly message: string }
  /** Drop it, and go on with the next. */
  | { readonly kind: 'drop'; readonly reason: Refusal; readonly message: string }
  /** Drop it, and hold the rest: nothing else will be taken until somebody mends the configuration. */
  | { readonly kind: 'hold'; readonly reason: 'auth' | 'not_supported'; readonly message: string }

export interface HttpAnswer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  /** At most MOST_ANSWER bytes of it. */
  readonly body: Buffer
}

export interface GrpcAnswer {
  readonly code: number
  readonly message: string
  /** The google.rpc.Status of grpc-status-details-bin; empty if there is none. */
  readonly details: Buffer
  /** The message of the response. */
  readonly body: Buffer
}

/** As much of the body of an answer is read; what comes after it does not matter. */
export const MOST_ANSWER = 64 * 1024
/** Waits that upstreams ask for are bounded: a typo there must not stop forwarding for a day. */
const LONGEST_WAIT_MS = 300_000
const LONGEST_MESSAGE = 300

const RETRYABLE_STATUS = new Set([429, 502, 503, 504])
const RETRYABLE_CODE = new Set([1, 4, 10, 11, 14, 15])
const TOO_LARGE = /too large|too big|exceeds?\b.*\b(?:size|limit|max)|larger than max|maximum.*size/i

export interface Rules {
  readonly signal: Signal
  /** Whether a 500 is tried again: some gateways answer so when they are busy. */
  readonly retry500: boolean
  /** Wall time in milliseconds, for dates in Retry-After. */
  now(): number
}

export function judgeHttp({ status, headers, body }: HttpAnswer, { signal, retry500, now }: Rules): Verdict {
  const type = headers.get('content-type') ?? ''
  if (status >= 200 && status < 300) {
    // A success is one whatever its body says; but a web page comes from something else than a receiver of OTLP.
    if (/^text\/html\b/i.test(type))
      return { kind: 'taken', rejected: 0, message: `HTTP ${status} with a page in HTML; is this a receiver of OTLP?` }
    return { kind: 'taken', ...readPartialSuccess(body, type, signal) }
  }
  const said: ErrorStatus = readStatus(body, type)
  const message = `HTTP ${status}${said.message ? `: ${short(said.message)}` : ''}`
  if (status >= 300 && status < 400)
    return { kind: 'drop', reason: 'redirect', message: `${message}, a redirect, which is not followed` }
  if (status === 413 || (status === 400 && TOO_LARGE.test(said.message))) return { kind: 'divide', message }
  if (status === 400 && LOOP.test(said.message)) return { kind: 'drop', reason: 'loop', message }
  if (status === 401 || status === 403) return { kind: 'hold', reason: 'auth', message }
  if (status === 404 || status === 405 || status === 415) return { kind: 'hold', reason: 'not_supported', message }
  if (RETRYABLE_STATUS.has(status) || (retry500 && status === 500))
    return { kind: 'retry', afterMs: retryAfter(headers.get('retry-after'), now()) ?? said.retryMs, message }
  return { kind: 'drop', reason: 'rejected', message }
}

export function judgeGrpc(answer: GrpcAnswer, { signal }: Pick<Rules, 'signal'>): Verdict {
  const { code } = answer
  if (code === 0) return { kind: 'taken', ...readPartialSuccess(answer.body, 'application/x-protobuf', signal) }
  const { retryMs } = readStatus(answer.details, 'application/x-protobuf')
  const message = `gRPC ${code}${answer.message ? `: ${short(answer.message)}` : ''}`
  if (RETRYABLE_CODE.has(code) || (code === 8 && retryMs !== undefined))
    return { kind: 'retry', afterMs: retryMs === undefined ? undefined : clamped(retryMs), message }
  if (code === 8) return { kind: 'divide', message }
  if (code === 3 && LOOP.test(answer.message)) return { kind: 'drop', reason: 'loop', message }
  if (code === 16 || code === 7) return { kind: 'hold', reason: 'auth', message }
  if (code === 12) return { kind: 'hold', reason: 'not_supported', message }
  return { kind: 'drop', reason: 'rejected', message }
}

/**
 * There was no answer: the connection failed, or the deadline passed. The upstream may have taken the request or not.
 */
export function judgeFailure(reason: ClientReason, detail: string): Verdict {
  if (reason === 'blocked') return { kind: 'retry', afterMs: HOLD_MS, message: detail }
  return { kind: 'retry', afterMs: undefined, message: `${reason}: ${short(detail)}` }
}

/** The pause for an upstream that takes nothing until somebody mends the configuration. */
export const HOLD_MS = 30_000

/** The receiver of a sidecar says this of a request that has been there before. */
const LOOP = /pillion-hops/

/** Milliseconds of a Retry-After: seconds or an HTTP date. Undefined if it says nothing, or nothing that makes sense. */
export function retryAfter(field: string | undefined, now: number): number | undefined {
  if (field === undefined) return undefined
  const text = field.trim()
  const ms = /^\d{1,15}$/.test(text) ? Number(text) * 1000 : /^[A-Za-z]{3}/.test(text) ? Date.parse(text) - now : NaN
  return ms > 0 ? clamped(ms) : undefined
}

function clamped(ms: number): number | undefined {
  return ms > 0 ? Math.min(ms, LONGEST_WAIT_MS) : undefined
}

function short(text: string): string {
  return text.length > LONGEST_MESSAGE ? `${text.slice(0, LONGEST_MESSAGE - 1)}…` : text
}
