// From a parsed query to one that can run: regular expressions are compiled, what does not depend on spans is computed, and
// the types are checked. Everything that is refused is refused here or by the parser, before any span is looked at.

import { setImmediate } from 'node:timers/promises'
import { LIMITS } from './limits.ts'
import { type Matcher, matcher } from './matcher.ts'
import { inArray, isBoolean, negate, operate, takes, truth, typesFit } from './operate.ts'
import { parse } from './parser.ts'
import { Fault, Refusal } from './refusal.ts'
import { isNumeric, type Static, type Type } from './static.ts'
import { aggregateText, attributeText, fieldText, stageText } from './text.ts'
import {
  type Aggregate,
  type Attribute,
  type Binary,
  type Field,
  type Metrics,
  type Query,
  referencesSpan,
  type Second,
  type Stage,
  type Unary,
} from './tree.ts'

/** A query that has been checked. */
export interface Prepared {
  readonly query: Query
  /** The compiled regular expressions by their sources. */
  readonly matchers: ReadonlyMap<string, Matcher>
}

/** Reads and checks a query. Rejects with a Refusal, which names the place. */
export async function prepare(source: string): Promise<Prepared> {
  try {
    const parsed = parse(source)
    const matchers = await compiled(parsed)
    const query = folded(parsed, matchers)
    check(query)
    return { query, matchers }
  } catch (error) {
    if (error instanceof Fault) throw new Refusal(source, error.at, error.message)
    throw error
  }
}

/** The value of an expression that does not depend on a span, or the operation of a regular expression on one. */
export function matches(value: Static, operator: '=~' | '!~', match: Matcher): boolean {
  if (value.type === 'array') return inArray(value.value, operator, element => matches(element, operator, match))
  return value.type === 'string' && match(value.value) === (operator === '=~')
}

// Regular expressions

async function compiled(query: Query): Promise<Map<string, Matcher>> {
  const places = new Map<string, number>()
  for (const field of fieldsOf(query))
    visit(field, node => {
      if (node.kind === 'binary' && (node.operator === '=~' || node.operator === '!~')) {
        const { right } = node
        if (right.kind !== 'constant')
          throw new Fault(node.at, `${node.operator} needs a regular expression in quotes on its right`)
        if (right.value.type !== 'string') return
        const { value } = right.value
        if (value.length > LIMITS.regex)
          throw new Fault(
            right.at,
            `the regular expression has ${value.length} characters; ${LIMITS.regex} are allowed`,
          )
        if (!places.has(value)) places.set(value, right.at)
        if (places.size > LIMITS.regexes)
          throw new Fault(right.at, `the query has more than ${LIMITS.regexes} regular expressions`)
      }
    })
  const matchers = new Map<string, Matcher>()
  for (const [source, at] of places)
    try {
      // To compile one can take milliseconds.
      if (matchers.size) await setImmediate()
      matchers.set(source, await matcher(source))
    } catch (cause) {
      throw new Fault(at, `the regular expression ${(cause as Error).message}`)
    }
  return matchers
}

function* fieldsOf(query: Query): Iterable<Field> {
  for (const stage of query.pipeline.stages) yield* fieldsOfStage(stage)
  if (query.metrics?.kind === 'compare') yield query.metrics.filter.field
}

function* fieldsOfStage(stage: Stage): Iterable<Field> {
  switch (stage.kind) {
    case 'filter':
    case 'by':
      yield stage.field
      break
    case 'operation':
      yield* fieldsOfStage(stage.left)
      yield* fieldsOfStage(stage.right)
      break
    case 'pipeline':
      for (const inner of stage.stages) yield* fieldsOfStage(inner)
      break
    case 'scalar filter':
      if (stage.aggregate.field) yield stage.aggregate.field
      break
    case 'coalesce':
    case 'select':
  }
}

function visit(field: Field, seen: (field: Field) => void): void {
  seen(field)
  if (field.kind === 'unary') visit(field.field, seen)
  if (field.kind === 'binary') {
    visit(field.left, seen)
    visit(field.right, seen)
  }
}

// Constants

function folded(query: Query, matchers: ReadonlyMap<string, Matcher>): Query {
  const field = (of: Field): Field => fold(of, matchers)
  const stage = (of: Stage): Stage => {
    switch (of.kind) {
      case 'filter':
      case 'by':
        return { ...of, field: field(of.field) }
      case 'operation':
        return { ...of, left: stage(of.left) as typeof of.left, right: stage(of.right) as typeof of.right }
      case 'pipeline':
        return { ...of, stages: of.stages.map(stage) }
      case 'scalar filter':
        if (!of.aggregate.field) return of
        return { ...of, aggregate: { ...of.aggregate, field: field(of.aggregate.field) } }
      default:
        return of
    }
  }
  const { metrics } = query
  return {
    ...query,
    pipeline: stage(query.pipeline) as typeof query.pipeline,
    ...(metrics?.kind === 'compare'
      ? { metrics: { ...metrics, filter: { ...metrics.filter, field: field(metrics.filter.field) } } }
      : {}),
  }
}

/**
 * An expression that does not depend on a span becomes a constant. One that cannot be computed stays, and the check
 * refuses it.
 */
function fold(field: Field, matchers: ReadonlyMap<string, Matcher>): Field {
  if (field.kind === 'unary') {
    const node: Unary = { ...field, field: fold(field.field, matchers) }
    const { field: inner } = node
    if (inner.kind !== 'constant' || unaryFault(node)) return node
    return { kind: 'constant', value: unaryValue(node, inner.value), at: node.at }
  }
  if (field.kind !== 'binary') return field
  const node: Binary = { ...field, left: fold(field.left, matchers), right: fold(field.right, matchers) }
  const { operator, left, right } = node
  if (left.kind !== 'constant' || right.kind !== 'constant' || binaryFault(node)) return node
  if (operator === '=~' || operator === '!~') {
    const match = matchers.get((right.value as { value: string }).value)!
    return { kind: 'constant', value: truth(matches(left.value, operator, match)), at: node.at }
  }
  const value = operate(operator, left.value, right.value)
  if (value.type === 'nil') throw new Fault(node.at, 'division by zero')
  return { kind: 'constant', value, at: node.at }
}

function unaryValue({ operator }: Unary, value: Static): Static {
  if (operator === '-') return negate(value)
  if (operator === '!') return truth(value.type === 'boolean' && !value.value)
  return truth((value.type !== 'nil') === (operator === 'exists'))
}

// Types

/** The type of a field. */
export function typeOf(field: Field): Type {
  switch (field.kind) {
    case 'constant':
      return field.value.type === 'array' ? 'attribute' : field.value.type
    case 'intrinsic':
      return INTRINSIC_TYPES[field.name]
    case 'attribute':
      return 'attribute'
    case 'unary':
      return field.operator === '-' || field.operator === '!' ? typeOf(field.field) : 'boolean'
    case 'binary': {
      if (isBoolean(field.operator)) return 'boolean'
      const type = typeOf(field.left)
      return type === 'attribute' ? typeOf(field.right) : type
    }
  }
}

const INTRINSIC_TYPES = {
  duration: 'duration',
  name: 'string',
  status: 'status',
  statusMessage: 'string',
  kind: 'kind',
  parent: 'nil',
  rootName: 'string',
  rootServiceName: 'string',
  traceDuration: 'duration',
  nestedSetLeft: 'int',
  nestedSetRight: 'int',
  nestedSetParent: 'int',
  'span:childCount': 'int',
  'span:id': 'string',
  'span:parentID': 'string',
  'trace:id': 'string',
  'event:name': 'string',
  'event:timeSinceStart': 'duration',
  'link:traceID': 'string',
  'link:spanID': 'string',
  // Tempo does not check these either.
  'instrumentation:name': 'attribute',
  'instrumentation:version': 'attribute',
} as const satisfies Record<string, Type>

function check(query: Query): void {
  for (const stage of query.pipeline.stages) checkStage(stage)
  if (query.metrics) checkMetrics(query.metrics)
  for (const second of query.seconds) checkSecond(second, query.metrics!)
}

function checkStage(stage: Stage): void {
  switch (stage.kind) {
    case 'filter': {
      checkField(stage.field)
      const type = typeOf(stage.field)
      if (type !== 'attribute' && type !== 'boolean')
        throw new Fault(stage.at, `${stageText(stage)} is ${A[type]}; the filter must be true or false`)
      break
    }
    case 'operation':
      checkStage(stage.left)
      checkStage(stage.right)
      break
    case 'pipeline':
      for (const inner of stage.stages) checkStage(inner)
      break
    case 'scalar filter': {
      checkAggregate(stage.aggregate)
      const [left, right] = [aggregateType(stage.aggregate), stage.value.type as Type]
      if (!typesFit(left, right))
        throw new Fault(
          stage.at,
          `${aggregateText(stage.aggregate)} is ${A[left]}, and cannot be compared with ${A[right]}`,
        )
      break
    }
    case 'by':
      checkField(stage.field)
      if (!referencesSpan(stage.field))
        throw new Fault(stage.at, `${stageText(stage)} must name an attribute or an intrinsic of the span`)
      break
    case 'select':
      if (stage.attributes.length > LIMITS.select)
        throw new Fault(stage.at, `select has ${stage.attributes.length} attributes; ${LIMITS.select} are allowed`)
      for (const attribute of stage.attributes) checkAttribute(attribute)
      break
    case 'coalesce':
  }
}

function aggregateType({ field }: Aggregate): Type {
  return field ? typeOf(field) : 'int'
}

function checkAggregate(aggregate: Aggregate): void {
  const { field, at } = aggregate
  if (!field) return
  checkField(field)
  const type = typeOf(field)
  if (type !== 'attribute' && !isNumeric(type))
    throw new Fault(at, `${aggregateText(aggregate)} needs numbers, and ${fieldText(field)} is ${A[type]}`)
  if (!referencesSpan(field))
    throw new Fault(at, `${aggregateText(aggregate)} must name an attribute or an intrinsic of the span`)
}

function checkField(field: Field): void {
  switch (field.kind) {
    case 'binary': {
      checkField(field.left)
      checkField(field.right)
      const fault = binaryFault(field)
      if (fault) throw new Fault(field.at, fault)
      break
    }
    case 'unary': {
      checkField(field.field)
      const fault = unaryFault(field)
      if (fault) throw new Fault(field.at, fault)
      break
    }
    case 'attribute':
    case 'intrinsic':
      checkAttribute(field)
      break
    case 'constant':
  }
}

function binaryFault(field: Binary): string | undefined {
  const { operator } = field
  const [left, right] = [typeOf(field.left), typeOf(field.right)]
  if (!typesFit(left, right))
    return `${fieldText(field)} compares or joins ${A[left]} with ${A[right]}; both sides must have the same type`
  for (const [side, type] of [
    [field.left, left],
    [field.right, right],
  ] as const)
    if (!takes(operator, type)) return `${operator} cannot be used with ${fieldText(side)}, which is ${A[type]}`
  return undefined
}

function unaryFault(field: Unary): string | undefined {
  const type = typeOf(field.field)
  if (field.operator === 'absent') {
    const { field: inner } = field
    if (inner.kind === 'intrinsic') return `${inner.name} is never nil`
    if (inner.kind === 'attribute' && inner.scope === 'resource' && inner.name === 'service.name')
      return 'resource.service.name is never nil'
    return undefined
  }
  if (type === 'attribute' || field.operator === 'exists') return undefined
  if (field.operator === '-' ? isNumeric(type) : type === 'boolean') return undefined
  return `${field.operator} cannot be used with ${fieldText(field.field)}, which is ${A[type]}`
}

function checkAttribute(attribute: Attribute): void {
  if ((attribute.kind === 'attribute' && attribute.parent) || attribute.name === 'parent')
    throw new Fault(attribute.at, `parent (${attributeText(attribute)}) is not supported`)
}

function checkMetrics(metrics: Metrics): void {
  if (metrics.kind === 'compare') {
    checkStage(metrics.filter)
    if (metrics.top <= 0) throw new Fault(metrics.at, 'the number of values of compare() must be greater than 0')
    if (!metrics.range) return
    if (metrics.range.end <= metrics.range.start || metrics.range.start <= 0n)
      throw new Fault(metrics.at, 'compare() needs its start (nanoseconds) before its end, and both greater than 0')
    return
  }
  const { name, by, quantiles, attribute, at } = metrics
  for (const each of [...by, ...(attribute ? [attribute] : [])]) checkAttribute(each)
  // The buckets are a label of their own.
  const allowed = name === 'quantile_over_time' || name === 'histogram_over_time' ? LIMITS.by - 1 : LIMITS.by
  if (by.length > allowed)
    throw new Fault(by[allowed]!.at, `${name} by more than ${allowed} attributes is not supported`)
  for (const quantile of quantiles)
    if (quantile < 0 || quantile > 1) throw new Fault(at, `the quantile ${quantile} is not between 0 and 1`)
}

function checkSecond(second: Second, metrics: Metrics): void {
  const text = second.kind === 'comparison' ? second.operator : `${second.kind}(…)`
  if (metrics.kind === 'compare') throw new Fault(second.at, `${text} cannot follow compare()`)
  if (second.kind !== 'comparison' && second.limit <= 0)
    throw new Fault(second.at, `the number of series of ${text} must be greater than 0`)
}

/** Types with their articles. */
const A: Readonly<Record<Type, string>> = {
  nil: 'nil',
  int: 'a number',
  float: 'a number',
  duration: 'a duration',
  string: 'a string',
  boolean: 'true or false',
  status: 'a status',
  kind: 'a kind',
  attribute: 'an attribute',
}
