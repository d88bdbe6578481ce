// A memory cgroup with a limit, for a process that is started in it, as a container would be. cgroup v1 and v2 have the same files
// under other names.

import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { until } from '../e2e/child.ts'

interface Version {
  readonly top: string
  /** The controllers of a line of /proc/self/cgroup. */
  readonly controllers: string
  readonly limit: string
  readonly peak: string
  readonly kills: string
}

const VERSIONS: readonly Version[] = [
  {
    top: '/sys/fs/cgroup/memory',
    controllers: 'memory',
    limit: 'memory.limit_in_bytes',
    peak: 'memory.max_usage_in_bytes',
    kills: 'memory.oom_control',
  },
  { top: '/sys/fs/cgroup', controllers: '', limit: 'memory.max', peak: 'memory.peak', kills: 'memory.events' },
]

export class Cell implements AsyncDisposable {
  readonly #folder: string
  readonly #version: Version

  private constructor(folder: string, version: Version) {
    this.#folder = folder
    this.#version = version
  }

  /** Below the cgroup of this process; the reason if that is not permitted. */
  static open(limit: number): Cell | string {
    let reason = 'there is no memory cgroup'
    for (const version of VERSIONS) {
      const own = new RegExp(`^\\d+:${version.controllers}:(/.*)$`, 'm').exec(readFileSync('/proc/self/cgroup', 'utf8'))
      if (!own) continue
      const folder = `${version.top}${own[1]}/pillion-${process.pid}-${++opened}`.replace(/\/{2,}/g, '/')
      try {
        mkdirSync(folder)
        const cell = new Cell(folder, version)
        writeFileSync(`${folder}/${version.limit}`, String(limit))
        cell.peak()
        return cell
      } catch (error) {
        reason = `cannot make a memory cgroup: ${error instanceof Error ? error.message : error}`
        removed(folder)
      }
    }
    return reason
  }

  /** Comes before a command, so that it runs in this cgroup from its first instruction on, under the same pid. */
  get wrapper(): readonly string[] {
    return ['sh', '-c', 'echo $$ > "$0" && exec "$@"', `${this.#folder}/cgroup.procs`]
  }

  /** The most bytes that were charged at one time, page cache included. */
  peak(): number {
    return Number(this.#read(this.#version.peak))
  }

  /** Processes that were killed for lack of memory. */
  kills(): number {
    return Number(/^oom_kill (\d+)$/m.exec(this.#read(this.#version.kills))?.[1])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Its last process may be gone for us and not yet for the kernel.
    await until(`an empty cgroup ${this.#folder}`, () => removed(this.#folder) || undefined)
  }

  #read(file: string): string {
    return readFileSync(`${this.#folder}/${file}`, 'utf8')
  }
}

let opened = 0

function removed(folder: string): boolean {
  try {
    rmdirSync(folder)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ENOENT'
  }
}
