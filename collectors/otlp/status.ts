// The answers of the receiver: Export…ServiceResponse and google.rpc.Status, in the encoding of the request.

import { Writer } from '../../otlp/writer.ts'
import type { Signal } from '../../telemetry/request.ts'

export type Encoding = 'protobuf' | 'json'

/** The codes of google.rpc.Code that are used here. */
export const CODE = {
  ok: 0,
  cancelled: 1,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const
export type Code = (typeof CODE)[keyof typeof CODE]

/** Answers are for logs: the specification bounds them, and a kibibyte is enough. */
const LONGEST_MESSAGE = 1024

/** A response: empty if all was taken; otherwise with the number of items that were not, and why. */
export function response(signal: Signal, encoding: Encoding, rejected: number, message: string): Buffer {
  if (rejected === 0 && message === '') return encoding === 'json' ? EMPTY_JSON : EMPTY
  const text = cut(message)
  // 64-bit numbers are strings in protobuf's JSON.
  if (encoding === 'json')
    return Buffer.from(JSON.stringify({ partialSuccess: { [REJECTED[signal]]: String(rejected), errorMessage: text } }))
  const out = new Writer(text.length + 32, 4 * LONGEST_MESSAGE)
  out.tag(1, 2)
  const partial = out.begin()
  if (rejected > 0) {
    out.tag(1, 0)
    out.varint(rejected)
  }
  out.tag(2, 2)
  const start = out.begin()
  out.text(text)
  out.end(start)
  out.end(partial)
  return out.finish()
}

/** A google.rpc.Status; `retryMs` adds a RetryInfo. */
export function status(encoding: Encoding, code: Code, message: string, retryMs?: number): Buffer {
  const text = cut(message)
  if (encoding === 'json') return Buffer.from(JSON.stringify({ code, message: text }))
  const out = new Writer(text.length + 64, 4 * LONGEST_MESSAGE)
  out.tag(1, 0)
  out.varint(code)
  out.tag(2, 2)
  const start = out.begin()
  out.text(text)
  out.end(start)
  if (retryMs !== undefined) {
    // details = Any { type_url, value = RetryInfo { retry_delay = Duration { seconds, nanos } } }
    out.tag(3, 2)
    const any = out.begin()
    out.tag(1, 2)
    const type = out.begin()
    out.text('type.googleapis.com/google.rpc.RetryInfo')
    out.end(type)
    out.tag(2, 2)
    const info = out.begin()
    out.tag(1, 2)
    const delay = out.begin()
    out.tag(1, 0)
    out.varint(Math.floor(retryMs / 1000))
    out.tag(2, 0)
    out.varint(Math.round((retryMs % 1000) * 1e6))
    out.end(delay)
    out.end(info)
    out.end(any)
  }
  return out.finish()
}

/** The wait that a sender is told, at most 2 s: SDKs give up 10 s after the first attempt. */
export function retryMs(wanted: number): number {
  return Math.min(Math.max(1, wanted), 2000)
}

export const CONTENT_TYPE: Readonly<Record<Encoding, string>> = {
  json: 'application/json',
  protobuf: 'application/x-protobuf',
}

const REJECTED: Readonly<Record<Signal, string>> = {
  traces: 'rejectedSpans',
  metrics: 'rejectedDataPoints',
  logs: 'rejectedLogRecords',
}

const EMPTY = Buffer.alloc(0)
const EMPTY_JSON = Buffer.from('{}')

function cut(message: string): string {
  return message.length <= LONGEST_MESSAGE ? message : `${message.slice(0, LONGEST_MESSAGE - 1)}…`
}
