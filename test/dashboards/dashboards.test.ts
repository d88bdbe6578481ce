// The committed dashboards: sound by the rules of others and by our own, and made of metrics that exist.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse as parseYaml } from 'yaml'
import { healthUp, probeFailures } from '../../collectors/health.ts'
import { generateDashboards } from '../../dashboards/generate.ts'
import { bundled, printDashboards } from '../../dashboards/print.ts'
import * as prometheus from '../../dashboards/prometheus.ts'
import { count, max, quantile, select, share, sum } from '../../dashboards/promql.ts'
import { series } from '../../dashboards/query.ts'
import * as rules from '../../dashboards/recorded.ts'
import * as names from '../../dashboards/runtime/names.ts'
import { type Family, histogram } from '../../metrics/family.ts'
import { families } from '../../parts.ts'
import { otelCalls, otelDuration, otelEvents, otelLinks, targetInfo } from '../../processors/spans.ts'
import { type Dashboard, dashboards, expand, type Panel, panels, parse, questions, ROOT } from './files.ts'
import { RULES } from './linter.ts'

const declared: readonly Family[] = families
const { OBJECTIVE: _, ...recordings } = rules
const recorded: readonly Family[] = Object.values(recordings)
/** Metrics of applications. */
const foreign: readonly Family[] = Object.values(names).flatMap(group => Object.values<Family>(group))

t.test('the committed files are what the code says', async t => {
  for (const { path, text } of await generateDashboards()) {
    const file = join(ROOT, path)
    t.ok(existsSync(file) && readFileSync(file, 'utf8') === text, `${path} is fresh; otherwise: npm run generate`)
  }
})

const FOLDER = join(ROOT, 'dashboards/grafana')

/** Exceptions for the linter: rule → the dashboards, or their panels. */
interface Exceptions {
  readonly exclusions: Readonly<
    Record<string, { readonly entries: readonly { readonly dashboard: string; readonly panel?: string }[] }>
  >
}

t.test('grafana/dashboard-linter would find nothing but what it is told to leave alone, and all of that', async t => {
  t.equal(Object.keys(RULES).length, 17)
  const { exclusions } = parseYaml(readFileSync(join(FOLDER, '.lint'), 'utf8')) as Exceptions
  const used = new Set<object>()
  for (const dashboard of dashboards())
    for (const [name, rule] of Object.entries(RULES)) {
      const entries = (exclusions[name]?.entries ?? []).filter(each => each.dashboard === dashboard.title)
      const left = rule(dashboard).filter(fault => {
        const entry = entries.find(({ panel }) => panel === undefined || fault.startsWith(`${panel}:`))
        if (entry) used.add(entry)
        return !entry
      })
      t.same(left, [], `${dashboard.uid}: ${name}`)
    }
  t.equal(used.size, Object.values(exclusions).flatMap(({ entries }) => entries).length, 'no exception is superfluous')
})

t.test('each rule of the linter finds the fault that it is for', async t => {
  const f = (rule: string, spoil: (dashboard: Dashboard, panel: Panel) => unknown) => {
    const dashboard = dashboards().find(({ uid }) => uid === 'pillion-requests')!
    const panel = panels(dashboard).find(({ type }) => type === 'timeseries')!
    spoil(dashboard, panel)
    t.not(RULES[rule]!(dashboard).length, 0, rule)
  }
  const variable = (dashboard: Dashboard, name: string) => dashboard.templating.list.find(each => each.name === name)!
  const ask = (text: string) => (_: Dashboard, panel: Panel) => Object.assign(panel.targets![0]!, { expr: text })
  const scope = 'job=~"$job", instance=~"$instance"'
  f('template-datasource-rule', d => Object.assign(variable(d, 'prometheus_datasource'), { name: 'source' }))
  f('template-job-rule', d => Object.assign(variable(d, 'job'), { allValue: '.*' }))
  f('template-instance-rule', d => Object.assign(variable(d, 'instance'), { multi: false }))
  f('template-label-promql-rule', d => Object.assign(variable(d, 'service'), { query: 'label_values(x{, service)' }))
  f('template-on-time-change-reload-rule', d => Object.assign(variable(d, 'service'), { refresh: 1 }))
  f('panel-datasource-rule', (_, p) =>
    Object.assign(p, { datasource: { type: 'prometheus', uid: 'P1809F7CD0C75ACF3' } }),
  )
  f('panel-title-description-rule', (_, p) => Object.assign(p, { description: '' }))
  f('panel-units-rule', (_, p) => Object.assign(p.fieldConfig!.defaults, { unit: 'items/sec' }))
  f('panel-no-targets-rule', (_, p) => Object.assign(p, { targets: [] }))
  f('target-logql-rule', (_, p) => Object.assign(p, { datasource: { type: 'loki', uid: 'x' } }))
  f('target-logql-auto-rule', (_, p) => Object.assign(p, { datasource: { type: 'loki', uid: 'x' } }))
  f('target-promql-rule', ask(`sum by (a) rate(x{${scope}}[1m])`))
  f('target-rate-interval-rule', ask(`rate(x{${scope}}[5m])`))
  f('target-job-rule', ask('x{instance=~"$instance"}'))
  f('target-instance-rule', ask('x{job=~"$job"}'))
  f('target-counter-agg-rule', ask(`sum(x_total{${scope}})`))
  f('uneditable-dashboard', d => Object.assign(d, { editable: true }))
})

t.test('every way of importing takes them', async t => {
  const all = dashboards()
  t.equal(new Set(all.map(({ uid }) => uid)).size, all.length, 'uids are unique')
  for (const dashboard of all) {
    const text = JSON.stringify(dashboard)
    t.equal(dashboard.schemaVersion, 42, dashboard.uid)
    t.match(dashboard.uid, /^[a-z-]{1,40}$/)
    t.notMatch(text, /__inputs|__requires|__elements|DS_PROMETHEUS|"placement":"inControlsMenu"/, dashboard.uid)
    t.notOk('id' in dashboard || 'version' in dashboard || 'iteration' in dashboard, 'nothing of one installation')
    const variables = dashboard.templating.list.map(({ name }) => name)
    const leads = ['pillion-application', 'pillion-requests'].includes(dashboard.uid)
    t.same(variables.slice(0, leads ? 5 : 4), [
      'prometheus_datasource',
      ...(leads ? ['tempo_datasource'] : []),
      ...['job', 'namespace', dashboard.uid === 'pillion-slo' ? 'service' : 'instance'],
    ])
    for (const { current } of dashboard.templating.list) t.same(current, {}, 'no value of one installation')
    t.same(dashboard.tags, ['pillion'])
    t.ok(dashboard.links.some(({ type, tags }) => type === 'dashboards' && tags.includes('pillion')))
    t.ok(dashboard.annotations.list.some(({ builtIn }) => builtIn === 1))
  }
  const events = ['Starts', 'Health flips', 'OOM kills', 'Versions']
  for (const { uid, annotations } of all)
    if (!['pillion-sidecar', 'pillion-slo'].includes(uid))
      t.hasStrict(
        annotations.list.slice(1),
        events.map(name => ({ name })),
        uid,
      )
  t.same(
    dashboards()
      .find(({ uid }) => uid === 'pillion-requests')!
      .templating.list.map(({ name }) => name),
    ['prometheus_datasource', 'tempo_datasource', 'job', 'namespace', 'instance', 'service', 'span_name'],
  )
})

t.test('a mark is seen however long the time shown is, and a start stands where it was', async t => {
  for (const { uid, annotations } of dashboards())
    for (const { name, expr = '', useValueForTime } of annotations.list.slice(1)) {
      // Grafana asks for about 100 points: a fixed window would leave gaps between them.
      if (['Versions', 'Slow requests'].includes(name))
        t.match(expr, / unless .*\[1h\] offset \$__interval\)/, 'against the step before')
      else t.notMatch(expr, /\[\d/, `${uid} ${name}`)
      t.equal(useValueForTime, name.endsWith('tarts'))
      if (useValueForTime) t.match(expr, /^\w+_process_start_time_seconds\{.*\} \* 1000$/)
    }
})

t.test('a number of state is of now: what has gone since does not go on being up', async t => {
  for (const { uid, panels } of dashboards())
    for (const panel of panels) {
      if (panel.type !== 'stat' || !panel.fieldConfig?.defaults.mappings?.length) continue
      for (const target of panel.targets ?? []) t.equal(target.instant, true, `${uid} ${panel.title}`)
    }
})

t.test(
  'a share of failures and a duration are of now too: those of before an outage would say that all is well',
  async t => {
    const found = dashboards().flatMap(({ uid, panels }) =>
      panels
        .filter(({ type, title }) => type === 'stat' && /^(Errors|Latency)/.test(title))
        .map(panel => ({ uid, panel })),
    )
    t.ok(found.length >= 9)
    for (const { uid, panel } of found) {
      t.equal(panel.targets?.[0]?.instant, true, `${uid} ${panel.title}`)
      t.equal(panel.fieldConfig?.defaults.noValue, 'no requests now', `${uid} ${panel.title}`)
      // A quantile of nothing is NaN, which is painted green.
      if (panel.title?.startsWith('Latency')) t.match(panel.targets?.[0]?.expr, / >= 0$/, `${uid} ${panel.title}`)
    }
  },
)

t.test('ids are unique, nothing overlaps, and what is folded is inside its row', async t => {
  for (const dashboard of dashboards()) {
    const rows = dashboard.panels.filter(({ type }) => type === 'row')
    const ids = [...rows, ...panels(dashboard)].map(({ id }) => id)
    t.equal(new Set(ids).size, ids.length, dashboard.uid)
    t.ok(ids.every(id => Number.isInteger(id) && id > 0))
    t.same(overlaps(dashboard.panels), [], `${dashboard.uid}: what is open`)
    for (const row of rows) {
      t.equal(row.collapsed, (row.panels?.length ?? 0) > 0, `${dashboard.uid}: ${row.title}`)
      t.same(overlaps(row.panels ?? []), [], `${dashboard.uid}: ${row.title}`)
    }
    t.notOk(rows[0]?.collapsed, 'the first row answers "is it well"')
  }
})

t.test('every panel says what it shows, what is bad, and what it means when it is empty', async t => {
  for (const dashboard of dashboards())
    for (const panel of panels(dashboard)) {
      const name = `${dashboard.uid}: ${panel.title}`
      const { defaults } = panel.fieldConfig!
      t.ok((panel.description?.length ?? 0) > 20, `${name} is described`)
      t.ok(defaults.noValue, `${name} has a text for no data`)
      t.equal(defaults.thresholds?.steps[0]?.value, null, `${name} has thresholds`)
      t.equal(panel.datasource?.uid, `\${prometheus_datasource}`)
      const letters = (panel.targets ?? []).map(({ refId }) => refId).join('')
      t.equal(letters, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'.slice(0, panel.targets?.length), `${name}: queries are named`)
      if (panel.type === 'timeseries')
        t.hasStrict(panel.options?.legend, { showLegend: true, displayMode: 'table', calcs: ['mean', 'max'] }, name)
      if (panel.type === 'table') {
        const titles = Object.values(
          panel.transformations?.find(({ id }) => id === 'organize')?.options.renameByName ?? {},
        )
        t.ok(
          titles.includes(panel.options?.sortBy?.[0]?.displayName ?? ''),
          `${name} is sorted by a column that it has`,
        )
      }
      if (panel.type === 'stat') t.same(panel.options?.reduceOptions?.calcs, ['lastNotNull'], name)
    }
})

t.test('latency leads to traces', async t => {
  const all = dashboards().flatMap(questions)
  const traced = all.filter(({ target }) => target.exemplar)
  t.ok(traced.length >= 5)
  for (const { panel, target } of traced) t.notOk(target.instant, panel.title)
  const heat = all.filter(({ panel }) => panel.type === 'heatmap')
  t.ok(heat.length >= 2)
  for (const { target } of heat) t.match(target, { format: 'heatmap', legendFormat: '{{le}}', exemplar: true })
})

t.test('every variable is used, and every variable that is used is there', async t => {
  for (const dashboard of dashboards()) {
    const { list } = dashboard.templating
    const text = JSON.stringify([dashboard.panels, dashboard.annotations, list.map(({ query }) => query)])
    const used = new Set([...text.matchAll(/\$(?:\{(\w+)(?::\w+)?\}|(\w+))/g)].map(([, a, b]) => (a ?? b)!))
    for (const { name } of list) t.ok(used.has(name), `${dashboard.uid} uses $${name}`)
    for (const name of used)
      if (!name.startsWith('__'))
        t.ok(
          list.some(each => each.name === name),
          `${dashboard.uid} has $${name}`,
        )
  }
})

t.test('every metric that is asked for is declared, with the labels that are asked for', async t => {
  const known = new Map(
    [...declared, ...Object.values(prometheus), ...recorded, ...foreign].flatMap(family => samples(family)),
  )
  // An attribute of resources that the panels of versions ask for.
  known.set(targetInfo.name, new Set([...known.get(targetInfo.name)!, 'service_version']))
  for (const dashboard of dashboards()) {
    const annotations = dashboard.annotations.list.flatMap(({ expr }) => (expr ? [expr] : []))
    const values = dashboard.templating.list.flatMap(
      ({ query }) => /^label_values\((.*), (\w+)\)$/.exec(query ?? '') ?? [],
    )
    const texts = [...questions(dashboard).map(({ target }) => target.expr), ...annotations]
    for (const { metric, matchers } of texts.flatMap(text => parse(expand(text))!)) {
      const labels = known.get(metric)
      t.ok(labels, `${dashboard.uid}: ${metric}`)
      for (const matcher of matchers)
        t.ok(labels?.has(/^\w+/.exec(matcher)![0]), `${dashboard.uid}: ${metric} ${matcher}`)
    }
    for (let at = 0; at < values.length; at += 3) {
      const [selector] = parse(expand(values[at + 1]!))!
      t.ok(known.get(selector!.metric)?.has(values[at + 2]!), `${dashboard.uid}: ${values[at]}`)
    }
  }
})

/** Families that no panel shows, and why. */
const UNSHOWN = new Map<Family, string>([
  [otelCalls, 'shown by its Tempo name; with spans.naming: otel the Requests dashboard is empty'],
  [otelDuration, 'the same'],
  [otelEvents, 'the same'],
  [otelLinks, 'the same'],
])

t.test('every family is on some panel', async t => {
  const shown = new Set(
    dashboards()
      .flatMap(questions)
      .flatMap(({ target }) => parse(expand(target.expr))!.map(({ metric }) => metric)),
  )
  for (const family of declared) {
    const on = samples(family).some(([name]) => shown.has(name))
    t.equal(on, !UNSHOWN.has(family), `${family.name}: ${UNSHOWN.get(family) ?? 'shown'}`)
  }
})

t.test('a renamed metric, an unknown label or a rate of a gauge does not compile', async t => {
  const from = select({ where: {}, window: '5m' })
  const seconds = histogram('x_seconds', 'x', ['a'], [1])
  // @ts-expect-error a gauge has no rate
  t.ok(from.rate(healthUp))
  // @ts-expect-error a counter has no plain value
  t.ok(from.value(probeFailures))
  // @ts-expect-error there is no such label to select by
  t.ok(from.value(healthUp, { prob: 'liveness' }))
  // @ts-expect-error there is no such label to group by
  t.ok(sum(from.rate(probeFailures), ['phase']))
  // @ts-expect-error a quantile needs le
  t.ok(quantile(0.9, sum(from.buckets(seconds), ['a'])))
  // @ts-expect-error the sum has lost the label that the legend names
  t.ok(series(sum(from.rate(probeFailures), ['probe']), '{{reason}}'))
  // @ts-expect-error there is no such window
  t.ok(from.rate(probeFailures, {}, '5 minutes'))
})

t.test('expressions are written as PromQL wants them', async t => {
  const f = (v: { text: string }, expected: string) => t.equal(v.text, expected)
  const from = select({ where: { job: { re: '$job' } }, window: '$__rate_interval' })
  const failed = from.rate(probeFailures, { reason: { not: 'local' }, probe: 'a"b' })
  f(failed, 'rate(app_health_probe_failures_total{reason!="local", probe="a\\"b", job=~"$job"}[$__rate_interval])')
  f(max(from.value(healthUp)), 'max(app_health_up{job=~"$job"})')
  f(
    share(sum(from.rate(probeFailures), ['probe']), count(from.rate(probeFailures), ['probe'])),
    'sum by (probe) (rate(app_health_probe_failures_total{job=~"$job"}[$__rate_interval])) / (count by (probe) (rate(app_health_probe_failures_total{job=~"$job"}[$__rate_interval])) > 0)',
  )
})

t.test('the verb lists the dashboards, or writes them', async t => {
  const all = await bundled()
  t.equal(all.length, 8)
  for (const { file, uid, title, about, text } of all) {
    t.equal(file, `${uid}.json`)
    t.ok(title && about)
    t.equal(text, readFileSync(join(ROOT, 'dashboards/grafana', file), 'utf8'))
  }
  const list = await printDashboards()
  for (const { file, title } of all) t.ok(list.includes(file) && list.includes(title))
  const folder = join(t.testdir({}), 'not', 'there')
  t.same(
    (await printDashboards({ out: folder })).trim().split('\n'),
    all.map(({ file }) => join(folder, file)),
  )
  for (const { file, text } of all) t.equal(readFileSync(join(folder, file), 'utf8'), text)
})

t.test('nothing that runs in production loads the SDK that writes dashboards', async t => {
  const program = `const { printDashboards, printRules } = await import(${JSON.stringify(join(ROOT, 'dashboards/print.ts'))})
    await printDashboards(); await printRules()
    const { createRequire } = await import('node:module')
    console.log(Object.keys(createRequire(import.meta.url).cache).filter(name => name.includes('@grafana')).length)`
  const output = execFileSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8' })
  t.equal(output.trim(), '0')
})

/** Names of the samples of a family, each with its labels. */
function samples({ kind, name, labels }: Family): [name: string, labels: ReadonlySet<string>][] {
  const all = new Set([...labels, 'job', 'namespace', 'instance'])
  if (kind !== 'histogram') return [[name, all]]
  return [
    [`${name}_bucket`, new Set([...all, 'le'])],
    [`${name}_sum`, all],
    [`${name}_count`, all],
  ]
}

/** Pairs of panels that share a place. */
function overlaps(all: readonly Panel[]): string[] {
  return all.flatMap((a, index) =>
    all.slice(index + 1).flatMap(b => {
      const [p, q] = [a.gridPos, b.gridPos]
      const apart = p.x + p.w <= q.x || q.x + q.w <= p.x || p.y + p.h <= q.y || q.y + q.h <= p.y
      return apart ? [] : [`${a.title} and ${b.title}`]
    }),
  )
}
