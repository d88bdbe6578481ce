// Series for alerts are recorded where they are asked for more than once, or for some time ago. Nothing is recorded
// that nothing reads.

import { measured, PER_INSTANCE, type RequestFamilies } from '../measures.ts'
import { recorded, select, type Target, type Vector, type Window } from '../promql.ts'
import type { Group } from './rule.ts'

/** The selection of the rules: all series, over five minutes. */
export const all = select({ where: {}, window: '5m' })

/** The label that holds the service's name, by the naming of the request metrics. */
export type Service = 'service' | 'service_name'

/** The request metrics that the rules ask for. */
export interface Requests extends RequestFamilies<Service> {
  readonly service: Service
}

type Kept = 'requests' | 'errors' | 'p99'

/** For each instance of a service, or for all of them together. */
type Level = 'instance' | 'service'

/** Seconds that the 99th percentile may take. */
export const SLOW = 2

/** Whether the buckets can tell that requests take longer than AppHighLatency allows. */
export function tellsSlow({ latency }: Requests): boolean {
  return latency.buckets.at(-1)! >= SLOW
}

/** level:metric:operation, which begins with the name of the metric it is made of (prometheus.io/docs/practices/rules). */
function nameOf(what: Kept, { calls, latency }: Requests, level: Level): string {
  const prefix = level === 'instance' ? 'job_instance_service' : 'job_service'
  const called = `${prefix}:${calls.name.replace(/_total$/, '')}`
  if (what === 'requests') return `${called}:rate5m`
  if (what === 'errors') return `${called}_errors:ratio_rate5m`
  return `${prefix}:${latency.name}:p99_5m`
}

const perInstance = ({ service }: Requests) => [...PER_INSTANCE, service] as const
/** A service of one name in two namespaces is two services. */
export const perService = ({ service }: Requests) => ['job', 'namespace', service] as const

/** The value that a rule below has recorded for each instance of a service. */
export function kept(what: 'requests', from: Requests, ago?: Window): Vector<Target | Service> {
  return recorded(nameOf(what, from, 'instance'), perInstance(from), ago)
}

/** The value that a rule below has recorded for all instances of a service together. */
export function keptOfService(what: Kept, from: Requests): Vector<'job' | 'namespace' | Service> {
  return recorded(nameOf(what, from, 'service'), perService(from))
}

export function recording(from: Requests): Group {
  const { requests, errors, duration } = measured(from)
  return {
    name: 'pillion-requests',
    rules: [
      { record: nameOf('requests', from, 'instance'), is: requests(all, perInstance(from)) },
      { record: nameOf('requests', from, 'service'), is: requests(all, perService(from)) },
      { record: nameOf('errors', from, 'service'), is: errors(all, perService(from)) },
      ...(tellsSlow(from)
        ? [{ record: nameOf('p99', from, 'service'), is: duration(all, 0.99, perService(from)) }]
        : []),
    ],
  }
}
