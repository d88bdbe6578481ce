// Loses what is too old, or what is oldest when there is no room, and counts it in the same step.

import type { QueueLoss } from '../queue.ts'
import type { DiskBatch } from './entry.ts'
import { advance, passOver, remove, retire, unlink } from './removal.ts'
import type { Segment } from './segment.ts'
import type { LineState } from './state.ts'
import { forget, keep, refill } from './window.ts'
import { flush, unwrite } from './write.ts'

/**
 * Loses what came in before `time` and is not handed out. A record only in a file is judged by the file, or when it is
 * read.
 */
export function expire(line: LineState, time: number): void {
  line.expired = time
  while (line.returned[0] && line.returned[0].received < time) loseReturned(line, line.returned[0], 'too_old')
  while (line.window[0] && line.window[0].received < time) loseFirst(line, 'too_old')
  for (let resume = line.resume; resume && resume.segment.newest < time; resume = line.resume)
    loseUnread(line, resume.segment, 'too_old')
  while (!line.resume && line.window.length === 0 && line.loose > 0) {
    const entry = line.unwritten[line.unwritten.length - line.loose]
    if (!entry || entry.received >= time) break
    keep(line, entry)
    line.loose--
    loseFirst(line, 'too_old')
  }
}

function loseFirst(line: LineState, reason: QueueLoss): void {
  const entry = line.window.shift()
  if (!entry) return
  line.windowBytes -= entry.length
  line.waiting -= entry.length
  forget(line, entry)
  line.common.lose(line.signal, reason, entry.items)
}

function loseReturned(line: LineState, batch: DiskBatch, reason: QueueLoss): void {
  line.returned.splice(line.returned.indexOf(batch), 1)
  line.waiting -= batch.bytes.length
  for (const entry of batch.entries) forget(line, entry)
  line.common.lose(line.signal, reason, batch.items)
}

/** Records that are only in this file, which is the one that is read next. */
function loseUnread(line: LineState, segment: Segment, reason: QueueLoss): void {
  if (segment === line.active) line.active = undefined
  forgetUnread(line, segment, reason)
  if (line.resume?.segment === segment) advance(line)
  retire(line, segment)
}

function dropSegment(line: LineState, segment: Segment, reason: QueueLoss): void {
  for (const batch of line.returned.filter(({ entries }) => entries.some(each => each.segment === segment)))
    loseReturned(line, batch, reason)
  const gone = line.window.filter(each => each.segment === segment)
  line.window = line.window.filter(each => each.segment !== segment)
  let items = 0
  for (const entry of gone) {
    items += entry.items
    line.windowBytes -= entry.length
    line.waiting -= entry.length
    forget(line, entry)
  }
  if (items > 0) line.common.lose(line.signal, reason, items)
  const written = line.writtenCount
  if (segment.replaced > 0) line.replacing.add(segment)
  for (const batch of line.out) {
    for (const entry of batch.entries)
      if (entry.segment === segment) {
        line.replacing.add(segment)
        line.urgent.push(unwrite(line, entry))
      }
  }
  if (line.resume?.segment === segment || segment.unread.records > 0) loseUnread(line, segment, reason)
  if (segment === line.active) line.active = undefined
  remove(line, segment)
  // Its space is wanted now; but what is out of it must be in another file first.
  const place = line.retired.indexOf(segment)
  if (place >= 0) line.retired.splice(place, 1)
  if (line.writtenCount === written && segment.replaced === 0) unlink(line, segment)
  else {
    setImmediate(() => flush(line))
    line.common.grow(-segment.size)
    segment.size = 0
    const run = (): void => {
      if (line.replacing.delete(segment)) passOver(line, segment)
      unlink(line, segment)
    }
    line.afterwards.push({ count: Math.max(written, line.appendedCount), run })
  }
}

export function droppable(line: LineState): Segment | undefined {
  const out = [...line.out].flatMap(({ entries }) => entries)
  const records = (segment: Segment): number => out.filter(each => each.segment === segment).length
  return line.segments.find(segment => !segment.exact || segment.records > records(segment))
}

/** Records that a file was thought to hold, of which none is left to be read. More than these can have been read of it. */
export function forgetUnread(line: LineState, segment: Segment, reason: QueueLoss): void {
  const { records, items, bytes } = segment.unread
  segment.unread = { records: 0, items: 0, bytes: 0 }
  segment.records -= records
  segment.items -= items
  segment.bytes -= bytes
  segment.exact = true
  line.items -= items
  line.diskBytes -= bytes
  line.waiting -= bytes
  if (items > 0) line.common.lose(line.signal, reason, items)
  else line.recovered -= items
}

/**
 * Loses the oldest file of which something is not out. Batches that are out are written again. False if there is none.
 */
export function dropFile(line: LineState): boolean {
  const segment = droppable(line)
  if (segment) dropSegment(line, segment, 'queue_full')
  return segment !== undefined
}

/** Loses the oldest that is waiting: a whole file if it is in one. False if there is nothing. */
export function dropOldest(line: LineState): boolean {
  const [returned] = line.returned
  const first = returned?.entries[0] ?? line.window[0]
  if ((first?.segment || (!first && line.resume)) && dropFile(line)) return true
  if (returned) loseReturned(line, returned, 'queue_full')
  else if (first || refill(line)) loseFirst(line, 'queue_full')
  else return false
  return true
}
