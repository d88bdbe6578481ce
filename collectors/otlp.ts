// The OTLP doors: requests of an application's SDK come in here, are checked once, and are visited once.

import type { Server } from 'node:net'
import { bytes, duration, integer, type Listen, list, listen, section, type Values } from '../options/kinds.ts'
import type { Finding, Host, Running } from './collector.ts'
import { Budget } from './otlp/body.ts'
import { grpcDoor } from './otlp/grpc.ts'
import { httpDoor } from './otlp/http.ts'
import { Intake } from './otlp/intake.ts'
import { families, inflight, Ledger, REASONS } from './otlp/ledger.ts'
import { exposure, open, tryOpen, twin } from './otlp/listen.ts'
import { origin } from './otlp/origins.ts'
import type { Signal } from './otlp/status.ts'

export { accepted, adjusted, inflight, received, refused, refusedConnections, requests } from './otlp/ledger.ts'
export { valueText } from './otlp/value.ts'
export { FIXED32, FIXED64, field, LENGTH, Reader, skip, VARINT } from './otlp/wire.ts'

/**
 * One OTLP request as it came, and the same as protobuf. Its bytes are valid only during the call, since the next request is
 * put in the same place: a consumer copies what it keeps.
 */
export interface ExportRequest {
  readonly signal: 'traces' | 'metrics' | 'logs'
  readonly encoding: 'protobuf' | 'json'
  /** The Export…ServiceRequest in protobuf; JSON requests are transcoded at the door, so that there is one way to visit. */
  readonly bytes: Uint8Array
  /** Spans, data points or log records in it. */
  readonly items: number
}

/**
 * Takes the spans of each accepted request. The door has checked the whole request first, so nothing that follows can
 * fail half way. Calls are synchronous: `begin`, `span` for each span in wire order, `end`.
 */
export interface SpanConsumer {
  /** Attribute keys whose values the views must carry. Fixed from the start on; the door unites what its consumers want. */
  readonly wants: { readonly span: readonly string[]; readonly resource: readonly string[] }
  /** Called once, before the first span: where each wanted key stands in the views. */
  bound?(positions: { readonly span: readonly number[]; readonly resource: readonly number[] }): void
  begin?(request: ExportRequest): void
  /** The view is reused: it is valid only during the call, and so are its bytes' offsets. */
  span(view: SpanView): void
  end?(request: ExportRequest): void
}

/**
 * One span inside the bytes of its request, as offsets rather than objects. A pair [start, end) of 0, 0 means that the
 * field is absent or empty.
 */
export interface SpanView {
  /** The request's bytes; every offset below counts from its beginning. */
  readonly bytes: Buffer
  /** The Span message itself, without its tag and length. */
  readonly start: number
  readonly end: number
  /** Offset of the 16-byte trace id, of the 8-byte span id; of the parent's id, or -1 for a root span. */
  readonly traceId: number
  readonly spanId: number
  readonly parentSpanId: number
  readonly nameStart: number
  readonly nameEnd: number
  /** The W3C tracestate. */
  readonly traceStateStart: number
  readonly traceStateEnd: number
  /** SpanKind 0–5; other values are given as 0. */
  readonly kind: number
  /** Status code: 0 unset, 1 ok, 2 error. */
  readonly status: number
  /** Bits 0–7 are the W3C trace flags; 0x100 says that 0x200 is known, which says that the parent is in another process. */
  readonly flags: number
  /** How many events and links the span has. */
  readonly events: number
  readonly links: number
  /** Seconds from start to end, exact to the nanosecond; 0 when the span ends before it starts. */
  readonly seconds: number
  /** End of the span in seconds since the epoch, for exemplar timestamps. */
  readonly endSeconds: number
  /** Values of the wanted attributes, at the positions given to `bound`. */
  readonly spanAttributes: AttributeView
  readonly resourceAttributes: AttributeView
  /** Changes when the resource changes: what was computed for a resource can be kept until then. */
  readonly resourceSerial: number
  /** The ResourceSpans message around the span: for whole resources, which may stand in it in several pieces (field 1). */
  readonly resourceSpansStart: number
  readonly resourceSpansEnd: number
}

/** Values of wanted attributes: type 0 = absent, 1 = string, 2 = bool, 3 = int, 4 = double, 5 = other. */
export interface AttributeView {
  readonly type: Uint8Array
  /** For strings: the offsets of the text. For the rest: the offsets of the encoded AnyValue. */
  readonly start: Uint32Array
  readonly end: Uint32Array
}

/**
 * Takes whole requests of metrics or logs, after the check: walk `bytes` with `Reader`. The call is synchronous. What it
 * cannot take it returns, and the door tells the sender and keeps the ledger; the rest counts as accepted. Of several
 * consumers of one signal at most one should refuse, since nobody can tell whether two mean the same item.
 */
export interface RequestConsumer {
  /** Every reason it may return: values of a label. */
  readonly reasons: readonly string[]
  take(request: ExportRequest): readonly Refusal[] | undefined
}

export interface Refusal {
  readonly reason: string
  readonly items: number
  /** What they are: the sender is told "refused", their number, and this. */
  readonly text: string
}

export type MetricsConsumer = RequestConsumer
export type LogsConsumer = RequestConsumer

/** Who takes what comes in. A signal without consumers is answered with success and all items rejected. */
export interface Consumers {
  readonly spans: readonly SpanConsumer[]
  readonly metrics?: readonly MetricsConsumer[]
  readonly logs?: readonly LogsConsumer[]
}

export interface OtlpRunning extends Running {
  /** Where the doors are, with the real ports; undefined for one that is off. */
  address(): { readonly http: Listen | undefined; readonly grpc: Listen | undefined }
}

const options = section('OTLP intake: traces, metrics and logs of the application.', {
  http: section('OTLP over HTTP.', {
    listen: listen('Where OTLP over HTTP is taken.', { default: '127.0.0.1:4318' }),
    max_connections: integer('Connections at one time; further ones are closed at once.', { default: 256, min: 1 }),
    header_timeout: duration('How long a client may take to send the head of a request.', {
      default: '10s',
      min: '1s',
    }),
    request_timeout: duration('How long a client may take to send a whole request.', { default: '30s', min: '1s' }),
    allowed_origins: list(
      'Web pages that may send from a browser, each by its origin ("https://shop.example"); without any, all are refused.',
      origin,
    ),
  }),
  grpc: section('OTLP over gRPC.', {
    listen: listen('Where OTLP over gRPC is taken.', { default: '127.0.0.1:4317' }),
    max_connections: integer('Connections at one time; further ones are closed at once.', { default: 64, min: 1 }),
    header_timeout: duration('How long a connection may take to speak HTTP/2.', { default: '5s', min: '1s' }),
    request_timeout: duration('How long a client may take to send a whole request.', { default: '30s', min: '1s' }),
    idle_timeout: duration('How long a connection without calls is kept.', { default: '65s', min: '1s' }),
  }),
  max_request: bytes('The largest request, before and after decompression; larger ones are refused.', {
    default: '16MiB',
    min: '1KiB',
    max: '64MiB',
  }),
  max_json: bytes('The largest request in JSON, which takes much longer to decode.', {
    default: '4MiB',
    min: '1KiB',
    max: '64MiB',
  }),
  max_items: integer('Spans, data points or log records in one request; larger ones are refused.', {
    default: 50_000,
    min: 1,
  }),
  max_inflight: bytes('Requests being received at one time, in bytes; further ones are told to try again.', {
    default: '64MiB',
    min: '1MiB',
  }),
})

export type OtlpOptions = Values<typeof options>

export const otlp = {
  name: 'otlp',
  about: 'Takes OTLP traces, metrics and logs from the SDK of the application.',
  families,
  options,
  start,
} as const

async function start(options: OtlpOptions, host: Host, consumers: Consumers): Promise<OtlpRunning> {
  const reasons = {
    traces: REASONS.traces,
    metrics: united('metrics', consumers.metrics),
    logs: united('logs', consumers.logs),
  }
  const ledger = new Ledger(host.metrics, reasons, [
    ...(options.http.listen ? ['http' as const] : []),
    ...(options.grpc.listen ? ['grpc' as const] : []),
  ])
  const held = host.metrics.gauge(inflight)
  const budget = new Budget(options.max_inflight)
  const intake = new Intake(options, consumers, ledger, host.log, host.clock)
  const findings: Finding[] = []
  const doors: Door[] = []

  const both = async (address: Listen | undefined, option: string, make: () => Door): Promise<Listen | undefined> => {
    if (!address) return undefined
    const first = make()
    const real = await open(first.server, address, option)
    doors.push(first)
    const text = exposure(real, option)
    if (text !== undefined) findings.push({ level: 'warning', text })
    const other = twin(address.host)
    const second = other && make()
    const code = second && (await tryOpen(second.server, other, real.port))
    if (second && code === undefined) doors.push(second)
    else if (code === 'EADDRINUSE') findings.push({ level: 'warning', text: shared(other, real) })
    return real
  }
  const close = async () => {
    await Promise.all(doors.splice(0).map(door => shut(door, host)))
    await intake[Symbol.asyncDispose]()
  }
  let http: Listen | undefined
  let grpc: Listen | undefined
  try {
    http = await both(options.http.listen, 'otlp.http.listen', () =>
      httpDoor({ ...options, ...options.http }, intake, budget, ledger, host.clock),
    )
    grpc = await both(options.grpc.listen, 'otlp.grpc.listen', () =>
      grpcDoor({ ...options, ...options.grpc }, intake, budget, ledger, host.clock),
    )
  } catch (error) {
    await close()
    throw error
  }
  return {
    address: () => ({ http, grpc }),
    findings: () => findings,
    collect() {
      ledger.publish()
      held.set(budget.used)
    },
    [Symbol.asyncDispose]: close,
  }
}

/** What the doors have in common. */
interface Door {
  readonly server: Server
  /** No new requests; those on their way may end. */
  drain(): void
  /** Ends every connection at once. */
  cut(): void
}

/** Requests on their way get this long to arrive and be answered after the door has closed. */
const GRACE_MS = 5000

async function shut({ server, drain, cut }: Door, { clock }: Host): Promise<void> {
  const closed = new AbortController()
  server.close(() => closed.abort())
  drain()
  await clock.sleep(GRACE_MS, closed.signal).catch(() => {})
  cut()
}

function shared(host: string | undefined, real: Listen): string {
  const endpoint = `${real.host}:${real.port}`
  return `port ${real.port} of ${host} belongs to another program, which clients may reach by "localhost"; give them ${endpoint}`
}

function united(signal: Signal, consumers: readonly RequestConsumer[] = []): readonly string[] {
  return [...new Set([...REASONS[signal], ...consumers.flatMap(each => each.reasons)])]
}
