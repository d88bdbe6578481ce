// Which nodes have a row: those that are not inside a collapsed one, and with a filter those that match and what is above them.

import type { Tree } from './tree.ts'

export interface Showing {
  /** Nodes whose descendants are hidden. */
  readonly collapsed: ReadonlySet<number>
  /** By span: 1 for a match; undefined without a filter. */
  readonly matches: Uint8Array | undefined
  /** Whether only matches and their ancestors are shown. */
  readonly only: boolean
}

/** The nodes in the order of their rows. */
export function rowsOf(tree: Tree, { collapsed, matches, only }: Showing): Int32Array {
  const { order, lastPosition, parent, nodes, spans } = tree
  let wanted: Uint8Array | undefined
  if (only && matches) {
    wanted = new Uint8Array(nodes)
    for (let span = 0; span < spans; span++)
      if (matches[span] === 1) for (let at = span; at >= 0 && wanted[at] === 0; at = parent[at]!) wanted[at] = 1
  }
  const rows = new Int32Array(nodes)
  let count = 0
  for (let at = 0; at < nodes; at++) {
    const node = order[at]!
    if (wanted && wanted[node] === 0) continue
    rows[count++] = node
    // With a filter everything that matches is in sight.
    if (!wanted && collapsed.has(node)) at = lastPosition[node]!
  }
  return rows.subarray(0, count)
}

/** Opens all that hides a node; undefined if nothing does. */
export function revealed(tree: Tree, collapsed: ReadonlySet<number>, node: number): ReadonlySet<number> | undefined {
  let open: Set<number> | undefined
  for (let at = tree.parent[node]!; at >= 0; at = tree.parent[at]!)
    if (collapsed.has(at)) {
      open ??= new Set(collapsed)
      open.delete(at)
    }
  return open
}

/**
 * The next row that `wanted` accepts after the given one, round to the beginning; undefined if there is none. `step`
 * is 1 or -1.
 */
export function nextRow(
  rows: Int32Array,
  from: number,
  step: 1 | -1,
  wanted: (node: number) => boolean,
): number | undefined {
  const { length } = rows
  for (let i = 1; i <= length; i++) {
    const at = (((from + step * i) % length) + length) % length
    if (wanted(rows[at]!)) return at
  }
  return undefined
}
