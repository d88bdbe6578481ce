// Whether the file that an option names can be read. It is checked before anything starts, so that the message names the
// place of the option.

import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'

/** Rejects with the reason, to follow the name of the option, if the file cannot be read. */
export async function readable(path: string): Promise<void> {
  try {
    // Not opened: that would wait for the writer of a named pipe.
    await access(path, constants.R_OK)
    if ((await stat(path)).isDirectory()) throw Object.assign(new Error('a directory'), { code: 'EISDIR' })
  } catch (cause) {
    throw new Error(`cannot read ${JSON.stringify(path)}: ${fileReason(cause)}`, { cause })
  }
}

/** Why a file cannot be read, and what to do about it. */
export function fileReason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'there is no such file'
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied; let the user of the sidecar read it'
  if (code === 'EISDIR') return 'it is a directory; name the file in it'
  return String(code ?? error)
}
