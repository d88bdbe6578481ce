// One trace: its spans in both segments, each once, in the order of their starts, and the tree that they make. The object is
// filled anew for each trace, so that a query over thousands of traces makes no garbage.

import { hash } from '../metrics/hash.ts'
import { word } from '../metrics/word.ts'
import { KIND } from '../telemetry/span.ts'
import { MOST_TRACE_SPANS, type Pace, type Trace as Reading } from '../traceql/reading.ts'
import type { Cursor } from './cursor.ts'
import type { Ring } from './ring.ts'
import { traceHash } from './trace-hash.ts'

/** The parent of a root, and of a span whose parent is not held. */
const ROOT = -1
const ORPHAN = -2
const NONE = -1
const UNKNOWN = -1
const TOO_MANY = -1
/** More than MOST_TRACE_SPANS; with MOST_MICROS below 2^53. */
const PLACES = 65_536
const MOST_MICROS = 2 ** 36

export class Trace implements Reading {
  size = 0
  cut = false
  startSeconds = 0
  #duration = UNKNOWN
  #startNanos: bigint | undefined
  /** Where its spans stand. */
  readonly rings: readonly Ring[]
  /** Whether spans of the trace with this hash may have been dropped. */
  readonly #lost: (hash: number) => boolean
  readonly #cursors: readonly (readonly [Cursor, Cursor])[]
  /** The spans: which ring, and their numbers in it, sorted by `#order`. */
  #ring = new Uint8Array(64)
  #number = new Float64Array(64)
  #start = new Float64Array(64)
  #order = new Int32Array(64)
  /** Open addressing: position + 1 by span id. */
  #table = new Int32Array(256)
  readonly #key = new Int32Array(3)
  /** The oldest record that was loaded of each ring. */
  readonly #least: Float64Array
  #hashed = 0
  #most = MOST_TRACE_SPANS
  #treed = false
  #parent = new Int32Array(64)
  #child = new Int32Array(64)
  #sibling = new Int32Array(64)
  #left = new Int32Array(64)
  #right = new Int32Array(64)

  constructor(rings: readonly Ring[], lost: (hash: number) => boolean) {
    this.rings = rings
    this.#least = new Float64Array(rings.length)
    this.#lost = lost
    this.#cursors = rings.map(ring => [ring.cursor(), ring.cursor()])
  }

  load(id: Uint8Array, at: number, most = MOST_TRACE_SPANS): number {
    this.#begin(id, at, most)
    for (let r = 0; r < this.rings.length; r++) this.#read(r, this.rings[r]!.newest(this.#hashed), id, at)
    if (this.cut && most < MOST_TRACE_SPANS) return TOO_MANY
    this.#sort()
    return this.size
  }

  async loadHeld(id: Uint8Array, at: number, pace: Pace): Promise<number> {
    await this.loadInTurns(id, at, pace)
    if (this.gone) this.#leaveOut()
    return this.size
  }

  /**
   * The same, and the tree, at the pace of a query: a trace may have 50,000 spans. Spans may leave memory between two turns; then
   * `gone` is true, their records and bytes are those of others, and a span whose parent has gone has none.
   */
  async loadInTurns(id: Uint8Array, at: number, pace: Pace): Promise<number> {
    this.#begin(id, at, MOST_TRACE_SPANS)
    for (let r = 0; r < this.rings.length; r++)
      for (let number = this.rings[r]!.newest(this.#hashed); number >= this.rings[r]!.oldest; ) {
        number = this.#read(r, number, id, at, pace)
        if (number >= this.rings[r]!.oldest) await pace.turn()
      }
    this.#sort()
    this.#rank()
    for (let i = 0; i < this.size; ) {
      i = this.#findParents(i, pace)
      if (i < this.size) await pace.turn()
    }
    this.#connect()
    return this.size
  }

  /** Whether a span has left memory since it was loaded. */
  get gone(): boolean {
    return this.rings.some((ring, r) => this.#least[r]! < ring.oldest)
  }

  #begin(id: Uint8Array, at: number, most: number): void {
    this.size = 0
    this.#most = most
    this.cut = false
    this.#treed = false
    this.#least.fill(Number.POSITIVE_INFINITY)
    this.#hashed = traceHash(id, at)
    this.#table.fill(0)
  }

  span(i: number, other: 0 | 1 = 0): Cursor {
    const at = this.#order[i]!
    return this.#cursors[this.#ring[at]!]![other].at(this.#number[at]!)
  }

  /** The same spans in the order in which they came in: those of one request follow each other. */
  held(i: number): Cursor {
    const at = this.size - 1 - i
    return this.#cursors[this.#ring[at]!]![0].at(this.#number[at]!)
  }

  get startNanos(): bigint {
    this.#startNanos ??= this.#earliest()
    return this.#startNanos
  }

  #earliest(): bigint {
    let least = 0n
    // Doubles are 0.24 µs apart at this size, so the spans that may be first are those whose doubles are.
    for (let i = 0; i < this.size && (i === 0 || this.#startOf(i) - this.#startOf(0) < 1e-6); i++) {
      const nanos = this.span(i).startNanos()
      if (i === 0 || nanos < least) least = nanos
    }
    return least
  }

  get durationNanos(): number {
    if (this.#duration === UNKNOWN) this.#duration = this.#measured()
    return this.#duration
  }

  /** Which spans may end last is told by doubles, which are 0.24 µs apart at this size; when, by their bytes. */
  #measured(): number {
    const { size, startSeconds } = this
    const end = (i: number): number => (this.#startOf(i) - startSeconds) * 1e9 + this.span(i).durationNanos
    let latest = 0
    for (let i = 0; i < size; i++) latest = Math.max(latest, end(i))
    const first = this.startNanos
    let most = 0
    for (let i = 0; i < size; i++)
      if (end(i) > latest - 1000)
        most = Math.max(most, Number(this.span(i).startNanos() - first) + this.span(i).durationNanos)
    return most
  }

  get root(): number {
    for (let i = 0; i < this.size; i++) if (this.span(i).isRoot) return i
    return NONE
  }

  rootName(): string | undefined {
    const { root } = this
    if (root < 0) return undefined
    const { name, segment } = this.span(root)
    return segment.names.text(name)
  }

  rootService(): string | undefined {
    const { root } = this
    if (root < 0) return undefined
    const { service, segment } = this.span(root)
    return segment.services.text(service)
  }

  get incomplete(): boolean {
    return this.cut || this.#lost(this.#hashed)
  }

  parentOf(i: number): number {
    this.#tree()
    return this.#parent[i]!
  }

  leftOf(i: number): number {
    this.#tree()
    return this.#left[i]!
  }

  rightOf(i: number): number {
    this.#tree()
    return this.#right[i]!
  }

  nestedParentOf(i: number): number {
    this.#tree()
    const parent = this.#parent[i]!
    if (parent === ROOT) return -1
    return parent === ORPHAN ? 0 : this.#left[parent]!
  }

  childrenOf(i: number): number {
    this.#tree()
    let count = 0
    for (let child = this.#child[i]!; child !== NONE; child = this.#sibling[child]!) count++
    return count
  }

  /** Reads a chain from a record on, until the pace says so; returns the record that is next, or one that is not held. */
  #read(r: number, from: number, id: Uint8Array, at: number, pace?: Pace): number {
    const ring = this.rings[r]!
    const cursor = this.#cursors[r]![0]
    const { bytes } = ring
    const hashed = this.#hashed
    for (let number = from; number >= ring.oldest; number = ring.before(number)) {
      if (pace?.due()) return number
      cursor.at(number)
      if (cursor.traceHash !== hashed || !same16(bytes, cursor.traceId, id, at)) continue
      if (this.size === this.#most) {
        this.cut = true
        return NONE
      }
      if (this.size === this.#number.length) this.#grow()
      // SDKs send a span again if the answer came late. Zipkin's senders give both sides of a call the same id.
      const found = this.#place(bytes, cursor.spanId, cursor.kind, this.size)
      if (found !== this.size) {
        // It has left the first ring since it was read there.
        if (this.#number[found]! < this.rings[this.#ring[found]!]!.oldest) this.#stand(found, r, number)
        continue
      }
      this.#start[this.size] = cursor.startSeconds
      this.#stand(this.size++, r, number)
    }
    return NONE
  }

  /** Notes where the span at a position stands. A chain is newest first. */
  #stand(position: number, ring: number, number: number): void {
    this.#ring[position] = ring
    this.#number[position] = number
    this.#least[ring] = Math.min(this.#least[ring]!, number)
  }

  #startOf(i: number): number {
    return this.#start[this.#order[i]!]!
  }

  #sort(): void {
    const { size } = this
    const order = this.#order
    // The chain is newest first, so it is read backwards: spans with one start stay in the order in which they came.
    const starts = this.#start
    if (size > 32) {
      let least = Number.POSITIVE_INFINITY
      for (let i = 0; i < size; i++) least = Math.min(least, starts[i]!)
      // A start in microseconds and a place in one number: sorting with a function takes ten times as long.
      const keys = new Float64Array(size)
      for (let i = 0; i < size; i++)
        keys[i] = Math.min(MOST_MICROS, Math.round((starts[size - 1 - i]! - least) * 1e6)) * PLACES + i
      keys.sort()
      for (let i = 0; i < size; i++) order[i] = size - 1 - (keys[i]! % PLACES)
    } else {
      for (let i = 0; i < size; i++) order[i] = size - 1 - i
      for (let i = 1; i < size; i++) {
        const each = order[i]!
        let j = i - 1
        for (; j >= 0 && starts[order[j]!]! > starts[each]!; j--) order[j + 1] = order[j]!
        order[j + 1] = each
      }
    }
    this.#measureAnew()
  }

  #measureAnew(): void {
    this.startSeconds = this.size === 0 ? 0 : this.#startOf(0)
    this.#duration = UNKNOWN
    this.#startNanos = undefined
  }

  /** Puts the span at `position` under its id; returns the position that has the id and the kind already, if one does. */
  #place(bytes: Buffer, spanId: number, kind: number, position: number): number {
    const mask = this.#table.length - 1
    for (let at = this.#hash(bytes, spanId) & mask; ; at = (at + 1) & mask) {
      const found = this.#table[at]! - 1
      if (found < 0) {
        this.#table[at] = position + 1
        return position
      }
      if (found === position) return position
      const cursor = this.#cursors[this.#ring[found]!]![1].at(this.#number[found]!)
      if (cursor.kind === kind && same8(cursor.bytes, cursor.spanId, bytes, spanId)) return found
    }
  }

  /** A position in `#number` with this span id, the server's side of a call if it has both; -1 if there is none. */
  #find(bytes: Buffer, spanId: number): number {
    const mask = this.#table.length - 1
    let any = NONE
    for (let at = this.#hash(bytes, spanId) & mask; this.#table[at] !== 0; at = (at + 1) & mask) {
      const found = this.#table[at]! - 1
      const ring = this.#ring[found]!
      if (this.#number[found]! < this.rings[ring]!.oldest) continue
      const cursor = this.#cursors[ring]![1].at(this.#number[found]!)
      if (!same8(cursor.bytes, cursor.spanId, bytes, spanId)) continue
      if (cursor.kind === KIND.server) return found
      any = found
    }
    return any
  }

  /** Nobody can send ids that collide. */
  #hash(bytes: Buffer, spanId: number): number {
    this.#key[0] = word(bytes, spanId)
    this.#key[1] = word(bytes, spanId + 4)
    return hash(this.#key, 2)
  }

  #grow(): void {
    const capacity = this.#number.length * 2
    this.#ring = longer(this.#ring, new Uint8Array(capacity))
    this.#number = longer(this.#number, new Float64Array(capacity))
    this.#start = longer(this.#start, new Float64Array(capacity))
    this.#order = new Int32Array(capacity)
    this.#parent = new Int32Array(capacity)
    this.#child = new Int32Array(capacity)
    this.#sibling = new Int32Array(capacity)
    this.#left = new Int32Array(capacity)
    this.#right = new Int32Array(capacity)
    this.#table = new Int32Array(capacity * 4)
    const { size } = this
    for (let i = 0; i < size; i++) {
      // Not the first cursor: it stands on the span that is being added.
      const { bytes, spanId } = this.#cursors[this.#ring[i]!]![1].at(this.#number[i]!)
      const mask = this.#table.length - 1
      let at = this.#hash(bytes, spanId) & mask
      while (this.#table[at] !== 0) at = (at + 1) & mask
      this.#table[at] = i + 1
    }
  }

  #tree(): void {
    if (this.#treed) return
    this.#rank()
    this.#findParents(0)
    this.#connect()
  }

  /** Notes where each span stands in the order, for parents that are found by their place in the arrays. */
  #rank(): void {
    // Free until the tree is connected.
    const rank = this.#right
    for (let i = 0; i < this.size; i++) rank[this.#order[i]!] = i
  }

  /** Finds the parents of the spans from one on, until the pace says so; returns the span that is next. */
  #findParents(from: number, pace?: Pace): number {
    const { size } = this
    const parent = this.#parent
    const rank = this.#right
    for (let i = from; i < size; i++) {
      if (pace?.due()) return i
      const cursor = this.span(i)
      if (cursor.number < cursor.segment.oldest) {
        parent[i] = ORPHAN
        continue
      }
      const { parentId, bytes } = cursor
      const at = parentId < 0 ? NONE : this.#find(bytes, parentId)
      parent[i] = parentId < 0 ? ROOT : at < 0 || rank[at] === i ? ORPHAN : rank[at]!
    }
    return size
  }

  #connect(): void {
    this.#treed = true
    const { size } = this
    const parent = this.#parent
    const child = this.#child
    const sibling = this.#sibling
    child.fill(NONE, 0, size)
    // From the last to the first, so that children stand in the order of their starts.
    for (let i = size - 1; i >= 0; i--) {
      const above = parent[i]!
      if (above < 0) continue
      sibling[i] = child[above]!
      child[above] = i
    }
    this.#left.fill(0, 0, size)
    this.#right.fill(0, 0, size)
    let number = 0
    // Spans of a circle are not reached from any root, so this ends.
    for (let root = 0; root < size; root++) if (parent[root] === ROOT) number = this.#enumerate(root, number)
  }

  /** Leaves out the spans that have left memory since they were loaded; those below them have no parent then. */
  #leaveOut(): void {
    const { size } = this
    const order = this.#order
    const parent = this.#parent
    // Free until the tree is connected.
    const places = this.#left
    let kept = 0
    for (let i = 0; i < size; i++) {
      const at = order[i]!
      places[i] = this.#number[at]! < this.rings[this.#ring[at]!]!.oldest ? NONE : kept++
    }
    for (let i = 0; i < size; i++) {
      const place = places[i]!
      if (place === NONE) continue
      const above = parent[i]!
      order[place] = order[i]!
      parent[place] = above < 0 ? above : places[above] === NONE ? ORPHAN : places[above]!
    }
    this.size = kept
    this.#measureAnew()
    this.#connect()
  }

  /** Numbers a root and its descendants, depth first; returns the last number given. */
  #enumerate(root: number, before: number): number {
    let number = before
    this.#left[root] = ++number
    for (let i = root; ; ) {
      let next = this.#child[i]!
      while (next === NONE) {
        this.#right[i] = ++number
        if (i === root) return number
        next = this.#sibling[i]!
        if (next === NONE) i = this.#parent[i]!
      }
      i = next
      this.#left[i] = ++number
    }
  }
}

function same16(a: Uint8Array, at: number, b: Uint8Array, from: number): boolean {
  for (let i = 0; i < 16; i++) if (a[at + i] !== b[from + i]) return false
  return true
}

function same8(a: Uint8Array, at: number, b: Uint8Array, from: number): boolean {
  for (let i = 0; i < 8; i++) if (a[at + i] !== b[from + i]) return false
  return true
}

function longer<A extends Uint8Array | Float64Array>(before: A, after: A): A {
  after.set(before)
  return after
}
