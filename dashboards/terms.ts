// Words, thresholds and links that all dashboards share.

import type { Steps } from './panels.ts'

export const NO_SPANS = 'no spans received yet'
export const NO_PROCESS = 'no process is watched'
export const NO_CGROUP = 'no cgroup is read'
export const NO_PROBE = 'no probe has been made yet'
export const NOT_LIMITED = 'there is no limit'

export const ERROR_STEPS: Steps = ['green', [0.01, 'yellow'], [0.05, 'red']]
export const LATENCY_STEPS: Steps = ['green', [1, 'yellow'], [2, 'red']]
export const SATURATION_STEPS: Steps = ['green', [0.8, 'yellow'], [0.9, 'red']]

/** The time shown and the data source go along; what is clicked becomes the choice. */
const ALONG = `\${__url_time_range}&\${datasource:queryparam}&\${job:queryparam}`

export const LINKS = {
  application: {
    title: 'Everything about this instance',
    url: `/d/pillion-application?var-instance=\${__data.fields["Instance"]}&${ALONG}`,
  },
  operation: {
    title: 'This operation only',
    url: `/d/pillion-requests?var-service=\${__data.fields["Service"]}&var-span_name=\${__data.fields["Operation"]}&${ALONG}&\${instance:queryparam}`,
  },
} as const
