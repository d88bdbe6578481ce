// The critical path: the parts of spans that the duration of the trace is made of. Making anything else faster changes nothing.
//
// It is walked backwards from the end of the root: the child that ended last before the cursor was waited for until there; what
// is between its end and the cursor is the span's own time. Then the cursor goes to where that child began. A child
// that outlives its parent is cut to it, and one that begins after the cursor was not waited for.

import type { Tree } from './tree.ts'

export interface CriticalPath {
  /** Parts in order of time: the span, and its own time from and to, in microseconds. */
  readonly parts: readonly PathPart[]
  /** By span: microseconds that it is on the path itself, and whether it or a descendant is. */
  readonly own: Float64Array
  readonly on: Uint8Array
}

export interface PathPart {
  readonly span: number
  readonly from: number
  readonly to: number
}

interface Frame {
  readonly span: number
  /** Its start, or that of its parent if its clock says that it began before. */
  readonly from: number
  /** Its children by their ends, the last first, and the next to look at. */
  readonly children: readonly number[]
  next: number
  cursor: number
}

export function criticalPath(tree: Tree): CriticalPath {
  const { start, duration, child, sibling, spans, root } = tree
  const own = new Float64Array(spans)
  const on = new Uint8Array(spans)
  const parts: PathPart[] = []
  const end = (node: number): number => start[node]! + duration[node]!
  const frame = (span: number, from: number, cursor: number): Frame => {
    const children: number[] = []
    for (let each = child[span]!; each >= 0; each = sibling[each]!) children.push(each)
    children.sort((a, b) => end(b) - end(a) || start[b]! - start[a]! || b - a)
    return { span, from, children, next: 0, cursor }
  }
  const part = (span: number, from: number, to: number): void => {
    // A parent that is missing has no time of its own.
    if (to <= from || span >= spans) return
    parts.push({ span, from, to })
    own[span] = own[span]! + to - from
  }
  const stack = tree.nodes === 0 ? [] : [frame(root, start[root]!, end(root))]
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    const { span } = top
    if (span < spans) on[span] = 1
    const next = top.children[top.next++]
    if (next === undefined) {
      part(span, top.from, top.cursor)
      stack.pop()
      continue
    }
    const from = Math.max(start[next]!, top.from)
    const to = Math.min(end(next), top.cursor)
    // It began after what was waited for, or took no time.
    if (to <= from) continue
    part(span, to, top.cursor)
    top.cursor = from
    stack.push(frame(next, from, to))
  }
  return { parts: parts.reverse(), own, on }
}
