// Looks at each request: learns what is usual for its operation, and names the cause where it took longer.

import type { Moments } from '../../telemetry/moment.ts'
import type { Operation } from '../../telemetry/operation.ts'
import type { Tree, TreeConsumer } from '../../telemetry/tree.ts'
import type { Bands, SpanCauses } from './bands.ts'
import { dependency } from './causes.ts'
import type { Episodes } from './episodes.ts'
import { Evidence } from './evidence.ts'
import { type Found, judge, type Verdict } from './judge.ts'
import { Pieces } from './pieces.ts'
import { KNOWN, Usual } from './usual.ts'

/** Why a slow request was not looked at. */
export const SKIPPED = ['no_moments', 'rate', 'operations'] as const
export type Skipped = (typeof SKIPPED)[number]

/** Ordinary and slow requests that are taken apart in a second; each takes some microseconds. */
const ORDINARY = 50
const SLOW = 200
/** Moments that are read for them in a second, about 2 ms of CPU; a single request may have so many if none came before it. */
const MOMENTS = 8000
/** Those after the end, which are read too. */
const AFTER = 12
/** Operations whose usual is known; those of further ones are not judged. */
const OPERATIONS = 500

/** When a request is slow: above its operation's own 95th percentile, or from so many milliseconds on. */
export type SlowOption = 'p95' | number

export interface Surroundings {
  readonly moments: () => Moments | undefined
  /** Wall time in milliseconds. */
  readonly now: () => number
  readonly operations: { readonly generation: number }
  readonly bands: Bands
  readonly episodes: Episodes
  /** Told of each slow request. */
  readonly blamed: (operation: Operation, verdict: Verdict) => void
}

export class Blamer implements TreeConsumer {
  /** Slow requests that were not looked at. Of whoever counts them: it sets them to 0. */
  readonly skipped: Record<Skipped, number> = { no_moments: 0, rate: 0, operations: 0 }
  readonly #slow: SlowOption
  readonly #around: Surroundings
  /** The usual request of each operation, by its number. */
  readonly #usual: (Usual | undefined)[] = []
  #operations = 0
  readonly #evidence = new Evidence()
  readonly #pieces = new Pieces()
  readonly #peers = new Map<number, number>()
  #generation = 0
  /** Requests that may still be taken apart in this second. */
  #ordinary = ORDINARY
  #slows = SLOW
  #second = 0
  #moments = MOMENTS

  constructor(slow: SlowOption, around: Surroundings) {
    this.#slow = slow
    this.#around = around
  }

  begin(now: number): void {
    // Requests come in: the sampler shall look more often.
    this.#around.moments()?.wake()
    const second = Math.floor(now / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#ordinary = ORDINARY
      this.#slows = SLOW
      this.#moments = MOMENTS
    }
    if (this.#around.operations.generation === this.#generation) return
    this.#generation = this.#around.operations.generation
    this.#usual.length = this.#operations = 0
  }

  tree(tree: Tree, root: number): void {
    const operation = tree.operationOf(root)
    const ms = (tree.end(root) - tree.start(root)) / 1e6
    const usual = this.#usual[operation] ?? this.#newOperation(operation)
    if (!usual) return
    const beyond = usual.slow(ms)
    const slow = this.#slow === 'p95' ? beyond : ms >= this.#slow
    if (!slow) {
      // Those between the usual and the slow are left out: what is wrong with them must not become the usual.
      if (this.#ordinary <= 0 || this.#moments <= 0 || (usual.known >= KNOWN && ms > 1.5 * usual.median)) return
      this.#ordinary--
      if (this.#look(tree, root, false)) usual.learn(this.#evidence.ms, this.#peers)
      return
    }
    if (this.#slows <= 0 || this.#moments <= 0) {
      this.skipped.rate++
      return
    }
    this.#slows--
    this.#blame(tree, root, ms, usual)
  }

  #newOperation(operation: number): Usual | undefined {
    if (operation === 0 || this.#operations >= OPERATIONS) {
      this.skipped.operations++
      return undefined
    }
    const usual = new Usual()
    // No holes: what may be one is looked for in other places.
    while (this.#usual.length < operation) this.#usual.push(undefined)
    this.#usual[operation] = usual
    this.#operations++
    return usual
  }

  #blame(tree: Tree, root: number, ms: number, usual: Usual): void {
    const operation = tree.operation(tree.operationOf(root))
    const { service, name } = operation
    const evidence = this.#evidence
    const seen = this.#look(tree, root, true)
    if (!seen) this.skipped.no_moments++
    const found: Found | undefined = seen ? { causes: evidence.ms, peers: this.#peers, rows: evidence.rows } : undefined
    const verdict = judge(ms, usual, found, number => peerOf(tree, number))
    this.#around.blamed(operation, verdict)
    const trace = traceOf(tree)
    const from = tree.origin + tree.start(root) / 1e6
    const { process, periods, throttledPeriods } = evidence
    this.#around.episodes.add({
      ...{ service, operation: name, from, to: from + ms, at: this.#around.now(), ms, trace },
      ...{ usualMs: verdict.usualMs, beyond: verdict.beyond, parts: verdict.parts },
      ...(seen ? { process, periods, throttledPeriods } : { process: false, periods: 0, throttledPeriods: 0 }),
    })
    if (seen) this.#around.bands.add(trace, this.#bands(tree, root))
  }

  /** Reads what is known about a request; false if the moments do not cover it. */
  #look(tree: Tree, root: number, banded: boolean): boolean {
    const ring = this.#around.moments()?.ring
    if (!ring) return false
    this.#pieces.find(tree, root)
    const from = tree.origin + tree.start(root) / 1e6
    const to = tree.origin + tree.end(root) / 1e6
    this.#moments -= Math.max(0, ring.find(to) - ring.find(from)) + AFTER
    if (!this.#evidence.read(ring, from, to, this.#pieces.all, banded)) return false
    this.#peers.clear()
    for (const { peer, ms } of this.#pieces.all) this.#peers.set(peer, (this.#peers.get(peer) ?? 0) + ms)
    return true
  }

  #bands(tree: Tree, root: number): SpanCauses[] {
    const own = this.#evidence.bands
      .toReversed()
      .map(({ cause, from, to, ms }) => ({ cause, from, to, seconds: ms / 1000 }))
    const waits = this.#pieces.all.map((piece, i) => ({
      span_id: tree.idOf(this.#pieces.spans[i]!),
      causes: [
        {
          cause: dependency(peerOf(tree, piece.peer)),
          from: piece.from,
          to: piece.to,
          seconds: piece.ms / 1000,
        },
      ],
    }))
    return [{ span_id: tree.idOf(root), causes: own }, ...waits]
  }
}

function peerOf(tree: Tree, number: number): string {
  const { peer, name } = tree.operation(number)
  return peer === '' ? name : peer
}

function traceOf({ trace }: Tree): string {
  return Buffer.from(trace.buffer, trace.byteOffset, 16).toString('hex')
}
