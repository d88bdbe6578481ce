// The figures that dashboards and rules share, so that "error ratio" means the same everywhere.

import { families as app } from '../collectors/process.ts'
import { buildInfo } from '../collectors/self.ts'
import type { CounterFamily, HistogramFamily } from '../metrics/family.ts'
import { calls, latency } from '../processors/spans.ts'
import {
  binary,
  count,
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

/** Spans of requests that a service answers, as opposed to those of its own calls and of its inner work. */
export const SERVED = { span_kind: { re: 'SPAN_KIND_SERVER|SPAN_KIND_CONSUMER' } } as const
export const FAILED = { ...SERVED, status_code: 'STATUS_CODE_ERROR' } as const

export const PER_INSTANCE = ['job', 'namespace', 'instance'] as const

/** The request metrics under the names, and with the buckets, that the options of the spans choose. */
export interface RequestFamilies<Service extends string> {
  readonly calls: CounterFamily<Service | Operation>
  readonly latency: HistogramFamily<Service | Operation>
}

type Operation = 'span_name' | 'span_kind' | 'status_code'

/** The figures of requests. */
export function measured<Service extends string>({ calls, latency }: RequestFamilies<Service>) {
  type Label = Service | Operation | Target
  type Chosen = Where<Service | Operation>
  // The compiler does not see that the labels of SERVED are among those of a generic family; Operation names them.
  const served = (where: Chosen) => ({ ...SERVED, ...where }) as Chosen
  const failed = (where: Chosen) => ({ ...FAILED, ...where }) as Chosen

  /** Requests served per second. */
  const requests = <const B extends Label>(
    from: Select,
    by: readonly B[],
    where: Chosen = {},
    window?: Window,
  ): Vector<B> => sum(from.rate(calls, served(where), window), by)

  /** The share of the requests that failed, 0 to 1; absent without requests. */
  const errors = <const B extends Label>(
    from: Select,
    by: readonly B[],
    where: Chosen = {},
    window?: Window,
  ): Vector<B> => share(sum(from.rate(calls, failed(where), window), by), requests(from, by, where, window))

  /** The time that a fraction of the requests did not exceed. */
  const duration = <const B extends Label>(
    from: Select,
    q: number,
    by: readonly B[],
    where: Chosen = {},
  ): Vector<B> => {
    const buckets: Vector<B | 'le'> = sum(from.buckets(latency, served(where) as Where<Service | Operation | 'le'>), [
      'le',
      ...by,
    ])
    // The labels that remain without `le` are B; the compiler does not work that out for a generic B.
    return quantile(q, buckets) as Vector<B>
  }
  return { requests, errors, duration }
}

/** The figures that the dashboards show. */
export const { requests, errors, duration } = measured({ calls, latency })

export const cores = (from: Select): Vector<Target> => sum(from.rate(app.cpu), PER_INSTANCE)
export const mainThread = (from: Select): Vector<Target> => from.rate(app.mainThreadCpu)

/** CPU used, as a share of the quota. */
export const cpuOfLimit = (from: Select): Vector<Target> =>
  binary(sum(from.rate(app.cgroupCpu), PER_INSTANCE), '/', from.value(app.cgroupCpuLimit), PER_INSTANCE)

/** The share of the enforcement periods in which the quota stopped the application. */
export const throttled = (from: Select, window?: Window): Vector<Target> =>
  share(from.rate(app.cgroupThrottledPeriods, {}, window), from.rate(app.cgroupPeriods, {}, window))

export const memoryOfLimit = (from: Select): Vector<Target> =>
  binary(from.value(app.cgroupWorkingSet), '/', from.value(app.cgroupMemoryLimit))

/** 1 for each sidecar that answers its scrapes, 0 for one that did within the time shown and no longer does. */
export const scraped = (from: Select): Vector<Target> =>
  binary(
    count(from.value(buildInfo), PER_INSTANCE),
    'or',
    binary(count(from.over('last', buildInfo, {}, '$__range'), PER_INSTANCE), '*', '0'),
  )

export const worst = (v: Vector<Target>): Vector<never> => max(v)
