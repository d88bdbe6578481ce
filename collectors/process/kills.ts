// Notices kills for lack of memory in time. When the only process of a container is killed, its runtime removes the
// cgroup some ten milliseconds later, and the count with it: even a descriptor that was kept says ENODEV then. So the
// count is read when it changes (v2 raises a file event), or many times a second where there is no event that Node can
// hear (v1).

import { type FSWatcher, readdirSync, watch } from 'node:fs'
import { type Controllers, parseKeyed } from './controllers.ts'
import { KeptFile, text } from './file.ts'

/**
 * Between looks at the count of a cgroup with a limit. Two reads take 2 µs, but a timer wakes the process, which makes
 * it 0.2 % of a core.
 */
const LOOK_MS = 50
/** The same while its memory is about to run out; after so many looks the pause is the usual one again. */
const NEAR_MS = 5
const NEAR_LOOKS = 400
const NEAR = 0.9

/** Tells when the number of kills of a cgroup may have changed, until it is disposed of. */
export class KillWatch implements Disposable {
  readonly #files: Controllers
  readonly #onChange: () => void
  #watcher: FSWatcher | undefined
  #timer: NodeJS.Timeout | undefined
  #usedBytes = Number.NaN
  #kills = Number.NaN
  #nearLooks = NEAR_LOOKS

  constructor(files: Controllers, onChange: () => void) {
    this.#files = files
    this.#onChange = onChange
    if (this.#listen()) return
    this.#kills = files.oomKills()
    this.#look()
  }

  [Symbol.dispose](): void {
    this.#watcher?.close()
    clearTimeout(this.#timer)
  }

  /** False where no event tells of changes: on v1, or when the machine has no inotify watches left. */
  #listen(): boolean {
    const path = this.#files.eventsPath
    if (path === undefined) return false
    try {
      const watcher = watch(path, { persistent: false }, this.#onChange)
      // The cgroup was removed, which is read elsewhere.
      watcher.on('error', () => watcher.close())
      this.#watcher = watcher
      return true
    } catch {
      return false
    }
  }

  /** Looks, and looks again later; not through the host's clock, whose promises would cost twice as much. */
  #look(): void {
    const kills = this.#files.oomKills()
    if (kills !== this.#kills) this.#onChange()
    this.#kills = kills
    const { usedBytes, limitBytes } = this.#files.memory()
    // The cgroup has been removed; or it has no limit, and then it runs out of memory only with the whole machine.
    if (Number.isNaN(kills) || Number.isNaN(limitBytes)) return
    const grown = usedBytes - this.#usedBytes
    const near = usedBytes > NEAR * limitBytes || usedBytes + 2 * grown > limitBytes
    this.#usedBytes = usedBytes
    this.#nearLooks = near ? this.#nearLooks - 1 : NEAR_LOOKS
    const pauseMs = near && this.#nearLooks > 0 ? NEAR_MS : LOOK_MS
    this.#timer = setTimeout(() => this.#look(), pauseMs).unref()
  }
}

/** With more cgroups beside it than these, the count of the one above proves nothing. */
const SIBLINGS = 64

/**
 * The count of the cgroup above, which on v2 includes those below it and outlives them. It proves a kill in a cgroup
 * that has vanished if nothing else below it has a kill to its name.
 */
export class ParentCount implements Disposable {
  readonly #folder: string
  readonly #file: KeptFile
  #before: number

  constructor(folder: string) {
    this.#folder = folder
    this.#file = new KeptFile(`${folder}/memory.events`)
    this.#before = killsOf(this.#file)
  }

  /** To be called when the count of the cgroup below has been read, so that it is known up to now. */
  look(): void {
    this.#before = killsOf(this.#file)
  }

  /** Kills since the last look, if they can only have been in the cgroup that has vanished; else 0. */
  unclaimed(): number {
    const grown = killsOf(this.#file) - this.#before
    return grown > 0 && !this.#claimed() ? grown : 0
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]()
  }

  #claimed(): boolean {
    const beside: string[] = []
    try {
      for (const entry of readdirSync(this.#folder, { withFileTypes: true }))
        if (entry.isDirectory()) beside.push(`${this.#folder}/${entry.name}/memory.events`)
    } catch {
      return true
    }
    if (beside.length > SIBLINGS) return true
    return [`${this.#folder}/memory.events.local`, ...beside].some(path => {
      using file = new KeptFile(path)
      // A count that cannot be read may have grown, unless its cgroup has just been removed.
      const length = file.read()
      return length !== 'gone' && (typeof length === 'string' || parseKeyed(text(length), 'oom_kill') !== 0)
    })
  }
}

/** Kills on the whole machine, by /proc/vmstat (Linux 4.13 and later), which every user and container can read. */
export class MachineCount implements Disposable {
  readonly #file: KeptFile
  #before: number

  constructor(proc: string) {
    this.#file = new KeptFile(`${proc}/vmstat`)
    this.#before = killsOf(this.#file)
  }

  /** Kills since the last call. */
  grown(): number {
    const before = this.#before
    this.#before = killsOf(this.#file)
    return Math.max(0, this.#before - before)
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]()
  }
}

function killsOf(file: KeptFile): number {
  const length = file.read()
  return typeof length === 'string' ? Number.NaN : parseKeyed(text(length), 'oom_kill')
}
