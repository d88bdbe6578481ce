// A query as a tree. Each node knows its place in the text (`at`, an offset), so that a refusal can name it.

import type { Static } from './static.ts'
import type { Scope } from './words.ts'

export interface Query {
  /** The text it was read from. */
  readonly source: string
  readonly pipeline: Pipeline
  /** A query without metrics is a search. */
  readonly metrics?: Metrics
  /** The stages that change the series, in order. */
  readonly seconds: readonly Second[]
  readonly hints: readonly Hint[]
}

/** Stages from left to right. */
export interface Pipeline {
  readonly kind: 'pipeline'
  readonly stages: readonly Stage[]
  readonly at: number
}

export type Stage = Spansets | ScalarFilter | Group | Coalesce | Select

export type Spansets = Filter | Operation | Pipeline

/** `{ … }` */
export interface Filter {
  readonly kind: 'filter'
  readonly field: Field
  readonly at: number
}

export type SpansetOperator = '&&' | '||' | Structural
export type Structural = `${'' | '!' | '&'}${'>' | '<' | '>>' | '<<' | '~'}`

/** Two filters, operations or parenthesized pipelines. */
export interface Operation {
  readonly kind: 'operation'
  readonly operator: SpansetOperator
  readonly left: Spansets
  readonly right: Spansets
  readonly at: number
}

export type Comparison = '=' | '!=' | '<' | '<=' | '>' | '>='

/** `count() > 2` */
export interface ScalarFilter {
  readonly kind: 'scalar filter'
  readonly operator: Comparison
  readonly aggregate: Aggregate
  readonly value: Static
  readonly at: number
}

export interface Aggregate {
  readonly kind: 'aggregate'
  readonly name: 'count' | 'avg' | 'min' | 'max' | 'sum'
  /** Absent for count. */
  readonly field?: Field
  readonly at: number
}

export interface Group {
  readonly kind: 'by'
  readonly field: Field
  readonly at: number
}

export interface Coalesce {
  readonly kind: 'coalesce'
  readonly at: number
}

export interface Select {
  readonly kind: 'select'
  readonly attributes: readonly Attribute[]
  readonly at: number
}

export type FieldOperator = '&&' | '||' | Comparison | '=~' | '!~' | '+' | '-' | '*' | '/' | '%' | '^'

export type Field = Constant | Attribute | Unary | Binary

export interface Constant {
  readonly kind: 'constant'
  readonly value: Static
  readonly at: number
}

export interface Unary {
  readonly kind: 'unary'
  /** 'exists' is `!= nil`, 'absent' is `= nil`. */
  readonly operator: '-' | '!' | 'exists' | 'absent'
  readonly field: Field
  readonly at: number
}

export interface Binary {
  readonly kind: 'binary'
  readonly operator: FieldOperator
  readonly left: Field
  readonly right: Field
  /** Where the operator stands. */
  readonly at: number
}

export type Attribute = Named | IntrinsicField

/** `.a`, `span.a`, … */
export interface Named {
  readonly kind: 'attribute'
  readonly scope: Scope
  readonly parent: boolean
  readonly name: string
  readonly at: number
}

export interface IntrinsicField {
  readonly kind: 'intrinsic'
  readonly name: Intrinsic
  readonly at: number
}

/** Under the names by which Tempo prints them: `span:name` is `name`. */
export type Intrinsic = (typeof INTRINSICS)[number]

export const INTRINSICS = [
  'duration',
  'name',
  'status',
  'statusMessage',
  'kind',
  'parent',
  'rootName',
  'rootServiceName',
  'traceDuration',
  'nestedSetLeft',
  'nestedSetRight',
  'nestedSetParent',
  'span:childCount',
  'span:id',
  'span:parentID',
  'trace:id',
  'event:name',
  'event:timeSinceStart',
  'link:traceID',
  'link:spanID',
  'instrumentation:name',
  'instrumentation:version',
] as const

export type Metrics = Aggregation | Compare

export type AggregationName =
  | 'rate'
  | 'count_over_time'
  | 'min_over_time'
  | 'max_over_time'
  | 'avg_over_time'
  | 'sum_over_time'
  | 'quantile_over_time'
  | 'histogram_over_time'

export interface Aggregation {
  readonly kind: 'aggregation'
  readonly name: AggregationName
  /** Absent for rate and count_over_time. */
  readonly attribute?: Attribute
  /** For quantile_over_time. */
  readonly quantiles: readonly number[]
  readonly by: readonly Attribute[]
  readonly at: number
}

export interface Compare {
  readonly kind: 'compare'
  readonly filter: Filter
  /** Values shown of each attribute. */
  readonly top: number
  /** Nanoseconds since the epoch: only spans that start in [start, end) belong to the selection. */
  readonly range?: { readonly start: bigint; readonly end: bigint }
  readonly at: number
}

export type Second =
  | { readonly kind: 'topk' | 'bottomk'; readonly limit: number; readonly at: number }
  | { readonly kind: 'comparison'; readonly operator: Comparison; readonly value: Static; readonly at: number }

export interface Hint {
  readonly name: string
  readonly value: Static
}

/** Whether the value can differ from span to span. */
export function referencesSpan(field: Field): boolean {
  switch (field.kind) {
    case 'constant':
      return false
    case 'unary':
      return referencesSpan(field.field)
    case 'binary':
      return referencesSpan(field.left) || referencesSpan(field.right)
    default:
      return true
  }
}
