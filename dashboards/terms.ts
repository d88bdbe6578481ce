// Words and thresholds that all dashboards share.

import type { Steps } from './panels.ts'

export const NO_SPANS = 'no spans received yet'
/** A share or a duration of what was served before would say that all is well. */
export const NO_REQUESTS = 'no requests now'
export const NO_PROCESS = 'no process is watched'
export const NO_SIDECAR = 'no sidecar is scraped'
export const NO_CGROUP = 'no cgroup is read'
export const NO_CALLS = 'no calls to others received yet'
export const NO_METRICS = 'no /metrics of the application is known'
export const NO_FILES = 'no log file is followed'
export const NO_TAP = 'there is no tap'
export const NO_PROBE = 'no probe has been made yet'
export const NOT_LIMITED = 'there is no limit'

export const ERROR_STEPS: Steps = ['green', [0.01, 'yellow'], [0.05, 'red']]
export const LATENCY_STEPS: Steps = ['green', [1, 'yellow'], [2, 'red']]
export const AVAILABILITY_STEPS: Steps = ['red', [0.99, 'yellow'], [0.999, 'green']]
export const SATURATION_STEPS: Steps = ['green', [0.8, 'yellow'], [0.9, 'red']]

export const YES_OR_NO = { 1: { text: 'Yes', color: 'green' }, 0: { text: 'No', color: 'red' } } as const
