// Reads what is new in the files, hands it to the intake, and moves their positions when the intake has it. It holds
// one buffer and one request in memory, however many files there are and however much is unread. If the intake says
// "later", nothing is read meanwhile: the lines wait in their files.

import type { Host } from '../../telemetry/host.ts'
import type { Intake } from '../../telemetry/intake.ts'
import type { Allotment } from '../../telemetry/memory.ts'
import type { Signal } from '../../telemetry/request.ts'
import { type Followed, TAIL } from './followed.ts'
import { takeLines } from './lines.ts'
import { Output } from './output.ts'
import { codeOf } from './positions.ts'
import { FULL_BYTES, FULL_ITEMS } from './requests.ts'
import { Told } from './told.ts'
import type { Truncations } from './truncations.ts'

/** A record is complete after this time without a further line, a line without its end after this one. */
const QUIET_MS = 1000
const UNENDED_MS = 5000
/** The buffer and what it is made into. */
const CHUNK = 256 * 1024
/** It is given back when nothing was read for this time. */
const UNUSED_MS = 30_000
/** One file is read so often in a row; then the next has its turn. */
const READS = 4

export interface ReaderSurroundings extends Pick<Host, 'clock' | 'log'> {
  readonly intake: Intake
  readonly memory: Allotment
  /** False if it is not open and cannot be opened now. */
  open(file: Followed): Promise<boolean>
  /** Told when positions have to be kept. */
  changed(): void
}

export class Reader {
  readonly #around: ReaderSurroundings
  readonly #files: ReadonlyMap<string, Followed>
  readonly #truncations: Truncations
  readonly #output = new Output()
  /** The files whose lines are in the output. */
  readonly #pending = new Set<Followed>()
  readonly #told: Told
  #buffer: Buffer | undefined
  #bufferUsed = 0
  #taken = true

  constructor(files: ReadonlyMap<string, Followed>, truncations: Truncations, around: ReaderSurroundings) {
    this.#files = files
    this.#truncations = truncations
    this.#around = around
    this.#told = new Told(around.clock)
  }

  /** Reads all files to their ends. `last`: nothing more is written to them. */
  async read(last: boolean, signal: AbortSignal): Promise<void> {
    for (let more = true; more && !signal.aborted; ) {
      more = false
      for (const file of this.#files.values()) {
        if (signal.aborted) break
        if (!file.waiting) continue
        if (await this.#attempt(file, last, signal)) more = true
      }
    }
    await this.hand(signal)
  }

  /** Hands on what has been read, and moves the positions when it is taken. */
  async hand(signal: AbortSignal): Promise<void> {
    const { logs, spans } = this.#output
    const [records, requests] = [logs.items, spans.items]
    const all: [Signal, Buffer | undefined, number][] = [
      ['logs', logs.finish(), records],
      ['traces', spans.finish(), requests],
    ]
    for (const [kind, bytes, items] of all) if (bytes) await this.#offer(kind, bytes, items, signal)
    // If it was stopped meanwhile, what was not taken is read again by the next.
    if (signal.aborted && all.some(([, bytes]) => bytes) && !this.#taken) {
      this.#taken = true
      this.#pending.clear()
      return
    }
    for (const file of this.#pending) file.settle()
    if (this.#pending.size > 0) this.#around.changed()
    this.#pending.clear()
  }

  /** Ends the records of which a part was handed on, or their beginnings would come twice after a restart. */
  end(): void {
    for (const each of this.#files.values()) if (each.held !== undefined && each.context.partial.held) this.#flush(each)
  }

  /** Gives the buffer back, unless it was used lately. */
  rest(now: number): void {
    if (this.#buffer && now - this.#bufferUsed > UNUSED_MS) this.giveBack()
  }

  giveBack(): void {
    if (this.#buffer) this.#around.memory.add(-this.#buffer.length * 3)
    this.#buffer = undefined
  }

  /** The same as `#file`, but an error of the system (EIO, a stale handle) ends the reading of this file alone. */
  async #attempt(file: Followed, last: boolean, signal: AbortSignal): Promise<boolean> {
    try {
      return await this.#file(file, last, signal)
    } catch (error) {
      // Not an error of the system.
      if (codeOf(error) === undefined) throw error
      // It is opened anew with the next attempt.
      await file.close()
      if (this.#told.due(file.source.name))
        this.#around.log.warn('cannot read a log file', { source: file.source.name, path: file.path, error })
      return false
    }
  }

  /** Reads a file for a while; true if there is more to be read at once. */
  async #file(file: Followed, last: boolean, signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#around
    if (!(await this.#around.open(file))) return false
    if (file.doubtful && file.unread === 0) await this.#doubt(file)
    const idle = clock.monotonic() - file.changed
    // Nothing more is written to a file without a name, or by an application that has ended.
    const ended = file.gone !== undefined || file.source.options.stream !== 'none'
    for (let reads = 0; reads < READS && file.unread > 0; reads++) {
      const bytes = this.#room(file.source.maxLine)
      if (!bytes) return false
      const before = file.offset
      const { tail, seen } = file
      const overlap = tail.length
      const handle = file.handle!
      const looked = clock.now()
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, before - overlap)
      file.used = clock.monotonic()
      // It was told to skip meanwhile.
      if (file.offset !== before) return true
      const complete = bytesRead < bytes.length
      const whole = before - overlap + bytesRead
      if (
        bytesRead < overlap ||
        bytes.compare(tail, 0, overlap, 0, overlap) !== 0 ||
        (before === 0 && complete && whole < file.size)
      ) {
        // It has been truncated since it was looked at, or has grown again beyond where it was read.
        this.#truncations.notice(file, looked)
        this.#around.changed()
        file.size = (await handle.stat()).size
        return true
      }
      const copied =
        before === 0 && file.truncated ? await this.#truncations.inCopy(file, bytes.subarray(0, bytesRead)) : 0
      file.seen = Math.max(seen, file.grown)
      file.doubtful = false
      if (copied > 0) {
        await file.startAt(copied)
        this.#truncations.begun(file, seen)
        return true
      }
      // The end that was just seen counts: a file that was truncated since it was looked at is not read for ever.
      file.size = complete ? whole : Math.max(file.size, whole)
      this.#output.now = clock.now()
      this.#output.observed.setMs(this.#output.now)
      const taken = takeLines(bytes, overlap, bytesRead, file, this.#output, {
        quiet: complete && (last || idle >= QUIET_MS),
        last: complete && (idle >= UNENDED_MS || (last && ended)),
        room: () => !this.#full,
      })
      if (taken > overlap) {
        file.source.bytes += taken - overlap
        file.advance(bytes, taken, before + taken - overlap)
        this.#pending.add(file)
        if (before === 0) this.#truncations.begun(file, seen)
      }
      if (file.context.partial.held) file.held ??= before
      else file.held = undefined
      if (this.#full) await this.hand(signal)
      if (signal.aborted) return false
      // The rest is the beginning of a line.
      if (taken < bytesRead && complete && taken === overlap) return false
      if (taken === bytesRead && complete) break
    }
    if (file.context.partial.held && file.unread === 0 && (idle >= UNENDED_MS || (last && ended))) this.#flush(file)
    return file.unread > 0 && file.offset > 0
  }

  /** The file was written to, and has the size that it had. */
  async #doubt(file: Followed): Promise<void> {
    const { offset, seen, grown } = file
    const looked = this.#around.clock.now()
    const unchanged = await file.unchanged()
    if (file.offset !== offset) return
    file.doubtful = false
    if (offset === 0) this.#truncations.begun(file, seen)
    else if (!unchanged) {
      this.#truncations.notice(file, looked)
      this.#around.changed()
      return
    }
    file.seen = Math.max(seen, grown)
  }

  #flush(file: Followed): void {
    file.source.flush(file.context, this.#output)
    file.held = undefined
    this.#pending.add(file)
  }

  get #full(): boolean {
    const { logs, spans } = this.#output
    return (
      logs.length >= FULL_BYTES || spans.length >= FULL_BYTES || logs.items >= FULL_ITEMS || spans.items >= FULL_ITEMS
    )
  }

  /** The buffer; undefined while there is no memory for it. */
  #room(maxLine: number): Buffer | undefined {
    const wanted = Math.max(CHUNK, maxLine * 2 + TAIL)
    this.#bufferUsed = this.#around.clock.monotonic()
    if (this.#buffer && this.#buffer.length >= wanted) return this.#buffer
    // The requests that are made of it take as much again, at most.
    if (!this.#around.memory.fits(wanted * 3)) {
      this.#around.memory.refused++
      return undefined
    }
    this.giveBack()
    this.#around.memory.add(wanted * 3)
    this.#buffer = Buffer.allocUnsafeSlow(wanted)
    return this.#buffer
  }

  async #offer(kind: Signal, bytes: Buffer, items: number, signal: AbortSignal): Promise<void> {
    const { intake, clock, log } = this.#around
    for (;;) {
      const decision = await intake.offer(kind, bytes)
      switch (decision?.kind) {
        case 'taken':
          if (decision.rejected > 0) this.#refused(decision.rejected, decision.text)
          return
        case 'later':
          await clock.sleep(Math.max(decision.ms, 10), signal).catch(() => {})
          if (!signal.aborted) continue
          this.#taken = false
          return
        default:
          log.error('the intake does not take what was read of log files', { signal: kind, why: decision?.text })
          this.#refused(items, decision?.text ?? '')
          return
      }
    }
  }

  /** Items of several sources are in one request; they are counted with the first. */
  #refused(items: number, why: string): void {
    const [file] = this.#pending
    file?.source.drop('refused', items)
    if (this.#told.due('')) this.#around.log.warn('lines of log files are dropped', { items, why })
  }
}
