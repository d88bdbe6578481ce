// The bands above the spans of slow requests that were looked at: for each span, when which cause prevailed.

/** Slow requests whose bands are kept. */
const KEPT = 200
/** Spans of a request, and bands of a span. */
const MOST_BANDS = 200
/**
 * Spans and bands of all requests together, of about 100 bytes each. The newest trace stays in any case, and may
 * have twice as many.
 */
const MOST_HELD = 20_000

export interface SpanCauses {
  /** In hex. */
  readonly span_id: string
  readonly causes: readonly {
    readonly cause: string
    /** Milliseconds since the epoch. */
    readonly from: number
    readonly to: number | null
    readonly seconds: number
  }[]
}

export class Bands {
  readonly #traces = new Map<string, SpanCauses[]>()
  #held = 0

  /** Adds what is known about a request of a trace, by its id in hex. The oldest traces give way. */
  add(trace: string, spans: readonly SpanCauses[]): void {
    const cut = spans.map(span =>
      span.causes.length <= MOST_BANDS ? span : { ...span, causes: span.causes.slice(0, MOST_BANDS) },
    )
    const all = [...this.of(trace), ...cut].slice(-MOST_BANDS)
    this.#remove(trace)
    this.#traces.set(trace, all)
    this.#held += weight(all)
    for (const oldest of this.#traces.keys()) {
      if (oldest === trace || (this.#traces.size <= KEPT && this.#held <= MOST_HELD)) break
      this.#remove(oldest)
    }
  }

  of(trace: string): readonly SpanCauses[] {
    return this.#traces.get(trace) ?? []
  }

  #remove(trace: string): void {
    this.#held -= weight(this.of(trace))
    this.#traces.delete(trace)
  }
}

function weight(spans: readonly SpanCauses[]): number {
  return spans.reduce((sum, span) => sum + 1 + span.causes.length, 0)
}
