// Lines as container runtimes wrap them.
//
//   CRI:     2026-11-28T22:01:02.123456789Z stdout F text        P instead of F: the text goes on in the next line of
// the stream   Docker:  {"log":"text\n","stream":"stdout","time":"2026-11-28T22:01:02.123456789Z"}      without \n: it
// goes on

import { readTime, Time } from './time.ts'

/** One wrapped line; one object is used again for each. */
export class Wrapped {
  readonly time = new Time()
  stream: 'stdout' | 'stderr' = 'stdout'
  /** Whether the text goes on in the next line of the stream. */
  partial = false
  bytes: Buffer = NONE
  start = 0
  end = 0

  /** False if the line is no CRI. */
  cri(bytes: Buffer, start: number, end: number, now: number): boolean {
    if (!looksLikeCri(bytes, start, end)) return false
    const space = bytes.indexOf(32, start)
    if (space < 0 || space > start + 40 || space + 10 > end) return false
    const tag = bytes[space + 8]!
    const stream = bytes.toString('latin1', space + 1, space + 8)
    if (stream !== 'stdout ' && stream !== 'stderr ') return false
    // Tags may have more parts, after a colon, of which none is known.
    const after = bytes.indexOf(32, space + 8)
    const stop = after < 0 || after > end ? end : after
    if (tag !== 70 && tag !== 80) return false
    if (readTime(bytes.toString('latin1', start, space), 0, this.time, now) < 0) return false
    this.stream = stream === 'stdout ' ? 'stdout' : 'stderr'
    this.partial = tag === 80
    this.bytes = bytes
    this.start = Math.min(stop + 1, end)
    this.end = end
    return true
  }

  /** False if these are not the values of a line of Docker's. */
  docker({ log, stream, time }: Readonly<Record<string, unknown>>, now: number): boolean {
    if (typeof log !== 'string' || typeof time !== 'string') return false
    if (readTime(time, 0, this.time, now) < 0) this.time.clear()
    this.stream = stream === 'stderr' ? 'stderr' : 'stdout'
    this.partial = !log.endsWith('\n')
    this.bytes = Buffer.from(log)
    this.start = 0
    this.end = this.bytes.length - (this.partial ? 0 : 1)
    return true
  }
}

const NONE = Buffer.alloc(0)

/** Whether it begins with a date and a "T", as no text does that is not a timestamp. */
export function looksLikeCri(bytes: Buffer, start: number, end: number): boolean {
  return end - start > 30 && bytes[start + 4] === 45 && bytes[start + 7] === 45 && bytes[start + 10] === 84
}

const LOG = Buffer.from('{"log":"')

export function looksLikeDocker(bytes: Buffer, start: number, end: number): boolean {
  return end - start > LOG.length && bytes.compare(LOG, 0, LOG.length, start, start + LOG.length) === 0
}
