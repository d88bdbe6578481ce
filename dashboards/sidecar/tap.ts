// The row of the tap: what passes through it, what it does not see, and what it costs. The requests that it sees are
// on the boards of requests.

import * as tap from '../../collectors/tap.ts'
import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { quantile, sum } from '../promql.ts'
import { series } from '../query.ts'
import { NO_TAP } from '../terms.ts'

const sizes = (family: typeof tap.requestSize | typeof tap.responseSize) =>
  quantile(0.9, sum(chosen.buckets(family), ['le']))
const waited = (q: number) => quantile(q, sum(chosen.buckets(tap.wait), ['le']))

export const tapRow: Row = folded(2200, 'The tap', [
  lines({
    id: 220,
    title: 'Connections through the tap',
    about:
      'Taps that answer (app_tap_up), connections of clients that are open (app_tap_connections), and requests that are not answered yet (app_tap_requests_in_flight).',
    unit: 'short',
    queries: [
      series(sum(chosen.value(tap.up)), 'taps that answer'),
      series(sum(chosen.value(tap.open)), 'connections'),
      series(sum(chosen.value(tap.inFlight)), 'requests in flight'),
    ],
    empty: NO_TAP,
  }),
  lines({
    id: 221,
    title: 'Requests through the tap',
    about:
      'Requests per second by class of the status (app_tap_requests_total), and those without a whole answer (app_tap_unanswered_requests_total) by the side that ended the connection.',
    unit: 'reqps',
    queries: [
      series(sum(chosen.rate(tap.requests), ['class']), '{{class}}'),
      series(sum(chosen.rate(tap.unanswered), ['side']), 'unanswered: {{side}} closed'),
    ],
    empty: NO_TAP,
  }),
  lines({
    id: 222,
    title: 'Time until the first byte of the answer',
    about:
      'From the last byte of a request to the first byte of its answer (app_tap_wait_seconds). Unlike the latency of spans, slow clients do not lengthen it.',
    unit: 's',
    queries: [
      series(waited(0.5), 'half of them within'),
      series(waited(0.9), '90 % within'),
      series(waited(0.99), '99 % within'),
    ],
    empty: NO_TAP,
  }),
  lines({
    id: 223,
    title: 'Sizes of bodies',
    about: '90 % of the bodies are smaller (app_tap_request_size_bytes, app_tap_response_size_bytes).',
    unit: 'bytes',
    queries: [series(sizes(tap.requestSize), 'requests'), series(sizes(tap.responseSize), 'answers')],
    empty: NO_TAP,
  }),
  lines({
    id: 224,
    title: 'Bytes through the tap',
    about: 'Bytes per second from each side (app_tap_relayed_bytes_total), whatever they are.',
    unit: 'Bps',
    queries: [series(sum(chosen.rate(tap.relayed), ['side']), 'from the {{side}}')],
    empty: NO_TAP,
  }),
  lines({
    id: 225,
    title: 'New connections, and those that failed',
    about:
      'Connections per second (app_tap_connections_total); those that were refused (app_tap_refused_connections_total), whose application could not be reached (app_tap_unreachable_total), that were reset (app_tap_resets_total), or half closed and then silent (app_tap_expired_connections_total).',
    unit: 'cps',
    queries: [
      series(sum(chosen.rate(tap.connections)), 'accepted'),
      series(sum(chosen.rate(tap.refusedConnections), ['reason']), 'refused: {{reason}}'),
      series(sum(chosen.rate(tap.unreachable), ['reason']), 'unreachable: {{reason}}'),
      series(sum(chosen.rate(tap.resets), ['side']), 'reset by the {{side}}'),
      series(sum(chosen.rate(tap.expired)), 'expired'),
    ],
    empty: NO_TAP,
  }),
  lines({
    id: 226,
    title: 'Connections whose requests are not seen',
    about:
      'Connections per second that pass unseen (app_tap_opaque_connections_total), by reason: other protocols, or heads that servers read in different ways.',
    unit: 'cps',
    queries: [series(sum(chosen.rate(tap.opaque), ['reason']), '{{reason}}')],
    empty: NO_TAP,
  }),
  lines({
    id: 227,
    title: 'Spans of the tap',
    about:
      'Spans per second that a receiver has taken (pillion_tap_spans_total) and that none has (pillion_tap_dropped_spans_total).',
    unit: 'cps',
    queries: [
      series(sum(chosen.rate(tap.spans)), 'taken'),
      series(sum(chosen.rate(tap.droppedSpans), ['reason']), 'dropped: {{reason}}'),
    ],
    empty: NO_TAP,
  }),
  lines({
    id: 228,
    title: 'CPU of the tap',
    about:
      'Cores that the taps use (pillion_tap_cpu_seconds_total), and taps that were started again within five minutes (pillion_tap_restarts_total).',
    unit: 'short',
    queries: [
      series(sum(chosen.rate(tap.cpu)), 'cores'),
      series(sum(chosen.increase(tap.starts, {}, '5m')), 'started again'),
    ],
    empty: NO_TAP,
  }),
  lines({
    id: 229,
    title: 'Memory of the tap',
    about: 'Resident memory of the taps (pillion_tap_resident_memory_bytes).',
    unit: 'bytes',
    queries: [series(sum(chosen.value(tap.memory)), 'memory')],
    empty: NO_TAP,
  }),
])
