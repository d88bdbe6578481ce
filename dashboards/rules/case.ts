// A case of an alert, and the series of a shop and their values from which cases are made, for `promtool test rules`.

import type { Family } from '../../metrics/family.ts'
import { calls, latency } from '../../processors/spans.ts'

export interface Case {
  readonly alert: string
  /** Labels of the alert that fires, beside job, instance and severity. */
  readonly labels?: Readonly<Record<string, string>>
  /** Labels that the alert has lost, of job and instance. */
  readonly without?: readonly string[]
  /** The value as the texts show it, if they do. */
  readonly shown?: string
  readonly fires: Story
  readonly quiet: Story
}

export interface Story {
  readonly at: `${number}m`
  readonly lines: readonly Line[]
}

/** A series and its values, one a minute: "1x3 0x10" is 1 four times, then 0 eleven times. */
export type Line = readonly [series: string, values: string]

export const TARGET = { job: 'pillion', instance: 'shop:19464' } as const

export function line<L extends string>(
  f: Family<L>,
  labels: Readonly<Record<L, string>>,
  values: string,
  suffix = '',
): Line {
  const all = { ...TARGET, ...labels }
  const text = Object.entries(all).map(([name, value]) => `${name}="${value}"`)
  return [`${f.name}${suffix}{${text.join(', ')}}`, values]
}

/** The line as another instance has it. */
export function onInstance(instance: string, [series, values]: Line): Line {
  return [series.replace(`instance="${TARGET.instance}"`, `instance="${instance}"`), values]
}

/** A counter that grows by `step` a minute, for so many minutes. */
export const growing = (step: number, minutes: number) => `0+${step}x${minutes}`

const SPAN = { service: 'shop', span_name: 'GET /', span_kind: 'SPAN_KIND_SERVER' } as const
export const good = { ...SPAN, status_code: 'STATUS_CODE_UNSET' }
export const bad = { ...SPAN, status_code: 'STATUS_CODE_ERROR' }
export const SERVICE = { service: 'shop' }

export const traffic = (ok: string, failed: string): Line[] => [line(calls, good, ok), line(calls, bad, failed)]

/** Requests of which all take less than `slowest` and none less than half of it, in the buckets that matter. */
export function timed(slowest: number, minutes: number): Line[] {
  const bounds = [...latency.buckets.map(String), '+Inf']
  const grows = growing(60, minutes)
  return [
    line(calls, good, grows),
    ...bounds.map(le =>
      line({ ...latency, labels: [] }, { ...good, le }, reach(le) >= slowest ? grows : growing(0, minutes), '_bucket'),
    ),
  ]
}

/** The upper bound of a bucket. */
export const reach = (le: string) => (le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le))
