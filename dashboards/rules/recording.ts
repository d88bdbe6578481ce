// Figures that are computed once a minute rather than for every alert and every reader.

import { duration, errors, requests } from '../measures.ts'
import { recorded, select, type Vector, type Window } from '../promql.ts'
import type { Group } from './rule.ts'

/** What rules ask: everything, over five minutes. */
export const all = select({ where: {}, window: '5m' })

export const PER_SERVICE = ['job', 'instance', 'service'] as const
type Service = (typeof PER_SERVICE)[number]

const NAMES = {
  requests: 'service:traces_spanmetrics_calls:rate5m',
  errors: 'service:traces_spanmetrics_calls_errors:ratio_rate5m',
  p50: 'service:traces_spanmetrics_latency:p50_5m',
  p95: 'service:traces_spanmetrics_latency:p95_5m',
  p99: 'service:traces_spanmetrics_latency:p99_5m',
} as const

/** The value that a rule below has recorded. */
export function kept(what: keyof typeof NAMES, ago?: Window): Vector<Service> {
  return recorded(NAMES[what], PER_SERVICE, ago)
}

export const recording: Group = {
  name: 'pillion-requests',
  rules: [
    { record: NAMES.requests, is: requests(all, PER_SERVICE) },
    { record: NAMES.errors, is: errors(all, PER_SERVICE) },
    { record: NAMES.p50, is: duration(all, 0.5, PER_SERVICE) },
    { record: NAMES.p95, is: duration(all, 0.95, PER_SERVICE) },
    { record: NAMES.p99, is: duration(all, 0.99, PER_SERVICE) },
  ],
}
