// Gathers the body of an HTTP request within bounds.

import type { IncomingMessage } from 'node:http'
import type { Share } from './budget.ts'
import { letGo, Pieces } from './memory.ts'

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
  const pieces = new Pieces()
  /** A body that has come in one piece so far; it is not copied, since most are whole. */
  let only: Buffer | undefined
  let length = 0
  let over = false

  const finish = (received: Received) => {
    if (over) return
    over = true
    // Unused memory is given back at once: V8 is in no hurry to collect memory outside of its heap.
    if (received.kind !== 'body') letGo(only ? [only] : pieces.take())
    done(received)
    // The request outlives its body while it waits for an answer.
    only = undefined
    pieces.clear()
  }
  request.on('data', (chunk: Buffer) => {
    if (over) {
      letGo([chunk])
      return
    }
    length += chunk.length
    if (length > limit) finish({ kind: 'too_large' })
    else if (!share.hold(length)) finish({ kind: 'no_room' })
    else if (length === chunk.length) only = chunk
    else {
      if (only) pieces.add(only)
      only = undefined
      pieces.add(chunk)
    }
  })
  request.on('end', () => finish({ kind: 'body', chunks: only ? [only] : pieces.take(), length }))
  request.on('close', () => finish({ kind: 'aborted' }))
}
