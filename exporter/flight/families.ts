// Families of the flight recorder.

import { counter, gauge } from '../../metrics/family.ts'

/**
 * Why a record is written. `gone`: the application ended. `both`: it ended together with the sidecar, or could not be
 * seen any more when that had started again. `failing`: a probe went from up to down. `dying`: a resource is about to
 * run out. `stopping`: the sidecar is told to stop while the application runs. `asked`: somebody asked for it.
 */
export const TRIGGERS = ['gone', 'both', 'failing', 'dying', 'stopping', 'asked'] as const
export type Trigger = (typeof TRIGGERS)[number]

export const records = counter(
  'pillion_flight_records_total',
  'Flight records written, by reason: gone = the application ended, both = it and the sidecar ended together, failing = a probe went from up to down, dying = a resource is about to run out, stopping = the sidecar was told to stop while the application ran, asked = somebody asked for it.',
  ['reason'],
)
export const skipped = counter(
  'pillion_flight_skipped_total',
  'Flight records that were not written, since one of the same kind had been written in the last five minutes.',
  ['reason'],
)
/** `record`: a record could not be written. `ring`: the ring could not be written, or one that was found could not be read. */
export const FAILURES = ['record', 'ring'] as const
export const failures = counter(
  'pillion_flight_failures_total',
  'Flight records, and the rings that survive a sudden end, which could not be written or read; the log says why.',
  ['what'],
)
export const LIMITS = ['keep', 'max_bytes'] as const
export const removed = counter(
  'pillion_flight_removed_total',
  'Flight records that were removed from flight.dir, the oldest first, by the limit that was reached.',
  ['limit'],
)
export const held = gauge('pillion_flight_held_records', 'Flight records in flight.dir; at most flight.keep.')
export const heldBytes = gauge(
  'pillion_flight_held_bytes',
  'Bytes of the flight records in flight.dir; at most flight.max_bytes.',
)

export const flightFamilies = [records, skipped, failures, removed, held, heldBytes]
