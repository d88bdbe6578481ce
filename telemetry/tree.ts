// The contract between the assembly of requests and those who look at whole requests (the critical path, blame): the spans of
// a trace that this process sent, as trees below their local roots, once no more are expected.

import type { Operation } from './operation.ts'

/** Is shown each local root once, some time after its end. Calls are synchronous, and the tree is valid only during one. */
export interface TreeConsumer {
  /** Called before some requests are shown. `now` is in milliseconds of the clock that never goes back. */
  begin?(now: number): void
  tree(tree: Tree, root: number): void
}

/**
 * The spans of one trace. Each is a number, at least 0 and below 2 ** 20, which means nothing in another tree. A span's children
 * are a list that begins at `child` and goes on with `sibling`, from the one that ended last to the one that ended first;
 * after the last one comes -1.
 */
export interface Tree {
  /** Spans of the trace. */
  readonly size: number
  /** The number of them that have the status ERROR. */
  readonly failures: number
  /** The trace id: four words as they lie in memory. */
  readonly trace: Int32Array
  /** Milliseconds since the epoch that `start` and `end` count from. */
  readonly origin: number
  /** Nanoseconds since `origin`. A span that ends before it starts lasts 0. */
  start(span: number): number
  end(span: number): number
  child(span: number): number
  /** Not of a local root, which is nobody's child. */
  sibling(span: number): number
  /** A KIND. */
  kind(span: number): number
  /** Whether its status is ERROR. */
  failed(span: number): boolean
  /** In hex. */
  idOf(span: number): string
  /** A number for its service, name, kind and peer; 0 beyond the limit of operations. `operation` says what it stands for. */
  operationOf(span: number): number
  operation(number: number): Operation
}
