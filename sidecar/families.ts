// What becomes of a configuration that changes, as metrics.

import { gauge } from '../exporter/metrics.ts'

export const successful = gauge(
  'pillion_config_last_reload_successful',
  '1 if the configuration that was read last is in effect, 0 if it was refused and an older one stays.',
)
export const successTime = gauge(
  'pillion_config_last_reload_success_timestamp_seconds',
  'When the configuration in effect was taken, in seconds since the epoch.',
)
export const reloadFamilies = [successful, successTime] as const
