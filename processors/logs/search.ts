// Searches the kept log records, from the newest to the oldest. A search of a large ring goes in slices, so that it never holds
// the event loop, and ends when its client has gone.

import { setImmediate } from 'node:timers/promises'
import type { Cursor, Ring } from './ring.ts'

/** Called with each record of a search: false ends it. */
export type Visit = (record: Cursor) => boolean

const SLICE_MS = 10
/**
 * Visits the records, newest first, those older than `before` if it is given. Rejects with the signal's reason when that
 * comes first. Records that are overwritten meanwhile are not visited.
 */
export async function visit(ring: Ring, each: Visit, signal: AbortSignal, before?: number): Promise<void> {
  const cursor = ring.cursor(before)
  let began = performance.now()
  while (cursor.next()) {
    if (!each(cursor)) return
    // After each: one expression on one body may take as long as a slice.
    if (performance.now() - began < SLICE_MS) continue
    await setImmediate()
    signal.throwIfAborted()
    began = performance.now()
  }
}
