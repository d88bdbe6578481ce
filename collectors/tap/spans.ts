// Exchanges as SERVER spans in requests for an OTLP receiver.
//
//   Span = trace id 1, span id 2, trace state 3, parent 4, name 5, kind 6, start 7, end 8, attribute* 9, status 15, flags 16

import { attribute, encoded, resourceOf, text } from '../../otlp/attributes.ts'
import { pathOf, type Routes } from '../../otlp/http-route.ts'
import { Ids, lastingFields, METHODS } from '../../otlp/http-span.ts'
import { FIXED32, FIXED64, LENGTH } from '../../otlp/wire.ts'
import { Writer } from '../../otlp/writer.ts'
import { PARENT_KNOWN, PARENT_REMOTE } from '../../telemetry/span.ts'
import type { Exchange, Lost } from './watch.ts'

/** The instrumentation scope, by which the sidecar knows them. */
export const SCOPE = 'pillion.tap'

export const FULL_BYTES = 128 * 1024
const MOST_BYTES = 1024 * 1024
const MOST_KNOWN = 2048
const LONGEST_PATH = 1024
const SAMPLED = 1
const ID = Buffer.alloc(16)
const HIGH = 0x100000000

const SCOPE_FIELD = encoded(writer => {
  writer.tag(1, LENGTH)
  const scope = writer.begin()
  writer.tag(1, LENGTH)
  text(writer, SCOPE)
  writer.end(scope)
})

export interface Batch {
  readonly bytes: Buffer
  readonly spans: number
}

export class Spans {
  readonly #resource: Buffer
  readonly #routes: Routes
  readonly #known = new Map<string, Buffer>()
  readonly #ids = new Ids()
  #writer: Writer | undefined
  #group = 0
  #scope = 0
  #spans = 0

  constructor(service: string, routes: Routes) {
    this.#resource = resourceOf({ 'service.name': service })
    this.#routes = routes
  }

  get bytes(): number {
    return this.#writer?.length ?? 0
  }

  newIds(): { readonly traceId: string; readonly spanId: string } {
    return { traceId: this.#ids.trace().toString('hex'), spanId: this.#ids.span().toString('hex') }
  }

  /** `origin` is when the clock of the exchange was 0, in milliseconds since the epoch. */
  add(exchange: Exchange, lost: Lost | undefined, origin: number): void {
    const { status, given, tracestate } = exchange
    const writer = this.#begun()
    const path = pathOf(exchange.target)
    const lasting = this.#lasting(exchange.method, path, status, lost)
    const parent = given === undefined ? contextOf(exchange.traceparent) : undefined
    writer.tag(2, LENGTH)
    const begun = writer.begin()
    const traceId = given?.traceId ?? parent?.traceId
    if (traceId === undefined) raw(writer, 1, this.#ids.trace())
    else id(writer, 1, traceId)
    if (given) id(writer, 2, given.spanId)
    else raw(writer, 2, this.#ids.span())
    if (parent) {
      if (tracestate) {
        writer.tag(3, LENGTH)
        text(writer, tracestate)
      }
      id(writer, 4, parent.spanId)
    }
    time(writer, 7, origin + exchange.began)
    time(writer, 8, origin + Math.max(exchange.began, exchange.ended))
    writer.copy(lasting, 0, lasting.length)
    if (path !== '') attribute(writer, 9, 'url.path', path.slice(0, LONGEST_PATH))
    if (exchange.requestBytes > 0) attribute(writer, 9, 'http.request.body.size', exchange.requestBytes)
    if (status > 0) attribute(writer, 9, 'http.response.body.size', exchange.responseBytes)
    writer.tag(16, FIXED32)
    writer.fixed32(parent ? parent.flags | PARENT_KNOWN | PARENT_REMOTE : SAMPLED | PARENT_KNOWN)
    writer.end(begun)
    this.#spans++
  }

  /** The spans that were added since the last time. */
  take(): Batch | undefined {
    const writer = this.#writer
    if (!writer) return undefined
    writer.end(this.#scope)
    writer.end(this.#group)
    const batch = { bytes: writer.finish(), spans: this.#spans }
    this.#writer = undefined
    this.#spans = 0
    return batch
  }

  #begun(): Writer {
    if (this.#writer) return this.#writer
    const writer = new Writer(FULL_BYTES / 8, MOST_BYTES)
    writer.tag(1, LENGTH)
    this.#group = writer.begin()
    writer.copy(this.#resource, 0, this.#resource.length)
    writer.tag(2, LENGTH)
    this.#scope = writer.begin()
    writer.copy(SCOPE_FIELD, 0, SCOPE_FIELD.length)
    this.#writer = writer
    return writer
  }

  #lasting(given: string, path: string, status: number, lost: Lost | undefined): Buffer {
    const method = METHODS.has(given) ? given : '_OTHER'
    const route = this.#routes.of(path, status)
    const key = `${method} ${status} ${lost ?? ''} ${route ?? ''}`
    const known = this.#known.get(key)
    if (known) return known
    const error = lost === undefined ? undefined : lost === 'client' ? 'client_closed' : 'connection_closed'
    const made = lastingFields(method, route, status, error, status >= 500 || lost === 'application')
    if (this.#known.size >= MOST_KNOWN) this.#known.clear()
    this.#known.set(key, made)
    return made
  }
}

/** https://www.w3.org/TR/trace-context/#traceparent-header */
const TRACEPARENT = /^(?!ff)[\da-f]{2}-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(?:-|$)/

function contextOf(
  traceparent: string | undefined,
): { readonly traceId: string; readonly spanId: string; readonly flags: number } | undefined {
  const [, traceId, spanId, flags] = traceparent === undefined ? [] : (TRACEPARENT.exec(traceparent) ?? [])
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined
  return { traceId, spanId, flags: Number.parseInt(flags, 16) }
}

function raw(writer: Writer, field: number, bytes: Buffer): void {
  writer.tag(field, LENGTH)
  writer.varint(bytes.length)
  writer.copy(bytes, 0, bytes.length)
}

function id(writer: Writer, field: number, hex: string): void {
  raw(writer, field, ID.subarray(0, ID.write(hex, 'hex')))
}

/** Milliseconds since the epoch as nanoseconds, exact to a quarter of a microsecond. */
function time(writer: Writer, field: number, ms: number): void {
  const whole = Math.floor(ms)
  // ms · 10⁶ has more than 53 bits, so it is put together from two numbers of fewer.
  const upper = Math.floor(whole / 65_536) * 1e6
  const lower = (whole % 65_536) * 1e6 + Math.round((ms - whole) * 1e6) + (upper % 65_536) * 65_536
  writer.tag(field, FIXED64)
  writer.fixed64(lower % HIGH, Math.floor(upper / 65_536) + Math.floor(lower / HIGH))
}
