// The services of a trace: their spans, errors, and share of the time.

import type { TraceColumns } from '../../../../telemetry/trace-columns.ts'
import type { CriticalPath } from './path.ts'
import type { Tree } from './tree.ts'

export interface ServiceSum {
  readonly service: string
  spans: number
  errors: number
  /** Microseconds of own time, and of it on the critical path. */
  self: number
  critical: number
}

/** The one with the most time on the critical path first. */
export function serviceSums(columns: TraceColumns, tree: Tree, path: CriticalPath): ServiceSum[] {
  const sums = columns.services.map(service => ({ service, spans: 0, errors: 0, self: 0, critical: 0 }))
  for (let span = 0; span < tree.spans; span++) {
    const sum = sums[columns.service[span]!]!
    sum.spans++
    if (columns.status[span] === 2) sum.errors++
    sum.self += tree.self[span]!
    sum.critical += path.own[span]!
  }
  return sums.filter(({ spans }) => spans > 0).sort((a, b) => b.critical - a.critical || b.self - a.self)
}

/** Spans that ended in an error, and that no child explains: the first one of these is what a person looks for. */
export function deepestErrors(columns: TraceColumns, tree: Tree): number[] {
  const found: number[] = []
  for (let span = 0; span < tree.spans; span++) {
    if (columns.status[span] !== 2) continue
    let explained = false
    for (let each = tree.child[span]!; each >= 0 && !explained; each = tree.sibling[each]!)
      explained = columns.status[each] === 2
    if (!explained) found.push(span)
  }
  return found
}
