// The search for the application while it is not there: how often, what is said about it, and what its absence means.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Host } from '../../telemetry/host.ts'
import { type Absence, find, type Miss, type Target } from './discovery.ts'
import type { Table } from './table.ts'
import { selfPid } from './visibility.ts'

/** Between looks for the end of the application, or for its beginning. */
export const WATCH_MS = 1000
/** The same in the first seconds, when `pillion run` starts its child: then a look costs next to nothing. */
const YOUNG_MS = 100
const YOUNG_FOR_MS = 10_000
/** An absence is logged if it lasts for this time. */
const PATIENCE_MS = 1000
/** One look in so many goes through other network namespaces: a link must be read for every process. */
const WIDE_EVERY = 15
/** Searches take this part of the time at most: with thousands of processes on the machine they are less frequent. */
const SHARE = 1 / 50

export class Search {
  /** The sidecar's own pid in /proc, which is never the application's. */
  self: number | undefined
  /** Whether the application is known not to run. */
  absence: Absence = 'unknown'
  /** Why there is no process; empty before the first look, and while there is one. */
  why = ''

  readonly #host: Host
  readonly #table: Table
  #startedAt = 0
  #foundBefore = false
  #looks = 0
  #due = Number.NEGATIVE_INFINITY
  #pause = WATCH_MS
  /** The listener that the last wide look saw in another network namespace; narrow looks do not see it. */
  #elsewhere: Miss | undefined
  #whySince = 0
  #whyLogged = false

  constructor(host: Host, table: Table) {
    this.#host = host
    this.#table = table
  }

  async start(): Promise<void> {
    this.#startedAt = this.#host.clock.monotonic()
    this.self = await selfPid(this.#host.proc)
  }

  /** The application has ended, as far as that is known: it is looked for at once. */
  begin(absence: Absence): void {
    this.absence = absence
    this.#due = Number.NEGATIVE_INFINITY
    this.#looks = 0
    this.#pause = 0
    this.#elsewhere = undefined
  }

  /** The time until the next look, if nothing happens. */
  pauseMs(): number {
    const { select, child, url } = this.#host.app
    const { pid, pid_file, cgroup, match, port } = select
    const age = this.#host.clock.monotonic() - this.#startedAt
    // A child is still to come where nothing is set, and may be where only the URL is.
    const cheap = pid !== undefined || child !== undefined || (url ?? pid_file ?? cgroup ?? match ?? port) === undefined
    return age < PATIENCE_MS || (cheap && age < YOUNG_FOR_MS) ? YOUNG_MS : WATCH_MS
  }

  /** One look, if it is due. */
  async look(): Promise<Target | undefined> {
    const { clock, app, proc } = this.#host
    const now = clock.monotonic()
    if (now < this.#due) return undefined
    while (this.#table.refresh(now) > 0) await nextTurn()
    const wide = this.#looks++ % WIDE_EVERY === 0
    const sight = { proc, table: this.#table, self: this.self, child: app.child, wide, foundBefore: this.#foundBefore }
    const result = await find({ ...app.select, url: app.url }, sight)
    if (result.pid !== undefined) return result
    // Going through all descriptors or command lines costs too much to be done each second for ever.
    const took = (clock.monotonic() - now) / SHARE
    const { costlyMs } = result
    this.#pause = costlyMs === 0 ? 0 : Math.max(Math.min(Math.max(WATCH_MS, this.#pause * 2), costlyMs), took)
    this.#due = now + this.#pause
    if (wide) this.#elsewhere = result.elsewhere && result
    const { absence, why } = result.absence === 'not_running' && this.#elsewhere ? this.#elsewhere : result
    this.miss(absence, why)
    return undefined
  }

  /** There is no process, and this is why; logged once, when it has been so for a while. */
  miss(absence: Absence, why: string): void {
    const now = this.#host.clock.monotonic()
    this.absence = absence
    if (why !== this.why) {
      this.why = why
      this.#whySince = now
      this.#whyLogged = false
    }
    if (this.#whyLogged || now - this.#whySince < PATIENCE_MS) return
    this.#whyLogged = true
    this.#host.log.warn(why)
  }

  /** The search is over. */
  end(): void {
    this.#foundBefore = true
    this.why = ''
  }
}
