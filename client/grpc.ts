// Unary gRPC calls on one HTTP/2 session that is kept, for a peer that is asked often. It is node:http2, loaded with the first
// call: a call carries some hundred kilobytes, so that what the session costs does not count.
//
//   request  = HEADERS · frame · END_STREAM     frame = compressed (1 byte) · length (4 bytes, big-endian) · message
//   response = HEADERS · frame? · HEADERS (trailers: grpc-status, grpc-message, grpc-status-details-bin)
//
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2'
import type { AddressCheck, TcpEndpoint } from '../telemetry/client.ts'
import type { Clock } from '../telemetry/host.ts'
import { open } from './connection.ts'
import { type Failure, failed, failure } from './failure.ts'
import { Stopwatch } from './stopwatch.ts'

export interface GrpcCall {
  /** "/package.Service/Method". */
  readonly path: string
  /** Metadata by lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  /** Lent until the answer is there. */
  readonly message: Buffer
  /** The grpc-encoding of the message, if it is compressed. */
  readonly encoding: string | undefined
  /** The time that the server may take, for grpc-timeout. The signal is the deadline here. */
  readonly timeoutMs: number
}

export interface GrpcAnswered {
  readonly ok: true
  readonly code: number
  readonly message: string
  readonly details: Buffer
  readonly body: Buffer
}

/** After this time a session is used no more, so that a name that leads elsewhere now is looked up again. */
const LONGEST_LIFE_MS = 60_000
const MOST_BODY = 64 * 1024
const PREFIX = 5

interface Session {
  readonly session: ClientHttp2Session
  readonly since: number
  usable: boolean
}

export class GrpcChannel implements Disposable {
  readonly #endpoint: () => TcpEndpoint
  readonly #authority: string
  readonly #clock: Pick<Clock, 'monotonic'>
  readonly #blocked: AddressCheck | undefined
  #session: Promise<Session | Failure> | undefined

  constructor(endpoint: () => TcpEndpoint, authority: string, clock: Pick<Clock, 'monotonic'>, blocked?: AddressCheck) {
    this.#endpoint = endpoint
    this.#authority = authority
    this.#clock = clock
    this.#blocked = blocked
  }

  /** Never rejects. A call that the server has certainly not looked at is made once more. */
  async call(asked: GrpcCall, signal: AbortSignal): Promise<GrpcAnswered | Failure> {
    const first = await this.#attempt(asked, signal)
    return first === UNSEEN ? settled(await this.#attempt(asked, signal)) : first
  }

  /** Closes a session that is idle and old. Called now and then. */
  sweep(): void {
    void this.#session?.then(found => {
      if ('session' in found && this.#clock.monotonic() - found.since > LONGEST_LIFE_MS) this.#retire(found)
    })
  }

  [Symbol.dispose](): void {
    void this.#session?.then(found => {
      if ('session' in found) found.session.destroy()
    })
    this.#session = undefined
  }

  async #attempt(asked: GrpcCall, signal: AbortSignal): Promise<GrpcAnswered | Failure | typeof UNSEEN> {
    const found = await this.#open(signal)
    if (!('session' in found)) return found
    if (signal.aborted) return failure(undefined, signal)
    if (!found.usable || found.session.closed || found.session.destroyed) {
      this.#retire(found)
      return UNSEEN
    }
    try {
      return await exchange(found.session, asked, signal)
    } catch (error) {
      // node:http2 throws when a session has just begun to close.
      this.#retire(found)
      const code = error instanceof Error && 'code' in error ? String(error.code) : ''
      return code.startsWith('ERR_HTTP2') ? UNSEEN : failure(error, signal)
    }
  }

  async #open(signal: AbortSignal): Promise<Session | Failure> {
    const known = this.#session && (await this.#session)
    if (known && 'session' in known) {
      if (known.usable && this.#clock.monotonic() - known.since <= LONGEST_LIFE_MS) return known
      this.#retire(known)
    }
    // Calls that come together wait for one session.
    this.#session ??= this.#connect(signal)
    const made = this.#session
    const outcome = await made
    if (!('session' in outcome) && this.#session === made) this.#session = undefined
    return outcome
  }

  async #connect(signal: AbortSignal): Promise<Session | Failure> {
    const endpoint = this.#endpoint()
    const opened = await open(endpoint, signal, new Stopwatch(this.#clock), {
      protocols: ['h2'],
      blocked: this.#blocked,
    })
    if (!opened.ok) return opened
    const session = process
      .getBuiltinModule('node:http2')
      .connect(`${endpoint.tls ? 'https' : 'http'}://${this.#authority}`, {
        createConnection: () => opened.socket,
        settings: { enablePush: false },
      })
    const made: Session = { session, since: this.#clock.monotonic(), usable: true }
    const retire = (): void => this.#retire(made)
    session.on('error', retire)
    session.on('goaway', retire)
    session.on('close', retire)
    session.unref()
    return made
  }

  /** Calls that are under way are finished; the next one opens another session. */
  #retire(old: Session): void {
    if (!old.usable) return
    old.usable = false
    this.#session = undefined
    if (!old.session.destroyed) old.session.close()
  }
}

/** The server has not looked at the call: the session was about to close, or the stream was refused. */
const UNSEEN = Symbol('unseen')

function settled(outcome: GrpcAnswered | Failure | typeof UNSEEN): GrpcAnswered | Failure {
  return outcome === UNSEEN ? failed('reset', 'the session was closed') : outcome
}

function exchange(
  session: ClientHttp2Session,
  asked: GrpcCall,
  signal: AbortSignal,
): Promise<GrpcAnswered | Failure | typeof UNSEEN> {
  const { promise, resolve } = Promise.withResolvers<GrpcAnswered | Failure | typeof UNSEEN>()
  const stream = session.request({
    ...asked.headers,
    ':method': 'POST',
    ':path': asked.path,
    te: 'trailers',
    'content-type': 'application/grpc',
    'grpc-timeout': `${Math.max(1, Math.round(asked.timeoutMs))}m`,
    ...(asked.encoding === undefined ? {} : { 'grpc-encoding': asked.encoding }),
  })
  const expire = (): void => {
    resolve(failure(undefined, signal))
    stream.close(CANCEL)
  }
  signal.addEventListener('abort', expire, { once: true })
  listen(stream, signal, resolve)
  const prefix = Buffer.alloc(PREFIX)
  prefix[0] = asked.encoding === undefined ? 0 : 1
  prefix.writeUInt32BE(asked.message.length, 1)
  session.ref()
  stream.write(prefix)
  stream.end(asked.message)
  return promise.finally(() => {
    signal.removeEventListener('abort', expire)
    if (!session.destroyed) session.unref()
  })
}

const CANCEL = 8
const REFUSED_STREAM = 7

function listen(
  stream: ClientHttp2Stream,
  signal: AbortSignal,
  resolve: (outcome: GrpcAnswered | Failure | typeof UNSEEN) => void,
): void {
  const chunks: Buffer[] = []
  let size = 0
  let status = 0
  // An answer without a message may have its status in the headers ("trailers only").
  let last: IncomingHttpHeaders = {}
  stream.on('response', headers => {
    status = Number(headers[':status'])
    last = headers
  })
  stream.on('trailers', trailers => {
    last = { ...last, ...trailers }
  })
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size > MOST_BODY + PREFIX) {
      resolve(failed('too_large', `the answer is longer than ${MOST_BODY} bytes`))
      stream.close(CANCEL)
    } else chunks.push(chunk)
  })
  stream.on('error', error => {
    if (stream.rstCode === REFUSED_STREAM || refused(error)) resolve(UNSEEN)
    else resolve(failure(error, signal))
  })
  stream.on('end', () => resolve(answer(status, last, Buffer.concat(chunks))))
  stream.on('close', () => resolve(failed('reset', 'the stream was closed without an answer')))
}

function refused(error: Error): boolean {
  return 'code' in error && (error.code === 'ERR_HTTP2_GOAWAY_SESSION' || error.code === 'NGHTTP2_REFUSED_STREAM')
}

function answer(status: number, last: IncomingHttpHeaders, body: Buffer): GrpcAnswered | Failure {
  const text = last['grpc-status']
  const message = decoded(last['grpc-message'])
  if (typeof text === 'string' && /^\d{1,3}$/.test(text)) {
    const details = last['grpc-status-details-bin']
    return {
      ok: true,
      code: Number(text),
      message,
      details: typeof details === 'string' ? Buffer.from(details, 'base64') : NOTHING,
      body: body.length > PREFIX && body[0] === 0 ? body.subarray(PREFIX) : NOTHING,
    }
  }
  if (status === 0) return failed('reset', 'the stream was closed without an answer')
  // https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
  const code = CODE_OF[status] ?? 2
  return { ok: true, code, message: `HTTP ${status} without a grpc-status`, details: NOTHING, body: NOTHING }
}

const NOTHING = Buffer.alloc(0)
const CODE_OF: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 14,
}

/** grpc-message: %XX of UTF-8. */
function decoded(field: string | string[] | undefined): string {
  if (typeof field !== 'string') return ''
  try {
    return decodeURIComponent(field)
  } catch {
    return field
  }
}
