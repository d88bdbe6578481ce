// The process that is sampled: its files, which stay open, so they never tell of a later process with the same number.

import { type Row, STATE } from '../../telemetry/moment.ts'
import type { Finding } from '../../telemetry/part.ts'
import { advice, bytes, KeptFile, readText, text, type Unread } from '../process.ts'
import { CgroupFiles } from './cgroup.ts'
import { fields, keyed, number, TableField, word } from './scan.ts'
import { state } from './state.ts'
import { Threads } from './threads.ts'

/** Memory, pressure and I/O are read so often while requests are served; at rest, with all that is read rarely. */
const SELDOM_MS = 200
/** Tables of the network and the list of threads cost more than all the rest together, so they are read so often. */
const RARE_MS = 1000
/** After so many sleeps without a word, the kernel is taken not to tell what a thread waits for. */
const SILENT = 20
/** A cgroup that was not found, or has gone, is looked for again after this time. */
const LOCATE_MS = 5000
/** More threads than this are not read at each moment, but with what is read seldom. */
const MANY_THREADS = 64
/** USER_HZ. */
const TICKS_PER_SECOND = 100
/** Places of stat's fields behind the name, whose first is field 3 of proc(5). */
const MAJOR_FAULTS = 12 - 3
const THREADS = 20 - 3
const RESIDENT_PAGES = 24 - 3
const BLOCK_WAIT = 42 - 3
const PAGE_BYTES = 4096

const READ_BYTES = Buffer.from('read_bytes: ')
const WRITE_BYTES = Buffer.from('write_bytes: ')

export class Subject implements Disposable {
  readonly pid: number
  readonly threads: Threads
  /** Its stat, once it was read of a process that has ended. */
  zombie: string | undefined
  readonly #proc: string
  readonly #stat: KeptFile
  readonly #schedstat: KeptFile
  readonly #wchan: KeptFile
  readonly #io: KeptFile
  readonly #snmp: KeptFile
  readonly #netstat: KeptFile
  readonly #retransmits = new TableField('Tcp:', 'RetransSegs')
  readonly #overflows = new TableField('TcpExt:', 'ListenOverflows')
  readonly #delays: boolean
  /** Names the cgroup: another text, another cgroup. */
  readonly #membership: KeptFile
  #lines: string | undefined
  #locatedAt = Number.NEGATIVE_INFINITY
  #cgroup: CgroupFiles
  /** Nanoseconds of the main thread on a core at the last look, and its turns on one. */
  #run = Number.NaN
  #turns = Number.NaN
  /** The letter of its state, if that is known to last until it runs again; else 0. */
  #lasts = 0
  #seldomAt = Number.NEGATIVE_INFINITY
  #rareAt = Number.NEGATIVE_INFINITY
  #schedstats: number | Unread = 'gone'
  #ioRead: number | Unread = 'gone'
  /** Whether wchan tells anything: undefined until the thread has been seen asleep. */
  #told: boolean | undefined
  /** Sleeps of which the kernel said nothing, as long as it has never said anything. */
  #silent = 0
  #resident = Number.NaN

  constructor(proc: string, pid: number, threadsLimit: number) {
    const folder = `${proc}/${pid}`
    this.pid = pid
    this.#proc = proc
    this.#stat = new KeptFile(`${folder}/stat`)
    this.#schedstat = new KeptFile(`${folder}/schedstat`)
    this.#wchan = new KeptFile(`${folder}/wchan`)
    this.#io = new KeptFile(`${folder}/io`)
    this.#membership = new KeptFile(`${folder}/cgroup`)
    this.#snmp = new KeptFile(`${folder}/net/snmp`)
    this.#netstat = new KeptFile(`${folder}/net/netstat`)
    this.#delays = readText(`${proc}/sys/kernel/task_delayacct`)?.trim() === '1'
    this.#cgroup = new CgroupFiles(proc, pid)
    this.threads = new Threads(folder, pid, threadsLimit)
  }

  /**
   * Fills in a row; false when the process has ended. `now` is of the steady clock. Columns that are read seldom stay
   * as they were. `busy`: requests are being served.
   */
  read(row: Row, now: number, busy: boolean): boolean {
    const seldom = now - this.#seldomAt >= (busy ? SELDOM_MS : RARE_MS)
    const rare = now - this.#rareAt >= RARE_MS
    if (!this.#main(row, busy || seldom)) return false
    // Without a quota nothing is throttled, so it is asked seldom whether there is one.
    if (seldom || row.periods > 0) this.#cgroup.often(row)
    if (rare) {
      this.#rareAt = now
      this.#rarely(row, now)
      this.threads.list()
    }
    if (seldom) {
      this.#seldomAt = now
      this.#cgroup.seldom(row)
      // A cgroup without a limit may be that of the whole machine.
      if (Number.isNaN(row.memory) || Number.isNaN(row.memoryLimit)) row.memory = this.#resident
      this.#ioBytes(row)
    }
    if (seldom || (busy && this.threads.size <= MANY_THREADS)) this.threads.look(this.#told !== false, row)
    row.allRun = this.threads.run
    row.allWait = this.threads.wait
    row.gcRun = this.threads.gc
    row.jitRun = this.threads.jit
    row.active = this.threads.active
    row.oneWait = this.threads.oneWait
    row.locked = this.#told ? this.threads.locked : Number.NaN
    row.blocked = this.#told ? this.threads.blocked : Number.NaN
    return true
  }

  /** Files that cannot be read, and how to make them readable. */
  findings(): Finding[] {
    const all: Finding[] = []
    const say = (text: string): void => void all.push({ level: 'info', text })
    if (this.#told === false || this.#ioRead === 'denied')
      say(
        `cannot see what the application waits for (locks, disks, bytes read and written); ${advice(this.#proc, this.pid)}`,
      )
    if (this.#schedstats === 'unsupported')
      say('this kernel keeps no schedstat, so waiting for a core cannot be told from other waiting')
    if (!this.#cgroup.found)
      say('the cgroup of the application cannot be seen, so throttling cannot be told from waiting for a core')
    if (!this.#delays)
      say(
        'waiting for disks is only seen by samples: for exact times set the sysctl kernel.task_delayacct to 1 on the machine',
      )
    if (this.threads.leftOut > 0)
      say(`${this.threads.leftOut} threads are not sampled: moments.threads_limit is reached`)
    return all
  }

  [Symbol.dispose](): void {
    for (const file of [
      this.#stat,
      this.#schedstat,
      this.#wchan,
      this.#io,
      this.#membership,
      this.#snmp,
      this.#netstat,
    ])
      file[Symbol.dispose]()
    this.#cgroup[Symbol.dispose]()
    this.threads[Symbol.dispose]()
  }

  /**
   * The main thread and the numbers of the process. A thread that has had no turn on a core waits where it waited, so its
   * state is that of before: it is not asked for again. At rest the process is not asked either, unless `whole`. So a thread
   * that could run again and gets no core is only seen by its wait, which is counted when it ends.
   */
  #main(row: Row, whole: boolean): boolean {
    // Before the state: if the thread runs between the two, the next look tells.
    const still = this.#schedule(row)
    return (still && !whole && this.#lasts !== 0) || this.#status(row, still)
  }

  /** Reads how long the main thread ran and waited. Returns whether it is known that it has not run since the last look. */
  #schedule(row: Row): boolean {
    const length = this.#schedstat.read()
    this.#schedstats = length
    const read = typeof length === 'number' ? length : 0
    const waitAt = word(bytes, 0, 1, read)
    const run = number(bytes, 0, read)
    const turns = number(bytes, word(bytes, waitAt, 1, read), read)
    const still = run === this.#run && turns === this.#turns
    this.#run = run
    this.#turns = turns
    row.mainRun = run / 1e9
    row.mainWait = number(bytes, waitAt, read) / 1e9
    return still
  }

  #status(row: Row, still: boolean): boolean {
    const length = this.#stat.read()
    if (typeof length === 'string') return false
    const at = fields(bytes, length)
    if (at >= length) return false
    const code = bytes[at]!
    const letter = String.fromCharCode(code)
    const faultsAt = word(bytes, at, MAJOR_FAULTS, length)
    const threadsAt = word(bytes, faultsAt, THREADS - MAJOR_FAULTS, length)
    const residentAt = word(bytes, threadsAt, RESIDENT_PAGES - THREADS, length)
    const threads = number(bytes, threadsAt, length)
    // A process whose main thread alone has ended still has threads.
    if (letter === 'X' || (letter === 'Z' && !(threads > 1))) {
      this.zombie = text(length)
      return false
    }
    row.majorFaults = number(bytes, faultsAt, length)
    row.threads = threads
    row.blockWait = this.#delays
      ? number(bytes, word(bytes, residentAt, BLOCK_WAIT - RESIDENT_PAGES, length), length) / TICKS_PER_SECOND
      : Number.NaN
    this.#resident = number(bytes, residentAt, length) * PAGE_BYTES
    if (still && code === this.#lasts) return true
    // Behind a main thread that has ended, other threads go on, and end without it.
    this.#lasts = letter === 'Z' ? 0 : code
    row.state = letter === 'S' || letter === 'D' ? this.#waits(letter) : state(letter, '')
    return true
  }

  #waits(letter: string): number {
    if (this.#told === false) return letter === 'D' ? STATE.disk : STATE.sleeping
    const length = this.#wchan.read()
    const wchan = typeof length === 'number' ? text(length) : ''
    // Another user reads "0", without an error; so does everybody of a thread that has just woken, or that sleeps and is
    // still queued (Linux 6.12 and later leave it there for a while), and tells more later although it has not run.
    if (wchan !== '' && wchan !== '0') this.#told = true
    else {
      this.#lasts = 0
      if (this.#told === undefined && ++this.#silent >= SILENT) this.#told = false
    }
    return state(letter, wchan)
  }

  #ioBytes(row: Row): void {
    const length = this.#io.read()
    this.#ioRead = length
    const read = typeof length === 'number' ? length : 0
    row.readBytes = keyed(bytes, read, READ_BYTES)
    row.writtenBytes = keyed(bytes, read, WRITE_BYTES)
  }

  #rarely(row: Row, now: number): void {
    const snmp = this.#snmp.read()
    row.retransmits = typeof snmp === 'number' ? this.#retransmits.read(bytes, snmp) : Number.NaN
    const netstat = this.#netstat.read()
    row.listenOverflows = typeof netstat === 'number' ? this.#overflows.read(bytes, netstat) : Number.NaN
    const length = this.#membership.read()
    const lines = typeof length === 'number' ? text(length) : this.#lines
    const removed = this.#cgroup.found && Number.isNaN(row.cgroupRun) && Number.isNaN(row.periods)
    const lost = removed || !this.#cgroup.found
    if (lines === this.#lines && !(lost && now - this.#locatedAt >= LOCATE_MS)) return
    // It was moved, or its cgroup was removed.
    this.#lines = lines
    this.#locatedAt = now
    this.#cgroup[Symbol.dispose]()
    this.#cgroup = new CgroupFiles(this.#proc, this.pid)
  }
}
