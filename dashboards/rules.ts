// Recording rules and alerts for Prometheus, as code: `pillion rules` prints them, with burn rates for the objectives
// that are given.

import { appAlerts } from './rules/app.ts'
import { recording } from './rules/recording.ts'
import { type Group, type Places, RUNBOOKS, yaml } from './rules/rule.ts'
import { sidecarAlerts } from './rules/sidecar.ts'
import { type Objectives, parseObjectives, sloGroups } from './rules/slo.ts'

export { type Alert, annotations, type Group, type Recording } from './rules/rule.ts'

export const PLACES: Places = { runbooks: RUNBOOKS, grafana: '' }

/** The objectives of the committed example. */
const EXAMPLE: Objectives = { availability: 99.9, latency: { seconds: 0.3, percent: 99 } }

export const GROUPS = { recording: [recording], alerts: [appAlerts, sidecarAlerts], slo: sloGroups(EXAMPLE) } as const

export interface RuleOptions extends Partial<Places> {
  /** "availability=99.9", "latency=300ms:99" */
  readonly slo?: readonly string[]
}

/** All rules in one file. Throws for an objective that cannot be read. */
export function rules({ slo = [], ...places }: RuleOptions = {}): Promise<string> {
  const groups: readonly Group[] = [...GROUPS.recording, ...GROUPS.alerts, ...sloGroups(parseObjectives(slo))]
  const said = ['pillion rules', ...slo.map(each => `--slo ${each}`)].join(' ')
  return yaml(groups, { ...PLACES, ...places }, `Rules for applications that Pillion observes, printed by: ${said}`)
}

/** The files that are committed: path below rules/ → text. */
export async function ruleFiles(): Promise<ReadonlyMap<string, string>> {
  const file = (groups: readonly Group[], head: string) => yaml(groups, PLACES, `${head}\nGenerated: npm run generate.`)
  return new Map([
    ['pillion-recording.yml', await file(GROUPS.recording, 'Recording rules, which the alerts need.')],
    ['pillion-alerts.yml', await file(GROUPS.alerts, 'Alerts; load pillion-recording.yml with them.')],
    [
      'pillion-slo.yml',
      await file(
        GROUPS.slo,
        'An example of objectives, and alerts on how fast their error budget burns. For your own say:\n  pillion rules --slo availability=99.9 --slo latency=300ms:99',
      ),
    ],
  ])
}
