// PromQL written from declarations: a selector is made of a Family, so a renamed metric, an unknown label or a rate of a
// gauge does not compile. An expression carries the labels of its result in its type, and grouping by others does not
// compile either.

import type { CounterFamily, GaugeFamily, HistogramFamily } from '../metrics/family.ts'
import { bound } from '../metrics/format.ts'

/** An expression whose result carries (at least) these labels. */
export interface Vector<Label extends string> {
  readonly text: string
  /** Whether it can be an operand without parentheses. */
  readonly atom: boolean
  /** Exists for the compiler only. */
  readonly labels?: Label
}

/** Labels that Prometheus adds to everything it scrapes; `namespace` only in Kubernetes, and elsewhere it is absent. */
export type Target = 'job' | 'namespace' | 'instance'

/** Equal to a text, or one of the other three ways to match. */
export type Match = string | { readonly re: string } | { readonly not: string } | { readonly notRe: string }
/** Several matches of one label must all hold. */
export type Where<Label extends string> = { readonly [L in Label]?: Match | readonly Match[] }

export type Window = `$__${'rate_interval' | 'range' | 'interval'}` | `${number}${'s' | 'm' | 'h' | 'd' | 'w'}`

export interface Scope {
  /** Added to every selector. */
  readonly where: Where<Target>
  /** The window of a rate that names none. */
  readonly window: Window
  /** The offset by which everything is looked at in the past. */
  readonly ago?: Window
}

/** The ways to begin an expression, within a scope. */
export function select({ where: everywhere, window: usual, ago: before }: Scope) {
  const at = (name: string, where: Where<string> = {}) => `${name}${braces({ ...where, ...everywhere })}`
  const call = <L extends string>(fn: string, text: string, window: Window) =>
    atom<L>(`${fn}(${text}[${window}]${offset(before)})`)
  return {
    /** The value of a gauge, now or some time ago. */
    value: <L extends string>(f: GaugeFamily<L>, where?: Where<L>, ago = before): Vector<L | Target> =>
      atom(`${at(f.name, where)}${offset(ago)}`),

    /** Increase of a counter per second. */
    rate: <L extends string>(f: CounterFamily<L>, where?: Where<L>, window = usual): Vector<L | Target> =>
      call('rate', at(f.name, where), window),

    increase: <L extends string>(f: CounterFamily<L>, where?: Where<L>, window = usual): Vector<L | Target> =>
      call('increase', at(f.name, where), window),

    /**
     * Counts events in each step of the time shown, for a counter whose label sets begin with their first event: `increase`
     * does not show that one, since there was no sample before it.
     */
    happened: <L extends string>(f: CounterFamily<L>, where?: Where<L>): Vector<L | Target> => {
      const all = at(f.name, where)
      const grown = binary(atom<L | Target>(`increase(${all}[$__interval])`), '>', '0')
      return binary(
        grown,
        'or',
        // Multiplied, it loses its name, as an increase does.
        binary(
          binary(atom<L | Target>(all), 'unless', atom<L | Target>(`last_over_time(${all}[1h] offset $__interval)`)),
          '*',
          '1',
        ),
      )
    },

    /** All that a counter has counted, for what happens before the first scrape, so that no increase would show it. */
    total: <L extends string>(f: CounterFamily<L>, where?: Where<L>): Vector<L | Target> => atom(at(f.name, where)),

    /** The number of times that a gauge took another value. */
    changes: <L extends string>(f: GaugeFamily<L>, where?: Where<L>, window = usual): Vector<L | Target> =>
      call('changes', at(f.name, where), window),

    /** An aggregate of a gauge over time. */
    over: <L extends string>(
      how: 'min' | 'max' | 'avg' | 'last' | 'count',
      f: GaugeFamily<L>,
      where?: Where<L>,
      window = usual,
      ago = before,
    ): Vector<L | Target> => atom(`${how}_over_time(${at(f.name, where)}[${window}]${offset(ago)})`),

    /** Where a gauge will be after that many seconds, if it goes on as within the window. */
    predict: <L extends string>(f: GaugeFamily<L>, seconds: number, window: Window): Vector<L | Target> =>
      atom(`predict_linear(${at(f.name)}[${window}]${offset(before)}, ${seconds})`),

    /** Rates of a histogram's buckets. */
    buckets: <L extends string>(
      f: HistogramFamily<L>,
      where?: Where<L | 'le'>,
      window = usual,
    ): Vector<L | Target | 'le'> => call('rate', at(`${f.name}_bucket`, where), window),

    /** Increase of a histogram's buckets, which is what a heatmap shows. */
    cells: <L extends string>(f: HistogramFamily<L>, where?: Where<L>): Vector<L | Target | 'le'> =>
      call('increase', at(`${f.name}_bucket`, where), usual),

    /** Observations of a histogram per second. */
    observed: <L extends string>(f: HistogramFamily<L>, where?: Where<L>, window = usual): Vector<L | Target> =>
      call('rate', at(`${f.name}_count`, where), window),

    /** The sum of what a histogram observed, per second. */
    summed: <L extends string>(f: HistogramFamily<L>, where?: Where<L>, window = usual): Vector<L | Target> =>
      call('rate', at(`${f.name}_sum`, where), window),
  }
}

function aggregation(name: string) {
  return <L extends string, const B extends L = never>(v: Vector<L>, by: readonly B[] = []): Vector<B> =>
    atom(by.length > 0 ? `${name} by (${by.join(', ')}) (${v.text})` : `${name}(${v.text})`)
}
export const sum = aggregation('sum')
export const avg = aggregation('avg')
export const min = aggregation('min')
export const max = aggregation('max')
export const count = aggregation('count')

/** A duration, absent where nothing was observed: a quantile is NaN there, which a stat would paint as if all were well. */
export function observed<L extends string>(duration: Vector<L>): Vector<L> {
  return binary(duration, '>=', '0')
}

/** The value that a fraction `q` of what was observed does not exceed, from rates of buckets. */
export function quantile<L extends string>(q: number, buckets: 'le' extends L ? Vector<L> : never) {
  return atom<Exclude<L, 'le'>>(`histogram_quantile(${q}, ${buckets.text})`)
}

/** `part / whole`, and nothing (rather than NaN) where the whole is 0. */
export function share<L extends string>(part: Vector<L>, whole: Vector<L>): Vector<L> {
  return binary(part, '/', binary(whole, '>', '0'))
}

/** As `share`, for parts that have further labels and one whole in common: matched on the labels of the whole. */
export function split<P extends string, const W extends P>(
  parts: Vector<P>,
  whole: Vector<NoInfer<W>>,
  on: readonly W[],
): Vector<P> {
  return many(parts, '/', { text: `${whole.text} > 0`, atom: false }, on)
}

/** The values of `values`, with the labels of an info metric, whose own value is 1. */
export function labelled<I extends string, V extends string, const B extends I & V>(
  info: Vector<I>,
  values: Vector<V>,
  on: readonly B[],
): Vector<I> {
  return many(info, '*', values, on)
}

/** The values as they are, with further labels of an info metric, whose own value is 1; nothing where there is none. */
export function enriched<L extends string, I extends string, const B extends L & I, const N extends I>(
  values: Vector<L>,
  info: Vector<I>,
  on: readonly B[],
  labels: readonly N[],
): Vector<L | N> {
  return {
    text: `${operand(values)} * on (${on.join(', ')}) group_left (${labels.join(', ')}) ${operand(info)}`,
    atom: false,
  }
}

/** With the value of one label as another one too. */
export function copied<L extends string, const From extends L, const To extends string>(
  v: Vector<L>,
  from: From,
  to: To,
): Vector<L | To> {
  return atom(`label_join(${v.text}, "${to}", "", "${from}")`)
}

/** Series of 0 left out: where all that could happen is there from the start, and only what does happen is of interest. */
export function happening<L extends string>(v: Vector<L>): Vector<L> {
  return binary(v, '>', '0')
}

/** The left side keeps its labels, and several of its series may meet one of the right. */
function many<L extends string>(
  left: Vector<L>,
  operator: Operator,
  right: Vector<string>,
  on: readonly L[],
): Vector<L> {
  return { text: `${operand(left)} ${operator} on (${on.join(', ')}) group_left () ${operand(right)}`, atom: false }
}

/**
 * Matches the bucket that ends at `seconds` in each spelling that its label may have: a text page says "1", OpenMetrics
 * "1.0", and Prometheus 3 stores all of them as Go prints a float.
 */
export function upperBound(seconds: number): Match {
  const spellings = [...new Set([bound('text', seconds), bound('openmetrics', seconds), printedByGo(seconds)])]
  return spellings.length === 1 ? spellings[0]! : oneOf(spellings)
}

/** Matches any of some texts. */
export function oneOf(texts: readonly string[]): Match {
  return { re: alternatives(texts) }
}

/** Matches none of some texts. */
export function noneOf(texts: readonly string[]): Match {
  return { notRe: alternatives(texts) }
}

/** Prometheus anchors its expressions at both ends. */
function alternatives(texts: readonly string[]): string {
  return texts.map(text => text.replace(/[\\^$.|?*+()[\]{}]/g, '\\$&')).join('|')
}

/** Go's FormatFloat(value, 'g', -1, 64), and ".0" after a whole number. */
function printedByGo(value: number): string {
  if (value >= 1e-4 && value < 1e6) return bound('openmetrics', value)
  return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2')
}

type SetOperator = 'and' | 'unless'
type Operator = '+' | '-' | '*' | '/' | '==' | '!=' | '>' | '<' | '>=' | '<=' | '== bool' | SetOperator | 'or'

type Scalar = `${number}` | 'time()'

/** `left operator right`; vectors match on all their labels. */
export function binary<L extends string>(
  left: Vector<L> | Scalar,
  operator: Operator,
  right: Vector<NoInfer<L>> | Scalar,
): Vector<L>
/** Matched on some labels, arithmetic leaves no others. */
export function binary<L extends string, R extends string, const B extends L & R>(
  left: Vector<L>,
  operator: Exclude<Operator, SetOperator | 'or'>,
  right: Vector<R>,
  on: readonly B[],
): Vector<B>
/** The left side as it is, where there is something on the right. */
export function binary<L extends string, R extends string, const B extends L & R>(
  left: Vector<L>,
  operator: SetOperator,
  right: Vector<R>,
  on: readonly B[],
): Vector<L>
export function binary(
  left: Vector<string> | string,
  operator: Operator,
  right: Vector<string> | string,
  on?: readonly string[],
): Vector<string> {
  const match = on ? ` on (${on.join(', ')})` : ''
  return { text: `${operand(left)} ${operator}${match} ${operand(right)}`, atom: false }
}

/** The value of a metric that a recording rule makes; `labels` are what it groups by. */
export function recorded<const L extends string>(name: string, _labels: readonly L[], ago?: Window): Vector<L> {
  return atom(`${name}${offset(ago)}`)
}

/** The largest value that a recorded metric had within the window. */
export function highest<L extends string>(recorded: Vector<L>, window: Window): Vector<L> {
  return atom(`max_over_time(${recorded.text}[${window}])`)
}

/** The sum of the values that a recorded metric had within the window. */
export function total<L extends string>(recorded: Vector<L>, window: Window): Vector<L> {
  return atom(`sum_over_time(${recorded.text}[${window}])`)
}

/** 1 while a family has no series at all. */
export function absent(v: Vector<string>): Vector<never> {
  return atom(`absent(${v.text})`)
}

function offset(ago: Window | undefined): string {
  return ago === undefined ? '' : ` offset ${ago}`
}

function atom<L extends string>(text: string): Vector<L> {
  return { text, atom: true }
}

function operand(side: Vector<string> | string): string {
  if (typeof side === 'string') return side
  return side.atom ? side.text : `(${side.text})`
}

function braces(where: Where<string>): string {
  const matchers = Object.entries(where).flatMap(([label, matches]) =>
    [matches!].flat().map(match => {
      const [operator, value] = matcher(match)
      return `${label}${operator}${JSON.stringify(value)}`
    }),
  )
  return matchers.length > 0 ? `{${matchers.join(', ')}}` : ''
}

function matcher(match: Match): readonly [operator: string, value: string] {
  if (typeof match === 'string') return ['=', match]
  if ('re' in match) return ['=~', match.re]
  if ('not' in match) return ['!=', match.not]
  return ['!~', match.notRe]
}
