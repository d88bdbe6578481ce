// The numbers of a tap since its start. It tells the sidecar all of them each time it is asked, so that nothing is lost
// while there is no sidecar.

import type { Opaque } from './watch.ts'

export const OPAQUE: readonly Opaque[] = [
  'tls',
  'http2',
  'upgrade',
  'connect',
  'not_http',
  'head',
  'length',
  'unexpected',
  'busy',
  'error',
]
export const UNREACHABLE = ['refused', 'timeout', 'error'] as const
export const REFUSED = ['limit', 'error'] as const
export const SIDES = ['client', 'application'] as const
export const CLASSES = ['1xx', '2xx', '3xx', '4xx', '5xx'] as const
export const DROPPED = ['full', 'refused'] as const

/** Upper bounds in seconds, and in bytes. */
export const WAIT_BUCKETS = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
export const SIZE_BUCKETS = [0, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216]

/** A distribution: the number of values up to each bound and above the one before, and above the last one. */
export interface Distribution {
  readonly counts: number[]
  sum: number
}

export class Numbers {
  connections = 0
  expired = 0
  requestBytes = 0
  responseBytes = 0
  readonly refusedConnections = zeros(REFUSED)
  readonly unreachable = zeros(UNREACHABLE)
  readonly resets = zeros(SIDES)
  readonly opaque = zeros(OPAQUE)
  /** Requests that were answered, by the class of their status. */
  readonly requests = zeros(CLASSES)
  /** Requests without a whole answer, by the side that closed the connection. */
  readonly unanswered = zeros(SIDES)
  inFlight = 0
  readonly wait = distribution(WAIT_BUCKETS)
  readonly requestSize = distribution(SIZE_BUCKETS)
  readonly responseSize = distribution(SIZE_BUCKETS)
  spans = 0
  readonly droppedSpans = zeros(DROPPED)

  refused(reason: (typeof REFUSED)[number]): void {
    this.refusedConnections[reason]++
  }
}

export function add(to: Distribution, bounds: readonly number[], value: number): void {
  let at = 0
  while (at < bounds.length && value > bounds[at]!) at++
  to.counts[at]!++
  to.sum += value
}

function zeros<const Key extends string>(keys: readonly Key[]): Record<Key, number> {
  return Object.fromEntries(keys.map(key => [key, 0])) as Record<Key, number>
}

function distribution(bounds: readonly number[]): Distribution {
  return { counts: new Array(bounds.length + 1).fill(0), sum: 0 }
}
