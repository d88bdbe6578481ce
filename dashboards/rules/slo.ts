// Service level objectives: how fast the error budget of 30 days burns, over two windows at a time, so that an alert
// comes soon for a fast burn, and not for one that is already over (Google SRE workbook, chapter 5).

import { FAILED, SERVED } from '../measures.ts'
import {
  binary,
  type Match,
  noneOf,
  oneOf,
  recorded,
  share,
  sum,
  total,
  upperBound,
  type Vector,
  type Where,
  type Window,
} from '../promql.ts'
import type { Objective } from './objectives.ts'
import { all, perService, type Requests, type Service } from './recording.ts'
import { alert, type Group, type Recording, type Rule } from './rule.ts'

/** Each pair fires when the budget burns `factor` times as fast as it may, over both windows. */
const BURNS = [
  { severity: 'critical', long: '1h', short: '5m', factor: 14.4, for: '2m', spent: '2 %' },
  { severity: 'critical', long: '6h', short: '30m', factor: 6, for: '15m', spent: '5 %' },
  { severity: 'warning', long: '1d', short: '2h', factor: 3, for: '1h', spent: '10 %' },
  { severity: 'warning', long: '3d', short: '6h', factor: 1, for: '3h', spent: '10 %' },
] as const

/** Windows that are looked at every minute; the longer ones change slowly and cost more, so each five minutes. */
const SHORT = ['5m', '30m', '1h'] as const
const LONG = ['2h', '6h', '1d', '3d'] as const
const LONG_INTERVAL = '5m'

type Served = Where<Service | 'span_kind' | 'status_code'>

/** Two groups for each kind of objective; throws for a time that the buckets of `from` cannot judge. */
export function sloGroups(objectives: readonly Objective[], from: Requests): Group[] {
  return (['availability', 'latency'] as const).flatMap(slo => {
    const parts = objectives.filter(each => each.slo === slo).map(each => rulesOf(each, from))
    if (parts.length === 0) return []
    return [
      { name: `pillion-slo-${slo}`, rules: parts.flatMap(({ short }) => short) },
      { name: `pillion-slo-${slo}-long`, interval: LONG_INTERVAL, rules: parts.flatMap(({ long }) => long) },
    ]
  })
}

const PREFIX = 'job_service:pillion_slo'

/** The series recorded for each objective and service, with the labels `slo` and `objective`; the SLO dashboard reads it. */
export const SLO = {
  /** The share of the requests that is promised, 0 to 1. */
  objective: `${PREFIX}_objective:ratio`,
  /** The part of the requests of the last 30 days that missed the objective. */
  missed30d: `${PREFIX}_missed:ratio_rate30d`,
  /** The part of the error budget of 30 days that is left; below 0 when more was spent than there was. */
  budget: `${PREFIX}_budget_remaining:ratio_30d`,
  /** The part of the requests of the last five minutes that missed the objective. */
  missed5m: `${PREFIX}_missed:ratio_rate5m`,
  /** The speed at which the budget burned in the last hour; 1 uses it up in 30 days. */
  burnRate: `${PREFIX}_burn_rate:ratio_1h`,
} as const

function rulesOf(objective: Objective, from: Requests): { short: Rule[]; long: Rule[] } {
  const { slo, percent, seconds, promise } = objective
  const where = of(objective, from)
  const by = perService(from)
  const bad =
    seconds === undefined
      ? (window: Window) => failed(from, where, window)
      : (window: Window) => slow(from, seconds, where, window)
  // Without the labels, two objectives would be recorded as the same series.
  const labels = { slo, objective: promise }
  const mine = (name: string) => recorded(`${name}{slo="${slo}", objective="${promise}"}`, by)
  const name = (window: Window) => `${PREFIX}_missed:ratio_rate${window}`
  const rate = (window: Window) => mine(name(window))
  const budget = Number((1 - percent / 100).toPrecision(6))
  const [should, missed] =
    seconds === undefined ? ['succeed', 'failed'] : [`be answered within ${seconds} s`, 'took longer']
  const record = (record: string, is: Vector<string>): Recording => ({ record, is, labels })
  const requests = `${PREFIX}_requests:rate5m`
  const misses = `${PREFIX}_missed:rate5m`
  return {
    short: [
      record(requests, sum(all.rate(from.calls, where), by)),
      ...SHORT.map(window => record(name(window), bad(window))),
      record(misses, binary(rate('5m'), '*', mine(requests))),
      record(SLO.objective, binary(binary(mine(requests), '*', '0'), '+', `${Number((percent / 100).toPrecision(8))}`)),
      record(SLO.burnRate, binary(rate('1h'), '/', `${budget}`)),
      ...BURNS.map(burn => {
        const limit = Number((burn.factor * budget).toPrecision(6))
        return alert({
          name: 'SloBudgetBurns',
          severity: burn.severity,
          labels: { ...labels, long_window: burn.long, short_window: burn.short },
          when: binary(binary(rate(burn.long), '>', `${limit}`), 'and', binary(rate(burn.short), '>', `${limit}`)),
          for: burn.for,
          summary: a => `${a.label(from.service)} spends its error budget for ${slo} too fast`,
          description: a =>
            `${percent} % of the requests should ${should}. In the last ${burn.long} ${a.value('humanizePercentage')} ${missed}, which is more than ${burn.factor} times the rate that the budget allows: ${burn.long} at this rate spends ${burn.spent} of the budget of 30 days.`,
          board: 'pillion-slo',
          at: ['job', 'namespace', from.service],
        })
      }),
    ],
    long: [
      ...LONG.map(window => record(name(window), bad(window))),
      // Of what was recorded: 30 days of the counters themselves would be too much to read. Each minute weighs as much as it
      // had requests.
      record(SLO.missed30d, share(total(mine(misses), '30d'), total(mine(requests), '30d'))),
      record(SLO.budget, binary('1', '-', binary(mine(SLO.missed30d), '/', `${budget}`))),
    ],
  }
}

/** The requests of the services that an objective is for. */
function of({ services }: Objective, { service }: Requests): Served {
  const named = (match: Match): Served => ({ ...SERVED, [service]: match })
  if ('only' in services) return named(services.only.length === 1 ? services.only[0]! : oneOf(services.only))
  if (services.except.length === 0) return SERVED
  return named(services.except.length === 1 ? { not: services.except[0]! } : noneOf(services.except))
}

/** The part of the requests that failed. */
function failed(from: Requests, where: Served, window: Window): Vector<'job' | 'namespace' | Service> {
  const by = perService(from)
  const { calls } = from
  return share(sum(all.rate(calls, { ...where, ...FAILED }, window), by), sum(all.rate(calls, where, window), by))
}

/**
 * The part of the requests that took longer than `seconds`, or than the next bound of a bucket above it: nobody knows where
 * between two bounds a request was, and who keeps the objective must not be paged.
 */
function slow(from: Requests, seconds: number, where: Served, window: Window): Vector<'job' | 'namespace' | Service> {
  const { latency } = from
  const by = perService(from)
  const bound = latency.buckets.find(bound => bound >= seconds)
  if (bound === undefined || seconds <= 0) {
    const { buckets } = latency
    const reach = buckets.length > 0 ? `reach from ${buckets[0]} s to ${buckets.at(-1)} s` : 'are none'
    throw new Error(
      `cannot tell which requests took ${seconds} s; the buckets of ${latency.name} ${reach} (spans.buckets)`,
    )
  }
  const within = sum(all.buckets(latency, { ...where, le: upperBound(bound) }, window), by)
  return binary('1', '-', share(within, sum(all.observed(latency, where, window), by)))
}

/** One sentence for each objective that lies between two bounds of buckets: what is judged instead, and how to mend it. */
export function inexact(objectives: readonly Objective[], { latency: { buckets } }: Requests): string[] {
  return objectives.flatMap(({ promise, seconds }) => {
    if (seconds === undefined || buckets.includes(seconds)) return []
    const next = buckets.find(bound => bound > seconds)
    const better = [...buckets, seconds]
      .sort((a, b) => a - b)
      .map(bound => `${Number((bound * 1000).toPrecision(12))}ms`)
    return [
      `latency=${promise} is judged at ${next} s, the next bucket above it. For ${seconds} s set spans.buckets: [${better.join(', ')}]`,
    ]
  })
}
