// A store with spans in it: requests made of the published schema, shown to the real part by the real visitor.

import { SpanVisitor } from '../../otlp/visit.ts'
import { Kept } from '../../store/kept.ts'
import type { SpanConsumer } from '../../telemetry/consumer.ts'
import { Keys } from '../../telemetry/keys.ts'
import type { Pace } from '../../traceql/reading.ts'
import { decoder } from '../otlp/protobufjs.ts'
import { attributes, type Message } from '../points/otlp.ts'
import { type World, world } from '../world.ts'

const Request = decoder('traces')

export interface Sent {
  /** Hexadecimal; shorter ones are padded with zeros on the left. */
  readonly trace: string
  readonly span: string
  readonly parent?: string
  readonly name?: string
  readonly kind?: number
  readonly status?: number
  readonly message?: string
  /** Seconds since the epoch, and how long it takes. */
  readonly start?: number
  readonly seconds?: number
  readonly attributes?: Readonly<Record<string, unknown>>
  readonly events?: readonly Message[]
  readonly links?: readonly Message[]
}

export const EPOCH = 1_750_000_000

export function hex(digits: string, bytes: number): Buffer {
  return Buffer.from(digits.padStart(2 * bytes, '0'), 'hex')
}

export function nanos(seconds: number): string {
  return String(BigInt(Math.round(seconds * 1e6)) * 1000n)
}

export function spanOf(sent: Sent): Message {
  const start = sent.start ?? EPOCH
  return {
    traceId: hex(sent.trace, 16),
    spanId: hex(sent.span, 8),
    ...(sent.parent !== undefined && { parentSpanId: hex(sent.parent, 8) }),
    name: sent.name ?? 'GET /',
    kind: sent.kind ?? 2,
    startTimeUnixNano: nanos(start),
    endTimeUnixNano: nanos(start + (sent.seconds ?? 0.001)),
    ...(sent.status !== undefined && { status: { code: sent.status, ...(sent.message && { message: sent.message }) } }),
    attributes: attributes((sent.attributes ?? {}) as never),
    ...(sent.events && { events: sent.events }),
    ...(sent.links && { links: sent.links }),
  }
}

/** A request of one service. */
export function from(service: string, ...spans: readonly Sent[]): Message {
  return {
    resource: { attributes: attributes({ 'service.name': service }) },
    scopeSpans: [{ scope: { name: 'scope', version: '1' }, spans: spans.map(spanOf) }],
  }
}

export function encode(...resourceSpans: readonly Message[]): Buffer {
  return Buffer.from(Request.encode(Request.fromObject({ resourceSpans })).finish())
}

export class Room {
  readonly host: World = world('/proc')
  readonly kept: Kept
  readonly #visitor: SpanVisitor

  constructor(keep: number, more: readonly SpanConsumer[] = [], keys = new Keys(), host?: World) {
    if (host) this.host = host
    this.kept = new Kept(keep, this.host)
    this.#visitor = new SpanVisitor(keys, [...more, this.kept])
  }

  send(...resourceSpans: readonly Message[]): void {
    this.raw(encode(...resourceSpans))
  }

  raw(bytes: Buffer): void {
    const { walk } = this.#visitor
    if (!walk.run(bytes, 1e6)) throw new Error('cannot walk what the test sends')
    this.#visitor.show({ signal: 'traces', bytes, items: walk.items, received: this.host.clock.now() })
    if (this.#visitor.failed.length > 0) throw this.#visitor.failed[0]!.error
  }

  /** The names of the spans held of a trace, by start. */
  names(trace: string): string[] {
    const found = this.kept.trace()
    const size = found.load(hex(trace, 16), 0)
    return Array.from({ length: size }, (_, i) => {
      const { segment, name } = found.span(i)
      return segment.names.text(name)
    })
  }
}

/** For a query that may take as long as it likes. */
export const UNHURRIED: Pace = { due: () => false, turn: async () => {} }
