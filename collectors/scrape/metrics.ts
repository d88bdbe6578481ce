// The part's own metrics.

import { counter, gauge } from '../../metrics/family.ts'

export const metricsUp = gauge(
  'app_metrics_up',
  '1 if the application’s own /metrics was read for this scrape, 0 if it was not and its series are left out; absent if no /metrics is known.',
)
export const metricsDuration = gauge(
  'app_metrics_scrape_duration_seconds',
  'Seconds that it took to ask for the application’s own /metrics and to read it.',
)
export const metricsSamples = gauge(
  'app_metrics_samples',
  'Samples on the application’s own /metrics that are shown here.',
)
export const metricsBytes = gauge('app_metrics_body_bytes', 'Size of the application’s own /metrics, decompressed.')
export const metricsDropped = counter(
  'app_metrics_dropped_total',
  'Samples of the application’s own /metrics that were left out, at each scrape, by reason: syntax = not a sample; utf8 = not UTF-8; limits = too many or too long labels; duplicate = its series or name has come before on the page; name_collision = a family of the sidecar has the name; otlp = the application sends the family by OTLP too; exemplar = only the exemplar was left out.',
  ['reason'],
)
export const metricsFailures = counter(
  'app_metrics_scrape_failures_total',
  'Scrapes of the application’s own /metrics that failed, by reason: itself = the address leads to the sidecar; status = not 200; not_metrics = no page of metrics; truncated = its end is missing; too_large, too_many_samples = above a limit; memory = the memory budget is used up; encoding = cannot be decompressed; credentials = the token or password cannot be read; the others as for probes.',
  ['reason'],
)
export const metricsUntyped = gauge(
  'app_metrics_untyped_families',
  'Families of the application’s own /metrics that are shown without their type, because their samples do not fit it.',
)

export const DROPS = ['syntax', 'utf8', 'limits', 'duplicate', 'name_collision', 'otlp', 'exemplar'] as const
export type DropReason = (typeof DROPS)[number]

export const FAILURES = [
  'timeout',
  'dns',
  'blocked',
  'refused',
  'unreachable',
  'reset',
  'tls',
  'protocol',
  'local',
  'itself',
  'status',
  'not_metrics',
  'truncated',
  'too_large',
  'too_many_samples',
  'memory',
  'encoding',
  'credentials',
] as const
export type FailureReason = (typeof FAILURES)[number]

export const scrapeFamilies = [
  metricsUp,
  metricsDuration,
  metricsSamples,
  metricsBytes,
  metricsDropped,
  metricsFailures,
  metricsUntyped,
]
