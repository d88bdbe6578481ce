// The common part of the three encodings: metrics are added until a request is large enough.

import type { Metric } from './metric.ts'

/** One request under construction. */
export interface Encoder {
  /** Plain bytes so far. */
  readonly bytes: number
  /** Samples (remote write) or data points (OTLP) so far. */
  readonly samples: number
  /** `start` is when the metric began to count, in seconds since the epoch, or 0. */
  add(metric: Metric, start: number): void
  /** The message, plain. The encoder must not be used afterwards. */
  finish(): Buffer
}

/** A request ends with the metric that takes it beyond this size. */
export const REQUEST_BYTES = 512 * 1024
/** The most that one metric can add is far below this; a writer needs some bound. */
export const MOST_BYTES = 64 * 1024 * 1024

/** Prometheus' marker for a series that has ended, as two halves of a double: a NaN that no computation yields. */
export const STALE = { low: 2, high: 0x7ff00000 } as const
