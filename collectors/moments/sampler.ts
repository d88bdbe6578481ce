// Reads one moment of the application after another: at rest ten a second, and more while requests are served.

import type { Host } from '../../telemetry/host.ts'
import type { Allotment } from '../../telemetry/memory.ts'
import { type Ended, emptyRow, type Mark, MomentRing, type Moments, type Row } from '../../telemetry/moment.ts'
import type { Finding } from '../../telemetry/part.ts'
import { Subject } from './subject.ts'

export interface Rates {
  /** Rows a second. */
  readonly rest: number
  readonly busy: number
  /** The largest number of threads that are read. */
  readonly threads: number
}

/** Ten minutes and more at rest, some three at the highest rate. */
export const ROWS = 8192
const MARKS = 256
/** So long after the last request more rows are read. */
const BUSY_MS = 5000
/** Costs in numbers that `pillion_` families show. */
export interface Spent {
  rows: number
  seconds: number
  late: number
}

export class Sampler implements Moments, Disposable {
  ring: MomentRing | undefined
  readonly marks: Mark[] = []
  ended: Ended | undefined
  readonly spent: Spent = { rows: 0, seconds: 0, late: 0 }
  readonly #host: Pick<Host, 'proc' | 'clock' | 'app'>
  readonly #rates: Rates
  readonly #memory: Allotment
  readonly #row = emptyRow()
  #timer: NodeJS.Timeout | undefined
  /** The wait of the timer in milliseconds from its start, and its end on the steady clock. */
  #after = 0
  #due = 0
  #subject: Subject | undefined
  #ended: number | undefined
  #oomKills = Number.NaN
  #overflows = Number.NaN
  #process = 0
  #busyUntil = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(host: Pick<Host, 'proc' | 'clock' | 'app'>, rates: Rates, memory: Allotment) {
    this.#host = host
    this.#rates = rates
    this.#memory = memory
  }

  start(): void {
    this.#arm(this.#period(this.#host.clock.monotonic()))
  }

  note(kind: Mark['kind'], text: string, at = this.#host.clock.now()): void {
    const later = this.marks.findLastIndex(mark => mark.at <= at) + 1
    this.marks.splice(later, 0, { at, kind, text })
    if (this.marks.length > MARKS) this.marks.shift()
  }

  wake(): void {
    const now = this.#host.clock.monotonic()
    const asleep = now >= this.#busyUntil
    this.#busyUntil = now + BUSY_MS
    // The moment at which the requests began matters most.
    if (asleep && this.#subject) this.#arm(0)
  }

  findings(): readonly Finding[] {
    return this.#subject?.findings() ?? []
  }

  /** Whether the higher rate is in effect. */
  get busy(): boolean {
    return this.#host.clock.monotonic() < this.#busyUntil
  }

  [Symbol.dispose](): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#subject?.[Symbol.dispose]()
    this.#subject = undefined
    if (this.ring) this.#memory.add(-MomentRing.bytes(this.ring.capacity))
    this.ring = undefined
  }

  /** Reads a row now. */
  sample(): void {
    this.#sample(this.#host.clock.monotonic())
  }

  /** The same, when the clock has just been asked; returns what it says afterwards. */
  #sample(began: number): number {
    const { app, clock } = this.#host
    // One that has ended stays named for up to a second, until the process collector looks again.
    if (app.pid !== this.#ended) this.#ended = undefined
    if (app.pid !== this.#subject?.pid && app.pid !== this.#ended) this.#follow(app.pid)
    const subject = this.#subject
    if (!subject) return began
    const row = this.#row
    if (!subject.read(row, began, began < this.#busyUntil)) {
      this.#ended = subject.pid
      // The process collector notes the end, with its reason.
      this.ended = { pid: subject.pid, at: clock.now(), stat: subject.zombie }
      this.#follow(undefined)
      return clock.monotonic()
    }
    row.process = this.#process
    this.#compare(row)
    // After the reads: a moment is what they found.
    const monotonic = clock.monotonic()
    this.ring?.add(clock.now(), monotonic, row)
    this.spent.rows++
    this.spent.seconds += (monotonic - began) / 1000
    return monotonic
  }

  /** Notes what the kernel counts once and for all. */
  #compare(row: Row): void {
    if (row.oomKills > this.#oomKills) this.note('oom', 'the kernel ended a process of the cgroup for lack of memory')
    if (row.listenOverflows > this.#overflows) this.note('overflow', 'connections were lost: an accept queue was full')
    this.#oomKills = row.oomKills
    this.#overflows = row.listenOverflows
  }

  /** Reads another process from now on, or none. */
  #follow(pid: number | undefined): void {
    this.#subject?.[Symbol.dispose]()
    this.#subject = undefined
    if (pid === undefined) return
    if (!this.ring) {
      if (!this.#memory.hold(MomentRing.bytes(ROWS))) return
      this.ring = new MomentRing(ROWS)
    }
    this.#process++
    if (this.#process > 1) this.note('start', `process ${pid} started`)
    this.#subject = new Subject(this.#host.proc, pid, this.#rates.threads)
  }

  #arm(after: number): void {
    if (this.#closed) return
    clearTimeout(this.#timer)
    this.#after = after
    this.#due = this.#host.clock.monotonic() + after
    this.#timer = setTimeout(() => this.#tick(), after)
    this.#timer.unref()
  }

  #tick(): void {
    const began = this.#host.clock.monotonic()
    this.spent.late += Math.max(0, began - this.#due) / 1000
    const ended = this.#sample(began)
    const after = this.#period(ended)
    if (after !== this.#after) this.#arm(after)
    else {
      this.#due = ended + after
      this.#timer?.refresh()
    }
  }

  #period(now: number): number {
    return 1000 / (now < this.#busyUntil && this.#subject ? this.#rates.busy : this.#rates.rest)
  }
}
