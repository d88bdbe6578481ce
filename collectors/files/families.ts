// Families of log files, by source; the operator gives sources their names.

import { counter, type Family, gauge } from '../../metrics/family.ts'

export const lines = counter('app_log_file_lines_total', 'Lines read from log files, by source.', ['source'])
export const readBytes = counter('app_log_file_read_bytes_total', 'Bytes read from log files, by source.', ['source'])
export const dropped = counter(
  'app_log_file_dropped_lines_total',
  'Lines that did not become log records, by reason: sampled = left out by keep_info, rate = over max_lines_per_second, refused = the intake did not take them, overflow = removed from captured output before they were read.',
  ['source', 'reason'],
)
export const cut = counter(
  'app_log_file_cut_lines_total',
  'Lines longer than max_line; what is beyond it is not read.',
  ['source'],
)
export const unparsed = counter(
  'app_log_file_unparsed_lines_total',
  'Lines of an access log that are not of its format. They become log records.',
  ['source'],
)
export const requests = counter(
  'app_log_file_requests_total',
  'Lines of access logs that became requests, by source.',
  ['source'],
)
export const routeOverflow = counter(
  'app_log_file_route_overflow_total',
  'Requests without a route because there are route_limit others already.',
  ['source'],
)
export const followed = gauge('app_log_files', 'Log files that are followed, by source.', ['source'])
export const unfollowed = gauge(
  'app_log_files_unfollowed',
  'Files that match a source and are not followed, because there are files.max_files already or they cannot be opened.',
  ['source'],
)
export const behind = gauge(
  'app_log_file_behind_bytes',
  'Bytes of log files that have been written and are not read yet, by source.',
  ['source'],
)
export const rotations = counter(
  'app_log_file_rotations_total',
  'Files that were renamed or deleted while they were followed; they are read to their end.',
  ['source'],
)
export const truncations = counter(
  'app_log_file_truncations_total',
  'Files that were truncated or overwritten while they were followed (copytruncate). Lines between the copy and the truncation may be lost.',
  ['source'],
)
export const positionFailures = counter(
  'pillion_files_position_failures_total',
  'Times that files.positions could not be written. Lines are read again after a restart.',
)

export const REASONS = ['sampled', 'rate', 'refused', 'overflow'] as const
export type Reason = (typeof REASONS)[number]

export const fileFamilies: readonly Family[] = [
  lines,
  readBytes,
  dropped,
  cut,
  unparsed,
  requests,
  routeOverflow,
  followed,
  unfollowed,
  behind,
  rotations,
  truncations,
  positionFailures,
]
