// The cases as files that `promtool test rules` runs: what is fed in, when it is looked at, and what must fire then.

import { APP_CASES } from './app-cases.ts'
import { type Case, type Line, TARGET } from './case.ts'
import { type Alert, annotations, type Group, type Places } from './rule.ts'
import { SIDECAR_CASES } from './sidecar-cases.ts'
import { SLO_CASES, type SloCase, sloLines } from './slo-cases.ts'

type Labels = Readonly<Record<string, string>>

/** Tests of the alerts and of the example of objectives: file name → text. All that is scraped has the labels `more`. */
export async function storyFiles(
  alerts: readonly Group[],
  slo: readonly Group[],
  places: Places,
  more: Labels = {},
): Promise<ReadonlyMap<string, string>> {
  const known = all(alerts)
  const burns = all(slo)
  const files = ['../pillion-recording.yml', '../pillion-alerts.yml']
  return new Map([
    [
      'pillion-alerts.yml',
      await text(
        files,
        [...APP_CASES, ...SIDECAR_CASES].flatMap(each => both(each, find(known, each), places, more)),
      ),
    ],
    [
      'pillion-slo.yml',
      await text(
        ['../pillion-slo.yml'],
        SLO_CASES.map(each => burning(each, burns, places, more)),
        // Its shortest rate is over five minutes; more often would only take longer.
        '5m',
      ),
    ],
  ])
}

function all(groups: readonly Group[]): Alert[] {
  return groups.flatMap(group => group.rules).filter(rule => 'name' in rule)
}

function find(alerts: readonly Alert[], { alert }: Case): Alert {
  const found = alerts.find(({ name }) => name === alert)
  if (!found) throw new Error(`cannot test the alert ${alert}: there is none of that name; mend cases.ts`)
  return found
}

function both(each: Case, alert: Alert, places: Places, more: Labels): object[] {
  const target = Object.entries(TARGET).filter(([label]) => !each.without?.includes(label))
  // One that has lost its job has lost all.
  const kept = each.without?.includes('job') ? {} : more
  const labels = { ...Object.fromEntries(target), ...kept, ...each.labels }
  return [
    test(`${each.alert} fires`, each.alert, each.fires.at, placed(each.fires.lines, more), [
      expected(alert, labels, each.shown, places),
    ]),
    test(`${each.alert} does not fire`, each.alert, each.quiet.at, placed(each.quiet.lines, more), []),
  ]
}

function burning(each: SloCase, burns: readonly Alert[], places: Places, more: Labels): object {
  const { slo, missed, at, fires } = each
  const firing = burns.filter(({ labels }) => labels?.['slo'] === slo && labels['long_window'] === fires)
  const labels = { job: TARGET.job, ...more, service: 'shop' }
  return test(
    `${missed} % miss ${slo} for ${at}`,
    'SloBudgetBurns',
    at,
    placed(sloLines(each), more),
    firing.map(alert => expected(alert, labels, `${missed}%`, places)),
  )
}

function placed(lines: readonly Line[], more: Labels): readonly Line[] {
  const labels = Object.entries(more).map(([name, value]) => `${name}="${value}", `)
  return lines.map(([series, values]) => [series.replace('{', `{${labels.join('')}`), values])
}

function test(name: string, alertname: string, at: string, lines: readonly Line[], expected: readonly object[]) {
  return {
    name,
    interval: '1m',
    input_series: lines.map(([series, values]) => ({ series, values })),
    alert_rule_test: [{ eval_time: at, alertname, exp_alerts: expected }],
  }
}

function expected(
  alert: Alert,
  labels: Readonly<Record<string, string>>,
  shown: string | undefined,
  places: Places,
): object {
  const label = (name: string) => labels[name] ?? ''
  // As Go's url.QueryEscape writes it.
  const link = (name: string) => encodeURIComponent(label(name)).replaceAll('%20', '+')
  const given = (name: string, text: string) => (label(name) ? text : '')
  const told = { label, link, given, value: () => shown ?? '' }
  return {
    exp_labels: { ...labels, severity: alert.severity, ...alert.labels },
    exp_annotations: annotations(alert, places, told),
  }
}

async function text(files: readonly string[], tests: readonly object[], interval = '1m'): Promise<string> {
  const { stringify } = await import('yaml')
  const body = { rule_files: files, evaluation_interval: interval, tests }
  return `# Generated: npm run generate. Run: promtool test rules dashboards/rules/tests/*.yml\n${stringify(body, { lineWidth: 0, aliasDuplicateObjects: false })}`
}
