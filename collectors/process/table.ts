// All processes that the sidecar can see: which one is whose child. Each is read once when it appears, and again in
// turn, since its number may have been given to another process in between, or its parent may have ended.

import { readdirSync } from 'node:fs'
import { bytes, readOnce } from './file.ts'
import { Stat } from './parse.ts'

export interface Entry {
  readonly ppid: number
  readonly startTicks: number
  readonly ended: boolean
  /** A thread of the kernel. */
  readonly kernel: boolean
  readonly readAtMs: number
}

/** Processes read in one refresh, so that thousands of them do not hold the loop (10 µs each). */
const READ_AT_ONCE = 512
/** An entry older than this is read again. */
const RENEW_MS = 60_000

export class Table {
  /** The longest-known entry first. */
  readonly entries = new Map<number, Entry>()
  readonly #proc: string
  readonly #stat = new Stat()
  #refreshedAt = Number.NEGATIVE_INFINITY

  constructor(proc: string) {
    this.#proc = proc
  }

  /** Brings the table up to date unless that was done less than `maxAgeMs` ago. */
  refreshOlder(nowMs: number, maxAgeMs: number): void {
    if (nowMs - this.#refreshedAt >= maxAgeMs) this.refresh(nowMs)
  }

  /** Brings the table up to date, except for new processes that did not fit into one go; returns how many those are. */
  refresh(nowMs: number): number {
    this.#refreshedAt = nowMs
    const listed = this.#listed()
    const present = new Set(listed)
    for (const pid of this.entries.keys()) if (!present.has(pid)) this.entries.delete(pid)
    let budget = READ_AT_ONCE
    let left = 0
    for (const pid of listed) {
      if (this.entries.has(pid)) continue
      if (budget-- > 0) this.#read(pid, nowMs)
      else left++
    }
    this.#renew(nowMs, budget)
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

  /** Reads the oldest entries again; until then they stay as they are, so that the table is never half empty. */
  #renew(nowMs: number, budget: number): void {
    const due: number[] = []
    for (const [pid, { readAtMs }] of this.entries) {
      if (due.length >= budget || nowMs - readAtMs < RENEW_MS) break
      due.push(pid)
    }
    for (const pid of due) this.#read(pid, nowMs)
  }

  #read(pid: number, nowMs: number): void {
    // Deleted first, so that it becomes the last one.
    this.entries.delete(pid)
    const length = readOnce(`${this.#proc}/${pid}/stat`)
    if (typeof length === 'string' || !this.#stat.parse(bytes, length)) return
    const { ppid, startTicks, ended, kernel } = this.#stat
    this.entries.set(pid, { ppid, startTicks, ended, kernel, readAtMs: nowMs })
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
