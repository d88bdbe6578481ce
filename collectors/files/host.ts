// The outside, as this part needs it.

import type { Host } from '../../telemetry/host.ts'
import type { IntakeHost } from '../../telemetry/intake.ts'
import type { Seen } from '../../telemetry/seen.ts'

/** The outside world, the intake, and whom to tell of answers. */
export interface FilesHost extends Host, IntakeHost {
  /** The name of the application, where it is known. */
  readonly service?: string | undefined
  readonly seen?: Seen
}
