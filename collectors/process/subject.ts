// The observed application through all its restarts: the processes it consists of now, and totals that never fall.

import type { Host } from '../../telemetry/host.ts'
import type { FileAccess } from './access.ts'
import { Account } from './account.ts'
import type { Target } from './discovery.ts'
import { overLimit } from './families.ts'
import { readText } from './file.ts'
import { Incarnation } from './incarnation.ts'
import { parseMaxFds } from './parse.ts'
import type { Table } from './table.ts'
import { BASE_FILES, fdSizeKnown, Tracked } from './tracked.ts'
import { type Bounds, Tree } from './tree.ts'

export interface SubjectOptions {
  readonly children: 'together' | 'apart'
  readonly processes_limit: number
  readonly threads_limit: number
}

/** After this time refused files are tried again. */
const RETRY_MS = 60_000

export class Subject implements Disposable {
  /** Its processes while it runs. */
  tree: Tree | undefined
  incarnation: Incarnation | undefined
  /** The number of main processes so far. */
  lives = 0
  /** The use of the main process. */
  readonly mine: Account = new Account()
  /** The use of its descendants; the same object as `mine` if they are counted in. */
  readonly theirs: Account

  readonly #host: Host
  readonly #bounds: Bounds
  readonly #fdSize: boolean
  readonly #access: FileAccess
  readonly #overLimit
  #retryDue = 0

  constructor(options: SubjectOptions, host: Host, access: FileAccess) {
    this.#host = host
    this.#access = access
    this.#bounds = bounds(options, host.proc)
    this.theirs = options.children === 'apart' ? new Account() : this.mine
    this.#fdSize = fdSizeKnown(host.proc)
    this.#overLimit = host.metrics.counter(overLimit)
    for (const what of ['processes', 'threads', 'tcp', 'smaps']) this.#overLimit.inc({ what }, 0)
  }

  /** Takes a process for its main process; if that cannot be done, the answer says why. */
  adopt(target: Target): 'adopted' | 'ended' | 'denied' {
    const { proc, clock } = this.#host
    const main = new Tracked(proc, target.pid, this.#fdSize)
    if (!main.look() || main.stat.ended) {
      main[Symbol.dispose]()
      return main.outcome.stat === 'denied' ? 'denied' : 'ended'
    }
    this.tree = new Tree(proc, main, this.#fdSize, this.#bounds)
    this.incarnation = new Incarnation(proc, main, target, clock)
    this.lives++
    this.#retryDue = clock.monotonic() + RETRY_MS
    return 'adopted'
  }

  /** Whether the main process still runs, by one small read. */
  runs(): boolean {
    return this.tree?.main.runs() ?? false
  }

  /**
   * Reads all its processes; with `whole`, every thread too, which a scrape does without. False when the main process
   * has ended, or can no longer be read.
   */
  look(table: Table, self: number | undefined, whole: boolean): boolean {
    const { tree } = this
    if (!tree) return false
    const now = this.#host.clock.monotonic()
    if (now >= this.#retryDue) {
      this.#retryDue = now + RETRY_MS
      tree.retry()
    }
    if (!tree.look(table, self, this.mine, this.theirs, whole)) return false
    if (whole && tree.processesLeftOut > 0) this.leftOut('processes')
    if (whole && tree.threadsLeftOut > 0) this.leftOut('threads')
    const { pid, outcome } = tree.main
    for (const file of BASE_FILES)
      if (outcome[file] === 'ok' || outcome[file] === 'denied') this.#access.note(file, outcome[file] === 'ok', pid)
    return true
  }

  /** Counts that a bound left something out. */
  leftOut(what: 'processes' | 'threads' | 'tcp' | 'smaps'): void {
    this.#overLimit.inc({ what })
  }

  /** Its main process has ended; the totals stay. */
  [Symbol.dispose](): void {
    this.tree?.[Symbol.dispose]()
    this.tree = undefined
    this.incarnation = undefined
  }
}

/**
 * Five files are kept open for each process and two for each thread. They may take three quarters of what the sidecar
 * may open: beyond its limit the kernel refuses every file alike, and all numbers would be absent.
 */
function bounds({ processes_limit, threads_limit }: SubjectOptions, proc: string): Bounds {
  const files = parseMaxFds(readText(`${proc}/self/limits`) ?? '')
  if (Number.isNaN(files)) return { processes: processes_limit, threads: threads_limit }
  return {
    processes: Math.min(processes_limit, Math.max(1, Math.floor(files / 2 / 5))),
    threads: Math.min(threads_limit, Math.floor(files / 4 / 2)),
  }
}
