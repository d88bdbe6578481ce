// From words to a tree, by precedence climbing: pipelines and metrics. The grammar is Tempo's, loosest first:
//
//   query    = pipeline [ "|" metrics second* ] hints*
//   pipeline = stage ( "|" stage )*
//   stage    = spansets | aggregate comparison constant | by(field) | coalesce() | select(attribute, …)
//   spansets = "{" [field] "}" | "(" spansets ")" | spansets OP spansets
//   query    = "(" pipeline ")" OP "(" pipeline ")" …     on the outermost level only
//
// Fields have a parser of their own.

import { FieldParser } from './field-parser.ts'
import { LIMITS } from './limits.ts'
import { COMPARISONS, OR, OUTER, POWER, STRUCTURAL, SUM } from './precedence.ts'
import { Fault } from './refusal.ts'
import { float, int, NIL, type Static, TRUE } from './static.ts'
import type {
  Aggregate,
  AggregationName,
  Attribute,
  Comparison,
  Field,
  Filter,
  Hint,
  Metrics,
  Operation,
  Pipeline,
  Query,
  ScalarFilter,
  Second,
  SpansetOperator,
  Stage,
} from './tree.ts'
import { WordReader } from './word-reader.ts'

const AGGREGATES = ['count', 'avg', 'min', 'max', 'sum']
const FIRST =
  'rate count_over_time min_over_time max_over_time avg_over_time sum_over_time quantile_over_time histogram_over_time compare'.split(
    ' ',
  )
const SECOND = ['topk', 'bottomk']

/** An operand of the operators outside of braces. */
type Operand =
  /** Filters and their combinations; `parenthesized` can stand for a pipeline of one stage. */
  | { readonly class: 'spansets'; readonly node: Filter | Operation; readonly parenthesized: boolean }
  /** A parenthesized pipeline, or a combination of them. */
  | { readonly class: 'pipelines'; readonly node: Pipeline | Operation }
  | { readonly class: 'aggregate'; readonly node: Aggregate }
  | { readonly class: 'constant'; readonly value: Static; readonly at: number }
  | { readonly class: 'filter'; readonly node: ScalarFilter }
  /** A construct that Tempo reads but does not answer either, by its name. */
  | { readonly class: 'unsupported'; readonly what: string; readonly at: number }

/** Reads a whole query. Throws a Fault for what is not TraceQL. */
export function parse(source: string): Query {
  if (source.length > LIMITS.length)
    throw new Fault(0, `the query has ${source.length} characters; ${LIMITS.length} are allowed`)
  return new Parser(source).query()
}

/** Reads one attribute, as it stands in a query: `span.http.route`, `name`. */
export function parseAttribute(source: string): Attribute {
  const words = new WordReader(source)
  const attribute = new FieldParser(words).attribute()
  words.end('the end of the attribute')
  return attribute
}

class Parser {
  readonly #source: string
  readonly #words: WordReader
  readonly #fields: FieldParser

  constructor(source: string) {
    this.#source = source
    this.#words = new WordReader(source)
    this.#fields = new FieldParser(this.#words)
  }

  query(): Query {
    const { pipeline, metrics, seconds } = this.#root()
    let hints: readonly Hint[] = []
    while (this.#words.is('with')) hints = this.#hints()
    this.#words.end('the end of the query')
    return { source: this.#source, pipeline, ...(metrics ? { metrics } : {}), seconds, hints }
  }

  #root(): { pipeline: Pipeline; metrics?: Metrics; seconds: readonly Second[] } {
    const at = this.#words.word.at
    const { stages, metrics, last } = this.#stages()
    if (last?.class === 'pipelines') {
      if (this.#words.is('|'))
        throw new Fault(this.#words.word.at, 'nothing can follow a combination of pipelines in parentheses')
      return { pipeline: { kind: 'pipeline', stages: [last.node], at }, seconds: [] }
    }
    if (last) throw this.#incomplete(last)
    const seconds = metrics ? this.#seconds() : []
    return { pipeline: { kind: 'pipeline', stages, at }, ...(metrics ? { metrics } : {}), seconds }
  }

  /**
   * Stages as far as they go. `last` is what is no stage by itself: a combination of pipelines, which must be the only
   * thing, or an aggregate without a comparison.
   */
  #stages(): { stages: Stage[]; metrics?: Metrics; last?: Operand } {
    const stages: Stage[] = []
    for (;;) {
      this.#words.part()
      if (this.#words.is(...SECOND))
        throw new Fault(
          this.#words.word.at,
          `${this.#words.text()} can only follow metrics such as \`{} | rate() | topk(10)\``,
        )
      if (this.#words.is(...FIRST)) {
        if (!stages.length)
          throw new Fault(
            this.#words.word.at,
            `${this.#words.text()} needs spans before it: \`{} | ${this.#words.text()}(…)\``,
          )
        return { stages, metrics: this.#metrics() }
      }
      if (this.#words.is('by')) stages.push(this.#group())
      else if (this.#words.is('select')) stages.push(this.#select())
      else if (this.#words.is('coalesce')) {
        if (!stages.length) throw new Fault(this.#words.word.at, 'coalesce() cannot be the first stage of a pipeline')
        stages.push(this.#coalesce())
      } else {
        const operand = this.#expression(OR, false)
        if (operand.class === 'filter' || operand.class === 'spansets') stages.push(operand.node)
        else if (operand.class === 'pipelines' && stages.length)
          throw new Fault(operand.node.at, 'pipelines in parentheses cannot follow another stage')
        else return { stages, last: operand }
      }
      if (!this.#words.take('|')) return { stages }
    }
  }

  /** Climbs from operators that bind at least so tightly. `pipelines`: the left side is a pipeline in parentheses. */
  #expression(least: number, pipelines: boolean): Operand {
    let left = this.#operand(pipelines)
    for (;;) {
      const word = this.#words.word
      const binds = word.type === 'mark' ? OUTER.get(word.text) : undefined
      if (word.type !== 'mark' || binds === undefined || binds < least) return left
      this.#words.next()
      this.#words.part()
      const right = this.#expression(binds === POWER ? binds : binds + 1, left.class === 'pipelines')
      left = this.#combine(word.text, word.at, left, right)
    }
  }

  #operand(pipelines: boolean): Operand {
    const { at } = this.#words.word
    if (this.#words.is('{')) {
      if (pipelines)
        throw new Fault(at, 'if one side is a pipeline in parentheses, the other must be in parentheses too')
      return { class: 'spansets', node: this.#filter(), parenthesized: false }
    }
    if (this.#words.is(...AGGREGATES)) return { class: 'aggregate', node: this.#aggregate() }
    if (this.#words.is('-') || this.#words.isNumber()) return this.#constant()
    if (this.#words.is('(')) {
      const inner = this.#parenthesized()
      if (!pipelines || inner.class !== 'spansets') return inner
      return { class: 'pipelines', node: { kind: 'pipeline', stages: [inner.node], at } }
    }
    throw this.#words.unexpected('{, ( or an aggregate such as count()')
  }

  #constant(): Operand {
    const { at } = this.#words.word
    if (!this.#words.take('-')) return { class: 'constant', value: this.#words.number(), at }
    const operand = this.#words.deeper(() => this.#operand(false))
    if (operand.class !== 'constant') throw new Fault(at, 'a minus sign must be followed by a number')
    return { class: 'constant', value: negated(operand.value), at }
  }

  #parenthesized(): Operand {
    const { at } = this.#words.word
    this.#words.next()
    const { stages, metrics, last } = this.#words.deeper(() => this.#stages())
    if (metrics) throw new Fault(at, 'arithmetic with metrics (metrics in parentheses) is not supported')
    this.#words.expect(')')
    if (!last) {
      const [only] = stages
      if (stages.length === 1 && (only?.kind === 'filter' || only?.kind === 'operation'))
        return { class: 'spansets', node: only, parenthesized: true }
      return { class: 'pipelines', node: { kind: 'pipeline', stages, at } }
    }
    if (!stages.length) return last
    if (last.class !== 'aggregate') throw this.#incomplete(last)
    return { class: 'unsupported', what: 'comparing the aggregates of pipelines in parentheses', at }
  }

  #combine(operator: string, at: number, left: Operand, right: Operand): Operand {
    for (const side of [left, right])
      if (side.class === 'unsupported') throw new Fault(side.at, `${side.what} is not supported`)
    const between = (what: string): Fault => new Fault(at, `${operator} cannot stand between ${what}`)
    if (left.class === 'spansets' && right.class === 'spansets') {
      if (!isSpansetOperator(operator)) throw between('sets of spans')
      const node: Operation = { kind: 'operation', operator, left: left.node, right: right.node, at }
      return { class: 'spansets', node, parenthesized: false }
    }
    if (left.class === 'pipelines' && right.class === 'pipelines') {
      if (!isSpansetOperator(operator)) throw between('pipelines')
      return { class: 'pipelines', node: { kind: 'operation', operator, left: left.node, right: right.node, at } }
    }
    if (left.class === 'constant' && right.class === 'constant') {
      const value = folded(operator, at, left.value, right.value)
      if (!value) throw between('two constants here')
      return { class: 'constant', value, at: left.at }
    }
    const pair = [left.class, right.class].join(' and ')
    if (pair === 'aggregate and constant' && COMPARISONS.includes(operator)) {
      const { node: aggregate } = left as Operand & { class: 'aggregate' }
      const { value } = right as Operand & { class: 'constant' }
      const node: ScalarFilter = { kind: 'scalar filter', operator: operator as Comparison, aggregate, value, at }
      return { class: 'filter', node }
    }
    const scalars = ['aggregate', 'constant']
    if (scalars.includes(left.class) && scalars.includes(right.class)) {
      if (COMPARISONS.includes(operator))
        throw new Fault(at, 'an aggregate can only be compared with a constant on its right, as in `count() > 2`')
      if (['+', '-', '*', '/', '%', '^'].includes(operator))
        throw new Fault(at, `arithmetic with aggregates (${operator}) is not supported`)
    }
    if ([left.class, right.class].includes('filter'))
      throw new Fault(at, `${operator} cannot follow or precede a comparison of an aggregate; use | between stages`)
    if ([left.class, right.class].sort().join() === 'pipelines,spansets')
      throw new Fault(at, `if one side of ${operator} is a pipeline in parentheses, the other must be one too`)
    throw between(`${NAMES[left.class]} and ${NAMES[right.class]}`)
  }

  /** A construct that cannot be a stage, or stand alone. */
  #incomplete(operand: Operand): Fault {
    if (operand.class === 'aggregate') {
      const text = `${operand.node.name}(${operand.node.name === 'count' ? '' : '…'})`
      return new Fault(operand.node.at, `${text} must be compared with a number, as in \`${text} > 2\``)
    }
    if (operand.class === 'unsupported') return new Fault(operand.at, `${operand.what} is not supported`)
    if (operand.class === 'constant') return new Fault(operand.at, 'a number alone is no query')
    return new Fault(operand.node.at, 'pipelines in parentheses cannot be followed by a stage')
  }

  #filter(): Filter {
    const { at } = this.#words.word
    this.#words.expect('{')
    const field: Field = this.#words.is('}') ? { kind: 'constant', value: TRUE, at } : this.#fields.field()
    this.#words.expect('}')
    return { kind: 'filter', field, at }
  }

  #aggregate(): Aggregate {
    const { at } = this.#words.word
    const name = this.#words.text() as Aggregate['name']
    this.#words.next()
    this.#words.expect('(')
    if (name === 'count') {
      this.#words.expect(')')
      return { kind: 'aggregate', name, at }
    }
    const field = this.#fields.field()
    this.#words.expect(')')
    return { kind: 'aggregate', name, field, at }
  }

  #group(): Stage {
    const { at } = this.#words.word
    this.#words.next()
    this.#words.expect('(')
    const field = this.#fields.field()
    this.#words.expect(')')
    return { kind: 'by', field, at }
  }

  #coalesce(): Stage {
    const { at } = this.#words.word
    this.#words.next()
    this.#words.expect('(')
    this.#words.expect(')')
    return { kind: 'coalesce', at }
  }

  #select(): Stage {
    const { at } = this.#words.word
    this.#words.next()
    return { kind: 'select', attributes: this.#attributes(), at }
  }

  /** `(a, b, …)` */
  #attributes(): readonly Attribute[] {
    this.#words.expect('(')
    const all = [this.#fields.attribute()]
    while (this.#words.take(',')) {
      this.#words.part()
      all.push(this.#fields.attribute())
    }
    this.#words.expect(')')
    return all
  }

  // Metrics

  #metrics(): Metrics {
    const { at } = this.#words.word
    const name = this.#words.text()
    this.#words.next()
    if (name === 'compare') return this.#compare(at)
    this.#words.expect('(')
    const bare = name === 'rate' || name === 'count_over_time'
    const attribute = bare ? undefined : this.#fields.attribute()
    const quantiles: number[] = []
    if (name === 'quantile_over_time') {
      this.#words.expect(',')
      do {
        this.#words.part()
        quantiles.push(float(this.#words.number(false)))
      } while (this.#words.take(','))
    }
    this.#words.expect(')')
    const by = this.#words.take('by') ? this.#attributes() : []
    return {
      kind: 'aggregation',
      name: name as AggregationName,
      ...(attribute ? { attribute } : {}),
      quantiles,
      by,
      at,
    }
  }

  #compare(at: number): Metrics {
    this.#words.expect('(')
    const filter = this.#filter()
    const top = this.#words.take(',') ? Number(this.#words.whole()) : 10
    let range: { start: bigint; end: bigint } | undefined
    if (this.#words.take(',')) {
      const start = this.#words.whole()
      this.#words.expect(',')
      range = { start, end: this.#words.whole() }
    }
    this.#words.expect(')')
    return { kind: 'compare', filter, top, ...(range ? { range } : {}), at }
  }

  #seconds(): readonly Second[] {
    const all: Second[] = []
    for (;;) {
      const { at } = this.#words.word
      const text = this.#words.text()
      if (this.#words.take('|')) {
        const kind = this.#words.text()
        if (kind !== 'topk' && kind !== 'bottomk') throw this.#words.unexpected('topk or bottomk')
        const place = this.#words.word.at
        this.#words.next()
        this.#words.expect('(')
        all.push({ kind, limit: Number(this.#words.whole()), at: place })
        this.#words.expect(')')
      } else if (COMPARISONS.includes(text)) {
        this.#words.next()
        const value = this.#scalar()
        all.push({ kind: 'comparison', operator: text as Comparison, value, at })
      } else if (['+', '-', '*', '/', '%', '^', '&&', '||'].includes(text))
        throw new Fault(at, `arithmetic with metrics (${text}) is not supported`)
      else return all
      this.#words.part()
    }
  }

  /** A constant, which may be computed from others. */
  #scalar(): Static {
    const { at } = this.#words.word
    const operand = this.#expression(SUM, false)
    if (operand.class !== 'constant') throw new Fault(at, 'metrics can only be compared with a number')
    return operand.value
  }

  #hints(): readonly Hint[] {
    this.#words.expect('with')
    this.#words.expect('(')
    const all: Hint[] = []
    do {
      this.#words.part()
      const word = this.#words.word
      if (word.type !== 'name') throw this.#words.unexpected('the name of a hint')
      this.#words.next()
      this.#words.expect('=')
      const value = this.#words.static()
      if (!value) throw this.#words.unexpected('the value of the hint')
      all.push({ name: word.text, value })
    } while (this.#words.take(','))
    this.#words.expect(')')
    return all
  }
}

const NAMES = {
  spansets: 'a set of spans',
  pipelines: 'a pipeline',
  aggregate: 'an aggregate',
  constant: 'a constant',
  filter: 'a comparison',
  unsupported: 'an aggregate',
} as const

function isSpansetOperator(operator: string): operator is SpansetOperator {
  return operator === '&&' || operator === '||' || STRUCTURAL.includes(operator)
}

function negated(value: Static): Static {
  if (value.type === 'float') return { type: 'float', value: -value.value }
  if (value.type === 'int' || value.type === 'duration') return { type: value.type, value: int(-BigInt(value.value)) }
  return NIL
}

/** Arithmetic on constants outside of braces; undefined if the operator is none there. */
function folded(operator: string, at: number, left: Static, right: Static): Static | undefined {
  if (!['+', '-', '*', '/'].includes(operator)) return undefined
  for (const { type } of [left, right])
    if (type === 'duration') throw new Fault(at, `${operator} cannot be used with a duration here`)
  if (left.type === 'int' && right.type === 'int') {
    const [a, b] = [BigInt(left.value), BigInt(right.value)]
    if (operator === '/' && b === 0n) throw new Fault(at, 'division by zero')
    const value = operator === '+' ? a + b : operator === '-' ? a - b : operator === '*' ? a * b : a / b
    return { type: 'int', value: int(value) }
  }
  const [a, b] = [float(left), float(right)]
  return {
    type: 'float',
    value: operator === '+' ? a + b : operator === '-' ? a - b : operator === '*' ? a * b : a / b,
  }
}
