// The samples that a metric is in Prometheus: one for a number, and one for each bucket or quantile, sum and count.

import { bound } from '../../metrics/format.ts'
import { HISTOGRAM, type Metric, SUMMARY } from './metric.ts'

export interface Sample {
  /** After the name of the family. */
  readonly suffix: '' | '_bucket' | '_sum' | '_count'
  /** The label that only this sample has, and its value. */
  readonly label: { readonly name: 'le' | 'quantile'; readonly bytes: Buffer } | undefined
  readonly text: string
  readonly value: number
  /** Whether it only grows, until its metric begins anew. */
  readonly cumulative: boolean
  /** The place of its exemplar in `Metric.exemplars`, or -1. */
  readonly exemplar: number
}

const LE = { name: 'le', bytes: Buffer.from('le') } as const
const QUANTILE = { name: 'quantile', bytes: Buffer.from('quantile') } as const
const COUNTER_TYPE = 0

/** Bounds recur in every metric of a family; more than these are not kept. */
const spelled = new Map<number, string>()
const MOST_SPELLED = 1000

function spelledBound(value: number): string {
  const known = spelled.get(value)
  if (known !== undefined) return known
  const text = bound('openmetrics', value)
  if (spelled.size < MOST_SPELLED) spelled.set(value, text)
  return text
}

export function* samplesOf(metric: Metric): Generator<Sample> {
  const { family, value, sum, hasSum, bounds, counts } = metric
  const plain = { label: undefined, text: '', exemplar: -1 }
  if (family.type !== HISTOGRAM && family.type !== SUMMARY) {
    const cumulative = family.type === COUNTER_TYPE
    yield { suffix: '', value, cumulative, ...plain, exemplar: cumulative && !metric.stale ? 0 : -1 }
    return
  }
  const histogram = family.type === HISTOGRAM
  for (let i = 0; i < bounds.length; i++)
    yield {
      suffix: histogram ? '_bucket' : '',
      label: histogram ? LE : QUANTILE,
      // As OpenMetrics spells it, and as Prometheus keeps it: 1.0, +Inf.
      text: spelledBound(bounds[i]!),
      value: counts[i]!,
      cumulative: histogram,
      exemplar: histogram && !metric.stale ? 2 * i : -1,
    }
  // A sum may fall when values below 0 are observed.
  if (hasSum) yield { suffix: '_sum', value: sum, cumulative: histogram && !((bounds[0] ?? 0) < 0), ...plain }
  yield { suffix: '_count', value, cumulative: true, ...plain }
}
