// The records of one signal on disk, first in, first out. Everything is written before its sender is answered, and most of it
// is sent from memory and never read again:
//
//   file   | acknowledged | out | window | only in the files | (not written yet)
//   memory                | out | window |                   |  unwritten
//
// Records are handed out from the window. As long as nothing is only in the files, new records join it. When it is full they
// are only written, and read when their turn comes; when the files have been read to their end, new ones join it again. While
// the disk cannot be written, records stay in memory, and are written when it can.
//
// Its state is in state.ts; each of append.ts, window.ts, write.ts, sync.ts, read.ts, lose.ts and removal.ts does one thing
// with it.

import { setImmediate as nextTurn } from 'node:timers/promises'

import type { Request, Signal } from '../../telemetry/request.ts'
import { BATCH, type Batch } from '../queue.ts'
import { append } from './append.ts'
import { writeCursor } from './cursor.ts'
import { DiskBatch } from './entry.ts'
import { broken, makeFolder, mended } from './fault.ts'
import { codeOf } from './files.ts'
import { HEAD } from './format.ts'
import { dropFile, dropOldest, droppable, expire } from './lose.ts'
import { readOn } from './read.ts'
import { closeFile, stopScan, unlink } from './removal.ts'
import { type Common, LineState, type Recovered } from './state.ts'
import { settle, startSync, syncNow } from './sync.ts'
import { evict, forget, refill, takeBatch } from './window.ts'
import { flush } from './write.ts'

export class Line {
  readonly #line: LineState

  /** Holds everything in memory until it is given what is in its folder. */
  constructor(signal: Signal, folder: string, common: Common) {
    this.#line = new LineState(signal, folder, common, settle)
  }

  get state(): Readonly<LineState> {
    return this.#line
  }

  /** It has been given what is in its folder. */
  get opened(): boolean {
    return this.#line.marks !== undefined
  }

  /** Goes on with what an earlier process has left; once. */
  adopt({ segments, acked, next, marks }: Recovered): void {
    const line = this.#line
    line.segments.unshift(...segments)
    for (const [first, last] of acked) line.acked.add(first, last)
    line.next = next
    line.marks = marks
    for (const { items, bytes, size } of segments) {
      line.items += items
      line.diskBytes += bytes
      line.waiting += bytes
      line.recovered += items
      line.common.grow(size)
    }
    // Records already in memory come first, and are written behind them.
    line.mixed = line.unwritten.length > 0
    const [first] = segments
    if (first) line.resume = { segment: first, at: HEAD }
  }

  /** It could not be given it: it is in memory until then. */
  fail(fault: string | undefined): void {
    this.#line.fault = fault
  }

  /** Whether a request fits into the memory that it needs until it is written. */
  fits(length: number): boolean {
    return this.#line.chunks.fits(length)
  }

  append(request: Request): void {
    append(this.#line, request)
  }

  /** Resolves with whether everything that was appended before is as safe as was asked for. */
  sync(): Promise<boolean> {
    const line = this.#line
    const count = line.appendedCount
    if (line.safe >= count) return SAFE
    if (line.fault !== undefined) return UNSAFE
    return new Promise(resolve => {
      line.waiters.push({ count, resolve })
      settle(line)
    })
  }

  /** Writes what is not written, at once unless a file has to be opened for it or the disk is slow. */
  flush(): void {
    void flush(this.#line)
  }

  /** Tries again to write and to sync. */
  async retry(): Promise<void> {
    const line = this.#line
    if (line.fault === 'ENOENT') await makeFolder(line)
    if (this.opened && line.fault !== undefined && line.unwritten.length === 0 && line.syncFailures === 0) mended(line)
    await flush(line, true)
    if (line.syncFailures > 0) await startSync(line)
  }

  /** Has the disk take what was written; one at a time. */
  startSync(): Promise<void> {
    return startSync(this.#line)
  }

  /** The same as in `Queue`. */
  next(): Batch | undefined | Promise<Batch | undefined> {
    const line = this.#line
    const returned = line.returned.shift()
    if (returned) {
      line.waiting -= returned.bytes.length
      line.out.add(returned)
      return returned
    }
    if (line.windowBytes < BATCH && line.resume) return readOn(line).then(() => takeBatch(line))
    refill(line)
    return takeBatch(line)
  }

  done(batch: Batch): void {
    if (!(batch instanceof DiskBatch) || !this.#line.out.delete(batch)) return
    for (const entry of batch.entries) forget(this.#line, entry)
  }

  giveBack(batch: Batch): void {
    const line = this.#line
    if (!(batch instanceof DiskBatch) || !line.out.delete(batch)) return
    line.waiting += batch.bytes.length
    line.returned.push(batch)
    line.returned.sort((a, b) => a.received - b.received)
  }

  /**
   * Loses what came in before `time` and is not handed out. A record only in a file is judged by the file, or when it
   * is read.
   */
  expire(time: number): void {
    expire(this.#line, time)
  }

  /** When the oldest that is held came in; when the oldest that is not out did. */
  get oldest(): number | undefined {
    let oldest = this.oldestWaiting
    for (const { received } of this.#line.out) oldest = Math.min(oldest, received)
    return oldest === Infinity ? undefined : oldest
  }

  get oldestWaiting(): number {
    const { loose, unwritten, returned, window, resume } = this.#line
    const next = loose > 0 ? unwritten.at(-loose) : undefined
    return Math.min(
      returned[0]?.received ?? Infinity,
      window[0]?.received ?? Infinity,
      resume?.segment.oldest ?? Infinity,
      next?.received ?? Infinity,
    )
  }

  /**
   * Loses the oldest file of which something is not out. Batches that are out are written again. False if there is
   * none.
   */
  dropFile(): boolean {
    return dropFile(this.#line)
  }

  /** Loses the oldest that is waiting: a whole file if it is in one. False if there is nothing. */
  dropOldest(): boolean {
    return dropOldest(this.#line)
  }

  /** Lets go of memory whose content can be read again. False if there is none. */
  evict(): boolean {
    return evict(this.#line)
  }

  /** Bytes of files in which nothing is left. */
  get retiredBytes(): number {
    return this.#line.retired.reduce((sum, { size }) => sum + size, 0)
  }

  /** When the oldest that is in its oldest file came in; infinite if it has none. */
  get oldestFile(): number {
    return droppable(this.#line)?.oldest ?? Infinity
  }

  /** Deletes at once the files in which nothing is left. */
  purge(): void {
    for (const each of this.#line.retired.splice(0)) unlink(this.#line, each)
  }

  /** Gives back memory that is not in use. */
  trim(): void {
    this.#line.chunks.trim()
    if (!this.#line.writing) this.#line.scratch = undefined
  }

  /** Something was written that is not on the disk. */
  get unsynced(): boolean {
    return this.#line.unsynced
  }

  /** Something has been dealt with that the cursor does not say. */
  get unsaved(): boolean {
    return this.#line.cursorDirty
  }

  /** Deletes the files in which nothing is left, after noting on the disk that it was dealt with. */
  async save(): Promise<void> {
    const line = this.#line
    if (!line.cursorDirty || line.foreign) return
    line.cursorDirty = false
    const retired = line.retired.splice(0)
    try {
      await writeCursor(line.common.files, line.folder, line.acked)
    } catch (error) {
      // Then some of it may be sent again. The files must go even so: on a full disk nothing else makes room for a cursor.
      line.cursorDirty = true
      if (codeOf(error) === 'ENOENT') await makeFolder(line)
    }
    for (const each of retired) await unlink(line, each)
  }

  /** Another process has the folder: nothing in it is changed any more. */
  leave(): void {
    this.#line.foreign = true
    broken(this.#line, Object.assign(new Error('another process has taken the folder'), { code: 'taken' }))
  }

  /** Ends: writes what is not written, and keeps it. */
  async close(): Promise<void> {
    const line = this.#line
    for (const batch of [...line.out]) this.giveBack(batch)
    await flush(line, true)
    while (line.writing) await nextTurn()
    await line.syncing
    line.closed = true
    await syncNow(line)
    settle(line)
    await this.save()
    await Promise.all(line.removals)
    stopScan(line)
    for (const each of line.segments) await closeFile(line, each)
    line.marks?.end()
    await line.marks?.close()
    const left = [...line.urgent, ...line.unwritten].reduce((sum, { gone, items }) => sum + (gone ? 0 : items), 0)
    line.items -= left
    if (left > 0) line.common.lose(line.signal, 'shutdown', left)
  }
}

const SAFE = Promise.resolve(true)
const UNSAFE = Promise.resolve(false)
