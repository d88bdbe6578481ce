// Reads the records of a segment in order. Nothing in a file is trusted: a length must fit the file before anything is
// allocated for it, and a record is one only if its checksum is right. Where none is found, the search goes on behind, so
// that a bad record costs one record.

import type { Files } from './files.ts'
import { ALIGN, HEAD, intact, MARKER, payloadLength, type RecordHead, readRecordHead, recordBytes } from './format.ts'

/** Bytes read at once, unless a record is larger. */
const BLOCK = 256 * 1024
/** When heads are counted, payloads between them are not read. */
const HEADS = 64 * 1024
/**
 * A payload can be full of markers that each announce megabytes. After so many that led to no record, the rest of the file
 * counts as bad.
 */
const MOST_TRIES = 1000

export type Found =
  | { readonly kind: 'record'; readonly head: RecordHead; readonly at: number; readonly end: number }
  /** Bytes that are no record, up to the next one or to the end. */
  | { readonly kind: 'bad'; readonly at: number; readonly end: number }
  | { readonly kind: 'end' }

export class Scan {
  readonly #files: Files
  readonly #fd: number
  readonly #salt: number
  /** Only then payloads are read, and checksums compared. */
  readonly #verify: boolean
  #block = Buffer.alloc(0)
  /** The content of the block: so many bytes from this offset of the file. */
  #from = 0
  #length = 0
  #tries = 0
  at: number

  constructor(files: Files, fd: number, salt: number, verify: boolean, at = HEAD) {
    this.#files = files
    this.#fd = fd
    this.#salt = salt
    this.#verify = verify
    this.at = at
  }

  /** The payload of the record that was found last; valid until the next call. */
  payload(at: number): Buffer {
    const head = at - this.#from
    return this.#block.subarray(head + HEAD, head + HEAD + this.length(at))
  }

  /** The length of the payload of the record that was found last. */
  length(at: number): number {
    return this.#block.readUInt32LE(at - this.#from + 4)
  }

  /** The next record before `size`, the end of what was written. Rejects if the file cannot be read. */
  async next(size: number): Promise<Found> {
    const start = this.at
    if (start >= size) return { kind: 'end' }
    for (let at = start; ; ) {
      const found = this.#tries > MOST_TRIES ? undefined : await this.#record(at, size)
      if (found) {
        // First the bytes before it; it is found again.
        if (at > start) return this.#bad(start, at)
        this.at = found.end
        this.#tries = 0
        return found
      }
      this.#tries++
      const next = this.#tries > MOST_TRIES ? -1 : await this.#marker(at + ALIGN, size)
      if (next < 0) return this.#bad(start, size)
      at = next
    }
  }

  #bad(at: number, end: number): Found {
    this.at = end
    return { kind: 'bad', at, end }
  }

  async #record(at: number, size: number): Promise<Extract<Found, { kind: 'record' }> | undefined> {
    if (at + HEAD > size || !(await this.#load(at, HEAD, size))) return undefined
    const length = payloadLength(this.#block, at - this.#from)
    const head = readRecordHead(this.#block, at - this.#from)
    if (length === undefined || head === undefined) return undefined
    const end = at + recordBytes(length)
    if (end > size) return undefined
    if (!this.#verify) return { kind: 'record', head, at, end }
    if (!(await this.#load(at, end - at, size))) return undefined
    return intact(this.#block, at - this.#from, length, this.#salt) ? { kind: 'record', head, at, end } : undefined
  }

  /** The offset of the next marker at a place where a record can begin; -1 if there is none. */
  async #marker(from: number, size: number): Promise<number> {
    for (let at = from; at + HEAD <= size; ) {
      if (!(await this.#load(at, HEAD, size))) return -1
      const end = this.#length
      let place = at - this.#from
      while (place >= 0 && place < end) {
        place = this.#block.subarray(0, end).indexOf(MARKER, place)
        if (place < 0) break
        if ((place + this.#from) % ALIGN === 0) return this.#from + place
        place++
      }
      // A marker may begin in the last bytes of the block.
      at = Math.max(at + ALIGN, (this.#from + end) & ~(ALIGN - 1))
    }
    return -1
  }

  /** Has the block hold `length` bytes from an offset; false if the file ends before. */
  async #load(at: number, length: number, size: number): Promise<boolean> {
    if (at >= this.#from && at + length <= this.#from + this.#length) return true
    const least = this.#verify ? BLOCK : HEADS
    const wanted = Math.min(Math.max(length, least), size - at)
    if (wanted < length) return false
    if (this.#block.length < wanted) this.#block = Buffer.allocUnsafeSlow(Math.max(wanted, least))
    // Nothing of the old block may be taken for the new one if the read fails.
    this.#from = at
    this.#length = 0
    let read = 0
    while (read < wanted) {
      const count = await this.#files.read(this.#fd, this.#block.subarray(read), wanted - read, at + read)
      if (count === 0) break
      read += count
    }
    this.#length = read
    return read >= length
  }
}
