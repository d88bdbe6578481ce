// The window: records in memory that can be sent without being read. They join it, are handed out, and are forgotten.

import { BATCH, type Batch, MOST } from '../queue.ts'
import { DiskBatch, type Entry } from './entry.ts'
import { recordBytes } from './format.ts'
import { retire, stopScan } from './removal.ts'
import type { LineState } from './state.ts'

export function keep(line: LineState, entry: Entry): void {
  entry.kept = true
  line.chunks.use(entry.piece)
  line.window.push(entry)
  line.windowBytes += entry.length
}

/** Moves what was not written into the window, if it is its turn. False if there is nothing to move. */
export function refill(line: LineState): boolean {
  if (line.resume) return false
  const before = line.loose
  while (line.loose > 0 && line.windowBytes < Math.max(BATCH, line.common.windowBytes)) {
    keep(line, line.unwritten.at(-line.loose)!)
    line.loose--
  }
  return before > line.loose
}

export function takeBatch(line: LineState): Batch | undefined {
  let bytes = 0
  let count = 0
  for (const entry of line.window) {
    const suspect = entry.segment?.own === false && line.marks?.suspect(entry.seq) === true
    if (count > 0 && (bytes + entry.length > MOST || suspect)) break
    count++
    bytes += entry.length
    if (bytes >= BATCH || suspect) break
  }
  if (count === 0) return undefined
  const entries = line.window.splice(0, count)
  line.windowBytes -= bytes
  line.waiting -= bytes
  const batch = new DiskBatch(line.signal, entries)
  line.out.add(batch)
  const old = entries.filter(({ segment }) => segment && !segment.own)
  const [first] = old
  if (first) {
    line.marks?.begin(first.seq, old.at(-1)!.seq)
    setImmediate(() => line.marks?.end())
  }
  return batch
}

/** An entry that is kept has been dealt with. */
export function forget(line: LineState, entry: Entry): void {
  line.items -= entry.items
  if (entry.seq !== 0) acknowledge(line, entry)
  else {
    // It need not be written any more.
    entry.gone = true
    line.gone++
    line.memoryBytes -= entry.length
    line.unwrittenBytes -= recordBytes(entry.length)
    line.chunks.release(entry.piece)
  }
  line.chunks.release(entry.piece)
}

function acknowledge(line: LineState, { seq, segment, items, length }: Entry): void {
  line.diskBytes -= length
  line.acked.add(seq)
  line.cursorDirty = true
  if (!segment) return
  segment.remove(items, length)
  retire(line, segment)
}

/** Lets go of memory whose content can be read again. False if there is none. */
export function evict(line: LineState): boolean {
  const last = line.window.at(-1)
  if (!last?.segment) return false
  line.window.pop()
  line.windowBytes -= last.length
  last.segment.leave(last.items, last.length)
  stopScan(line)
  line.resume = { segment: last.segment, at: last.at }
  line.chunks.release(last.piece)
  return true
}
