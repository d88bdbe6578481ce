// Has the disk take what was written, and tells those who wait for that. Bytes that a disk did not take are written
// again.

import { setImmediate as nextTurn } from 'node:timers/promises'

import { Entry } from './entry.ts'
import { broken, mended } from './fault.ts'
import { HEAD } from './format.ts'
import { finish } from './read.ts'
import { closeFile, retire, track } from './removal.ts'
import { Scan } from './scan.ts'
import type { Segment } from './segment.ts'
import type { LineState } from './state.ts'
import { flush, unwrite } from './write.ts'

/** Has the disk take what was written; one at a time. */
export function startSync(line: LineState): Promise<void> {
  line.syncing ??= syncNow(line).finally(() => {
    line.syncing = undefined
    settle(line)
  })
  return line.syncing
}

export async function syncNow(line: LineState): Promise<void> {
  const { files } = line.common
  const count = line.writtenCount
  const folder = line.folderDirty
  const segments = [...line.dirty].map(segment => ({ segment, size: segment.size }))
  line.dirty.clear()
  line.dirtyBytes = 0
  line.folderDirty = false
  const failed: Segment[] = []
  let fault: unknown
  for (const { segment, size } of segments) {
    if (segment.fd === undefined) continue
    segment.syncing = true
    try {
      await files.sync(segment.fd)
      segment.synced = size
    } catch (error) {
      failed.push(segment)
      fault = error
    }
    segment.syncing = false
    if (!line.segments.includes(segment)) await closeFile(line, segment)
  }
  if (folder) {
    try {
      await files.syncFolder(line.folder)
    } catch (error) {
      line.folderDirty = true
      fault ??= error
    }
  }
  if (fault === undefined) {
    line.syncedCount = Math.max(line.syncedCount, count)
    line.syncFailures = 0
    if (line.fault !== undefined && line.unwritten.length === 0) mended(line)
  } else if (!line.closed) {
    for (const segment of failed) await rescue(line, segment)
    if (++line.syncFailures > 1 || failed.length === 0) broken(line, fault)
    else flush(line)
  }
  for (const { segment } of segments)
    if (segment !== line.active && !line.dirty.has(segment)) await closeFile(line, segment)
  settle(line)
}

/**
 * The disk did not take this file. The kernel may say once that pages were lost, and then count them as written, so a
 * second sync would prove nothing: what is not on the disk is written again, to another file.
 */
async function rescue(line: LineState, segment: Segment): Promise<void> {
  while (line.writing) await nextTurn()
  if (segment === line.active) line.active = undefined
  if (!line.segments.includes(segment) || segment.fd === undefined) return
  line.writing = true
  try {
    await writeAgain(line, segment, segment.fd)
  } finally {
    line.writing = false
  }
}

async function writeAgain(line: LineState, segment: Segment, fd: number): Promise<void> {
  const from = Math.max(segment.synced, HEAD)
  const read = segment.unread.records > 0 ? await readBack(line, segment, fd, from) : []
  const written = line.writtenCount
  // From here on in one step, since records are handed out and dealt with meanwhile.
  const dropped = !line.segments.includes(segment)
  const moved: Entry[] = []
  const replaced: number[] = []
  const again = (entry: Entry): void => {
    replaced.push(entry.seq)
    moved.push(unwrite(line, entry))
  }
  const known = [...line.out, ...line.returned].flatMap(({ entries }) => entries).concat(line.window)
  for (const entry of known) if (entry.segment === segment && entry.at >= from) again(entry)
  for (const entry of read) {
    if (!dropped && !line.acked.has(entry.seq) && isUnread(line, segment, entry.at)) {
      segment.read(entry.items, entry.length)
      again(entry)
      line.loose++
    }
    line.chunks.release(entry.piece)
  }
  line.unwritten.unshift(...line.urgent.splice(0), ...moved)
  if (dropped) return
  line.mixed = true
  line.common.grow(from - segment.size)
  segment.size = from
  if (line.resume?.segment === segment && line.resume.at >= from) finish(line, segment)
  // Not before they are in another file: a process that ends now leaves them here.
  segment.replaced++
  const run = (): void => {
    for (const seq of replaced) line.acked.add(seq)
    line.cursorDirty = true
    track(line, cut(line, segment))
  }
  line.afterwards.push({ count: written, run })
}

/** Cuts off what has been written again elsewhere. */
async function cut(line: LineState, segment: Segment): Promise<void> {
  segment.replaced--
  retire(line, segment)
  const { fd, size } = segment
  if (!line.segments.includes(segment) || fd === undefined) return
  await line.common.files.truncate(fd, size).catch(() => {})
  if (!line.dirty.has(segment)) await closeFile(line, segment)
}

/** The records that are only in the file, from an offset on. */
async function readBack(line: LineState, segment: Segment, fd: number, from: number): Promise<Entry[]> {
  const begin = line.resume?.segment === segment ? Math.max(from, line.resume.at) : from
  const scan = new Scan(line.common.files, fd, segment.salt, true, begin)
  const read: Entry[] = []
  for (;;) {
    const found = await scan.next(segment.size).catch(() => undefined)
    if (!found || found.kind === 'end') return read
    if (found.kind === 'bad') continue
    const { seq, items, seconds } = found.head
    const entry = new Entry(line.chunks.copy(scan.payload(found.at), true)!, items, segment.created + seconds * 1000)
    Object.assign(entry, { seq, segment, at: found.at })
    read.push(entry)
  }
}

/** Whether what stands there is only in the file. */
function isUnread(line: LineState, segment: Segment, at: number): boolean {
  const { segment: reading, at: place } = line.resume ?? {}
  if (!reading || place === undefined) return false
  return reading === segment ? at >= place : line.segments.indexOf(reading) < line.segments.indexOf(segment)
}

export function settle(line: LineState): void {
  // Records that were dealt with before they were written, or synced, need no sync.
  if (line.dirty.size === 0 && !line.folderDirty && !line.syncing && line.syncFailures === 0)
    line.syncedCount = line.writtenCount
  const { safe } = line
  if (line.afterwards.length > 0) {
    const due = line.afterwards.filter(({ count }) => count <= safe)
    line.afterwards = line.afterwards.filter(({ count }) => count > safe)
    for (const { run } of due) run()
  }
  const failed = line.fault !== undefined
  if (line.waiters.length === 0) return
  const waiting = line.waiters
  line.waiters = []
  for (const waiter of waiting) {
    if (waiter.count <= safe) waiter.resolve(true)
    else if (failed) waiter.resolve(false)
    else line.waiters.push(waiter)
  }
  // Others have been waiting meanwhile.
  if (line.waiters.length > 0 && line.common.durable && !line.syncing && line.unsynced) startSync(line)
}
