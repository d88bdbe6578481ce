// The sidecar's own spans, made with OpenTelemetry's SDK: of its probes, scrapes, pushes and reloads. Loaded only if they are
// asked for: the SDK needs more memory than all the rest of the sidecar.
//
// They are posted to our own receiver, so they are checked, kept, forwarded and counted like those of the application. A mark in
// the tracestate, random for each process, tells them apart. Nothing about taking in or exporting spans is traced, so no span
// begets another one.

import { createTraceState, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { NodeSDK } from '@opentelemetry/sdk-node'
import { OWN_TRACESTATE } from '../telemetry/probe.ts'
import { type Tracer, UNRECORDED } from '../telemetry/tracer.ts'

export interface Recording extends Tracer, AsyncDisposable {}

const KINDS = { internal: SpanKind.INTERNAL, client: SpanKind.CLIENT, server: SpanKind.SERVER } as const
/** SamplingDecision.RECORD_AND_SAMPLED, in the SDK's own package for sampling, which is not ours to depend on. */
const SAMPLED = 2

/**
 * `endpoint` is the base URL of an OTLP/HTTP receiver. Disposing sends the spans that are still waiting, for a limited time.
 */
export function record(endpoint: string, version: string): Recording {
  const url = `${endpoint.replace(/\/+$/, '')}/v1/traces`
  const sdk = new NodeSDK({
    serviceName: 'pillion',
    traceExporter: new OTLPTraceExporter({ url, timeoutMillis: 5_000 }),
    // OTEL_TRACES_SAMPLER is meant for the application.
    sampler: {
      shouldSample: () => ({ decision: SAMPLED, traceState: createTraceState(OWN_TRACESTATE) }),
      toString: () => 'pillion',
    },
    // Only these spans: no metrics, no logs, no patched modules, and no propagation besides the header of each request.
    metricReaders: [],
    logRecordProcessors: [],
    instrumentations: [],
    resourceDetectors: [],
    textMapPropagator: null,
  })
  sdk.start()
  const tracer = trace.getTracer('pillion', version)
  return {
    begin(name, kind, attributes = {}) {
      const span = tracer.startSpan(name, { kind: KINDS[kind], root: true, attributes })
      const { traceId, spanId, traceFlags } = span.spanContext()
      // OTEL_SDK_DISABLED leaves a tracer whose ids are all zeros, which no receiver accepts.
      if (/^0+$/.test(traceId)) return UNRECORDED.begin(name, kind)
      return {
        traceparent: `00-${traceId}-${spanId}-0${traceFlags & 1}`,
        recorded: true,
        end({ attributes = {}, problem } = {}) {
          span.setAttributes(attributes)
          if (problem !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: problem })
          span.end()
        },
      }
    },
    async [Symbol.asyncDispose]() {
      // The exporter's own timeout bounds this; a receiver that is away is not an error of ours.
      await sdk.shutdown().catch(() => {})
      trace.disable()
    },
  }
}
