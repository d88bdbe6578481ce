// One process that is watched. Its files stay open, so they never tell of a later process with the same number.

import { opendirSync, readdirSync, readlinkSync, statSync } from 'node:fs'
import { Ledger } from './account.ts'
import { bytes, KeptFile, text, type Unread, unread } from './file.ts'
import {
  type Io,
  type ProcessStatus,
  parseIo,
  parseMaxFds,
  parseSchedstat,
  parseStatus,
  printable,
  type Schedstat,
  Stat,
  TICKS_PER_SECOND,
} from './parse.ts'
import { Threads } from './threads.ts'

/** Files of a process that are read at each look. A permission decides about some of them, so a refusal is reported. */
export const BASE_FILES = ['stat', 'status', 'io', 'schedstat', 'limits', 'fd'] as const
export type BaseFile = (typeof BASE_FILES)[number]

export class Tracked implements Disposable {
  readonly pid: number
  readonly folder: string
  readonly stat: Stat = new Stat()
  readonly status: ProcessStatus = {
    residentBytes: Number.NaN,
    virtualBytes: Number.NaN,
    swapBytes: Number.NaN,
    voluntary: Number.NaN,
    involuntary: Number.NaN,
  }
  readonly io: Io = { readBytes: Number.NaN, writtenBytes: Number.NaN }
  /** The main thread's. */
  readonly schedstat: Schedstat = { runSeconds: Number.NaN, waitSeconds: Number.NaN }
  readonly ledger: Ledger = new Ledger()
  readonly threads: Threads
  maxFds = Number.NaN
  openFds = Number.NaN
  /** The outcome of the last read of each part: 'ok' or why not. */
  readonly outcome: Record<BaseFile, 'ok' | Unread> = {
    stat: 'gone',
    status: 'gone',
    io: 'gone',
    schedstat: 'gone',
    limits: 'gone',
    fd: 'gone',
  }
  /** Its stat, once it was read of a process that has ended but was not waited for. */
  zombie: string | undefined
  /** Ticks from boot to start; with the pid, the identity. NaN until the first look. */
  startTicks = Number.NaN

  readonly #fdSize: boolean
  readonly #stat: KeptFile
  readonly #status: KeptFile
  readonly #io: KeptFile
  readonly #schedstat: KeptFile
  readonly #limits: KeptFile
  #mainStat: KeptFile | undefined

  /** `fdSize`: this kernel gives the number of descriptors as the size of the fd folder (`fdSizeKnown`). */
  constructor(proc: string, pid: number, fdSize: boolean) {
    this.pid = pid
    this.folder = `${proc}/${pid}`
    this.#fdSize = fdSize
    this.#stat = new KeptFile(`${this.folder}/stat`)
    this.#status = new KeptFile(`${this.folder}/status`)
    this.#io = new KeptFile(`${this.folder}/io`)
    this.#schedstat = new KeptFile(`${this.folder}/schedstat`)
    this.#limits = new KeptFile(`${this.folder}/limits`)
    this.threads = new Threads(this.folder, pid)
  }

  /** Reads stat. False when the process is gone, or cannot be told from another. */
  look(): boolean {
    const length = this.#stat.read()
    this.outcome.stat = typeof length === 'string' ? length : 'ok'
    if (typeof length === 'string' || !this.stat.parse(bytes, length)) return false
    if (Number.isNaN(this.startTicks)) this.startTicks = this.stat.startTicks
    if (this.startTicks !== this.stat.startTicks) return false
    if (this.stat.ended) this.zombie = text(length)
    return true
  }

  /** Whether it still runs, by one small read: a zombie does not. */
  runs(): boolean {
    return this.look() && !this.stat.ended
  }

  /** Reads the other base files; to be called after `look`, while the process lives. */
  read(): void {
    const { status, io, schedstat } = this
    parseStatus(this.#text('status', this.#status), status)
    parseIo(this.#text('io', this.#io), io)
    parseSchedstat(this.#text('schedstat', this.#schedstat), schedstat)
    this.maxFds = parseMaxFds(this.#text('limits', this.#limits))
    this.#countFds()
  }

  /**
   * Seconds on a core of the main thread alone; where the kernel keeps no schedstat, in ticks from the thread's stat.
   * To be called after `read`.
   */
  mainThreadSeconds(): number {
    if (!Number.isNaN(this.schedstat.runSeconds)) return this.schedstat.runSeconds
    this.#mainStat ??= new KeptFile(`${this.folder}/task/${this.pid}/stat`)
    const length = this.#mainStat.read()
    if (typeof length === 'string' || !threadStat.parse(bytes, length)) return Number.NaN
    return (threadStat.field[14]! + threadStat.field[15]!) / TICKS_PER_SECOND
  }

  /**
   * A name for people: that of the program's file, or where the link may not be read, the one that the main thread
   * carries (which Node calls "MainThread").
   */
  name(): string {
    try {
      const file = readlinkSync(`${this.folder}/exe`).replace(/ \(deleted\)$/, '')
      return printable(file.slice(file.lastIndexOf('/') + 1))
    } catch {
      return this.#threadName()
    }
  }

  #threadName(): string {
    const length = this.#stat.read()
    if (typeof length === 'string' || !this.stat.parse(bytes, length)) return ''
    return printable(bytes.toString('utf8', this.stat.nameStart, this.stat.nameEnd))
  }

  /** Lets refused files be tried again. */
  retry(): void {
    for (const file of [this.#status, this.#io, this.#schedstat, this.#limits]) file.retry()
    if (this.outcome.fd !== 'ok') this.outcome.fd = 'gone'
  }

  [Symbol.dispose](): void {
    for (const file of [this.#stat, this.#status, this.#io, this.#schedstat, this.#limits]) file[Symbol.dispose]()
    this.#mainStat?.[Symbol.dispose]()
    this.threads[Symbol.dispose]()
  }

  #text(part: BaseFile, file: KeptFile): string {
    const length = file.read()
    this.outcome[part] = typeof length === 'string' ? length : 'ok'
    return typeof length === 'string' ? '' : text(length)
  }

  #countFds(): void {
    this.openFds = Number.NaN
    if (this.outcome.fd === 'denied') return
    const folder = `${this.folder}/fd`
    try {
      this.openFds = this.#fdSize ? statSync(folder).size : countEntries(folder)
      this.outcome.fd = 'ok'
    } catch (error) {
      this.outcome.fd = unread(error)
    }
  }
}

const threadStat = new Stat()

/** More descriptors than these are not listed, one by one, on an old kernel: the number is then absent. */
const LISTED_FDS = 20_000

function countEntries(folder: string): number {
  using entries = opendirSync(folder, { bufferSize: 1024 })
  let count = 0
  while (entries.readSync() !== null) if (++count > LISTED_FDS) return Number.NaN
  return count
}

/**
 * Whether the size of /proc/PID/fd is the number of descriptors (Linux 6.2 and later). It needs no permission, while
 * listing does. Asked of our own, which may be listed; the listing itself holds one more.
 */
export function fdSizeKnown(proc: string): boolean {
  try {
    const { size } = statSync(`${proc}/self/fd`)
    return size > 0 && Math.abs(readdirSync(`${proc}/self/fd`).length - size) <= 1
  } catch {
    return false
  }
}
