// One file that is followed: where it is, how far it was read, and whether it is still the file that was read. A name says
// nothing: it is renamed, deleted, truncated, or another file gets it. Device and inode say which file it is, and before each
// read the bytes before the position are read again: if they have changed, so has the file.

import { type BigIntStats, constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { checksumOf } from './checksum.ts'
import { FileContext } from './context.ts'
import type { Checksum, Position } from './positions.ts'
import type { Source } from './source.ts'

/** The bytes before the position that are compared, and of the beginning that identify a file after a restart. */
export const TAIL = 64
export const HEAD = 1024

export class Followed {
  readonly key: string
  readonly born: string
  readonly source: Source
  readonly context: FileContext
  path: string
  handle: FileHandle | undefined
  /** Everything before was read. */
  offset = 0
  /** Everything before is safe: it is what is kept over a restart. */
  safe = 0
  /** The beginning of the first line of which only a part was taken: a restart must go back to it. */
  held: number | undefined
  /** As it was last seen. */
  size = 0
  /** The bytes before `offset`. */
  #tail: Buffer = Buffer.alloc(0)
  #safeTail: Buffer = Buffer.alloc(0)
  /** Whether the offset stands inside of a line that was cut. */
  skipping = false
  #safeSkipping = false
  #head: Checksum = { length: 0, crc: 0 }
  /** When its size last changed, when it lost its name, when it was last read; on the monotonic clock. */
  changed: number
  gone: number | undefined
  /** When it was last seen as it was read, in milliseconds since the epoch; and without a name, on the monotonic clock. */
  seen = 0
  /** When it was seen to be larger, and its contents have not been compared yet. */
  grown = 0
  looked = Number.NEGATIVE_INFINITY
  used: number
  /** When it was last written to, as the file system says, in nanoseconds since the epoch. */
  modified = 0n
  /** Whether it was written to and has the size that it had: its contents may be others. */
  doubtful = false
  /** Whether it has been truncated since it is followed. */
  truncated = false
  /** The file whose copy it is, if it is read since that was truncated. */
  copyOf: Followed | undefined
  /** Whether it was passed over to its end, as a copy of what was read. */
  passed = false

  constructor(key: string, born: string, path: string, source: Source, now: number) {
    this.key = key
    this.born = born
    this.path = path
    this.source = source
    this.context = new FileContext(path, source.options.stream)
    this.changed = now
    this.used = now
  }

  get unread(): number {
    return Math.max(0, this.size - this.offset)
  }

  /** Whether there may be something to take from it. */
  get waiting(): boolean {
    return this.unread > 0 || this.doubtful || this.context.partial.held
  }

  /** Whether it still has the bytes that were read last. */
  async unchanged(): Promise<boolean> {
    const { handle, offset } = this
    const tail = this.#tail
    return !handle || (await readAt(handle, offset - tail.length, tail.length)).equals(tail)
  }

  get tail(): Buffer {
    return this.#tail
  }

  /** Opens it; false if it is not the file that it was taken for. Rejects with the system's error. */
  async open(): Promise<boolean> {
    // Not blocking, so that a FIFO of that name does not hold us.
    const handle = await open(this.path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
    const stat = await handle.stat({ bigint: true })
    if (!stat.isFile() || keyOf(stat) !== this.key) {
      await handle.close()
      return false
    }
    this.handle = handle
    return true
  }

  async close(): Promise<void> {
    const { handle } = this
    this.handle = undefined
    await handle?.close().catch(() => {})
  }

  /** Continues where it was read before, if it is the same file. */
  async resume(position: Position, found: BigIntStats): Promise<boolean> {
    const { handle } = this
    if (!handle || position.offset > this.size) return false
    if (isAnother(position.born, found)) return false
    const { head, tail, offset } = position
    if (!(await this.#same(handle, 0, head)) || !(await this.#same(handle, offset - tail.length, tail))) return false
    await this.startAt(offset)
    this.skipping = position.skipping
    this.settle()
    return true
  }

  async #same(handle: FileHandle, at: number, { length, crc }: Checksum): Promise<boolean> {
    if (at < 0) return false
    const bytes = await readAt(handle, at, length)
    return bytes.length === length && checksumOf(bytes).crc === crc
  }

  /** Begins at this offset. */
  async startAt(offset: number): Promise<void> {
    this.offset = offset
    this.skipping = false
    this.held = undefined
    this.#tail =
      offset > 0 && this.handle ? await readAt(this.handle, Math.max(0, offset - TAIL), Math.min(TAIL, offset)) : EMPTY
    this.settle()
  }

  /** All of it is to be read again: it has other contents. */
  restart(): void {
    this.offset = 0
    this.safe = 0
    this.held = undefined
    this.skipping = false
    this.doubtful = false
    this.#tail = EMPTY
    this.#safeTail = EMPTY
    this.#head = { length: 0, crc: 0 }
  }

  /** Has read the bytes up to `end` of a buffer, which end at `offset` of the file. */
  advance(bytes: Buffer, end: number, offset: number): void {
    this.offset = offset
    this.#tail = Buffer.from(bytes.subarray(Math.max(0, end - Math.min(TAIL, offset)), end))
  }

  /** Passes over what stands before this offset, which may be inside of a line. */
  passOver(offset: number): void {
    this.advance(EMPTY, 0, offset)
    this.skipping = true
  }

  /** The lines up to the offset are safe. */
  settle(): void {
    if (this.held !== undefined) return
    this.safe = this.offset
    this.#safeTail = this.#tail
    this.#safeSkipping = this.skipping
  }

  /** Its position, to be kept over a restart. */
  async position(): Promise<Position> {
    const { handle, safe } = this
    // The beginning does not change, but for being too short at first.
    if (handle && this.#head.length < Math.min(HEAD, safe))
      this.#head = await readAt(handle, 0, Math.min(HEAD, safe)).then(checksumOf, () => this.#head)
    return {
      key: this.key,
      born: this.born,
      path: this.path,
      offset: safe,
      skipping: this.#safeSkipping,
      head: this.#head,
      tail: checksumOf(this.#safeTail),
    }
  }
}

const EMPTY = Buffer.alloc(0)

export function keyOf({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`
}

export function bornOf({ birthtimeNs }: BigIntStats): string {
  return String(birthtimeNs)
}

/**
 * Whether a file with the same inode was certainly made at another time. Where the system does not know when a file was made,
 * Node gives 0, or the time of the last change.
 */
export function isAnother(born: string, { birthtimeNs, ctimeNs }: BigIntStats): boolean {
  return birthtimeNs !== 0n && birthtimeNs !== ctimeNs && born !== '0' && born !== String(birthtimeNs)
}

export async function readAt(handle: FileHandle, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  const { bytesRead } = length > 0 ? await handle.read(bytes, 0, length, at) : { bytesRead: 0 }
  return bytes.subarray(0, bytesRead)
}
