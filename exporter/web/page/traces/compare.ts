// Two traces side by side: spans of the same service and name below the same callers are one row, so that it is seen what one
// trace has that the other has not, and where the time of the two differs.

import type { TraceColumns } from '../../../../telemetry/trace-columns.ts'
import type { Tree } from './tree.ts'

export interface Side {
  readonly columns: TraceColumns
  readonly tree: Tree
}

export interface Sum {
  spans: number
  errors: number
  /** Microseconds: all spans together, and their own time. */
  total: number
  self: number
}

export interface ComparedRow {
  readonly service: string
  readonly name: string
  readonly depth: number
  readonly a: Sum | undefined
  readonly b: Sum | undefined
}

/** Deeper spans are counted with the row of the last depth that has one. */
const DEEPEST = 200

interface Node {
  readonly service: string
  readonly name: string
  readonly depth: number
  readonly children: Map<string, Node>
  a: Sum | undefined
  b: Sum | undefined
}

export function compared(a: Side, b: Side): ComparedRow[] {
  const root: Node = { service: '', name: '', depth: -1, children: new Map(), a: undefined, b: undefined }
  add(root, a, 'a')
  add(root, b, 'b')
  const rows: ComparedRow[] = []
  const stack = [...root.children.values()].reverse()
  for (let node = stack.pop(); node; node = stack.pop()) {
    rows.push(node)
    stack.push(...[...node.children.values()].reverse())
  }
  return rows
}

function add(root: Node, { columns, tree }: Side, side: 'a' | 'b'): void {
  const nodes: Node[] = new Array(tree.nodes)
  for (const node of tree.order) {
    const parent = tree.parent[node]!
    const above = parent < 0 ? root : nodes[parent]!
    const isSpan = node < tree.spans
    const service = isSpan ? columns.services[columns.service[node]!]! : ''
    const name = isSpan ? columns.names[columns.name[node]!]! : 'missing parent'
    const key = JSON.stringify([service, name])
    let at = above.depth >= DEEPEST ? above : above.children.get(key)
    if (!at) {
      at = { service, name, depth: above.depth + 1, children: new Map(), a: undefined, b: undefined }
      above.children.set(key, at)
    }
    nodes[node] = at
    at[side] ??= { spans: 0, errors: 0, total: 0, self: 0 }
    const sum = at[side]
    sum.spans++
    sum.total += tree.duration[node]!
    if (!isSpan) continue
    sum.self += tree.self[node]!
    if (columns.status[node] === 2) sum.errors++
  }
}

/** By how much the second is longer than the first, in microseconds: what is missing took no time. */
export function difference({ a, b }: ComparedRow, of: 'total' | 'self'): number {
  return (b?.[of] ?? 0) - (a?.[of] ?? 0)
}
