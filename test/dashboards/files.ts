// The committed dashboards, and their queries as Prometheus would see them.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parser } from '@prometheus-io/lezer-promql'

export const ROOT = join(import.meta.dirname, '../..')
const FOLDER = join(ROOT, 'dashboards/grafana')

/** As much of Grafana's classic JSON as the tests look at. */
export interface Dashboard {
  uid: string
  title: string
  description: string
  schemaVersion: number
  editable: boolean
  tags: string[]
  templating: { list: Variable[] }
  annotations: { list: Annotation[] }
  links: { type: string; tags: string[]; placement?: string }[]
  panels: Panel[]
}

interface Annotation {
  name: string
  expr?: string
  builtIn?: number
  placement?: string
  titleFormat?: string
  useValueForTime?: boolean
}

export interface Variable {
  name: string
  type: string
  label?: string
  query?: string
  datasource?: Source
  refresh?: number
  multi?: boolean
  includeAll?: boolean
  allValue?: string
  current?: object
}

export interface Panel {
  id: number
  type: string
  title: string
  description?: string
  datasource?: Source
  gridPos: { x: number; y: number; w: number; h: number }
  collapsed?: boolean
  /** The panels of a folded row. */
  panels?: Panel[]
  targets?: Target[]
  transformations?: {
    id: string
    options: { include?: { names: string[] }; renameByName?: Record<string, string> }
  }[]
  fieldConfig?: {
    defaults: {
      unit?: string
      noValue?: string
      mappings?: unknown[]
      thresholds?: { steps: { value: number | null }[] }
      links?: Link[]
    }
    overrides: { matcher: { options: string }; properties: { id: string; value: unknown }[] }[]
  }
  links?: Link[]
  options?: {
    legend?: { showLegend?: boolean; displayMode?: string; calcs?: string[] }
    reduceOptions?: { calcs: string[] }
    sortBy?: { displayName: string; desc: boolean }[]
  }
}

export interface Link {
  title: string
  url: string
}

export interface Target {
  refId: string
  expr: string
  legendFormat?: string
  datasource?: Source
  exemplar?: boolean
  instant?: boolean
  range?: boolean
  format?: string
}

export interface Source {
  type: string
  uid: string
}

/** A fresh copy of each, to be read or broken. */
export function dashboards(): Dashboard[] {
  const files = readdirSync(FOLDER).filter(name => name.endsWith('.json'))
  return files.map(name => JSON.parse(readFileSync(join(FOLDER, name), 'utf8')) as Dashboard)
}

/** All panels that show something, those in folded rows included. */
export function panels(dashboard: Dashboard): Panel[] {
  return dashboard.panels.flatMap(panel => (panel.type === 'row' ? (panel.panels ?? []) : [panel]))
}

/** Everything that Prometheus is asked. */
export function questions(dashboard: Dashboard): { readonly panel: Panel; readonly target: Target }[] {
  return panels(dashboard).flatMap(panel => (panel.targets ?? []).map(target => ({ panel, target })))
}

/** Replaces variables by the values that Grafana would insert, so that the result is PromQL. */
export function expand(expr: string, values: Readonly<Record<string, string>> = {}): string {
  const known: Record<string, string> = {
    ...{ __rate_interval: '1m', __interval: '15s', __range: '1h' },
    // "All", where the label may be absent.
    ...{ namespace: '.*', ...values },
  }
  return expr.replaceAll(
    /\$(?:\{(\w+)(?::\w+)?\}|(\w+))/g,
    (_, braced: string, bare: string) => known[braced ?? bare] ?? '.+',
  )
}

export interface Selector {
  readonly metric: string
  readonly matchers: readonly string[]
  /** The function that it is directly within, with its range: `rate(x[5m])`. */
  readonly fn: string | undefined
  readonly range: string | undefined
}

/** The selectors of an expression; undefined if it is not PromQL. */
export function parse(promql: string): Selector[] | undefined {
  const found: { metric: string; matchers: string[]; fn: string | undefined; range: string | undefined }[] = []
  const functions: { name: string; end: number }[] = []
  let range: { text: string; end: number } | undefined
  let broken = promql.trim() === ''
  parser.parse(promql).iterate({
    enter(node) {
      const text = promql.slice(node.from, node.to)
      if (node.type.isError) broken = true
      while (functions.length > 0 && functions.at(-1)!.end <= node.from) functions.pop()
      if (node.name === 'FunctionCall') functions.push({ name: /^\w+/.exec(text)![0], end: node.to })
      if (node.name === 'AggregateExpr') functions.push({ name: '', end: node.to })
      if (node.name === 'MatrixSelector') range = { text: /\[([^\]]+)\]$/.exec(text)?.[1] ?? '', end: node.to }
      if (node.name === 'VectorSelector') {
        const within = range && node.to <= range.end ? range.text : undefined
        const metric = /^[\w:]*/.exec(text)![0]
        found.push({ metric, matchers: [], fn: functions.at(-1)?.name, range: within })
      }
      if (node.name === 'UnquotedLabelMatcher') found.at(-1)!.matchers.push(text.replaceAll(' ', ''))
    },
  })
  return broken ? undefined : found
}
