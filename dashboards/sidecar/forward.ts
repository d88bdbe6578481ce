// The row of forwarding: what goes on to the upstreams, what waits, and what was lost.

import * as forward from '../../exporter/forward.ts'
import { chosen, folded, type Row } from '../board.ts'
import { lines, timeline } from '../panels.ts'
import { happening, sum } from '../promql.ts'
import { series } from '../query.ts'

const NOT_FORWARDING = 'nothing is forwarded: no upstream is configured'

export const forwardRow: Row = folded(900, 'Forwarding', [
  lines({
    id: 90,
    title: 'Forwarded',
    about: 'Spans, data points and log records per second that each upstream has taken (pillion_forward_items_total).',
    unit: 'cps',
    queries: [series(sum(chosen.rate(forward.forwarded), ['upstream', 'signal']), '{{upstream}} {{signal}}')],
    empty: NOT_FORWARDING,
  }),
  lines({
    id: 91,
    title: 'Not forwarded, by reason',
    about:
      'Items per second that were dropped (pillion_forward_dropped_items_total), which is lost telemetry, and spans that sampling left out (pillion_forward_sampled_out_items_total). queue_full: the upstream is too slow or away; auth and not_supported: the configuration is wrong.',
    unit: 'cps',
    queries: [
      series(
        happening(sum(chosen.rate(forward.dropped), ['upstream', 'signal', 'reason'])),
        '{{upstream}} {{signal}} {{reason}}',
      ),
      series(
        happening(sum(chosen.rate(forward.sampledOut), ['upstream', 'reason'])),
        '{{upstream}} sampled out: {{reason}}',
      ),
    ],
    empty: 'everything is forwarded',
  }),
  lines({
    id: 92,
    title: 'Requests to upstreams by answer',
    about:
      'Requests per second by HTTP status, gRPC code or the reason why there was no answer (pillion_forward_requests_total).',
    unit: 'reqps',
    queries: [
      series(
        happening(sum(chosen.rate(forward.requests), ['upstream', 'signal', 'code'])),
        '{{upstream}} {{signal}} {{code}}',
      ),
    ],
    empty: NOT_FORWARDING,
  }),
  timeline({
    id: 93,
    title: 'Upstreams',
    about:
      'Whether each upstream takes what it is sent (pillion_forward_open). Red: it has failed, and is tried again from time to time; meanwhile everything waits in the queue.',
    unit: 'none',
    queries: [series(chosen.value(forward.open), '{{instance}} {{upstream}} {{signal}}')],
    empty: NOT_FORWARDING,
    words: { 0: { text: 'Takes', color: 'green' }, 1: { text: 'Failing', color: 'red' } },
    steps: ['green', [1, 'red']],
  }),
  lines({
    id: 94,
    title: 'Items held',
    about:
      'Spans, data points and log records that wait to be forwarded (pillion_forward_held_items). Growing: the upstream is slower than what comes in.',
    unit: 'short',
    queries: [series(chosen.value(forward.heldItems), '{{instance}} {{upstream}} {{signal}}')],
    empty: NOT_FORWARDING,
  }),
  lines({
    id: 95,
    title: 'Bytes in queues',
    about:
      'Bytes of the requests in each queue, in memory and on disk (pillion_forward_queue_bytes). At the limit (forward.queue) the oldest are dropped, or senders are refused.',
    unit: 'bytes',
    queries: [
      series(
        happening(sum(chosen.value(forward.queueBytes), ['instance', 'upstream', 'place'])),
        '{{instance}} {{upstream}} {{place}}',
      ),
    ],
    empty: 'the queues are empty',
  }),
  lines({
    id: 96,
    title: 'Age of the oldest request in the queue',
    about:
      'Seconds since the oldest request that waits came in (pillion_forward_oldest_seconds). Near max_age, what is older will be dropped.',
    unit: 's',
    queries: [series(chosen.value(forward.oldestSeconds), '{{instance}} {{upstream}} {{signal}}')],
    empty: NOT_FORWARDING,
  }),
  lines({
    id: 97,
    title: 'Bytes sent to upstreams',
    about: 'Bytes per second after compression, repeated attempts included (pillion_forward_sent_bytes_total).',
    unit: 'Bps',
    queries: [series(sum(chosen.rate(forward.sentBytes), ['upstream', 'signal']), '{{upstream}} {{signal}}')],
    empty: NOT_FORWARDING,
  }),
  lines({
    id: 98,
    title: 'Found in queues on disk at the start',
    about:
      'Items that an earlier process had left in a queue on disk and that the running one has found as it started (pillion_forward_recovered_items_total).',
    unit: 'short',
    queries: [
      series(
        happening(sum(chosen.total(forward.recovered), ['instance', 'upstream', 'signal'])),
        '{{instance}} {{upstream}} {{signal}}',
      ),
    ],
    empty: 'nothing was left',
  }),
  timeline({
    id: 99,
    title: 'Queues on disk',
    about:
      'Whether each queue on disk can be written (pillion_forward_queue_disk_usable). Red: the disk is full, read-only or failing, and the queue is in memory until it can be written again.',
    unit: 'none',
    queries: [series(chosen.value(forward.diskUsable), '{{instance}} {{upstream}}')],
    empty: 'no queue is on disk',
    words: { 0: { text: 'In memory', color: 'red' }, 1: { text: 'On disk', color: 'green' } },
    steps: ['red', [1, 'green']],
  }),
  lines({
    id: 890,
    title: 'Files of queues on disk',
    about: 'Size of the files of each queue on disk, at most forward.queue.disk (pillion_forward_queue_file_bytes).',
    unit: 'bytes',
    queries: [series(chosen.value(forward.fileBytes), '{{instance}} {{upstream}}')],
    empty: 'no queue is on disk',
  }),
  lines({
    id: 891,
    title: 'Damage in queues on disk',
    about:
      'Since the sidecar started: bytes that were not what was written (pillion_forward_queue_corrupt_bytes_total; some after a kill are a write that ended in the middle) and requests that were set aside (pillion_forward_queue_poisoned_records_total).',
    unit: 'short',
    queries: [
      series(
        happening(sum(chosen.total(forward.corruptBytes), ['instance', 'upstream'])),
        '{{instance}} {{upstream}} bytes',
      ),
      series(
        happening(sum(chosen.total(forward.poisoned), ['instance', 'upstream'])),
        '{{instance}} {{upstream}} set aside',
      ),
    ],
    empty: 'no damage was found',
  }),
])
