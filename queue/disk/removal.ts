// Files in which nothing is left: they are noted, closed and deleted. The next record to read is never in one of them.

import { HEAD } from './format.ts'
import type { Segment } from './segment.ts'
import type { LineState } from './state.ts'

/** A file in which nothing is left is closed from this size on, though it has room: then it can be deleted. */
const WORTHWHILE = 1024 * 1024

/** Nothing of it is left: it will be deleted. */
export function retire(line: LineState, segment: Segment): void {
  if (segment.records > 0 || segment.unread.records > 0 || !segment.exact || segment.replaced > 0) return
  if (segment === line.active) {
    if (segment.size < WORTHWHILE || line.writing) return
    line.active = undefined
  }
  if (line.resume?.segment === segment) advance(line)
  remove(line, segment)
}

export function remove(line: LineState, segment: Segment): void {
  const place = line.segments.indexOf(segment)
  if (place < 0) return
  line.segments.splice(place, 1)
  if (!line.replacing.has(segment)) passOver(line, segment)
  // Nobody needs to wait for it any more.
  if (line.dirty.delete(segment) && line.waiters.length > 0) setImmediate(() => line.settle())
  line.retired.push(segment)
}

/** Notes that nothing of a file is needed any more, nor of those before it. */
export function passOver(line: LineState, segment: Segment): void {
  line.acked.add(segment.first, segment.last)
  const kept = [...line.segments.slice(0, 1), ...line.replacing].map(({ first }) => first)
  const first = Math.min(line.next, ...kept)
  if (first > 1) line.acked.add(1, first - 1)
  line.cursorDirty = true
}

export function unlink(line: LineState, segment: Segment): Promise<void> {
  line.common.grow(-segment.size)
  segment.size = 0
  const remove = async (): Promise<void> => {
    await closeFile(line, segment)
    if (!line.foreign) await line.common.files.unlink(segment.path).catch(() => {})
  }
  return track(line, remove())
}

/** Has the end wait for this. */
export function track(line: LineState, removal: Promise<void>): Promise<void> {
  const tracked = removal.finally(() => line.removals.delete(tracked))
  line.removals.add(tracked)
  return tracked
}

/** Not while it is synced: then the sync closes it. */
export async function closeFile(line: LineState, segment: Segment): Promise<void> {
  const { fd } = segment
  if (fd === undefined || segment.syncing || segment.replaced > 0 || line.scan?.fd === fd) return
  segment.fd = undefined
  await line.common.files.close(fd).catch(() => {})
}

/** Goes on with the next file. */
export function advance(line: LineState): void {
  const { segment } = line.resume ?? {}
  stopScan(line)
  const place = segment ? line.segments.indexOf(segment) : -1
  const next = line.segments.slice(place + 1).find(each => each.unread.records > 0 || !each.exact)
  line.resume = place >= 0 && next ? { segment: next, at: HEAD } : undefined
}

export function stopScan(line: LineState): void {
  const fd = line.scan?.fd
  line.scan = undefined
  if (fd !== undefined) line.common.files.close(fd).catch(() => {})
}
