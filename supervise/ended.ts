// The end of the application: in words, in numbers, and as our own end.

import { readdirSync, readFileSync } from 'node:fs'

export interface Ended {
  /** Its exit code; 128 + n if signal n ended it, 127 if there was no such command, 126 if it could not be executed. */
  readonly code: number
  readonly signal: NodeJS.Signals | undefined
  /** The time that it ran. */
  readonly seconds: number
  /** Undefined if it was never started. */
  readonly pid: number | undefined
}

/** Their default is to write a memory dump, which would be ours. */
const DUMPING: readonly NodeJS.Signals[] = [
  ...([
    'SIGQUIT',
    'SIGILL',
    'SIGTRAP',
    'SIGABRT',
    'SIGBUS',
    'SIGFPE',
    'SIGSEGV',
    'SIGSYS',
    'SIGXCPU',
    'SIGXFSZ',
  ] as const),
]

/**
 * Ends this process as the application ended: by the same signal, since a shell stops its loop when Ctrl-C ended a command
 * and systemd takes SIGTERM for a clean end; where that cannot be (process 1, a memory dump), with 128 + n.
 */
export function leave({ code, signal }: Pick<Ended, 'code' | 'signal'>): never {
  if (signal && process.pid !== 1 && !DUMPING.includes(signal)) {
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  }
  process.exit(code)
}

/** "the application ended with exit code 2 after 0.3 s". */
export function ending({ code, signal, seconds }: Ended): string {
  const how = signal ? `was ended by ${signal}` : `ended with exit code ${code}`
  return `the application ${how} after ${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`
}

/**
 * CPU seconds of all children that have ended and were waited for, from /proc/self/stat: the application with everything
 * that it waited for, and exec probes. proc_pid_stat(5); in ticks of 10 ms.
 */
export function childrenCpuSeconds(proc: string): number | undefined {
  try {
    const stat = readFileSync(`${proc}/self/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[13]) + Number(fields[14])) / 100
  } catch {
    return undefined
  }
}

/** The most memory that a process has ever held, as the kernel counts it; undefined when it has ended. */
export function peakBytes(proc: string, pid: number): number | undefined {
  try {
    const [, kibibytes] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`${proc}/${pid}/status`, 'utf8')) ?? []
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024
  } catch {
    return undefined
  }
}

/** Children, their children and so on; none where the kernel does not list them (CONFIG_PROC_CHILDREN). */
export function descendants(proc: string, pid: number): readonly number[] {
  try {
    const threads = readdirSync(`${proc}/${pid}/task`)
    const children = threads.flatMap(thread =>
      readFileSync(`${proc}/${pid}/task/${thread}/children`, 'latin1').split(' ').filter(Boolean).map(Number),
    )
    return children.slice(0, MOST).flatMap(child => [child, ...descendants(proc, child)])
  } catch {
    return []
  }
}

/** Children of one process that are looked at. */
const MOST = 64
