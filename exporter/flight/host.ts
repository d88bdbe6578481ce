// The flight recorder's view of the sidecar.

import type { RecallHost } from '../../telemetry/flight.ts'
import type { Host } from '../../telemetry/host.ts'
import type { IntakeHost } from '../../telemetry/intake.ts'
import type { MomentsHost } from '../../telemetry/moment.ts'
import type { Status } from '../../telemetry/status.ts'

export interface FlightHost extends Host, IntakeHost, MomentsHost, RecallHost {
  /** The name of the application. */
  readonly service?: string | undefined
  readonly version?: string
  /** The current state of all parts. */
  status(): Status | Promise<Status>
}
