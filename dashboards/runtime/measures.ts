// Figures of the Runtime dashboard. Each is asked for by all the names that it has, and whichever is there is shown.

import { PER_INSTANCE } from '../measures.ts'
import { binary, type Vector } from '../promql.ts'

/** The process that a figure is of: by instance, and by service where it came over OTLP. */
export const PROCESS = [...PER_INSTANCE, 'exported_job'] as const
export const WHO = '{{instance}} {{exported_job}}'

/** The first of some figures that is there, for each label set. */
export function either<L extends string>(first: Vector<L>, ...others: readonly Vector<NoInfer<L>>[]): Vector<L> {
  return others.reduce((all: Vector<L>, next) => binary(all, 'or', next), first)
}
