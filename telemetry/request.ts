// One OTLP request, as the stages hand it to each other.

export const SIGNALS = ['traces', 'metrics', 'logs'] as const
export type Signal = (typeof SIGNALS)[number]

/**
 * A request that has passed the check, built once and handed to every consumer. Its bytes are lent: the memory is used
 * again for the next request, so they are valid only during the call. A consumer copies what it keeps.
 */
export interface Request {
  readonly signal: Signal
  /** The Export…ServiceRequest in protobuf. JSON is transcoded by the receiver, so that there is one way to read. */
  readonly bytes: Buffer
  /** Spans, data points or log records in it. */
  readonly items: number
  /** When it came in, in milliseconds since the epoch. The parts of a large request share the time of the whole. */
  readonly received: number
}
