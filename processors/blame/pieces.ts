// The parts of a request in which it waited for others: its client and producer spans, and those below its internal
// spans. Where two overlap, the time belongs to the one that began first, so that the parts together are never longer
// than the request.

import { KIND } from '../../telemetry/span.ts'
import type { Tree } from '../../telemetry/tree.ts'
import type { Piece } from './evidence.ts'

/** Parts of a request that are told apart; with more, the shortest are its own time. */
const MOST = 64

/** The pieces, in wall time (milliseconds since the epoch), and the spans that they come from. */
export class Pieces {
  readonly all: Piece[] = []
  /** The span of each piece. */
  readonly spans: number[] = []
  #found: number[] = []
  readonly #stack: number[] = []

  /** Looks for them below `root`. */
  find(tree: Tree, root: number): void {
    this.all.length = this.spans.length = this.#found.length = 0
    const stack = this.#stack
    stack.length = 0
    stack.push(root)
    for (let at = stack.pop(); at !== undefined; at = stack.pop())
      for (let child = tree.child(at); child >= 0; child = tree.sibling(child)) {
        const kind = tree.kind(child)
        if (kind === KIND.client || kind === KIND.producer) this.#found.push(child)
        else if (kind !== KIND.consumer) stack.push(child)
      }
    if (this.#found.length === 0) return
    const { origin } = tree
    if (this.#found.length > MOST)
      this.#found = this.#found
        .sort((a, b) => tree.end(b) - tree.start(b) - (tree.end(a) - tree.start(a)))
        .slice(0, MOST)
    this.#found.sort((a, b) => tree.start(a) - tree.start(b))
    let covered = tree.start(root)
    for (const span of this.#found) {
      const from = Math.max(covered, tree.start(span))
      const to = Math.min(tree.end(root), tree.end(span))
      if (to <= from) continue
      covered = to
      const piece = { from: origin + from / 1e6, to: origin + to / 1e6, peer: tree.operationOf(span), ms: 0 }
      this.all.push(piece)
      this.spans.push(span)
    }
  }
}
