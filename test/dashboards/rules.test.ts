// The rules: promtool accepts them, every alert fires when it should and only then, and says what to do.

import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parse as parseYaml } from 'yaml'
import { printRules as print } from '../../dashboards/print.ts'
import * as prometheus from '../../dashboards/prometheus.ts'
import { upperBound } from '../../dashboards/promql.ts'
import { APP_CASES } from '../../dashboards/rules/app-cases.ts'
import type { Line } from '../../dashboards/rules/case.ts'
import { INHIBITIONS } from '../../dashboards/rules/inhibit.ts'
import { SIDECAR_CASES } from '../../dashboards/rules/sidecar-cases.ts'
import { SLO_CASES } from '../../dashboards/rules/slo-cases.ts'
import { storyFiles } from '../../dashboards/rules/stories.ts'
import { GROUPS, PLACES, type RuleOptions } from '../../dashboards/rules.ts'
import { families } from '../../parts.ts'
import { absent, FOLDER } from '../deploy/judges.ts'
import { missing } from '../e2e/programs.ts'
import { dashboards, expand, parse, questions, ROOT } from './files.ts'

/** As the verb, with the spans of the configuration among the rest. */
const printRules = ({ spans, ...given }: RuleOptions = {}) => print(given, spans)

const FILES = ['recording', 'alerts', 'slo'].map(name => join(ROOT, `dashboards/rules/pillion-${name}.yml`))
const TESTS = ['alerts', 'slo'].map(name => join(ROOT, `dashboards/rules/tests/pillion-${name}.yml`))
const promtool = missing('promtool', 'prometheus')
const amtool = missing('amtool', 'prometheus-alertmanager')

const alerts = [...GROUPS.alerts, ...GROUPS.slo].flatMap(({ rules }) => rules).filter(rule => 'name' in rule)
const recordings = [...GROUPS.recording, ...GROUPS.slo].flatMap(({ rules }) => rules).filter(rule => 'record' in rule)

t.test('promtool accepts the rules without a remark', { skip: promtool }, async t => {
  for (const file of FILES) {
    const { status, output } = run(['check', 'rules', '--lint=all', '--lint-fatal', file])
    t.equal(status, 0, output)
  }
})

const pint = absent || missing(join(FOLDER, 'bin/pint'), '.ci/judges')
t.test('pint finds nothing wrong in the rules', { skip: pint && 'needs pint: .ci/judges' }, async t => {
  const lint = (...files: string[]) => {
    const args = ['--offline', '--no-color', 'lint', '--fail-on=warning', ...files]
    const { status, stdout, stderr } = spawnSync(join(FOLDER, 'bin/pint'), args, { encoding: 'utf8' })
    return { status, output: stdout + stderr }
  }
  const { status, output } = lint(...FILES)
  t.equal(status, 0, output)
  const wrong = join(t.testdir({}), 'wrong.yml')
  // A label that the aggregation has removed.
  writeFileSync(
    wrong,
    'groups: [{ name: x, rules: [{ alert: A, expr: sum(up) == 0, annotations: { summary: "{{ $labels.job }}" } }] }]\n',
  )
  t.not(lint(wrong).status, 0, 'it sees what is wrong')
})

t.test('each alert fires in its story and not in the other', { skip: promtool }, async t => {
  const { status, output } = run(['test', 'rules', ...TESTS])
  t.equal(status, 0, output)
})

t.test('every alert has a story of each kind', async t => {
  for (const { name, labels } of alerts) {
    if (!labels)
      t.ok(
        [...APP_CASES, ...SIDECAR_CASES].some(({ alert }) => alert === name),
        name,
      )
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

t.test(
  'where there are namespaces alerts keep theirs, and services of one name stay apart',
  { skip: promtool },
  async t => {
    for (const { text } of [...alerts.map(({ when }) => when), ...recordings.map(({ is }) => is)])
      for (const [, labels = ''] of text.matchAll(/\b(?:by|on) \(([^)]*)\)/g))
        if (labels.split(', ').includes('job')) t.match(labels, /\bnamespace\b/, text)
    const folder = t.testdir({})
    const stories = (await storyFiles(GROUPS.alerts, GROUPS.slo, PLACES, { namespace: 'production' })).get(
      'pillion-alerts.yml',
    )!
    const { tests, ...rest } = parseYaml(stories) as { tests: { name: string }[] }
    const some = tests.filter(({ name }) =>
      /^(?:AppHighErrorRatio|AppDown|SidecarDown|SidecarsFewer) fires$/.test(name),
    )
    t.ok(some.length >= 4)
    const kept = JSON.stringify({ ...rest, tests: some }).replaceAll('../', `${ROOT}/dashboards/rules/`)
    t.match(kept, '&var-job=pillion&var-namespace=production&var-service=shop')
    writeFileSync(join(folder, 'some.yml'), kept)
    const { status, output } = run(['test', 'rules', join(folder, 'some.yml')])
    t.equal(status, 0, output)
    // Half of the requests fail in one namespace, none in the other.
    const series = (namespace: string, status: string, values: string) => ({
      series: `traces_spanmetrics_calls_total{job="a", namespace="${namespace}", instance="b", service="shop", span_kind="SPAN_KIND_SERVER", status_code="STATUS_CODE_${status}"}`,
      values,
    })
    const file = join(folder, 'apart.yml')
    const expr = 'job_service:traces_spanmetrics_calls_errors:ratio_rate5m'
    writeFileSync(
      file,
      JSON.stringify({
        rule_files: FILES,
        tests: [
          {
            interval: '1m',
            input_series: [
              ...[series('production', 'UNSET', '0+60x20'), series('production', 'ERROR', '0+60x20')],
              ...[series('staging', 'UNSET', '0+60x20'), series('staging', 'ERROR', '0x20')],
            ],
            promql_expr_test: [
              {
                expr,
                eval_time: '15m',
                exp_samples: ['production', 'staging'].map((namespace, index) => ({
                  labels: `${expr}{job="a", namespace="${namespace}", service="shop"}`,
                  value: index === 0 ? 0.5 : 0,
                })),
              },
            ],
          },
        ],
      }),
    )
    const apart = run(['test', 'rules', file])
    t.equal(apart.status, 0, apart.output)
  },
)

t.test('nothing is recorded that nothing reads', async t => {
  const rules = [...recordings.map(({ is }) => is.text), ...alerts.map(({ when }) => when.text)]
  const panels = dashboards().flatMap(dashboard => questions(dashboard).map(({ target }) => expand(target.expr)))
  const read = new Set([...rules, ...panels].flatMap(text => parse(text)!.map(({ metric }) => metric)))
  for (const { record } of recordings) {
    t.ok(read.has(record), record)
    t.match(record, /^(job_instance_service|job_service):\w+:[a-z\d_]+$/, 'level:metric:operation')
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
  const printed = async (...slo: string[]) => {
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
  const plain = await printed()
  t.notMatch(plain, 'SloBudgetBurns')
  t.match(plain, 'runbook_url: https://wiki.example/runbooks#appdown')
  t.match(plain, 'dashboard_url: https://grafana.example/d/pillion-health')

  const strict = await printed('availability=99.95', 'latency=1s:95')
  t.match(
    strict,
    'job_service:pillion_slo_missed:ratio_rate1h{slo="availability", objective="99.95"} > 0.0072',
    '14.4 × 0.05 %',
  )
  t.match(strict, 'job_service:pillion_slo_missed:ratio_rate6h{slo="latency", objective="1s:95"} > 0.3', '6 × 5 %')
  t.match(
    strict,
    '99.95 % of the requests should succeed. In the last 1h {{ $value | humanizePercentage }} failed, which',
  )
  t.match(
    strict,
    '95 % of the requests should be answered within 1 s. In the last 1h {{ $value | humanizePercentage }} took longer, which',
  )
})

t.test('a threshold between two buckets is judged at the next one, and the rules say which buckets to set', async t => {
  const between = await printRules({ slo: ['latency=300ms:99'] })
  t.notMatch(between, 'le="0.256"')
  t.match(between, 'le="0.512"')
  t.match(
    between,
    '# latency=300ms:99 is judged at 0.512 s, the next bucket above it. For 0.3 s set spans.buckets: [2ms, ',
  )
  t.match(between, '256ms, 300ms, 512ms, ')
  const exact = await printRules({ slo: ['latency=512ms:99'] })
  t.match(exact, 'le="0.512"')
  t.notMatch(exact, 'is judged at')
})

t.test('a kept objective between two buckets pages nobody', { skip: promtool }, async t => {
  // All take 0.6 s, of which 0.7 s are allowed; the buckets only say that it was between 0.5 and 1 s.
  const lines = served('shop', { '0.5': 0, '1': 100, '2': 100 })
  await firing(t, { slo: ['latency=700ms:99'], spans: OWN }, lines, [])
})

t.test('an objective that cannot be is refused with what to say instead', async t => {
  const f = async (slo: string, message: string) => t.rejects(printRules({ slo: [slo] }), { message })
  await f(
    'uptime=99',
    'cannot read the objective "uptime=99"; say availability=99.9, latency=300ms:99 (99 % within 300 ms), or shop:latency=1s:95 for one service',
  )
  await f(
    'latency=300:99',
    'cannot read the objective "latency=300:99"; say availability=99.9, latency=300ms:99 (99 % within 300 ms), or shop:latency=1s:95 for one service',
  )
  await f(
    'availability=100',
    'cannot promise 100 % for availability; give a number between 0 and 100, 99.9 for instance',
  )
  await f(
    'latency=60s:99',
    'cannot tell which requests took 60 s; the buckets of traces_spanmetrics_latency reach from 0.002 s to 16.384 s (spans.buckets)',
  )
})

const TEMPO = ['traces_spanmetrics', '_latency', 'service'] as const
const OTEL = ['traces_span_metrics', '_duration_seconds', 'service_name'] as const

/**
 * A hundred requests a minute of one service, for 300 minutes: so many are served within each bound, "1.0" for instance, and
 * so many fail.
 */
function served(
  service: string,
  within: Readonly<Record<string, number>>,
  failed = 0,
  [prefix, latency, label] = [...TEMPO] as readonly string[],
): Line[] {
  const labels = (status: string) =>
    `job="pillion", instance="a:1", ${label}="${service}", span_name="GET /", span_kind="SPAN_KIND_SERVER", status_code="STATUS_CODE_${status}"`
  const grows = (count: number) => `0+${count}x300`
  return [
    [`${prefix}_calls_total{${labels('UNSET')}}`, grows(100 - failed)],
    [`${prefix}_calls_total{${labels('ERROR')}}`, grows(failed)],
    ...Object.entries({ ...within, '+Inf': 100 }).map(
      ([le, count]): Line => [`${prefix}${latency}_bucket{${labels('UNSET')}, le="${le}"}`, grows(count)],
    ),
    [`${prefix}${latency}_count{${labels('UNSET')}}`, grows(100)],
  ]
}

/** The alerts that fire after 20 minutes under these rules: "NAME service objective", whatever the windows. */
async function firing(t: Test, options: RuleOptions, lines: readonly Line[], expected: readonly string[]) {
  const folder = t.testdir({})
  writeFileSync(join(folder, 'rules.yml'), await printRules(options))
  const checked = run(['check', 'rules', '--lint=all', '--lint-fatal', join(folder, 'rules.yml')])
  t.equal(checked.status, 0, checked.output)
  const { stringify } = await import('yaml')
  const labels = ['alertname', 'service', 'service_name', 'objective']
  const samples = expected.map(text => {
    const [alertname, service, objective] = text.split(' ')
    const label = options.spans?.naming === 'otel' ? 'service_name' : 'service'
    const all = Object.entries({ alertname, [label]: service, objective })
    return { labels: `{${all.flatMap(([name, value]) => (value ? [`${name}="${value}"`] : [])).join(', ')}}`, value: 1 }
  })
  const test = {
    interval: '1m',
    input_series: lines.map(([series, values]) => ({ series, values })),
    promql_expr_test: [
      // Every rule but the one that a file of spans alone always breaks.
      {
        expr: `max by (${labels.join(', ')}) (ALERTS{alertstate="firing", alertname!="SidecarAbsent"})`,
        eval_time: '20m',
        exp_samples: samples,
      },
    ],
  }
  const body = { rule_files: ['rules.yml'], evaluation_interval: '1m', tests: [test] }
  writeFileSync(join(folder, 'test.yml'), stringify(body, { lineWidth: 0 }))
  const { status, output } = run(['test', 'rules', join(folder, 'test.yml')])
  t.equal(status, 0, output)
}

const OWN = { naming: 'tempo', buckets: [500, 1000, 2000] } as const

t.test(
  'an objective at a bound of the configured buckets fires, however the bound is spelled',
  { skip: promtool },
  async t => {
    const options = { slo: ['latency=1s:99'], spans: OWN }
    for (const one of ['1', '1.0']) {
      const two = one.replace('1', '2')
      // Every request takes 1.5 s.
      await firing(t, options, served('shop', { '0.5': 0, [one]: 0, [two]: 100 }), ['SloBudgetBurns shop 1s:99'])
      await firing(t, options, served('shop', { '0.5': 0, [one]: 100, [two]: 100 }), [])
    }
  },
)

t.test('a bound below 100 µs or from a million seconds on is matched in the spelling of Prometheus 3 too', async t => {
  const f = (seconds: number, expected: unknown) => t.same(upperBound(seconds), expected)
  f(0.25, '0.25')
  f(0.0001, '0.0001')
  f(1, { re: '1|1\\.0' })
  f(0.00005, { re: '0\\.00005|5e-05' })
  f(0.0000015, { re: '0\\.0000015|1\\.5e-06' })
  f(2_592_000, { re: '2592000|2592000\\.0|2\\.592e\\+06' })
})

t.test(
  'with spans.naming: otel all rules ask for the names of the connector, and fire',
  { skip: promtool },
  async t => {
    const options = { slo: ['availability=99', 'latency=1s:99'], spans: { ...OWN, naming: 'otel' } } as const
    await firing(t, options, served('shop', { '0.5': 0, '1.0': 0, '2.0': 100 }, 30, OTEL), [
      'AppHighErrorRatio shop',
      'SloBudgetBurns shop 99',
      'SloBudgetBurns shop 1s:99',
    ])
    const text = await printRules(options)
    t.notMatch(text, 'traces_spanmetrics')
    t.notMatch(text, /\bservice\b[ }=)]+(?:by|")/)
    t.match(text, 'summary: "{{ $labels.service_name }} fails')
    t.match(text, '&var-service={{ $labels.service_name | urlquery }}', 'the variable of the dashboard has one name')
  },
)

t.test('several objectives of one kind are judged each by itself', { skip: promtool }, async t => {
  // 80 % within 0.5 s, all within 2 s, and 3 % fail.
  const lines = served('shop', { '0.5': 80, '1': 90, '2': 100 }, 3)
  const slo = ['latency=500ms:99', 'latency=2s:99', 'availability=99.9', 'availability=90', 'availability=99.90']
  await firing(t, { slo, spans: OWN }, lines, ['SloBudgetBurns shop 500ms:99', 'SloBudgetBurns shop 99.9'])
})

t.test('a service with an objective of its own is left out of the general one', { skip: promtool }, async t => {
  const slow = { '0.5': 0, '1': 0, '2': 100 }
  const lines = [
    ...served('shop', slow),
    ...served('batch.job', slow),
    ...served('batchxjob', slow),
    ...served('pay', slow),
  ]
  const slo = ['latency=1s:99', 'batch.job:latency=2s:99', 'pay:latency=500ms:99']
  await firing(t, { slo, spans: OWN }, lines, [
    'SloBudgetBurns shop 1s:99',
    'SloBudgetBurns batchxjob 1s:99',
    'SloBudgetBurns pay 500ms:99',
  ])
  // Without a general one, nobody else is judged; and one promise may be made for several services.
  const some = ['shop:latency=1s:99', 'pay:latency=1000ms:99']
  await firing(t, { slo: some, spans: OWN }, lines, ['SloBudgetBurns shop 1s:99', 'SloBudgetBurns pay 1s:99'])
  // The kinds do not touch each other.
  await firing(t, { slo: ['latency=1s:99', 'pay:availability=99'], spans: OWN }, served('pay', slow), [
    'SloBudgetBurns pay 1s:99',
  ])
})

t.test('without buckets no latency can be judged', async t => {
  const spans = { ...OWN, buckets: [] }
  t.notMatch(await printRules({ spans }), 'undefined')
  await t.rejects(printRules({ spans, slo: ['latency=1s:99'] }), {
    message: 'cannot tell which requests took 1 s; the buckets of traces_spanmetrics_latency are none (spans.buckets)',
  })
})

t.test('without spans the rules about requests are left out, and an objective is refused', async t => {
  const spans = { ...OWN, enabled: false }
  const text = await printRules({ spans })
  t.notMatch(text, 'traces_spanmetrics')
  t.match(text, 'alert: AppDown')
  t.match(text, '# Those about requests are left out, since spans.enabled is false.')
  await t.rejects(printRules({ spans, slo: ['availability=99'] }), {
    message:
      'cannot judge an objective without request metrics: spans.enabled is false; set spans.enabled and spans.kinds',
  })
})

t.test('without spans of requests the rules about them are left out too', async t => {
  const client = await printRules({ spans: { ...OWN, kinds: ['client', 'internal'] } })
  t.notMatch(client, 'traces_spanmetrics')
  t.match(client, '# Those about requests are left out, since spans.kinds has neither server nor consumer.')
  t.match(await printRules({ spans: { ...OWN, kinds: ['consumer'] } }), 'alert: AppHighErrorRatio')
})

t.test(
  'AppHighLatency fires with buckets that end at two seconds, and is left out if they end before',
  { skip: promtool },
  async t => {
    const lines = served('shop', { '0.5': 0, '1.0': 0, '2.0': 50 })
    await firing(t, { spans: OWN }, lines, ['AppHighLatency shop'])
    const short = await printRules({ spans: { ...OWN, buckets: [500, 1000] } })
    t.notMatch(short, 'alert: AppHighLatency')
    t.match(short, '# AppHighLatency is left out: it needs a bucket (spans.buckets) that ends at 2 s or later.')
  },
)

t.test('the operator of Prometheus takes the same rules as an object', { skip: promtool }, async t => {
  const text = await print({ format: 'kubernetes', slo: ['availability=99.9'] })
  const { parse: parseYaml, stringify } = await import('yaml')
  const { apiVersion, kind, metadata, spec } = parseYaml(text) as Record<string, object>
  t.match({ apiVersion, kind, metadata }, { apiVersion: 'monitoring.coreos.com/v1', kind: 'PrometheusRule' })
  t.same(spec, parseYaml(await print({ slo: ['availability=99.9'] })))
  const file = join(t.testdir({}), 'rules.yml')
  writeFileSync(file, stringify(spec))
  const { status, output } = run(['check', 'rules', file])
  t.equal(status, 0, output)
})

t.test('Alertmanager takes the inhibit rules, and they name alerts that exist', { skip: amtool }, async t => {
  const text = await print({ format: 'alertmanager' })
  const file = join(t.testdir({}), 'alertmanager.yml')
  writeFileSync(file, `route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n${text}`)
  const { status, stdout, stderr } = spawnSync('amtool', ['check-config', file], { encoding: 'utf8' })
  t.equal(status, 0, stdout + stderr)
  // Besides these, one about two burn rates and one for each kind of objective.
  t.match(stdout, `${INHIBITIONS.length + 3} inhibit rules`)
  const names = new Set(alerts.map(({ name }) => name))
  for (const { of, silent, equal } of INHIBITIONS) {
    for (const name of [...of, ...silent]) t.ok(names.has(name), name)
    t.same(
      of.filter(name => silent.includes(name)),
      [],
      'none silences itself',
    )
    t.ok(equal.every(label => ['job', 'namespace', 'instance', 'probe'].includes(label)))
    if (equal.includes('job')) t.ok(equal.includes('namespace'), 'a fault in one namespace silences none in another')
  }
})

t.test('no alert silences one that is more severe', async t => {
  const RANK = { critical: 2, warning: 1, info: 0 }
  const rank = (name: string) => RANK[alerts.find(each => each.name === name)!.severity]
  for (const { of, silent } of INHIBITIONS)
    for (const source of of) for (const target of silent) t.ok(rank(source) >= rank(target), `${source} and ${target}`)
})

t.test('a format that does not exist is refused with those that do', async t => {
  await t.rejects(print({ format: 'xml' }), {
    message: '--format: there is no format xml; there are prometheus, kubernetes, alertmanager',
  })
})

function run(args: readonly string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8' })
  return { status, output: stdout + stderr }
}
