// A batch on its way to an upstream: the pieces that are left of it, and what has become of the others.

import { type Batch, QUEUE_LOSSES, type QueueLoss } from '../../queue/queue.ts'
import { REFUSALS, type Refusal } from './answer.ts'
import type { Piece } from './divide.ts'

/** Why items are dropped. */
export const DROP_REASONS = [...QUEUE_LOSSES, ...REFUSALS, 'internal'] as const
export type DropReason = QueueLoss | Refusal | 'internal'

export interface Part extends Piece {
  /** Compressed. */
  body?: Buffer
}

export interface Work {
  readonly batch: Batch
  /** The rest of it. */
  readonly parts: Part[]
  forwarded: number
  readonly dropped: Map<DropReason, number>
}

export function work(batch: Batch): Work {
  return { batch, parts: [{ bytes: batch.bytes, items: batch.items }], forwarded: 0, dropped: new Map() }
}

export function add(counts: Map<DropReason, number>, reason: DropReason, items: number): void {
  counts.set(reason, (counts.get(reason) ?? 0) + items)
}
