// The kernel's log about the end of a process: /dev/kmsg, which is readable with CAP_SYSLOG, or where
// kernel.dmesg_restrict is 0. Containers have no such device by default.

import { closeSync, constants, openSync, readlinkSync, readSync } from 'node:fs'
import { printable } from './parse.ts'

export interface LoggedEnd {
  readonly reason: 'oom' | 'crash'
  /** The line of the log, without its time. */
  readonly line: string
}

/** The PID namespace of the machine itself (PROC_PID_INIT_INO): pids in the log are of this one. */
const MACHINE = 'pid:[4026531836]'
/**
 * Reading a whole log takes some milliseconds (measured: 2600 records, 9 ms of CPU), and it can only be read from its beginning. The
 * loop is not held for longer than this; then the log has told nothing.
 */
const MOST_MS = 30

/** `startSeconds`: of the process, since boot; what the log said earlier was about another process with the same number. */
export function loggedEnd(proc: string, pid: number, startSeconds: number): LoggedEnd | undefined {
  try {
    if (readlinkSync(`${proc}/self/ns/pid`) !== MACHINE) return undefined
  } catch {
    return undefined
  }
  let found: LoggedEnd | undefined
  for (const record of records(`${proc}/../dev/kmsg`, String(pid)))
    found = parseRecord(record, pid, startSeconds) ?? found
  return found
}

/**
 * A record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg): `priority,sequence,microseconds,flags;text`, then lines that
 * begin with a space. Undefined if it does not tell of the end of this process.
 */
export function parseRecord(record: string, pid: number, startSeconds: number): LoggedEnd | undefined {
  const [, priority, microseconds, text = ''] = /^(\d+),\d+,(\d+),[^;\n]*;([^\n]*)/.exec(record) ?? []
  // Lines that programs write into the log have facilities of their own, eight and more.
  if (microseconds === undefined || Number(priority) >= 8) return undefined
  // The log's clock stands still while the machine sleeps, so an old record is at most taken for none.
  if (Number(microseconds) / 1e6 < startSeconds - 1) return undefined
  const line = printable(text.slice(0, 64))
  if (new RegExp(`^(?:Memory cgroup o|O)ut of memory: Killed process ${pid} \\(`).test(text))
    return { reason: 'oom', line }
  // "shop[7]: segfault at 0 ip …", "traps: shop[7] general protection fault ip:…". A process can give itself a name that
  // looks like the record of another one; such a line has a second number in brackets.
  if (text.match(/\[\d+\]/g)?.length !== 1) return undefined
  const fault = new RegExp(`^(?:traps: )?[^[\\]]{0,15}\\[${pid}\\]:? (?:segfault at|general protection|trap )`)
  return fault.test(text) ? { reason: 'crash', line } : undefined
}

/** The records now in the log in which these bytes occur; none if it may not be read. */
function* records(path: string, part: string): Generator<string> {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch {
    return
  }
  const bytes = Buffer.allocUnsafe(8192)
  const due = performance.now() + MOST_MS
  try {
    while (performance.now() < due) {
      let length: number
      try {
        length = readSync(fd, bytes)
      } catch (error) {
        // EPIPE: the next records were overwritten meanwhile; reading goes on with the oldest that is left.
        if (error instanceof Error && 'code' in error && error.code === 'EPIPE') continue
        return // EAGAIN: that was the newest.
      }
      if (length === 0) return
      const read = bytes.subarray(0, length)
      if (read.includes(part)) yield* read.toString('latin1').split(/\n(?! )/)
    }
  } finally {
    closeSync(fd)
  }
}
