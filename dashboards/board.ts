// One dashboard: its variables, links and annotations, its rows laid out, and what Grafana's builders leave to be
// finished. The result is classic JSON (schemaVersion 42) that every way of importing takes: there is a `datasource`
// variable and no `__inputs`, which only the import page would resolve.

import * as sdk from '@grafana/grafana-foundation-sdk/dashboard'
import { healthUp } from '../collectors/health.ts'
import { families as app } from '../collectors/process.ts'
import { buildInfo } from '../collectors/self.ts'
import type { Family } from '../metrics/family.ts'
import { episodes } from '../processors/blame.ts'
import { calls } from '../processors/spans.ts'
import { OF_SERVICE, ofInstance, TRACES, type Uid } from './links.ts'
import { letter, type Panel } from './panels.ts'
import { binary, count, select, type Vector } from './promql.ts'
import { DATASOURCE } from './query.ts'
import { targetsOf, VERSION } from './targets.ts'

const CHOICE = { job: { re: '$job' }, namespace: { re: '$namespace' }, instance: { re: '$instance' } } as const

/** Selects the series of the chosen jobs, namespaces and instances. */
export const chosen = select({
  where: CHOICE,
  window: '$__rate_interval',
})

/** The same a week before. */
export const weekBefore = select({ where: CHOICE, window: '$__rate_interval', ago: '1w' })

export interface Row {
  readonly id: number
  readonly title: string
  readonly panels: readonly Panel[]
  readonly collapsed: boolean
}

/** A row that is open at first: it helps to answer "is it well, and if not, where". */
export function open(id: number, title: string, panels: readonly Panel[]): Row {
  return { id, title, panels, collapsed: false }
}

/** A row for those who know what they look for. Grafana does not ask its queries until it is opened. */
export function folded(id: number, title: string, panels: readonly Panel[]): Row {
  return { id, title, panels, collapsed: true }
}

export interface Board {
  /** Also the file name: fixed for ever, since links and alerts name it. */
  readonly uid: Uid
  readonly title: string
  readonly about: string
  /** Whether one instance is shown at first, rather than all. */
  readonly one?: boolean
  /** It is about services, over all their instances: there is no variable for instances. */
  readonly ofServices?: boolean
  /** Its panels lead to traces, in a data source that is chosen. */
  readonly traces?: boolean
  /** Variables beyond job, namespace and instance. */
  readonly variables?: readonly Variable[]
  readonly annotations: readonly Annotation[]
  readonly rows: readonly Row[]
}

export interface Variable {
  readonly name: string
  readonly label: string
  readonly family: Family
  /** The label whose values are offered. */
  readonly of: string
  /** Matchers in PromQL. */
  readonly where: string
  /** The regular expression behind "All"; ".*" where the label may be absent. */
  readonly all?: '.+' | '.*'
}

export interface Annotation {
  readonly name: string
  readonly colour: string
  readonly query: Vector<string>
  readonly title: string
  /** The value is the time of the event, in milliseconds since the epoch, instead of that of the sample. */
  readonly valueIsTime?: boolean
}

export const OF_JOB = 'job=~"$job", namespace=~"$namespace"'
export const OF_CHOSEN = `${OF_JOB}, instance=~"$instance"`

export const SERVICE: Variable = { name: 'service', label: 'Service', family: calls, of: 'service', where: OF_CHOSEN }
export const SPAN_NAME: Variable = {
  name: 'span_name',
  label: 'Operation',
  family: calls,
  of: 'span_name',
  where: `${OF_CHOSEN}, service=~"$service"`,
}

// Grafana asks for about 100 points of the time shown, so that a fixed window would leave gaps. A restart is the start of a
// process, which says itself when it was (in milliseconds, as Grafana takes it).
const restarts: Annotation = {
  name: 'Starts',
  colour: 'orange',
  query: binary(chosen.value(app.startTime), '*', '1000'),
  valueIsTime: true,
  title: '{{instance}}: the application started',
}
const flips: Annotation = {
  name: 'Health flips',
  colour: 'red',
  query: binary(chosen.changes(healthUp, {}, '$__interval'), '>', '0'),
  title: '{{instance}}: {{probe}} changed',
}
/** A version that nobody had in the hour before the step; a roll-back within the hour is not one. */
const versions = targetsOf('service', 'service_version')
const deployments: Annotation = {
  name: 'Versions',
  colour: 'green',
  query: binary(
    count(chosen.value(versions, { service_version: { not: '' } }), VERSION),
    'unless',
    count(
      select({ where: CHOICE, window: '1h', ago: '$__interval' }).over('last', versions, {
        service_version: { not: '' },
      }),
      VERSION,
    ),
  ),
  title: '{{service}}: version {{service_version}}',
}
const kills: Annotation = {
  name: 'OOM kills',
  colour: 'purple',
  query: binary(chosen.increase(app.cgroupOomKills, {}, '$__interval'), '>', '0'),
  title: '{{instance}}: out of memory, a process was killed',
}
const slow: Annotation = {
  name: 'Slow requests',
  colour: 'yellow',
  query: chosen.happened(episodes),
  title: '{{instance}}: {{span_name}} became slow: {{cause}}',
}
export const EVENTS: readonly Annotation[] = [restarts, flips, kills, deployments, slow]

export function build(board: Board): sdk.Dashboard {
  const builder = new sdk.DashboardBuilder(board.title)
    .uid(board.uid)
    .description(board.about)
    .tags(['pillion'])
    .readonly()
    .tooltip(sdk.DashboardCursorSync.Crosshair)
    .time({ from: 'now-1h', to: 'now' })
    .timezone('browser')
    .refresh('30s')
    .variables(variables(board))
    .link(
      new sdk.DashboardLinkBuilder('Pillion')
        .type(sdk.DashboardLinkType.Dashboards)
        .tags(['pillion'])
        .asDropdown(true)
        .includeVars(true)
        .keepTime(true),
    )
    .annotations(annotations(board.annotations))
  const dashboard = builder.build()
  dashboard.panels = layOut(board.rows)
  return finish(dashboard)
}

function variables({
  one = false,
  ofServices = false,
  traces = false,
  variables: more = [],
}: Board): (sdk.DatasourceVariableBuilder | sdk.QueryVariableBuilder)[] {
  const values = ({ name, label, family, of, where, all: every = '.+' }: Variable, all: boolean) => {
    const built = new sdk.QueryVariableBuilder(name)
      .label(label)
      .datasource(DATASOURCE)
      .query(`label_values(${family.name}${where && `{${where}}`}, ${of})`)
      .refresh(sdk.VariableRefresh.OnTimeRangeChanged)
      .sort(sdk.VariableSort.AlphabeticalAsc)
      .multi(true)
      .includeAll(all)
      .allValue(every)
    return built
  }
  const job = { name: 'job', label: 'Job', family: buildInfo, of: 'job', where: '' }
  // Outside of Kubernetes there is no such label, and "All" must match that too.
  const namespace = {
    name: 'namespace',
    label: 'Namespace',
    family: buildInfo,
    of: 'namespace',
    where: 'job=~"$job"',
    all: '.*',
  } as const
  const instance = { name: 'instance', label: 'Instance', family: buildInfo, of: 'instance', where: OF_JOB }
  return [
    new sdk.DatasourceVariableBuilder('prometheus_datasource').label('Prometheus data source').type('prometheus'),
    ...(traces ? [new sdk.DatasourceVariableBuilder('tempo_datasource').label('Tempo data source').type('tempo')] : []),
    values(job, true),
    values(namespace, true),
    ...(ofServices ? [] : [values(instance, !one)]),
    ...more.map(each => values(each, true)),
  ]
}

/** The shortest $__interval of an annotation: four scrapes, so that a rate has something to look at. */
const STEP = '60s'

function annotations(ours: readonly Annotation[]): sdk.AnnotationQueryBuilder[] {
  const grafanas = new sdk.AnnotationQueryBuilder()
    .name('Annotations & Alerts')
    .datasource({ type: 'grafana', uid: '-- Grafana --' })
    .enable(true)
    .hide(true)
    .iconColor('rgba(0, 211, 255, 1)')
    .type('dashboard')
    .builtIn(1)
  const asked = ours.map(({ name, colour, query, title, valueIsTime = false }) =>
    new sdk.AnnotationQueryBuilder()
      .name(name)
      .datasource(DATASOURCE)
      .enable(true)
      .iconColor(colour)
      .expr(query.text)
      .step(STEP)
      .useValueForTime(valueIsTime)
      .titleFormat(title),
  )
  return [grafanas, ...asked]
}

const COLUMNS = 24

/** From left to right and top to bottom; the panels of a folded row stand inside it, where Grafana looks for them. */
function layOut(rows: readonly Row[]): NonNullable<sdk.Dashboard['panels']> {
  const all: NonNullable<sdk.Dashboard['panels']> = []
  let y = 0
  for (const row of rows) {
    const header: sdk.RowPanel = {
      type: 'row',
      id: row.id,
      title: row.title,
      collapsed: row.collapsed,
      gridPos: { x: 0, y, w: COLUMNS, h: 1 },
      panels: [],
    }
    all.push(header)
    const { panels, end } = flow(row.panels, y + 1)
    if (row.collapsed) header.panels = panels
    else all.push(...panels)
    y = row.collapsed ? y + 1 : end
  }
  return all
}

function flow(panels: readonly Panel[], top: number): { panels: sdk.Panel[]; end: number } {
  let [x, y, height] = [0, top, 0]
  const placed = panels.map(({ id, panel, width, height: h }) => {
    if (x + width > COLUMNS) [x, y, height] = [0, y + height, 0]
    const gridPos = { x, y, w: width, h }
    x += width
    height = Math.max(height, h)
    return { ...panel.build(), id, gridPos }
  })
  return { panels: placed, end: y + height }
}

/** Corrects what the builders write too much or too little of. */
function finish(dashboard: sdk.Dashboard): sdk.Dashboard {
  // Their default hides links and annotations in a menu of Grafana 12.3 and later.
  for (const each of [...(dashboard.links ?? []), ...(dashboard.annotations?.list ?? [])]) drop(each, ['placement'])
  for (const variable of dashboard.templating?.list ?? [])
    drop(variable, ['auto', 'auto_min', 'auto_count', 'allowCustomValue', 'skipUrlSync'])
  for (const variable of dashboard.templating?.list ?? []) Object.assign(variable, { current: {} })
  for (const panel of dashboard.panels ?? []) {
    for (const each of 'collapsed' in panel ? panel.panels : [panel]) {
      name(each)
      lead(each, dashboard.uid)
    }
  }
  return dashboard
}

/** A click on a series of an instance or of a service leads on to it, unless the panel says where. */
function lead({ type, targets = [], fieldConfig }: sdk.Panel, uid: string | undefined): void {
  const defaults = fieldConfig?.defaults
  if (!defaults || defaults.links || !['timeseries', 'state-timeline'].includes(type)) return
  const named = (label: string) =>
    targets.every(target => 'legendFormat' in target && `${target.legendFormat}`.includes(`{{${label}}}`))
  const links = [
    ...(named('instance')
      ? [ofInstance(uid === 'pillion-application' ? 'pillion-process' : 'pillion-application')]
      : []),
    ...(named('service')
      ? [uid !== 'pillion-requests' ? OF_SERVICE : named('span_name') ? TRACES.operation : TRACES.service]
      : []),
  ]
  if (links.length > 0) Object.assign(defaults, { links })
}

/** Names the queries, and leaves out what repeats a default of Grafana. */
function name(panel: sdk.Panel): void {
  drop(panel, ['repeatDirection', 'transparent'])
  // Grafana reads only these two of a link in a panel; the builder's others are those of a dashboard's links.
  const { defaults } = panel.fieldConfig ?? {}
  for (const place of [panel, defaults])
    if (place?.links) Object.assign(place, { links: place.links.map(({ title, url }) => ({ title, url })) })
  for (const [index, query] of (panel.targets ?? []).entries()) Object.assign(query, { refId: letter(index) })
}

function drop(from: object, keys: readonly string[]): void {
  for (const key of keys) Reflect.deleteProperty(from, key)
}
