// Decompresses bodies within bounds, on the thread pool where they are large.

import { gunzip, gunzipSync, type ZlibOptions } from 'node:zlib'
import type { Share } from './budget.ts'
import { type Decoder, TOO_LARGE } from './decoder.ts'
import { discard, letGo } from './memory.ts'
import { zstd } from './zstd.ts'

export type Coding = 'gzip' | 'zstd'

export type Inflated =
  | { readonly kind: 'body'; readonly body: Buffer }
  | { readonly kind: 'too_large'; readonly why: string }
  | { readonly kind: 'no_room' }
  | { readonly kind: 'broken'; readonly why: string }

/** A body as it came. */
export interface Compressed {
  readonly body: Buffer
  /** The memory that it is in, which is given back as soon as the body has been read; undefined if it is lent for the call. */
  readonly memory: Buffer | undefined
}

/**
 * Decompresses to at most `limit` bytes. `done` may be called before this returns, and says whether the body is still
 * in use after it, or when it is no longer in use.
 */
export function inflate(
  coding: Coding,
  { body: given, memory: owned }: Compressed,
  limit: number,
  share: Share,
  done: (inflated: Inflated) => boolean | Promise<true>,
): void {
  let body = given
  let memory = owned
  const decoder = coding === 'gzip' ? GZIP : zstd(body)
  if (!decoder) {
    done({ kind: 'broken', why: 'not a whole number of zstd frames, or too many of them' })
    return
  }
  // The sender's claim is used to choose and to refuse, and never trusted.
  const claim = decoder.claim(body)
  if (claim > limit && claim <= body.length * decoder.ratio) {
    done({ kind: 'too_large', why: `${limit} bytes after decompression` })
    if (memory) letGo([memory])
    return
  }
  const settle = (error: unknown, output: Buffer, last: boolean): boolean | Promise<true> => {
    if (!error) {
      // Not after an error: zlib may still be reading it on another thread.
      if (memory) letGo([memory])
      const used = done({ kind: 'body', body: output })
      // Memory outside of its heap is no hurry to V8: bombs leave 70 MiB of garbage (test/otlp/attacks.test.ts), and at 512
      // spans a request decompression takes a fifth more CPU, since each of them is made in memory that is not in the cache.
      if (used === false && output.byteLength >= ALONE) discard(output)
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
  const inTurn = (bytes: number, options: ZlibOptions, last: boolean) => {
    if (!memory) body = memory = Buffer.from(body)
    share.turn(bytes, over => {
      if (!share.hold(body.length + bytes)) {
        over()
        done({ kind: 'no_room' })
        return
      }
      // First what was made is used, then the next is made.
      decoder.later(body, options, async (error, output) => {
        try {
          await settle(error, output, last)
        } finally {
          over()
        }
      })
    })
  }
  // A body that claims too much was cut off, and one that is larger than its claim may have several members: both are
  // decompressed as if they were as large as is allowed at all.
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
    output = decoder.now(body, options)
  } catch (error) {
    settle(error, EMPTY, false)
    return
  }
  settle(undefined, output, false)
}

const SYNCHRONOUS = 1024 * 1024
/** From this size on a buffer is never a part of one that Node shares among small ones. */
const ALONE = 64 * 1024
const EMPTY = Buffer.alloc(0)

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

const GZIP: Decoder = {
  // The trailer tells the size of the last member.
  claim: body => (body.length >= 18 ? body.readUInt32LE(body.length - 4) : 0),
  // 258 bytes of two bits.
  ratio: 1032,
  now: gunzipSync,
  later: gunzip,
}
