// Service level objectives: how fast the error budget of 30 days burns, over two windows at a time, so that an alert
// comes soon for a fast burn and not at all for what is over already (Google SRE workbook, chapter 5).

import { calls, latency } from '../../collectors/spans.ts'
import { FAILED, SERVED } from '../measures.ts'
import { binary, recorded, share, sum, type Vector, type Window } from '../promql.ts'
import { all } from './recording.ts'
import { alert, type Group, type Recording } from './rule.ts'

export interface Objectives {
  /** Per cent of the requests that must not fail, 99.9 for instance. */
  readonly availability?: number
  /** Per cent of the requests that must be answered within so many seconds. */
  readonly latency?: { readonly seconds: number; readonly percent: number }
}

const PER_SERVICE = ['job', 'service'] as const
type Service = (typeof PER_SERVICE)[number]

const WINDOWS = ['5m', '30m', '1h', '2h', '6h', '1d', '3d'] as const

/** Each pair fires when the budget burns `factor` times as fast as it may, over both windows. */
const BURNS = [
  { severity: 'critical', long: '1h', short: '5m', factor: 14.4, for: '2m', spent: '2 %' },
  { severity: 'critical', long: '6h', short: '30m', factor: 6, for: '15m', spent: '5 %' },
  { severity: 'warning', long: '1d', short: '2h', factor: 3, for: '1h', spent: '10 %' },
  { severity: 'warning', long: '3d', short: '6h', factor: 1, for: '3h', spent: '10 %' },
] as const

/** The groups for these objectives; throws for an objective that no application could miss or meet. */
export function sloGroups(objectives: Objectives): Group[] {
  const groups: Group[] = []
  const { availability, latency: fast } = objectives
  if (availability !== undefined)
    groups.push(
      group('availability', availability, 'not fail', window =>
        share(sum(all.rate(calls, FAILED, window), PER_SERVICE), sum(all.rate(calls, SERVED, window), PER_SERVICE)),
      ),
    )
  if (fast !== undefined)
    groups.push(
      group('latency', fast.percent, `be answered within ${fast.seconds} s`, window => slow(fast.seconds, window)),
    )
  return groups
}

/** Reads what follows --slo: "availability=99.9" or "latency=300ms:99". */
export function parseObjectives(texts: readonly string[]): Objectives {
  const found: { availability?: number; latency?: { seconds: number; percent: number } } = {}
  for (const text of texts) {
    const [, percent] = /^availability=(\d+(?:\.\d+)?)$/.exec(text) ?? []
    const [, time, unit, part] = /^latency=(\d+(?:\.\d+)?)(ms|s):(\d+(?:\.\d+)?)$/.exec(text) ?? []
    if (percent !== undefined) found.availability = Number(percent)
    else if (part !== undefined)
      found.latency = { seconds: Number(time) / (unit === 'ms' ? 1000 : 1), percent: Number(part) }
    else
      throw new Error(
        `cannot read the objective ${JSON.stringify(text)}; say availability=99.9 or latency=300ms:99 (99 % within 300 ms)`,
      )
  }
  return found
}

function group(slo: 'availability' | 'latency', percent: number, promise: string, bad: Bad): Group {
  if (!(percent > 0 && percent < 100))
    throw new Error(`cannot promise ${percent} % for ${slo}; give a number between 0 and 100, 99.9 for instance`)
  const budget = Number((1 - percent / 100).toPrecision(6))
  const name = (window: Window) => `service:pillion_slo_${slo}_errors:ratio_rate${window}`
  const rate = (window: Window): Vector<Service> => recorded(name(window), PER_SERVICE)
  const recordings: Recording[] = WINDOWS.map(window => ({ record: name(window), is: bad(window) }))
  const alerts = BURNS.map(burn => {
    const limit = Number((burn.factor * budget).toPrecision(6))
    return alert({
      name: 'SloBudgetBurns',
      severity: burn.severity,
      labels: { slo, long_window: burn.long, short_window: burn.short },
      when: binary(binary(rate(burn.long), '>', `${limit}`), 'and', binary(rate(burn.short), '>', `${limit}`)),
      for: burn.for,
      summary: a => `${a.label('service')} spends its budget for ${slo} too fast`,
      description: a =>
        `${percent} % of the requests should ${promise}. In the last ${burn.long} ${a.value('humanizePercentage')} did not, which is more than ${burn.factor} times the budget: going on like this for ${burn.long} spends ${burn.spent} of what 30 days allow.`,
      board: 'pillion-requests',
      at: ['job', 'service'],
    })
  })
  return { name: `pillion-slo-${slo}`, rules: [...recordings, ...alerts] }
}

/** The part of the requests that an objective counts as bad, over a window. */
type Bad = (window: Window) => Vector<Service>

/** Requests slower than `seconds`: 1 − those within it. Between two bounds of buckets they are taken as evenly spread, as histogram_quantile does. */
function slow(seconds: number, window: Window): Vector<Service> {
  const { buckets } = latency
  const above = buckets.findIndex(bound => bound >= seconds)
  if (above < 0 || seconds <= 0)
    throw new Error(
      `cannot tell which requests took ${seconds} s; the buckets of ${latency.name} reach from ${buckets[0]} s to ${buckets.at(-1)} s`,
    )
  const upper = buckets[above]!
  const lower = buckets[above - 1] ?? 0
  const weight = Number(((seconds - lower) / (upper - lower)).toPrecision(6))
  const within = (bound: number) => sum(all.buckets(latency, { ...SERVED, le: String(bound) }, window), PER_SERVICE)
  const whole = sum(all.observed(latency, SERVED, window), PER_SERVICE)
  const part = (bound: number, weight: number) => binary(within(bound), '*', `${Number(weight.toPrecision(6))}`)
  const fast =
    weight === 1
      ? within(upper)
      : lower === 0
        ? part(upper, weight)
        : binary(part(lower, 1 - weight), '+', part(upper, weight))
  return binary('1', '-', share(fast, whole))
}
