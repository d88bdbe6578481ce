// The application: a main process and its descendants. A descendant stays counted while the main process lives, even if
// its own parent ends first.

import { type Account, Sum } from './account.ts'
import type { Table } from './table.ts'
import type { ThreadGrowth } from './threads.ts'
import { type BaseFile, Tracked } from './tracked.ts'

export interface Bounds {
  readonly processes: number
  readonly threads: number
}

/** States of a process, as people call them: proc_pid_stat(5) has one letter for each. */
export const STATES = ['running', 'sleeping', 'waiting', 'stopped', 'zombie', 'other'] as const
export type ProcessState = (typeof STATES)[number]

const STATE_OF: Readonly<Record<string, ProcessState>> = {
  R: 'running',
  S: 'sleeping',
  D: 'waiting',
  T: 'stopped',
  t: 'stopped',
  Z: 'zombie',
}

/** Gauges of a group of processes; NaN means that a number could not be read. */
export interface Gauges {
  processes: number
  residentBytes: number
  virtualBytes: number
  swapBytes: number
  openFds: number
  threads: number
  worstFdRatio: number
}

/** Processes whose files are opened in one turn: about 20 ms. */
const RECRUITS_AT_ONCE = 64

export class Tree implements Disposable {
  readonly main: Tracked
  /** Processes and threads that the bounds left out at the last look. */
  processesLeftOut = 0
  threadsLeftOut = 0
  zombies = 0
  /** Parents stand before their children, as the ledgers need it. */
  readonly #members = new Map<number, Tracked>()
  readonly #proc: string
  readonly #fdSize: boolean
  readonly #bounds: Bounds

  /** `main` has been looked at. */
  constructor(proc: string, main: Tracked, fdSize: boolean, bounds: Bounds) {
    this.main = main
    this.#proc = proc
    this.#fdSize = fdSize
    this.#bounds = bounds
    this.#members.set(main.pid, main)
  }

  get members(): Iterable<Tracked> {
    return this.#members.values()
  }

  /**
   * Reads every process once and adds what they used to the accounts: the main process to `mine`, its descendants to
   * `theirs` (the same account when they are counted in). False when the main process has ended.
   */
  look(table: Table, self: number | undefined, mine: Account, theirs: Account, withThreads: boolean): boolean {
    const alive = this.main.look()
    if (!alive || this.main.stat.ended) {
      // A zombie can still be read; for a process that is gone, the last numbers are credited.
      if (alive) this.main.read()
      if (alive || this.main.outcome.stat === 'gone') credit(this.main, mine, theirs)
      return false
    }
    const ended = new Set<Tracked>()
    for (const member of this.#members.values()) {
      member.ledger.age()
      if (member === this.main || member.look()) member.read()
      else ended.add(member)
    }
    this.#bury(ended)
    this.recruit(table, self)
    this.zombies = 0
    if (withThreads) this.threadsLeftOut = 0
    let threads = this.#bounds.threads
    for (const member of this.#members.values()) {
      if (member.stat.ended) this.zombies++
      const account = member === this.main ? mine : theirs
      credit(member, account, theirs)
      if (member === this.main)
        account.add(Sum.mainThread, member.ledger.own(Sum.mainThread, member.mainThreadSeconds()))
      if (withThreads) threads -= this.#creditThreads(member, account, threads)
    }
    return true
  }

  /** Sums over all processes, the main process alone, or the others. */
  gauges(of: 'all' | 'main' | 'children'): Gauges {
    const sum: Gauges = {
      processes: 0,
      residentBytes: 0,
      virtualBytes: 0,
      swapBytes: 0,
      openFds: 0,
      threads: 0,
      worstFdRatio: Number.NaN,
    }
    let worst = Number.NEGATIVE_INFINITY
    for (const member of this.#members.values()) {
      const { stat, status, outcome, openFds } = member
      if (stat.ended || (of !== 'all' && (member === this.main) !== (of === 'main'))) continue
      // A descendant that ended between two reads counts no longer. Nothing else may be left out silently: a number
      // that cannot be read is NaN, and makes the sum NaN.
      if (member !== this.main && (outcome.status === 'gone' || outcome.fd === 'gone')) continue
      sum.processes++
      sum.threads += stat.threads
      sum.openFds += openFds
      const ratio = openFds / member.maxFds
      if (ratio > worst) worst = ratio
      // An ending process has given its memory back before it becomes a zombie.
      const ending = member !== this.main && outcome.status === 'ok' && Number.isNaN(status.virtualBytes)
      if (ending) continue
      sum.residentBytes += status.residentBytes
      sum.virtualBytes += status.virtualBytes
      sum.swapBytes += status.swapBytes
    }
    if (worst >= 0 && !Number.isNaN(sum.openFds)) sum.worstFdRatio = worst
    return sum
  }

  /**
   * Takes in new descendants, except for the sidecar: its own probes' children are not the application's. Opening their
   * files is slow, so only some are taken in at once; the answer is whether there are more.
   */
  recruit(table: Table, self: number | undefined): boolean {
    this.processesLeftOut = 0
    let budget = RECRUITS_AT_ONCE
    for (let found = true; found; ) {
      found = false
      for (const [pid, entry] of table.entries) {
        if (pid === self || !this.#members.has(entry.ppid) || this.#members.has(pid)) continue
        if (this.#members.size >= this.#bounds.processes) {
          this.processesLeftOut++
          continue
        }
        if (budget-- <= 0) return true
        const member = new Tracked(this.#proc, pid, this.#fdSize)
        // The table may be older than this process: only what it says itself now decides.
        if (member.look() && this.#members.has(member.stat.ppid)) {
          member.read()
          this.#members.set(pid, member)
          found = true
        } else {
          member[Symbol.dispose]()
          table.entries.delete(pid)
        }
      }
      if (this.processesLeftOut > 0) break
    }
    return false
  }

  /** The number of processes in each state, with ended ones that were not waited for. */
  states(): ReadonlyMap<ProcessState, number> {
    const states = new Map<ProcessState, number>()
    for (const { stat } of this.#members.values()) {
      const state = STATE_OF[stat.state] ?? 'other'
      states.set(state, (states.get(state) ?? 0) + 1)
    }
    return states
  }

  /** Whether a live process refuses this part, which makes a sum over all unknown. */
  denied(part: BaseFile, of: 'all' | 'main' | 'children'): boolean {
    for (const member of this.#members.values()) {
      if (of !== 'all' && (member === this.main) !== (of === 'main')) continue
      if (!member.stat.ended && member.outcome[part] === 'denied') return true
    }
    return false
  }

  /** Lets refused files be tried again. */
  retry(): void {
    for (const member of this.#members.values()) member.retry()
  }

  [Symbol.dispose](): void {
    for (const member of this.#members.values()) member[Symbol.dispose]()
  }

  /** The use of a process that has ended comes again in the reaped numbers of its nearest living ancestor. */
  #bury(ended: ReadonlySet<Tracked>): void {
    for (const member of ended) {
      let heir = this.#members.get(member.stat.ppid)
      for (let steps = 0; heir && ended.has(heir); steps++)
        heir = steps < ended.size ? this.#members.get(heir.stat.ppid) : undefined
      heir?.ledger.inherit(member.ledger)
    }
    for (const member of ended) {
      member[Symbol.dispose]()
      this.#members.delete(member.pid)
    }
  }

  #creditThreads(member: Tracked, account: Account, limit: number): number {
    if (member.stat.ended || (member.stat.threads < 2 && member.threads.size === 0)) return 0
    const growth: ThreadGrowth = { voluntary: 0, involuntary: 0, waitSeconds: 0 }
    this.threadsLeftOut += member.threads.look(Math.max(limit, 0), growth)
    account.add(Sum.voluntary, growth.voluntary)
    account.add(Sum.involuntary, growth.involuntary)
    // If the kernel keeps no schedstat, the sum stays NaN, as the main thread's does.
    if (!Number.isNaN(account.sums[Sum.wait]!)) account.add(Sum.wait, growth.waitSeconds)
    return member.threads.size
  }
}

function credit(member: Tracked, account: Account, reapedTo: Account): void {
  const { stat, status, io, schedstat, ledger } = member
  const { field } = stat
  account.add(Sum.user, ledger.own(Sum.user, field[14]!))
  account.add(Sum.system, ledger.own(Sum.system, field[15]!))
  account.add(Sum.minorFaults, ledger.own(Sum.minorFaults, field[10]!))
  account.add(Sum.majorFaults, ledger.own(Sum.majorFaults, field[12]!))
  reapedTo.add(Sum.user, ledger.reaped(Sum.user, field[16]!))
  reapedTo.add(Sum.system, ledger.reaped(Sum.system, field[17]!))
  reapedTo.add(Sum.minorFaults, ledger.reaped(Sum.minorFaults, field[11]!))
  reapedTo.add(Sum.majorFaults, ledger.reaped(Sum.majorFaults, field[13]!))
  account.add(Sum.read, ledger.own(Sum.read, io.readBytes))
  account.add(Sum.written, ledger.own(Sum.written, io.writtenBytes))
  account.add(Sum.voluntary, ledger.own(Sum.voluntary, status.voluntary))
  account.add(Sum.involuntary, ledger.own(Sum.involuntary, status.involuntary))
  account.add(Sum.wait, ledger.own(Sum.wait, schedstat.waitSeconds))
}
