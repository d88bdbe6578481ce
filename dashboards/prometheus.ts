// Series that Prometheus itself adds to each scrape, declared as if they were ours.

import { gauge } from '../metrics/family.ts'

export const up = gauge('up', 'Whether the last scrape of the target succeeded: 1 or 0.')
/** ALERTS of objectives. */
export const burning = gauge('ALERTS', 'One series for each objective whose alert is pending or firing.', [
  'alertname',
  'alertstate',
  'severity',
  'service',
  'slo',
  'objective',
])
export const alerts = gauge('ALERTS', 'One series for each alert that is pending or firing.', [
  'alertname',
  'alertstate',
  'severity',
  'service',
])
