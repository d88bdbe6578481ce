// The stock OpenTelemetry SDK, started before the service by `node --import ./telemetry.js`. Everything else is said by
// the usual variables: OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_BSP_SCHEDULE_DELAY, OTEL_LOGS_EXPORTER.

import { subscribe } from 'node:diagnostics_channel'
import { register } from 'node:module'
import { logs, SeverityNumber, trace } from '@opentelemetry/api'
import { getNodeAutoInstrumentations } from '@opentelemetry/auto-instrumentations-node'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { NodeSDK } from '@opentelemetry/sdk-node'

// This shop sends traces, and logs with OTEL_LOGS_EXPORTER=otlp; unset, the SDK would send metrics as well.
process.env.OTEL_METRICS_EXPORTER ??= 'none'
process.env.OTEL_LOGS_EXPORTER ??= 'none'

// ES modules are instrumented by a loader hook. The package that holds it comes with the auto-instrumentations.
register('@opentelemetry/instrumentation/hook.mjs', import.meta.resolve('@opentelemetry/auto-instrumentations-node'))

const sdk = new NodeSDK({
  traceExporter: new OTLPTraceExporter(),
  instrumentations: getNodeAutoInstrumentations({
    '@opentelemetry/instrumentation-fs': { enabled: false },
    '@opentelemetry/instrumentation-dns': { enabled: false },
    '@opentelemetry/instrumentation-net': { enabled: false },
    '@opentelemetry/instrumentation-http': {
      // node:http knows no routes, so a server span would be called "GET"; frameworks fill this in themselves.
      applyCustomAttributesOnSpan(span, request) {
        if (request.route === undefined) return
        span.setAttribute('http.route', request.route)
        span.updateName(`${request.method} ${request.route}`)
      },
    },
  }),
})
sdk.start()

// Log records of the services carry the ids of the span that they belong to; an error is recorded in that span too, as
// a framework's instrumentation would do it.
const logger = logs.getLogger('shop')
subscribe('shop:log', ({ severity, text, error }) => {
  logger.emit({
    severityText: severity,
    severityNumber: SeverityNumber[severity],
    body: text,
    ...(error && {
      attributes: {
        'exception.type': error.name,
        'exception.message': error.message,
        'exception.stacktrace': error.stack,
      },
    }),
  })
  if (error) trace.getActiveSpan()?.recordException(error)
})

// A service closes its server on SIGTERM; when nothing is left to do, the last spans are sent.
process.once('beforeExit', () => sdk.shutdown().catch(error => console.error(`cannot send the last spans: ${error}`)))
