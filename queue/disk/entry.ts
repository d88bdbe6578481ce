// One record of the queue, as it is known in memory, and the batches in which records are handed out.

import type { Signal } from '../../telemetry/request.ts'
import type { Batch } from '../queue.ts'
import { joined, type Piece } from './chunks.ts'
import type { Segment } from './segment.ts'

export class Entry {
  /** 0 until it is written. */
  seq = 0
  segment: Segment | undefined
  at = 0
  readonly piece: Piece
  readonly items: number
  readonly received: number
  /** In the window, or out. */
  kept = false
  /** Dealt with before it was written. */
  gone = false

  constructor(piece: Piece, items: number, received: number) {
    this.piece = piece
    this.items = items
    this.received = received
  }

  get length(): number {
    return this.piece.end - this.piece.start
  }
}

export class DiskBatch implements Batch {
  readonly signal: Signal
  readonly entries: readonly Entry[]
  readonly bytes: Buffer
  readonly items: number
  readonly received: number

  constructor(signal: Signal, entries: readonly Entry[]) {
    this.signal = signal
    this.entries = entries
    this.bytes = joined(entries.map(({ piece }) => piece))
    this.items = entries.reduce((sum, { items }) => sum + items, 0)
    this.received = entries.reduce((oldest, { received }) => Math.min(oldest, received), Infinity)
  }
}
