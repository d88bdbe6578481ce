// Which files are followed: finds those that the sources name, tells renamed, deleted, truncated and new ones apart, and gives up
// those that have lost their name and have been read. Opens them, and closes what is idle.

import type { BigIntStats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { Host } from '../../telemetry/host.ts'
import { bornOf, Followed, HEAD, isAnother, keyOf, readAt } from './followed.ts'
import type { FilesOptions } from './options.ts'
import { codeOf, type Kept, type Position } from './positions.ts'
import { isRotated, siblings } from './siblings.ts'
import type { Source } from './source.ts'
import { Told } from './told.ts'
import type { Truncations } from './truncations.ts'

/** All names are looked at this often at least, and once in 2 ms for each file. */
const SWEEP_MS = 1000
/** A file that has changed within this time is looked at in each turn. */
const RECENT_MS = 30_000
/** A file without its name is given up after this time without a further byte. */
const GONE_MS = 5000
/** Meanwhile it is looked at this often. */
const GONE_LOOK_MS = 200

/** Lines that were passed over: their first offset, and the way to say how many they were. */
export interface Skipped {
  readonly from: number
  dropped(lines: number): void
}

export interface FinderSurroundings extends Pick<Host, 'clock' | 'log'> {
  /** Positions of the last run; undefined if none are kept, or none were yet. */
  readonly kept: Kept | undefined
  /** Told when positions have to be kept; `found` says that a new file is followed. */
  changed(found: boolean): void
}

export class Finder {
  readonly #options: Pick<FilesOptions, 'max_files' | 'max_open'>
  readonly #sources: readonly Source[]
  readonly #around: FinderSurroundings
  readonly #files: Map<string, Followed>
  readonly #truncations: Truncations
  /** The file that had each name last, even if there is none of that name now. */
  readonly #named = new Map<string, Followed>()
  /** Offsets up to which files that have not been found yet are passed over, by path. */
  readonly #passedOver = new Map<string, number>()
  readonly #resumed: Map<string, Position>
  /** Files that could not be followed at the first look, as they were then, by key; `max_files` at the most. */
  readonly #early = new Map<string, { readonly born: string; readonly size: number }>()
  readonly #unfollowed = new Map<Source, number>()
  readonly #told: Told
  #swept = Number.NEGATIVE_INFINITY
  #first = true

  constructor(
    options: Pick<FilesOptions, 'max_files' | 'max_open'>,
    sources: readonly Source[],
    files: Map<string, Followed>,
    truncations: Truncations,
    around: FinderSurroundings,
  ) {
    this.#options = options
    this.#sources = sources
    this.#around = around
    this.#files = files
    this.#truncations = truncations
    this.#resumed = new Map(around.kept?.positions.map(each => [each.key, each]))
    this.#told = new Told(around.clock)
  }

  /** Files of a source that are not followed. */
  unfollowed(source: Source): number {
    return this.#unfollowed.get(source) ?? 0
  }

  /** Passes over the text before this offset of a file, found or not; undefined if it was read that far. */
  passOver(path: string, offset: number): Skipped | undefined {
    for (const file of this.#files.values()) {
      if (file.path !== path) continue
      const { offset: from, source } = file
      if (from >= offset) return undefined
      file.passOver(offset)
      return { from, dropped: lines => source.drop('overflow', lines) }
    }
    const source = this.#sources.find(({ options }) => options.paths.includes(path))
    const from = this.#passedOver.get(path) ?? 0
    if (!source || from >= offset) return undefined
    this.#passedOver.set(path, offset)
    return { from, dropped: lines => source.drop('overflow', lines) }
  }

  /** A file that has not been found yet is read from its beginning again. */
  forgetPassedOver(path: string): void {
    this.#passedOver.delete(path)
  }

  /** The next look is at all names. */
  hurry(): void {
    this.#swept = Number.NEGATIVE_INFINITY
  }

  /** Looks at all names when it is time, otherwise at the files that were written lately. */
  async look(now: number): Promise<void> {
    if (now - this.#swept < Math.max(SWEEP_MS, this.#files.size * 2)) await this.#recent(now)
    if (now - this.#swept >= Math.max(SWEEP_MS, this.#files.size * 2)) await this.#sweep(now)
  }

  /** Follows a copy that was found beside a file that was truncated. */
  async copy(path: string, found: BigIntStats, from: number, of: Followed): Promise<void> {
    const known = this.#files.get(keyOf(found))
    // Otherwise it is being read already.
    if (known?.passed === false) return
    if (!known && !(await this.#follow(path, found, of.source, this.#around.clock.monotonic(), true))) return
    const copy = this.#files.get(keyOf(found))
    if (!copy) return
    copy.passed = false
    copy.copyOf = of
    // If it cannot be read now, the reader says so.
    await copy.startAt(from).catch(() => {})
  }

  /** Gives up files without a name that have been read to their end. */
  async forget(): Promise<void> {
    const now = this.#around.clock.monotonic()
    for (const file of this.#files.values()) {
      if (file.gone === undefined || now - file.changed < GONE_MS) continue
      if (file.handle && file.waiting) continue
      await file.close()
      this.#files.delete(file.key)
      for (const [path, each] of this.#named) if (each === file) this.#named.delete(path)
      this.#around.changed(false)
    }
  }

  /** Finds the files that there are now. */
  async #sweep(now: number): Promise<void> {
    this.#swept = now
    const seen = new Set<string>()
    const replaced: { readonly name: string; readonly before: Followed }[] = []
    this.#unfollowed.clear()
    for (const source of this.#sources)
      for (const path of await source.find()) {
        const looked = this.#around.clock.now()
        const found = await stat(path, { bigint: true }).catch(error => this.#untouchable(source, path, error))
        if (!found?.isFile()) continue
        const key = keyOf(found)
        const before = this.#named.get(path)
        if (before && before.key !== key) replaced.push({ name: path, before })
        if (seen.has(key)) continue
        const known = this.#files.get(key)
        if (known && !this.#reused(known, found)) {
          seen.add(key)
          known.path = path
          this.#named.set(path, known)
          known.gone = undefined
          this.#saw(known, found, now, looked)
          continue
        }
        if (known) continue
        if (this.#files.size >= this.#options.max_files)
          this.#leave(source, path, `there are ${this.#files.size} files already`)
        else if (await this.#follow(path, found, source, now)) {
          seen.add(key)
          continue
        }
        if (this.#first && this.#early.size < this.#options.max_files)
          this.#early.set(key, { born: bornOf(found), size: Number(found.size) })
      }
    // A file that was created and renamed between two looks never had a name that is followed.
    for (const { name, before } of replaced)
      for (const { path, found } of await siblings(name, before, this.#files))
        if (await this.#follow(path, found, before.source, now, true)) seen.add(keyOf(found))
    for (const each of this.#files.values()) if (!seen.has(each.key)) await this.#nameless(each, now)
    if (this.#first) for (const key of this.#resumed.keys()) if (!this.#early.has(key)) this.#resumed.delete(key)
    this.#first = false
  }

  /** Whether another file has got the inode, which is possible only while we do not hold it open. */
  #reused(known: Followed, found: BigIntStats): boolean {
    if (known.handle || !isAnother(known.born, found)) return false
    this.#files.delete(known.key)
    return true
  }

  /** Looks at the files that were written lately. */
  async #recent(now: number): Promise<void> {
    for (const each of this.#files.values()) {
      if (each.gone !== undefined) await this.#nameless(each, now)
      else if (now - each.changed <= RECENT_MS) {
        const looked = this.#around.clock.now()
        const found = await stat(each.path, { bigint: true }).catch(() => undefined)
        if (found && keyOf(found) === each.key) this.#saw(each, found, now, looked)
        // Renamed or deleted: what has its name now is found by the next sweep, which is at once.
        else this.hurry()
      }
    }
  }

  /** `looked` is the wall time before the question: its answer may have waited. */
  #saw(file: Followed, found: BigIntStats, now: number, looked: number): void {
    const size = Number(found.size)
    const before = file.size
    const written = found.mtimeNs !== file.modified
    file.modified = found.mtimeNs
    if (size === before && !written) {
      file.seen = looked
      return
    }
    file.size = size
    if (size !== before) file.changed = now
    if (size < before) {
      this.#truncations.notice(file, looked)
      this.#around.changed(false)
      return
    }
    // It may have other contents; the next read tells.
    file.grown = looked
    if (size === before) file.doubtful = true
  }

  /** It has no name that is followed any more. */
  async #nameless(file: Followed, now: number): Promise<void> {
    if (file.gone === undefined) {
      file.gone = now
      file.changed = now
      file.source.rotations++
    }
    // Few write to it still.
    if (now - file.looked < GONE_LOOK_MS) return
    file.looked = now
    const found = await file.handle?.stat({ bigint: true }).catch(() => undefined)
    if (found) this.#saw(file, found, now, file.seen)
  }

  /** False if it cannot be followed now. */
  async #follow(path: string, found: BigIntStats, source: Source, now: number, missed = false): Promise<boolean> {
    const file = new Followed(keyOf(found), bornOf(found), path, source, now)
    file.size = Number(found.size)
    file.modified = found.mtimeNs
    file.seen = this.#around.clock.now()
    if (!(await this.open(file))) return false
    if (missed) {
      file.gone = now
      source.rotations++
    } else {
      try {
        await this.#begin(file, found)
      } catch (error) {
        await file.close()
        this.#untouchable(source, path, error)
        return false
      }
    }
    const to = this.#passedOver.get(path)
    if (to !== undefined && to > file.offset) file.passOver(to)
    this.#passedOver.delete(path)
    this.#files.set(file.key, file)
    if (!missed) this.#named.set(path, file)
    this.#around.changed(true)
    // It is opened again when it is read.
    if (this.#openFiles > this.#options.max_open && file.gone === undefined) await file.close()
    return true
  }

  /** Puts a file where reading begins. Rejects if it cannot be read. */
  async #begin(file: Followed, found: BigIntStats): Promise<void> {
    if (await this.#resume(file, found)) return
    const { source } = file
    const known = this.#around.kept?.sources.includes(source.name) ?? false
    const early = this.#first ? file : this.#early.get(file.key)
    const later = !early || early.size > file.size || isAnother(early.born, found)
    const whole = later || known || source.options.start === 'beginning'
    if (!whole) await file.startAt(await this.#lineStart(file, early.size))
    else if (await this.#isCopy(file)) {
      file.passed = true
      await file.startAt(file.size)
    }
  }

  async #resume(file: Followed, found: BigIntStats): Promise<boolean> {
    const position = this.#resumed.get(file.key)
    return position !== undefined && (await file.resume(position, found))
  }

  /** This offset, or the beginning of the line around it. */
  async #lineStart({ handle }: Followed, size: number): Promise<number> {
    if (!handle) return size
    const length = Math.min(size, 64 * 1024)
    const newline = (await readAt(handle, size - length, length)).lastIndexOf(10)
    return newline < 0 ? size : size - length + newline + 1
  }

  /** Whether it is the copy that copytruncate makes of a file that is followed: its lines were read there. */
  async #isCopy(file: Followed): Promise<boolean> {
    if (!file.handle || file.size < HEAD) return false
    let head: Buffer | undefined
    for (const each of this.#files.values()) {
      if (each.source !== file.source || !each.handle || each.offset < HEAD || each.offset > file.size) continue
      // A file that got the name of another after a rotation is new, even if it begins with the same lines.
      if (each.gone !== undefined || each.path === file.path) continue
      if (isRotated(basename(each.path), basename(file.path))) continue
      head ??= await readAt(file.handle, 0, HEAD)
      const at = each.offset - each.tail.length
      if (!(await readAt(file.handle, at, each.tail.length)).equals(each.tail)) continue
      const begin = await readAt(each.handle, 0, HEAD).catch(() => undefined)
      if (begin && head.equals(begin)) return true
    }
    return false
  }

  /** False if it is not open and cannot be opened now. */
  async open(file: Followed): Promise<boolean> {
    if (file.handle) return true
    await this.#closeIdle()
    try {
      return await file.open()
    } catch (error) {
      this.#untouchable(file.source, file.path, error)
      return false
    }
  }

  /** Makes room for one more: closes the file that was idle the longest, if it has been read to its end and has its name. */
  async #closeIdle(): Promise<void> {
    if (this.#openFiles < this.#options.max_open) return
    const idle = [...this.#files.values()].filter(
      each => each.handle && each.unread === 0 && each.gone === undefined && each.held === undefined,
    )
    await idle.sort((a, b) => a.used - b.used)[0]?.close()
  }

  get #openFiles(): number {
    let count = 0
    for (const each of this.#files.values()) if (each.handle) count++
    return count
  }

  #untouchable(source: Source, path: string, error: unknown): undefined {
    const code = codeOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    return this.#leave(source, path, error instanceof Error ? error.message : String(error))
  }

  #leave(source: Source, path: string, why: string): undefined {
    this.#unfollowed.set(source, (this.#unfollowed.get(source) ?? 0) + 1)
    if (!this.#told.due(source.name)) return undefined
    this.#around.log.warn('cannot follow a log file', { source: source.name, path, why })
    return undefined
  }
}
