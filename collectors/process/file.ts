// Reading small kernel files: into one buffer that every reader shares, by descriptors that stay open. A descriptor of
// /proc/PID never reaches a later process with the same number (proc.rst 1.1), and re-reading costs half of re-opening.

import { closeSync, constants, openSync, readSync } from 'node:fs'

/**
 * Why a file could not be read: what it described has ended; the kernel refused; or this kernel does not have it
 * (or has it switched off, as PSI may be).
 */
export type Unread = 'gone' | 'denied' | 'unsupported'

/**
 * The bytes of the last read. All readers of this folder share them, and they are valid until the next read: parse them
 * at once. 64 KiB hold every file read here. A longer one is cut, and parsers take a cut number as absent.
 */
export const bytes: Buffer = Buffer.allocUnsafeSlow(64 * 1024)

/** Without waiting for a writer: an operator's path may lead to a named pipe, which would hold the whole sidecar. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK

/**
 * The kernel answers one read of a list (cgroup.procs, mountinfo, vmstat) with the records that fit into a page, and
 * not with more, however large the buffer is (fs/seq_file.c).
 */
function readOn(fd: number, length: number): number {
  while (length < bytes.length) {
    const more = readSync(fd, bytes, length, bytes.length - length, length)
    if (more === 0) break
    length += more
  }
  return length
}

/** A file of short records that answered with less than this has none left: half of the smallest page. */
const WHOLE_BYTES = 2048

/** The first `length` bytes as text. Latin 1, so that any bytes give a text of the same length. */
export function text(length: number): string {
  return bytes.toString('latin1', 0, length)
}

/** A file that is opened at its first read and then kept. */
export class KeptFile implements Disposable {
  readonly path: string
  #fd = -1
  #ended: Unread | undefined

  constructor(path: string) {
    this.path = path
  }

  /** Reads from the beginning into `bytes`; the length, or why not. */
  read(): number | Unread {
    if (this.#ended !== undefined) return this.#ended
    try {
      if (this.#fd < 0) this.#fd = openSync(this.path, READ)
      const length = readSync(this.#fd, bytes, 0, bytes.length, 0)
      if (length > 0) return length < WHOLE_BYTES ? length : readOn(this.#fd, length)
      // Some kernels answer for a process that has just ended with nothing instead of an error.
      this.#close()
      this.#ended = 'gone'
      return 'gone'
    } catch (error) {
      const why = unread(error)
      // Never opened anew: the path may by now lead to another process. A refusal lasts as long as the process does,
      // and trying again at each scrape would cost an exception each time; `retry` is for its owner to call.
      this.#close()
      this.#ended = why
      return why
    }
  }

  /** Allows another try after a refusal; only when the process is known to be the same. */
  retry(): void {
    if (this.#ended !== 'gone') this.#ended = undefined
  }

  [Symbol.dispose](): void {
    this.#close()
    this.#ended = 'gone'
  }

  #close(): void {
    if (this.#fd >= 0) closeSync(this.#fd)
    this.#fd = -1
  }
}

/** Reads a file once, without keeping it open. */
export function readOnce(path: string): number | Unread {
  let fd = -1
  try {
    fd = openSync(path, READ)
    // Records may be long here (an overlay mount), so the length tells nothing.
    return readOn(fd, 0)
  } catch (error) {
    return unread(error)
  } finally {
    if (fd >= 0) closeSync(fd)
  }
}

/** The text of a file, or undefined if it cannot be read for any reason. */
export function readText(path: string): string | undefined {
  const length = readOnce(path)
  return typeof length === 'number' ? text(length) : undefined
}

export function unread(error: unknown): Unread {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  switch (code) {
    case 'ENOENT':
    case 'ESRCH':
    case 'ENOTDIR':
    // A cgroup that was removed while its file was open.
    case 'ENODEV':
      return 'gone'
    case 'EACCES':
    case 'EPERM':
      return 'denied'
    default:
      return 'unsupported'
  }
}
