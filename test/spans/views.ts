// Spans as an SDK sends them: protobuf, shown to a consumer by the real visitor.

import { SpanVisitor } from '../../otlp/visit.ts'
import type { SpanConsumer } from '../../telemetry/consumer.ts'
import type { Keys } from '../../telemetry/keys.ts'
import { attribute, fixed64, ld, number, varint } from '../otlp/requests.ts'

export interface Sent {
  readonly service?: string
  readonly name: string
  readonly kind: number
  readonly status?: number
  readonly seconds?: number
  /** Fills the trace id and, unless `span` is given, the span id. */
  readonly id?: number
  readonly span?: number
  readonly parent?: number
  readonly traceState?: string
  readonly flags?: number
  readonly events?: number
  readonly links?: number
  readonly attributes?: Readonly<Record<string, string | number>>
  readonly resource?: Readonly<Record<string, string | number>>
}

const END = 1_750_000_000_000_000_000n

/** The Span message. */
export function encoded(span: Sent): Buffer {
  const { id = 1, parent, traceState, flags } = span
  return Buffer.concat([
    ld(1, wide(16, id)),
    ld(2, wide(8, span.span ?? id)),
    ...(traceState === undefined ? [] : [ld(3, traceState)]),
    ...(parent === undefined ? [] : [ld(4, wide(8, parent))]),
    ld(5, span.name),
    number(6, span.kind),
    fixed64(7, END - BigInt(Math.round((span.seconds ?? 0.001) * 1e9))),
    fixed64(8, END),
    ...attributes(9, span.attributes),
    ...Array.from({ length: span.events ?? 0 }, () => ld(11, ld(2, 'event'))),
    ...Array.from({ length: span.links ?? 0 }, () => ld(13, ld(1, Buffer.alloc(16, 9)))),
    ld(15, number(3, span.status ?? 0)),
    ...(flags === undefined ? [] : [fixed32(16, flags)]),
  ])
}

/** A request in which each span has a resource of its own. */
export function request(sent: readonly Sent[]): Buffer {
  return Buffer.concat(
    sent.map(span => {
      const resource = { ...span.resource, ...(span.service === undefined ? {} : { 'service.name': span.service }) }
      return ld(1, ld(1, ...attributes(1, resource)), ld(2, ld(2, encoded(span))))
    }),
  )
}

/** Spans of one resource, as a part of a request. */
export function resource(service: string, sent: readonly Sent[]): Buffer {
  return ld(1, ld(1, ...attributes(1, { 'service.name': service })), ld(2, ...sent.map(span => ld(2, encoded(span)))))
}

/** A consumer, and where it has asked for its attributes. */
export interface Viewer {
  readonly consumer: SpanConsumer
  readonly keys: Keys
}

/** Shows the spans to the consumer as one request. */
export function views(viewer: Viewer, sent: readonly Sent[]): void {
  show(viewer, request(sent), sent.length)
}

export function show({ consumer, keys }: Viewer, bytes: Buffer, items: number): void {
  new SpanVisitor(keys, [consumer]).visit({ signal: 'traces', bytes, items, received: 0 })
}

/** An id whose bytes all have the same value; larger numbers stand in the last four bytes. */
function wide(bytes: number, value: number): Buffer {
  if (value < 256) return Buffer.alloc(bytes, value)
  const id = Buffer.alloc(bytes, 0xff)
  id.writeUInt32BE(value, bytes - 4)
  return id
}

function attributes(field: number, values: Readonly<Record<string, string | number>> = {}): Buffer[] {
  return Object.entries(values).map(([key, value]) =>
    typeof value === 'string' ? attribute(field, key, value) : ld(field, ld(1, key), ld(2, number(3, value))),
  )
}

function fixed32(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return Buffer.concat([varint(field * 8 + 5), bytes])
}
