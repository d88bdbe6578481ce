// Takes requests in: into memory, from where they are written, and into the window if it is their turn.

import type { Request } from '../../telemetry/request.ts'
import type { Piece } from './chunks.ts'
import { Entry } from './entry.ts'
import { MOST_PAYLOAD, recordBytes } from './format.ts'
import type { LineState } from './state.ts'
import { evict, keep } from './window.ts'
import { compact, flush } from './write.ts'

export function append(line: LineState, { bytes, items, received }: Request): void {
  const piece = bytes.length > MOST_PAYLOAD ? undefined : copy(line, bytes)
  if (!piece) {
    line.common.lose(line.signal, 'queue_full', items)
    return
  }
  const entry = new Entry(piece, items, received)
  if (line.gone > 1000 && !line.writing) compact(line)
  line.unwritten.push(entry)
  line.unwrittenBytes += recordBytes(bytes.length)
  line.appendedCount++
  line.items += items
  line.memoryBytes += bytes.length
  line.waiting += bytes.length
  if (line.loose === 0 && !line.resume && line.windowBytes + bytes.length <= line.common.windowBytes) keep(line, entry)
  else line.loose++
}

function copy(line: LineState, bytes: Buffer): Piece | undefined {
  for (;;) {
    const piece = line.chunks.copy(bytes)
    if (piece) return piece
    if (line.fault === undefined) {
      // Records that have been written need not be in memory; those that must be are written at once.
      flush(line)
      if (!evict(line)) return line.chunks.copy(bytes, true)
    } else if (!line.common.dropOldest()) return undefined
  }
}
