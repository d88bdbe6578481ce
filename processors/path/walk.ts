// The critical path of a request: walks back from the end of its root. The child that ended last before the current point is on
// the path; the gap up to its end is the parent's own time; the walk goes on inside the child, and after that from the child's
// start with the children that ended before. So each moment of the root belongs to exactly one span, and the sum of all shares
// is the root's duration, to the nanosecond (CRISP, USENIX ATC 2022; the same walk as Jaeger's).
//
// It keeps its own stack, so that a chain of any length is no deeper than another, and looks at each child once.

import { KIND } from '../../telemetry/span.ts'
import type { Tree } from '../../telemetry/tree.ts'

/** Clocks of SDKs have steps of a microsecond: a child that ends so much after the next begins still ended before it. */
const TIE_NS = 1000
const FEW = 64
/** More than there are operations. */
const OPERATIONS = 4096

export class Walk {
  /** Spans on the path of the last walk. */
  count = 0
  /** Their positions in the tree, their nanoseconds, and 1 for what was spent on a try that failed and was repeated. */
  at = new Int32Array(FEW)
  ns = new Float64Array(FEW)
  retried = new Uint8Array(FEW)
  /**
   * The stack: entries of the path that the walk is inside of; where each begins and ends, the current point, the next
   * child.
   */
  #entry = new Int32Array(FEW)
  #begin = new Float64Array(FEW)
  #finish = new Float64Array(FEW)
  #point = new Float64Array(FEW)
  #next = new Int32Array(FEW)
  /** When the last try of an operation under a parent began; only for traces with failures. */
  readonly #tries = new Map<number, number>()
  #failures = false

  walk(tree: Tree, root: number): void {
    if (tree.size > this.at.length) this.#resize(tree.size)
    const [begins, finishes, points, nexts] = [this.#begin, this.#finish, this.#point, this.#next]
    this.#failures = tree.failures > 0 && tree.size > 2
    if (this.#failures) this.#tries.clear()
    this.count = 0
    let depth = -1
    let into = root
    let from = tree.start(root)
    let until = tree.end(root)
    let retried = 0
    // Fast path: a request without spans below it.
    if (tree.child(root) < 0) {
      this.at[0] = root
      this.ns[0] = until - from
      this.retried[0] = 0
      this.count = 1
      return
    }
    for (;;) {
      if (into >= 0) {
        depth++
        this.#entry[depth] = this.count
        this.at[this.count] = into
        this.ns[this.count] = 0
        this.retried[this.count++] = retried
        begins[depth] = from
        finishes[depth] = points[depth] = until
        nexts[depth] = tree.child(into)
        into = -1
      }
      const entry = this.#entry[depth]!
      const begin = begins[depth]!
      const point = points[depth]!
      const next = point > begin ? nexts[depth]! : -1
      if (next < 0) {
        this.ns[entry]! += point - begin
        if (depth-- === 0) return
        continue
      }
      const at = this.at[entry]!
      nexts[depth] = tree.sibling(next)
      const repeated = this.#failures && this.#repeated(tree, at, next)
      // A message that was sent does not hold up its sender until somebody has read it.
      if (tree.kind(next) === KIND.consumer && tree.kind(at) === KIND.producer) continue
      // Time outside the parent is cut off; a child beside one that ends later does not decide.
      from = Math.max(tree.start(next), begin)
      until = Math.min(tree.end(next), finishes[depth]!)
      if (until > point + TIE_NS) continue
      if (until > point) until = point
      if (from >= until) continue
      this.ns[entry]! += point - until
      points[depth] = from
      retried = repeated || this.retried[entry] ? 1 : 0
      if (tree.child(next) >= 0) into = next
      else {
        // Fast path: most children have none of their own, and need no place on the stack.
        this.at[this.count] = next
        this.ns[this.count] = until - from
        this.retried[this.count++] = retried
      }
    }
  }

  /** Whether the span failed, and the same was tried again under the same parent. Siblings are asked from the last one on. */
  #repeated(tree: Tree, parent: number, at: number): boolean {
    const operation = tree.operationOf(at)
    if (operation === 0) return false
    const key = parent * OPERATIONS + operation
    const last = this.#tries.get(key)
    if (last === undefined) this.#tries.set(key, tree.start(at))
    return tree.failed(at) && last !== undefined && last >= tree.end(at) - TIE_NS
  }

  #resize(spans: number): void {
    let size = FEW
    while (size < spans) size *= 2
    this.at = new Int32Array(size)
    this.ns = new Float64Array(size)
    this.retried = new Uint8Array(size)
    this.#entry = new Int32Array(size)
    this.#begin = new Float64Array(size)
    this.#finish = new Float64Array(size)
    this.#point = new Float64Array(size)
    this.#next = new Int32Array(size)
  }
}
