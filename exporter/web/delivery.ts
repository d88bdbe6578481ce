// One body on its way to the clients that asked for it together, while it is being written. It is written at the pace of the
// quickest reader. A lone reader that falls behind is waited for, but not for long, since a scrape is a consistent snapshot;
// after that, what it has not taken waits in memory, and when that is full, it is cut off.

import { once } from 'node:events'
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { createGzip, type Gzip } from 'node:zlib'
import type { Exposition } from '../../telemetry/exposition.ts'
import type { Clock } from '../../telemetry/host.ts'
import type { Allotment } from '../../telemetry/memory.ts'
import { begin, say } from './answer.ts'

/** The bytes that a reader may be behind before it is waited for. */
const BEHIND_BYTES = 512 * 1024
/** The time that a body waits for readers, from the first time on that it has to. */
const PATIENCE_MS = 1000
/** Up to this size a body is sent in one piece, with its length. */
const WHOLE_BYTES = 384 * 1024
/** Below this, gzip saves less than its own round trip costs. */
const GZIP_FROM_BYTES = 1024
/** Chunks given to zlib at a time: while one is compressed on another thread, the next is written. */
const COMPRESSED_AT_ONCE = 2

/** Everything that waits for readers, in all deliveries together. */
export interface Backlog {
  /** The share of the memory budget for bytes that readers have not taken yet. */
  readonly memory: Allotment
  readonly clock: Clock
  /** Called when a reader is cut off. */
  slow(): void
  /** Called when a body cannot be written to its end. */
  failed(why: string): void
}

export class Delivery {
  readonly #exposition: Exposition
  readonly #backlog: Backlog
  readonly #plain: Outlet
  readonly #packed: Outlet
  readonly #over = new AbortController()
  #gzip: Gzip | undefined
  #compressing = 0
  #patience: 'unused' | 'in use' | 'over' = 'unused'
  #wake: () => void = nothing

  constructor(exposition: Exposition, backlog: Backlog) {
    this.#exposition = exposition
    this.#backlog = backlog
    const changed = (): void => this.#wake()
    const headers = { 'Content-Type': exposition.contentType, Vary: 'Accept, Accept-Encoding' }
    this.#plain = new Outlet(headers, backlog, changed)
    this.#packed = new Outlet({ ...headers, 'Content-Encoding': 'gzip' }, backlog, changed)
  }

  /** Only before `run`. */
  join(response: ServerResponse, gzip: boolean): void {
    const outlet = gzip ? this.#packed : this.#plain
    outlet.join(response)
  }

  /** Sends the body; never rejects. */
  async run(): Promise<void> {
    try {
      await this.#send()
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#over.abort(OVER)
      this.#gzip?.destroy()
    }
  }

  async #send(): Promise<void> {
    let few: Buffer[] | undefined = []
    let bytes = 0
    for await (const chunk of this.#exposition.chunks) {
      if (!(await this.#room())) return
      bytes += chunk.length
      if (few && bytes < GZIP_FROM_BYTES) {
        few.push(chunk)
        continue
      }
      for (const each of few ?? []) this.#give(each)
      few = undefined
      this.#give(chunk)
    }
    if (few) this.#packed.moveTo(this.#plain)
    for (const each of few ?? []) this.#give(each)
    this.#plain.end()
    if (this.#gzip && this.#packed.open) await once(this.#gzip.end(), 'end')
    this.#packed.end()
  }

  #give(chunk: Buffer): void {
    if (this.#packed.open) this.#gzip ??= this.#compress()
    const gzip = this.#gzip
    let takers = gzip ? 2 : 1
    const taken = (): void => {
      if (--takers === 0) this.#exposition.release?.(chunk)
    }
    this.#plain.write(chunk, taken)
    if (!gzip) return
    this.#compressing++
    gzip.write(chunk, error => {
      this.#compressing--
      this.#wake()
      if (!error) taken()
    })
  }

  // Level 1 costs a quarter of level 6 for 30 % more bytes; zlib works on libuv's threads, so the loop goes on.
  #compress(): Gzip {
    return createGzip({ level: 1, chunkSize: 65_536 })
      .on('data', (chunk: Buffer) => this.#packed.write(chunk, nothing))
      .on('error', error => this.#fail(error))
  }

  /** Waits until there is room for more; false when nobody is left to read it. */
  async #room(): Promise<boolean> {
    while (this.#plain.open || this.#packed.open) {
      if (this.#compressing < COMPRESSED_AT_ONCE) {
        if (Math.min(this.#plain.behind, this.#packed.behind) <= BEHIND_BYTES) return true
        if (this.#patience === 'unused') this.#wait()
        if (this.#patience === 'over' && !this.#backlog.memory.full) return true
        if (this.#patience === 'over') {
          this.#plain.cut()
          this.#packed.cut()
          continue
        }
      }
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    return false
  }

  #wait(): void {
    this.#patience = 'in use'
    this.#backlog.clock.sleep(PATIENCE_MS, this.#over.signal).then(() => {
      this.#patience = 'over'
      this.#wake()
    }, nothing)
  }

  #fail(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error)
    this.#backlog.failed(why)
    for (const outlet of [this.#plain, this.#packed]) outlet.fail(why)
    this.#wake()
  }
}

interface BodyReader {
  readonly response: ServerResponse
  /** Bytes that were given to it and that it has not taken yet. */
  behind: number
}

/** The readers of one encoding of the body. */
class Outlet {
  readonly #headers: OutgoingHttpHeaders
  readonly #backlog: Backlog
  readonly #changed: () => void
  readonly #readers = new Set<BodyReader>()
  /** The beginning of the body, until it is known whether that is all of it. */
  #held: (readonly [chunk: Buffer, taken: () => void])[] | undefined = []
  #bytes = 0

  constructor(headers: OutgoingHttpHeaders, backlog: Backlog, changed: () => void) {
    this.#headers = headers
    this.#backlog = backlog
    this.#changed = changed
  }

  /** Whether somebody reads here. */
  get open(): boolean {
    return this.#readers.size > 0
  }

  /** The bytes that the quickest reader is behind. */
  get behind(): number {
    let least = Number.POSITIVE_INFINITY
    for (const { behind } of this.#readers) if (behind < least) least = behind
    return least
  }

  join(response: ServerResponse): void {
    if (response.destroyed) return
    const reader = { response, behind: 0 }
    this.#readers.add(reader)
    response.once('close', () => this.#leave(reader))
  }

  moveTo(other: Outlet): void {
    for (const { response } of this.#readers) other.join(response)
    this.#readers.clear()
  }

  /** `taken` is called when all readers have taken the chunk; never, if one of them leaves before. */
  write(chunk: Buffer, taken: () => void): void {
    if (!this.open) {
      taken()
      return
    }
    this.#bytes += chunk.length
    if (!this.#held) this.#send(chunk, taken)
    else {
      this.#held.push([chunk, taken])
      if (this.#bytes > WHOLE_BYTES) this.#begin({})
    }
  }

  end(): void {
    const readers = [...this.#readers]
    for (const { response } of readers) response.cork()
    if (this.#held) this.#begin({ 'Content-Length': this.#bytes })
    for (const { response } of readers) {
      response.end()
      response.uncork()
    }
  }

  /** Cuts off those who are behind. */
  cut(): void {
    for (const reader of this.#readers) {
      if (reader.behind <= BEHIND_BYTES) continue
      this.#backlog.slow()
      this.#leave(reader)
      reader.response.destroy()
    }
  }

  fail(why: string): void {
    for (const { response } of this.#readers)
      if (response.headersSent) response.destroy()
      else say(response, 500, `cannot answer the scrape: ${why}`)
    this.#readers.clear()
  }

  #begin(more: OutgoingHttpHeaders): void {
    for (const { response } of this.#readers) begin(response, 200, { ...this.#headers, ...more })
    const held = this.#held ?? []
    this.#held = undefined
    for (const [chunk, taken] of held) this.#send(chunk, taken)
  }

  #send(chunk: Buffer, taken: () => void): void {
    let takers = this.#readers.size
    for (const reader of this.#readers) {
      reader.behind += chunk.length
      this.#backlog.memory.add(chunk.length)
      reader.response.write(chunk, error => {
        if (error || !this.#readers.has(reader)) return
        reader.behind -= chunk.length
        this.#backlog.memory.add(-chunk.length)
        if (--takers === 0) taken()
        this.#changed()
      })
    }
  }

  #leave(reader: BodyReader): void {
    if (!this.#readers.delete(reader)) return
    this.#backlog.memory.add(-reader.behind)
    this.#changed()
  }
}

function nothing(): void {}

/** Without a reason of ours each abort makes an exception with a stack. */
const OVER = new Error('the delivery is over')
