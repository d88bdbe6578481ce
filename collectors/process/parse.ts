// The texts of /proc/PID as numbers. Every parser accepts any bytes: a field that is missing, cut or not a
// number is NaN, never 0 and never an exception.

const SPACE = 0x20
const NEWLINE = 0x0a
const ZERO = 0x30
const NINE = 0x39
const MINUS = 0x2d
const OPEN = 0x28
const CLOSE = 0x29

/** USER_HZ, the unit of times in /proc/PID/stat: 100 on every Linux that Node runs on, whatever CONFIG_HZ is. */
export const TICKS_PER_SECOND = 100

/** Fields of stat that may be negative: the terminal's process group, priority, nice value. */
const SIGNED = [8, 18, 19]

/**
 * /proc/PID/stat: `PID (COMM) STATE PPID …`, numbers separated by single spaces. COMM may contain anything, `) R 1` and
 * newlines too, so the fields begin after the last `)`.
 */
export class Stat {
  /** Numbers at their places in proc(5), counted from 1: 4 is the parent, 22 the start time. 1 to 3 are not numbers. */
  readonly field: Float64Array = new Float64Array(25)
  state = ''
  /** The position of the name in the bytes that were parsed. */
  nameStart = 0
  nameEnd = 0

  /** False when the bytes are not a whole stat record; the fields are then meaningless. */
  parse(bytes: Uint8Array, length: number): boolean {
    let at = length - 1
    while (at >= 0 && bytes[at] !== CLOSE) at--
    const open = bytes.indexOf(OPEN)
    if (at < 0 || open < 0 || open >= at || at + 4 >= length) return false
    this.nameStart = open + 1
    this.nameEnd = at
    if (bytes[at + 1] !== SPACE || bytes[at + 3] !== SPACE) return false
    this.state = String.fromCharCode(bytes[at + 2]!)
    if (!'RSDZTtXxKWPI'.includes(this.state)) return false
    at += 4
    for (let field = 4; field < 25; field++) {
      const negative = bytes[at] === MINUS
      if (negative) {
        if (!SIGNED.includes(field)) return false
        at++
      }
      let value = 0
      const first = at
      for (; at < length; at++) {
        const digit = bytes[at]!
        if (digit < ZERO || digit > NINE) break
        value = value * 10 + (digit - ZERO)
      }
      // A number must be followed by its separator: at the end of the bytes it may have been cut.
      if (at === first || at - first > 20 || at >= length) return false
      if (bytes[at] !== SPACE && bytes[at] !== NEWLINE) return false
      this.field[field] = negative ? -value : value
      at++
    }
    return true
  }

  get ppid(): number {
    return this.field[4]!
  }
  /** Whether a signal or a debugger has stopped it. */
  get stopped(): boolean {
    return this.state === 'T' || this.state === 't'
  }
  /** Whether it is a thread of the kernel: the flag PF_KTHREAD (include/linux/sched.h). */
  get kernel(): boolean {
    return (this.field[9]! & 0x00200000) !== 0
  }
  get threads(): number {
    return this.field[20]!
  }
  /** Ticks from boot to start. With the pid it is the identity of a process. */
  get startTicks(): number {
    return this.field[22]!
  }
  get virtualBytes(): number {
    return this.field[23]!
  }
  /** Whether the process has ended. One whose main thread alone has ended is a "zombie" too, but still has threads. */
  get ended(): boolean {
    return (this.state === 'Z' && this.threads < 2) || this.state === 'X' || this.state === 'x'
  }
}

/** The parts of /proc/PID/status that change; a zombie has no Vm lines, so they are NaN. */
export interface ProcessStatus {
  residentBytes: number
  virtualBytes: number
  swapBytes: number
  /** Those of the main thread only, although the file is the process's. */
  voluntary: number
  involuntary: number
}

export function parseStatus(text: string, into: ProcessStatus): void {
  into.virtualBytes = kibibytes(text, '\nVmSize:')
  into.residentBytes = kibibytes(text, '\nVmRSS:')
  into.swapBytes = kibibytes(text, '\nVmSwap:')
  into.voluntary = line(text, '\nvoluntary_ctxt_switches:')
  into.involuntary = line(text, '\nnonvoluntary_ctxt_switches:')
}

/** The identity of a process, as far as permissions go. */
export interface Credentials {
  /** Real, effective and saved. */
  readonly uids: readonly number[]
  readonly gids: readonly number[]
  readonly permitted: bigint
  readonly effective: bigint
}

export function parseCredentials(text: string): Credentials | undefined {
  const ids = (key: string) =>
    new RegExp(`^${key}:\\t(\\d+)\\t(\\d+)\\t(\\d+)\\t\\d+$`, 'm').exec(text)?.slice(1, 4).map(Number)
  const set = (key: string) => new RegExp(`^${key}:\\t([0-9a-f]{1,16})$`, 'm').exec(text)?.[1]
  const uids = ids('Uid')
  const gids = ids('Gid')
  const permitted = set('CapPrm')
  const effective = set('CapEff')
  if (!uids || !gids || permitted === undefined || effective === undefined) return undefined
  return { uids, gids, permitted: BigInt(`0x${permitted}`), effective: BigInt(`0x${effective}`) }
}

/** /proc/PID/io: what reached the storage layer, of all threads, of those that ended, and of reaped children. */
export interface Io {
  readBytes: number
  writtenBytes: number
}

export function parseIo(text: string, into: Io): void {
  into.readBytes = line(text, '\nread_bytes:')
  into.writtenBytes = line(text, '\nwrite_bytes:')
}

/** schedstat of one thread: nanoseconds on a core, nanoseconds waiting for one. */
export interface Schedstat {
  runSeconds: number
  waitSeconds: number
}

export function parseSchedstat(text: string, into: Schedstat): void {
  const [, run, wait, slices] = /^(\d{1,20}) (\d{1,20}) (\d{1,20})\n/.exec(text) ?? []
  // A kernel that does not keep these says "0 0 0"; a thread that ever ran has had a slice.
  const known = slices !== undefined && slices !== '0'
  into.runSeconds = known ? Number(run) / 1e9 : Number.NaN
  into.waitSeconds = known ? Number(wait) / 1e9 : Number.NaN
}

/** The soft limit of open file descriptors in /proc/PID/limits; NaN when it is unlimited or not there. */
export function parseMaxFds(text: string): number {
  return line(text, '\nMax open files', ' ')
}

/** Sums of smaps_rollup. */
export interface Smaps {
  readonly proportionalBytes: number
  readonly proportionalSwapBytes: number
  readonly privateBytes: number
}

export function parseSmaps(text: string): Smaps {
  return {
    proportionalBytes: kibibytes(text, '\nPss:'),
    proportionalSwapBytes: kibibytes(text, '\nSwapPss:'),
    privateBytes: kibibytes(text, '\nPrivate_Clean:') + kibibytes(text, '\nPrivate_Dirty:'),
  }
}

/** Seconds since boot, the first number of /proc/uptime. */
export function parseUptime(text: string): number {
  const [, seconds] = /^(\d{1,12}\.\d\d) /.exec(text) ?? []
  return seconds === undefined ? Number.NaN : Number(seconds)
}

/** The value after a key that opens a line ("\nKey:"), up to the end of that line or to `end`. */
function line(text: string, key: string, end = '\n'): number {
  const at = text.indexOf(key)
  return at < 0 ? Number.NaN : number(text, at + key.length, end)
}

function kibibytes(text: string, key: string): number {
  const at = text.indexOf(key)
  return at < 0 ? Number.NaN : number(text, at + key.length, ' kB\n') * 1024
}

function number(text: string, start: number, end: string): number {
  let at = start
  while (text.charCodeAt(at) === SPACE || text.charCodeAt(at) === 0x09) at++
  const first = at
  let value = 0
  for (; at < text.length; at++) {
    const digit = text.charCodeAt(at)
    if (digit < ZERO || digit > NINE) break
    value = value * 10 + (digit - ZERO)
  }
  return at === first || at - first > 20 || !text.startsWith(end, at) ? Number.NaN : value
}

/** A name as a label: printable, and never more than the kernel's own 64 bytes. */
export function printable(name: string): string {
  return name.replace(/[^\x20-\x7e\u00a0-\uffff]/g, '?').slice(0, 64)
}
