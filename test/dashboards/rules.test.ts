// The rules: promtool accepts them, every alert fires when it should and only then, and says what to do.

import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { printRules } from '../../dashboards/print.ts'
import * as prometheus from '../../dashboards/prometheus.ts'
import { CASES, SLO_CASES } from '../../dashboards/rules/cases.ts'
import { GROUPS } from '../../dashboards/rules.ts'
import { families } from '../../parts.ts'
import { missing } from '../e2e/programs.ts'
import { dashboards, parse, ROOT } from './files.ts'

const FILES = ['recording', 'alerts', 'slo'].map(name => join(ROOT, `dashboards/rules/pillion-${name}.yml`))
const TESTS = ['alerts', 'slo'].map(name => join(ROOT, `dashboards/rules/tests/pillion-${name}.yml`))
const promtool = missing('promtool', 'prometheus')

const alerts = [...GROUPS.alerts, ...GROUPS.slo].flatMap(({ rules }) => rules).filter(rule => 'name' in rule)
const recordings = [...GROUPS.recording, ...GROUPS.slo].flatMap(({ rules }) => rules).filter(rule => 'record' in rule)

t.test('promtool accepts the rules without a remark', { skip: promtool }, async t => {
  for (const file of FILES) {
    const { status, output } = run(['check', 'rules', '--lint=all', '--lint-fatal', file])
    t.equal(status, 0, output)
  }
})

t.test('each alert fires in its story and not in the other', { skip: promtool }, async t => {
  const { status, output } = run(['test', 'rules', ...TESTS])
  t.equal(status, 0, output)
})

t.test('every alert has a story of each kind', async t => {
  for (const { name, labels } of alerts) {
    if (!labels) t.equal(CASES.filter(({ alert }) => alert === name).length, 1, name)
    else {
      const { slo, long_window } = labels
      t.ok(
        SLO_CASES.some(each => each.slo === slo && each.fires === long_window),
        `${name} ${slo} ${long_window}`,
      )
      t.ok(
        SLO_CASES.some(each => each.slo === slo && !each.fires),
        `${name} ${slo} does not fire`,
      )
    }
  }
})

t.test('a story that is not true is noticed', { skip: promtool }, async t => {
  const [file] = TESTS
  const broken = readFileSync(file!, 'utf8').replace('1x2 0x5', '1x9').replaceAll('../', `${ROOT}/dashboards/rules/`)
  const copy = join(t.testdir({}), 'broken.yml')
  writeFileSync(copy, broken)
  const { status, output } = run(['test', 'rules', copy])
  t.equal(status, 1)
  t.match(output, /AppDown fires/)
})

t.test('every metric that a rule asks for is declared, or recorded by a rule', async t => {
  const known = new Set([
    ...[...families, ...Object.values(prometheus)].flatMap(({ kind, name }) =>
      kind === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    ),
    ...recordings.map(({ record }) => record),
  ])
  for (const rule of [...alerts, ...recordings]) {
    const { text } = 'name' in rule ? rule.when : rule.is
    const asked = parse(text)
    t.ok(asked?.length, `cannot parse ${text}`)
    for (const { metric } of asked ?? []) t.ok(known.has(metric), metric)
  }
})

t.test('every alert says what it is, what it means, where to look and what to do', async t => {
  const text = FILES.map(file => readFileSync(file, 'utf8')).join('\n')
  const runbooks = readFileSync(join(ROOT, 'docs/runbooks.md'), 'utf8')
  const sections = new Map(
    runbooks
      .split(/^## /m)
      .slice(1)
      .map(section => [/^\S+/.exec(section)![0].toLowerCase(), section] as const),
  )
  const anchors = new Set([...text.matchAll(/runbook_url: \S+#(\S+)/g)].map(([, anchor]) => anchor!))
  const boards = new Set([...text.matchAll(/dashboard_url: \/d\/([\w-]+)/g)].map(([, uid]) => uid!))
  for (const { name } of alerts) t.ok(anchors.has(name.toLowerCase()), name)
  for (const anchor of anchors) {
    for (const part of ['Meaning', 'Impact', 'Diagnosis', 'Mitigation'])
      t.match(sections.get(anchor), `**${part}.**`, `${anchor}: ${part}`)
  }
  t.equal(sections.size, anchors.size, 'there is no section without an alert')
  for (const uid of boards)
    t.ok(
      dashboards().some(each => each.uid === uid),
      uid,
    )
  const count = (word: string) => text.split(`      ${word}: `).length - 1
  for (const word of ['summary', 'description', 'runbook_url', 'dashboard_url'])
    t.equal(count(`    ${word}`), alerts.length, word)
  t.equal(count('    severity'), alerts.length)
})

t.test('the runbooks name panels that exist', async t => {
  const runbooks = readFileSync(join(ROOT, 'docs/runbooks.md'), 'utf8')
  const titles = new Set([...JSON.stringify(dashboards()).matchAll(/"title":"([^"]+)"/g)].map(([, title]) => title!))
  const named = [...runbooks.matchAll(/(?<!\*)\*([^*\n]+)\*(?!\*)/g)].map(([, title]) => title!)
  t.ok(named.length > 30)
  for (const title of named) t.ok(titles.has(title), title)
})

t.test('the verb prints rules for the objectives that are given', { skip: promtool }, async t => {
  const folder = t.testdir({})
  const print = async (...slo: string[]) => {
    const text = await printRules({
      slo,
      runbooks: 'https://wiki.example/runbooks',
      grafana: 'https://grafana.example',
    })
    const file = join(folder, 'rules.yml')
    writeFileSync(file, text)
    const { status, output } = run(['check', 'rules', '--lint=all', '--lint-fatal', file])
    t.equal(status, 0, output)
    return text
  }
  const plain = await print()
  t.notMatch(plain, 'SloBudgetBurns')
  t.match(plain, 'runbook_url: https://wiki.example/runbooks#appdown')
  t.match(plain, 'dashboard_url: https://grafana.example/d/pillion-health')

  const strict = await print('availability=99.95', 'latency=1s:95')
  t.match(strict, 'service:pillion_slo_availability_errors:ratio_rate1h > 0.0072', '14.4 × 0.05 %')
  t.match(strict, 'service:pillion_slo_latency_errors:ratio_rate6h > 0.3', '6 × 5 %')
  t.match(strict, '99.95 % of the requests should not fail')
  t.match(strict, '95 % of the requests should be answered within 1 s')
})

t.test('a threshold between two buckets is interpolated, and one on a bound is exact', async t => {
  const between = await printRules({ slo: ['latency=300ms:99'] })
  t.match(between, 'le="0.256"')
  t.match(between, 'le="0.512"')
  // (0.300 − 0.256) / (0.512 − 0.256)
  t.match(between, '* 0.171875)')
  t.match(between, '* 0.828125)')
  const exact = await printRules({ slo: ['latency=512ms:99'] })
  t.match(exact, 'le="0.512"')
  t.notMatch(exact, 'le="0.256"')
})

t.test('an objective that cannot be is refused with what to say instead', async t => {
  const f = async (slo: string, message: string) => t.rejects(printRules({ slo: [slo] }), { message })
  await f(
    'uptime=99',
    'cannot read the objective "uptime=99"; say availability=99.9 or latency=300ms:99 (99 % within 300 ms)',
  )
  await f(
    'latency=300:99',
    'cannot read the objective "latency=300:99"; say availability=99.9 or latency=300ms:99 (99 % within 300 ms)',
  )
  await f(
    'availability=100',
    'cannot promise 100 % for availability; give a number between 0 and 100, 99.9 for instance',
  )
  await f(
    'latency=60s:99',
    'cannot tell which requests took 60 s; the buckets of traces_spanmetrics_latency reach from 0.002 s to 16.384 s',
  )
})

function run(args: readonly string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8' })
  return { status, output: stdout + stderr }
}
