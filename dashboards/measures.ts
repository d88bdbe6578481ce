// The figures that several dashboards and the rules share, so that "error ratio" is the same everywhere.

import { families as app } from '../collectors/process.ts'
import { calls, latency } from '../collectors/spans.ts'
import {
  binary,
  max,
  quantile,
  type select,
  share,
  sum,
  type Target,
  type Vector,
  type Where,
  type Window,
} from './promql.ts'

type Select = ReturnType<typeof select>
type Spans = (typeof calls.labels)[number]

/** A span is a request that was served; those of calls that a service makes, and of its inner work, are not. */
export const SERVED = { span_kind: { re: 'SPAN_KIND_SERVER|SPAN_KIND_CONSUMER' } } as const
export const FAILED = { ...SERVED, status_code: 'STATUS_CODE_ERROR' } as const

export const PER_INSTANCE = ['job', 'instance'] as const

/** Requests served per second. */
export function requests<const B extends Spans | Target>(
  from: Select,
  by: readonly B[],
  where: Where<Spans> = {},
  window?: Window,
): Vector<B> {
  return sum(from.rate(calls, { ...SERVED, ...where }, window), by)
}

/** The part of the requests that failed, 0 to 1; absent without requests. */
export function errors<const B extends Spans | Target>(
  from: Select,
  by: readonly B[],
  where: Where<Spans> = {},
  window?: Window,
): Vector<B> {
  return share(sum(from.rate(calls, { ...FAILED, ...where }, window), by), requests(from, by, where, window))
}

/** The time that a fraction of the requests did not exceed. */
export function duration<const B extends Spans | Target>(
  from: Select,
  q: number,
  by: readonly B[],
  where: Where<Spans> = {},
): Vector<B> {
  const buckets: Vector<B | 'le'> = sum(from.buckets(latency, { ...SERVED, ...where }), ['le', ...by])
  // What is left of the labels when `le` is taken from `B | 'le'`; the compiler does not work that out for a generic B.
  return quantile(q, buckets) as Vector<B>
}

export const cores = (from: Select): Vector<Target> => sum(from.rate(app.cpu), PER_INSTANCE)
export const mainThread = (from: Select): Vector<Target> => from.rate(app.mainThreadCpu)

/** CPU used, as a part of the quota. */
export const cpuOfLimit = (from: Select): Vector<Target> =>
  binary(sum(from.rate(app.cgroupCpu), PER_INSTANCE), '/', from.value(app.cgroupCpuLimit), PER_INSTANCE)

/** The part of the enforcement periods in which the quota stopped the application. */
export const throttled = (from: Select, window?: Window): Vector<Target> =>
  share(from.rate(app.cgroupThrottledPeriods, {}, window), from.rate(app.cgroupPeriods, {}, window))

export const memoryOfLimit = (from: Select): Vector<Target> =>
  binary(from.value(app.cgroupWorkingSet), '/', from.value(app.cgroupMemoryLimit))

export const worst = (v: Vector<Target>): Vector<never> => max(v)
