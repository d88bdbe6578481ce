// Divides what was read of a file into records, and hands each to its source. It keeps nothing: what is not complete
// yet is left where it is, and read again with what comes after it.

import { isUtf8 } from 'node:buffer'
import type { Followed } from './followed.ts'
import { endsTraceback, MOST_LINES } from './join.ts'
import type { Output } from './output.ts'
import { wholeCharacters } from './text.ts'

/** The time for which lines may be handed on before the loop is free again. */
const SLICE_MS = 12
const LOOK_LINES = 32

export interface Situation {
  /** Nothing more comes for now: what is only waited for is taken as complete. */
  readonly quiet: boolean
  /** Nothing more comes at all, or not for long: a line without its end is taken, too. */
  readonly last: boolean
  /** Whether there is room for more. */
  room(): boolean
}

/** Takes the records in the bytes from `from` to `end`, and returns the offset of the first byte that was not. */
export function takeLines(
  bytes: Buffer,
  from: number,
  end: number,
  file: Followed,
  out: Output,
  { quiet, last, room }: Situation,
): number {
  const { source } = file
  let at = from
  if (file.skipping) {
    const newline = bytes.indexOf(10, at)
    if (newline < 0 || newline >= end) return end
    file.skipping = false
    at = newline + 1
  }
  const begun = performance.now()
  const complete = bytes.lastIndexOf(10, end - 1) + 1
  const lines = bytes.subarray(at, Math.max(at, complete))
  const utf8 = isUtf8(lines)
  out.odd = lines.includes(27) || lines.includes(0)
  out.race = lines.includes('race', 0, 'latin1')
  for (let count = 1; at < complete; count++) {
    const newline = bytes.indexOf(10, at)
    const next = recordEnd(bytes, at, newline + 1, end, file, quiet)
    if (next < 0) return at
    give(bytes, at, next - 1, file, utf8, out)
    at = next
    if (!room()) return at
    if (count % LOOK_LINES === 0 && performance.now() - begun > SLICE_MS) return at
  }
  if (end - at > source.maxLine) {
    // It has no end within what a line may have: the rest of it is passed over.
    out.odd = true
    out.race = true
    giveCut(bytes, at, file, out)
    file.skipping = true
    return end
  }
  if (last && end > at) {
    joined = 1
    out.odd = true
    out.race = true
    give(bytes, at, end, file, isUtf8(bytes.subarray(at, end)), out)
    return end
  }
  return at
}

/** The lines of the record at hand. */
let joined = 1

/** The offset after the record whose first line ends before `next`; -1 if more may belong to it. */
function recordEnd(bytes: Buffer, start: number, next: number, end: number, file: Followed, quiet: boolean): number {
  const { continues, maxLine } = file.source
  joined = 1
  if (!continues) return next
  let [after, last] = [next, start]
  for (let lines = 1; lines < MOST_LINES && after - start < maxLine; lines++) {
    const more = continues(bytes, after, end) ?? (quiet ? false : undefined)
    if (more === undefined) return -1
    if (!more && !endsTraceback(bytes, start, last)) return after
    const newline = bytes.indexOf(10, after)
    // A line that is longer than a record may be is one by itself, which is cut.
    if (newline < 0 || newline >= end) return quiet || end - start > maxLine ? after : -1
    last = after
    after = newline + 1
    joined++
  }
  return after
}

function give(bytes: Buffer, start: number, end: number, file: Followed, utf8: boolean, out: Output): void {
  const { source } = file
  const stop = end > start && bytes[end - 1] === 13 ? end - 1 : end
  if (stop - start > source.maxLine) {
    giveCut(bytes, start, file, out)
    source.lines += joined - 1
    return
  }
  source.lines += joined
  source.take(bytes, start, stop, utf8, file.context, out)
}

function giveCut(bytes: Buffer, start: number, file: Followed, out: Output): void {
  const { source } = file
  source.lines++
  source.cut++
  const stop = wholeCharacters(bytes, start, start + source.maxLine)
  source.take(bytes, start, stop, isUtf8(bytes.subarray(start, stop)), file.context, out)
}
