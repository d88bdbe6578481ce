// Context switches and run-queue wait of the threads beside the main one. The kernel gives these only per thread, and a
// thread takes its numbers along when it ends; so each thread's growth is handed out, and the sums never fall.

import { readdirSync } from 'node:fs'
import { growth } from './account.ts'
import { KeptFile, text } from './file.ts'
import { type ProcessStatus, parseSchedstat, parseStatus, type Schedstat } from './parse.ts'

/** The use of threads since the last look. */
export interface ThreadGrowth {
  voluntary: number
  involuntary: number
  waitSeconds: number
}

export class Threads implements Disposable {
  readonly #folder: string
  readonly #pid: number
  readonly #threads = new Map<number, Thread>()

  constructor(processFolder: string, pid: number) {
    this.#folder = `${processFolder}/task`
    this.#pid = pid
  }

  get size(): number {
    return this.#threads.size
  }

  /**
   * Adds to `sum` what all threads but the main one used since the last call. At most `limit` are watched, the oldest
   * first; the return value is how many were left out.
   */
  look(limit: number, sum: ThreadGrowth): number {
    for (const [tid, thread] of this.#threads) {
      if (thread.look(sum)) continue
      thread[Symbol.dispose]()
      this.#threads.delete(tid)
    }
    let leftOut = 0
    for (const tid of this.#listed()) {
      if (tid === this.#pid || this.#threads.has(tid)) continue
      if (this.#threads.size >= limit) {
        leftOut++
        continue
      }
      const thread = new Thread(`${this.#folder}/${tid}`)
      if (thread.look(sum)) this.#threads.set(tid, thread)
      else thread[Symbol.dispose]()
    }
    return leftOut
  }

  [Symbol.dispose](): void {
    for (const thread of this.#threads.values()) thread[Symbol.dispose]()
    this.#threads.clear()
  }

  #listed(): number[] {
    try {
      return readdirSync(this.#folder).map(Number).filter(Number.isSafeInteger)
    } catch {
      return []
    }
  }
}

const status: ProcessStatus = {
  residentBytes: Number.NaN,
  virtualBytes: Number.NaN,
  swapBytes: Number.NaN,
  voluntary: Number.NaN,
  involuntary: Number.NaN,
}
const schedstat: Schedstat = { runSeconds: Number.NaN, waitSeconds: Number.NaN }

/** Its open files are its identity: a later thread with the same number is not reached by them. */
class Thread implements Disposable {
  readonly #status: KeptFile
  readonly #schedstat: KeptFile
  #voluntary = 0
  #involuntary = 0
  #wait = 0

  constructor(folder: string) {
    this.#status = new KeptFile(`${folder}/status`)
    this.#schedstat = new KeptFile(`${folder}/schedstat`)
  }

  look(sum: ThreadGrowth): boolean {
    const length = this.#status.read()
    if (typeof length === 'string') return false
    parseStatus(text(length), status)
    if (!Number.isNaN(status.voluntary)) {
      sum.voluntary += growth(this.#voluntary, status.voluntary)
      this.#voluntary = status.voluntary
    }
    if (!Number.isNaN(status.involuntary)) {
      sum.involuntary += growth(this.#involuntary, status.involuntary)
      this.#involuntary = status.involuntary
    }
    const scheduled = this.#schedstat.read()
    if (typeof scheduled === 'string') return true
    parseSchedstat(text(scheduled), schedstat)
    if (!Number.isNaN(schedstat.waitSeconds)) {
      sum.waitSeconds += growth(this.#wait, schedstat.waitSeconds)
      this.#wait = schedstat.waitSeconds
    }
    return true
  }

  [Symbol.dispose](): void {
    this.#status[Symbol.dispose]()
    this.#schedstat[Symbol.dispose]()
  }
}
