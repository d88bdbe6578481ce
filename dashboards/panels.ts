// The kinds of panels that the dashboards are made of. Each has a fixed id (links and alerts point at it), says in a
// sentence what it shows and which value is bad, and what it means when there is nothing to show.

import * as bargauges from '@grafana/grafana-foundation-sdk/bargauge'
import type { Builder } from '@grafana/grafana-foundation-sdk/cog'
import * as common from '@grafana/grafana-foundation-sdk/common'
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard'
import * as heatmaps from '@grafana/grafana-foundation-sdk/heatmap'
import * as stats from '@grafana/grafana-foundation-sdk/stat'
import * as timelines from '@grafana/grafana-foundation-sdk/statetimeline'
import * as tables from '@grafana/grafana-foundation-sdk/table'
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries'
import { DATASOURCE, type Query, target } from './query.ts'

/** Grafana's names of units; an unknown one would be shown as a raw suffix. */
export type Unit =
  | 'Bps'
  | 'bytes'
  | 'cps'
  | 'dateTimeAsIso'
  | 'dtdurations'
  | 'none'
  | 'percentunit'
  | 'reqps'
  | 's'
  | 'short'

/** From a value on, a colour; the first one counts from below everything. */
export type Steps = readonly [first: Colour, ...rest: readonly (readonly [from: number, colour: Colour])[]]
export type Colour = 'green' | 'yellow' | 'orange' | 'red' | 'blue' | 'text'

export interface Size {
  readonly width: number
  readonly height: number
}

export interface Spec extends Partial<Size> {
  readonly id: number
  readonly title: string
  readonly about: string
  readonly unit: Unit
  readonly queries: readonly Query[]
  /** The text of the panel when there is no data. */
  readonly empty: string
  readonly steps?: Steps
  readonly max?: number
  readonly decimals?: number
  /** Words for values. */
  readonly words?: Words
  /** Where the title of the panel leads to: the next dashboard to look at. */
  readonly more?: Link
  /** Where a click on a point, a bar or the number leads to; it can name the labels of what was clicked. */
  readonly links?: readonly Link[]
}

export interface Link {
  readonly title: string
  readonly url: string
}
export type Words = Readonly<Record<string, { readonly text: string; readonly color: Colour }>>

export interface Panel extends Size {
  readonly id: number
  readonly panel: Builder<dashboard.Panel>
}

export const UP_OR_DOWN: Words = { 1: { text: 'Up', color: 'green' }, 0: { text: 'Down', color: 'red' } }

/** One number, big. */
export function stat(spec: Spec & { readonly mode?: 'colour' | 'plain' | 'names' }): Panel {
  // The course of a number says something, that of a word is in a timeline.
  const line = !spec.words && spec.queries.some(query => query.shape === 'series')
  const panel = described(new stats.PanelBuilder(), spec)
    .min(0)
    .reduceOptions(last())
    .graphMode(line ? common.BigValueGraphMode.Area : common.BigValueGraphMode.None)
    .colorMode(spec.mode === 'colour' ? common.BigValueColorMode.Background : common.BigValueColorMode.Value)
    .textMode(spec.mode === 'names' ? common.BigValueTextMode.ValueAndName : common.BigValueTextMode.Auto)
  return placed(spec, { width: 4, height: 4 }, panel)
}

/** Lines over time. */
export function lines(
  spec: Spec & {
    readonly stacked?: boolean
    /** Values below 0 are shown too. */
    readonly negative?: boolean
    /** Series (by regular expression) drawn as a dashed line without filling: a limit. */
    readonly dashed?: string
  },
): Panel {
  const panel = described(new timeseries.PanelBuilder(), spec)
    .lineWidth(1)
    .fillOpacity(spec.stacked ? 30 : 10)
    .showPoints(common.VisibilityMode.Never)
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.Table)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(true)
        .calcs(['mean', 'max']),
    )
    .tooltip(
      new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending),
    )
  if (!spec.negative) panel.min(0)
  if (spec.stacked) panel.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal).group('A'))
  if (spec.steps)
    panel.thresholdsStyle(new common.GraphThresholdsStyleConfigBuilder().mode(common.GraphThresholdsStyleMode.Dashed))
  if (spec.dashed)
    panel.overrideByRegexp(spec.dashed, [
      { id: 'custom.lineStyle', value: { fill: 'dash', dash: [8, 6] } },
      { id: 'custom.fillOpacity', value: 0 },
      { id: 'custom.stacking', value: { mode: 'none', group: 'A' } },
      { id: 'color', value: { mode: 'fixed', fixedColor: 'red' } },
    ])
  return placed(spec, { width: 8, height: 8 }, panel)
}

/** States over time, one bar for each series. */
export function timeline(spec: Spec): Panel {
  const panel = described(new timelines.PanelBuilder(), spec)
    .showValue(common.VisibilityMode.Never)
    .mergeValues(true)
    .fillOpacity(80)
    .rowHeight(0.8)
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.List)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(false),
    )
    .tooltip(new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Single).sort(common.SortOrder.None))
  return placed(spec, { width: 24, height: 6 }, panel)
}

/** A few values side by side, each a bar towards `max`. */
export function bars(spec: Spec): Panel {
  const panel = described(new bargauges.PanelBuilder(), spec)
    .min(0)
    .reduceOptions(last())
    .orientation(common.VizOrientation.Horizontal)
    .displayMode(common.BarGaugeDisplayMode.Basic)
    .text(new common.VizTextDisplayOptionsBuilder().titleSize(14).valueSize(18))
  return placed(spec, { width: 8, height: 8 }, panel)
}

/** The number of observations in each bucket, over time. Points are exemplars: click one for its trace. */
export function heatmap(spec: Spec): Panel {
  const panel = described(new heatmaps.PanelBuilder(), spec)
    .calculate(false)
    .cellGap(1)
    .yAxis(new heatmaps.YAxisConfigBuilder().unit(spec.unit))
    .color(
      new heatmaps.HeatmapColorOptionsBuilder()
        .mode(heatmaps.HeatmapColorMode.Scheme)
        .scheme('Oranges')
        .exponent(0.5)
        .steps(64),
    )
    .tooltip(new heatmaps.HeatmapTooltipBuilder().mode(common.TooltipDisplayMode.Single).yHistogram(true))
  return placed(spec, { width: 24, height: 10 }, panel)
}

export interface Column {
  readonly query: Query
  readonly title: string
  readonly unit?: Unit
  readonly steps?: Steps
  readonly words?: Words
  readonly decimals?: number
}

export interface TableSpec extends Omit<Spec, 'queries' | 'unit' | 'steps' | 'words' | 'max' | 'links'> {
  /** The labels that tell the rows apart, with the titles of their columns. */
  readonly by: Readonly<Record<string, string>>
  readonly columns: readonly Column[]
  /** The title of the column by which rows are sorted at first, worst first. */
  readonly sorted: string
  /** The lowest value is the worst one. */
  readonly lowest?: boolean
  /** Where a click on a cell of a label leads to; several are offered as a menu. */
  readonly leads?: Readonly<Record<string, Link | readonly Link[]>>
  /** Words for an empty text, by label: an edge between two services has no type. */
  readonly blank?: Readonly<Record<string, string>>
}

/** One row for each label set, one column for each query. */
export function table(spec: TableSpec): Panel {
  const queries = spec.columns.map(each => each.query)
  const panel = described(new tables.PanelBuilder(), { ...spec, queries, unit: 'none' }, 'table').cellHeight(
    common.TableCellHeight.Sm,
  )
  const value = (index: number) => (queries.length === 1 ? 'Value' : `Value #${letter(index)}`)
  if (queries.length > 1) panel.withTransformation({ id: 'merge', options: {} })
  const kept = [...Object.keys(spec.by), ...queries.map((_, index) => value(index))]
  panel.withTransformation({ id: 'filterFieldsByName', options: { include: { names: kept } } })
  panel.withTransformation({
    id: 'organize',
    options: {
      excludeByName: {},
      indexByName: Object.fromEntries(kept.map((name, index) => [name, index])),
      renameByName: {
        ...spec.by,
        ...Object.fromEntries(spec.columns.map((column, index) => [value(index), column.title])),
      },
    },
  })
  panel.sortBy([new common.TableSortByFieldStateBuilder().displayName(spec.sorted).desc(!spec.lowest)])
  for (const [label, links] of Object.entries(spec.leads ?? {}))
    panel.overrideByName(spec.by[label]!, [{ id: 'links', value: [links].flat() }])
  for (const [label, text] of Object.entries(spec.blank ?? {}))
    panel.overrideByName(spec.by[label]!, [{ id: 'mappings', value: [emptied(text)] }])
  for (const column of spec.columns) panel.overrideByName(column.title, look(column))
  return placed(spec, { width: 24, height: 8 }, panel)
}

/** A name for the n-th query of a panel: A, B, …, which Grafana shows and transformations refer to. */
export function letter(index: number): string {
  return String.fromCharCode(65 + index)
}

/** The common methods of the builders of all panels with a query. */
interface Describing {
  title(title: string): this
  description(text: string): this
  datasource(source: typeof DATASOURCE): this
  unit(unit: string): this
  noValue(text: string): this
  targets(targets: ReturnType<typeof target>[]): this
  thresholds(thresholds: Builder<dashboard.ThresholdsConfig>): this
  mappings(mappings: dashboard.ValueMapping[]): this
  max(max: number): this
  decimals(decimals: number): this
  links(links: dashboard.DashboardLinkBuilder[]): this
  dataLinks(links: dashboard.DashboardLinkBuilder[]): this
}

function described<B extends Describing>(panel: B, spec: Spec, format?: 'table'): B {
  panel
    .title(spec.title)
    .description(spec.about)
    .datasource(DATASOURCE)
    .unit(spec.unit)
    .noValue(spec.empty)
    .targets(spec.queries.map(query => target(query, format)))
    .thresholds(thresholds(spec.steps ?? ['text']))
  if (spec.words) panel.mappings([wording(spec.words)])
  if (spec.max !== undefined) panel.max(spec.max)
  if (spec.decimals !== undefined) panel.decimals(spec.decimals)
  if (spec.more) panel.links([new dashboard.DashboardLinkBuilder(spec.more.title).url(spec.more.url)])
  if (spec.links)
    panel.dataLinks(spec.links.map(({ title, url }) => new dashboard.DashboardLinkBuilder(title).url(url)))
  return panel
}

function look(column: Column): dashboard.DynamicConfigValue[] {
  const properties: dashboard.DynamicConfigValue[] = [{ id: 'unit', value: column.unit ?? 'short' }]
  if (column.steps) properties.push({ id: 'thresholds', value: thresholds(column.steps).build() })
  properties.push({ id: 'mappings', value: [...(column.words ? [wording(column.words)] : []), BLANK] })
  if (column.steps || column.words) properties.push({ id: 'custom.cellOptions', value: { type: 'color-text' } })
  if (column.decimals !== undefined) properties.push({ id: 'decimals', value: column.decimals })
  return properties
}

// A cell would otherwise say "NaN", or what a panel without any answer says: an edge without requests has no p95.
const BLANK: dashboard.ValueMapping = {
  type: dashboard.MappingType.SpecialValue,
  options: { match: dashboard.SpecialValueMatch.NullAndNan, result: { text: '–', color: 'text' } },
}

function emptied(text: string): dashboard.ValueMapping {
  return {
    type: dashboard.MappingType.SpecialValue,
    options: { match: dashboard.SpecialValueMatch.Empty, result: { text } },
  }
}

function thresholds([first, ...rest]: Steps): dashboard.ThresholdsConfigBuilder {
  const steps = [{ value: null, color: first }, ...rest.map(([value, color]) => ({ value, color }))]
  return new dashboard.ThresholdsConfigBuilder().mode(dashboard.ThresholdsMode.Absolute).steps(steps)
}

function wording(words: Words): dashboard.ValueMapping {
  const options = Object.entries(words).map(([value, word], index) => [value, { ...word, index }] as const)
  return { type: dashboard.MappingType.ValueToText, options: Object.fromEntries(options) }
}

function last(): common.ReduceDataOptionsBuilder {
  return new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']).fields('').values(false)
}

function placed(spec: Partial<Size> & { id: number }, usual: Size, panel: Builder<dashboard.Panel>): Panel {
  return { id: spec.id, width: spec.width ?? usual.width, height: spec.height ?? usual.height, panel }
}
