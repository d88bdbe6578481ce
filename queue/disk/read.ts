// Reads what is only in the files, in order, into the window.

import { BATCH } from '../queue.ts'
import { Entry } from './entry.ts'
import type { RecordHead } from './format.ts'
import { forgetUnread } from './lose.ts'
import { advance, retire, stopScan } from './removal.ts'
import { Scan } from './scan.ts'
import type { Segment } from './segment.ts'
import type { LineState } from './state.ts'
import { keep, refill } from './window.ts'

/** So many poisoned records are set aside, each up to 1 MiB; further ones are only counted. */
const MOST_POISON = 16
const POISON_BYTES = 1024 * 1024
/** A file that cannot be read so many times is given up. */
const MOST_FAILURES = 5

/** Reads what is only in the files, in order, until a batch is in the window or the end is reached. */
export async function readOn(line: LineState): Promise<void> {
  while (line.resume && line.windowBytes < BATCH && !line.closed) {
    const { segment, at } = line.resume
    let found: Awaited<ReturnType<Scan['next']>>
    let scan: Scan
    try {
      scan = await scanOf(line, segment, at)
      if (scan.at !== at) scan.at = at
      found = await scan.next(segment.size)
    } catch (error) {
      stopScan(line)
      if (line.resume?.segment !== segment) continue
      line.common.log.error('cannot read the queue from disk', { file: segment.path, error })
      // It may be a passing fault, such as too many open files. Then the next call tries again.
      if (++segment.failures < MOST_FAILURES) break
      found = { kind: 'bad', at, end: segment.size }
      scan = new Scan(line.common.files, -1, 0, true)
    }
    // It was dropped meanwhile, or memory was taken from the window.
    if (line.resume?.segment !== segment || line.resume.at !== at) continue
    if (found.kind === 'end') finish(line, segment)
    else {
      line.resume = { segment, at: found.end }
      if (found.kind === 'bad') line.corruptBytes += found.end - found.at
      else accept(line, segment, found, scan.payload(found.at))
    }
  }
  refill(line)
}

function accept(
  line: LineState,
  segment: Segment,
  { head, at }: { head: RecordHead; at: number },
  payload: Buffer,
): void {
  const { seq, items, seconds } = head
  if (line.acked.has(seq) || (line.mixed && isKept(line, seq))) return
  segment.read(items, payload.length)
  const received = segment.created + seconds * 1000
  const poison = !segment.own && (line.marks?.guilty(seq) || !line.common.readable(line.signal, payload))
  const old = received < line.expired
  if (poison || old) {
    if (poison) setAside(line, seq, payload)
    line.items -= items
    line.diskBytes -= payload.length
    line.waiting -= payload.length
    segment.remove(items, payload.length)
    line.acked.add(seq)
    line.cursorDirty = true
    line.common.lose(line.signal, poison ? 'poison' : 'too_old', items)
    return
  }
  const entry = new Entry(line.chunks.copy(payload, true)!, items, received)
  entry.seq = seq
  entry.segment = segment
  entry.at = at
  // The use of an entry that is still to be written becomes that of the window.
  keep(line, entry)
  line.chunks.release(entry.piece)
}

/** The file has been read to its end: now it is known what is in it. */
export function finish(line: LineState, segment: Segment): void {
  forgetUnread(line, segment, 'corrupt')
  advance(line)
  retire(line, segment)
}

async function scanOf(line: LineState, segment: Segment, at: number): Promise<Scan> {
  if (line.scan?.segment === segment) return line.scan.scan
  stopScan(line)
  const fd = await line.common.files.open(segment.path, 'read')
  const scan = new Scan(line.common.files, fd, segment.salt, true, at)
  line.scan = { scan, segment, fd }
  return scan
}

function isKept(line: LineState, seq: number): boolean {
  const batches = [...line.out, ...line.returned]
  return line.window.some(each => each.seq === seq) || batches.some(({ entries }) => entries.some(e => e.seq === seq))
}

function setAside(line: LineState, seq: number, payload: Buffer): void {
  const { files, log } = line.common
  const path = `${line.folder}/${seq.toString(16).padStart(16, '0')}.poison`
  log.error('set aside a record of the queue that cannot be handled', { path, bytes: payload.length })
  if (line.poisoned++ >= MOST_POISON) return
  const bytes = Buffer.from(payload.subarray(0, POISON_BYTES))
  const write = async (): Promise<void> => {
    const fd = await files.open(path, 'replace')
    await files.writeLater(fd, [bytes]).finally(() => files.close(fd))
  }
  write().catch(() => {})
}
