// Recording rules and alerts for Prometheus, as code: `pillion rules` prints them for the request metrics as they are
// configured, with burn rates for the objectives that are given.

import { latency, requestFamilies, type SpansOptions } from '../processors/spans.ts'
import { appAlerts } from './rules/app.ts'
import { inhibitRules } from './rules/inhibit.ts'
import { parseObjectives } from './rules/objectives.ts'
import { recording, tellsSlow } from './rules/recording.ts'
import { type Group, type Places, RUNBOOKS, yaml } from './rules/rule.ts'
import { sidecarAlerts } from './rules/sidecar.ts'
import { inexact, sloGroups } from './rules/slo.ts'

export { type Alert, annotations, type Group, type Recording } from './rules/rule.ts'

export const PLACES: Places = { runbooks: RUNBOOKS, grafana: '' }

/** The options of the spans that decide what the rules have to ask for. */
export type Asked = Pick<SpansOptions, 'naming' | 'buckets'> &
  Partial<Pick<SpansOptions, 'kinds'>> & { readonly enabled?: boolean }

/** Why there are no metrics of requests, which are spans of the kinds server and consumer; undefined if there are. */
function unmeasured({ enabled, kinds }: Asked): string | undefined {
  if (enabled === false) return 'spans.enabled is false'
  if (kinds && !kinds.includes('server') && !kinds.includes('consumer'))
    return 'spans.kinds has neither server nor consumer'
  return undefined
}

const DEFAULTS: Asked = { naming: 'tempo', buckets: latency.buckets.map(seconds => seconds * 1000) }

/** The objectives of the committed example. */
const EXAMPLE = ['availability=99.9', 'latency=256ms:99']

/** All rules, by the files that are committed. */
export function groups(spans: Asked, slo: readonly string[]) {
  const from = requestFamilies(spans)
  const why = unmeasured(spans)
  if (why !== undefined) {
    if (slo.length > 0)
      throw new Error(`cannot judge an objective without request metrics: ${why}; set spans.enabled and spans.kinds`)
    return { recording: [], alerts: [appAlerts(undefined), sidecarAlerts], slo: [] } as const
  }
  return {
    recording: [recording(from)],
    alerts: [appAlerts(from), sidecarAlerts],
    slo: sloGroups(parseObjectives(slo), from),
  } as const
}

export const GROUPS = groups(DEFAULTS, EXAMPLE)

/** Where the rules go: a file for Prometheus, an object for its operator in Kubernetes, or what Alertmanager needs beside them. */
export const FORMATS = ['prometheus', 'kubernetes', 'alertmanager'] as const
export type Format = (typeof FORMATS)[number]

export interface RuleOptions extends Partial<Places> {
  readonly format?: Format
  /** "availability=99.9", "latency=300ms:99", "shop:latency=1s:95" */
  readonly slo?: readonly string[]
  readonly spans?: Asked
}

/** All rules in one file. Throws for an objective that cannot be read, or that the buckets cannot judge. */
export function rules({
  slo = [],
  spans = DEFAULTS,
  format = 'prometheus',
  ...places
}: RuleOptions = {}): Promise<string> {
  if (format === 'alertmanager') return inhibitRules()
  const { recording, alerts, slo: burns } = groups(spans, slo)
  const said = [
    'pillion rules',
    ...(format === 'kubernetes' ? ['--format kubernetes'] : []),
    ...slo.map(each => `--slo ${each}`),
  ].join(' ')
  const from = requestFamilies(spans)
  const head = [
    `Rules for applications that Pillion observes, printed by: ${said}`,
    unmeasured(spans) !== undefined
      ? `Those about requests are left out, since ${unmeasured(spans)}.`
      : `They ask for ${from.calls.name} and ${from.latency.name} with buckets up to ${from.latency.buckets.at(-1) ?? 0} s.`,
    ...(tellsSlow(from)
      ? []
      : ['AppHighLatency is left out: it needs a bucket (spans.buckets) that ends at 2 s or later.']),
    ...inexact(parseObjectives(slo), from),
  ]
  return yaml([...recording, ...alerts, ...burns], { ...PLACES, ...places }, head.join('\n'), format)
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
        'An example of objectives, and alerts on how fast their error budget burns. For your own say:\n  pillion rules --slo availability=99.9 --slo latency=256ms:99',
      ),
    ],
  ])
}
