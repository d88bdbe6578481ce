// Reports which files of the application the sidecar may read: once for each file, by a log line, a finding and a
// gauge, with the setting that would allow it. The rules are those of ptrace(2), "Ptrace access mode checking", and of
// file ownership.

import { existsSync } from 'node:fs'
import type { Log } from '../../telemetry/host.ts'
import type { Finding } from '../../telemetry/part.ts'
import { readText } from './file.ts'
import { type Credentials, parseCredentials } from './parse.ts'

/** The metrics that are absent if the file may not be read. */
const MEANING = {
  stat: 'everything about the process',
  status: 'memory and context switches',
  io: 'bytes read and written',
  schedstat: 'run-queue wait',
  limits: 'the limit of open files',
  fd: 'open files',
  smaps_rollup: 'proportional and private memory',
  cgroup: 'the cgroup',
  'net/tcp': 'TCP connections',
} as const
export type File = keyof typeof MEANING

export class FileAccess {
  readonly #readable = new Map<File, boolean>()
  readonly #warnings = new Map<File, string>()
  readonly #proc: string
  readonly #log: Log

  constructor(proc: string, log: Log) {
    this.#proc = proc
    this.#log = log
  }

  /** Whether each file that was tried can be read. */
  get files(): Iterable<readonly [File, boolean]> {
    return this.#readable
  }

  /** Records whether a file could be read; logs only when that changes. */
  note(file: File, readable: boolean, pid: number): void {
    if (this.#readable.get(file) === readable) return
    this.#readable.set(file, readable)
    if (readable) {
      if (this.#warnings.delete(file)) this.#log.info('process file is readable again', { file })
      return
    }
    const text = this.#explain(file, pid)
    this.#warnings.set(file, text)
    this.#log.warn(text)
  }

  /** There is no process any more, so nothing is known about its files. */
  forget(): void {
    this.#readable.clear()
    this.#warnings.clear()
  }

  #explain(file: File, pid: number): string {
    const root = `${this.#proc}/${pid}/root`
    if (file === 'cgroup' && existsSync(root))
      return `no mounted cgroup file system shows the cgroup of process ${pid}; mount /sys/fs/cgroup where the application or the sidecar runs`
    const path = file === 'cgroup' ? `${root}/sys/fs/cgroup` : `${this.#proc}/${pid}/${file}`
    return `cannot read ${path} (${MEANING[file]}); ${advice(this.#proc, pid)}`
  }

  findings(): Finding[] {
    return [...this.#warnings.values()].map(text => ({ level: 'warning', text }))
  }
}

/** The setting to change so that the sidecar may read the guarded files of this process. */
export function advice(proc: string, pid: number): string {
  const theirs = credentials(proc, pid)
  const ours = credentials(proc, 'self')
  if (!theirs || !ours) return 'run the sidecar with the UID and GID of the application, in its PID namespace'
  return remedy(ours, theirs)
}

/** The setting to change, the cheapest one first. */
export function remedy(ours: Credentials, theirs: Credentials): string {
  const [uid] = theirs.uids
  const [gid] = theirs.gids
  const otherwise = 'or give it the capabilities SYS_PTRACE and DAC_READ_SEARCH (one alone is not enough)'
  if (theirs.uids.some(each => each !== ours.uids[1]))
    return `run the sidecar with UID ${uid} and GID ${gid} (runAsUser and runAsGroup, or User=), ${otherwise}`
  if (theirs.gids.some(each => each !== ours.gids[1]))
    return `the UIDs are equal but the GIDs are not: run the sidecar with GID ${gid} (runAsGroup, or Group=), ${otherwise}`
  if ((theirs.permitted & ~ours.effective) !== 0n)
    return `the application holds capabilities that the sidecar does not: drop them there (capabilities: drop: [ALL]), ${otherwise}`
  return `the application is not dumpable (a setuid or setcap program) or a security module forbids it: run it without these, ${otherwise}`
}

function credentials(proc: string, pid: number | 'self'): Credentials | undefined {
  const status = readText(`${proc}/${pid}/status`)
  return status === undefined ? undefined : parseCredentials(status)
}
