// The outcome of reloading the configuration, as metrics: the assembly sets them, dashboards and rules read them.

import { gauge } from '../metrics/family.ts'

export const successful = gauge(
  'pillion_config_last_reload_successful',
  '1 if the last configuration that was read is in effect, 0 if it was refused and the previous one stays in effect.',
)
export const successTime = gauge(
  'pillion_config_last_reload_success_timestamp_seconds',
  'Time at which the configuration in effect was loaded, in seconds since the epoch.',
)
