// Finds the folders of a process's cgroup: which hierarchies there are (v1 has one for each controller, v2 one for all,
// hybrid both), where they are mounted, and which folder is the process's own.
//
// /proc/PID/cgroup is relative to the reader's cgroup namespace, with "/.." where the process is outside of it; then
// the sidecar's own mount does not lead there, but the application's does: /proc/PID/root/sys/fs/cgroup.

import { readdirSync, readlinkSync, statSync } from 'node:fs'
import { readOnce, readText, text } from './file.ts'

export type Version = 'v1' | 'v2' | 'hybrid'
export type MountRoute = 'own_mount' | 'application_root'

/** One hierarchy's folder of the process, and the mount it lies in (the end of the visible tree). */
export interface Folder {
  readonly path: string
  readonly top: string
}

export interface Place {
  readonly version: Version
  readonly route: MountRoute
  readonly unified: Folder | undefined
  /** By v1 controller: cpu, cpuacct, memory, pids. */
  readonly v1: ReadonlyMap<string, Folder>
  /** Changes when the process is in another cgroup, or in a new one of the same name. */
  readonly identity: string
}

const CONTROLLERS = ['cpu', 'cpuacct', 'memory', 'pids'] as const

/** Finds the cgroup of a process; undefined when neither route leads to it. `line` is its /proc/PID/cgroup. */
export function locate(proc: string, pid: number, lines: string): Place | undefined {
  const paths = parseCgroup(lines)
  const routes: readonly MountRoute[] = outside(proc, pid, lines)
    ? ['application_root', 'own_mount']
    : ['own_mount', 'application_root']
  for (const route of routes) {
    const reader = route === 'own_mount' ? 'self' : String(pid)
    const root = `${proc}/${reader}/root`
    const mounts = parseMounts(readText(`${proc}/${reader}/mountinfo`) ?? '')
    const unifiedPath = paths.get('')
    const unified = unifiedPath === undefined ? undefined : folder(root, mounts.get(''), unifiedPath, pid)
    const v1 = new Map<string, Folder>()
    for (const controller of CONTROLLERS) {
      const path = paths.get(controller)
      const found = path === undefined ? undefined : folder(root, mounts.get(controller), path, pid)
      if (found) v1.set(controller, found)
    }
    if (!unified && v1.size === 0) continue
    const version = paths.size === 1 && unifiedPath !== undefined ? 'v2' : unifiedPath === undefined ? 'v1' : 'hybrid'
    const identity = [unified, ...v1.values()].map(each => (each ? inode(each.path) : '')).join(' ')
    return { version, route, unified, v1, identity }
  }
  return undefined
}

/** "HIERARCHY:CONTROLLERS:PATH" lines as controller → path; the unified hierarchy is ''. */
export function parseCgroup(lines: string): Map<string, string> {
  const paths = new Map<string, string>()
  for (const line of lines.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (controllers === undefined || path === undefined) continue
    for (const controller of controllers.split(',')) paths.set(controller, path)
  }
  return paths
}

interface Mount {
  /** Which part of the hierarchy is mounted, and where. */
  readonly root: string
  readonly point: string
}

/** cgroup mounts of a mountinfo (proc(5)) as controller → mount; the unified hierarchy is ''. */
export function parseMounts(mountinfo: string): Map<string, Mount> {
  const mounts = new Map<string, Mount>()
  for (const line of mountinfo.split('\n')) {
    const [, root, point, type, options] =
      /^\d+ \d+ \d+:\d+ (\S+) (\S+) \S+(?: \S+)* - (cgroup2?) \S+ (\S+)$/.exec(line) ?? []
    if (root === undefined || point === undefined || options === undefined) continue
    const mount = { root: unescaped(root), point: unescaped(point) }
    const names = type === 'cgroup2' ? [''] : options.split(',').filter(each => CONTROLLERS.some(name => name === each))
    // The first mount is the usual place; later ones are bind mounts of parts.
    for (const name of names) if (!mounts.has(name)) mounts.set(name, mount)
  }
  return mounts
}

function unescaped(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}

/** Whether the process is in another cgroup namespace than the sidecar. */
function outside(proc: string, pid: number, lines: string): boolean {
  try {
    return readlinkSync(`${proc}/self/ns/cgroup`) !== readlinkSync(`${proc}/${pid}/ns/cgroup`)
  } catch {
    return /:\/\.\.(?:\/|$)/m.test(lines)
  }
}

/**
 * The folder of `path` below a mount. A container's mount shows only a part of the tree, whose place in `path` cannot
 * be known, so ever longer ends of `path` are tried: right is the one that lists the process.
 */
function folder(root: string, mount: Mount | undefined, path: string, pid: number): Folder | undefined {
  if (!mount) return undefined
  const top = root + mount.point
  const below =
    mount.root === '/'
      ? path
      : path.startsWith(`${mount.root}/`) || path === mount.root
        ? path.slice(mount.root.length)
        : undefined
  const exact = below === undefined || below.includes('/../') || below.endsWith('/..') ? undefined : join(top, below)
  if (exact !== undefined && lists(exact, pid) === 'yes') return { path: exact, top }
  const names = path.split('/').filter(name => name !== '' && name !== '..')
  for (let from = names.length; from >= 0; from--) {
    const path = join(top, names.slice(from).join('/'))
    if (path !== exact && lists(path, pid) === 'yes') return { path, top }
  }
  // cgroup.procs cannot be read in a threaded cgroup; the exact path is then as good as any proof.
  return exact !== undefined && lists(exact, pid) === 'unknown' ? { path: exact, top } : undefined
}

function join(top: string, below: string): string {
  const path = below.replace(/^\/+|\/+$/g, '')
  return path === '' ? top : `${top}/${path}`
}

/** Whether a folder's cgroup.procs names the process, as far as one buffer of it goes. */
function lists(path: string, pid: number): 'yes' | 'no' | 'unknown' {
  const length = readOnce(`${path}/cgroup.procs`)
  if (length === 'gone') return 'no'
  if (typeof length === 'string') return 'unknown'
  const procs = text(length)
  if (`\n${procs}`.includes(`\n${pid}\n`)) return 'yes'
  // Some 9 000 processes fill the buffer; there may be more.
  return length >= 60_000 ? 'unknown' : 'no'
}

function inode(path: string): string {
  try {
    const { dev, ino } = statSync(path)
    return `${dev}:${ino}`
  } catch {
    return path
  }
}

/**
 * The folders that an operator's cgroup path may mean: as it is, or below any mounted hierarchy; with those inside it.
 * `mounted`: there is a hierarchy to look in.
 */
export function cgroupFolders(proc: string, path: string): { folders: readonly string[]; mounted: boolean } {
  const root = `${proc}/self/root`
  const mounts = parseMounts(readText(`${proc}/self/mountinfo`) ?? '')
  const points = new Set([...mounts.values()].map(mount => mount.point))
  const folders: string[] = []
  for (const point of points) {
    const below = path === point || path.startsWith(`${point}/`) ? path.slice(point.length) : path
    descend(join(root + point, below), folders)
  }
  return { folders, mounted: points.size > 0 }
}

/** A service that delegates keeps its processes in cgroups inside its own. */
function descend(folder: string, into: string[]): void {
  if (into.length >= 256) return
  try {
    const inside = readdirSync(folder, { withFileTypes: true })
    into.push(folder)
    for (const each of inside) if (each.isDirectory()) descend(`${folder}/${each.name}`, into)
  } catch {
    return
  }
}
