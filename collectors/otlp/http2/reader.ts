// Divides the bytes of an HTTP/2 connection into frames. A frame that has come whole is shown where it lies; nothing is made
// for it. The payload of DATA is shown as it comes, without its padding; that of any other frame when it is whole.

import { FLAG, HEAD_BYTES, PREFACE, TYPE } from './frames.ts'

/**
 * The outcome of `next`: the head of a frame, part of the payload of a DATA frame, the whole payload of another frame, or
 * bytes that are not HTTP/2. Undefined when everything that has arrived is read.
 */
export type Found = 'head' | 'data' | 'payload' | 'broken' | undefined

export class FrameReader {
  // The frame that is being read.
  type = 0
  flags = 0
  stream = 0
  /** The bytes of its payload, padding included. */
  length = 0

  // The part of its payload that was found, valid until `next` is called again.
  bytes: Buffer = NOTHING
  start = 0
  end = 0
  /** It is the end of the frame. */
  last = false

  #chunk: Buffer = NOTHING
  #pos = 0
  /** Where the chunk ends. Its memory may be given away with the last of its data, and it is empty then. */
  #end = 0
  #preface = 0
  readonly #head = Buffer.alloc(HEAD_BYTES)
  #headBytes = 0
  /** Bytes of the payload that have not come; -1 while the head is read. */
  #left = -1
  /** Padding at the end of a DATA frame; -1 until its length has come. */
  #padding = 0
  /** A payload that comes in pieces, and how much of it is there. */
  #payload: Buffer | undefined
  #payloadBytes = 0

  /** More bytes. Those of the call before must have been read. */
  feed(chunk: Buffer): void {
    this.#chunk = chunk
    this.#pos = 0
    this.#end = chunk.length
  }

  next(): Found {
    if (this.#preface < PREFACE.length) {
      const size = Math.min(PREFACE.length - this.#preface, this.#end)
      if (PREFACE.compare(this.#chunk, 0, size, this.#preface, this.#preface + size) !== 0) return 'broken'
      this.#preface += size
      this.#pos = size
    }
    if (this.#left < 0) return this.#readHead()
    return this.type === TYPE.data ? this.#readData() : this.#readPayload()
  }

  #readHead(): Found {
    const size = Math.min(HEAD_BYTES - this.#headBytes, this.#end - this.#pos)
    // Fast path: the head is in one piece.
    if (size === HEAD_BYTES) this.#headIs(this.#chunk, this.#pos)
    else if (size > 0) this.#chunk.copy(this.#head, this.#headBytes, this.#pos, this.#pos + size)
    this.#pos += size
    this.#headBytes += size
    if (this.#headBytes < HEAD_BYTES) return undefined
    if (size < HEAD_BYTES) this.#headIs(this.#head, 0)
    this.#headBytes = 0
    return 'head'
  }

  #headIs(bytes: Buffer, at: number): void {
    this.length = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!
    this.type = bytes[at + 3]!
    this.flags = bytes[at + 4]!
    this.stream = ((bytes[at + 5]! & 127) << 24) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 8) | bytes[at + 8]!
    this.#left = this.length
    this.#padding = this.type === TYPE.data && (this.flags & FLAG.padded) !== 0 ? -1 : 0
  }

  #readData(): Found {
    let from = this.#pos
    const to = Math.min(this.#end, from + this.#left)
    if (from === to && this.#left > 0) return undefined
    this.#left -= to - from
    this.#pos = to
    if (this.#padding < 0) {
      if (from === to) return 'broken'
      this.#padding = this.#chunk[from++]!
      if (this.#padding > this.#left + to - from) return 'broken'
    }
    this.bytes = this.#chunk
    this.start = from
    this.end = Math.max(from, to - Math.max(0, this.#padding - this.#left))
    this.last = this.#left === 0
    if (this.last) this.#left = -1
    return 'data'
  }

  #readPayload(): Found {
    const from = this.#pos
    const size = Math.min(this.#left, this.#end - from)
    this.#pos += size
    this.last = true
    // Fast path: the payload is in one piece.
    if (size === this.#left && !this.#payload) {
      this.bytes = this.#chunk
      this.start = from
      this.end = from + size
      this.#left = -1
      return 'payload'
    }
    this.#payload ??= Buffer.allocUnsafe(this.#left)
    this.#chunk.copy(this.#payload, this.#payloadBytes, from, from + size)
    this.#payloadBytes += size
    this.#left -= size
    if (this.#left > 0) return undefined
    this.bytes = this.#payload
    this.start = 0
    this.end = this.#payload.length
    this.#left = -1
    this.#payload = undefined
    this.#payloadBytes = 0
    return 'payload'
  }
}

const NOTHING = Buffer.alloc(0)
