// The usual request of an operation: how long it takes, and what it does meanwhile. All are numbers of fixed size that
// each request moves: a quantile goes up by q parts if a request is above it and down by 1 − q parts if it is below.

import { CAUSES } from './causes.ts'

/** Requests that are seen before any is slow, and those that are taken apart before any is blamed. */
export const WARM_UP = 40
export const KNOWN = 8
/** Requests from which the first estimates come. */
const FIRST = 200
const QUANTILE = 0.95
/**
 * The step by which one request moves the quantiles. A fault that makes all requests four times slower is the usual
 * after three hundred of them; until then they are slow.
 */
const STEP = 0.005
/** The same for what an ordinary request does. */
const LEARN = 0.05
/** The shortest duration that is told from others, in milliseconds. */
const SHORTEST = 1e-3
/** Peers of an operation that are kept apart. */
const PEERS = 32

export class Usual {
  seen = 0
  /** Requests that were taken apart. */
  known = 0
  /** Milliseconds: the 95th percentile, and the median. */
  p95 = Number.POSITIVE_INFINITY
  median = Number.POSITIVE_INFINITY
  /** The first durations, until there are enough of them. */
  #first: number[] | undefined = []
  readonly causes = new Float64Array(CAUSES.length)
  readonly peers = new Map<number, number>()

  /** Counts a request, and says whether it took longer than usual. */
  slow(ms: number): boolean {
    const length = Math.max(ms, SHORTEST)
    if (this.#first) this.#begin(this.#first, length)
    if (this.seen++ < WARM_UP) return false
    const slow = length > this.p95 && length > 1.5 * this.median
    this.p95 *= length > this.p95 ? 1 + STEP * QUANTILE : 1 - STEP * (1 - QUANTILE)
    this.median *= length > this.median ? 1 + STEP / 2 : 1 - STEP / 2
    return slow
  }

  /** The first estimates: those of the quietest of the first windows. */
  #begin(first: number[], length: number): void {
    first.push(length)
    if (first.length < WARM_UP) return
    first.sort((a, b) => a - b)
    const at = (quantile: number) => first[Math.floor(quantile * WARM_UP)]!
    // The first requests of a program are slow for reasons of their own: they open connections and compile.
    this.median = Math.min(this.median, at(0.5))
    this.p95 = Math.min(this.p95, at(QUANTILE), at(0.5) + 4 * (at(0.75) - at(0.25)))
    first.length = 0
    if (this.seen >= FIRST) this.#first = undefined
  }

  /** Takes in what an ordinary request did. */
  learn(causes: Float64Array, peers: ReadonlyMap<number, number>): void {
    for (let i = 0; i < CAUSES.length; i++) this.causes[i] = this.#moved(this.causes[i]!, causes[i]!)
    for (const [peer, ms] of peers)
      if (this.peers.has(peer) || this.peers.size < PEERS)
        this.peers.set(peer, this.#moved(this.peers.get(peer) ?? 0, ms))
    for (const [peer, ms] of this.peers) if (!peers.has(peer)) this.peers.set(peer, this.#moved(ms, 0))
    this.known++
  }

  /** A mean that is cut off: one odd request moves it by no more than a step. */
  #moved(usual: number, ms: number): number {
    if (this.known === 0) return ms
    const step = Math.max(LEARN, 1 / (this.known + 1))
    const most = 2 * usual + 1
    return usual + step * (Math.min(ms, most) - usual)
  }
}
