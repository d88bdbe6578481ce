// The newest log records for a flight record.

import type { Recall, RememberedLog } from '../../telemetry/flight.ts'
import type { Ring } from './ring.ts'
import { severityOf } from './severity.ts'

/** A clock of the application that is off must not let every record be looked at. */
const OLDER = 64

export function remembered(ring: Ring, { since, most }: Recall): readonly RememberedLog[] {
  const found: RememberedLog[] = []
  const cursor = ring.cursor()
  for (let older = 0; found.length < most && older < OLDER && cursor.next(); ) {
    const { time, severity, service, body, traceId } = cursor
    const at = time > 0n ? Number(time / 1_000_000n) : undefined
    if (at !== undefined && at < since) older++
    else found.push({ at, severity: severityOf(severity), service, body, traceId })
  }
  return found
}
