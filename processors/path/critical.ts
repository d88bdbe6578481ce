// Adds the critical path of each request to the series of its operations.

import type { CounterColumn } from '../../metrics/columns.ts'
import type { SeriesTable } from '../../metrics/table.ts'
import { KIND } from '../../telemetry/span.ts'
import type { Tree, TreeConsumer } from '../../telemetry/tree.ts'
import { Walk } from './walk.ts'

/** Whether the numbers of operations still mean the same: they change when `generation` does. */
interface Generations {
  readonly generation: number
}

interface Both<T> {
  readonly path: T
  readonly async: T
}

/** More than there are operations. */
const OPERATIONS = 4096
/** Slots that are found without a hash table. */
const NEAR_BITS = 13

export class CriticalPath implements TreeConsumer {
  readonly #tables: Both<SeriesTable>
  readonly #columns: Both<CounterColumn>
  readonly #operations: Generations
  readonly #walk = new Walk()
  /** The slot of a pair of operations, and whether it was a retry: root · operations · 2 + operation · 2 + retried. */
  readonly #known: Both<Map<number, number>> = { path: new Map(), async: new Map() }
  /** Those of the path that were used last, each at the only place where it may stand: key, and slot. */
  #near = new Int32Array(0)
  #generation = 0

  constructor(tables: Both<SeriesTable>, columns: Both<CounterColumn>, operations: Generations) {
    this.#tables = tables
    this.#columns = columns
    this.#operations = operations
  }

  tree(tree: Tree, root: number): void {
    const walk = this.#walk
    // Made with the first request.
    if (this.#near.length === 0) this.#near = new Int32Array(2 << NEAR_BITS)
    walk.walk(tree, root)
    const top = tree.operationOf(root)
    const column = this.#columns.path
    for (let i = 0; i < walk.count; i++) {
      const ns = walk.ns[i]!
      if (ns === 0) continue
      column.add(this.#onPath(tree, top, tree.operationOf(walk.at[i]!), walk.retried[i]!), ns / 1e9)
    }
    if (walk.late) this.#beside(tree, root)
  }

  /** Removes what has expired. */
  begin(now: number): void {
    this.#tables.path.sweep(now)
    this.#tables.async.sweep(now)
    const generation = this.#tables.path.expired + this.#tables.async.expired + this.#operations.generation
    if (generation === this.#generation) return
    this.#generation = generation
    this.#known.path.clear()
    this.#near.fill(0)
    this.#known.async.clear()
  }

  /** Time after the end of the parent, for the spans of the path and their children. */
  #beside(tree: Tree, root: number): void {
    const { count, at } = this.#walk
    for (let i = 0; i < count; i++) {
      const above = at[i]!
      const limit = tree.end(above)
      for (let below = tree.child(above); below >= 0; below = tree.sibling(below)) {
        const apart = tree.kind(below) === KIND.consumer && tree.kind(above) === KIND.producer
        // Children come from the one that ended last.
        if (tree.end(below) <= limit && tree.kind(above) !== KIND.producer) break
        const ns = tree.end(below) - (apart ? tree.start(below) : Math.max(limit, tree.start(below)))
        if (ns <= 0) continue
        const slot = this.#slot('async', tree, tree.operationOf(root), tree.operationOf(below), 0)
        this.#columns.async.add(slot, ns / 1e9)
      }
    }
  }

  #onPath(tree: Tree, root: number, operation: number, retried: number): number {
    const near = this.#near
    const key = (root * OPERATIONS + operation) * 2 + retried
    const at = (Math.imul(key, 0x9e3779b1) >>> (32 - NEAR_BITS)) << 1
    const slot = near[at + 1]!
    // Fast path: a label set that was used a while ago.
    if (slot > 0 && near[at] === key) {
      this.#tables.path.touch(slot)
      return slot
    }
    const found = this.#slot('path', tree, root, operation, retried)
    near[at] = key
    near[at + 1] = found
    return found
  }

  #slot(which: keyof Both<unknown>, tree: Tree, root: number, operation: number, retried: number): number {
    const table = this.#tables[which]
    // Operations beyond the limit have no name.
    if (root === 0 || operation === 0) return table.overflow()
    const key = (root * OPERATIONS + operation) * 2 + retried
    const known = this.#known[which].get(key)
    if (known !== undefined) {
      if (known === 0) return table.overflow()
      table.touch(known)
      return known
    }
    const slot = this.#search(table, tree, root, operation, retried)
    this.#known[which].set(key, slot)
    return slot
  }

  #search(table: SeriesTable, tree: Tree, root: number, operation: number, retried: number): number {
    const { service, name, kind, peer } = tree.operation(operation)
    const words = [service, tree.operation(root).name, name, kind, peer, retried === 1 ? 'true' : '']
    const symbols = words.slice(0, table.labels.length).map(word => {
      const bytes = Buffer.from(word)
      return table.full ? table.symbols.find(bytes, 0, bytes.length) : table.symbols.intern(bytes, 0, bytes.length)
    })
    return symbols.includes(-1) ? table.overflow() : table.slot(Uint32Array.from(symbols))
  }
}
