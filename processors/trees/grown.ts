// The spans of one trace as trees, made where they are held: each is linked to its siblings and to its children, and the local
// roots are listed.

import { hash } from '../../metrics/hash.ts'
import type { Operation } from '../../telemetry/operation.ts'
import type { Tree } from '../../telemetry/tree.ts'
import {
  CHILD,
  END,
  FAILED,
  FAILED_SHIFT,
  FLAGS,
  type Held,
  ID,
  KINDS,
  NEXT,
  NONE,
  OPERATION_SHIFT,
  PARENT,
  PARENTLESS,
  PROBE,
  ROOT,
  SIBLING,
  START,
} from './held.ts'
import type { Operations } from './operations.ts'

/** So many spans are searched faster than they are entered into a table. */
const FEW = 12
/** So many spans that are out of order are put in order faster than they are sorted. */
const INSERTED = 64

export class Grown implements Tree {
  size = 0
  failures = 0
  readonly trace = new Int32Array(4)
  readonly origin: number
  /** Spans without a parent here: there are so many. */
  tops = 0
  top!: Int32Array
  readonly #known: Operations
  #words = new Int32Array(0)
  #times = new Float64Array(0)
  #spans!: Int32Array
  /** Places of spans by their ids. */
  #buckets!: Int32Array
  readonly #id = new Int32Array(2)

  constructor(origin: number, operations: Operations) {
    this.origin = origin
    this.#known = operations
    this.#resize(64)
  }

  start(span: number): number {
    return this.#times[(span >> 1) + START]!
  }

  end(span: number): number {
    return this.#times[(span >> 1) + END]!
  }

  child(span: number): number {
    return this.#words[span + CHILD]!
  }

  sibling(span: number): number {
    return this.#words[span + SIBLING]!
  }

  kind(span: number): number {
    return this.#words[span + FLAGS]! & KINDS
  }

  failed(span: number): boolean {
    return (this.#words[span + FLAGS]! & FAILED) !== 0
  }

  operationOf(span: number): number {
    return this.#words[span + FLAGS]! >>> OPERATION_SHIFT
  }

  operation(number: number): Operation {
    return this.#known.words(number)
  }

  idOf(span: number): string {
    const { buffer, byteOffset } = this.#words
    return Buffer.from(buffer, byteOffset + 4 * (span + ID), 8).toString('hex')
  }

  /** Whether this span is a local root, and not that of a probe. */
  counts(span: number): boolean {
    return (this.#words[span + FLAGS]! & (ROOT | PROBE)) === ROOT
  }

  probe(span: number): boolean {
    return (this.#words[span + FLAGS]! & PROBE) !== 0
  }

  /** Takes a list of spans. They stay valid as long as none is added. */
  grow(held: Held, first: number, size: number): void {
    if (size > this.#spans.length) this.#resize(size)
    const { words, times } = held
    this.#words = words
    this.#times = times
    this.size = size
    const spans = this.#spans
    let ordered = true
    let failures = 0
    let before = Number.NEGATIVE_INFINITY
    for (let i = 0, span = first; i < size; i++) {
      spans[i] = span
      failures += words[span + FLAGS]! & FAILED
      const end = times[(span >> 1) + END]!
      if (end < before) ordered = false
      before = end
      span = words[span + NEXT]!
    }
    this.failures = failures >> FAILED_SHIFT
    const mask = size > FEW ? this.#index() : 0
    if (!ordered) this.#sort()
    this.#join(mask)
  }

  /** Finds each span's parent, and makes the lists of children: those that end later come to the front. */
  #join(mask: number): void {
    const { size, top } = this
    const words = this.#words
    const spans = this.#spans
    let tops = 0
    // Siblings mostly come together.
    let known = NONE
    let knownFirst = 0
    let knownSecond = 0
    for (let i = 0; i < size; i++) {
      const span = spans[i]!
      // A local root is nobody's child here, even if the span that called it is.
      if (words[span + FLAGS]! & (ROOT | PARENTLESS)) {
        top[tops++] = span
        continue
      }
      const first = words[span + PARENT]!
      const second = words[span + PARENT + 1]!
      if (known < 0 || knownFirst !== first || knownSecond !== second) {
        known = mask === 0 ? this.#search(first, second) : this.#find(first, second, mask)
        knownFirst = first
        knownSecond = second
      }
      if (known >= 0) {
        words[span + SIBLING] = words[known + CHILD]!
        words[known + CHILD] = span
      } else top[tops++] = span
    }
    this.tops = tops
  }

  /** The span of an id among few. Parents end, and so come, last. */
  #search(first: number, second: number): number {
    const words = this.#words
    const spans = this.#spans
    for (let i = this.size - 1; i >= 0; i--) {
      const span = spans[i]!
      if (words[span + ID] === first && words[span + ID + 1] === second) return span
    }
    return NONE
  }

  #find(first: number, second: number, mask: number): number {
    const words = this.#words
    const buckets = this.#buckets
    const id = this.#id
    id[0] = first
    id[1] = second
    let bucket = hash(id, 2) & mask
    let span = buckets[bucket]!
    while (span >= 0 && (words[span + ID] !== first || words[span + ID + 1] !== second)) {
      bucket = (bucket + 1) & mask
      span = buckets[bucket]!
    }
    return span
  }

  /** Enters all spans by their ids; of two with the same id the first is found. */
  #index(): number {
    const { size } = this
    const words = this.#words
    const spans = this.#spans
    let capacity = 16
    while (capacity < 2 * size) capacity *= 2
    const buckets = this.#buckets
    buckets.fill(NONE, 0, capacity)
    const mask = capacity - 1
    const id = this.#id
    for (let i = 0; i < size; i++) {
      const span = spans[i]!
      const first = words[span + ID]!
      const second = words[span + ID + 1]!
      id[0] = first
      id[1] = second
      let bucket = hash(id, 2) & mask
      let known = buckets[bucket]!
      while (known >= 0 && (words[known + ID] !== first || words[known + ID + 1] !== second)) {
        bucket = (bucket + 1) & mask
        known = buckets[bucket]!
      }
      if (known < 0) buckets[bucket] = span
    }
    return mask
  }

  /** By their ends. */
  #sort(): void {
    const { size } = this
    const times = this.#times
    const spans = this.#spans
    if (size > INSERTED) {
      spans.subarray(0, size).sort((a, b) => times[(a >> 1) + END]! - times[(b >> 1) + END]!)
      return
    }
    // Few, and mostly in order: those out of order are inserted where they belong.
    for (let i = 1; i < size; i++) {
      const span = spans[i]!
      const end = times[(span >> 1) + END]!
      let at = i
      while (at > 0 && times[(spans[at - 1]! >> 1) + END]! > end) {
        spans[at] = spans[at - 1]!
        at--
      }
      spans[at] = span
    }
  }

  #resize(spans: number): void {
    let size = 64
    while (size < spans) size *= 2
    this.top = new Int32Array(size)
    this.#spans = new Int32Array(size)
    this.#buckets = new Int32Array(2 * size)
  }
}
