// The stock Node SDK, configured by its environment variables alone, sends what `interop.test.ts` expects, and ends.

import { logs, metrics, SeverityNumber, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { NodeSDK } from '@opentelemetry/sdk-node'

const sdk = new NodeSDK()
sdk.start()
const start = Date.now() - 10_000
const tracer = trace.getTracer('interop')
for (let n = 0; n < 600; n += 1) {
  const span = tracer.startSpan('GET /orders', { kind: SpanKind.SERVER, startTime: start })
  if (n % 100 === 0) span.setStatus({ code: SpanStatusCode.ERROR, message: 'no more orders' })
  span.end(start + 250)
}

const meter = metrics.getMeter('interop')
const orders = meter.createCounter('interop.orders', { unit: '{order}' })
for (const [shop, count] of [
  ['north', 10],
  ['south', 20],
  ['west', 30],
] as const)
  orders.add(count, { shop })
const wait = meter.createHistogram('interop.wait', { unit: 's' })
for (const seconds of [0.25, 0.5, 2]) wait.record(seconds)
meter.createObservableGauge('interop.queue').addCallback(queue => queue.observe(7))

const logger = logs.getLogger('interop')
for (let n = 0; n < 300; n += 1) {
  const severityNumber = n % 3 === 0 ? SeverityNumber.ERROR : SeverityNumber.INFO
  logger.emit({ severityNumber, body: `order ${n}`, attributes: { order: n } })
}
await sdk.shutdown()
