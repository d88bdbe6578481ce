// Finds out what an earlier process has left in the folder of a signal. The truth is in the segments: each is asked what it
// holds, whatever its name, the cursor, or another file says. Nothing is loaded; heads are counted, and only the segment that
// was written last is read as a whole, since a sudden end can have torn it.

import type { Log } from '../../telemetry/host.ts'
import { readCursor, writeCursor } from './cursor.ts'
import { codeOf, type Files } from './files.ts'
import { HEAD, isSegmentName, readFileHead } from './format.ts'
import { Marks } from './marks.ts'
import { Ranges } from './ranges.ts'
import { Scan } from './scan.ts'
import { Segment } from './segment.ts'
import type { Recovered } from './state.ts'

export interface Found extends Recovered {
  /** Bytes at the end of the last segment that were no record, and were cut off. */
  readonly torn: number
  /** Bytes of files. */
  readonly size: number
}

/** Reads the folder, which must be there. Rejects if a newer version has written in it, or if it cannot be read. */
export async function recover(files: Files, folder: string, log: Log, now: () => number): Promise<Found> {
  const names = (await files.names(folder)).filter(isSegmentName).sort()
  // Before anything is changed.
  const opened: Opened[] = []
  try {
    for (const name of names) opened.push(await openSegment(files, `${folder}/${name}`))
    for (const { path, head } of opened) if (head.kind === 'newer') throw newer(path, head.version)
    return await readAll(files, folder, opened, log, now)
  } finally {
    for (const { fd } of opened) if (fd !== undefined) await files.close(fd)
  }
}

interface Opened {
  readonly path: string
  readonly fd: number | undefined
  readonly size: number
  readonly head: ReturnType<typeof readFileHead>
}

/** Something with the name of a segment: a link, a folder, a pipe or an empty file have no head. */
async function openSegment(files: Files, path: string): Promise<Opened> {
  let fd: number
  try {
    fd = await files.open(path, 'read')
  } catch (error) {
    // Too many links are one: it is not followed.
    if (codeOf(error) === 'ELOOP' || codeOf(error) === 'ENXIO') return { path, fd: undefined, size: -1, head: BAD }
    throw error
  }
  const size = await files.size(fd).catch(() => undefined)
  if (size === undefined) return { path, fd, size: -1, head: BAD }
  const bytes = Buffer.alloc(HEAD)
  const count = size < HEAD ? 0 : await files.read(fd, bytes, HEAD, 0)
  return { path, fd, size, head: readFileHead(bytes.subarray(0, count)) }
}

const BAD = { kind: 'bad' } as const

async function readAll(
  files: Files,
  folder: string,
  opened: readonly Opened[],
  log: Log,
  now: () => number,
): Promise<Found> {
  let torn = 0
  const usable: Usable[] = []
  for (const [index, each] of opened.entries()) {
    const { path, size, head, fd } = each
    if (head.kind === 'ok' && fd !== undefined) {
      usable.push({ path, fd, size, created: head.created, salt: head.salt })
      continue
    }
    // The file was made, and then the end came before its head was written.
    if (size === 0 || (size > 0 && size < HEAD && index === opened.length - 1)) {
      torn += size
      await files.unlink(path).catch(() => {})
    } else await setAside(files, path, now(), log)
  }
  const cursor = (await readCursor(files, folder)) ?? new Ranges()
  const marks = await Marks.read(files, folder)
  let segments: Segment[] = []
  let acked = cursor
  for (const each of usable) segments.push(await count(files, each, acked))
  const last = segments.reduce((most, each) => Math.max(most, each.last), 0)
  // It says that records were acknowledged that never were there, so nothing that it says can be believed.
  if (segments.length > 0 && watermark(cursor) > last) {
    log.warn('the cursor of the queue does not fit its files; what they hold is sent again', { folder })
    acked = new Ranges()
    // On the disk, before new records get numbers that would make it fit.
    await writeCursor(files, folder, acked).catch(() => files.unlink(`${folder}/cursor`).catch(() => {}))
    segments = []
    for (const each of usable) segments.push(await count(files, each, acked))
  }
  // A file that was given another one's name is read in its own turn.
  segments.sort((a, b) => a.first - b.first)
  const newest = segments.at(-1)
  const its = usable.find(({ path }) => path === newest?.path)
  if (newest && its) torn += await cutTail(files, newest, its, acked)
  const named = opened.map(({ path }) => Number.parseInt(path.slice(-18, -2), 16)).filter(Number.isSafeInteger)
  const next = Math.max(last, cursor.last, ...named, 0) + 1
  const size = segments.reduce((sum, each) => sum + each.size, 0)
  await marks.open()
  return { segments, acked, next, marks, torn, size }
}

interface Usable {
  readonly path: string
  readonly fd: number
  readonly size: number
  readonly created: number
  readonly salt: number
}

/** Counts what a segment holds and nobody has acknowledged. */
async function count(files: Files, { path, fd, size, created, salt }: Usable, acked: Ranges): Promise<Segment> {
  const scan = new Scan(files, fd, salt, false)
  let segment: Segment | undefined
  for (let found = await scan.next(size); found.kind !== 'end'; found = await scan.next(size)) {
    if (found.kind === 'bad') continue
    const { seq, items, seconds } = found.head
    segment ??= new Segment(path, seq, created, salt, false)
    segment.last = Math.max(segment.last, seq)
    if (acked.has(seq)) continue
    const length = scan.length(found.at)
    segment.add(items, length, created + seconds * 1000)
    segment.leave(items, length)
  }
  segment ??= new Segment(path, 0, created, salt, false)
  segment.size = size
  segment.synced = size
  return segment
}

/** Reads the newest segment as a whole and cuts off what stands behind its last record. Returns how many bytes that were. */
async function cutTail(
  files: Files,
  segment: Segment,
  { path, fd, salt, size }: Usable,
  acked: Ranges,
): Promise<number> {
  const scan = new Scan(files, fd, salt, true)
  const seen = new Segment(path, segment.first, segment.created, salt, false)
  let end = HEAD
  for (let found = await scan.next(size); found.kind !== 'end'; found = await scan.next(size)) {
    if (found.kind === 'bad') continue
    end = found.end
    const { seq, items, seconds } = found.head
    if (acked.has(seq)) continue
    seen.add(items, scan.length(found.at), segment.created + seconds * 1000)
  }
  Object.assign(segment, { records: seen.records, items: seen.items, bytes: seen.bytes })
  segment.unread = { records: seen.records, items: seen.items, bytes: seen.bytes }
  if (end === size) return 0
  segment.size = end
  try {
    const writing = await files.open(path, 'change')
    await files.truncate(writing, end).finally(() => files.close(writing))
  } catch {
    // A disk that cannot be written; what is not read does no harm.
  }
  return size - end
}

/** Everything up to this number is acknowledged. */
function watermark(acked: Ranges): number {
  for (const [first, last] of acked) return first <= 1 ? last : 0
  return 0
}

async function setAside(files: Files, path: string, now: number, log: Log): Promise<void> {
  const to = `${path}.corrupt-${Math.floor(now)}`
  log.error('set aside a file of the queue whose beginning is not that of one', { path, to })
  await files.rename(path, to).catch(() => {})
}

function newer(path: string, version: number): Error {
  return new Error(
    `cannot read ${path}: a newer version of Pillion has written it (format ${version}); start that one to send what it holds, or choose another folder with --forward.queue.dir`,
  )
}
