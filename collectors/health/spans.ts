// The sidecar's own spans of its probes, through OpenTelemetry's SDK. Loaded only when there is an upstream to send them
// to: the SDK costs more memory than everything else here together.

import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { NodeSDK } from '@opentelemetry/sdk-node'
import { type ProbeSpans, UNRECORDED } from './trace.ts'
import { PHASES, type Verdict } from './verdict.ts'

export interface Upstream {
  /** Base URL of an OTLP/HTTP receiver; "/v1/traces" is appended. */
  readonly endpoint: string
  readonly headers?: Readonly<Record<string, string>>
  readonly version: string
}

/** Disposing sends what is still waiting, for a bounded time. */
export function openSpans(upstream: Upstream): ProbeSpans & AsyncDisposable {
  const url = `${upstream.endpoint.replace(/\/+$/, '')}/v1/traces`
  const sdk = new NodeSDK({
    serviceName: 'pillion',
    traceExporter: new OTLPTraceExporter({ url, headers: { ...upstream.headers }, timeoutMillis: 5_000 }),
    // Nothing but these spans: no metrics, no logs, no patched modules, and no propagation beyond the probes' own header.
    metricReaders: [],
    logRecordProcessors: [],
    instrumentations: [],
    resourceDetectors: [],
    textMapPropagator: null,
  })
  sdk.start()
  const tracer = trace.getTracer('pillion-health', upstream.version)
  return {
    begin({ name, kind, target }) {
      const span = tracer.startSpan(`probe ${name}`, {
        kind: SpanKind.CLIENT,
        root: true,
        attributes: { 'pillion.probe.name': name, 'pillion.probe.kind': kind, 'pillion.probe.target': target },
      })
      const { traceId, spanId, traceFlags } = span.spanContext()
      // OTEL_SDK_DISABLED leaves a tracer whose ids are all zeros, which no receiver accepts.
      if (/^0+$/.test(traceId)) return UNRECORDED.begin({ name, kind, target })
      return {
        traceparent: `00-${traceId}-${spanId}-0${traceFlags & 1}`,
        end(verdict) {
          span.setAttributes(attributes(verdict))
          if (!verdict.ok) span.setStatus({ code: SpanStatusCode.ERROR, message: verdict.detail })
          span.end()
        },
      }
    },
    async [Symbol.asyncDispose]() {
      // The exporter's own timeout bounds this; an upstream that is away is not an error of ours.
      await sdk.shutdown().catch(() => {})
      trace.disable()
    },
  }
}

function attributes(verdict: Verdict): Record<string, string | number> {
  const found: Record<string, string | number> = {}
  if (!verdict.ok) found['error.type'] = verdict.reason
  if (verdict.status !== undefined) found['pillion.probe.status'] = verdict.status
  for (const phase of PHASES)
    if (verdict.phases[phase] > 0) found[`pillion.probe.phase.${phase}`] = verdict.phases[phase]
  return found
}
