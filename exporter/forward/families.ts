// The metrics of forwarding. For each upstream and signal, at every scrape:
//
//   accepted + recovered = forwarded + dropped + sampled out + held

import { counter, gauge } from '../../metrics/family.ts'

export const forwarded = counter(
  'pillion_forward_items_total',
  'Spans, data points and log records that the upstream has taken. Items that it rejected in a partial success are not counted here.',
  ['upstream', 'signal'],
)
export const recovered = counter(
  'pillion_forward_recovered_items_total',
  'Spans, data points and log records that an earlier process had left in the queue on disk.',
  ['upstream', 'signal'],
)
export const dropped = counter(
  'pillion_forward_dropped_items_total',
  'Spans, data points and log records that were not forwarded and are not held any more, by reason.',
  ['upstream', 'signal', 'reason'],
)
export const sampledOut = counter(
  'pillion_forward_sampled_out_items_total',
  'Spans that sampling has left out (forward.sampling), by reason.',
  ['upstream', 'signal', 'reason'],
)
export const heldItems = gauge(
  'pillion_forward_held_items',
  'Spans, data points and log records that wait to be forwarded: in the queue, on their way, or in traces that sampling has not decided yet.',
  ['upstream', 'signal'],
)
export const queueBytes = gauge(
  'pillion_forward_queue_bytes',
  'Bytes of the requests in the queue, by place: memory or disk.',
  ['upstream', 'signal', 'place'],
)
export const oldestSeconds = gauge(
  'pillion_forward_oldest_seconds',
  'Age of the oldest request in the queue; 0 if the queue is empty.',
  ['upstream', 'signal'],
)
export const requests = counter(
  'pillion_forward_requests_total',
  'Requests to the upstream by outcome: the HTTP status, the gRPC code, or why there was no answer (timeout, dns, refused, …).',
  ['upstream', 'signal', 'code'],
)
export const sentBytes = counter(
  'pillion_forward_sent_bytes_total',
  'Bytes of the bodies that were sent to the upstream, after compression, those of repeated attempts included.',
  ['upstream', 'signal'],
)
export const open = gauge(
  'pillion_forward_open',
  '1 while nothing is sent because the upstream has failed and the time to try again has not come (the circuit is open), otherwise 0.',
  ['upstream', 'signal'],
)
export const diskUsable = gauge(
  'pillion_forward_queue_disk_usable',
  '1 if the queue of the upstream is written to disk, 0 if that fails and it is held in memory; absent without forward.queue.dir.',
  ['upstream'],
)
export const fileBytes = gauge(
  'pillion_forward_queue_file_bytes',
  'Size of the files of the queue on disk, at most forward.queue.disk.',
  ['upstream'],
)
export const corruptBytes = counter(
  'pillion_forward_queue_corrupt_bytes_total',
  'Bytes in files of the queue that were not what was written: torn by a sudden end, or damaged on the disk.',
  ['upstream'],
)
export const poisoned = counter(
  'pillion_forward_queue_poisoned_records_total',
  'Requests in the queue on disk that could not be read, or that brought down the sidecar twice, and were set aside.',
  ['upstream'],
)

export const families = [
  forwarded,
  recovered,
  dropped,
  sampledOut,
  heldItems,
  queueBytes,
  oldestSeconds,
  requests,
  sentBytes,
  open,
  diskUsable,
  fileBytes,
  corruptBytes,
  poisoned,
] as const
