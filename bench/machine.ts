// Figures of the kernel about a process, and a description of the machine. User and system CPU seconds of the server
// process are the unit of nearly every figure: unlike wall-clock time they are stable on a busy machine.

import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'

/** CPU seconds that a process has used. proc_pid_stat(5): fields 14 and 15, in ticks of 10 ms (USER_HZ is 100). */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The command name may contain spaces, so fields are counted from the ')' that ends it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/**
 * The same of the threads that run now, to the nanosecond: some tenths of a percent of a core are too little for ticks. proc.rst,
 * `schedstat`: the time on a core comes first.
 */
export function threadSeconds(pid: number): number {
  const nanoseconds = (thread: string) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ', 1)[0])
  return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + nanoseconds(thread), 0) / 1e9
}

export interface Memory {
  /** MiB. */
  readonly rss: number
  /** The part of it that is not backed by a file. */
  readonly anonymous: number
}

export function memory(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const mebibytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024
  return { rss: mebibytes('VmRSS'), anonymous: mebibytes('RssAnon') }
}

/** Cores that other processes used during a measurement, from its start until `seen`: the source of noise. */
export class Others {
  readonly #begun = performance.now()
  readonly #before = seconds()

  seen(): { readonly others: number; readonly stolen: number } {
    const now = seconds()
    const before = this.#before
    const elapsed = (performance.now() - this.#begun) / 1000
    const ours = now.ours - before.ours
    return {
      others: hundredths(Math.max(0, (now.busy - before.busy - ours) / elapsed)),
      stolen: hundredths((now.stolen - before.stolen) / elapsed),
    }
  }
}

function hundredths(value: number): number {
  return Math.round(value * 100) / 100
}

/** CPU seconds of the machine, those that its host gave to other machines, and those of this process and its ended children. */
function seconds(): { busy: number; stolen: number; ours: number } {
  // proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal, in ticks.
  const [, ...ticks] = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0]!.trim().split(/\s+/)
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = ticks.map(Number)
  const stat = readFileSync('/proc/self/stat', 'latin1')
  // utime, stime, cutime, cstime: fields 14 to 17.
  const own = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 15)
  const ours = own.reduce((sum, each) => sum + Number(each), 0)
  return { busy: (user + nice + system + irq + softirq) / 100, stolen: steal / 100, ours: ours / 100 }
}

export function machine(): string {
  const [first] = cpus()
  return `${cpus().length} × ${first?.model.trim() ?? 'unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`
}

export function commit(): string {
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  try {
    // Files that the runs themselves write do not count as a change.
    const changed = git('status', '--porcelain', '--', ':/', ':!results.md', ':!soak.md') !== ''
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? ' with changes' : ''}`
  } catch {
    return 'unknown'
  }
}
