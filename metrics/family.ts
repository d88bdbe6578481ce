// The declaration of a metric, once, as a module constant. The exposition, docs/metrics.md, the dashboards, the rules
// and the lint read this one value, so renaming a metric breaks the compilation of everything that uses it.

export type Kind = 'counter' | 'gauge' | 'histogram'

export interface Family<Label extends string = string> {
  readonly kind: Kind
  /** The full exposed name: base unit last, `_total` on counters only (prometheus.io/docs/practices/naming). */
  readonly name: string
  /** One sentence, in base units, that tells a reader what the number means. */
  readonly help: string
  readonly labels: readonly Label[]
  /** Upper bounds of a histogram in ascending order, without +Inf. */
  readonly buckets?: readonly number[]
}

export interface CounterFamily<Label extends string = string> extends Family<Label> {
  readonly kind: 'counter'
}
export interface GaugeFamily<Label extends string = string> extends Family<Label> {
  readonly kind: 'gauge'
}
export interface HistogramFamily<Label extends string = string> extends Family<Label> {
  readonly kind: 'histogram'
  readonly buckets: readonly number[]
}

/** Declares a number that only grows. The type refuses a name without `_total`. */
export function counter<const Label extends string = never>(
  name: `${string}_total`,
  help: string,
  labels: readonly Label[] = [],
): CounterFamily<Label> {
  return { kind: 'counter', name, help, labels }
}

/** Declares a number that goes up and down. */
export function gauge<const Label extends string = never>(
  name: string,
  help: string,
  labels: readonly Label[] = [],
): GaugeFamily<Label> {
  return { kind: 'gauge', name, help, labels }
}

/** Declares a distribution with classic buckets; `le` is added by the writers. */
export function histogram<const Label extends string = never>(
  name: string,
  help: string,
  labels: readonly Label[],
  buckets: readonly number[],
): HistogramFamily<Label> {
  return { kind: 'histogram', name, help, labels, buckets }
}
