// The stages behind metrics: the largest or smallest series at each time, and comparisons that drop samples.

import { ordered } from './operate.ts'
import type { FoundSeries } from './results.ts'
import { float } from './static.ts'
import { valueText } from './text.ts'
import type { Second } from './tree.ts'

export function after(seconds: readonly Second[], series: readonly FoundSeries[]): FoundSeries[] {
  let left = [...series]
  for (const second of seconds) {
    left =
      second.kind === 'comparison'
        ? left.map(each => kept(each, ({ value }) => passes(second, value)))
        : ranked(left, second.limit, second.kind === 'topk')
    left = left.filter(({ samples }) => samples.length > 0)
  }
  return left
}

function passes({ operator, value: limit }: Second & { kind: 'comparison' }, value: number): boolean {
  // Values of times are in seconds.
  const number = limit.type === 'duration' ? float(limit) / 1e9 : float(limit)
  return ordered(operator, value < number ? -1 : value > number ? 1 : value === number ? 0 : Number.NaN)
}

function kept(
  series: FoundSeries,
  keep: (sample: { readonly ms: number; readonly value: number }) => boolean,
): FoundSeries {
  return { ...series, samples: series.samples.filter(keep) }
}

/** At each time the `limit` largest or smallest; equal ones by their labels. */
function ranked(series: readonly FoundSeries[], limit: number, largest: boolean): FoundSeries[] {
  if (series.length <= limit) return [...series]
  const names = new Map(
    series.map(each => [each, each.labels.map(([key, value]) => `${key}=${valueText(value as never)}`).join()]),
  )
  const byTime = new Map<number, { readonly series: FoundSeries; readonly value: number }[]>()
  for (const each of series)
    for (const { ms, value } of each.samples) {
      const all = byTime.get(ms) ?? []
      byTime.set(ms, all)
      all.push({ series: each, value })
    }
  const winners = new Map<number, ReadonlySet<FoundSeries>>()
  for (const [ms, all] of byTime) {
    all.sort(
      (a, b) =>
        (largest ? b.value - a.value : a.value - b.value) || (names.get(a.series)! < names.get(b.series)! ? -1 : 1),
    )
    winners.set(ms, new Set(all.slice(0, limit).map(each => each.series)))
  }
  return series.map(each => kept(each, ({ ms }) => winners.get(ms)!.has(each)))
}
