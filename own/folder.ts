// Makes a folder for what the sidecar keeps. Node's own recursive mkdir tries for ever where a folder that is there says ENOENT,
// as those of /proc do, and keeps a core and one of its four threads for files busy with it.

import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Makes the folder, and those above it, for their owner alone. An existing folder stays as it is. */
export async function makeFolder(path: string): Promise<void> {
  if (await made(path)) return
  const above = dirname(path)
  if (above !== path) await makeFolder(above)
  if (!(await made(path))) throw new Error(`cannot make the folder ${path}: nothing can be made in ${above}`)
}

/** False if the folder above it is not there. */
async function made(path: string): Promise<boolean> {
  try {
    await mkdir(path, { mode: 0o700 })
    return true
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT') return false
    // Some file systems say EROFS or EACCES for a folder that is there.
    if ((await stat(path).catch(() => undefined))?.isDirectory()) return true
    if (code === 'EEXIST' || code === 'ENOTDIR') throw new Error(`${path} is no folder`, { cause: error })
    throw error
  }
}
