// The folders of the disk queue: only this user may look inside, since spans can hold secrets.

import { chmod, lstat, mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { codeOf } from './files.ts'

/**
 * Makes a folder for this user alone, unless it is there. Rejects with a message for an operator if what is there is not a
 * folder of this user; and with the system's error if it cannot be made.
 */
export async function ownFolder(path: string): Promise<void> {
  await make(path)
  // Not through a link, which somebody else may have put there.
  const stat = await lstat(path)
  if (!stat.isDirectory()) throw new UnfitFolder(`${path} is a link or a file, and not a folder`)
  const user = process.getuid?.()
  if (user !== undefined && stat.uid !== user)
    throw new UnfitFolder(`${path} belongs to user ${stat.uid}, and this is user ${user}`)
  if ((stat.mode & 0o077) !== 0) await chmod(path, 0o700)
}

/**
 * Not by mkdir with `recursive`: where the system says ENOENT although the parent is there, as in /proc, that tries for ever,
 * at the cost of a whole core.
 */
async function make(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    const code = codeOf(error)
    if (code === 'EEXIST') return
    const parent = dirname(path)
    const missing = code === 'ENOENT' && parent !== path && (await lstat(parent).then(() => false, isMissing))
    if (!missing) {
      // A read-only file system says EROFS even of a folder that is there.
      if (
        await lstat(path).then(
          () => true,
          () => false,
        )
      )
        return
      throw error
    }
    await make(parent)
    await mkdir(path, { mode: 0o700 }).catch(other => {
      if (codeOf(other) !== 'EEXIST') throw other
    })
  }
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT'
}

export class UnfitFolder extends Error {
  constructor(why: string) {
    super(`cannot keep a queue here: ${why}; choose another folder with --forward.queue.dir`)
  }
}
