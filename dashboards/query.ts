// One question that a panel asks, and how its answers are named.

import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus'
import type { Vector } from './promql.ts'

export interface Query {
  readonly text: string
  readonly legend: string
  readonly shape: 'series' | 'now' | 'heatmap'
  readonly exemplars: boolean
}

/** A legend that names only labels that the answer has: "{{probe}} {{reason}}". */
export type Legend<Text extends string, Label extends string> = Text extends `${string}{{${infer Name}}}${infer Rest}`
  ? Name extends Label
    ? Legend<Rest, Label>
    : never
  : unknown

/** Over the time shown. */
export function series<L extends string, const T extends string>(v: Vector<L>, legend: T & Legend<T, L>): Query {
  return { text: v.text, legend, shape: 'series', exemplars: false }
}

/** Over the time shown, with exemplars: points that lead to a trace. */
export function traced<L extends string, const T extends string>(v: Vector<L>, legend: T & Legend<T, L>): Query {
  return { text: v.text, legend, shape: 'series', exemplars: true }
}

/** At the end of the time shown only: for stats of counts, and for tables. */
export function now<L extends string, const T extends string>(v: Vector<L>, legend: T & Legend<T, L>): Query {
  return { text: v.text, legend, shape: 'now', exemplars: false }
}

/** Increases of buckets, grouped by `le`. */
export function heat(v: Vector<'le'>): Query {
  return { text: v.text, legend: '{{le}}', shape: 'heatmap', exemplars: true }
}

/** The variable that every dashboard has, so that it can be imported by any way there is. */
export const DATASOURCE = { type: 'prometheus', uid: `\${prometheus_datasource}` }

export function target(query: Query, format: 'series' | 'table' = 'series'): DataqueryBuilder {
  const built = new DataqueryBuilder().datasource(DATASOURCE).expr(query.text).exemplar(query.exemplars)
  if (query.shape === 'now') built.instant()
  else built.range()
  if (query.shape === 'heatmap') built.format(PromQueryFormat.Heatmap)
  else built.format(format === 'table' ? PromQueryFormat.Table : PromQueryFormat.TimeSeries)
  return format === 'table' ? built : built.legendFormat(query.legend)
}
