// Bodies within bounds: how many bytes may be under way, how they are gathered, and how they are decompressed.

import type { IncomingMessage } from 'node:http'
import { gunzip, gunzipSync, type ZlibOptions } from 'node:zlib'

/** Bytes of requests that are being received or decoded. What does not fit is refused before it is read. */
export class Budget {
  used = 0
  readonly limit: number
  readonly #waiting: { readonly bytes: number; readonly start: (over: () => void) => void }[] = []
  #inflating = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** One request always fits, so that a limit below the largest request does not lock it out for ever. */
  reserve(bytes: number): boolean {
    if (this.used > 0 && this.used + bytes > this.limit) return false
    this.used += bytes
    return true
  }

  release(bytes: number): void {
    this.used -= bytes
  }

  /**
   * Calls `start` when it is its turn to decompress into so many bytes: the others wait with their compressed bytes only, so
   * that a hundred small bombs at once take no more memory than a few. `start` is given what to call when it is over.
   */
  turn(bytes: number, start: (over: () => void) => void): void {
    this.#waiting.push({ bytes, start })
    this.#next()
  }

  #next(): void {
    const [first] = this.#waiting
    if (!first || (this.#inflating > 0 && this.#inflating + first.bytes > INFLATING)) return
    this.#waiting.shift()
    this.#inflating += first.bytes
    first.start(() => {
      this.#inflating -= first.bytes
      this.#next()
    })
    this.#next()
  }
}

// What the four threads of libuv's pool can work on at once, of the size of the largest usual batches.
const INFLATING = 8 * 1024 * 1024

/** Part of a budget that one request holds. It grows as bytes arrive, and is given back once. */
export class Share {
  #bytes = 0
  #released = false
  readonly #budget: Budget

  constructor(budget: Budget) {
    this.#budget = budget
  }

  /** Makes the share at least this large; false if the budget has not enough, or if the share was given back. */
  hold(bytes: number): boolean {
    if (this.#released) return false
    const more = bytes - this.#bytes
    if (more <= 0) return true
    // What the request holds already is in use, but not by others.
    const alone = this.#budget.used === this.#bytes
    if (!alone && !this.#budget.reserve(more)) return false
    if (alone) this.#budget.used += more
    this.#bytes = bytes
    return true
  }

  /** Gives back what is beyond so many bytes. */
  shrink(bytes: number): void {
    const less = this.#bytes - bytes
    if (this.#released || less <= 0) return
    this.#budget.release(less)
    this.#bytes = bytes
  }

  turn(bytes: number, start: (over: () => void) => void): void {
    this.#budget.turn(bytes, start)
  }

  release(): void {
    this.#released = true
    this.#budget.release(this.#bytes)
    this.#bytes = 0
  }
}

/**
 * Puts the chunks of a body together. The bytes stay until the next body is joined, so they are used at once, and whoever
 * wants to keep some copies them.
 */
export function join(chunks: readonly Buffer[], length: number): Buffer {
  const [first = EMPTY] = chunks
  if (chunks.length <= 1) return first
  if (length < LARGE || length > PLACE) return Buffer.concat(chunks, length)
  place ??= makePlace()
  let at = 0
  for (const chunk of chunks) {
    place.set(chunk, at)
    at += chunk.length
  }
  return place.subarray(0, length)
}

// One place for the bodies of all doors: only what was used of it is resident. A buffer made for each would be memory that
// V8 counts as its own, and soon a reason to collect the whole heap: a body of 512 spans would cost a fifth more (bench rows
// intake-http and intake-grpc).
const PLACE = 1024 * 1024
/** What came in pieces although it is small must not make the heap of a sidecar at rest grow. */
const LARGE = 64 * 1024
let place: Buffer | undefined

/**
 * The chunks themselves are such memory still. For a heap as small as ours V8 collects all of it for each 8 MiB of them,
 * which the young generation would have given back soon anyway. From the first large body on the heap may treble before:
 * that is 1.3 times the spans in the same time at 512 a request, over both doors, and 4 MiB more under load (bench rows
 * intake-http, intake-grpc, memory). As a flag of the launcher it would cost 3 to 6 MiB at rest too. V8 reads this flag anew
 * after each collection.
 */
function makePlace(): Buffer {
  process.getBuiltinModule('node:v8').setFlagsFromString('--heap-growing-percent=200')
  return Buffer.allocUnsafeSlow(PLACE)
}

/** The same for bytes that are used later, when other bodies have been joined. */
export function own(chunks: readonly Buffer[]): Buffer {
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
}

/** A body whose memory is nobody else's, so that it can be given to another thread. */
export function owned(body: Buffer): Buffer<ArrayBuffer> {
  const { buffer } = body
  // What is smaller may be the place, or a chunk beside what was read together with it: frames of other calls, for instance.
  const alone = buffer instanceof ArrayBuffer && body.length > PLACE && buffer.byteLength < 2 * body.length
  return alone ? Buffer.from(buffer, body.byteOffset, body.length) : Buffer.from(new Uint8Array(body).buffer)
}

export type Received =
  | { readonly kind: 'body'; readonly chunks: readonly Buffer[]; readonly length: number }
  | { readonly kind: 'too_large' | 'no_room' | 'aborted' }

/** Gathers a body of at most `limit` bytes; `done` is called once. Memory follows what has arrived, never what was declared. */
export function receive(
  request: IncomingMessage,
  limit: number,
  share: Share,
  done: (received: Received) => void,
): void {
  const chunks: Buffer[] = []
  let length = 0
  let over = false

  const finish = (received: Received) => {
    if (over) return
    over = true
    done(received)
  }
  request.on('data', (chunk: Buffer) => {
    if (over) return
    length += chunk.length
    if (length > limit) finish({ kind: 'too_large' })
    else if (!share.hold(length)) finish({ kind: 'no_room' })
    else chunks.push(chunk)
  })
  request.on('end', () => finish({ kind: 'body', chunks, length }))
  request.on('close', () => finish({ kind: 'aborted' }))
}

export type Inflated =
  | { readonly kind: 'body'; readonly body: Buffer }
  | { readonly kind: 'too_large'; readonly why: string }
  | { readonly kind: 'no_room' }
  | { readonly kind: 'broken'; readonly why: string }

/**
 * Decompresses gzip to at most `limit` bytes. `done` may be called before this returns, and says whether the body is still
 * in use after it, or when it is no longer in use.
 */
export function inflate(
  body: Buffer,
  limit: number,
  share: Share,
  done: (inflated: Inflated) => boolean | Promise<true>,
): void {
  // The trailer tells the size of the last member. It is the sender's claim: it is used to choose and to refuse, never trusted.
  const claim = body.length >= 18 ? body.readUInt32LE(body.length - 4) : 0
  if (claim > limit && claim <= body.length * DEFLATE_RATIO) {
    done({ kind: 'too_large', why: `${limit} bytes after decompression` })
    return
  }
  const settle = (error: unknown, output: Buffer, last: boolean): boolean | Promise<true> => {
    if (!error) {
      const used = done({ kind: 'body', body: output })
      // Memory outside of its heap is no hurry to V8: without this a hundred refused bombs leave 70 MiB of garbage
      // (test/otlp/attacks.test.ts).
      if (used === false && output.byteLength > SYNCHRONOUS) discard(output)
      return used
    }
    if (codeOf(error) !== TOO_LARGE) done({ kind: 'broken', why: reasonOf(error) })
    else if (last) done({ kind: 'too_large', why: `${limit} bytes after decompression` })
    else {
      // While it waits for its second turn it has its compressed bytes only.
      share.shrink(body.length)
      inTurn(limit, { maxOutputLength: limit }, true)
    }
    return false
  }
  const inTurn = (bytes: number, options: ZlibOptions, last: boolean) =>
    share.turn(bytes, over => {
      if (!share.hold(body.length + bytes)) {
        over()
        done({ kind: 'no_room' })
        return
      }
      // First what was made is used, then the next is made.
      gunzip(body, options, async (error, output) => {
        try {
          await settle(error, output, last)
        } finally {
          over()
        }
      })
    })
  // What claims too much was cut off, and what is larger than its claim may have several members: both are decompressed as
  // if they were as large as is allowed at all.
  const size = Math.min(claim, limit)
  // One byte more: zlib makes a second buffer when the first is full, 25 MiB of garbage for 100 bombs (test/otlp/attacks.test.ts).
  const options = { maxOutputLength: Math.max(1, size), chunkSize: Math.max(64, claim > limit ? 0 : claim + 1) }
  // Below a mebibyte the thread pool costs more than the decompression; above, the loop must stay free.
  if (size > SYNCHRONOUS || body.length > SYNCHRONOUS) {
    inTurn(size, options, claim > limit)
    return
  }
  if (!share.hold(body.length + size)) {
    done({ kind: 'no_room' })
    return
  }
  let output: Buffer
  try {
    output = gunzipSync(body, options)
  } catch (error) {
    settle(error, EMPTY, false)
    return
  }
  settle(undefined, output, false)
}

/** Gives back the memory of a buffer that nobody uses any more, and that has its memory for itself. */
export function discard({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0)
}

/** Deflate makes 1032 bytes of one at most: 258 of two bits. */
const DEFLATE_RATIO = 1032
const TOO_LARGE = 'ERR_BUFFER_TOO_LARGE'
const SYNCHRONOUS = 1024 * 1024
const EMPTY = Buffer.alloc(0)

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
