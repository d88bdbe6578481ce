// One dashboard: its variables, links and annotations, its rows laid out, and what Grafana's builders leave to be
// finished. The result is classic JSON (schemaVersion 42) that every way of importing takes: there is a `datasource`
// variable and no `__inputs`, which only the import page would resolve.

import * as sdk from '@grafana/grafana-foundation-sdk/dashboard'
import { healthUp } from '../collectors/health.ts'
import { families as app } from '../collectors/process.ts'
import { buildInfo } from '../collectors/self.ts'
import { calls } from '../collectors/spans.ts'
import type { Family } from '../exporter/metrics.ts'
import { letter, type Panel } from './panels.ts'
import { binary, select, type Vector } from './promql.ts'
import { DATASOURCE } from './query.ts'

/** What panels of the chosen jobs and instances ask. */
export const chosen = select({
  where: { job: { re: '$job' }, instance: { re: '$instance' } },
  window: '$__rate_interval',
})

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
  readonly uid: string
  readonly title: string
  readonly about: string
  /** Whether one instance is shown at first, rather than all. */
  readonly one?: boolean
  /** Variables beyond job and instance. */
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
}

export interface Annotation {
  readonly name: string
  readonly colour: string
  readonly query: Vector<string>
  readonly title: string
}

export const OF_CHOSEN = 'job=~"$job", instance=~"$instance"'

export const SERVICE: Variable = { name: 'service', label: 'Service', family: calls, of: 'service', where: OF_CHOSEN }
export const SPAN_NAME: Variable = {
  name: 'span_name',
  label: 'Operation',
  family: calls,
  of: 'span_name',
  where: `${OF_CHOSEN}, service=~"$service"`,
}

// Windows are fixed, as an annotation's query is asked each 60 s: twice that leaves no gap.
const restarts: Annotation = {
  name: 'Restarts',
  colour: 'orange',
  query: binary(chosen.increase(app.restarts, {}, '2m'), '>', '0'),
  title: '{{instance}}: the application restarted',
}
const flips: Annotation = {
  name: 'Health flips',
  colour: 'red',
  query: binary(chosen.changes(healthUp, {}, '2m'), '>', '0'),
  title: '{{instance}}: {{probe}} changed',
}
const kills: Annotation = {
  name: 'OOM kills',
  colour: 'purple',
  query: binary(chosen.increase(app.cgroupOomKills, {}, '2m'), '>', '0'),
  title: '{{instance}}: out of memory, a process was killed',
}
export const EVENTS: readonly Annotation[] = [restarts, flips, kills]

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
  variables: more = [],
}: Board): (sdk.DatasourceVariableBuilder | sdk.QueryVariableBuilder)[] {
  const values = ({ name, label, family, of, where }: Variable, all: boolean) => {
    const built = new sdk.QueryVariableBuilder(name)
      .label(label)
      .datasource(DATASOURCE)
      .query(`label_values(${family.name}${where && `{${where}}`}, ${of})`)
      .refresh(sdk.VariableRefresh.OnTimeRangeChanged)
      .sort(sdk.VariableSort.AlphabeticalAsc)
      .multi(true)
      .includeAll(all)
      .allValue('.+')
    return built
  }
  const job = { name: 'job', label: 'Job', family: buildInfo, of: 'job', where: '' }
  const instance = { name: 'instance', label: 'Instance', family: buildInfo, of: 'instance', where: 'job=~"$job"' }
  return [
    new sdk.DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'),
    values(job, true),
    values(instance, !one),
    ...more.map(each => values(each, true)),
  ]
}

function annotations(ours: readonly Annotation[]): sdk.AnnotationQueryBuilder[] {
  const grafanas = new sdk.AnnotationQueryBuilder()
    .name('Annotations & Alerts')
    .datasource({ type: 'grafana', uid: '-- Grafana --' })
    .enable(true)
    .hide(true)
    .iconColor('rgba(0, 211, 255, 1)')
    .type('dashboard')
    .builtIn(1)
  const asked = ours.map(({ name, colour, query, title }) =>
    new sdk.AnnotationQueryBuilder()
      .name(name)
      .datasource(DATASOURCE)
      .enable(true)
      .iconColor(colour)
      .expr(query.text)
      .step('60s')
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

/** What the builders say too much or too little. */
function finish(dashboard: sdk.Dashboard): sdk.Dashboard {
  // Their default hides links and annotations in a menu of Grafana 12.3 and later.
  for (const each of [...(dashboard.links ?? []), ...(dashboard.annotations?.list ?? [])]) drop(each, ['placement'])
  for (const variable of dashboard.templating?.list ?? [])
    drop(variable, ['auto', 'auto_min', 'auto_count', 'allowCustomValue', 'skipUrlSync'])
  for (const variable of dashboard.templating?.list ?? []) Object.assign(variable, { current: {} })
  for (const panel of dashboard.panels ?? []) {
    if ('collapsed' in panel) panel.panels.forEach(name)
    else name(panel)
  }
  return dashboard
}

/** Names the queries, and leaves out what repeats a default of Grafana. */
function name(panel: sdk.Panel): void {
  drop(panel, ['repeatDirection', 'transparent'])
  for (const [index, query] of (panel.targets ?? []).entries()) Object.assign(query, { refId: letter(index) })
}

function drop(from: object, keys: readonly string[]): void {
  for (const key of keys) Reflect.deleteProperty(from, key)
}
