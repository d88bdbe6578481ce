// Memory and CPU of processes that follow each other, read once a second.

import { cpuSeconds, memory } from '../machine.ts'

export class Usage {
  /** MiB. */
  rssMost = 0
  #cpuSeconds = 0
  #seconds = 0
  #pid = 0
  #before = 0

  /** Share of a core. */
  get cpu(): number {
    return this.#cpuSeconds / this.#seconds
  }

  /** Undefined if there is no such process at the moment. */
  sample(pid: number): void {
    try {
      const { rss } = memory(pid)
      const seconds = cpuSeconds(pid)
      if (Number.isNaN(rss)) return
      this.rssMost = Math.max(this.rssMost, rss)
      this.#cpuSeconds += pid === this.#pid ? seconds - this.#before : seconds
      this.#seconds++
      this.#pid = pid
      this.#before = seconds
    } catch {}
  }
}
