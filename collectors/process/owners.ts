// Which processes hold a socket: the links in their descriptor folders name its inode. The links are read
// synchronously, which costs a fifth of what the thread pool does, and the loop is given back after every few of them.

import { readdirSync, readlinkSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { unread } from './file.ts'

/** More descriptors than these are not looked at in one process, nor ten times as many in all. */
const LINKS = 20_000
/** Files read in one turn: less than a millisecond. */
const AT_ONCE = 100

export interface Owners {
  readonly owners: ReadonlySet<number>
  /** The sockets whose owners were found. */
  readonly held: ReadonlySet<number>
  /** Processes whose descriptors may not be read. */
  readonly refused: number
  /** Not everything was looked at: there are too many descriptors. */
  readonly cut: boolean
}

/** Which of these processes hold one of the sockets. */
export async function socketOwners(proc: string, pids: Iterable<number>, inodes: ReadonlySet<number>): Promise<Owners> {
  const owners = new Set<number>()
  const held = new Set<number>()
  let refused = 0
  let left = 10 * LINKS
  let cut = false
  let read = 0
  for (const pid of pids) {
    const folder = `${proc}/${pid}/fd`
    if (++read % AT_ONCE === 0) await nextTurn()
    const names = listed(folder)
    if (names === 'denied') refused++
    if (typeof names === 'string') continue
    if (names.length > LINKS) cut = true
    for (const name of names.slice(0, Math.min(LINKS, left))) {
      if (++read % AT_ONCE === 0) await nextTurn()
      const link = linked(`${folder}/${name}`)
      // CAP_DAC_READ_SEARCH alone lists the folder, but follows no link in it.
      if (link === 'denied') {
        refused++
        break
      }
      const [, inode] = /^socket:\[(\d+)\]$/.exec(link) ?? []
      if (inode === undefined || !inodes.has(Number(inode))) continue
      owners.add(pid)
      held.add(Number(inode))
    }
    left -= names.length
    if (left <= 0) return { owners, held, refused, cut: true }
  }
  return { owners, held, refused, cut }
}

function listed(folder: string): readonly string[] | ReturnType<typeof unread> {
  try {
    return readdirSync(folder)
  } catch (error) {
    return unread(error)
  }
}

function linked(path: string): string {
  try {
    return readlinkSync(path)
  } catch (error) {
    return unread(error)
  }
}
