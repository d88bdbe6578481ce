// Spans as the OTLP door shows them to a consumer, made by hand so that these tests need no decoder.

import type { AttributeView, SpanConsumer } from '../../collectors/otlp.ts'

export interface Sent {
  readonly service?: string
  readonly name: string
  readonly kind: number
  readonly status?: number
  readonly seconds?: number
  readonly id?: number
  readonly attributes?: Readonly<Record<string, string | number>>
  readonly resource?: Readonly<Record<string, string>>
}

/** Shows the spans to the consumer as one request, each with a resource of its own. */
export function views(consumer: SpanConsumer, sent: readonly Sent[]): void {
  const { wants } = consumer
  consumer.bound?.({ span: wants.span.map((_, i) => i), resource: wants.resource.map((_, i) => i) })
  const request = { signal: 'traces', encoding: 'protobuf', bytes: Buffer.alloc(0), items: sent.length } as const
  consumer.begin?.(request)
  for (const [serial, span] of sent.entries()) {
    const parts: Buffer[] = []
    let length = 0
    const put = (bytes: Buffer): [number, number] => {
      parts.push(bytes)
      length += bytes.length
      return [length - bytes.length, length]
    }
    const view = (
      wanted: readonly string[],
      values: Readonly<Record<string, string | number | undefined>>,
    ): AttributeView => {
      const found = wanted.map(key => values[key])
      const places = found.map(value => (value === undefined ? [0, 0] : put(encoded(value))))
      return {
        type: Uint8Array.from(found, value => (value === undefined ? 0 : typeof value === 'string' ? 1 : 3)),
        start: Uint32Array.from(places, ([start]) => start!),
        end: Uint32Array.from(places, ([, end]) => end!),
      }
    }
    const ids = put(Buffer.alloc(24, span.id ?? 1))
    const name = put(Buffer.from(span.name))
    const spanAttributes = view(wants.span, span.attributes ?? {})
    const resourceAttributes = view(wants.resource, { ...span.resource, 'service.name': span.service })
    consumer.span({
      bytes: Buffer.concat(parts),
      start: 0,
      end: 100,
      traceId: ids[0],
      spanId: ids[0] + 16,
      parentSpanId: -1,
      nameStart: name[0],
      nameEnd: name[1],
      kind: span.kind,
      status: span.status ?? 0,
      seconds: span.seconds ?? 0.001,
      endSeconds: 1_750_000_000,
      spanAttributes,
      resourceAttributes,
      resourceSerial: serial,
    })
  }
  consumer.end?.(request)
}

/** A text as its bytes; a whole number as an AnyValue message (int_value = 3). */
function encoded(value: string | number): Buffer {
  if (typeof value === 'string') return Buffer.from(value)
  const bytes = [0x18]
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    bytes.push(rest > 127 ? (rest & 127) | 128 : rest)
    if (rest <= 127) return Buffer.from(bytes)
  }
}
