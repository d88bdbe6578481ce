// The ring on disk, as its owner writes it. Its bytes are in the kernel as soon as a write is done, so they outlive a
// sudden end of this process; it is not synced, since what a machine was doing when it lost its power is not asked
// here.

import { constants, type FileHandle, lstat, open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { COUNTERS, GAUGES, type MomentRing } from '../../telemetry/moment.ts'
import { BLOCK, head, RING_BYTES, rowAt, rowSlot, sealed, stateAt, type TextEntry, textAt, textSlot } from './layout.ts'
import type { Identity, Owner } from './owner.ts'

export const COLUMNS = [...COUNTERS, ...GAUGES] as const

/** The name of a ring: its id is random. */
export const RING_NAME = /^ring-([0-9a-f]{16})\.bin$/
/** The name of a ring that one of those who found it has taken over. */
export const TAKEN_NAME = /^ring-([0-9a-f]{16})\.[0-9a-f]{8}\.taken$/

export interface RingHead {
  readonly id: string
  readonly version: string
  readonly made: number
  readonly owner: Owner | undefined
  readonly columns: readonly string[]
}

/** The application at the last look; small, since it must fit into a block. */
export interface RingState {
  /** The process that is observed; undefined while there is none. */
  readonly application?: Identity & {
    readonly child: boolean
    readonly since: number
    readonly port?: number | undefined
  }
  readonly name?: string | undefined
  readonly url?: string | undefined
  /** It has ended, and no record tells of it yet. */
  readonly ended?: { readonly reason: string; readonly evidence: string; readonly text: string; readonly at: number }
  /** When this was written: the last time that the sidecar is known to have lived. */
  readonly at: number
}

/** Zeros are written in pieces of this size. */
const PIECE = 256 * 1024
/** A disk that hangs must not gather writes without end: at most so many, of 512 bytes for the most part. */
const MOST_WAITING = 512

export class Ring {
  readonly id: string
  readonly path: string
  /** The first error of a write; there are no further ones then. */
  failed: unknown
  readonly #file: FileHandle
  #rows = 0
  #texts = 0
  #states = 0
  #waiting = 0
  #last: Promise<unknown> = Promise.resolve()
  #row = -1

  private constructor(id: string, path: string, file: FileHandle) {
    this.id = id
    this.path = path
    this.#file = file
  }

  /** Makes the file, with all the room that it will ever take. Rejects if there is none. */
  static async create(dir: string, about: Omit<RingHead, 'id' | 'columns'>): Promise<Ring> {
    const id = Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString('hex')
    const path = join(dir, `ring-${id}.bin`)
    // O_EXCL follows no link, and takes nobody's file.
    const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600)
    try {
      const zeros = Buffer.alloc(PIECE)
      for (let at = 0; at < RING_BYTES; at += PIECE) await file.write(zeros, 0, Math.min(PIECE, RING_BYTES - at), at)
      const first = head({ ...about, id, columns: COLUMNS } satisfies RingHead)
      await file.write(first, 0, first.length, 0)
      return new Ring(id, path, file)
    } catch (error) {
      await file.close().catch(() => {})
      await unlink(path).catch(() => {})
      throw error
    }
  }

  /** The newest row of the sampler, if it has not been written. */
  row(moments: MomentRing): void {
    const row = moments.next - 1
    if (row < moments.first || row === this.#row) return
    this.#row = row
    const values = COLUMNS.map(name => moments.value(name, row))
    this.#write(rowSlot(moments.wall(row), moments.monotonic(row), values, ++this.#rows), rowAt(this.#rows))
  }

  text(entry: TextEntry): void {
    this.#write(textSlot(entry, ++this.#texts), textAt(this.#texts))
  }

  state(state: RingState): void {
    this.#write(sealed(state, ++this.#states, BLOCK), stateAt(this.#states))
  }

  /** Resolves when what was written so far is with the kernel. */
  async settled(): Promise<void> {
    await this.#last
  }

  /** Whether the file is still in the folder. */
  async there(): Promise<boolean> {
    return (await this.#file.stat()).nlink > 0
  }

  /** Removes the file: nothing has ended suddenly. */
  async close(): Promise<void> {
    await this.#last
    // Somebody may have removed it, and put another file in its place.
    const [ours, there] = await Promise.all([this.#file.stat(), lstat(this.path)]).catch(() => [])
    await this.#file.close().catch(() => {})
    if (ours && ours.ino === there?.ino && ours.dev === there.dev) await unlink(this.path).catch(() => {})
  }

  #write(bytes: Buffer, at: number): void {
    if (this.failed !== undefined) return
    if (this.#waiting >= MOST_WAITING) {
      this.failed = new Error('the disk has not answered for a while')
      return
    }
    this.#waiting++
    // One at a time: a disk that hangs takes one of the few threads for files and names, and not all of them.
    this.#last = this.#last.then(async () => {
      try {
        if (this.failed === undefined) await this.#file.write(bytes, 0, bytes.length, at)
      } catch (error) {
        this.failed ??= error
      }
      this.#waiting--
    })
  }
}
