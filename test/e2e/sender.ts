// A program of its own: the stock OpenTelemetry Node SDK sends spans of known durations to OTEL_EXPORTER_OTLP_ENDPOINT, in
// the encoding of OTEL_EXPORTER_OTLP_PROTOCOL, and ends.

import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { NodeSDK } from '@opentelemetry/sdk-node'

const sdk = new NodeSDK()
sdk.start()
const tracer = trace.getTracer('sender')
const start = Date.now() - 10_000

// 0.125, 0.25, … have exact sums in binary; 600 spans are more than one batch of 512.
for (let n = 0; n < 600; n += 1) {
  const span = tracer.startSpan('GET /orders', { kind: SpanKind.SERVER, startTime: start })
  if (n % 100 === 0) span.setStatus({ code: SpanStatusCode.ERROR, message: 'no more orders' })
  span.end(start + (n % 2 === 0 ? 125 : 250))
}
tracer.startSpan('backwards', { startTime: start }).end(start - 1000)
await sdk.shutdown()
