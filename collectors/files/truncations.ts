// Files that are truncated while they are followed (copytruncate): what stood in them and was not read is in their copies, which
// lie beside them under names of rotated files. There may be several copies, if a file was truncated several times between two
// looks. Of a file that is read from its beginning nothing tells that it was truncated again, but for a copy that nobody knows.

import type { BigIntStats } from 'node:fs'
import type { Host } from '../../telemetry/host.ts'
import { type Followed, HEAD, readAt } from './followed.ts'
import { type Before, copiesOf, copiesWithout, holds, madeSince } from './siblings.ts'

/** Follows a copy, and reads it from this offset. */
export type FollowCopy = (path: string, found: BigIntStats, from: number, of: Followed) => Promise<void>

export class Truncations {
  readonly #files: ReadonlyMap<string, Followed>
  readonly #log: Pick<Host['log'], 'warn'>
  /** Files that were truncated, as they were before. */
  #noticed: { readonly file: Followed; readonly before: Before }[] = []
  /** Files that were read from their beginning, and when they were last known to be as they were. */
  #begun: { readonly file: Followed; readonly since: number }[] = []

  constructor(files: ReadonlyMap<string, Followed>, log: Pick<Host['log'], 'warn'>) {
    this.#files = files
    this.#log = log
  }

  /** The file has other contents than those that were read; `looked` is the wall time before that was seen. */
  notice(file: Followed, looked: number): void {
    const { path, offset, tail, seen } = file
    this.#noticed.push({ file, before: { path, offset, tail, seen } })
    this.#count(file)
    file.restart()
    file.truncated = true
    file.seen = looked
    file.grown = looked
  }

  /** The file was read from its beginning, or is still empty after something was written to it. */
  begun(file: Followed, since: number): void {
    if (file.truncated && file.gone === undefined) this.#begun.push({ file, since })
  }

  get waiting(): boolean {
    return this.#noticed.length > 0 || this.#begun.length > 0
  }

  /** Has the copies read that hold what was not read. */
  async recover(follow: FollowCopy): Promise<void> {
    const [noticed, begun] = [this.#noticed, this.#begun]
    this.#noticed = []
    this.#begun = []
    for (const { file, before } of noticed)
      for (const { path, found, from } of await copiesOf(before, this.#files)) {
        // A copy of what was read from the beginning since has its turn when that is truncated.
        if (from === 0 && file.offset > 0 && (await holds({ path, found }, file))) continue
        await follow(path, found, from, file)
      }
    for (const { file, since } of begun)
      for (const { path, found } of await copiesWithout(file, since, this.#files)) {
        this.#count(file)
        await follow(path, found, 0, file)
      }
  }

  /**
   * The number of bytes from the beginning of a file that are read from a copy: it was made after the truncation was
   * noticed, and before these bytes were read.
   */
  async inCopy(file: Followed, bytes: Buffer): Promise<number> {
    for (const each of this.#files.values()) {
      if (each.copyOf !== file || !each.handle || !madeSince(each.born, file.seen)) continue
      const length = Math.min(HEAD, each.size, bytes.length)
      const begin = length > 0 ? await readAt(each.handle, 0, length).catch(() => undefined) : undefined
      if (begin?.equals(bytes.subarray(0, length))) return Math.min(each.size, bytes.length)
    }
    return 0
  }

  #count(file: Followed): void {
    file.source.truncations++
    this.#log.warn('a log file was truncated while it was followed: lines may be lost', { path: file.path })
  }
}
