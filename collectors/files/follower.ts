// Follows the files of all sources: one round after another, each looks which files there are and reads what is new in them. One
// thing happens at a time, and files that are followed have one place where they are.

import type { Host } from '../../telemetry/host.ts'
import type { Intake } from '../../telemetry/intake.ts'
import type { Allotment } from '../../telemetry/memory.ts'
import { Finder, type Skipped } from './finder.ts'
import type { Followed } from './followed.ts'
import type { FilesOptions } from './options.ts'
import { type Kept, type Position, positionsIdentity, writePositions } from './positions.ts'
import { Reader } from './reader.ts'
import type { Source } from './source.ts'
import { Truncations } from './truncations.ts'

/** Positions are written this often at most. */
const KEEP_MS = 1000

export interface FollowerSurroundings extends Pick<Host, 'clock' | 'log'> {
  readonly intake: Intake
  readonly memory: Allotment
  /** Positions of the last run; undefined if none are kept, or none were yet. */
  readonly kept: Kept | undefined
  /** Told when the positions could not be written. */
  unkept(error: unknown): void
  /** Another sidecar writes the file of the positions too. */
  shared(): void
}

export class Follower implements AsyncDisposable {
  readonly #options: FilesOptions
  readonly #sources: readonly Source[]
  readonly #around: FollowerSurroundings
  readonly #files = new Map<string, Followed>()
  readonly #truncations: Truncations
  readonly #finder: Finder
  readonly #reader: Reader
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  /** The identity of the file of the positions, as it was written last. */
  #lastPositions: string | undefined
  /** When positions were written, whether they have changed since, and whether a file has been found since. */
  #written = 0
  #changed = false
  #found = false
  #turn: Promise<void> = Promise.resolve()

  constructor(options: FilesOptions, sources: readonly Source[], around: FollowerSurroundings) {
    this.#options = options
    this.#sources = sources
    this.#around = around
    const { clock, log, intake, memory, kept } = around
    const changed = (found = false): void => {
      this.#changed = true
      if (found) this.#found = true
    }
    this.#truncations = new Truncations(this.#files, log)
    const finder = new Finder(options, sources, this.#files, this.#truncations, { clock, log, kept, changed })
    const open = (file: Followed): Promise<boolean> => finder.open(file)
    this.#finder = finder
    this.#reader = new Reader(this.#files, this.#truncations, { clock, log, intake, memory, open, changed })
    this.#done = this.#run()
  }

  /** Files that are followed, and bytes that are unread, by source. */
  *counts(): Iterable<{ source: Source; files: number; unfollowed: number; behind: number }> {
    for (const source of this.#sources) {
      let [files, behind] = [0, 0]
      for (const each of this.#files.values()) {
        if (each.source !== source) continue
        files++
        behind += each.unread
      }
      yield { source, files, unfollowed: this.#finder.unfollowed(source), behind }
    }
  }

  /** The position up to which this file was read; undefined if it is not followed. */
  offset(path: string): number | undefined {
    for (const each of this.#files.values()) if (each.path === path) return each.offset
    return undefined
  }

  /** Passes over the text before this offset of a file; undefined if it was read that far. */
  passOver(path: string, offset: number): Skipped | undefined {
    return this.#finder.passOver(path, offset)
  }

  /** The file was truncated by whoever made it: it is read from its beginning, and there is no copy to look for. */
  restart(path: string): void {
    for (const file of this.#files.values()) {
      if (file.path !== path) continue
      file.source.truncations++
      file.restart()
    }
    this.#finder.forgetPassedOver(path)
  }

  /** Looks at all files now, and reads what they have, to their end. */
  async finish(signal: AbortSignal): Promise<void> {
    this.#finder.hurry()
    await this.#exclusive(() => this.#round(true, signal))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#done
    await this.#exclusive(async () => {
      this.#reader.end()
      await this.#reader.hand(AbortSignal.timeout(1000))
      await this.#keep()
      for (const each of this.#files.values()) await each.close()
    })
    this.#files.clear()
    this.#reader.giveBack()
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#around
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        await this.#exclusive(() => this.#round(false, signal))
      } catch (error) {
        if (signal.aborted) return
        log.error('cannot follow log files', { error })
      }
      await clock.sleep(this.#options.poll, signal).catch(() => {})
    }
  }

  /** A round and the last one do not mix. */
  #exclusive(act: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(act)
    this.#turn = turn.catch(() => {})
    return turn
  }

  async #round(last: boolean, signal: AbortSignal): Promise<void> {
    const { clock } = this.#around
    const now = clock.monotonic()
    await this.#finder.look(now)
    await this.#recover()
    // Before its first line is read: after a sudden end a file that nobody knows would be followed from its end.
    if (this.#found) await this.#keep()
    await this.#reader.read(last, signal)
    if (this.#truncations.waiting) {
      await this.#recover()
      if (last) await this.#reader.read(last, signal)
    }
    await this.#finder.forget()
    if (this.#changed && now - this.#written >= KEEP_MS) await this.#keep()
    this.#reader.rest(now)
  }

  #recover(): Promise<void> {
    return this.#truncations.recover((...copy) => this.#finder.copy(...copy))
  }

  async #keep(): Promise<void> {
    const { positions: path } = this.#options
    this.#changed = false
    this.#found = false
    this.#written = this.#around.clock.monotonic()
    if (path === undefined) return
    const positions: Position[] = []
    for (const each of this.#files.values()) positions.push(await each.position())
    try {
      const last = this.#lastPositions
      const found = last === undefined ? undefined : await positionsIdentity(path)
      if (found !== undefined && found !== last) this.#around.shared()
      this.#lastPositions = await writePositions(path, { sources: this.#sources.map(each => each.name), positions })
    } catch (error) {
      this.#changed = true
      this.#around.unkept(error)
    }
  }
}
