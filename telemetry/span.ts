// The meaning of the numbers in a span (opentelemetry/proto/trace/v1/trace.proto), and how Prometheus labels spell them.

import type { SpanView } from './consumer.ts'

export const KIND = { unspecified: 0, internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const
export const STATUS = { unset: 0, ok: 1, error: 2 } as const

/** The names of the kinds and statuses in OTLP, by their numbers. */
export const KIND_NAMES = names('SPAN_KIND_', KIND)
export const STATUS_NAMES = names('STATUS_CODE_', STATUS)

/**
 * An attribute of spans that are made from what does not say how long a request took, such as an access log without durations:
 * they are counted, and start and end are one time, but that is no measurement.
 */
export const UNTIMED = 'pillion.untimed'

/** Flags of a span: the parent's place is known, and it is in another process. */
export const PARENT_KNOWN = 0x100
export const PARENT_REMOTE = 0x200

/**
 * Whether the span is a local root: where its trace enters this process. Without flags that tell where the parent is, a server
 * or a consumer is taken for one.
 */
export function isLocalRoot({ parentSpanId, flags, kind }: Pick<SpanView, 'parentSpanId' | 'flags' | 'kind'>): boolean {
  return entersHere(parentSpanId, flags, kind)
}

/** The same; `parent` is negative if there is none. */
export function entersHere(parent: number, flags: number, kind: number): boolean {
  if (parent < 0) return true
  if (flags & PARENT_KNOWN) return (flags & PARENT_REMOTE) !== 0
  return kind === KIND.server || kind === KIND.consumer
}

function names(prefix: string, numbers: Readonly<Record<string, number>>): readonly string[] {
  return Object.keys(numbers).map(name => prefix + name.toUpperCase())
}
