// All processes that the sidecar can see: who is whose child. Each is read once when it appears; what changes about a
// process (its parent, when that ends) matters only for the application's own, and those are read at each look anyway.

import { readdirSync } from 'node:fs'
import { bytes, readOnce } from './file.ts'
import { Stat } from './parse.ts'

export interface Entry {
  ppid: number
  readonly startTicks: number
  readonly ended: boolean
}

/** New processes read in one refresh, so that thousands of them do not hold the loop (10 µs each). */
const READ_AT_ONCE = 512
/** After this time all are read anew: a number may have been given to another process in between. */
const RENEW_MS = 60_000

export class Table {
  readonly entries = new Map<number, Entry>()
  readonly #proc: string
  readonly #stat = new Stat()
  #renewed = Number.NEGATIVE_INFINITY

  constructor(proc: string) {
    this.#proc = proc
  }

  /** Brings the table up to date, except for what did not fit into one go; returns how many were left for the next. */
  refresh(nowMs: number): number {
    if (nowMs - this.#renewed >= RENEW_MS) {
      this.entries.clear()
      this.#renewed = nowMs
    }
    const pids = this.#listed()
    const listed = new Set(pids)
    for (const pid of this.entries.keys()) if (!listed.has(pid)) this.entries.delete(pid)
    let budget = READ_AT_ONCE
    let left = 0
    for (const pid of pids) {
      if (this.entries.has(pid)) continue
      if (budget-- <= 0) left++
      else this.#read(pid)
    }
    return left
  }

  /** Whether `pid` is `ancestor` or descends from it. */
  under(pid: number, ancestor: number): boolean {
    // A table of texts may contain a circle; no real chain is this long.
    for (let at: number | undefined = pid, steps = 0; at !== undefined && steps < 1000; steps++) {
      if (at === ancestor) return true
      at = this.entries.get(at)?.ppid
    }
    return false
  }

  #read(pid: number): void {
    const length = readOnce(`${this.#proc}/${pid}/stat`)
    if (typeof length === 'string' || !this.#stat.parse(bytes, length)) return
    const { ppid, startTicks, ended } = this.#stat
    this.entries.set(pid, { ppid, startTicks, ended })
  }

  #listed(): number[] {
    const pids: number[] = []
    try {
      for (const name of readdirSync(this.#proc)) {
        const first = name.charCodeAt(0)
        if (first < 0x31 || first > 0x39) continue
        const pid = Number(name)
        if (Number.isSafeInteger(pid)) pids.push(pid)
      }
    } catch {
      return []
    }
    return pids
  }
}
