// The queue of one upstream on disk: a line for each signal, one bound for their files together.
//
//   DIRECTORY/LOCK
//   DIRECTORY/traces/0000000000000001.q …  cursor  trying
//   DIRECTORY/metrics/…
//   DIRECTORY/logs/…
//
// A signal has files of its own, since its back end may be another one: what waits for one that is down must not keep the
// files of what has been sent to the others.

import { type Request, SIGNALS, type Signal } from '../../telemetry/request.ts'
import { BATCH, type Batch, type DiskState, type DiskSurroundings, type Held, type Queue } from '../queue.ts'
import { codeOf, type Files, files as real } from './files.ts'
import { ownFolder } from './folder.ts'
import { HEAD, recordBytes, SEGMENT_BYTES } from './format.ts'
import { Line } from './line.ts'
import { lock } from './lock.ts'
import { recover } from './recover.ts'
import type { Common } from './state.ts'

/** Written bytes are synced after this time, or as soon as they are so many. */
const SYNC_MS = 500
const SYNC_BYTES = 4 * 1024 * 1024
/** The cursor is saved, and a disk that failed is tried again, each so many of these times. */
const SAVE_TURNS = 2
const RETRY_TURNS = 10

/** Faults of the disk, which may pass; anything else is for an operator. */
const PASSING = [
  'ENOENT',
  'EACCES',
  'EPERM',
  'EROFS',
  'ENOSPC',
  'EDQUOT',
  'EIO',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'ENOTDIR',
  'ESTALE',
]

/**
 * Opens the queue of one upstream in a folder that is its own, with at most `most` bytes of files. Rejects only for what an
 * operator must mend: the folder belongs to another process or user, or to a newer version. A disk that cannot be written is
 * no such thing: the queue is in memory then, and tries again.
 */
export async function openDisk(
  directory: string,
  most: number,
  around: DiskSurroundings,
  files: Files = real,
): Promise<DiskQueue> {
  const queue = new DiskQueue(directory, most, around, files)
  await queue.open()
  return queue
}

export class DiskQueue implements Queue {
  readonly #directory: string
  readonly #most: number
  readonly #around: DiskSurroundings
  readonly #files: Files
  readonly #lines: readonly Line[]
  readonly #over = new AbortController()
  #lock: AsyncDisposable | undefined
  /** Bytes of all files. */
  #size = 0
  #torn = 0
  #flushing = false
  #turning: Promise<void> | undefined

  constructor(directory: string, most: number, around: DiskSurroundings, files: Files) {
    this.#directory = directory
    this.#most = most
    this.#around = around
    this.#files = files
    const common: Common = {
      files,
      clock: around.clock,
      log: around.log,
      memory: around.memory,
      segmentBytes: Math.max(64 * 1024, Math.min(SEGMENT_BYTES, Math.floor(most / 8))),
      windowBytes: Math.max(2 * BATCH, Math.floor(around.memory.most / 4 / SIGNALS.length)),
      durable: around.sync === 'request',
      lose: around.lose,
      readable: around.readable ?? (() => true),
      dropOldest: () => this.#dropOldest(),
      grow: bytes => {
        this.#size += bytes
      },
      dirty: signal => this.#dirty(this.#line(signal)),
      changed: () => this.#wake(),
    }
    this.#lines = SIGNALS.map(signal => new Line(signal, `${directory}/${signal}`, common))
  }

  /** Opens the folder, or what of it could not be opened before; resolves with whether that was possible. */
  async open(): Promise<boolean> {
    const { clock, log } = this.#around
    const directory = this.#directory
    try {
      await ownFolder(directory)
      this.#lock ??= await lock(directory, clock, () => {
        for (const line of this.#lines) line.leave()
      })
      for (const line of this.#lines) {
        if (line.opened) continue
        await ownFolder(line.state.folder)
        const found = await recover(this.#files, line.state.folder, log, () => clock.now())
        this.#torn += found.torn
        line.adopt(found)
      }
    } catch (error) {
      if (!PASSING.includes(codeOf(error) ?? '')) {
        await this.#lock?.[Symbol.asyncDispose]()
        this.#lock = undefined
        throw error
      }
      const first = !this.#lines.some(({ state }) => state.fault !== undefined)
      for (const line of this.#lines) if (!line.opened) line.fail(codeOf(error))
      if (first) log.error('cannot open the queue on disk; it is held in memory until it can', { directory, error })
      this.#wake()
      return false
    }
    const items = this.#lines.reduce((sum, { state }) => sum + state.recovered, 0)
    const torn = this.#torn
    if (items > 0 || torn > 0) log.info('found what an earlier process left in the queue', { directory, items, torn })
    this.#wake()
    return true
  }

  room({ signal, bytes: { length } }: Request): boolean {
    const line = this.#line(signal)
    if (line.state.fault !== undefined) return line.fits(length)
    const unwritten = this.#lines.reduce((sum, each) => sum + each.state.unwrittenBytes - each.retiredBytes, 0)
    return this.#size + unwritten + recordBytes(length) + HEAD <= this.#most
  }

  append(request: Request): void {
    const { signal, items, bytes } = request
    if (items === 0) return
    const line = this.#line(signal)
    if (!this.#makeRoom(recordBytes(bytes.length) + HEAD)) {
      this.#around.lose(signal, 'queue_full', items)
      return
    }
    line.append(request)
    if (line.state.fault !== undefined) this.#wake()
    else if (line.state.unwrittenBytes >= FLUSH_BYTES) line.flush()
    else if (!this.#flushing) {
      // Requests that come by many connections in one turn of the loop are written together.
      this.#flushing = true
      setImmediate(() => {
        this.#flushing = false
        for (const each of this.#lines) each.flush()
      })
    }
  }

  async sync(): Promise<boolean> {
    const safe = await Promise.all(this.#lines.map(line => line.sync()))
    return !safe.includes(false)
  }

  waiting(signal: Signal): number {
    return this.#line(signal).state.waiting
  }

  next(signal: Signal): Batch | undefined | Promise<Batch | undefined> {
    return this.#line(signal).next()
  }

  done(batch: Batch): void {
    this.#line(batch.signal).done(batch)
    this.#wake()
  }

  giveBack(batch: Batch): void {
    this.#line(batch.signal).giveBack(batch)
  }

  expire(time: number): void {
    for (const line of this.#lines) line.expire(time)
    this.#wake()
  }

  held(signal: Signal): Held {
    const { state, oldest } = this.#line(signal)
    return { items: state.items, bytes: { memory: state.memoryBytes, disk: state.diskBytes }, oldest }
  }

  recovered(signal: Signal): number {
    return this.#line(signal).state.recovered
  }

  disk(): DiskState {
    const corrupt = this.#lines.reduce((sum, { state }) => sum + state.corruptBytes, this.#torn)
    const poisoned = this.#lines.reduce((sum, each) => sum + each.state.poisoned, 0)
    const fault = this.#lines.find(each => each.state.fault !== undefined)?.state.fault
    return { usable: fault === undefined, fault, files: this.#size, corrupt, poisoned }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#over.signal.aborted) return
    this.#over.abort()
    await this.#turning
    for (const line of this.#lines) await line.close()
    for (const line of this.#lines) line.trim()
    await this.#lock?.[Symbol.asyncDispose]()
  }

  #line(signal: Signal): Line {
    return this.#lines[SIGNALS.indexOf(signal)]!
  }

  /** Frees space until so many bytes fit; false if they cannot. */
  #makeRoom(bytes: number): boolean {
    if (bytes > this.#most) return false
    while (this.#size + this.#unwrittenBytes + bytes > this.#most) {
      if (this.#lines.some(({ retiredBytes }) => retiredBytes > 0)) for (const each of this.#lines) each.purge()
      else if (!this.#dropFile() && !this.#dropOldest()) return false
    }
    return true
  }

  get #unwrittenBytes(): number {
    return (
      this.#lines[0]!.state.unwrittenBytes + this.#lines[1]!.state.unwrittenBytes + this.#lines[2]!.state.unwrittenBytes
    )
  }

  /** Loses the oldest file of those who fill the disk; false if there is none. */
  #dropFile(): boolean {
    const held = ({ state }: Line) => state.segments.reduce((sum, { size }) => sum + size, state.unwrittenBytes)
    return this.#mostFirst(held, ({ oldestFile }) => oldestFile).some(line => line.dropFile())
  }

  #dropOldest(): boolean {
    const waiting = this.#mostFirst(
      ({ state }) => state.memoryBytes,
      ({ oldestWaiting }) => oldestWaiting,
    )
    return waiting.some(line => line.dropOldest())
  }

  /** First those that hold more than their share, so that a flood of one signal costs no other; in both the oldest first. */
  #mostFirst(held: (line: Line) => number, oldest: (line: Line) => number): readonly Line[] {
    const all = this.#lines.map(line => ({ line, held: held(line), oldest: oldest(line) }))
    const holding = all.filter(each => each.held > 0)
    const share = holding.reduce((sum, each) => sum + each.held, 0) / holding.length
    const rank = (each: { held: number }) => (each.held >= share ? 0 : 1)
    return all.toSorted((a, b) => rank(a) - rank(b) || a.oldest - b.oldest).map(({ line }) => line)
  }

  /** Something was written. */
  #dirty(line: Line): void {
    if (this.#around.sync === 'request' || line.state.dirtyBytes >= SYNC_BYTES) line.startSync()
    this.#wake()
  }

  /** Has the slow work be done: at intervals, as long as there is some. */
  #wake(): void {
    this.#turning ??= this.#turn().finally(() => {
      this.#turning = undefined
    })
  }

  async #turn(): Promise<void> {
    const { signal } = this.#over
    for (let turn = 1; this.#busy; turn++) {
      try {
        await this.#around.clock.sleep(SYNC_MS, signal)
      } catch {
        return
      }
      await Promise.all(this.#lines.map(line => line.state.fault === undefined && line.startSync()))
      if (turn % SAVE_TURNS === 0) await Promise.all(this.#lines.map(line => line.save()))
      if (turn % RETRY_TURNS === 0) await this.#retry()
      if (turn % RETRY_TURNS === 0) for (const line of this.#lines) line.trim()
    }
  }

  get #busy(): boolean {
    return this.#lines.some(({ state, unsaved, unsynced }) => state.fault !== undefined || unsaved || unsynced)
  }

  async #retry(): Promise<void> {
    const { log } = this.#around
    const directory = this.#directory
    if (this.#lines.some(({ opened }) => !opened)) {
      try {
        if (!(await this.open())) return
      } catch (error) {
        log.error('cannot open the queue on disk', { directory, error })
        return
      }
    }
    for (const line of this.#lines) if (line.state.fault !== undefined) await line.retry()
  }
}

/** So many bytes that wait to be written are written at once. */
const FLUSH_BYTES = 256 * 1024
