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
  /** Whether a span of the path has children that go on after its end, or that its end says nothing about. */
  late = false
  /** The stack: the same of the spans above the one that the walk is inside of. */
  #entry = new Int32Array(FEW)
  #begin = new Float64Array(FEW)
  #finish = new Float64Array(FEW)
  #point = new Float64Array(FEW)
  #next = new Int32Array(FEW)
  /** When the last try of an operation under a parent began; only for traces with failures. */
  readonly #tries = new Map<number, number>()

  walk(tree: Tree, root: number): void {
    if (tree.size > this.at.length) this.#resize(tree.size)
    const { at, ns, retried } = this
    const failures = tree.failures > 0 && tree.size > 2
    if (failures) this.#tries.clear()
    this.late = false
    // The span that the walk is inside of: its entry, where it begins and ends, the current point, its own time
    // so far, the next child.
    let span = root
    let entry = 0
    let begin = tree.start(root)
    let finish = tree.end(root)
    let point = finish
    let own = 0
    let next = tree.child(root)
    let tried = 0
    at[0] = root
    retried[0] = 0
    let count = 1
    let depth = 0
    // Fast path: a request without spans below it.
    if (next < 0) {
      ns[0] = finish - begin
      this.count = 1
      return
    }
    if (isLate(tree, root, next)) this.late = true
    for (;;) {
      if (next < 0 || point <= begin) {
        // Whatever is left is its own time.
        ns[entry] = own + (point - begin)
        if (depth === 0) break
        depth--
        entry = this.#entry[depth]!
        begin = this.#begin[depth]!
        finish = this.#finish[depth]!
        point = this.#point[depth]!
        next = this.#next[depth]!
        own = ns[entry]!
        span = at[entry]!
        tried = retried[entry]!
        continue
      }
      const child = next
      next = tree.sibling(child)
      const repeated = failures && this.#repeated(tree, span, child)
      // A message that was sent does not hold up its sender until somebody has read it.
      if (tree.kind(child) === KIND.consumer && tree.kind(span) === KIND.producer) continue
      // Time outside the parent is cut off; a child beside one that ends later does not decide.
      const from = Math.max(tree.start(child), begin)
      let until = Math.min(tree.end(child), finish)
      if (until > point + TIE_NS) continue
      if (until > point) until = point
      if (from >= until) continue
      own += point - until
      point = from
      at[count] = child
      const below = tree.child(child)
      const again = repeated ? 1 : tried
      retried[count] = again
      // Fast path: most children have none of their own, and the walk need not go inside.
      if (below < 0) {
        ns[count++] = until - from
        continue
      }
      if (isLate(tree, child, below)) this.late = true
      this.#entry[depth] = entry
      this.#begin[depth] = begin
      this.#finish[depth] = finish
      this.#point[depth] = point
      this.#next[depth] = next
      ns[entry] = own
      depth++
      span = child
      entry = count
      count++
      own = 0
      begin = from
      finish = point = until
      next = below
      tried = again
    }
    this.count = count
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

/** Whether something goes on after the end of a span. Its first child is the one that ended last. */
function isLate(tree: Tree, span: number, first: number): boolean {
  return tree.end(first) > tree.end(span) || tree.kind(span) === KIND.producer
}
