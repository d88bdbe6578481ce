// Adds and compares two values of one series.

import { added } from '../../metrics/native.ts'
import type { ImportedValue } from '../../metrics/sample.ts'

/** The sum of two deltas; undefined if they cannot be added. */
export function together(before: ImportedValue, since: ImportedValue): ImportedValue | undefined {
  if (typeof before === 'number') return typeof since === 'number' ? before + since : undefined
  if (typeof since === 'number' || 'quantiles' in before || 'quantiles' in since) return undefined
  const sum = before.sum === undefined || since.sum === undefined ? undefined : before.sum + since.sum
  if ('native' in before) {
    const native = 'native' in since ? added(before.native, since.native) : undefined
    return native && { native, sum }
  }
  if ('native' in since || !sameBounds(before, since)) return undefined
  return { bounds: before.bounds, counts: before.counts.map((count, i) => count + (since.counts[i] ?? 0)), sum }
}

/** Whether exemplars kept by bucket still belong to the same buckets. */
export function sameBounds(a: ImportedValue, b: ImportedValue): boolean {
  const [one, other] = [boundsOf(a), boundsOf(b)]
  return one.length === other.length && one.every((bound, i) => bound === other[i])
}

/** A counter's value, or the number of observations, which never falls while a process lives. */
export function progress(value: ImportedValue): number {
  if (typeof value === 'number') return value
  if ('quantiles' in value) return value.count
  if ('counts' in value) return total(value.counts)
  const { zeroCount, positive, negative } = value.native
  return zeroCount + total(positive.counts) + total(negative.counts)
}

function boundsOf(value: ImportedValue): readonly number[] {
  return typeof value === 'object' && 'bounds' in value ? value.bounds : []
}

function total(counts: readonly number[]): number {
  return counts.reduce((all, each) => all + each, 0)
}
