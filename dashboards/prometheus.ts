// What Prometheus itself adds to what it scrapes, declared as if it were ours.

import { gauge } from '../exporter/metrics.ts'

export const up = gauge('up', 'Whether the last scrape of the target succeeded: 1 or 0.')
export const alerts = gauge('ALERTS', 'One series for each alert that is pending or firing.', [
  'alertname',
  'alertstate',
  'severity',
])
