// Families of the tap. Requests by route, their durations and outcomes are request metrics, made of its spans.

import { counter, type Family, gauge, histogram } from '../../metrics/family.ts'
import { SIZE_BUCKETS, WAIT_BUCKETS } from './numbers.ts'

export const up = gauge('app_tap_up', 'Whether the tap answers the sidecar. It relays all the same if not.')
export const open = gauge('app_tap_connections', 'Connections of clients that are open through the tap.')
export const connections = counter('app_tap_connections_total', 'Connections of clients that the tap has accepted.')
export const refusedConnections = counter(
  'app_tap_refused_connections_total',
  'Connections that the tap did not take, by reason: limit = there are tap.max_connections, error = no descriptors.',
  ['reason'],
)
export const unreachable = counter(
  'app_tap_unreachable_total',
  'Connections whose client was reset because the application could not be reached, by reason.',
  ['reason'],
)
export const resets = counter('app_tap_resets_total', 'Connections that were reset, by the side that did it.', ['side'])
export const expired = counter(
  'app_tap_expired_connections_total',
  'Connections closed after tap.half_closed_timeout, since one side had ended and nothing passed.',
)
export const opaque = counter(
  'app_tap_opaque_connections_total',
  'Connections whose requests are not seen (any more), by reason: tls, http2 and upgrade are other protocols; head and length are heads or bodies that servers read in different ways or that are too long; not_http and unexpected are anything else; busy = too many requests or incomplete heads at once; error is a mistake of the tap. Their bytes pass all the same.',
  ['reason'],
)
export const requests = counter(
  'app_tap_requests_total',
  'Requests whose answer has passed through the tap, by class of the status.',
  ['class'],
)
export const unanswered = counter(
  'app_tap_unanswered_requests_total',
  'Requests without a whole answer, by the side that ended the connection.',
  ['side'],
)
export const inFlight = gauge('app_tap_requests_in_flight', 'Requests that the application has not answered yet.')
export const wait = histogram(
  'app_tap_wait_seconds',
  'Time from the last byte of a request to the first byte of its answer, which slow clients do not lengthen.',
  [],
  WAIT_BUCKETS,
)
export const requestSize = histogram('app_tap_request_size_bytes', 'Bytes of request bodies.', [], SIZE_BUCKETS)
export const responseSize = histogram(
  'app_tap_response_size_bytes',
  'Bytes of the bodies of answers.',
  [],
  SIZE_BUCKETS,
)
export const relayed = counter('app_tap_relayed_bytes_total', 'Bytes that came from each side.', ['side'])

export const spans = counter('pillion_tap_spans_total', 'Spans of the tap that a receiver has taken.')
export const droppedSpans = counter(
  'pillion_tap_dropped_spans_total',
  'Spans of the tap that no receiver has: full = more than tap.max_pending waited, refused = the receiver did not want them.',
  ['reason'],
)
export const cpu = counter('pillion_tap_cpu_seconds_total', 'CPU time of the tap.')
export const memory = gauge('pillion_tap_resident_memory_bytes', 'Resident memory of the tap.')
export const starts = counter(
  'pillion_tap_restarts_total',
  'Times that this sidecar has started the tap again because it had ended.',
)

export const tapFamilies: readonly Family[] = [
  up,
  open,
  connections,
  refusedConnections,
  unreachable,
  resets,
  expired,
  opaque,
  requests,
  unanswered,
  inFlight,
  wait,
  requestSize,
  responseSize,
  relayed,
  spans,
  droppedSpans,
  cpu,
  memory,
  starts,
]
