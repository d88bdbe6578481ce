// The published OTLP schema in protobufjs, which agrees with Google's own parser: what the product's decoder is held against.

import protobuf from 'protobufjs'

const folder = new URL('proto/', import.meta.url)
export const root = new protobuf.Root()
root.resolvePath = (_, target) => new URL(target, folder).pathname
const service = (name: string) => `opentelemetry/proto/collector/${name}/v1/${name}_service.proto`
root.loadSync(['trace', 'metrics', 'logs'].map(service))

const TYPES = {
  traces: root.lookupType('opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest'),
  metrics: root.lookupType('opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest'),
  logs: root.lookupType('opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest'),
}
const ANY = root.lookupType('opentelemetry.proto.common.v1.AnyValue')

/** The type of a signal's request. */
export function decoder(signal: keyof typeof TYPES): protobuf.Type {
  return TYPES[signal]
}

/** A decoded AnyValue. */
export function valueIn(bytes: Buffer): protobuf.Message {
  return ANY.decode(bytes)
}

// Two places where the product deliberately differs from protobufjs, and the oracle is made to follow.
for (const each of [protobuf.Reader.prototype, protobuf.BufferReader.prototype]) {
  const reader: {
    string(): string
    stringVerify?: () => string
    skip(length?: number): unknown
    pos: number
    len: number
    buf: Uint8Array
  } = each
  // Text that is not UTF-8 is accepted: one bad attribute must not cost a batch of good spans.
  reader.stringVerify = reader.string
  // protobufjs skips numbers of any length; Google's parsers refuse more than ten bytes, known field or not.
  const skip = reader.skip
  reader.skip = function (length) {
    const start = this.pos
    if (length === undefined) {
      let more = 0
      while (start + more < this.len && this.buf[start + more]! >= 128) if (++more === 10) throw new Error('too long')
    }
    return skip.call(this, length)
  }
}
