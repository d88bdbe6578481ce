// Bodies within bounds: how many bytes may be under way, how they are gathered, and how they are decompressed.

import type { IncomingMessage } from 'node:http'
import { gunzip, gunzipSync } from 'node:zlib'

/** Bytes of requests that are being received or decoded. What does not fit is refused before it is read. */
export class Budget {
  used = 0
  readonly limit: number

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
}

/** Part of a budget that one request holds. It grows as bytes arrive, and is given back once. */
export class Share {
  #bytes = 0
  readonly #budget: Budget

  constructor(budget: Budget) {
    this.#budget = budget
  }

  /** Makes the share at least this large; false if the budget has not enough. */
  hold(bytes: number): boolean {
    const more = bytes - this.#bytes
    if (more <= 0) return true
    // What the request holds already is in use, but not by others.
    const alone = this.#budget.used === this.#bytes
    if (!alone && !this.#budget.reserve(more)) return false
    if (alone) this.#budget.used += more
    this.#bytes = bytes
    return true
  }

  release(): void {
    this.#budget.release(this.#bytes)
    this.#bytes = 0
  }
}

export type Received =
  | { readonly kind: 'body'; readonly body: Buffer }
  | { readonly kind: 'too_large' | 'no_room' | 'aborted' }

/**
 * Gathers a body of at most `limit` bytes; `done` is called once. Memory follows what has arrived, never what was declared.
 * A body in one chunk is used where it stands, in several it is copied once.
 */
export function receive(
  request: IncomingMessage,
  limit: number,
  share: Share,
  done: (received: Received) => void,
): void {
  let first: Buffer | undefined
  let more: Buffer[] | undefined
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
    else if (first === undefined) first = chunk
    else if (more === undefined) more = [first, chunk]
    else more.push(chunk)
  })
  request.on('end', () => finish({ kind: 'body', body: more ? Buffer.concat(more, length) : (first ?? EMPTY) }))
  request.on('close', () => finish({ kind: 'aborted' }))
}

export type Inflated =
  | { readonly kind: 'body'; readonly body: Buffer }
  | { readonly kind: 'too_large'; readonly why: string }
  | { readonly kind: 'no_room' }
  | { readonly kind: 'broken'; readonly why: string }

/** Decompresses gzip to at most `limit` bytes. `done` may be called before this returns. */
export function inflate(body: Buffer, limit: number, share: Share, done: (inflated: Inflated) => void): void {
  // The trailer tells the size of the last member. It is the sender's claim: it is used to choose, never trusted.
  const claim = body.length >= 18 ? body.readUInt32LE(body.length - 4) : 0
  // What claims too much may be cut off instead, and what was larger than its claim may have several members: both are
  // decompressed as if they were as large as is allowed at all.
  const atLarge = () => {
    if (!share.hold(body.length + limit)) {
      done({ kind: 'no_room' })
      return
    }
    gunzip(body, { maxOutputLength: limit }, (error, output) => {
      if (!error) done({ kind: 'body', body: output })
      else if (codeOf(error) !== TOO_LARGE) done({ kind: 'broken', why: reasonOf(error) })
      else done({ kind: 'too_large', why: `${limit} bytes after decompression` })
    })
  }
  const settle = (error: unknown, output: Buffer) => {
    if (!error) done({ kind: 'body', body: output })
    else if (codeOf(error) !== TOO_LARGE) done({ kind: 'broken', why: reasonOf(error) })
    else atLarge()
  }
  if (claim > limit) {
    atLarge()
    return
  }
  if (!share.hold(body.length + claim)) {
    done({ kind: 'no_room' })
    return
  }
  const options = { maxOutputLength: Math.max(1, claim), chunkSize: Math.max(64, claim) }
  // Below a mebibyte the thread pool costs more than the decompression; above, the loop must stay free.
  if (claim > SYNCHRONOUS || body.length > SYNCHRONOUS) {
    gunzip(body, options, settle)
    return
  }
  let output: Buffer
  try {
    output = gunzipSync(body, options)
  } catch (error) {
    settle(error, EMPTY)
    return
  }
  settle(undefined, output)
}

const TOO_LARGE = 'ERR_BUFFER_TOO_LARGE'
const SYNCHRONOUS = 1024 * 1024
const EMPTY = Buffer.alloc(0)

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
