// The file system as the disk queue uses it: few operations, so that a test can stand between them and the disk, and let a
// write end in the middle, a sync fail, or the power go.
//
// Only `write` is synchronous: a buffered write takes less than a millisecond and half the CPU of an asynchronous one. A
// synchronous sync would hold the event loop for as long as the disk takes.

import * as fs from 'node:fs'
import { promisify } from 'node:util'

export interface Files {
  /** The descriptor. Never follows a link, and never waits for the other end of a pipe. */
  open(path: string, how: How): Promise<number>
  close(fd: number): Promise<void>
  /** Appends; returns the bytes that were written, fewer than all if the disk became full in the middle. */
  write(fd: number, buffers: readonly Buffer[]): number
  writeLater(fd: number, buffers: readonly Buffer[]): Promise<number>
  /** The bytes that were read; 0 at the end of the file. */
  read(fd: number, into: Buffer, length: number, position: number): Promise<number>
  /** The size of a regular file; undefined if it is something else. */
  size(fd: number): Promise<number | undefined>
  truncate(fd: number, length: number): Promise<void>
  /** Resolves when the content is on the disk. */
  sync(fd: number): Promise<void>
  /** Resolves when the names in a folder are on the disk. */
  syncFolder(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  names(path: string): Promise<string[]>
}

/** `create`: a new file, to append to and to read; `replace`: the same, and one that is there is emptied. */
export type How = 'create' | 'replace' | 'read' | 'change'

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_NOFOLLOW, O_NONBLOCK } = fs.constants
const FLAGS: Readonly<Record<How, number>> = {
  create: O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW,
  replace: O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_NONBLOCK,
  read: O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
  change: O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK,
}

const open = promisify(fs.open)
const close = promisify(fs.close)
const fstat = promisify(fs.fstat)
const ftruncate = promisify(fs.ftruncate)
const fdatasync = promisify(fs.fdatasync)
const fsync = promisify(fs.fsync)
const rename = promisify(fs.rename)
const unlink = promisify(fs.unlink)
const readdir = promisify(fs.readdir)

export const files: Files = {
  open: (path, how) => open(path, FLAGS[how], 0o600),
  close,
  write: (fd, buffers) => fs.writevSync(fd, buffers),
  writeLater: (fd, buffers) =>
    new Promise((resolve, reject) => {
      fs.writev(fd, buffers, (error, written) => (error ? reject(error) : resolve(written)))
    }),
  read: (fd, into, length, position) =>
    new Promise((resolve, reject) => {
      fs.read(fd, into, 0, length, position, (error, count) => (error ? reject(error) : resolve(count)))
    }),
  async size(fd) {
    const stat = await fstat(fd)
    return stat.isFile() ? stat.size : undefined
  },
  truncate: ftruncate,
  sync: fdatasync,
  async syncFolder(path) {
    const fd = await open(path, O_RDONLY)
    try {
      await fsync(fd)
    } catch (error) {
      // Some file systems cannot sync a folder, and need not.
      if (codeOf(error) !== 'EINVAL' && codeOf(error) !== 'ENOTSUP') throw error
    } finally {
      await close(fd)
    }
  },
  rename,
  unlink,
  names: path => readdir(path),
}

/** The code of a system error, such as ENOSPC; undefined if it is none. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
