// Files of captured output that a sidecar left behind when it was killed. In a container each start has the same pid, and the
// folder may outlive it, so without this they would stand in the way and fill the disk.

import { lstat, readdir, readlink, unlink } from 'node:fs/promises'
import { join } from 'node:path'

const NAME = /^pillion-\d{1,10}(?:-[0-9a-f]{8})?-(?:stdout|stderr)\.log$/
/** A sidecar touches its file more often than this, so an older one is nobody's, however far away its owner would be. */
const OLD_MS = 600_000
export const TOUCH_MS = 60_000

/** Removes the old files of the folder that are ours and that no process has open. Returns their names; never rejects. */
export async function removeLeftBehind(dir: string, now: number, proc = '/proc'): Promise<readonly string[]> {
  const removed: string[] = []
  try {
    const old: string[] = []
    for (const name of await readdir(dir)) {
      if (!NAME.test(name)) continue
      const stat = await lstat(join(dir, name)).catch(() => undefined)
      if (stat?.isFile() && stat.uid === process.geteuid?.() && now - stat.mtimeMs > OLD_MS) old.push(name)
    }
    if (old.length === 0) return []
    const open = await openNames(proc)
    for (const name of old) {
      if (open.has(name)) continue
      await unlink(join(dir, name))
      removed.push(name)
    }
  } catch {
    // The folder cannot be read; opening a file in it will say so.
  }
  return removed
}

/** The names of such files that processes have open: the application may go on when its sidecar was killed. */
async function openNames(proc: string): Promise<ReadonlySet<string>> {
  const names = new Set<string>()
  for (const pid of (await readdir(proc).catch(() => [])).filter(name => /^\d+$/.test(name))) {
    const fds = await readdir(`${proc}/${pid}/fd`).catch(() => [])
    for (const target of await Promise.all(fds.map(fd => readlink(`${proc}/${pid}/fd/${fd}`).catch(() => '')))) {
      const name = target.slice(target.lastIndexOf('/') + 1)
      if (NAME.test(name)) names.add(name)
    }
  }
  return names
}
