// Writes what is only in memory, a group at a time, behind each other into the newest file.

import { randomBytes } from 'node:crypto'
import { bytesOf } from './chunks.ts'
import type { Entry } from './entry.ts'
import { broken, mended } from './fault.ts'
import { codeOf } from './files.ts'
import { fileHead, HEAD, padding, recordBytes, segmentName, writeRecordHead } from './format.ts'
import { closeFile, retire } from './removal.ts'
import { Segment } from './segment.ts'
import type { LineState } from './state.ts'

/** The most bytes that are written at once. */
const GROUP = 1024 * 1024
/** Payloads below this are copied behind each other with their heads: a system call pays for each piece. */
const SMALL = 8 * 1024
/** A write that holds the event loop for longer than this makes further ones asynchronous, for a while. */
const SLOW_MS = 50
const SLOW_FOR_MS = 60_000

/**
 * Writes what is not written, at once unless a file has to be opened for it or the disk is slow; with `again`, even if it
 * failed before.
 */
export async function flush(line: LineState, again = false): Promise<void> {
  if (line.writing || line.closed || line.foreign || (line.fault !== undefined && !again)) return
  // There is no folder yet.
  if (!line.marks) return
  line.writing = true
  try {
    while (line.unwritten.length + line.urgent.length > 0 && (await writeGroup(line)));
  } finally {
    line.writing = false
  }
  line.settle()
}

/** Writes some of what is first. False if that failed. */
async function writeGroup(line: LineState): Promise<boolean> {
  compact(line)
  const [first] = line.unwritten
  if (!first) return true
  const { files, clock } = line.common
  let segment = line.active
  try {
    if (!segment || !continues(line, segment, first)) segment = await openFile(line, first.received)
    if (segment.fd === undefined) throw new Error('the file is closed')
    // Some may have been dealt with while a file was opened, and their memory be another's.
    compact(line)
    if (line.unwritten.length === 0) return true
    const group = nextGroup(line, segment)
    const { buffers, bytes } = layOut(line, segment, group)
    const began = clock.monotonic()
    let written: number
    if (began < line.slowUntil) {
      // Meanwhile some of it may be dealt with, and the memory must not be used for others.
      for (const { piece } of group) line.chunks.use(piece)
      try {
        written = await files.writeLater(segment.fd, buffers)
      } finally {
        for (const { piece } of group) line.chunks.release(piece)
      }
      // The file was dropped meanwhile.
      if (!line.segments.includes(segment)) return true
    } else {
      written = files.write(segment.fd, buffers)
      const took = clock.monotonic() - began
      if (took > SLOW_MS) slow(line, took)
    }
    if (written < bytes) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' })
    placed(line, segment, group, bytes)
    return true
  } catch (error) {
    return failed(line, segment, error)
  }
}

/** Whether a record goes on in this file. */
function continues(line: LineState, segment: Segment, { length, received }: Entry): boolean {
  if (segment.size > HEAD && segment.size + recordBytes(length) > line.common.segmentBytes) return false
  // A clock that was set back by more than a minute, or 2^32 s after: then times of the file could not say it.
  return received > segment.created - 60_000 && received < segment.created + 4e12
}

async function openFile(line: LineState, received: number): Promise<Segment> {
  const { files, clock } = line.common
  const before = line.active
  line.active = undefined
  if (before) {
    if (!line.dirty.has(before)) await closeFile(line, before)
    retire(line, before)
  }
  const created = Math.floor(Math.min(clock.now(), received))
  const segment = new Segment(`${line.folder}/${segmentName(line.next)}`, line.next, created, salt(), true)
  segment.own = true
  segment.fd = await files.open(segment.path, 'create')
  line.folderDirty = true
  try {
    if (files.write(segment.fd, [fileHead(created, segment.salt)]) < HEAD)
      throw Object.assign(new Error('no space left'), { code: 'ENOSPC' })
  } catch (error) {
    await closeFile(line, segment)
    await files.unlink(segment.path).catch(() => {})
    throw error
  }
  line.common.grow(HEAD)
  line.segments.push(segment)
  line.active = segment
  return segment
}

/** The records that are written next, all into one file. */
function nextGroup(line: LineState, segment: Segment): Entry[] {
  const group: Entry[] = []
  let bytes = 0
  for (const entry of line.unwritten) {
    const size = recordBytes(entry.length)
    const last = bytes + size > GROUP || segment.size + bytes + size > line.common.segmentBytes
    if (group.length > 0 && (last || !continues(line, segment, entry))) break
    group.push(entry)
    bytes += size
  }
  return group
}

/** The bytes of the group as they will stand in the file. Small payloads are gathered in one piece of memory. */
function layOut(line: LineState, segment: Segment, group: readonly Entry[]): { buffers: Buffer[]; bytes: number } {
  let heads = 0
  for (const { length } of group) heads += length < SMALL ? recordBytes(length) : HEAD
  if (line.scratch === undefined || line.scratch.length < heads)
    line.scratch = Buffer.allocUnsafeSlow(Math.max(heads, 64 * 1024))
  const scratch = line.scratch
  const buffers: Buffer[] = []
  let [start, at, bytes, seq] = [0, 0, 0, line.next]
  for (const { piece, items, received, length } of group) {
    const payload = bytesOf(piece)
    const seconds = (received - segment.created) / 1000
    const head = { seq, signal: line.signal, encoding: 'protobuf', compression: 'none', items, seconds } as const
    writeRecordHead(scratch, at, head, payload, segment.salt)
    at += HEAD
    bytes += recordBytes(length)
    seq++
    const zeros = padding(length)
    if (length < SMALL) {
      payload.copy(scratch, at)
      zeros.copy(scratch, at + length)
      at += length + zeros.length
      continue
    }
    buffers.push(scratch.subarray(start, at), payload)
    if (zeros.length > 0) buffers.push(zeros)
    start = at
  }
  if (at > start) buffers.push(scratch.subarray(start, at))
  return { buffers, bytes }
}

/** The group has been written. */
function placed(line: LineState, segment: Segment, group: readonly Entry[], bytes: number): void {
  let at = segment.size
  segment.size += bytes
  line.common.grow(bytes)
  line.unwritten.splice(0, group.length)
  for (const entry of group) {
    entry.seq = line.next++
    entry.segment = segment
    entry.at = at
    at += recordBytes(entry.length)
    segment.last = entry.seq
    if (entry.gone) line.acked.add(entry.seq)
    else {
      segment.add(entry.items, entry.length, entry.received)
      line.memoryBytes -= entry.length
      line.diskBytes += entry.length
      if (!entry.kept) {
        line.loose--
        segment.leave(entry.items, entry.length)
        line.resume ??= { segment, at: entry.at }
      }
    }
    written(line, entry)
  }
  line.dirty.add(segment)
  line.dirtyBytes += bytes
  if (line.fault !== undefined && line.syncFailures === 0) mended(line)
  line.common.dirty(line.signal)
}

function written(line: LineState, { piece, length, gone }: Entry): void {
  line.writtenCount++
  if (gone) {
    line.gone--
    return
  }
  line.unwrittenBytes -= recordBytes(length)
  line.chunks.release(piece)
}

/** Forgets what need not be written any more. Not while some of it is being written. */
export function compact(line: LineState): void {
  line.unwritten.unshift(...line.urgent.splice(0))
  if (line.gone === 0) return
  line.writtenCount += line.gone
  line.gone = 0
  line.unwritten = line.unwritten.filter(({ gone }) => !gone)
}

/**
 * An entry in memory whose record will be in the files no more: it must be written again. The old record is acknowledged
 * when the new one is safe, and not before: a process that ends in between finds it where it was.
 */
export function unwrite(line: LineState, entry: Entry): Entry {
  const { segment, items, length, piece } = entry
  segment?.remove(items, length)
  line.diskBytes -= length
  line.memoryBytes += length
  entry.seq = 0
  entry.segment = undefined
  line.writtenCount--
  line.unwrittenBytes += recordBytes(length)
  line.chunks.use(piece)
  return entry
}

/** Whether writing can go on at once. */
async function failed(line: LineState, segment: Segment | undefined, error: unknown): Promise<boolean> {
  const code = codeOf(error)
  if (segment?.fd !== undefined && segment.size > 0) {
    try {
      await line.common.files.truncate(segment.fd, segment.size)
    } catch {
      // Bytes behind the last record are no record: this file is not written any more.
      if (line.active === segment) line.active = undefined
    }
    // A limit of the size of files, not of the disk: a new one may take it.
    if (code === 'EFBIG' && segment.size > HEAD) {
      if (line.active === segment) line.active = undefined
      return true
    }
  }
  // Another process, or a file that was put there. The next number is as good.
  if (code === 'EEXIST') {
    line.next++
    return true
  }
  broken(line, error)
  return false
}

function slow(line: LineState, ms: number): void {
  const { folder } = line
  if (line.slowUntil === 0)
    line.common.log.warn('writing the queue is slow; it is done in the background', { folder, ms: Math.round(ms) })
  line.slowUntil = line.common.clock.monotonic() + SLOW_FOR_MS
}

function salt(): number {
  return randomBytes(4).readUInt32LE()
}
