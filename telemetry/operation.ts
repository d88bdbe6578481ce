// The name of an operation: the same words wherever it is named.

export interface Operation {
  readonly service: string
  /** The span's name. */
  readonly name: string
  /** SPAN_KIND_SERVER, … */
  readonly kind: string
  /** For client and producer spans: what is at the other end, by its attributes; empty if they do not name it. */
  readonly peer: string
}
