// The evidence for one request: the time between its start and its end, divided by the rows of moments.
//
// Two of the counters show a wait at its end, as one step: the run-queue wait when the thread gets on a core,
// throttling when the quota is renewed. So the cells between rows are read backwards, from a little after the end: what
// does not fit into a cell (a thread cannot wait longer than the cell lasts, less the time that it ran) happened in the
// cells before.
//
//   len = run + wait + rest      wait ⊇ throttled (the kernel counts throttled time as waiting)      rest: by the state
//
// All times are milliseconds.

import { type ColumnName, type MomentRing, STATE } from '../../telemetry/moment.ts'
import { CAUSES, DISK, GC, LOCK, OWN_CPU, PAGING, STOPPED, THROTTLED, WAITING } from './causes.ts'

/** A wait is seen at its end: so much later one is looked for that began within the request. Two periods of the usual quota. */
const AFTER_MS = 200
/** The longest that a step of throttling goes back: the usual period. */
const PERIOD_MS = 100
/** The longest that a wait goes back. */
const LONGEST_WAIT_MS = 2000
/** Cells of a request that are read; a longer one is read from its end. */
const MOST_CELLS = 4096
/** A cell in which the thread had so little left for waiting is one in which no answer could be read. */
const BUSY = 0.85
/** Rows without any thread running that are looked at for the last one that ran. */
const MOST_QUIET = 100
/** A process whose main thread does less than this share of all work serves requests on other threads. */
const MAIN_SHARE = 0.4
/** The time over which that share is taken. */
const SHARE_MS = 10_000

/** A part of the request in which it waited for somebody else, in order of time and not overlapping. */
export interface Piece {
  from: number
  to: number
  /** A number for the one that was waited for. */
  peer: number
  /** The rest of it when our own delays in it are taken off. */
  ms: number
}

/** A time in which one cause prevailed. */
export interface Band {
  readonly cause: string
  readonly from: number
  readonly to: number
  readonly ms: number
}

/** A band that may still grow towards its beginning. */
type Growing = { -readonly [Key in keyof Band]: Band[Key] }

export class Evidence {
  /** Milliseconds by cause, in the order of CAUSES. */
  readonly ms = new Float64Array(CAUSES.length)
  /** Rows of moments within the request. */
  rows = 0
  /** Whether requests are served by threads that cannot be told apart, so that the numbers are of the process. */
  process = false
  /** Periods of the quota that began, and those in which the application was throttled. */
  periods = 0
  throttledPeriods = 0
  /** The prevailing causes, if bands were asked for, from the newest to the oldest. */
  get bands(): readonly Band[] {
    return this.#bands
  }

  readonly #bands: Growing[] = []
  readonly #cell = new Float64Array(CAUSES.length)
  /** Waits that did not fit into the cells that were read so far, and those by throttling. */
  readonly #carried = new Float64Array(2)
  #columns = new Columns()

  /**
   * Reads what is known about the time between two wall times; false if the rows do not cover it, or there are two
   * processes in it. Waits in `pieces` are lessened by our own delays.
   */
  read(ring: MomentRing, from: number, to: number, pieces: Piece[], banded = false): boolean {
    this.ms.fill(0)
    this.rows = this.periods = this.throttledPeriods = 0
    this.#bands.length = 0
    for (const piece of pieces) piece.ms = piece.to - piece.from
    const first = ring.find(from)
    const last = ring.find(to)
    // A row after the end is needed: nobody knows what the newest row does not show yet.
    if (first < 0 || last + 1 >= ring.next) return false
    if (this.#columns.of !== ring) this.#columns = new Columns(ring)
    const process = ring.value('process', first)
    if (!(process === ring.value('process', last + 1))) return false
    this.process = !this.#mainServes(ring, first, last + 1)
    const end = this.#after(ring, last + 1, to + AFTER_MS, process)
    const start = Math.max(first, end - MOST_CELLS)
    this.#carried.fill(0)
    const { periods, throttledPeriods, mask } = this.#columns
    const { ms } = this
    const cell = this.#cell
    let [cpu, waiting, throttled, gc] = [0, 0, 0, 0]
    let piece = pieces.length - 1
    let begin = ring.wall(end)
    for (let row = end; row > start; row--) {
      const finish = begin
      begin = ring.wall(row - 1)
      const length = finish - begin
      if (length <= 0) continue
      const rest = this.#divide(row, length)
      const share = (Math.min(finish, to) - Math.max(begin, from)) / length
      if (share <= 0) continue
      if (begin >= from) this.rows++
      cpu += cell[OWN_CPU]! * share
      waiting += cell[WAITING]! * share
      throttled += cell[THROTTLED]! * share
      gc += cell[GC]! * share
      // The state is known at both ends of the cell, and stands for half of what is left each.
      cell[STOPPED] = cell[PAGING] = cell[DISK] = cell[LOCK] = 0
      if (rest > 0) {
        for (let at = row; at >= row - 1; at--) {
          const cause = this.#stateAt(ring, at, row)
          if (cause < 0) continue
          cell[cause]! += rest / 2
          ms[cause]! += (rest / 2) * share
        }
      }
      if (banded) {
        this.periods += share * grown(periods, mask, row)
        this.throttledPeriods += share * grown(throttledPeriods, mask, row)
        this.#band(Math.max(begin, from), Math.min(finish, to), length)
      }
      // Pieces are read from the last one on, with the cells.
      while (piece >= 0 && pieces[piece]!.from >= finish) piece--
      for (let at = piece; at >= 0 && pieces[at]!.to > begin; at--) this.#takeOff(pieces[at]!, begin, finish, length)
    }
    ms[OWN_CPU] = cpu
    ms[WAITING] = waiting
    ms[THROTTLED] = throttled
    ms[GC] = gc
    return true
  }

  /**
   * Divides a cell by what the counters say, and returns the rest, which the states tell. The excess is for the cells
   * before.
   */
  #divide(row: number, length: number): number {
    const cell = this.#cell
    const carried = this.#carried
    const columns = this.#columns
    const { mask } = columns
    const collected = 1000 * grown(columns.gcRun, mask, row)
    const others = this.process ? collected + 1000 * grown(columns.jitRun, mask, row) : 0
    const ran = 1000 * grown(this.process ? columns.allRun : columns.mainRun, mask, row)
    const run = Math.min(length, Math.max(0, ran - others))
    const later = Math.min(carried[WAIT_LATER]!, LONGEST_WAIT_MS)
    const wait = later + 1000 * (this.process ? this.#waitOfOne(row) : grown(columns.mainWait, mask, row))
    const waited = Math.min(wait, length - run)
    const throttled = Math.min(carried[THROTTLED_LATER]!, PERIOD_MS) + 1000 * grown(columns.throttled, mask, row)
    const held = Math.min(throttled, waited)
    cell[OWN_CPU] = run
    cell[GC] = Math.min(length, collected)
    cell[THROTTLED] = held
    cell[WAITING] = waited - held
    carried[WAIT_LATER] = wait - waited
    carried[THROTTLED_LATER] = throttled - held
    return length - run - waited
  }

  /**
   * Threads wait at the same time, so the sum of their waits is not the time that a request waited. If it were taken for
   * that, the rest that does not fit into this cell would be blamed on cells in which nobody waited for a core.
   */
  #waitOfOne(row: number): number {
    const { oneWait, allWait, mask } = this.#columns
    const all = grown(allWait, mask, row)
    const one = oneWait[row & mask]!
    return one < all ? one : all
  }

  /** The cause of what is left of a cell, by the state at one of its ends, or -1. */
  #stateAt(ring: MomentRing, at: number, row: number): number {
    const { states, blocked, mask } = this.#columns
    const state = states[at & mask]!
    // Fast path: it sleeps, or waits for an answer.
    if (!this.process && state === STATE.polling && !(blocked[at & mask]! > 0)) return -1
    if (state === STATE.stopped) return STOPPED
    if (this.#onDisk(at)) return this.#paged(ring, row) ? PAGING : DISK
    return (this.process ? this.#asleep(ring, at) : state === STATE.lock) ? LOCK : -1
  }

  #onDisk(at: number): boolean {
    const { states, blocked, mask } = this.#columns
    const state = states[at & mask]!
    return state === STATE.disk || (state !== STATE.running && blocked[at & mask]! > 0)
  }

  /** Whether the wait is for a page of memory: a major fault is counted at its end, which may be some cells later. */
  #paged(ring: MomentRing, row: number): boolean {
    const { majorFaults, mask } = this.#columns
    const most = Math.min(ring.next - 1, row + MOST_QUIET)
    for (let at = row; at <= most; at++) {
      if (grown(majorFaults, mask, at) > 0) return true
      if (!this.#onDisk(at)) return false
    }
    return false
  }

  /** Whether some of the threads that ran last went to wait for a lock, and have not run since. */
  #asleep(ring: MomentRing, at: number): boolean {
    const least = Math.max(ring.first, at - MOST_QUIET)
    const { active, locked, mask } = this.#columns
    let row = at
    while (row > least && !(active[row & mask]! > 0)) row--
    return locked[row & mask]! > 0
  }

  /** Takes off a piece what delayed us in this cell, so that it is not blamed on somebody else. */
  #takeOff(piece: Piece, begin: number, finish: number, length: number): void {
    const over = Math.min(finish, piece.to) - Math.max(begin, piece.from)
    if (over <= 0) return
    const cell = this.#cell
    const own = cell[WAITING]! + cell[THROTTLED]! + cell[STOPPED]! + cell[PAGING]! + (this.process ? 0 : cell[LOCK]!)
    const busy = this.process ? own : own + cell[OWN_CPU]!
    // Threads that wait for an answer look as those that wait for a lock.
    if (this.process) this.ms[LOCK] = Math.max(0, this.ms[LOCK]! - (cell[LOCK]! * over) / length)
    piece.ms = Math.max(0, piece.ms - (busy >= BUSY * length ? over : (own * over) / length))
  }

  #band(from: number, to: number, length: number): void {
    let cause = -1
    let most = length / 4
    for (let i = 0; i < CAUSES.length; i++)
      if (this.#cell[i]! > most) {
        most = this.#cell[i]!
        cause = i
      }
    if (cause < 0) return
    const ms = (this.#cell[cause]! * (to - from)) / length
    const newer = this.#bands.at(-1)
    if (newer && newer.cause === CAUSES[cause] && newer.from <= to) {
      newer.from = from
      newer.ms += ms
    } else this.#bands.push({ cause: CAUSES[cause]!, from, to, ms })
  }

  /** Whether the main thread did most of the work lately. Collecting garbage and compiling serve no request. */
  #mainServes(ring: MomentRing, first: number, last: number): boolean {
    const before = Math.max(ring.first, ring.find(ring.wall(first) - SHARE_MS))
    const from = ring.value('process', before) === ring.value('process', last) ? before : first
    const main = ring.value('mainRun', last) - ring.value('mainRun', from)
    const all = ring.value('allRun', last) - ring.value('allRun', from)
    const others = known(ring.value('gcRun', last) - ring.value('gcRun', from))
    const jit = known(ring.value('jitRun', last) - ring.value('jitRun', from))
    // Where nothing ran, or threads are not known, it is the main thread.
    return !(main < MAIN_SHARE * (all - others - jit))
  }

  /** The last row up to a wall time that is of the same process. */
  #after(ring: MomentRing, row: number, until: number, process: number): number {
    const { processes, mask } = this.#columns
    let at = row
    while (at + 1 < ring.next && ring.wall(at) < until && processes[(at + 1) & mask] === process) at++
    return at
  }
}

/** Places of what is carried to the cells before. */
const WAIT_LATER = 0
const THROTTLED_LATER = 1

/** The columns of a ring that each cell asks for. */
class Columns {
  readonly of: MomentRing | undefined
  readonly mask: number
  readonly gcRun: Float64Array
  readonly jitRun: Float64Array
  readonly allRun: Float64Array
  readonly allWait: Float64Array
  readonly mainRun: Float64Array
  readonly mainWait: Float64Array
  readonly throttled: Float64Array
  readonly periods: Float64Array
  readonly throttledPeriods: Float64Array
  readonly majorFaults: Float64Array
  readonly states: Float64Array
  readonly blocked: Float64Array
  readonly active: Float64Array
  readonly locked: Float64Array
  readonly oneWait: Float64Array
  readonly processes: Float64Array

  constructor(ring?: MomentRing) {
    const column = (name: ColumnName) => ring?.column(name) ?? NOTHING
    this.of = ring
    this.mask = (ring?.capacity ?? 1) - 1
    this.gcRun = column('gcRun')
    this.jitRun = column('jitRun')
    this.allRun = column('allRun')
    this.allWait = column('allWait')
    this.mainRun = column('mainRun')
    this.mainWait = column('mainWait')
    this.throttled = column('throttled')
    this.periods = column('periods')
    this.throttledPeriods = column('throttledPeriods')
    this.majorFaults = column('majorFaults')
    this.states = column('state')
    this.blocked = column('blocked')
    this.active = column('active')
    this.locked = column('locked')
    this.oneWait = column('oneWait')
    this.processes = column('process')
  }
}

const NOTHING = new Float64Array(1)

/** The growth of a counter from the row before; 0 where it is not known. */
function grown(column: Float64Array, mask: number, row: number): number {
  const by = column[row & mask]! - column[(row - 1) & mask]!
  return by > 0 ? by : 0
}

function known(value: number): number {
  return value > 0 ? value : 0
}
