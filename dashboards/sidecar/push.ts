// The row of the push: whether the numbers arrive where they are pushed.

import * as push from '../../exporter/push.ts'
import { chosen, folded, type Row } from '../board.ts'
import { lines, timeline } from '../panels.ts'
import { binary, happening, sum } from '../promql.ts'
import { series } from '../query.ts'

const NO_PUSH = 'nothing is pushed (push.endpoint)'

export const pushRow: Row = folded(1200, 'Push', [
  timeline({
    id: 120,
    title: 'Push over time',
    about:
      'Whether the last push was delivered as a whole (pillion_push_failing). Red: the log of the sidecar and its page say why.',
    unit: 'none',
    queries: [series(chosen.value(push.pushFailing), '{{instance}}')],
    empty: NO_PUSH,
    words: { 0: { text: 'Delivered', color: 'green' }, 1: { text: 'Failed', color: 'red' } },
    steps: ['green', [1, 'red']],
    width: 12,
    height: 8,
  }),
  lines({
    id: 121,
    title: 'Age of what was delivered last',
    about:
      'Seconds since the last page that was delivered as a whole (pillion_push_last_success_timestamp_seconds), and what the last push took (pillion_push_duration_seconds).',
    unit: 's',
    queries: [
      series(binary('time()', '-', chosen.value(push.pushSuccess)), '{{instance}} age'),
      series(chosen.value(push.pushDuration), '{{instance}} duration'),
    ],
    empty: NO_PUSH,
    width: 12,
  }),
  lines({
    id: 122,
    title: 'Samples delivered and dropped',
    about:
      'Samples (remote write) or data points (OTLP) per second that the receiver has taken (pillion_push_samples_total), and those that were not delivered (pillion_push_dropped_samples_total). superseded: the receiver was away until the next push was due, which has the same counters.',
    unit: 'cps',
    queries: [
      series(sum(chosen.rate(push.pushed)), 'delivered'),
      series(happening(sum(chosen.rate(push.pushDropped), ['reason'])), 'dropped: {{reason}}'),
    ],
    empty: NO_PUSH,
  }),
  lines({
    id: 123,
    title: 'Requests by answer',
    about:
      'Requests of the push per second by HTTP status, or by the reason why there was no answer (pillion_push_requests_total), and pushes that were not made (pillion_push_skipped_total).',
    unit: 'reqps',
    queries: [
      series(happening(sum(chosen.rate(push.pushRequests), ['code'])), '{{code}}'),
      series(happening(sum(chosen.rate(push.pushSkipped), ['reason'])), 'not made: {{reason}}'),
    ],
    empty: NO_PUSH,
  }),
  lines({
    id: 124,
    title: 'Bytes sent',
    about: 'Bytes of the bodies per second, compressed (pillion_push_sent_bytes_total).',
    unit: 'Bps',
    queries: [series(sum(chosen.rate(push.pushBytes), ['instance']), '{{instance}}')],
    empty: NO_PUSH,
  }),
])
