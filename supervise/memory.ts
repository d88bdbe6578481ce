// Follows the application's processes until it has ended: the peak of their memory, and those that its first process started.

import { clock } from '../host/clock.ts'
import { descendants, peakBytes } from './ended.ts'
import { identity } from './handover.ts'

/** They are looked at this often. */
const LOOK_MS = 1000

export class Memory {
  /** The most memory that one of them held. */
  peakBytes: number | undefined
  /** Process → since when, for those that the application's first process had started at the last look. */
  #started = new Map<number, string>()

  async follow(pid: number, ended: AbortSignal): Promise<void> {
    for (let wait = 20; !ended.aborted; wait = Math.min(LOOK_MS, wait * 2)) {
      const started = descendants('/proc', pid)
      for (const each of [pid, ...started]) {
        const bytes = peakBytes('/proc', each)
        if (bytes !== undefined && bytes > (this.peakBytes ?? 0)) this.peakBytes = bytes
      }
      // Once it has ended, they are nobody's children.
      if (identity(pid)) this.#started = new Map(started.map(each => [each, identity(each)?.start ?? '']))
      await clock.sleep(wait, ended).catch(() => undefined)
    }
  }

  /** Those that still run. */
  survivors(): readonly number[] {
    return [...this.#started].filter(([pid, start]) => identity(pid)?.start === start).map(([pid]) => pid)
  }
}
