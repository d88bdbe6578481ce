// A traces request without the spans that cannot be taken. The bytes then hold exactly the accepted spans, for
// all consumers that count, keep or forward them; the good spans are copied byte for byte.

import { varints } from '../protobuf/varint.ts'
import { field, LENGTH, Reader, skip } from './wire.ts'

/** True if the span has the ids that every consumer relies on. The same rule as in span-walk.ts, for one span. */
export function acceptable(bytes: Uint8Array, start: number, end: number): boolean {
  let trace = false
  let span = false
  let parent = true
  const reader = new Reader().over(bytes, start, end)
  while (reader.next()) {
    const length = reader.end - reader.start
    if (reader.tag === TRACE_ID) trace = length === 16 && some(bytes, reader)
    else if (reader.tag === SPAN_ID) span = length === 8 && some(bytes, reader)
    else if (reader.tag === PARENT_ID) parent = length === 8 || length === 0
  }
  return trace && span && parent
}

/** The request with the acceptable spans only. The bytes must have passed the check. */
export function withoutBadSpans(bytes: Buffer): Buffer {
  return copy(bytes, 0, bytes.length, 0)
}

// Which field of a message holds the next level: resource_spans, scope_spans, spans.
const NEXT = [field(1, LENGTH), field(2, LENGTH), field(2, LENGTH)] as const

function copy(bytes: Buffer, start: number, end: number, level: number): Buffer {
  const parts: Buffer[] = []
  const reader = new Reader()
  for (let pos = start; pos < end; ) {
    // The reader passes over groups, so it is given one field at a time, and groups are copied as they are.
    let after = pos
    while (bytes[after++]! >= 128);
    const stop = skip(bytes, after, bytes[pos]!)
    const whole = bytes.subarray(pos, stop)
    if (!reader.over(bytes, pos, stop).next() || reader.tag !== NEXT[level]) parts.push(whole)
    else if (level < 2) {
      const inner = copy(bytes, reader.start, reader.end, level + 1)
      parts.push(varints(reader.tag, inner.length), inner)
    } else if (acceptable(bytes, reader.start, reader.end)) parts.push(whole)
    pos = stop
  }
  return Buffer.concat(parts)
}

const TRACE_ID = field(1, LENGTH)
const SPAN_ID = field(2, LENGTH)
const PARENT_ID = field(4, LENGTH)

function some(bytes: Uint8Array, { start, end }: Reader): boolean {
  for (let i = start; i < end; i++) if (bytes[i] !== 0) return true
  return false
}
