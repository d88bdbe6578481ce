// The metrics of the push about itself.

import { counter, gauge } from '../../metrics/family.ts'

export const pushed = counter(
  'pillion_push_samples_total',
  'Samples (remote write) or data points (OTLP) that the receiver of the push has taken.',
)
export const pushDropped = counter(
  'pillion_push_dropped_samples_total',
  'Samples or data points that were not delivered, by reason. Counters lose nothing by it: the next push has their totals.',
  ['reason'],
)
export const pushRequests = counter(
  'pillion_push_requests_total',
  'Requests of the push, by the HTTP status of the answer or the reason why there was none.',
  ['code'],
)
export const pushSkipped = counter(
  'pillion_push_skipped_total',
  'Pushes that were not made, by reason: memory = the page does not fit into the memory budget; collect = the page could not be made; waiting = the receiver has asked to wait.',
  ['reason'],
)
export const pushSuccess = gauge(
  'pillion_push_last_success_timestamp_seconds',
  'Time of the last page that was delivered as a whole, in seconds since the epoch; 0 before the first one.',
)
export const pushFailing = gauge(
  'pillion_push_failing',
  '1 if the last push was not delivered as a whole, 0 if it was.',
)
export const pushDuration = gauge(
  'pillion_push_duration_seconds',
  'Time from the beginning of the last push to its last answer, in seconds, with its retries.',
)
export const pushBytes = counter('pillion_push_sent_bytes_total', 'Bytes of the bodies that were sent, compressed.')

export const families = [
  pushed,
  pushDropped,
  pushRequests,
  pushSkipped,
  pushSuccess,
  pushFailing,
  pushDuration,
  pushBytes,
]

/**
 * Why samples are not delivered. superseded: the next page was due before the receiver took this one; rejected: refused for
 * good; partial: refused within a request that was taken otherwise; too_large: the request; auth: the credentials; not_supported:
 * the receiver does not know the path or the format; redirect: it points elsewhere; shutdown: the sidecar has ended.
 */
export const DROP_REASONS = [
  'superseded',
  'rejected',
  'partial',
  'too_large',
  'auth',
  'not_supported',
  'redirect',
  'shutdown',
] as const
export type DropReason = (typeof DROP_REASONS)[number]

export const SKIP_REASONS = ['memory', 'collect', 'waiting'] as const
