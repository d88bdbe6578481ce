// The HTTP probe: one request on a connection of its own, redirects not followed, nothing decompressed, the body read
// up to a limit.

import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { type Endpoint, open } from './connection.ts'
import { looksLikeDocument, readDocument } from './document.ts'
import { type Failure, failed, failure, type Probe, type ProbeContext, Stopwatch } from './verdict.ts'

export interface HttpTarget {
  readonly kind: 'http'
  readonly endpoint: Endpoint
  /** The Host header: name and, unless it is the scheme's own, port. */
  readonly authority: string
  /** Path and query. */
  readonly path: string
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  /** Ranges of statuses that count as success. */
  readonly statuses: readonly (readonly [from: number, to: number])[]
  readonly headerMatches: readonly (readonly [name: string, pattern: RegExp])[]
  readonly bodyMatches: RegExp | undefined
  readonly bodyNotMatches: RegExp | undefined
  /** auto: components are taken from a health document if there is one; require: there must be one, and it must not say "down". */
  readonly document: 'auto' | 'require' | 'off'
}

export const BODY_LIMIT = 64 * 1024
const HEADER_LIMIT = 16 * 1024
// 103 and 100 come once each from a well-meaning server; a flood of them would otherwise cost CPU until the deadline.
const INTERIM_LIMIT = 16

export const http: Probe<HttpTarget> = async (target, signal, context) => {
  const watch = new Stopwatch(context.clock)
  const opened = await open(target.endpoint, signal, watch)
  const tls = opened.notAfter === undefined ? {} : { notAfter: opened.notAfter }
  if (!opened.ok) return watch.stop(failed(opened.reason, opened.detail), tls)
  try {
    const answer = await exchange(target, opened.socket, signal, context, watch)
    watch.enter('remainder')
    if ('ok' in answer) return watch.stop(answer, answer.status === undefined ? tls : { ...tls, status: answer.status })
    const read = target.document === 'off' || !looksLikeDocument(answer.headers) ? undefined : readDocument(answer.body)
    const seen = { ...tls, status: answer.status, ...(read ? { document: read } : {}) }
    return watch.stop(judge(target, answer, read?.status) ?? { ok: true }, seen)
  } finally {
    opened.socket.destroy()
  }
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** False when the body was longer than the limit and the rest was not read. */
  readonly whole: boolean
}

function exchange(
  target: HttpTarget,
  socket: Socket,
  signal: AbortSignal,
  context: ProbeContext,
  watch: Stopwatch,
): Promise<Answer | (Failure & { status?: number })> {
  const { promise, resolve } = Promise.withResolvers<Answer | (Failure & { status?: number })>()
  let status: number | undefined
  const lose = (error?: unknown): void =>
    resolve({ ...failure(error, signal), ...(status === undefined ? {} : { status }) })
  const expire = (): void => lose()
  if (signal.aborted) expire()
  else signal.addEventListener('abort', expire, { once: true })

  watch.enter('processing')
  const request: ClientRequest = process.getBuiltinModule('node:http').request({
    // With a connection of our own and no agent, Node sends "Connection: close".
    createConnection: () => socket,
    method: target.method,
    path: target.path,
    setHost: false,
    maxHeaderSize: HEADER_LIMIT,
    headers: {
      host: target.authority,
      accept: '*/*',
      'accept-encoding': 'identity',
      'user-agent': context.userAgent,
      traceparent: context.traceparent,
      tracestate: context.tracestate,
      ...target.headers,
    },
  })
  let interim = 0
  request.on('information', () => {
    if (++interim > INTERIM_LIMIT) resolve(failed('protocol', `more than ${INTERIM_LIMIT} interim (1xx) responses`))
  })
  request.on('error', lose)
  // Statuses 101 hand the connection over; what follows is not HTTP.
  request.on('upgrade', (response: IncomingMessage) =>
    resolve({ status: response.statusCode ?? 0, headers: response.headers, body: '', whole: true }),
  )
  request.on('response', response => {
    watch.enter('transfer')
    const answered = response.statusCode ?? 0
    status = answered
    const chunks: Buffer[] = []
    let size = 0
    const finish = (whole: boolean): void => {
      const body = Buffer.concat(chunks).subarray(0, BODY_LIMIT).toString()
      resolve({ status: answered, headers: response.headers, body, whole })
    }
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      size += chunk.length
      if (size <= BODY_LIMIT) return
      finish(false)
      socket.destroy()
    })
    response.on('end', () => finish(true))
    response.on('error', lose)
  })
  request.end()
  return promise.finally(() => {
    signal.removeEventListener('abort', expire)
    socket.destroy()
  })
}

function judge(target: HttpTarget, answer: Answer, documented: string | undefined): Failure | undefined {
  if (!target.statuses.some(([from, to]) => answer.status >= from && answer.status <= to)) {
    const where = answer.headers.location === undefined ? '' : ', a redirect, which is not followed'
    return failed('status', `status ${answer.status}${where}`)
  }
  for (const [name, pattern] of target.headerMatches) {
    const value = answer.headers[name]
    if (!pattern.test(Array.isArray(value) ? value.join(', ') : (value ?? '')))
      return failed('header', `${name} is ${value === undefined ? 'absent' : JSON.stringify(value)}`)
  }
  const { bodyMatches, bodyNotMatches } = target
  if (bodyMatches?.test(answer.body) && !bodyNotMatches && target.document !== 'require') return undefined
  // What must be in the body, or must not, cannot be judged from a part of it.
  if ((bodyMatches || bodyNotMatches || target.document === 'require') && !answer.whole)
    return failed('too_large', `the body is longer than ${BODY_LIMIT} bytes`)
  if (bodyMatches && !bodyMatches.test(answer.body)) return failed('body', `does not match ${bodyMatches.source}`)
  if (bodyNotMatches?.test(answer.body)) return failed('body', `matches ${bodyNotMatches.source}`)
  if (target.document === 'require' && documented === undefined) return failed('body', 'is not a health document')
  if (target.document === 'require' && documented === 'down') return failed('body', 'the health document says down')
  return undefined
}
