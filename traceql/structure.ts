// The relations between the spans of a trace: children, parents, descendants, ancestors, siblings. Each question is answered
// in time linear in the size of the trace. A span that no root leads to is related to none, so it passes where an operator is
// negated.

import type { Trace } from './reading.ts'
import type { Structural } from './tree.ts'

type Relation = '>' | '<' | '>>' | '<<' | '~'

const MIRRORED = { '>': '<', '<': '>', '>>': '<<', '<<': '>>', '~': '~' } as const satisfies Record<Relation, Relation>

/** Positions of spans in the trace, ascending. */
export type Positions = readonly number[]

export class Structure {
  // Reused from trace to trace.
  #among = new Uint8Array(64)
  #state = new Int32Array(64)

  /** The spans on the right that the operator keeps; with a union also those on the left. */
  answer(operator: Structural, trace: Trace, left: Positions, right: Positions): Positions {
    if (operator.startsWith('!')) {
      const related = this.#related(operator.slice(1) as Relation, trace, left, right)
      return right.filter((_, i) => !related[i])
    }
    if (!operator.startsWith('&')) {
      const related = this.#related(operator as Relation, trace, left, right)
      return right.filter((_, i) => related[i])
    }
    const relation = operator.slice(1) as Relation
    const rights = this.#related(relation, trace, left, right)
    const lefts = this.#related(MIRRORED[relation], trace, right, left)
    return union(
      left.filter((_, i) => lefts[i]),
      right.filter((_, i) => rights[i]),
    )
  }

  /** For each of the spans, whether one of `others` is in the relation to it: with '>' its parent. */
  #related(relation: Relation, trace: Trace, others: Positions, spans: Positions): readonly boolean[] {
    const { size } = trace
    if (this.#among.length < size) {
      this.#among = new Uint8Array(size * 2)
      this.#state = new Int32Array(size * 2)
    }
    const among = this.#among
    const state = this.#state
    among.fill(0, 0, size)
    state.fill(0, 0, size)
    const connected = others.filter(each => trace.leftOf(each) !== 0)
    for (const each of connected) among[each] = 1
    const ask = (holds: (span: number) => boolean): boolean[] =>
      spans.map(span => trace.leftOf(span) !== 0 && holds(span))
    switch (relation) {
      case '>':
        return ask(span => among[trace.parentOf(span)] === 1)
      case '<':
        for (const each of connected) if (trace.parentOf(each) >= 0) state[trace.parentOf(each)] = 1
        return ask(span => state[span] === 1)
      case '>>':
        return ask(span => this.#below(trace, span))
      case '<<':
        // From each up to where somebody has been already.
        for (const each of connected)
          for (let at = trace.parentOf(each); at >= 0 && state[at] === 0; at = trace.parentOf(at)) state[at] = 1
        return ask(span => state[span] === 1)
      case '~': {
        let roots = 0
        for (const each of connected) {
          const parent = trace.parentOf(each)
          if (parent < 0) roots++
          else state[parent]!++
        }
        return ask(span => {
          const parent = trace.parentOf(span)
          return (parent < 0 ? roots : state[parent]!) - among[span]! > 0
        })
      }
    }
  }

  /** Whether an ancestor is among the others; remembers the answer for the whole way up. */
  #below(trace: Trace, span: number): boolean {
    const state = this.#state
    let answer = 1
    let at = span
    for (; state[at] === 0; at = trace.parentOf(at)) {
      const parent = trace.parentOf(at)
      if (parent < 0) break
      if (this.#among[parent] === 1) {
        answer = 2
        break
      }
    }
    if (state[at] !== 0) answer = state[at]!
    for (let way = span; way >= 0; way = trace.parentOf(way)) {
      if (state[way] !== 0) break
      state[way] = answer
      if (way === at) break
    }
    return answer === 2
  }
}

/** Both, each once, ascending. */
export function union(a: Positions, b: Positions): Positions {
  if (!a.length) return b
  if (!b.length) return a
  const all: number[] = []
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    const [x, y] = [a[i] ?? Number.POSITIVE_INFINITY, b[j] ?? Number.POSITIVE_INFINITY]
    all.push(Math.min(x, y))
    if (x <= y) i++
    if (y <= x) j++
  }
  return all
}
