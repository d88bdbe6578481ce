// The rules as they are shipped, with a clock that runs faster: every duration of a rule (windows, `for`, `keep_firing_for`,
// `offset`, intervals) is divided by the same number, and so are the intervals of Prometheus and of the probes. Nothing
// else of an expression changes, so what takes fifteen minutes in life is shown within half a minute.

import { parse, stringify } from 'yaml'
import { rules } from '../../dashboards/rules.ts'

/** One second here stands for so many in life; SCALE in the environment lets it go slower on a machine that is busy. */
export const SCALE = Number(process.env['SCALE'] ?? 30)

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

/** "5m" → 300. Throws for anything else. */
export function seconds(duration: string): number {
  const [, n, unit] = /^(\d+)([smhd])$/.exec(duration) ?? []
  if (n === undefined)
    throw new Error(`cannot read the duration ${JSON.stringify(duration)}; write it as 90s, 5m, 1h or 1d`)
  return Number(n) * SECONDS[unit!]!
}

/** "5m" → "10000ms", as Prometheus reads it. */
export function scaled(duration: string): string {
  return `${Math.round((seconds(duration) * 1000) / SCALE)}ms`
}

/** The same expression over shorter windows. */
export function scaledExpression(promql: string): string {
  return promql.replace(
    /(\[|\boffset )(\d+[smhd])\b/g,
    (_, before: string, duration: string) => before + scaled(duration),
  )
}

interface Rule {
  alert?: string
  expr: string
  for?: string
  keep_firing_for?: string
}

/** The file for Prometheus. */
export async function scaledRules(slo: readonly string[]): Promise<string> {
  // The shape is that of Prometheus' own files; `rules` has written it.
  const file = parse(await rules({ slo })) as { groups: { interval?: string; rules: Rule[] }[] }
  for (const group of file.groups) {
    if (group.interval) group.interval = scaled(group.interval)
    for (const rule of group.rules) {
      rule.expr = scaledExpression(rule.expr)
      if (rule.for) rule.for = scaled(rule.for)
      if (rule.keep_firing_for) rule.keep_firing_for = scaled(rule.keep_firing_for)
    }
  }
  return stringify(file)
}
