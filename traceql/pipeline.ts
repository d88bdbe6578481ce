// A pipeline over one trace: filters, structural operators, groups and aggregates, from sets of spans to sets of spans.

import { type Facts, Fields, needsTrace, type Read, type Test } from './field.ts'
import { compares } from './operate.ts'
import type { Prepared } from './prepare.ts'
import type { Cursor, Trace } from './reading.ts'
import { Fault, Refusal } from './refusal.ts'
import type { Labelled } from './results.ts'
import { compare, float, int, isNumeric, keyOf, type Static } from './static.ts'
import { type Positions, Structure, union } from './structure.ts'
import { aggregateText, stageText } from './text.ts'
import type { Aggregate, Attribute, Field, Operation, Pipeline, Stage, Structural } from './tree.ts'

export interface Spanset {
  /** Positions in the trace, ascending. */
  readonly spans: Positions
  readonly attributes: readonly Labelled[]
}

/** Sets of spans to sets of spans. */
type Step = (input: readonly Spanset[], trace: TraceFacts) => readonly Spanset[]

/** Only so long may one trace hold the event loop, in milliseconds: its spans cannot be left for a turn and read on later. */
const MOST_MS = 40

/** One trace takes too long; the others can be answered. */
export class TooLong extends Error {}

/** The trace that fields ask about, and the place in it. */
export class TraceFacts implements Facts {
  readonly trace: Trace
  position = 0
  rootName = ''
  rootService = ''
  #began = 0
  #looked = 0

  constructor(trace: Trace) {
    this.trace = trace
  }

  /** Begins with the trace that was loaded. */
  begin(): void {
    this.rootName = this.trace.rootName() ?? ''
    this.rootService = this.trace.rootService() ?? ''
    // The tree is made by cursors of the trace, so not while one of them is looked at.
    this.trace.leftOf(0)
    this.#began = performance.now()
  }

  /** The cursor on a span, and the facts with it. */
  at(position: number): Cursor {
    this.position = position
    if ((++this.#looked & 1023) === 0 && performance.now() - this.#began > MOST_MS) throw new TooLong()
    return this.trace.span(position, 1)
  }
}

/** A compiled pipeline. */
export class Evaluation {
  /** Whether a span may belong to the answer: a trace without such a span is not looked at. */
  readonly candidate: Test
  /** Whether the candidates are the answer, since the pipeline filters spans one by one and asks nothing of their traces. */
  readonly spanwise: boolean
  readonly fields: Fields
  readonly #step: Step
  readonly #source: string
  readonly #structure = new Structure()

  constructor({ query, matchers }: Prepared) {
    this.#source = query.source
    this.fields = new Fields(matchers)
    this.candidate = this.#candidateOf(query.pipeline)
    const { stages } = query.pipeline
    this.spanwise = stages.every(
      stage => stage.kind === 'select' || (stage.kind === 'filter' && !needsTrace(stage.field)),
    )
    this.#step = this.#pipeline(query.pipeline)
  }

  /** The sets of spans of the loaded trace that the pipeline leaves. Throws a Refusal or TooLong. */
  run(facts: TraceFacts): readonly Spanset[] {
    const all = Array.from({ length: facts.trace.size }, (_, i) => i)
    try {
      return this.#step([{ spans: all, attributes: [] }], facts)
    } catch (error) {
      if (error instanceof Fault) throw new Refusal(this.#source, error.at, error.message)
      throw error
    }
  }

  // Candidates

  #candidateOf(stage: Stage): Test {
    switch (stage.kind) {
      case 'filter':
        return this.fields.candidate(stage.field)
      case 'operation': {
        const { operator, left, right } = stage
        const second = this.#candidateOf(right)
        if (operator.startsWith('!')) return second
        const first = this.#candidateOf(left)
        if (operator === '||') return (cursor, facts) => first(cursor, facts) || second(cursor, facts)
        // Both sides must have spans, so either will do.
        return stageText(left) === '{ true }' ? second : first
      }
      case 'pipeline': {
        // Spans that several filters leave one after another have passed them all.
        let together: Test | undefined
        for (const each of stage.stages) {
          if (each.kind !== 'filter' && each.kind !== 'operation') break
          const next = this.#candidateOf(each)
          const before = together
          if (before && each.kind === 'operation') break
          together = before ? (cursor, facts) => before(cursor, facts) && next(cursor, facts) : next
          if (each.kind === 'operation') break
        }
        return together ?? (() => true)
      }
      default:
        return () => true
    }
  }

  // Stages

  #pipeline({ stages }: Pipeline): Step {
    const steps = stages.map(stage => this.#stage(stage))
    return (input, facts) => {
      let sets = input
      for (const step of steps) {
        sets = step(sets, facts)
        if (!sets.length) break
      }
      return sets
    }
  }

  #stage(stage: Stage): Step {
    switch (stage.kind) {
      case 'filter':
        return this.#filter(stage.field)
      case 'operation':
        return this.#operation(stage)
      case 'pipeline':
        return this.#pipeline(stage)
      case 'scalar filter': {
        const aggregate = this.#aggregate(stage.aggregate)
        const key = aggregateText(stage.aggregate)
        return (input, facts) =>
          input.flatMap(({ spans, attributes }) => {
            const value = aggregate(spans, facts)
            if (!value || !compares(stage.operator, value, stage.value)) return []
            return [{ spans, attributes: [...attributes, [key, value] as const] }]
          })
      }
      case 'by': {
        const value = this.fields.read(stage.field)
        const key = stageText(stage)
        return (input, facts) => input.flatMap(set => grouped(set, key, value, facts))
      }
      case 'coalesce':
        return input => [{ spans: input.reduce<Positions>((all, { spans }) => union(all, spans), []), attributes: [] }]
      case 'select':
        return input => input
    }
  }

  #filter(field: Field): Step {
    if (field.kind === 'constant')
      return field.value.type === 'boolean' && field.value.value ? input => input : () => []
    const test = this.fields.test(field)
    return (input, facts) => {
      const sets: Spanset[] = []
      for (const set of input) {
        const spans = set.spans.filter(position => test(facts.at(position), facts))
        if (spans.length) sets.push({ spans, attributes: set.attributes })
      }
      return sets
    }
  }

  #operation({ operator, left, right, at }: Operation): Step {
    const [first, second] = [this.#stage(left), this.#stage(right)]
    const answer = (a: readonly Spanset[], b: readonly Spanset[], { trace }: TraceFacts): Positions => {
      if (operator === '&&' && (!a.length || !b.length)) return []
      if (operator === '&&' || operator === '||')
        return [...a, ...b].reduce<Positions>((all, { spans }) => union(all, spans), [])
      if (a.length > 1 || b.length > 1)
        throw new Fault(
          at,
          `${operator} cannot follow by(), which makes several sets of spans; use coalesce() before it`,
        )
      return this.#structure.answer(operator as Structural, trace, a[0]?.spans ?? [], b[0]?.spans ?? [])
    }
    return (input, facts) => {
      const sets: Spanset[] = []
      for (const set of input) {
        const spans = answer(first([set], facts), second([set], facts), facts)
        if (spans.length) sets.push({ spans, attributes: set.attributes })
      }
      return sets
    }
  }

  /** Undefined if no span has a value. */
  #aggregate({ name, field }: Aggregate): (spans: Positions, facts: TraceFacts) => Static | undefined {
    if (!field) return spans => ({ type: 'int', value: spans.length })
    const read = this.fields.read(field)
    return (spans, facts) => {
      let result: Static | undefined
      let count = 0
      for (const position of spans) {
        const value = read(facts.at(position), facts)
        if (!isNumeric(value.type)) continue
        count++
        if (!result) result = value
        else if (name === 'min' || name === 'max') {
          const order = compare(value, result)
          if (name === 'min' ? order < 0 : order > 0) result = value
        } else result = added(result, value)
      }
      return result && name === 'avg' ? divided(result, count) : result
    }
  }
}

function grouped(set: Spanset, key: string, read: Read, facts: TraceFacts): Spanset[] {
  const groups = new Map<string, { readonly value: Static; readonly spans: number[] }>()
  for (const position of set.spans) {
    const value = read(facts.at(position), facts)
    const id = keyOf(value)
    const group = groups.get(id)
    if (group) group.spans.push(position)
    else groups.set(id, { value, spans: [position] })
  }
  return [...groups.values()].map(({ value, spans }) => ({ spans, attributes: [...set.attributes, [key, value]] }))
}

function added(a: Static, b: Static): Static {
  if ((a.type === 'int' || a.type === 'duration') && a.type === b.type) {
    if (typeof a.value === 'number' && typeof b.value === 'number' && Number.isSafeInteger(a.value + b.value))
      return { type: a.type, value: a.value + b.value }
    return { type: a.type, value: int(BigInt(a.value) + BigInt(b.value)) }
  }
  return { type: 'float', value: float(a) + float(b) }
}

/** The average: a duration stays one. */
function divided(sum: Static, count: number): Static {
  if (sum.type === 'duration') return { type: 'duration', value: int(BigInt(sum.value) / BigInt(count)) }
  return { type: 'float', value: float(sum) / count }
}

/** The fields that a pipeline mentions, in this order, each once. */
export function mentioned({ stages }: Pipeline): readonly Attribute[] {
  const all = new Map<string, Attribute>()
  const add = (attribute: Attribute): void => {
    const scope = attribute.kind === 'attribute' ? attribute.scope : ''
    all.set(`${scope}.${attribute.name}`, attribute)
  }
  const field = (each: Field): void => {
    if (each.kind === 'attribute' || each.kind === 'intrinsic') add(each)
    else if (each.kind === 'unary') field(each.field)
    else if (each.kind === 'binary') {
      field(each.left)
      field(each.right)
    }
  }
  const stage = (each: Stage): void => {
    if (each.kind === 'filter' || each.kind === 'by') field(each.field)
    else if (each.kind === 'pipeline') each.stages.forEach(stage)
    else if (each.kind === 'select') each.attributes.forEach(add)
    else if (each.kind === 'scalar filter' && each.aggregate.field) field(each.aggregate.field)
    else if (each.kind === 'operation') {
      stage(each.left)
      stage(each.right)
    }
  }
  stages.forEach(stage)
  return [...all.values()]
}
