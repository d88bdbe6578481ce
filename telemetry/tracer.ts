// The sidecar's own spans: of its probes, scrapes, pushes and reloads. They are recorded only if the operator asks for it; the
// assembly knows how.

export interface Tracer {
  begin(name: string, kind: 'internal' | 'client' | 'server', attributes?: Attributes): OwnSpan
}

export type Attributes = Readonly<Record<string, string | number>>

export interface OwnSpan {
  /** W3C trace context that continues this span. It has ids of its own even if the span is not recorded; then it is not sampled. */
  readonly traceparent: string
  readonly recorded: boolean
  /** `problem` makes it an error, and says what went wrong. */
  end(outcome?: { readonly attributes?: Attributes; readonly problem?: string }): void
}

/** Spans that are recorded nowhere. */
export const UNRECORDED: Tracer = {
  begin: () => new Unrecorded(),
}

class Unrecorded implements OwnSpan {
  readonly recorded = false
  /** Made when it is asked for: scrapes send none. */
  #traceparent: string | undefined

  get traceparent(): string {
    // Not sampled (00): a parent-based sampler would otherwise record every probe and all calls below it, even if it is set
    // to record a small share of the requests.
    this.#traceparent ??= `00-${randomId(16)}-${randomId(8)}-00`
    return this.#traceparent
  }

  end(): void {}
}

/** Unique, not secret: node:crypto would cost 3 MiB in every sidecar. */
function randomId(bytes: number): string {
  const id = Buffer.from(Uint8Array.from({ length: bytes }, () => Math.random() * 256))
  // All zeros is the one invalid id.
  id[0] = id[0]! | 1
  return id.toString('hex')
}
