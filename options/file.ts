// The bytes of the configuration file: read up to a limit, from a regular file or a pipe, and checked to be UTF-8.

import { constants, openSync } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { fileReason } from './readable.ts'

export interface ConfigFile {
  /** As the user wrote it, since every message begins with it. */
  readonly name: string
  readonly text: string
}

/** A file, undefined if it does not exist, or a line that says why it cannot be read. */
export type Opened = ConfigFile | undefined | { readonly problem: string }

/** Far more than any configuration written by hand; parsing this much takes about a second. */
const MOST_BYTES = 1024 * 1024

/** The writer of a named pipe may be a program that fetches the configuration first. */
const PIPE_MS = 30_000

export async function openFile(name: string, pipeMs = PIPE_MS): Promise<Opened> {
  try {
    const bytes = (await stat(name)).isFIFO() ? await readPipe(name, pipeMs) : await readFile(name)
    return bytes
      ? decode(name, bytes)
      : {
          problem: `${name}: cannot read the file: nobody has written all of it into the pipe within ${pipeMs / 1000} s`,
        }
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    return { problem: `${name}: cannot read the file: ${fileReason(error)}` }
  }
}

/** The bytes up to the limit, and one more if there are more. */
async function readFile(name: string): Promise<Buffer> {
  await using handle = await open(name, 'r')
  const buffer = Buffer.alloc(MOST_BYTES + 1)
  let length = 0
  while (length < buffer.length) {
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return buffer.subarray(0, length)
}

/**
 * The same of a pipe; undefined if its writer has not closed it in time. Opening a pipe waits for a writer, and a process
 * with a thread that waits in the kernel cannot exit: it is opened without waiting, and the event loop waits for its bytes.
 */
async function readPipe(name: string, ms: number): Promise<Buffer | undefined> {
  const { Socket } = await import('node:net')
  const fd = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK)
  const pipe = new Socket({ fd, readable: true, writable: false })
  let late = false
  const timer = setTimeout(() => {
    late = true
    pipe.destroy()
  }, ms)
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of pipe) {
      chunks.push(chunk)
      length += chunk.length
      if (length > MOST_BYTES) break
    }
  } catch (error) {
    if (!late) throw error
  } finally {
    clearTimeout(timer)
  }
  return late ? undefined : Buffer.concat(chunks)
}

/**
 * A string that changes when the file changes, appears or disappears. Links are followed, so that a mounted ConfigMap
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
  // UTF-16 without a byte order mark is valid UTF-8 in which every second byte is NUL.
  if (bytes.includes(0)) return notText
  try {
    return { name, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch {
    return notText
  }
}
