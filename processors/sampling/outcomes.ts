// The end of a held span, once its trace is decided: it is sent on, with the threshold in its tracestate, or left out
// and counted.

import { Fields } from '../../otlp/trace-state.ts'
import type { Groups } from './groups.ts'
import type { Held } from './held.ts'
import type { Output } from './output.ts'
import { ORDINARY, type Strata } from './strata.ts'
import type { Written } from './written.ts'

/** Why spans are left out, and traces with them. */
export const LEFT_OUT = ['ratio', 'rate_limit', 'guard'] as const
export type LeftOut = (typeof LEFT_OUT)[number]

export class Outcomes {
  readonly leftOut = new Map<LeftOut, number>(LEFT_OUT.map(reason => [reason, 0]))
  inconsistent = 0
  unthresholded = 0
  readonly #id: Uint8Array
  readonly #held: Held
  readonly #groups: Groups
  readonly #strata: Strata
  readonly #output: Output
  readonly #written: Written
  readonly #fields = new Fields()

  /** `id` always has the trace id of the span at hand. */
  constructor(id: Uint8Array, held: Held, groups: Groups, strata: Strata, output: Output, written: Written) {
    this.#id = id
    this.#held = held
    this.#groups = groups
    this.#strata = strata
    this.#output = output
    this.#written = written
  }

  /** Sends a span on or leaves it out; true if it is sent on. */
  settle(record: number, threshold: number, stratum: number, facts: number, guarded: boolean, mark: Buffer): boolean {
    const held = this.#held
    const strata = this.#strata
    const stated = held.stateLength(record) > 0
    const fields = this.#fields
    let high = randomOf(this.#id, 0)
    let weight = 1
    let consistent = true
    const moved = strata.limited && stratum !== ORDINARY
    if (stated) {
      const from = held.offset(record) + held.state(record)
      fields.read(held.bytesOf(record), from, from + held.stateLength(record))
      let low = randomLowOf(this.#id, 0)
      if (fields.randomHigh >= 0) {
        high = fields.randomHigh
        low = fields.randomLow
      }
      const { thresholdHigh } = fields
      // A sampler that keeps a span below its own threshold did not decide by it, so nobody knows what the span stands
      // for.
      consistent = high > thresholdHigh || (high === thresholdHigh && low >= fields.thresholdLow)
      if (!consistent) this.inconsistent++
      weight = fields.adjustedCount
    }
    if (moved) {
      // Counted as ordinary when it came.
      const counted = strata.counted(weight, threshold)
      strata.count(ORDINARY, -counted, held.length(record))
      strata.count(stratum, counted, held.length(record))
    }
    if (high < threshold || guarded) {
      const reason = this.reason(high, facts, guarded)
      this.leftOut.set(reason, this.leftOut.get(reason)! + 1)
      this.#groups.leave(held.group(record))
      held.remove(record)
      return false
    }
    const erased = !consistent || strata.exhausted
    if (erased) this.unthresholded++
    let state: Buffer | undefined
    let tail = mark
    if (!stated) {
      if (!erased) tail = this.#written.tail(threshold, mark)
    } else if (erased ? fields.thresholdHigh >= 0 : threshold > fields.thresholdHigh)
      state = this.#state(record, erased ? undefined : threshold)
    this.#output.add(record, state, tail)
    return true
  }

  /** Why a span of this randomness is left out. */
  reason(random: number, facts: number, guarded: boolean): LeftOut {
    if (random >= this.#strata.configured[this.#strata.of(facts, this.#strata.configured)]!)
      return guarded ? 'guard' : 'rate_limit'
    return 'ratio'
  }

  /** The first half of the randomness of a span. */
  random(record: number): number {
    const length = this.#held.stateLength(record)
    if (length > 0) {
      const from = this.#held.offset(record) + this.#held.state(record)
      const { randomHigh } = this.#fields.read(this.#held.bytesOf(record), from, from + length)
      if (randomHigh >= 0) return randomHigh
    }
    return randomOf(this.#id, 0)
  }

  #state(record: number, threshold: number | undefined): Buffer {
    const start = this.#held.offset(record) + this.#held.state(record)
    return this.#written.state(this.#held.bytesOf(record), start, start + this.#held.stateLength(record), threshold)
  }
}

/** The first 28 of the last 56 bits of the trace id at this offset. */
export function randomOf(bytes: Uint8Array, id: number): number {
  return (bytes[id + 9]! << 20) | (bytes[id + 10]! << 12) | (bytes[id + 11]! << 4) | (bytes[id + 12]! >> 4)
}

/** The last 28. */
function randomLowOf(bytes: Uint8Array, id: number): number {
  return ((bytes[id + 12]! & 15) << 24) | (bytes[id + 13]! << 16) | (bytes[id + 14]! << 8) | bytes[id + 15]!
}
