// The rules of grafana/dashboard-linter (lint/rules.go at 1be3836), which no package registry has. Each returns the mistakes.
// Where the linter itself is installed, dashboards.test.ts runs it too (docs/decisions/0028-the-linter-of-dashboards.md).

import { type Dashboard, expand, type Panel, panels, parse, questions, type Selector, type Source } from './files.ts'

type Rule = (dashboard: Dashboard) => string[]

const DESCRIBED = ['stat', 'singlestat', 'graph', 'table', 'timeseries', 'gauge']
const SOURCED = ['singlestat', 'graph', 'table', 'timeseries']
const ASKING = ['singlestat', 'gauge', 'table', 'stat', 'state-timeline', 'timeseries']

/** Units that the linter knows; it has a list of its own, which is older than Grafana's. */
const UNITS = ['Bps', 'bytes', 'cps', 'dateTimeAsIso', 'dtdurations', 'none', 'percentunit', 'reqps', 's', 'short']

export const RULES: Readonly<Record<string, Rule>> = {
  'template-datasource-rule': dashboard => {
    const sources = dashboard.templating.list.filter(({ type }) => type === 'datasource')
    if (sources.length === 0) return ['no variable for the data source']
    return sources.flatMap(({ name, label, query }) => [
      ...(name === `${query}_datasource` ? [] : [`the data source is called ${name}`]),
      ...(label?.toLowerCase() === `${query} data source` ? [] : [`its label is ${label}`]),
    ])
  },
  'template-job-rule': dashboard => target(dashboard, 'job', 'Job'),
  'template-instance-rule': dashboard => target(dashboard, 'instance', 'Instance'),
  'template-label-promql-rule': dashboard =>
    asked(dashboard).flatMap(({ name, query = '' }) => {
      const [, fn, inner = ''] = /^(label_names|label_values|metrics|query_result)\((.*)\)$/.exec(query) ?? []
      const promql = fn === 'label_values' ? inner.replace(/,\s*\w+$/, '') : inner
      return fn && (fn !== 'label_values' || promql !== inner) && parse(expand(promql)) ? [] : [`${name}: ${query}`]
    }),
  'template-on-time-change-reload-rule': dashboard =>
    asked(dashboard).flatMap(({ name, refresh }) => (refresh === 2 ? [] : [`${name} is refreshed by ${refresh}`])),
  'panel-datasource-rule': dashboard =>
    each(dashboard, SOURCED, ({ datasource }) => (ours(datasource) ? undefined : 'does not use the variable')),
  'panel-title-description-rule': dashboard =>
    each(dashboard, DESCRIBED, ({ title, description }) => (title && description ? undefined : 'is not described')),
  'panel-units-rule': dashboard =>
    each(dashboard, DESCRIBED, ({ fieldConfig }) => {
      const { unit, mappings } = fieldConfig?.defaults ?? {}
      return mappings?.length || UNITS.includes(unit ?? '') ? undefined : `has the unit ${unit}`
    }),
  'panel-no-targets-rule': dashboard =>
    each(dashboard, ASKING, ({ targets }) => (targets?.length ? undefined : 'asks nothing')),
  // There is no LogQL here, and no parser for it: a query to Loki needs one first.
  'target-logql-rule': dashboard =>
    each(dashboard, undefined, ({ datasource }) => (datasource?.type === 'loki' ? 'asks Loki' : undefined)),
  'target-logql-auto-rule': dashboard =>
    each(dashboard, undefined, ({ datasource, targets = [] }) =>
      datasource?.type === 'loki' && targets.some(({ expr }) => !expr.includes('[$__auto]'))
        ? 'has a fixed range'
        : undefined,
    ),
  'target-promql-rule': dashboard =>
    questions(dashboard).flatMap(({ panel, target }) =>
      parse(expand(target.expr)) ? [] : [`${panel.title}: cannot parse ${target.expr}`],
    ),
  'target-rate-interval-rule': dashboard =>
    questions(dashboard).flatMap(({ panel, target }) => {
      const marked = parse(expand(target.expr, { __rate_interval: '7m' })) ?? []
      const wrong = marked.filter(({ fn = '', range }) => ['rate', 'irate'].includes(fn) && range !== '7m')
      return wrong.map(({ metric }) => `${panel.title}: the range of ${metric} is not $__rate_interval`)
    }),
  'target-job-rule': dashboard => selectors(dashboard, matches('job')),
  'target-instance-rule': dashboard => selectors(dashboard, matches('instance')),
  'target-counter-agg-rule': dashboard =>
    selectors(dashboard, ({ metric, fn = '' }) =>
      metric.endsWith('_total') && !['rate', 'irate', 'increase'].includes(fn) ? `${metric} is a counter` : undefined,
    ),
  'uneditable-dashboard': ({ editable }) => (editable ? ['can be edited'] : []),
}

function asked(dashboard: Dashboard) {
  return dashboard.templating.list.filter(({ type }) => type === 'query')
}

/** Grafana's and the linter's rules for the variables `job` and `instance`. */
function target(dashboard: Dashboard, name: string, label: string): string[] {
  const variable = dashboard.templating.list.find(each => each.name === name)
  if (!variable) return [`no variable ${name}`]
  const { datasource, type, multi, allValue } = variable
  return [
    ...(ours(datasource) ? [] : ['does not use the variable of the data source']),
    ...(type === 'query' ? [] : [`is of the type ${type}`]),
    ...(variable.label === label ? [] : [`its label is ${variable.label}`]),
    ...(multi ? [] : ['takes one value only']),
    ...(allValue === '.+' ? [] : [`all means ${allValue}`]),
  ]
}

function ours(source: Source | undefined): boolean {
  return ['$prometheus_datasource', `\${prometheus_datasource}`].includes(source?.uid ?? '')
}

function each(
  dashboard: Dashboard,
  types: readonly string[] | undefined,
  fault: (panel: Panel) => string | undefined,
): string[] {
  return panels(dashboard).flatMap(panel => {
    const found = !types || types.includes(panel.type) ? fault(panel) : undefined
    return found ? [`${panel.title} ${found}`] : []
  })
}

function selectors(dashboard: Dashboard, fault: (selector: Selector) => string | undefined): string[] {
  return questions(dashboard).flatMap(({ panel, target }) =>
    // Variables are kept where matchers are allowed.
    (parse(expand(target.expr, { job: '$job', instance: '$instance' })) ?? []).flatMap(selector => {
      const found = fault(selector)
      return found ? [`${panel.title}: ${found}`] : []
    }),
  )
}

function matches(label: string) {
  return ({ metric, matchers }: Selector) =>
    matchers.includes(`${label}=~"$${label}"`) ? undefined : `${metric} of any ${label}`
}
