// Which log records are kept: a share of those without a severity of WARN or more, and so many a second.

import type { Clock } from '../../telemetry/host.ts'
import type { SourceOptions } from './options.ts'
import { WARN } from './severity.ts'

/** A tenth is not exact in a double. */
const ROUNDING = 1e-9

export class Quota {
  readonly #share: number
  readonly #most: number | undefined
  readonly #clock: Pick<Clock, 'monotonic'>
  /** Records of which a share is kept: those at which it adds up to a whole one more. */
  #ordinary = 0
  /** Records that may still be written, and when that was reckoned. */
  #tokens: number
  #refilled: number

  constructor(
    { keep_info, max_lines_per_second }: Pick<SourceOptions, 'keep_info' | 'max_lines_per_second'>,
    clock: Pick<Clock, 'monotonic'>,
  ) {
    this.#share = keep_info
    this.#most = max_lines_per_second
    this.#clock = clock
    this.#tokens = max_lines_per_second ?? 0
    this.#refilled = clock.monotonic()
  }

  /** Why a record of this severity is dropped; undefined if it is kept. */
  drops(severity: number): 'sampled' | 'rate' | undefined {
    const [share, most] = [this.#share, this.#most]
    if (share < 1 && severity < WARN) {
      const before = Math.floor(this.#ordinary * share + ROUNDING)
      this.#ordinary++
      if (Math.floor(this.#ordinary * share + ROUNDING) === before) return 'sampled'
    }
    if (most === undefined) return undefined
    if (this.#tokens < 1) {
      const now = this.#clock.monotonic()
      this.#tokens = Math.min(most, this.#tokens + ((now - this.#refilled) / 1000) * most)
      this.#refilled = now
    }
    if (this.#tokens < 1) return 'rate'
    this.#tokens -= 1
    return undefined
  }
}
