// Whether the sidecar can see the application's process at all. A process that is not found may still run where hidepid
// or a PID namespace hides it; only what can be seen can be known not to run.

import { readlinkSync } from 'node:fs'
import { readlink } from 'node:fs/promises'
import { readText } from './file.ts'
import { parseCredentials } from './parse.ts'
import type { Table } from './table.ts'

/** The sidecar's pid as its /proc numbers it. */
export async function selfPid(proc: string): Promise<number | undefined> {
  const pid = Number(await readlink(`${proc}/self`).catch(() => undefined))
  return Number.isSafeInteger(pid) ? pid : undefined
}

/** Why processes of the machine may be invisible here, for an operator; undefined if all of them are visible. */
export function obstacle(proc: string, table: Table, self: number | undefined): string | undefined {
  const hidepid = hiding(proc)
  if (hidepid !== undefined)
    return `/proc hides the processes of other users (hidepid=${hidepid}): run the sidecar as the application's user, or mount /proc without hidepid`
  if (isolated(proc, table, self))
    return 'the sidecar has a PID namespace of its own: share the one of the application (shareProcessNamespace, pid: service:…)'
  return undefined
}

/** Whether only the sidecar, its ancestors and its descendants are visible, as in a PID namespace of its own. */
export function isolated(proc: string, table: Table, self: number | undefined): boolean {
  if (self === undefined || !table.entries.has(self) || initialNamespace(proc)) return false
  for (const pid of table.entries.keys()) if (!table.under(pid, self) && !table.under(self, pid)) return false
  return true
}

/** Whether this is the machine's own PID namespace, in which every process has a number (PROC_PID_INIT_INO). */
function initialNamespace(proc: string): boolean {
  try {
    return readlinkSync(`${proc}/self/ns/pid`) === 'pid:[4026531836]'
  } catch {
    return false
  }
}

const CAP_SYS_PTRACE = 1n << 19n

/**
 * The hidepid setting that hides processes from us (proc.rst, "Mount options"). Members of the group `gid=` see
 * everything, except with ptraceable; so does a process that may trace all others.
 */
function hiding(proc: string): string | undefined {
  const mounts = readText(`${proc}/self/mounts`) ?? ''
  // The last mount on /proc is the one that is seen.
  const [, options] = [...mounts.matchAll(/^\S+ \/proc proc (\S+)/gm)].at(-1) ?? []
  const [, value] = /(?:^|,)hidepid=(\w+)/.exec(options ?? '') ?? []
  if (value === undefined || value === '0' || value === 'off') return undefined
  const status = readText(`${proc}/self/status`) ?? ''
  const [, gid = '0'] = /(?:^|,)gid=(\d+)/.exec(options ?? '') ?? []
  const groups = [/^Groups:\t(.*)$/m, /^Gid:\t\d+\t\d+\t\d+\t(\d+)$/m].flatMap(
    line => line.exec(status)?.[1]?.trim().split(' ') ?? [],
  )
  if (groups.includes(gid) && value !== '4' && value !== 'ptraceable') return undefined
  const effective = parseCredentials(status)?.effective ?? 0n
  return (effective & CAP_SYS_PTRACE) === 0n ? value : undefined
}

/** Whether a process of this number exists, visible or not; undefined where that cannot be asked. */
export function exists(pid: number, self: number | undefined): boolean | undefined {
  // A signal goes by the sidecar's own PID namespace, which need not be the one that this /proc shows.
  if (self !== process.pid) return undefined
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
