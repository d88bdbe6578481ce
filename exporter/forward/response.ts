// Reads what upstreams answer. They are not trusted: any bytes give a result, and none are more than MOST_ANSWER.
//
//   Export…ServiceResponse { partial_success = 1 { rejected_… = 1 int64, error_message = 2 string } }
//   google.rpc.Status      { code = 1, message = 2, details = 3 Any* { type_url = 1, value = 2 } }
//   google.rpc.RetryInfo   { retry_delay = 1 Duration { seconds = 1, nanos = 2 } }

import type { Signal } from '../../telemetry/request.ts'

export interface PartialSuccess {
  readonly rejected: number
  readonly message: string
}

export interface ErrorStatus {
  readonly message: string
  /** The wait of a RetryInfo in milliseconds. */
  readonly retryMs: number | undefined
}

const NONE: PartialSuccess = { rejected: 0, message: '' }

/** Read by the content type of the answer: a page in HTML says nothing, and a success remains one. */
export function readPartialSuccess(body: Buffer, type: string, signal: Signal): PartialSuccess {
  if (body.length === 0) return NONE
  if (isJson(type)) {
    const partial = member(parsed(body), 'partialSuccess', 'partial_success')
    const [camel, snake] = REJECTED[signal]
    const rejected = Number(member(partial, camel, snake) ?? 0)
    const message = member(partial, 'errorMessage', 'error_message')
    return { rejected: counted(rejected), message: typeof message === 'string' ? message : '' }
  }
  if (!isProtobuf(type)) return NONE
  let partial = NONE
  eachField(body, 0, body.length, (number, _, from, to) => {
    if (number === 1 && from >= 0) partial = readPartial(body, from, to, partial)
  })
  return partial
}

export function readStatus(body: Buffer, type: string): ErrorStatus {
  if (body.length === 0) return { message: '', retryMs: undefined }
  if (isProtobuf(type)) {
    let message = ''
    let retryMs: number | undefined
    eachField(body, 0, body.length, (number, _, from, to) => {
      if (number === 2 && from >= 0) message = body.toString('utf8', from, to)
      if (number === 3 && from >= 0) retryMs = readDetail(body, from, to) ?? retryMs
    })
    return { message, retryMs }
  }
  if (isJson(type)) {
    const message = member(parsed(body), 'message', 'error')
    if (typeof message === 'string') return { message, retryMs: undefined }
  }
  // A proxy or a page: its beginning may tell a person what is wrong.
  return { message: /^text\/|json/i.test(type) ? body.toString('utf8', 0, 400) : '', retryMs: undefined }
}

function readPartial(body: Buffer, start: number, end: number, before: PartialSuccess): PartialSuccess {
  let { rejected, message } = before
  eachField(body, start, end, (number, value, from, to) => {
    if (number === 1 && from < 0) rejected = counted(value)
    if (number === 2 && from >= 0) message = body.toString('utf8', from, to)
  })
  return { rejected, message }
}

function readDetail(body: Buffer, start: number, end: number): number | undefined {
  let type = ''
  let info: readonly [number, number] | undefined
  eachField(body, start, end, (number, _, from, to) => {
    if (number === 1 && from >= 0) type = body.toString('latin1', from, to)
    if (number === 2 && from >= 0) info = [from, to]
  })
  if (!info || !type.endsWith('/google.rpc.RetryInfo')) return undefined
  let ms = 0
  eachField(body, info[0], info[1], (number, _, from, to) => {
    if (number !== 1 || from < 0) return
    eachField(body, from, to, (part, value, at) => {
      if (at >= 0) return
      if (part === 1) ms += value * 1000
      if (part === 2) ms += value / 1e6
    })
  })
  return ms
}

/**
 * Calls for each varint (`from` is -1) and each length-delimited field, until the end or the first thing that is not
 * protobuf.
 */
function eachField(
  bytes: Buffer,
  start: number,
  end: number,
  found: (number: number, value: number, from: number, to: number) => void,
): void {
  let pos = start
  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 70 && pos < end; shift += 7) {
      const byte = bytes[pos++]!
      value += (byte & 127) * 2 ** shift
      if (byte < 128) return value
    }
    pos = end + 1
    return Number.NaN
  }
  while (pos < end) {
    const tag = varint()
    const number = Math.floor(tag / 8)
    switch (tag % 8) {
      case 0: {
        const value = varint()
        if (pos <= end) found(number, value, -1, -1)
        break
      }
      case 1:
        pos += 8
        break
      case 2: {
        const length = varint()
        if (!(pos + length <= end)) return
        found(number, 0, pos, pos + length)
        pos += length
        break
      }
      case 5:
        pos += 4
        break
      default:
        return
    }
  }
}

const REJECTED: Readonly<Record<Signal, readonly [string, string]>> = {
  traces: ['rejectedSpans', 'rejected_spans'],
  metrics: ['rejectedDataPoints', 'rejected_data_points'],
  logs: ['rejectedLogRecords', 'rejected_log_records'],
}

/** A negative int64 comes as an enormous number; nobody rejects so many. */
function counted(value: number): number {
  return Number.isSafeInteger(value) && value > 0 ? value : 0
}

function member(value: unknown, ...names: readonly string[]): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  for (const [name, each] of Object.entries(value)) if (names.includes(name)) return each
  return undefined
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}

function isProtobuf(type: string): boolean {
  return /^application\/(?:x-)?protobuf\b/i.test(type)
}

function isJson(type: string): boolean {
  return /^application\/json\b/i.test(type)
}
