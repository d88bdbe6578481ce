// OTLP over gRPC: unary Export of the three services, over HTTP/2 without TLS.
//
//   request  = HEADERS (:path /package.Service/Export, content-type application/grpc) · one frame · END_STREAM
//   frame    = compressed (1 byte, 0 or 1) · length (4 bytes, big-endian) · message
//   response = HEADERS · frame · trailers (grpc-status), or, without a message, HEADERS with the status alone
//
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md

import { HOPS_HEADER } from '../../telemetry/hops.ts'
import type { Clock } from '../../telemetry/host.ts'
import type { Decision } from '../../telemetry/intake.ts'
import type { Signal } from '../../telemetry/request.ts'
import { ArrivingBody, Blocks } from './blocks.ts'
import { Share } from './budget.ts'
import type { Handler, Limits } from './http2/connection.ts'
import type { Head } from './http2/head.ts'
import { headerBlock } from './http2/hpack.ts'
import { Http2Server } from './http2/server.ts'
import type { Stream } from './http2/stream.ts'
import { type Coding, type Inflated, inflate } from './inflate.ts'
import type { OtlpIntake } from './intake.ts'
import type { Addressee, Ledger } from './ledger.ts'
import type { Memory, Receiver } from './listener.ts'
import { CODE, type Code, response, retryMs, status } from './status.ts'

export interface GrpcOptions extends Limits {
  readonly max_request: number
  readonly request_timeout: number
}

/** Speaks gRPC on connections that are handed to it; it never listens itself. */
export function grpcReceiver(
  options: GrpcOptions,
  intake: OtlpIntake,
  memory: Memory,
  ledger: Ledger,
  clock: Clock,
): Receiver {
  return new Http2Server(new Calls(options, intake, memory, ledger, clock), options, clock)
}

const SIGNALS: ReadonlyMap<string, Signal> = new Map([
  ['/opentelemetry.proto.collector.trace.v1.TraceService/Export', 'traces'],
  ['/opentelemetry.proto.collector.metrics.v1.MetricsService/Export', 'metrics'],
  ['/opentelemetry.proto.collector.logs.v1.LogsService/Export', 'logs'],
])

/** The facts in the head of a call. */
interface Facts {
  readonly signal: Addressee
  /** Milliseconds that the client allows, or undefined. */
  readonly timeout: number | undefined
  readonly coding: Coding | undefined
  /** The header that sidecars send. */
  readonly hops: string | undefined
  /** It is no gRPC. */
  readonly httpStatus: 405 | 415 | undefined
  readonly refusal: GrpcRefusal | undefined
}

/** One call. It is answered exactly once: at its end, at its deadline, or as soon as it is certain to fail. */
interface Call {
  readonly stream: Stream<Call>
  readonly facts: Facts
  readonly share: Share
  /** The part of the frame that has arrived, if it does not arrive at once. */
  pieces: ArrivingBody | undefined
  /** When it is given up, on the monotonic clock, and what was allowed, in milliseconds. */
  readonly deadline: number
  readonly limit: number
  /**
   * The reason why its body is too short. Some clients end the body of a call that they reset, so this is told with the
   * next tick.
   */
  cutOff: string | undefined
  over: boolean
  /** It is whole, and being decided: neither its deadline nor its client ends it. */
  deciding: boolean
}

interface GrpcRefusal {
  readonly code: Code
  readonly message: string
  /** In how many milliseconds the client may try again. */
  readonly retryMs?: number
}

class Calls implements Handler<Call, Facts> {
  readonly #options: GrpcOptions
  readonly #intake: OtlpIntake
  readonly #memory: Memory
  readonly #ledger: Ledger
  readonly #clock: Clock
  readonly #blocks = new Blocks()

  readonly facts = factsOf

  constructor(options: GrpcOptions, intake: OtlpIntake, memory: Memory, ledger: Ledger, clock: Clock) {
    this.#options = options
    this.#intake = intake
    this.#memory = memory
    this.#ledger = ledger
    this.#clock = clock
  }

  begin(stream: Stream<Call>, facts: Facts): Call | undefined {
    if (facts.httpStatus) {
      this.#ledger.answered(facts.signal, 'grpc', CODE.internal)
      stream.answer(facts.httpStatus === 405 ? METHOD_NOT_ALLOWED : UNSUPPORTED_TYPE)
      return undefined
    }
    const limit = Math.min(facts.timeout ?? Number.POSITIVE_INFINITY, this.#options.request_timeout)
    const call: Call = {
      stream,
      facts,
      share: new Share(this.#memory.budget),
      pieces: undefined,
      deadline: stream.since + limit,
      limit,
      cutOff: undefined,
      over: false,
      deciding: false,
    }
    if (facts.refusal) this.#refuse(call, facts.refusal)
    return call
  }

  body(call: Call, bytes: Buffer, last: boolean): void {
    if (call.over) return
    // Fast path: it comes at once, and is used where it is.
    if (!last || call.pieces) {
      call.pieces ??= new ArrivingBody(this.#blocks)
      call.pieces.add(bytes)
    }
    const { pieces, share } = call
    const length = pieces ? pieces.length : bytes.length
    const prefix = length >= PREFIX && (pieces ? pieces.first : bytes)
    const message = prefix ? prefix.readUInt32BE(1) : -1
    const expected = prefix ? PREFIX + message : Number.POSITIVE_INFINITY
    if (message > this.#options.max_request)
      this.#refuse(call, tooLarge(`a message of ${message} bytes`, this.#options.max_request))
    else if (length > expected) this.#refuse(call, malformed('more than one message'))
    else if (!share.hold(length)) this.#refuse(call, BUSY)
    else if (last && length === expected) this.#whole(call, bytes)
    else if (last) call.cutOff = length === 0 ? 'no message' : 'a message that is cut off'
  }

  gone(call: Call): void {
    if (!call.over && !call.deciding) this.#end(call, CODE.cancelled)
  }

  tick(call: Call, now: number): void {
    if (call.cutOff) this.#refuse(call, malformed(call.cutOff))
    else if (now >= call.deadline && !call.deciding) this.#refuse(call, late(call))
  }

  /** `bytes` are the frame, unless it has come in pieces. */
  #whole(call: Call, bytes: Buffer): void {
    const { pieces, share } = call
    const { coding } = call.facts
    const compressed = (pieces?.first ?? bytes)[0]
    if (compressed === 0) {
      const frame = pieces ? this.#memory.bodies.join(pieces.take(), pieces.length) : bytes
      this.#take(call, frame.subarray(PREFIX))
    } else if (compressed !== 1) this.#refuse(call, malformed(`compression flag ${compressed}`))
    else if (!coding) this.#refuse(call, malformed('a compressed message without grpc-encoding'))
    else {
      const frame = pieces ? this.#memory.bodies.join(pieces.take(), pieces.length) : bytes
      // Before it may wait for its turn, it is copied.
      pieces?.release()
      const body = frame.subarray(PREFIX)
      inflate(coding, { body, memory: undefined }, this.#options.max_request, share, inflated => {
        if (inflated.kind === 'body') return this.#take(call, inflated.body)
        this.#refuse(call, notInflated(inflated))
        return false
      })
    }
  }

  /** False when nobody uses the message any more; a promise when it is decided later. */
  #take(call: Call, message: Buffer): boolean | Promise<true> {
    const { stream, deadline, facts } = call
    const { signal } = facts
    // The deadline may have passed, or the client gone, while a large body was being decompressed.
    if (call.over || signal === 'none') return false
    const awaited = () => stream.open && this.#clock.monotonic() < deadline
    const decision = this.#intake.take(signal, 'protobuf', message, awaited, facts.hops)
    if (!(decision instanceof Promise)) return this.#decided(decision, call, signal)
    call.deciding = true
    return decision.then(later => {
      call.deciding = false
      if (!stream.open) this.gone(call)
      else if (later) this.#decided(later, call, signal)
      else this.#refuse(call, late(call))
      return true
    })
  }

  #decided(decision: Decision, call: Call, signal: Signal): boolean {
    if (decision.kind === 'later') {
      this.#refuse(call, { ...NO_ROOM, retryMs: retryMs(decision.ms) })
      return false
    }
    if (decision.kind === 'refused') {
      this.#refuse(call, { code: DECIDED[decision.reason], message: decision.text })
      return false
    }
    this.#end(call, CODE.ok)
    const body = response(signal, 'protobuf', decision.rejected, decision.text)
    call.stream.answer(HEAD, body.length === 0 ? EMPTY : framed(body), OK)
    return false
  }

  #refuse(call: Call, { code, message, retryMs }: GrpcRefusal): void {
    if (call.over) return
    this.#end(call, code)
    const fields: [name: string, value: string][] = [
      ...FIELDS,
      ['grpc-status', String(code)],
      ['grpc-message', percent(message.slice(0, LONGEST_MESSAGE))],
    ]
    if (retryMs !== undefined)
      fields.push(['grpc-status-details-bin', status('protobuf', code, message, retryMs).toString('base64')])
    call.stream.answer(headerBlock(fields))
  }

  #end(call: Call, code: Code): void {
    call.over = true
    call.pieces?.release()
    call.pieces = undefined
    call.share.release()
    this.#ledger.answered(call.facts.signal, 'grpc', code)
  }
}

const PREFIX = 5
const LONGEST_MESSAGE = 1024

const FIELDS: [name: string, value: string][] = [
  [':status', '200'],
  ['content-type', 'application/grpc'],
  ['grpc-accept-encoding', 'identity,gzip,zstd'],
]
const HEAD = headerBlock(FIELDS)
const OK = headerBlock([['grpc-status', '0']])
const METHOD_NOT_ALLOWED = headerBlock([
  [':status', '405'],
  ['allow', 'POST'],
])
const UNSUPPORTED_TYPE = headerBlock([[':status', '415']])

function framed(message: Buffer): Buffer {
  const frame = Buffer.alloc(PREFIX + message.length)
  frame.writeUInt32BE(message.length, 1)
  frame.set(message, PREFIX)
  return frame
}

const EMPTY = framed(Buffer.alloc(0))

const DECIDED = {
  undecodable: CODE.invalidArgument,
  loop: CODE.invalidArgument,
  too_large: CODE.resourceExhausted,
  internal: CODE.internal,
} as const

const UNKNOWN: GrpcRefusal = {
  code: CODE.unimplemented,
  message: 'nothing is here; OTLP goes to Export of the TraceService, MetricsService and LogsService, version v1',
}
const BUSY: GrpcRefusal = {
  code: CODE.unavailable,
  message: 'too many bytes are being received right now; try again',
  retryMs: 1000,
}
const NO_ROOM: GrpcRefusal = { code: CODE.unavailable, message: 'no room for these items right now; try again' }

/** grpc-message: printable ASCII stands for itself, all else as %XX of its UTF-8. */
function percent(message: string): string {
  return message.toWellFormed().replace(/[^ -$&-~]/gu, encodeURIComponent)
}

function malformed(what: string): GrpcRefusal {
  return { code: CODE.internal, message: `cannot read the gRPC frame: ${what}` }
}

function late({ limit }: Call): GrpcRefusal {
  return {
    code: CODE.deadlineExceeded,
    message: `the request did not arrive, or could not be read, within ${Math.ceil(limit)} ms`,
  }
}

function tooLarge(what: string, limit: number): GrpcRefusal {
  return { code: CODE.resourceExhausted, message: `cannot take ${what}; send at most ${limit}` }
}

function notInflated(inflated: Exclude<Inflated, { kind: 'body' }>): GrpcRefusal {
  if (inflated.kind === 'no_room') return BUSY
  if (inflated.kind === 'broken') return malformed(`the compression: ${inflated.why}`)
  return { code: CODE.resourceExhausted, message: `cannot take more than ${inflated.why}; send smaller batches` }
}

function factsOf({ method, path, fields }: Head): Facts {
  let timeout: string | undefined
  let encoding: string | undefined
  let type: string | undefined
  let hops: string | undefined
  for (const { name, value } of fields)
    if (name === 'grpc-timeout') timeout ??= value
    else if (name === 'grpc-encoding') encoding ??= value
    else if (name === 'content-type') type ??= value
    else if (name === HOPS_HEADER) hops ??= value
  const signal = SIGNALS.get(path) ?? 'none'
  const allowed = milliseconds(timeout)
  const isGrpc = type === 'application/grpc' || /^application\/grpc(?:\+proto)?(?:;|$)/.test(type ?? '')
  const readable = encoding === undefined || encoding === 'identity' || encoding === 'gzip' || encoding === 'zstd'
  return {
    signal,
    timeout: allowed,
    coding: encoding === 'gzip' || encoding === 'zstd' ? encoding : undefined,
    hops,
    httpStatus: method !== 'POST' ? 405 : isGrpc ? undefined : 415,
    refusal: signal === 'none' ? UNKNOWN : refusalOf(readable, allowed),
  }
}

function refusalOf(readable: boolean, timeout: number | undefined): GrpcRefusal | undefined {
  if (!readable)
    return { code: CODE.unimplemented, message: 'cannot take this grpc-encoding; send gzip, zstd or identity' }
  if (Number.isNaN(timeout))
    return { code: CODE.internal, message: 'cannot read grpc-timeout; send up to 8 digits and a unit' }
  if (timeout === 0) return { code: CODE.deadlineExceeded, message: 'the deadline had passed already' }
  return undefined
}

const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }

/** A grpc-timeout in milliseconds: undefined if there is none, NaN if it cannot be read. */
function milliseconds(timeout: string | undefined): number | undefined {
  if (timeout === undefined) return undefined
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(timeout) ?? []
  return digits && unit ? Number(digits) * UNITS[unit]! : Number.NaN
}
