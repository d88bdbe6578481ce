// Names the cause of one slow request: what it did more of than the ordinary requests of its operation.

import { CAUSES, dependency, GC, OWN_CPU, UNEXPLAINED } from './causes.ts'
import { KNOWN, type Usual } from './usual.ts'

/** A cause is named if it explains at least this share of the time beyond the usual. */
const ENOUGH = 0.4
/** Collecting on other threads comes with collecting on the main one, which looks like its own CPU. */
const GC_BESIDE = 0.35
/** A single request is judged if it lasts so many moments, and the time beyond the usual one of them. */
const ROWS = 2

export interface Verdict {
  /** One of the list, "dependency:peer", or "unexplained". */
  readonly cause: string
  /** Milliseconds beyond the usual, by cause; together they are `beyond`. */
  readonly parts: ReadonlyMap<string, number>
  readonly beyond: number
  readonly usualMs: number
}

/** Facts about the request itself; undefined where the moments do not cover it. */
export interface Found {
  readonly causes: Float64Array
  readonly peers: ReadonlyMap<number, number>
  /** Moments within it. */
  readonly rows: number
}

export function judge(ms: number, usual: Usual, found: Found | undefined, peer: (number: number) => string): Verdict {
  const beyond = Math.max(0, ms - usual.median)
  const parts = new Map<string, number>()
  if (found && usual.known >= KNOWN) {
    for (let i = 0; i < CAUSES.length; i++) parts.set(CAUSES[i]!, found.causes[i]! - usual.causes[i]!)
    for (const [number, each] of found.peers) {
      const name = dependency(peer(number))
      parts.set(name, (parts.get(name) ?? 0) + each - (usual.peers.get(number) ?? 0))
    }
    collecting(parts)
  }
  let sum = 0
  for (const [cause, each] of parts)
    if (each > 0) sum += each
    else parts.delete(cause)
  // One thread cannot do two things, but numbers of a whole process overlap.
  if (sum > beyond) for (const [cause, each] of parts) parts.set(cause, (each * beyond) / sum)
  let cause = UNEXPLAINED
  let most = 0
  for (const [name, each] of parts)
    if (each > most) {
      cause = name
      most = each
    }
  const rest = beyond - Math.min(sum, beyond)
  if (rest > 0) parts.set(UNEXPLAINED, rest)
  const enough = found !== undefined && found.rows >= ROWS && most >= ENOUGH * beyond && beyond * found.rows >= ms
  return { cause: enough ? cause : UNEXPLAINED, parts, beyond, usualMs: usual.median }
}

/** Where other threads collected for much of the time that the main one worked, it collected too. */
function collecting(parts: Map<string, number>): void {
  const [cpu, gc] = [parts.get(CAUSES[OWN_CPU]!) ?? 0, parts.get(CAUSES[GC]!) ?? 0]
  if (gc <= 0 || gc < GC_BESIDE * cpu) return
  parts.set(CAUSES[GC]!, Math.max(gc, cpu))
  parts.delete(CAUSES[OWN_CPU]!)
}
