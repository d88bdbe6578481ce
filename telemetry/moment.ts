// The contract of the sampler: counters of the application's process, its threads and its cgroup, read many times a
// second and kept in one ring. All that explain a request, record the end of the application or draw it ask the ring;
// nobody else reads the kernel for that.
//
// A row is stamped after its files were read, by the wall clock and by the steady one. The period is never assumed: a busy
// machine delays the sampler exactly when it matters.

/**
 * Numbers that only grow while one process lives, in seconds, bytes or events. NaN where the kernel does not tell.
 *
 * - `mainRun`, `mainWait`: the main thread on a core, and waiting for one (schedstat; the wait contains throttling).
 * - `allRun`, `allWait`: the same of all threads; those that have ended stay counted.
 * - `gcRun`, `jitRun`: of threads that collect garbage or compile, known by their names.
 * - `majorFaults`: pages that were read from a disk. `blockWait`: waiting for block devices, where delay accounting is on.
 * - `throttled`, `throttledPeriods`, `periods`: of the cgroup, summed over its cores.
 * - `…Pressure`: the cgroup's PSI "some", else the machine's.
 * - `retransmits`, `listenOverflows`: TCP, of the network namespace.
 */
export const COUNTERS = [
  'mainRun',
  'mainWait',
  'allRun',
  'allWait',
  'gcRun',
  'jitRun',
  'majorFaults',
  'blockWait',
  'readBytes',
  'writtenBytes',
  'cgroupRun',
  'throttled',
  'throttledPeriods',
  'periods',
  'oomKills',
  'cpuPressure',
  'memoryPressure',
  'ioPressure',
  'retransmits',
  'listenOverflows',
] as const

/**
 * States at the moment of a row. NaN where it is not known.
 *
 * - `state`: what the main thread did, a `STATE`.
 * - `threads`: how many there are. `active`: how many ran since the row before. `locked`: how many of those, the main thread
 *   left out, then waited for a lock. `blocked`: how many, again without the main thread, wait for a disk.
 * - `oneWait`: how long one thread waited for a core since the row before, in seconds; the mean over those that did, by the
 *   length of their waits. Those that collect garbage or compile are left out.
 * - `memory`: the working set of the cgroup in bytes if it has a limit, else the resident memory of the process.
 * - `memoryLimit`: of the cgroup, in bytes; NaN without one.
 * - `process`: a number that is another one for each process of the application. Counters of two processes do not compare.
 */
export const GAUGES = [
  'state',
  'threads',
  'active',
  'locked',
  'blocked',
  'oneWait',
  'memory',
  'memoryLimit',
  'process',
] as const

export type CounterName = (typeof COUNTERS)[number]
export type GaugeName = (typeof GAUGES)[number]
export type ColumnName = CounterName | GaugeName

/** States of a thread: proc(5) `stat` field 3, and the function of the kernel in which it waits (`wchan`). */
export const STATE = {
  /** It sleeps, and the kernel does not say for what. */
  sleeping: 0,
  /** On a core, or ready for one. */
  running: 1,
  /** In epoll, poll or select: idle, or waiting for an answer. */
  polling: 2,
  /** In futex: a lock, or another thread. */
  lock: 3,
  /** For a disk: state D, or a page that is being read or written. */
  disk: 4,
  /** By a signal or a debugger. */
  stopped: 5,
  /** Until a time. */
  timer: 6,
} as const

/** The numbers of one moment, to be filled in by the sampler and copied into the ring. */
export type Row = Record<ColumnName, number>

const NAMES: readonly ColumnName[] = [...COUNTERS, ...GAUGES]

export function emptyRow(): Row {
  return Object.fromEntries(NAMES.map(name => [name, Number.NaN])) as Row
}

/** A clock that went back, or ahead by more than the steady one, by more than this is a step: rows of before do not compare. */
const STEP_MS = 250

/**
 * The newest moments, in typed columns. Rows are numbered without end: those from `first` up to, not including, `next` are
 * kept. Their wall times never go down.
 */
export class MomentRing {
  readonly capacity: number
  readonly #mask: number
  readonly #wall: Float64Array
  readonly #monotonic: Float64Array
  readonly #columns: Readonly<Record<ColumnName, Float64Array>>
  /** The same, in the order of their names: to add a row is to look up half as many names. */
  readonly #inOrder: readonly Float64Array[]
  #first = 0
  #next = 0

  /** The bytes of a ring with so many rows. */
  static bytes(rows: number): number {
    return rows * 8 * (NAMES.length + 2)
  }

  /** `rows` is a power of two. */
  constructor(rows: number) {
    this.capacity = rows
    this.#mask = rows - 1
    this.#wall = new Float64Array(rows)
    this.#monotonic = new Float64Array(rows)
    this.#columns = Object.fromEntries(NAMES.map(name => [name, new Float64Array(rows)])) as Record<
      ColumnName,
      Float64Array
    >
    this.#inOrder = NAMES.map(name => this.#columns[name])
  }

  get first(): number {
    return this.#first
  }

  get next(): number {
    return this.#next
  }

  /** Takes a row. `wall` is in milliseconds since the epoch, `monotonic` in those of the steady clock. */
  add(wall: number, monotonic: number, row: Row): void {
    if (this.#next > this.#first) {
      const before = (this.#next - 1) & this.#mask
      const shift = wall - this.#wall[before]! - (monotonic - this.#monotonic[before]!)
      // Spans of before the step carry times that no row has any more: absent rather than wrong.
      if (Math.abs(shift) > STEP_MS || wall < this.#wall[before]!) this.#first = this.#next
    }
    const at = this.#next & this.#mask
    this.#wall[at] = wall
    this.#monotonic[at] = monotonic
    for (let i = 0; i < NAMES.length; i++) this.#inOrder[i]![at] = row[NAMES[i]!]
    this.#next++
    if (this.#next - this.#first > this.capacity) this.#first = this.#next - this.capacity
  }

  /** Wall time of a row that is kept, in milliseconds since the epoch. */
  wall(row: number): number {
    return this.#wall[row & this.#mask]!
  }

  monotonic(row: number): number {
    return this.#monotonic[row & this.#mask]!
  }

  /**
   * All numbers of one name, for those who read many rows: a row that is kept stands at its number modulo `capacity`. A loop
   * over columns is five times faster than one that asks for each number by its name.
   */
  column(name: ColumnName): Float64Array {
    return this.#columns[name]
  }

  /** A number of a row that is kept. */
  value(name: ColumnName, row: number): number {
    return this.#columns[name][row & this.#mask]!
  }

  /** The last row at or before a wall time; -1 if it is older than what is kept. */
  find(wall: number): number {
    let [low, high] = [this.#first, this.#next - 1]
    if (high < low || this.wall(low) > wall) return -1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.wall(middle) <= wall) low = middle
      else high = middle - 1
    }
    return low
  }

  /**
   * A counter at a wall time, on the line between the rows around it; NaN outside of what is kept, at the edge of two processes,
   * and where the kernel does not tell.
   */
  at(name: CounterName, wall: number): number {
    const row = this.find(wall)
    if (row < 0) return Number.NaN
    const from = this.value(name, row)
    const start = this.wall(row)
    if (start === wall) return from
    if (row + 1 >= this.#next || this.value('process', row) !== this.value('process', row + 1)) return Number.NaN
    return from + ((this.value(name, row + 1) - from) * (wall - start)) / (this.wall(row + 1) - start)
  }

  /** The growth of a counter between two wall times; NaN where it is not known, or the process is another one. */
  grown(name: CounterName, from: number, to: number): number {
    const [before, after] = [this.find(from), this.find(to)]
    if (before < 0 || this.value('process', before) !== this.value('process', after)) return Number.NaN
    return Math.max(0, this.at(name, to) - this.at(name, from))
  }
}

/** Something that happened to the application at a time: shown beside the numbers. */
export interface Mark {
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly kind: 'health' | 'start' | 'end' | 'oom' | 'overflow'
  /** For people, one line. */
  readonly text: string
}

/** The end of a process, as the sampler saw it. */
export interface Ended {
  readonly pid: number
  /** Milliseconds since the epoch, up to one period after the end. */
  readonly at: number
  /** Its /proc/PID/stat, if it was read after the end and before the parent waited for it. */
  readonly stat: string | undefined
}

/** The sampler, for those who read what it keeps. */
export interface Moments {
  /** Undefined before the first process was found, and where there is no sampler. */
  readonly ring: MomentRing | undefined
  /** The newest marks, the oldest first. */
  readonly marks: readonly Mark[]
  /** Keeps a mark, of now unless `at` says when; at most 256 of them. */
  note(kind: Mark['kind'], text: string, at?: number): void
  /** The last end of a process that the sampler saw. */
  readonly ended: Ended | undefined
  /** Requests are being served: more rows a second are wanted for some seconds. Costs nothing, so call it for each request. */
  wake(): void
}

/** The host of a part that reads moments. */
export interface MomentsHost {
  /** Undefined if the sampler is switched off, or there is no /proc. Ask after the start: it may start later. */
  moments(): Moments | undefined
}
