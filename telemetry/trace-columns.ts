// A trace to be drawn, as the trace store hands it to the page: one array for each property, with a place for each span. So a
// trace of 10,000 spans is a few hundred kilobytes of JSON, and needs no object for each span on either side.

export interface TraceColumns {
  /** 32 hexadecimal digits, lower case. */
  readonly traceId: string
  /** When the first span starts: nanoseconds since the epoch, as text, since a double is not exact. All times count from it. */
  readonly startUnixNano: string
  /** Why this is not the whole trace; absent if it is, as far as can be known. */
  readonly partial?: string
  /** Names of services and of spans, without repetition. */
  readonly services: readonly string[]
  readonly names: readonly string[]

  // A place for each span, in the order of their starts.
  /** 16 hexadecimal digits. */
  readonly spanId: readonly string[]
  /** The place of the parent; NO_PARENT for a root, MISSING for a span whose parent is not here. */
  readonly parent: readonly number[]
  /** Microseconds, with nanoseconds as the fraction. */
  readonly start: readonly number[]
  /** Microseconds; 0 for a span that ends before it starts. */
  readonly duration: readonly number[]
  /** Places in `services` and `names`. */
  readonly service: readonly number[]
  readonly name: readonly number[]
  /** OTLP's numbers. */
  readonly kind: readonly number[]
  readonly status: readonly number[]

  /** The ids of parents that are not here, by the place of the span that names them. */
  readonly missing: Readonly<Record<number, string>>
  /** Events: the place of the span, microseconds, and the name. */
  readonly events: readonly (readonly [span: number, time: number, name: string])[]
  /** Events that were left out, since there are too many. */
  readonly eventsLeftOut: number
}

export const NO_PARENT = -1
export const MISSING = -2
