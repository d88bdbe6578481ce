// The cgroup of the application through all its restarts: the counters go on when a new container brings a new cgroup,
// and are read to the end when the last process of one has ended.

import { availableParallelism } from 'node:os'
import type { Host } from '../../telemetry/host.ts'
import { growth } from './account.ts'
import { type CgroupCounters, type CgroupGauges, COUNTERS, Controllers, unread } from './controllers.ts'
import { KeptFile, text } from './file.ts'
import { locate, type Place } from './hierarchy.ts'
import { KillWatch, MachineCount, ParentCount } from './kills.ts'

/** Kills for lack of memory at the end of a process: counted in its cgroup, or only known of the machine as a whole. */
export interface Kills {
  readonly number: number
  readonly of: 'cgroup' | 'machine'
}

/** A kill counted so long before a process was found to have ended belongs to its end. */
const RECENT_MS = 10_000
/** A place that was not found is looked for again after this time. */
const LOCATE_MS = 30_000

export class Cgroup implements Disposable {
  /** Running totals; NaN until first read. */
  readonly totals: CgroupCounters = unread()
  /** Undefined while there is no process. */
  gauges: CgroupGauges | undefined
  place: Place | undefined

  readonly #host: Pick<Host, 'proc' | 'clock'>
  readonly #machine: MachineCount
  #pid = 0
  #fresh = false
  #lines = ''
  #membership: KeptFile | undefined
  #files: Controllers | undefined
  #kills: KillWatch | undefined
  #parent: ParentCount | undefined
  #last: CgroupCounters = unread()
  #identity: string | undefined
  #readAt = 0
  #killedAt = Number.NEGATIVE_INFINITY
  #recentKills = 0
  #locatedAt = Number.NEGATIVE_INFINITY

  constructor(host: Pick<Host, 'proc' | 'clock'>) {
    this.#host = host
    this.#machine = new MachineCount(host.proc)
  }

  /** From now on this process, which has just been found, is the application. */
  begin(pid: number): void {
    this.#pid = pid
    this.#fresh = true
    // Earlier kills do not explain a later end.
    this.#killedAt = Number.NEGATIVE_INFINITY
    this.#lines = ''
    this.#membership?.[Symbol.dispose]()
    this.#membership = new KeptFile(`${this.#host.proc}/${pid}/cgroup`)
    this.#machine.grown()
  }

  /** Whether the kernel names the cgroup; if its folder is not found then, something is missing. */
  get told(): boolean {
    return this.#lines !== ''
  }

  /** Reads everything. While there is no process, the cgroup that it left behind is read on. */
  look(nowMs: number): void {
    const length = this.#membership?.read()
    if (typeof length === 'number') {
      const lines = text(length)
      // The place is looked for again when the process was moved, or now and then when it was not found.
      if (lines !== this.#lines || (!this.place && nowMs - this.#locatedAt >= LOCATE_MS)) {
        this.#lines = lines
        this.#locatedAt = nowMs
        this.#settle(locate(this.#host.proc, this.#pid, lines), nowMs)
      }
    }
    if (!this.#files) return
    if (this.place) this.gauges = this.#files.gauges()
    this.#count(this.#files.counters(), nowMs)
    this.#parent?.look()
  }

  /** The process is alive, as far as is known: later kills are later than this. */
  alive(): void {
    this.#machine.grown()
  }

  /**
   * The process has ended. Its cgroup is read once more before its runtime removes it, and is read on as long as it
   * exists. Gauges are no longer known. Returns what is known about kills; `none` if its count proves that there was none.
   */
  end(nowMs: number): Kills | 'none' | undefined {
    this.#membership?.[Symbol.dispose]()
    this.#membership = undefined
    this.#lines = ''
    this.place = undefined
    this.gauges = undefined
    if (this.#files) this.#count(this.#files.counters(), nowMs)
    const machine = this.#machine.grown()
    if (nowMs - this.#killedAt <= RECENT_MS) return { number: this.#recentKills, of: 'cgroup' }
    // If the cgroup's own count can still be read and has not grown, memory was not the reason.
    if (this.#files && !Number.isNaN(this.#files.oomKills())) return 'none'
    const unclaimed = this.#parent?.unclaimed() ?? 0
    if (unclaimed > 0) {
      this.totals.oomKills = (Number.isNaN(this.totals.oomKills) ? 0 : this.totals.oomKills) + unclaimed
      return { number: unclaimed, of: 'cgroup' }
    }
    return machine > 0 ? { number: machine, of: 'machine' } : undefined
  }

  /** Lets files that were not there, or refused, be tried again. */
  retry(): void {
    if (this.place) this.#open(this.place)
  }

  [Symbol.dispose](): void {
    this.#close()
    this.#membership?.[Symbol.dispose]()
    this.#machine[Symbol.dispose]()
  }

  #open(place: Place): Controllers {
    this.#close()
    const files = new Controllers(place)
    this.#files = files
    if (files.parentPath !== undefined) this.#parent = new ParentCount(files.parentPath)
    const { clock } = this.#host
    this.#kills = new KillWatch(files, () => this.#countOne('oomKills', files.oomKills(), clock.monotonic()))
    return files
  }

  #close(): void {
    this.#kills?.[Symbol.dispose]()
    this.#parent?.[Symbol.dispose]()
    this.#files?.[Symbol.dispose]()
    this.#kills = undefined
    this.#parent = undefined
    this.#files = undefined
  }

  #settle(place: Place | undefined, nowMs: number): void {
    // The last numbers of the cgroup that the process has left.
    if (this.#files) this.#count(this.#files.counters(), nowMs)
    this.#close()
    this.place = place
    this.gauges = undefined
    if (!place) return
    const now = this.#open(place).counters()
    const fresh = this.#fresh
    this.#fresh = false
    if (place.identity !== this.#identity) {
      const first = this.#identity === undefined
      this.#identity = place.identity
      // The numbers of a cgroup that was made for the new process are all the application's. One that was there before
      // (the process was moved, or started elsewhere) has a past that is not, and is counted from now on.
      const possible = ((nowMs - this.#readAt) / 1000 + 1) * availableParallelism()
      const made = fresh && !(now.user + now.system > possible)
      this.#last = unread()
      for (const name of COUNTERS) this.#last[name] = first || made ? 0 : now[name]
      this.#count(now, nowMs)
      // Kills of the time before the sidecar are in the total, but are no news.
      if (first) this.#killedAt = Number.NEGATIVE_INFINITY
    }
  }

  #count(now: CgroupCounters, nowMs: number): void {
    this.#readAt = nowMs
    for (const name of COUNTERS) this.#countOne(name, now[name], nowMs)
  }

  #countOne(name: keyof CgroupCounters, value: number, nowMs: number): void {
    if (Number.isNaN(value)) return
    const last = this.#last[name]
    const total = this.totals[name]
    const grown = Number.isNaN(last) ? 0 : growth(last, value)
    this.totals[name] = (Number.isNaN(total) ? 0 : total) + grown
    this.#last[name] = value
    if (name !== 'oomKills' || grown === 0) return
    this.#recentKills = nowMs - this.#killedAt <= RECENT_MS ? this.#recentKills + grown : grown
    this.#killedAt = nowMs
  }
}
