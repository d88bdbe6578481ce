// The configuration file as bytes: read with a bound, from a regular file or a pipe, and checked to be text.

import { open, stat } from 'node:fs/promises'

export interface ConfigFile {
  /** As the user named it, since it begins every message. */
  readonly name: string
  readonly text: string
}

/** A file, nothing (it does not exist), or the line that says why it cannot be read. */
export type Opened = ConfigFile | undefined | { readonly problem: string }

/** Far above any configuration written by hand; the parser needs about a second for it. */
const MOST_BYTES = 1024 * 1024

export async function openFile(name: string): Promise<Opened> {
  try {
    await using handle = await open(name, 'r')
    const buffer = Buffer.alloc(MOST_BYTES + 1)
    let length = 0
    // A pipe gives what it has; only a read of nothing is the end.
    while (length < buffer.length) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null)
      if (bytesRead === 0) break
      length += bytesRead
    }
    return decode(name, buffer.subarray(0, length))
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT') return undefined
    return { problem: `${name}: cannot read the file: ${reason(code)}` }
  }
}

/**
 * A text that changes when the file does, or when it appears or vanishes. Links are followed, so that a mounted ConfigMap
 * or Secret that is swapped counts as changed.
 */
export async function fileStamp(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = await stat(path)
    return [dev, ino, size, mtimeMs, ctimeMs].join(':')
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
  }
}

/** The text of the bytes, without a byte order mark. */
export function decode(name: string, bytes: Uint8Array): ConfigFile | { readonly problem: string } {
  if (bytes.length > MOST_BYTES) return { problem: `${name}: is larger than 1 MiB; a configuration is a few kilobytes` }
  const notText = { problem: `${name}: is not UTF-8 text; save it in the encoding UTF-8` }
  // UTF-16 without a byte order mark is valid UTF-8, with a NUL beside each letter.
  if (bytes.includes(0)) return notText
  try {
    return { name, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch {
    return notText
  }
}

function reason(code: unknown): string {
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied; let the user of the sidecar read it'
  if (code === 'EISDIR') return 'it is a directory; name the file in it'
  return String(code)
}
