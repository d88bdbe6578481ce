// Finds the application's main process: by what the operator named, else the child that was started, else the owner of
// the port of app.url. Slow looks (all command lines, all descriptors) give the loop back between processes.

import { readlink } from 'node:fs/promises'
import { hostname, networkInterfaces } from 'node:os'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Expression, expression } from '../../options/expression.ts'
import type { Selection } from '../../telemetry/host.ts'
import { readOnce, readText, text } from './file.ts'
import { cgroupFolders } from './hierarchy.ts'
import { socketOwners } from './owners.ts'
import { accepts, readTcp } from './sockets.ts'
import type { Table } from './table.ts'
import { exists, isolated, obstacle } from './visibility.ts'

export type FoundBy = 'pid' | 'pid_file' | 'cgroup' | 'match' | 'port' | 'child' | 'url'

/**
 * Why there is no process: what was named is known not to run, or nothing can be said, because nothing was named or
 * what was named may run where the sidecar cannot see it.
 */
export type Absence = 'not_running' | 'unknown'

export interface Target {
  readonly pid: number
  readonly by: FoundBy
  /** A doubt about it, for an operator. */
  readonly note?: string
}

export interface Miss {
  readonly pid: undefined
  readonly absence: Absence
  /** A whole line for an operator: what was looked for, and what to do. */
  readonly why: string
  /** The look was costly, and may be repeated after this time. */
  readonly costlyMs: number
  /** A process of another network namespace listens on the port; only looks into all of them see that. */
  readonly elsewhere?: true
}

export interface Wanted extends Selection {
  readonly url: string | undefined
}

/** The machine, as discovery looks at it. */
export interface Sight {
  readonly proc: string
  readonly table: Table
  /** The sidecar's own pid in that /proc, if it is there. */
  readonly self: number | undefined
  /** The application that the sidecar started, if it did. */
  readonly child: number | undefined
  /** Look into other network namespaces too. */
  readonly wide: boolean
  /** The application was found before, so it would be visible if it ran. */
  readonly foundBefore: boolean
}

export async function find(wanted: Wanted, sight: Sight): Promise<Target | Miss> {
  if (wanted.pid !== undefined) return byPid(sight, wanted.pid, 'pid', `app.pid ${wanted.pid}`)
  if (wanted.pid_file !== undefined) return byPidFile(sight, wanted.pid_file)
  if (wanted.cgroup !== undefined) return byCgroup(sight, wanted.cgroup)
  if (wanted.match !== undefined) return byCommandLine(sight, wanted.match)
  if (wanted.port !== undefined) return byPort(sight, wanted.port, undefined, 'port')
  if (sight.child !== undefined) return byPid(sight, sight.child, 'child', `the child ${sight.child}`)
  const url = wanted.url === undefined ? null : URL.parse(wanted.url)
  if (!url)
    return unknown('no application to watch: set app.url, app.port, app.pid, app.pid_file, app.match or app.cgroup')
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
  return byPort(sight, port, url.hostname.replace(/^\[|\]$/g, ''), 'url')
}

function unknown(why: string, costlyMs = 0): Miss {
  return { pid: undefined, absence: 'unknown', why, costlyMs }
}

function notRunning(why: string, costlyMs = 0): Miss {
  return { pid: undefined, absence: 'not_running', why, costlyMs }
}

/** No visible process fits, which is proof only if every process is visible. */
function unseen(sight: Sight, why: string, costlyMs = 0): Miss {
  const hidden = sight.child === undefined && obstacle(sight.proc, sight.table, sight.self)
  if (!hidden) return notRunning(why, costlyMs)
  return sight.foundBefore ? notRunning(why, costlyMs) : unknown(`${why} (${hidden})`, costlyMs)
}

/** All command lines are read in some milliseconds; all descriptors may take a second. */
const COMMAND_LINES_MS = 5000
const DESCRIPTORS_MS = 30_000

function byPid(sight: Sight, pid: number, by: FoundBy, what: string): Target | Miss {
  if (pid === sight.self)
    return unknown(`cannot watch ${what}: that is the sidecar itself; name the application's process`)
  const entry = sight.table.entries.get(pid)
  if (entry?.ended) return notRunning(`the process of ${what} has ended and is a zombie`)
  if (entry) return { pid, by }
  // A child of our own was there.
  const absent =
    by === 'child'
      ? `${what} has ended`
      : `no process for ${what}; it is not running, or not visible here (share the PID namespace, mount /proc without hidepid)`
  switch (exists(pid, sight.self)) {
    case true: {
      const remedy = obstacle(sight.proc, sight.table, sight.self) ?? "run the sidecar as the application's user"
      return unknown(`${what} runs, but cannot be read here; ${remedy}`)
    }
    case false:
      // It does not exist here, even if /proc hides processes. But the number may belong to another PID namespace.
      return isolated(sight.proc, sight.table, sight.self) ? unseen(sight, absent) : notRunning(absent)
    default:
      return unseen(sight, absent)
  }
}

function byPidFile(sight: Sight, path: string): Target | Miss {
  const length = readOnce(path)
  if (length === 'gone') return notRunning(`there is no app.pid_file ${path}; is it written, and is the path right?`)
  if (typeof length === 'string') return unknown(`cannot read app.pid_file ${path}; may this user read it?`)
  const content = text(length)
  const [, digits] = /^\s*([1-9]\d{0,9})\s*(?:\n|$)/.exec(content) ?? []
  if (digits === undefined)
    return unknown(`app.pid_file ${path} does not begin with a process number: ${JSON.stringify(content.slice(0, 40))}`)
  return byPid(sight, Number(digits), 'pid_file', `app.pid_file ${path} (${digits})`)
}

function byCgroup(sight: Sight, path: string): Target | Miss {
  const pids = new Set<number>()
  const { folders, mounted } = cgroupFolders(sight.proc, path)
  for (const folder of folders)
    for (const line of (readText(`${folder}/cgroup.procs`) ?? '').split('\n')) if (line !== '') pids.add(Number(line))
  const chosen = choose(sight, pids)
  if (chosen !== undefined) return { pid: chosen.pid, by: 'cgroup' }
  const why = `no process in the cgroup ${path}; is the path right, and is /sys/fs/cgroup mounted here?`
  // cgroup.procs names processes of other PID namespaces 0.
  const invisible = [...pids].some(pid => !sight.table.entries.has(pid))
  if (invisible)
    return unknown(
      `the cgroup ${path} has processes, but none is visible here; share the PID namespace of the application`,
    )
  return mounted ? notRunning(why) : unknown(why)
}

/** Others can make theirs as long as 2 MiB. A long class path fits. */
const LONGEST_COMMAND_LINE = 64 * 1024
const SLICE_MS = 10

/** The expression of the last look, since each look is for the same. */
let matching: Expression | undefined

async function byCommandLine(sight: Sight, source: string): Promise<Target | Miss> {
  const { proc, table, self } = sight
  matching = matching?.source === source ? matching : await expression(source)
  const pattern = matching
  const pids = new Set<number>()
  let above: number | undefined
  let looked = 0
  let began = performance.now()
  for (const [pid, entry] of table.entries) {
    if (entry.ended || entry.kernel) continue
    if (++looked % 64 === 0 || performance.now() - began > SLICE_MS) {
      await nextTurn()
      began = performance.now()
    }
    const text = readText(`${proc}/${pid}/cmdline`)?.slice(0, LONGEST_COMMAND_LINE)
    const line = text?.replace(/\0+$/, '').replaceAll('\0', ' ')
    const name = readText(`${proc}/${pid}/comm`)?.replace(/\n$/, '')
    const matches = (line && (await pattern.matches(line))) || (name && pattern.test(name))
    if (!matches) continue
    // A shell or a runner that started a sidecar has the pattern on its own command line.
    if (self !== undefined && table.under(self, pid)) above = pid === self ? above : pid
    else if (!line || !OWN_OPTION.test(line)) pids.add(pid)
  }
  const what = `app.match ${JSON.stringify(source)}`
  const chosen = choose(sight, pids)
  if (chosen === undefined) {
    const only =
      above === undefined ? '' : `, except ${above}, which started the sidecar; if that is it, set app.pid ${above}`
    return unseen(sight, `no process matches ${what}${only}`, COMMAND_LINES_MS)
  }
  const note = chosen.of > 1 ? `${chosen.of} unrelated processes match ${what}: the oldest is watched` : undefined
  return { pid: chosen.pid, by: 'match', ...(note ? { note } : {}) }
}

/** On the command line of a sidecar, this one or another, and of what starts one. */
const OWN_OPTION = /--app\.match\b|\bPILLION_APP_MATCH=/

async function byPort(
  sight: Sight,
  port: number,
  host: string | undefined,
  by: 'port' | 'url',
): Promise<Target | Miss> {
  const what = by === 'port' ? `app.port ${port}` : `port ${port} of app.url`
  const own = `${sight.proc}/net`
  let readable = false
  for (const net of [own, ...(sight.wide ? await otherNetworks(sight) : [])]) {
    const inodes = new Set<number>()
    const outcome = await readTcp(net, row => {
      if (row.state === 'listen' && row.port === port && accepts(row.address, host)) inodes.add(row.inode)
    })
    if (net === own) readable = outcome === 'whole'
    if (inodes.size === 0) continue
    const { owners, refused, cut } = await socketOwners(sight.proc, sight.table.entries.keys(), inodes)
    const systemd = owners.has(1) && readText(`${sight.proc}/1/comm`) === 'systemd\n'
    // It holds the sockets that it passes on.
    if (systemd && owners.size === 1)
      return notRunning(`systemd listens on ${what}, and has not started the service yet`, DESCRIPTORS_MS)
    const chosen = choose(sight, systemd ? owners.difference(new Set([1])) : owners)
    if (chosen !== undefined) return { pid: chosen.pid, by }
    const reason =
      owners.size > 0
        ? 'that is the sidecar itself or what it started'
        : refused > 0
          ? `the descriptors of ${refused} processes may not be listed`
          : cut
            ? 'there are too many descriptors to look at all of them'
            : 'no visible process owns it'
    const miss = unknown(
      `something listens on ${what}, but ${reason}; run the sidecar with the application's UID and GID and in its PID namespace (shareProcessNamespace, pid: service:…), or set app.pid_file or app.match`,
      DESCRIPTORS_MS,
    )
    return net === own ? miss : { ...miss, elsewhere: true }
  }
  if (!readable)
    return unknown(`cannot read all of ${own}/tcp, so it is not known whether something listens on ${what}`)
  if (!isOurs(host))
    return unknown(
      `nothing on this machine listens on ${what}; ${host} may be another machine, or a container of its own`,
    )
  return notRunning(`nothing listens on ${what} yet`)
}

/** Whether the host of a URL is certainly this machine; names are not resolved. */
function isOurs(host: string | undefined): boolean {
  if (host === undefined || host.startsWith('127.')) return true
  if (['localhost', '::1', '::', '0.0.0.0', hostname()].includes(host)) return true
  return Object.values(networkInterfaces()).some(each => each?.some(({ address }) => address === host))
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
    if (pids.has(entry.ppid)) continue
    of++
    const best = chosen === undefined ? undefined : table.entries.get(chosen)
    if (!best || entry.startTicks < best.startTicks || (entry.startTicks === best.startTicks && pid < chosen!))
      chosen = pid
  }
  return chosen === undefined ? undefined : { pid: chosen, of }
}
