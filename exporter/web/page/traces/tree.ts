// The tree of a trace, as arrays: 10,000 objects would cost more than the drawing. Nodes are the spans by their places, and
// behind them one node for each parent that is not here, under which its children stand together.

import { MISSING, NO_PARENT, type TraceColumns } from '../../../../telemetry/trace-columns.ts'

/** Clocks of one machine differ by less than this, in microseconds: parent and child may be stamped by different ones. */
export const SKEW_TOLERANCE = 10

export interface Tree {
  /** Spans; nodes from here on are missing parents. */
  readonly spans: number
  readonly nodes: number
  /** The nodes as they are shown, each before its children, children by their starts. */
  readonly order: Int32Array
  /** By node: where it stands in `order`, and where the last of its descendants does. */
  readonly position: Int32Array
  readonly lastPosition: Int32Array
  readonly depth: Int32Array
  /** The node above, -1 at the top. */
  readonly parent: Int32Array
  /** Children, as first child and next sibling; -1 ends. */
  readonly child: Int32Array
  readonly sibling: Int32Array
  /** Microseconds. A missing parent lasts from its first child to the end of its last. */
  readonly start: Float64Array
  readonly duration: Float64Array
  /** Time in which no child runs; by span. */
  readonly self: Float64Array
  /** When the last of a node and its descendants ends. */
  readonly subtreeEnd: Float64Array
  /** The microseconds that a span starts before its parent, a sign that the clocks differ; 0 if it does not. */
  readonly skew: Float64Array
  /** 1 for spans that stand at the top because their parents form a circle. */
  readonly circular: Uint8Array
  /** The ids of the missing parents, from node `spans` on. */
  readonly missing: readonly string[]
  /** The top node that lasts longest: where the critical path begins. */
  readonly root: number
  /** When the last span ends. */
  readonly end: number
}

export function treeOf(columns: TraceColumns): Tree {
  const spans = columns.spanId.length
  const missing: string[] = []
  const groups = new Map<string, number>()
  const parentOf = (span: number): number => {
    const parent = columns.parent[span] ?? NO_PARENT
    if (parent >= 0 && parent < spans) return parent
    if (parent !== MISSING) return -1
    const id = columns.missing[span] ?? ''
    const known = groups.get(id)
    if (known !== undefined) return known
    const node = spans + missing.push(id) - 1
    groups.set(id, node)
    return node
  }
  const above = new Int32Array(spans)
  for (let span = 0; span < spans; span++) above[span] = parentOf(span)
  const nodes = spans + missing.length
  const parent = new Int32Array(nodes).fill(-1)
  parent.set(above)
  const start = new Float64Array(nodes)
  const duration = new Float64Array(nodes)
  let end = 0
  for (let span = 0; span < spans; span++) {
    start[span] = columns.start[span]!
    duration[span] = columns.duration[span]!
    end = Math.max(end, start[span]! + duration[span]!)
  }
  const circular = new Uint8Array(spans)
  cutCircles(parent, circular)
  const child = new Int32Array(nodes).fill(-1)
  const sibling = new Int32Array(nodes).fill(-1)
  // From the last to the first, so that children stand in the order of their starts.
  for (let span = spans - 1; span >= 0; span--) {
    const at = parent[span]!
    if (at < 0) continue
    sibling[span] = child[at]!
    child[at] = span
  }
  for (let node = spans; node < nodes; node++) {
    start[node] = start[child[node]!]!
    let last = 0
    for (let each = child[node]!; each >= 0; each = sibling[each]!)
      last = Math.max(last, start[each]! + duration[each]!)
    duration[node] = last - start[node]!
  }
  const tops: number[] = []
  for (let node = 0; node < nodes; node++) if (parent[node]! < 0) tops.push(node)
  tops.sort((a, b) => start[a]! - start[b]! || a - b)
  const order = new Int32Array(nodes)
  const position = new Int32Array(nodes)
  const lastPosition = new Int32Array(nodes)
  const depth = new Int32Array(nodes)
  let at = 0
  let root = tops[0] ?? 0
  for (const top of tops) {
    // A root that was sent goes before one that was made up.
    if (rank(top) > rank(root)) root = top
    for (let node = top; node >= 0; ) {
      position[node] = at
      order[at++] = node
      if (child[node]! >= 0) {
        depth[child[node]!] = depth[node]! + 1
        node = child[node]!
        continue
      }
      let up = node
      for (;;) {
        lastPosition[up] = at - 1
        if (up === top) {
          node = -1
          break
        }
        const next = sibling[up]!
        if (next >= 0) {
          depth[next] = depth[up]!
          node = next
          break
        }
        up = parent[up]!
      }
    }
  }
  const subtreeEnd = new Float64Array(nodes)
  for (let i = nodes - 1; i >= 0; i--) {
    const node = order[i]!
    subtreeEnd[node] = Math.max(subtreeEnd[node]!, start[node]! + duration[node]!)
    const up = parent[node]!
    if (up >= 0) subtreeEnd[up] = Math.max(subtreeEnd[up]!, subtreeEnd[node]!)
  }
  const self = new Float64Array(spans)
  const skew = new Float64Array(spans)
  for (let span = 0; span < spans; span++) {
    self[span] = selfTime(span, start, duration, child, sibling)
    const up = parent[span]!
    if (up < 0 || up >= spans) continue
    const before = start[up]! - start[span]!
    if (before > SKEW_TOLERANCE) skew[span] = before
  }
  return {
    spans,
    nodes,
    order,
    position,
    lastPosition,
    depth,
    parent,
    child,
    sibling,
    start,
    duration,
    self,
    subtreeEnd,
    skew,
    circular,
    missing,
    root,
    end,
  }

  function rank(node: number): number {
    return node < spans && columns.parent[node] === NO_PARENT ? 1e18 + duration[node]! * 1e3 : duration[node]!
  }
}

/** Spans that are each other's ancestors: the first of each circle is put at the top. */
function cutCircles(parent: Int32Array, circular: Uint8Array): void {
  // 0: not looked at, otherwise the number of the walk that came by.
  const seen = new Int32Array(parent.length)
  for (let span = 0; span < circular.length; span++) {
    const walk = span + 1
    let at = span
    while (at >= 0 && seen[at] === 0) {
      seen[at] = walk
      at = parent[at]!
    }
    if (at < 0 || seen[at] !== walk) continue
    let first = at
    for (let each = parent[at]!; each !== at; each = parent[each]!) first = Math.min(first, each)
    parent[first] = -1
    circular[first] = 1
  }
}

/** The duration without the time in which children run. */
function selfTime(
  span: number,
  start: Float64Array,
  duration: Float64Array,
  child: Int32Array,
  sibling: Int32Array,
): number {
  let self = 0
  eachOwn({ start, duration, child, sibling }, span, (from, to) => {
    self += to - from
  })
  return self
}

/** Shows the parts of a span in which none of its children runs, with the children before and behind (-1: none). */
export function eachOwn(
  { start, duration, child, sibling }: Pick<Tree, 'start' | 'duration' | 'child' | 'sibling'>,
  span: number,
  each: (from: number, to: number, before: number, after: number) => void,
): void {
  const end = start[span]! + duration[span]!
  let until = start[span]!
  let before = -1
  // They are sorted by their starts.
  for (let next = child[span]!; next >= 0; next = sibling[next]!) {
    const begins = start[next]!
    const ends = Math.min(end, begins + duration[next]!)
    if (ends <= until) continue
    if (begins > until && until < end) each(until, Math.min(begins, end), before, next)
    if (begins > end) break
    until = ends
    before = next
  }
  if (until < end) each(until, end, before, -1)
}

export interface Gap {
  readonly span: number
  readonly from: number
  readonly to: number
  /** The children before and behind it, -1 for none. */
  readonly before: number
  readonly after: number
}

/** The longest time in which a span that has children had none of them running: nobody recorded what it did then. */
export function longestGap(tree: Tree): Gap | undefined {
  let found: Gap | undefined
  for (let span = 0; span < tree.spans; span++) {
    if (tree.child[span]! < 0 || (found && tree.self[span]! <= found.to - found.from)) continue
    eachOwn(tree, span, (from, to, before, after) => {
      if (!found || to - from > found.to - found.from) found = { span, from, to, before, after }
    })
  }
  return found
}

/** A trace this many times longer than its root has spans with a time that cannot be right. */
const FAR = 50

/** The range that is shown at first: all of the trace, or only its root where single spans are far away from it in time. */
export function firstWindow({ root, start, duration, end, nodes }: Tree): {
  readonly from: number
  readonly to: number
} {
  const long = nodes === 0 ? 0 : duration[root]!
  if (long === 0 || end < FAR * long) return { from: 0, to: end }
  return { from: Math.max(0, start[root]! - long * 0.02), to: Math.min(end, start[root]! + long * 1.02) }
}
