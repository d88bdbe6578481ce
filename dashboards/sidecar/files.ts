// The row of log files: what is read of them, what is behind, and what is lost.

import * as files from '../../collectors/files.ts'
import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { sum } from '../promql.ts'
import { series } from '../query.ts'
import { NO_FILES } from '../terms.ts'

export const filesRow: Row = folded(1500, 'Log files', [
  lines({
    id: 150,
    title: 'Lines and requests',
    about:
      'Lines read per second by source (app_log_file_lines_total), and those that became requests (app_log_file_requests_total).',
    unit: 'cps',
    queries: [
      series(sum(chosen.rate(files.lines), ['source']), '{{source}} lines'),
      series(sum(chosen.rate(files.requests), ['source']), '{{source}} requests'),
    ],
    empty: NO_FILES,
  }),
  lines({
    id: 151,
    title: 'Bytes, and bytes behind',
    about:
      'Bytes read per second (app_log_file_read_bytes_total), and bytes that are written and not read yet (app_log_file_behind_bytes). If these grow, more is written than upstreams or the sidecar take.',
    unit: 'bytes',
    queries: [
      series(sum(chosen.rate(files.readBytes), ['source']), '{{source}} read'),
      series(sum(chosen.value(files.behind), ['source']), '{{source}} behind'),
    ],
    empty: NO_FILES,
  }),
  lines({
    id: 152,
    title: 'Lines dropped, cut or of another format',
    about:
      'Lines per second that became no record (app_log_file_dropped_lines_total), that were longer than max_line (app_log_file_cut_lines_total), or are not of the access log’s format (app_log_file_unparsed_lines_total); requests beyond route_limit (app_log_file_route_overflow_total).',
    unit: 'cps',
    queries: [
      series(sum(chosen.rate(files.dropped), ['source', 'reason']), '{{source}} dropped: {{reason}}'),
      series(sum(chosen.rate(files.cut), ['source']), '{{source}} cut'),
      series(sum(chosen.rate(files.unparsed), ['source']), '{{source}} of another format'),
      series(sum(chosen.rate(files.routeOverflow), ['source']), '{{source}} without a route'),
    ],
    empty: NO_FILES,
  }),
  lines({
    id: 153,
    title: 'Files',
    about:
      'Files that are followed (app_log_files) and that match but are not (app_log_files_unfollowed); within five minutes: rotations (app_log_file_rotations_total), truncations (app_log_file_truncations_total), and positions that could not be written (pillion_files_position_failures_total).',
    unit: 'short',
    queries: [
      series(sum(chosen.value(files.followed), ['source']), '{{source}} followed'),
      series(sum(chosen.value(files.unfollowed), ['source']), '{{source}} not followed'),
      series(sum(chosen.increase(files.rotations, {}, '5m'), ['source']), '{{source}} rotated'),
      series(sum(chosen.increase(files.truncations, {}, '5m'), ['source']), '{{source}} truncated'),
      series(sum(chosen.increase(files.positionFailures, {}, '5m')), 'positions not written'),
    ],
    empty: NO_FILES,
  }),
])
