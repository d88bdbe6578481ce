// Finds the application's main process: by what the operator said, else the child that was started, else the owner of
// the port of app.url. Slow looks (all command lines, all descriptors) give the loop back between processes.

import { readdir, readlink, stat } from 'node:fs/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Selection } from '../collector.ts'
import { readText } from './file.ts'
import { cgroupFolders } from './hierarchy.ts'
import { accepts, readTcp } from './sockets.ts'
import type { Table } from './table.ts'

export type FoundBy = 'pid' | 'pid_file' | 'cgroup' | 'match' | 'port' | 'child' | 'url'

/** `why` is a whole line for an operator: what was looked for, and what to do. A costly look may be repeated after `costlyMs`. */
export type Found =
  | { readonly pid: number; readonly by: FoundBy; readonly note?: string }
  | { readonly pid: undefined; readonly why: string; readonly costlyMs: number }

export interface Wanted extends Selection {
  readonly url: string | undefined
}

/** What discovery looks at. */
export interface Sight {
  readonly proc: string
  readonly table: Table
  /** The sidecar's own pid in that /proc, if it is there. */
  readonly self: number | undefined
  /** The application that the sidecar started, if it did. */
  readonly child: number | undefined
  /** Look into other network namespaces too. */
  readonly wide: boolean
}

/** The sidecar's pid as its /proc numbers it. */
export async function selfPid(proc: string): Promise<number | undefined> {
  const pid = Number(await readlink(`${proc}/self`).catch(() => undefined))
  return Number.isSafeInteger(pid) ? pid : undefined
}

export async function find(wanted: Wanted, sight: Sight): Promise<Found> {
  if (wanted.pid !== undefined) return one(sight, wanted.pid, 'pid', `app.pid ${wanted.pid}`)
  if (wanted.pid_file !== undefined) return byPidFile(sight, wanted.pid_file)
  if (wanted.cgroup !== undefined) return byCgroup(sight, wanted.cgroup)
  if (wanted.match !== undefined) return byCommandLine(sight, wanted.match)
  if (wanted.port !== undefined) return byPort(sight, wanted.port, undefined, 'port')
  if (sight.child !== undefined) return one(sight, sight.child, 'child', `the child ${sight.child}`)
  const url = wanted.url === undefined ? null : URL.parse(wanted.url)
  if (!url)
    return missing('no application to watch: set app.url, app.port, app.pid, app.pid_file, app.match or app.cgroup')
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
  return byPort(sight, port, url.hostname.replace(/^\[|\]$/g, ''), 'url')
}

function missing(why: string, costlyMs = 0): Found {
  return { pid: undefined, why, costlyMs }
}

/** All command lines are read in some milliseconds; all descriptors may take a second. */
const COMMAND_LINES_MS = 5000
const DESCRIPTORS_MS = 30_000

function one(sight: Sight, pid: number, by: FoundBy, what: string): Found {
  if (pid === sight.self)
    return missing(`cannot watch ${what}: that is the sidecar itself; name the application's process`)
  const entry = sight.table.entries.get(pid)
  if (!entry)
    return missing(
      `no process for ${what}; it is not running, or not visible here (share the PID namespace, mount /proc without hidepid)`,
    )
  if (entry.ended) return missing(`the process of ${what} has ended and is a zombie`)
  return { pid, by }
}

function byPidFile(sight: Sight, path: string): Found {
  const content = readText(path)
  if (content === undefined)
    return missing(`cannot read app.pid_file ${path}; is it written, and may this user read it?`)
  const [, digits] = /^\s*([1-9]\d{0,9})\s*(?:\n|$)/.exec(content) ?? []
  if (digits === undefined)
    return missing(`app.pid_file ${path} does not begin with a process number: ${JSON.stringify(content.slice(0, 40))}`)
  return one(sight, Number(digits), 'pid_file', `app.pid_file ${path} (${digits})`)
}

function byCgroup(sight: Sight, path: string): Found {
  const pids = new Set<number>()
  for (const folder of cgroupFolders(sight.proc, path))
    for (const line of (readText(`${folder}/cgroup.procs`) ?? '').split('\n')) if (line !== '') pids.add(Number(line))
  const chosen = choose(sight, pids)
  if (chosen === undefined)
    return missing(`no process in the cgroup ${path}; is the path right, and is /sys/fs/cgroup mounted here?`)
  return { pid: chosen.pid, by: 'cgroup' }
}

async function byCommandLine(sight: Sight, source: string): Promise<Found> {
  const pattern = new RegExp(source, 'u')
  const pids = new Set<number>()
  const ancestors = new Set<number>()
  let looked = 0
  for (const [pid, entry] of sight.table.entries) {
    if (entry.ended) continue
    if (++looked % 64 === 0) await nextTurn()
    const line = readText(`${sight.proc}/${pid}/cmdline`)?.replace(/\0+$/, '').replaceAll('\0', ' ')
    const name = readText(`${sight.proc}/${pid}/comm`)?.replace(/\n$/, '')
    const matches = (line && pattern.test(line)) || (name && pattern.test(name))
    if (!matches) continue
    // A shell or a runner that started the sidecar has the pattern on its own command line.
    const above = sight.self !== undefined && sight.table.under(sight.self, pid)
    ;(above ? ancestors : pids).add(pid)
  }
  const chosen = choose(sight, pids) ?? choose(sight, ancestors)
  if (chosen === undefined) return missing(`no process matches app.match ${JSON.stringify(source)}`, COMMAND_LINES_MS)
  const note =
    chosen.of > 1
      ? `${chosen.of} unrelated processes match app.match ${JSON.stringify(source)}: the oldest is watched`
      : undefined
  return { pid: chosen.pid, by: 'match', ...(note ? { note } : {}) }
}

async function byPort(sight: Sight, port: number, host: string | undefined, by: 'port' | 'url'): Promise<Found> {
  const what = by === 'port' ? `app.port ${port}` : `port ${port} of app.url`
  for (const net of [`${sight.proc}/net`, ...(sight.wide ? await otherNetworks(sight) : [])]) {
    const inodes = new Set<number>()
    await readTcp(net, row => {
      if (row.state === 'listen' && row.port === port && accepts(row.address, host)) inodes.add(row.inode)
    })
    if (inodes.size === 0) continue
    const { owners, refused } = await socketOwners(sight.proc, [...sight.table.entries.keys()], inodes)
    const chosen = choose(sight, owners)
    if (chosen !== undefined) return { pid: chosen.pid, by }
    return missing(
      `something listens on ${what}, but ${refused > 0 ? `the descriptors of ${refused} processes may not be listed` : 'no visible process owns it'}; run the sidecar with the application's UID and GID and in its PID namespace (shareProcessNamespace, pid: service:…), or set app.pid_file or app.match`,
      DESCRIPTORS_MS,
    )
  }
  return missing(`nothing listens on ${what} yet`)
}

/** The net folders of namespaces other than the sidecar's own, one process for each. */
async function otherNetworks(sight: Sight): Promise<string[]> {
  const seen = new Set([await readlink(`${sight.proc}/self/ns/net`).catch(() => '')])
  const folders: string[] = []
  for (const pid of sight.table.entries.keys()) {
    const network = await readlink(`${sight.proc}/${pid}/ns/net`).catch(() => undefined)
    if (network === undefined || seen.has(network) || folders.length >= 32) continue
    seen.add(network)
    folders.push(`${sight.proc}/${pid}/net`)
  }
  return folders
}

/** More descriptors than these are not looked at in one process, nor ten times as many in all. */
const LINKS = 20_000

/** Which of these processes hold one of the sockets, and how many may not be asked. */
export async function socketOwners(
  proc: string,
  pids: Iterable<number>,
  inodes: ReadonlySet<number>,
): Promise<{ owners: Set<number>; held: Set<number>; refused: number }> {
  const owners = new Set<number>()
  const held = new Set<number>()
  let refused = 0
  let links = 10 * LINKS
  for (const pid of pids) {
    const folder = `${proc}/${pid}/fd`
    const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => error.code)
    if (names === 'EACCES' || names === 'EPERM') refused++
    if (!Array.isArray(names)) continue
    for (const name of names.slice(0, Math.min(LINKS, links))) {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(await readlink(`${folder}/${name}`).catch(() => '')) ?? []
      if (inode === undefined || !inodes.has(Number(inode))) continue
      owners.add(pid)
      held.add(Number(inode))
    }
    links -= names.length
    if (links <= 0) break
  }
  return { owners, held, refused }
}

/**
 * The main process among those that fit: not the sidecar nor something it started (except the application), not the
 * child of another one that fits (workers hold their master's socket and command line), and of several the oldest.
 */
function choose(sight: Sight, pids: ReadonlySet<number>): { pid: number; of: number } | undefined {
  const { table, self, child } = sight
  let chosen: number | undefined
  let of = 0
  for (const pid of pids) {
    const entry = table.entries.get(pid)
    if (!entry || entry.ended || pid === self) continue
    if (self !== undefined && table.under(pid, self) && !(child !== undefined && table.under(pid, child))) continue
    if (pids.has(entry.ppid) && !socketActivation(sight, entry.ppid)) continue
    if (socketActivation(sight, pid) && pids.size > 1) continue
    of++
    const best = chosen === undefined ? undefined : table.entries.get(chosen)
    if (!best || entry.startTicks < best.startTicks || (entry.startTicks === best.startTicks && pid < chosen!))
      chosen = pid
  }
  return chosen === undefined ? undefined : { pid: chosen, of }
}

/** systemd holds the sockets that it passes on. */
function socketActivation(sight: Sight, pid: number): boolean {
  return pid === 1 && readText(`${sight.proc}/1/comm`) === 'systemd\n'
}

/** Whether /proc hides other users' processes, which looks as if they did not run. */
export async function hidepid(proc: string): Promise<string | undefined> {
  const mounts = readText(`${proc}/self/mounts`) ?? ''
  const [, value] = /^\S+ \/proc proc \S*\bhidepid=(\w+)/m.exec(mounts) ?? []
  const exists = await stat(`${proc}/1`).then(
    () => true,
    () => false,
  )
  return value !== undefined && value !== '0' && value !== 'off' && !exists ? value : undefined
}
