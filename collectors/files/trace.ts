// The trace that a line belongs to, as loggers and agents write it. Only 32 hexadecimal digits that are not all zero are taken
// as a trace id; anything else (Datadog's decimal ids, AWS's header) stays an attribute like any other.

/** The keys of structured lines. */
export const TRACE_KEYS: ReadonlySet<string> = new Set([
  'trace_id',
  'traceId',
  'traceID',
  'TraceId',
  'trace.id',
  'otelTraceID',
  'otel_trace_id',
  '@tr',
])
export const SPAN_KEYS: ReadonlySet<string> = new Set([
  'span_id',
  'spanId',
  'spanID',
  'SpanId',
  'span.id',
  'otelSpanID',
  'otel_span_id',
  '@sp',
])

export function isTraceId(value: unknown): value is string {
  return typeof value === 'string' && /^[\da-f]{32}$/i.test(value) && !/^0+$/.test(value)
}

export function isSpanId(value: unknown): value is string {
  return typeof value === 'string' && /^[\da-f]{16}$/i.test(value) && !/^0+$/.test(value)
}

/** https://www.w3.org/TR/trace-context/#traceparent-header */
export function readTraceparent(value: unknown): { readonly traceId: string; readonly spanId: string } | undefined {
  if (typeof value !== 'string') return undefined
  const [, version, traceId, spanId] = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-[\da-f]{2}(?:-|$)/.exec(value) ?? []
  return version !== 'ff' && isTraceId(traceId) && isSpanId(spanId) ? { traceId, spanId } : undefined
}

/** The ids in a line of text: "trace_id=…", "traceId: …", "traceparent=…". */
export function traceIn(text: string): { readonly traceId: string; readonly spanId: string | undefined } | undefined {
  const [, parent] = /traceparent["']?\s{0,4}[:=]\s{0,4}["']?([\da-f-]{55})/i.exec(text) ?? []
  const context = readTraceparent(parent)
  if (context) return context
  const [, traceId] = /trace[._-]?id["']?\s{0,4}[:=]\s{0,4}["']?([\da-f]{32})(?![\da-f])/i.exec(text) ?? []
  if (!isTraceId(traceId)) return undefined
  const [, spanId] = /span[._-]?id["']?\s{0,4}[:=]\s{0,4}["']?([\da-f]{16})(?![\da-f])/i.exec(text) ?? []
  return { traceId, spanId: isSpanId(spanId) ? spanId : undefined }
}
