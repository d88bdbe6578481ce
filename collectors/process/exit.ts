// The reason why the application's main process ended, by the best evidence there is. A likely one is said to be only
// likely, and none is guessed without evidence.

import { constants } from 'node:os'
import { counter } from '../../metrics/family.ts'
import type { Kills } from './cgroup.ts'
import type { LoggedEnd } from './kernel-log.ts'

/**
 * - `clean`: exit code 0. `error`: another exit code.
 * - `terminated`: it was asked to end, by SIGTERM, SIGINT, SIGHUP or SIGQUIT. `killed`: by any other signal, mostly SIGKILL.
 * - `crash`: by a signal that the kernel or the program itself raises for a fault, such as SIGSEGV or SIGABRT.
 * - `oom`: the kernel ended it for lack of memory.
 */
export const REASONS = ['clean', 'error', 'terminated', 'killed', 'crash', 'oom', 'unknown'] as const
export type Reason = (typeof REASONS)[number]

/**
 * From the strongest to the weakest: the exit status; the count of kills of its own cgroup; the kernel's log; numbers that make
 * it likely; nothing.
 */
export const EVIDENCE = ['status', 'oom_counter', 'kernel_log', 'inferred', 'none'] as const
export type Evidence = (typeof EVIDENCE)[number]

/** The pairs that can occur. */
export const PAIRS: readonly (readonly [Reason, Evidence])[] = [
  ['clean', 'status'],
  ['error', 'status'],
  ['terminated', 'status'],
  ['killed', 'status'],
  ['crash', 'status'],
  ['oom', 'oom_counter'],
  ['oom', 'kernel_log'],
  ['crash', 'kernel_log'],
  ['oom', 'inferred'],
  ['unknown', 'none'],
]

export const exits = counter(
  'app_process_exits_total',
  'Ends of the main process, by reason (clean, error, terminated, killed, crash, oom, unknown) and by the evidence for it (status, oom_counter, kernel_log, inferred, none).',
  ['reason', 'evidence'],
)

/** An exit status: a code, or the signal that ended the process. */
export interface ExitStatus {
  readonly code: number
  readonly signal?: string | undefined
}

/** All that is known about one end. */
export interface Known {
  readonly status: ExitStatus | undefined
  /** `none`: the count of its cgroup could be read, and has not grown. */
  readonly kills: Kills | 'none' | undefined
  readonly logged: LoggedEnd | undefined
  /** Its memory as a share of the limit, a moment before; NaN if either is not known. */
  readonly memoryShare: number
}

export interface Exit {
  readonly reason: Reason
  readonly evidence: Evidence
  /** Goes on after "process 7 ended". */
  readonly text: string
}

/** Nearer to its limit than this just before its end, lack of memory is likely. */
const FULL = 0.98

export function judge({ status, kills, logged, memoryShare }: Known): Exit {
  const counted = typeof kills === 'object' && kills.of === 'cgroup'
  // The kernel kills by SIGKILL alone. A process that left with a status of its own was not the one that was killed.
  if (counted && (status === undefined || signalOf(status) === 'SIGKILL'))
    return {
      reason: 'oom',
      evidence: 'oom_counter',
      text: `; its cgroup counted ${times(kills.number)} for lack of memory`,
    }
  if (logged && (status === undefined || (logged.reason === 'oom' && signalOf(status) === 'SIGKILL')))
    return { ...logged, evidence: 'kernel_log', text: `; the kernel's log says: ${logged.line}` }
  if (status) return { reason: reasonOf(status), evidence: 'status', text: worded(status) }
  if (typeof kills === 'object')
    return {
      reason: 'oom',
      evidence: 'inferred',
      text: `, perhaps for lack of memory: the machine counted ${times(kills.number)}, but the cgroup was removed before it could be asked`,
    }
  if (kills === undefined && memoryShare > FULL)
    return {
      reason: 'oom',
      evidence: 'inferred',
      text: `, perhaps for lack of memory: it used ${Math.floor(memoryShare * 100)} % of its limit a moment before`,
    }
  return { reason: 'unknown', evidence: 'none', text: '' }
}

/**
 * The status in the last field of /proc/PID/stat of a process that has ended, but that its parent has not waited for (proc(5),
 * field 52). Undefined if the field is not there. `readable`: the kernel lets us read it; it shows 0 to others.
 */
export function statusOf(stat: string, readable: boolean): ExitStatus | undefined {
  const [, word] = /\) [ZXx](?: -?\d+){48} (\d{1,5})\n?$/.exec(stat) ?? []
  if (word === undefined) return undefined
  const status = Number(word)
  return status === 0 && !readable ? undefined : waited(status)
}

/** A status as wait(2) gives it: the low seven bits are the signal, the next one says that memory was dumped. */
export function waited(status: number): ExitStatus {
  const number = status & 0x7f
  const signal = number === 0 ? undefined : nameOf(number)
  return { code: number === 0 ? status >> 8 : 128 + number, signal }
}

const CRASHES = ['SIGSEGV', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGTRAP', 'SIGSYS', 'SIGXCPU', 'SIGXFSZ']
const REQUESTS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT']

function reasonOf(status: ExitStatus): Reason {
  if (status.code === 0) return 'clean'
  const signal = signalOf(status)
  if (signal === undefined) return 'error'
  if (CRASHES.includes(signal)) return 'crash'
  return REQUESTS.includes(signal) ? 'terminated' : 'killed'
}

/** The signal that ended it. Shells and runtimes that pass on a signal as a code leave with 128 + n. */
function signalOf({ code, signal }: ExitStatus): string | undefined {
  if (signal !== undefined) return signal
  return code > 128 && code <= 128 + 31 ? nameOf(code - 128) : undefined
}

function worded({ code, signal }: ExitStatus): string {
  return signal === undefined ? ` with exit code ${code}` : ` by ${signal}`
}

function nameOf(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number)
  return found?.[0] ?? `signal ${number}`
}

function times(number: number): string {
  return number === 1 ? 'a kill' : `${number} kills`
}
