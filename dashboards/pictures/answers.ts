// Asks Prometheus what the open rows of a dashboard ask, so that the page that draws them needs no network.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const FOLDER = join(import.meta.dirname, '../grafana')

/** As much of Grafana's classic JSON as is drawn. */
export interface PanelModel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly collapsed?: boolean
  readonly panels?: readonly PanelModel[]
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly fieldConfig?: { readonly defaults: Defaults; readonly overrides: readonly Override[] }
  // biome-ignore lint/suspicious/noExplicitAny: each type of panel has options of its own
  readonly options?: any
  readonly targets?: readonly TargetModel[]
  readonly transformations?: readonly { readonly id: string; readonly options: TableOptions }[]
}

export interface Defaults {
  readonly unit?: string
  readonly noValue?: string
  readonly decimals?: number
  readonly max?: number
  readonly mappings?: readonly object[]
  readonly thresholds?: object
  readonly custom?: object
}

export interface Override {
  readonly matcher: { readonly id: string; readonly options: string }
  readonly properties: readonly { readonly id: string; readonly value: unknown }[]
}

interface TableOptions {
  readonly include?: { readonly names: readonly string[] }
  readonly renameByName?: Readonly<Record<string, string>>
}

export interface TargetModel {
  readonly refId: string
  readonly expr: string
  readonly legendFormat?: string
  readonly instant?: boolean
}

export interface Series {
  readonly refId: string
  readonly legend: string
  readonly labels: Readonly<Record<string, string>>
  /** Milliseconds since the epoch, and values; null where there is none. */
  readonly times: readonly number[]
  readonly values: readonly (number | null)[]
}

export interface Picture {
  readonly title: string
  readonly from: number
  readonly to: number
  readonly panels: readonly (PanelModel & { readonly series: readonly Series[] })[]
}

/** The time shown, in seconds since the epoch. */
export interface Span {
  readonly from: number
  readonly to: number
}

const POINTS = 150

/** `opened` are the titles of folded rows that are drawn open. */
export async function answered(
  uid: string,
  prometheus: string,
  span: Span,
  opened: readonly string[] = [],
): Promise<Picture> {
  const { title, panels } = JSON.parse(readFileSync(join(FOLDER, `${uid}.json`), 'utf8')) as {
    title: string
    panels: PanelModel[]
  }
  const step = Math.max(1, Math.round((span.to - span.from) / POINTS))
  const drawn = unfolded(panels, opened).map(async panel => {
    const series = await Promise.all((panel.targets ?? []).map(target => ask(target, prometheus, span, step)))
    return { ...panel, series: series.flat() }
  })
  return { title, from: span.from * 1000, to: span.to * 1000, panels: await Promise.all(drawn) }
}

/** The panels of a folded row stand where it ends; what is below moves down by their height. */
function unfolded(panels: readonly PanelModel[], opened: readonly string[]): PanelModel[] {
  let down = 0
  return panels.flatMap(panel => {
    const moved = (each: PanelModel) => ({ ...each, gridPos: { ...each.gridPos, y: each.gridPos.y + down } })
    const inside = panel.collapsed && opened.includes(panel.title) ? (panel.panels ?? []) : []
    if (inside.length === 0) return [moved(panel)]
    const shown = [moved({ ...panel, collapsed: false, panels: [] }), ...inside.map(moved)]
    down += Math.max(...inside.map(({ gridPos: { y, h } }) => y + h)) - panel.gridPos.y - 1
    return shown
  })
}

async function ask(target: TargetModel, prometheus: string, { from, to }: Span, step: number): Promise<Series[]> {
  const values: Readonly<Record<string, string>> = {
    ...{ __interval: '20s', __rate_interval: '20s', __range: `${Math.round(to - from)}s` },
    // There are no namespaces here.
    namespace: '.*',
  }
  const query = target.expr.replaceAll(/\$(?:\{(\w+)\}|(\w+))/g, (_, a: string, b: string) => values[a ?? b] ?? '.+')
  const parameters = target.instant
    ? { query, time: String(to) }
    : { query, start: String(from), end: String(to), step: String(step) }
  const path = target.instant ? 'query' : 'query_range'
  const response = await fetch(`${prometheus}/api/v1/${path}?${new URLSearchParams(parameters)}`)
  if (!response.ok) throw new Error(`cannot ask ${query}: ${await response.text()}`)
  const { data } = (await response.json()) as { data: { result: Result[] } }
  const grid = target.instant
    ? [to]
    : Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, i) => from + i * step)
  return data.result.map(({ metric, value, values: points }) => {
    const at = new Map((points ?? [value!]).map(([time, text]) => [Math.round(time), Number(text)]))
    return {
      refId: target.refId,
      legend: (target.legendFormat ?? '').replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? ''),
      labels: metric,
      times: grid.map(time => time * 1000),
      values: grid.map(time => at.get(Math.round(time)) ?? null).map(v => (v === null || Number.isNaN(v) ? null : v)),
    }
  })
}

interface Result {
  readonly metric: Readonly<Record<string, string>>
  readonly value?: readonly [number, string]
  readonly values?: readonly (readonly [number, string])[]
}
