// The OTLP doors: requests of an application's SDK come in here, are checked once, and are visited once.

/** One OTLP request as it came, and the same as protobuf. The bytes are immutable: consumers may keep them. */
export interface ExportRequest {
  readonly signal: 'traces' | 'metrics' | 'logs'
  readonly encoding: 'protobuf' | 'json'
  /** The Export…ServiceRequest in protobuf; JSON requests are transcoded at the door, so that there is one way to visit. */
  readonly bytes: Uint8Array
  /** Spans, data points or log records in it. */
  readonly items: number
}

/**
 * Takes the spans of each accepted request. The door has checked the whole request first, so nothing that follows can
 * fail half way. Calls are synchronous: `begin`, `span` for each span in wire order, `end`.
 */
export interface SpanConsumer {
  /** Attribute keys whose values the views must carry. Fixed from the start on; the door unites what its consumers want. */
  readonly wants: { readonly span: readonly string[]; readonly resource: readonly string[] }
  /** Called once, before the first span: where each wanted key stands in the views. */
  bound?(positions: { readonly span: readonly number[]; readonly resource: readonly number[] }): void
  begin?(request: ExportRequest): void
  /** The view is reused: it is valid only during the call, and so are its bytes' offsets. */
  span(view: SpanView): void
  end?(request: ExportRequest): void
}

/**
 * One span inside the bytes of its request, as offsets rather than objects. A pair [start, end) of 0, 0 means that the
 * field is absent or empty.
 */
export interface SpanView {
  /** The request's bytes; every offset below counts from its beginning. */
  readonly bytes: Buffer
  /** The Span message itself, without its tag and length. */
  readonly start: number
  readonly end: number
  /** Offset of the 16-byte trace id, of the 8-byte span id; of the parent's id, or -1 for a root span. */
  readonly traceId: number
  readonly spanId: number
  readonly parentSpanId: number
  readonly nameStart: number
  readonly nameEnd: number
  /** SpanKind 0–5; other values are given as 0. */
  readonly kind: number
  /** Status code: 0 unset, 1 ok, 2 error. */
  readonly status: number
  /** Seconds from start to end, exact to the nanosecond; 0 when the span ends before it starts. */
  readonly seconds: number
  /** End of the span in seconds since the epoch, for exemplar timestamps. */
  readonly endSeconds: number
  /** Values of the wanted attributes, at the positions given to `bound`. */
  readonly spanAttributes: AttributeView
  readonly resourceAttributes: AttributeView
  /** Changes when the resource changes: what was computed for a resource can be kept until then. */
  readonly resourceSerial: number
}

/** Values of wanted attributes: type 0 = absent, 1 = string, 2 = bool, 3 = int, 4 = double, 5 = other. */
export interface AttributeView {
  readonly type: Uint8Array
  /** For strings: the offsets of the text. For the rest: the offsets of the encoded AnyValue. */
  readonly start: Uint32Array
  readonly end: Uint32Array
}
