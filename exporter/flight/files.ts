// The records in the folder: named in the order in which they were written, bounded in number and bytes, read only if
// they are what they should be. The folder may be shared, and its clock may be set.

import { constants, type FileHandle, lstat, open, readdir, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFolder } from '../../own/folder.ts'
import type { Trigger } from './families.ts'

export interface Bounds {
  readonly keep: number
  readonly max_bytes: number
}

export interface Kept {
  readonly name: string
  readonly sequence: number
  readonly trigger: string
  readonly bytes: number
  /** When it was written last, in milliseconds since the epoch. */
  readonly at: number
}

/** The order is by number, not by time: a clock that is set back must not make new records the oldest. */
const NAME = /^flight-(\d{6,12})-\d{8}T\d{6}Z-([a-z]{1,16})(?:-([0-9a-f]{16}))?\.html$/
/** A record that was being written when the sidecar ended. */
const PART = /^flight-[\w-]{1,100}\.html\.part$/
/** The end of the year 9999: a ring may say any time. */
const LATEST = 253_402_300_799_999
export const LARGEST = 8 * 2 ** 20
/** Names of ours that are looked at; those of other files in the folder do not count. */
const OURS = /^(?:flight|ring)-/
const MOST_ENTRIES = 10_000
/** Sidecars that share the folder may choose the same name at the same moment. */
const MOST_TRIES = 20

export function isRecordName(name: string): boolean {
  return NAME.test(name)
}

export class Files {
  readonly dir: string
  bounds: Bounds
  readonly #removed: (limit: keyof Bounds) => void

  constructor(dir: string, bounds: Bounds, removed: (limit: keyof Bounds) => void) {
    this.dir = dir
    this.bounds = bounds
    this.#removed = removed
  }

  /** Makes the folder if it is not there, for its owner alone. */
  async prepare(): Promise<void> {
    await makeFolder(this.dir)
  }

  /** The records, the newest first. */
  async list(): Promise<readonly Kept[]> {
    const found: Kept[] = []
    for (const name of await this.names()) {
      const [, sequence, trigger] = NAME.exec(name) ?? []
      if (sequence === undefined) continue
      const stat = await lstat(join(this.dir, name)).catch(() => undefined)
      if (stat?.isFile())
        found.push({ name, sequence: Number(sequence), trigger: trigger!, bytes: stat.size, at: stat.mtimeMs })
    }
    return found.sort((a, b) => b.sequence - a.sequence || (a.name < b.name ? 1 : -1))
  }

  async names(): Promise<readonly string[]> {
    return (await readdir(this.dir)).filter(name => OURS.test(name)).slice(0, MOST_ENTRIES)
  }

  /** Writes a record, and removes the oldest beyond the bounds. `ring` is the id of the ring that it was made from. */
  async put(trigger: Trigger, at: number, text: string, ring?: string): Promise<string> {
    const time = new Date(Math.min(Math.max(at, 0), LATEST)).toISOString().replace(/[-:]|\.\d+/g, '')
    for (let tries = 1; ; tries++) {
      const numbers = (await this.names()).map(name => Number(NAME.exec(name.replace(/\.part$/, ''))?.[1] ?? 0))
      const next = numbers.reduce((most, each) => Math.max(most, each), 0) + 1
      const name = `flight-${String(next).padStart(6, '0')}-${time}-${trigger}${ring ? `-${ring}` : ''}.html`
      if (await this.#write(name, text)) {
        await this.prune()
        return name
      }
      if (tries === MOST_TRIES) throw new Error(`others write to ${this.dir} all the time`)
    }
  }

  /** Writes a record again, with more in it. */
  async replace(name: string, text: string): Promise<void> {
    if (isRecordName(name)) await this.#write(name, text, true)
  }

  /** Whether a record was made from the ring of this id. */
  async tellsOf(ring: string): Promise<boolean> {
    return (await this.names()).some(name => NAME.exec(name)?.[3] === ring)
  }

  /** Removes the oldest beyond the bounds; never the newest. */
  async prune(): Promise<void> {
    const { keep, max_bytes } = this.bounds
    let bytes = 0
    for (const [i, each] of (await this.list()).entries()) {
      bytes += each.bytes
      const limit = i >= keep ? 'keep' : bytes > max_bytes && i > 0 ? 'max_bytes' : undefined
      if (!limit) continue
      await unlink(join(this.dir, each.name)).catch(() => {})
      bytes -= each.bytes
      this.#removed(limit)
    }
  }

  /** Removes what a sidecar that ended suddenly has left half written. */
  async sweep(olderThan: number): Promise<void> {
    for (const name of await this.names()) {
      if (!PART.test(name)) continue
      const stat = await lstat(join(this.dir, name)).catch(() => undefined)
      if (stat?.isFile() && stat.mtimeMs < olderThan) await unlink(join(this.dir, name)).catch(() => {})
    }
  }

  /** The text of a record; undefined if there is none of this name. */
  async read(name: string): Promise<Buffer | undefined> {
    return isRecordName(name) ? await readFile(join(this.dir, name), LARGEST) : undefined
  }

  /** False if another has, or is about to have, a record of this name, unless it is to be replaced. */
  async #write(name: string, text: string, again = false): Promise<boolean> {
    const part = join(this.dir, `${name}.part`)
    if (again) await unlink(part).catch(() => {})
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
    let file: FileHandle
    try {
      // O_EXCL follows no link that somebody has put there, and takes the name from all who share the folder.
      file = await open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
    } catch (error) {
      if (!again && error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
      throw error
    }
    try {
      if (!again && (await lstat(join(this.dir, name)).catch(() => undefined))) {
        await file.close()
        await unlink(part)
        return false
      }
      await writeAll(file, Buffer.from(text))
      // Replaces a link of this name, and does not follow it.
      await rename(part, join(this.dir, name))
      // A reader that looks for it need not wait for the disk.
      await file.datasync()
      await file.close()
      return true
    } catch (error) {
      await file.close().catch(() => {})
      await unlink(part).catch(() => {})
      throw error
    }
  }
}

async function writeAll(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, bytes.length - at, at)).bytesWritten
}

/** The bytes of a plain file of at most this size; undefined for anything else. Follows no link, and waits for no pipe. */
export async function readFile(path: string, most: number): Promise<Buffer | undefined> {
  let file: FileHandle
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : ''
    if (code === 'ENOENT' || code === 'ELOOP' || code === 'EMLINK') return undefined
    throw error
  }
  try {
    const stat = await file.stat()
    return stat.isFile() && stat.size <= most ? await file.readFile() : undefined
  } finally {
    await file.close()
  }
}
