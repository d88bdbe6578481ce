// The position in each file, kept in a small file over a restart. It is written whole beside the old one and renamed,
// so that there is always one that can be read. A file is recognised by its device and inode, and, since inodes are
// used again, by a checksum of its beginning and of the bytes before the position.

import { open, readFile, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeFolder } from '../../own/folder.ts'

export interface Position {
  /** Device and inode, "2049:131". */
  readonly key: string
  /** When it was made, in nanoseconds since the epoch as a string; "0" where the file system does not say. */
  readonly born: string
  readonly path: string
  readonly offset: number
  /** Whether the offset stands inside of a line that was cut. */
  readonly skipping: boolean
  /** Length and CRC-32 of the beginning, and of the bytes before the offset. */
  readonly head: Checksum
  readonly tail: Checksum
}

export interface Checksum {
  readonly length: number
  readonly crc: number
}

export interface Kept {
  /** The sources that were followed: a file that is new to one of them is read from its beginning. */
  readonly sources: readonly string[]
  readonly positions: readonly Position[]
}

const VERSION = 1
/** A file of positions is larger only if it is none. */
const MOST_BYTES = 64 * 1024 * 1024

/**
 * The positions that were kept; undefined if there are none yet. Rejects with a message for an operator if it cannot
 * be used.
 */
export async function readPositions(file: string): Promise<Kept | undefined> {
  let text: string
  try {
    const bytes = await readFile(file)
    if (bytes.length > MOST_BYTES) throw new Error('it is too large')
    text = bytes.toString()
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw unusable(file, error)
  }
  try {
    return readKept(JSON.parse(text))
  } catch (error) {
    throw unusable(file, error)
  }
}

/** Returns what tells whether the file is still the one that was written. */
export async function writePositions(file: string, { sources, positions }: Kept): Promise<string> {
  // Another sidecar with the same file is a mistake, and must not leave one that is torn.
  const made = `${file}.${process.pid}.new`
  const handle = await open(made, 'w', 0o600).catch(async error => {
    if (codeOf(error) !== 'ENOENT') throw error
    await makeFolder(dirname(file))
    return await open(made, 'w', 0o600)
  })
  try {
    await handle.writeFile(`${JSON.stringify({ version: VERSION, sources, positions })}\n`)
    // Otherwise a crash of the machine may leave the new name with an empty file.
    await handle.datasync()
    const identity = identityOf(await handle.stat())
    await rename(made, file)
    return identity
  } finally {
    await handle.close()
  }
}

/** The identity of the file as it is now, as `writePositions` returns it; undefined if it is not there. */
export async function positionsIdentity(file: string): Promise<string | undefined> {
  return await stat(file).then(identityOf, () => undefined)
}

function identityOf({ dev, ino, mtimeMs }: { dev: number; ino: number; mtimeMs: number }): string {
  return `${dev}:${ino}:${mtimeMs}`
}

function readKept(value: unknown): Kept {
  const { version, sources, positions } = value as { version?: unknown; sources?: unknown; positions?: unknown }
  if (version !== VERSION) throw new Error(`it has version ${String(version)}, and this sidecar reads ${VERSION}`)
  if (!Array.isArray(sources) || !Array.isArray(positions)) throw new Error('it has no sources and positions')
  return { sources: sources.map(String), positions: positions.filter(isPosition) }
}

function isPosition(value: unknown): value is Position {
  if (typeof value !== 'object' || value === null) return false
  const { key, born, path, offset, skipping, head, tail } = value as Partial<Record<keyof Position, unknown>>
  return (
    [key, born, path].every(each => typeof each === 'string') &&
    Number.isSafeInteger(offset) &&
    (offset as number) >= 0 &&
    typeof skipping === 'boolean' &&
    [head, tail].every(isChecksum)
  )
}

function isChecksum(value: unknown): value is Checksum {
  if (typeof value !== 'object' || value === null) return false
  const { length, crc } = value as Partial<Record<keyof Checksum, unknown>>
  return (
    Number.isSafeInteger(length) && Number.isSafeInteger(crc) && (length as number) >= 0 && (length as number) <= 4096
  )
}

function unusable(file: string, cause: unknown): Error {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new Error(
    `cannot read the positions in ${file}: ${why}; delete it, or choose another with --files.positions`,
    { cause },
  )
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
