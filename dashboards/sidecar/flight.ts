// The row of the flight recorder: what it wrote, what it could not, and the room that its files take.

import * as flight from '../../exporter/flight.ts'
import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { sum } from '../promql.ts'
import { series } from '../query.ts'

const OFF = 'no flight records are written: flight.dir is not set'

export const flightRow: Row = folded(1700, 'Flight records', [
  lines({
    id: 170,
    title: 'Records written',
    about:
      'Flight records written within five minutes, by reason (pillion_flight_records_total), and those that were left out since one of the same kind had just been written (pillion_flight_skipped_total).',
    unit: 'short',
    queries: [
      series(sum(chosen.increase(flight.records, {}, '5m'), ['instance', 'reason']), '{{instance}} {{reason}}'),
      series(
        sum(chosen.increase(flight.skipped, {}, '5m'), ['instance', 'reason']),
        '{{instance}} {{reason}}, left out',
      ),
    ],
    empty: OFF,
  }),
  lines({
    id: 171,
    title: 'Failures and removals',
    about:
      'Records and rings that could not be written or read (pillion_flight_failures_total), and records that were removed because a limit was reached (pillion_flight_removed_total), within five minutes. A failure means that the next end may leave no record.',
    unit: 'short',
    queries: [
      series(sum(chosen.increase(flight.failures, {}, '5m'), ['instance', 'what']), '{{instance}} {{what}} failed'),
      series(
        sum(chosen.increase(flight.removed, {}, '5m'), ['instance', 'limit']),
        '{{instance}} removed by {{limit}}',
      ),
    ],
    empty: OFF,
  }),
  lines({
    id: 172,
    title: 'Records kept',
    about: 'Flight records in flight.dir (pillion_flight_held_records); at most flight.keep.',
    unit: 'short',
    queries: [series(chosen.value(flight.held), '{{instance}}')],
    empty: OFF,
  }),
  lines({
    id: 173,
    title: 'Their size',
    about: 'Bytes of the flight records in flight.dir (pillion_flight_held_bytes); at most flight.max_bytes.',
    unit: 'bytes',
    queries: [series(chosen.value(flight.heldBytes), '{{instance}}')],
    empty: OFF,
  }),
])
