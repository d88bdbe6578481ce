// The threads of the application: how long each was on a core and waited for one, by what its runtime calls it. They come and
// go, by thousands in some programs; the sums never fall, since what a thread used before it ended stays counted.

import { readdirSync } from 'node:fs'
import { type Row, STATE } from '../../telemetry/moment.ts'
import { bytes, KeptFile, text } from '../process.ts'
import { number, word } from './scan.ts'
import { type Kind, kind, state } from './state.ts'

/** Threads that have just run and are asked in one moment what they wait for. */
const ASKED = 8
/** A thread that has run for so many seconds has its name. */
const NAMED_S = 0.05

type Main = Pick<Row, 'mainRun' | 'mainWait'>

export class Threads implements Disposable {
  /** Seconds since the process was found first, all threads together; the main one too. */
  run = 0
  wait = 0
  gc = 0
  jit = 0
  /**
   * Of the last look: threads that ran since the look before, and those of them beside the main one that then waited for a
   * lock or for a disk; those that still wait for a disk count too.
   */
  active = 0
  locked = 0
  blocked = 0
  /** Seconds that one of them waited for a core, weighted by the length of the waits; gc and jit left out. */
  oneWait = 0
  /** Threads beyond the limit. */
  leftOut = 0

  readonly #folder: string
  readonly #pid: number
  readonly #limit: number
  readonly #threads = new Map<number, Thread>()
  #listed = false

  constructor(folder: string, pid: number, limit: number) {
    this.#folder = `${folder}/task`
    this.#pid = pid
    this.#limit = limit
  }

  get size(): number {
    return this.#threads.size
  }

  /** Finds threads that are new, and forgets those that have ended. */
  list(): void {
    let entries: string[]
    try {
      entries = readdirSync(this.#folder)
    } catch {
      return
    }
    this.leftOut = 0
    const alive = new Set<number>()
    for (const entry of entries) {
      const tid = Number(entry)
      if (!Number.isSafeInteger(tid)) continue
      alive.add(tid)
      if (this.#threads.has(tid)) continue
      if (this.#threads.size >= this.#limit && tid !== this.#pid) this.leftOut++
      else this.#threads.set(tid, new Thread(`${this.#folder}/${tid}`, tid === this.#pid, !this.#listed))
    }
    this.#listed = true
    for (const [tid, thread] of this.#threads) {
      if (alive.has(tid)) continue
      thread[Symbol.dispose]()
      this.#threads.delete(tid)
    }
  }

  /** Reads the threads. `wchan` asks those that ran what they wait for. `main`: the main one was just read. */
  look(wchan: boolean, main?: Main): void {
    this.active = 0
    this.locked = 0
    this.blocked = 0
    let asked = 0
    let waited = 0
    let squares = 0
    for (const [tid, thread] of this.#threads) {
      if (main && tid === this.#pid && main.mainRun >= 0) thread.take(main.mainRun, main.mainWait)
      else if (!thread.look()) {
        thread[Symbol.dispose]()
        this.#threads.delete(tid)
        continue
      }
      this.run += thread.ran
      this.wait += thread.waited
      if (thread.ran === 0 && thread.waited === 0) {
        // It has not run since it was asked, so it still waits.
        if (thread.blocked) this.blocked++
        continue
      }
      const { kind } = thread
      if (kind === 'gc') this.gc += thread.ran
      if (kind === 'jit') this.jit += thread.ran
      if (kind === 'other') {
        waited += thread.waited
        squares += thread.waited * thread.waited
      }
      this.active++
      thread.blocked = false
      if (!wchan || tid === this.#pid || kind !== 'other' || asked >= ASKED) continue
      asked++
      const now = thread.state()
      if (now === STATE.lock) this.locked++
      thread.blocked = now === STATE.disk
      if (thread.blocked) this.blocked++
    }
    this.oneWait = waited > 0 ? squares / waited : 0
  }

  [Symbol.dispose](): void {
    for (const thread of this.#threads.values()) thread[Symbol.dispose]()
    this.#threads.clear()
  }
}

/** Its open files are its identity: they never tell of a later thread with the same number. */
class Thread implements Disposable {
  ran = 0
  waited = 0
  /** It waited for a disk when it was asked. */
  blocked = false
  readonly #folder: string
  readonly #main: boolean
  readonly #schedstat: KeptFile
  #wchan: KeptFile | undefined
  #kind: Kind | undefined
  /** How long it had run when its name was asked for. */
  #namedAt = 0
  #run = 0
  #wait = 0
  /** Use from before the application was found is not counted; a later thread counts from its start. */
  #fresh: boolean

  constructor(folder: string, main: boolean, fresh: boolean) {
    this.#folder = folder
    this.#main = main
    this.#fresh = fresh
    this.#schedstat = new KeptFile(`${folder}/schedstat`)
  }

  /**
   * By its name, which a runtime gives it after its start. So it is asked for when the thread has run, and until it is known or
   * the thread has run for a while, each time it has run twice as long: each asking opens a file.
   */
  get kind(): Kind {
    if (this.#main) return 'other'
    const known = this.#kind
    const lasts = known !== 'other' || this.#namedAt > NAMED_S || this.#run < 2 * this.#namedAt
    if (known !== undefined && lasts) return known
    using file = new KeptFile(`${this.#folder}/comm`)
    const length = file.read()
    this.#namedAt = this.#run
    this.#kind = typeof length === 'number' ? kind(text(length)) : 'other'
    return this.#kind
  }

  /** Reads how much it has run; false when it has ended. */
  look(): boolean {
    const length = this.#schedstat.read()
    // A kernel without schedstat tells nothing of any thread; that is not an end.
    if (length === 'gone') return false
    if (typeof length === 'string') {
      this.ran = 0
      this.waited = 0
      return true
    }
    this.take(number(bytes, 0, length) / 1e9, number(bytes, word(bytes, 0, 1, length), length) / 1e9)
    return true
  }

  /** Takes how many seconds it has run and waited. */
  take(run: number, wait: number): void {
    this.ran = this.#fresh || !(run > this.#run) ? 0 : run - this.#run
    this.waited = this.#fresh || !(wait > this.#wait) ? 0 : wait - this.#wait
    if (run >= this.#run) this.#run = run
    if (wait >= this.#wait) this.#wait = wait
    this.#fresh = false
  }

  state(): number {
    this.#wchan ??= new KeptFile(`${this.#folder}/wchan`)
    const length = this.#wchan.read()
    return typeof length === 'number' ? state('S', text(length)) : Number.NaN
  }

  [Symbol.dispose](): void {
    this.#schedstat[Symbol.dispose]()
    this.#wchan?.[Symbol.dispose]()
  }
}
