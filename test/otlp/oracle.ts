// The published OTLP schema in protobufjs, which agrees with Google's own parser: what the product's decoder is held against.

import protobuf from 'protobufjs'

const folder = new URL('proto/', import.meta.url)
const root = new protobuf.Root()
root.resolvePath = (_, target) => new URL(target, folder).pathname
const service = (name: string) => `opentelemetry/proto/collector/${name}/v1/${name}_service.proto`
root.loadSync(['trace', 'metrics', 'logs'].map(service))

const TYPES = {
  traces: root.lookupType('opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest'),
  metrics: root.lookupType('opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest'),
  logs: root.lookupType('opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest'),
}

/** The type of a signal's request. */
export function decoder(signal: keyof typeof TYPES): protobuf.Type {
  return TYPES[signal]
}
