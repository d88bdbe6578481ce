// The cases as files that `promtool test rules` runs: what is fed in, when it is looked at, and what must fire then.

import { CASES, type Case, type Line, SLO_CASES, type SloCase, sloLines, TARGET } from './cases.ts'
import { type Alert, annotations, type Group, type Places } from './rule.ts'

/** Tests of the alerts and of the example of objectives: file name → text. */
export async function storyFiles(
  alerts: readonly Group[],
  slo: readonly Group[],
  places: Places,
): Promise<ReadonlyMap<string, string>> {
  const known = all(alerts)
  const burns = all(slo)
  const files = ['../pillion-recording.yml', '../pillion-alerts.yml']
  return new Map([
    [
      'pillion-alerts.yml',
      await text(
        files,
        CASES.flatMap(each => both(each, find(known, each), places)),
      ),
    ],
    [
      'pillion-slo.yml',
      await text(
        ['../pillion-slo.yml'],
        SLO_CASES.map(each => burning(each, burns, places)),
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

function both(each: Case, alert: Alert, places: Places): object[] {
  const target = Object.entries(TARGET).filter(([label]) => !each.without?.includes(label))
  const labels = { ...Object.fromEntries(target), ...each.labels }
  return [
    test(`${each.alert} fires`, each.alert, each.fires.at, each.fires.lines, [
      expected(alert, labels, each.shown, places),
    ]),
    test(`${each.alert} does not fire`, each.alert, each.quiet.at, each.quiet.lines, []),
  ]
}

function burning(each: SloCase, burns: readonly Alert[], places: Places): object {
  const { slo, missed, at, fires } = each
  const firing = burns.filter(({ labels }) => labels?.['slo'] === slo && labels['long_window'] === fires)
  const labels = { job: TARGET.job, service: 'shop' }
  return test(
    `${missed} % miss ${slo} for ${at}`,
    'SloBudgetBurns',
    at,
    sloLines(each),
    firing.map(alert => expected(alert, labels, `${missed}%`, places)),
  )
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
  const told = { label: (name: string) => labels[name] ?? '', value: () => shown ?? '' }
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
