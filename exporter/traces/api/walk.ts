// A walk over all spans held, from the newest to the oldest, at the pace of a query.

import type { Cursor, Pace, Source } from '../../../traceql/reading.ts'

export interface Which {
  /** Seconds since the epoch; a span counts if it overlaps them. */
  readonly from: number | undefined
  readonly to: number | undefined
  readonly filter: ((cursor: Cursor) => boolean) | undefined
}

/** Shows each span to `each` until it returns false; returns the bytes that were looked at. */
export async function walk(
  source: Source,
  { from, to, filter }: Which,
  pace: Pace,
  each: (cursor: Cursor) => boolean | undefined,
): Promise<number> {
  let bytes = 0
  for (const segment of source.segments) {
    const cursor = segment.cursor()
    for (let number = segment.next - 1; number >= segment.oldest; number--) {
      if (pace.due()) {
        await pace.turn()
        // Spans may have gone.
        if (number < segment.oldest) break
      }
      cursor.at(number)
      bytes += cursor.spanEnd - cursor.spanStart
      if (to !== undefined && cursor.startSeconds > to) continue
      if (from !== undefined && cursor.startSeconds + cursor.durationNanos / 1e9 < from) continue
      if (filter && !filter(cursor)) continue
      if (each(cursor) === false) return bytes
    }
  }
  return bytes
}
