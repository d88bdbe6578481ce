// Exemplars in typed arrays: the newest for each counter or bucket, overwritten in place.

import type { MessageWriter } from './message-writer.ts'
import type { Page } from './page.ts'
import { piece } from './piece.ts'
import { endExemplar } from './protobuf.ts'
import { LITTLE_ENDIAN, word } from './word.ts'

// An exemplar is one piece of memory: trace id 16 bytes, span id 8, value 8, time 8. Three separate arrays, each in
// another cache line, cost a twentieth of row intake-http.
const BYTES = 40
const WORDS = BYTES / 4
const DOUBLES = BYTES / 8
const VALUE = 3
const TIME = 4

const TRACE = piece(' # {trace_id="')
const SPAN = piece('",span_id="')
const CLOSE = piece('"} ')
const SPACE = piece(' ')
// LabelPairs up to their values, which have a fixed number of digits: 1 = {1 = name, 2 = value}.
const TRACE_LABEL = Buffer.from('\x0a\x2c\x0a\x08trace_id')
const SPAN_LABEL = Buffer.from('\x0a\x1b\x0a\x07span_id')

/** Whether an exemplar of this trace may be shown on; the id is 16 bytes at an offset. */
export type Keep = (ids: Uint8Array, at: number) => boolean

/** A metric object that has exemplars. */
export interface HoldsExemplars {
  /** Whether they come from spans that were received here, rather than with data points from outside. */
  readonly ofSpans: boolean
  /** Whether an exemplar may have been set since this was last asked. */
  exemplarsChanged(): boolean
  /**
   * Asks about the exemplars from a position on (0 = the first), about so many places at most, and forgets those that may not
   * be kept. Returns where to go on, or -1 at the end.
   */
  visitExemplars(keep: Keep, from: number, places: number): number
}

export function holdsExemplars(metric: object): metric is HoldsExemplars {
  return 'visitExemplars' in metric && typeof metric.visitExemplars === 'function'
}

/** A span that is to be an exemplar: its bytes, where its ids stand in them, how long it took, and when it ended. */
export interface ExemplarSpan {
  readonly data: DataView
  readonly traceId: number
  readonly spanId: number
  readonly seconds: number
  readonly endSeconds: number
}

/** The newest exemplar of each cell: trace id, span id, value, time. */
export class Exemplars {
  #bytes: Uint8Array
  #words: Int32Array
  #doubles: Float64Array
  #changed = false

  constructor(cells: number) {
    this.#bytes = new Uint8Array(cells * BYTES)
    this.#words = new Int32Array(this.#bytes.buffer)
    this.#doubles = new Float64Array(this.#bytes.buffer)
  }

  set(cell: number, value: number, seconds: number, ids: Uint8Array, trace: number, span: number): void {
    this.#changed = true
    const words = this.#words
    const at = cell * WORDS
    words[at] = word(ids, trace)
    words[at + 1] = word(ids, trace + 4)
    words[at + 2] = word(ids, trace + 8)
    words[at + 3] = word(ids, trace + 12)
    words[at + 4] = word(ids, span)
    words[at + 5] = word(ids, span + 4)
    this.#doubles[cell * DOUBLES + VALUE] = value
    this.#doubles[cell * DOUBLES + TIME] = seconds
  }

  /** The same of a span: its seconds, or 1. Numbers that are not whole would be objects on their way into the call above. */
  setSpan(cell: number, span: ExemplarSpan, seconds: boolean): void {
    this.#changed = true
    const words = this.#words
    const at = cell * WORDS
    const { data, traceId, spanId } = span
    words[at] = data.getInt32(traceId, LITTLE_ENDIAN)
    words[at + 1] = data.getInt32(traceId + 4, LITTLE_ENDIAN)
    words[at + 2] = data.getInt32(traceId + 8, LITTLE_ENDIAN)
    words[at + 3] = data.getInt32(traceId + 12, LITTLE_ENDIAN)
    words[at + 4] = data.getInt32(spanId, LITTLE_ENDIAN)
    words[at + 5] = data.getInt32(spanId + 4, LITTLE_ENDIAN)
    const doubles = this.#doubles
    doubles[cell * DOUBLES + VALUE] = seconds ? span.seconds : 1
    doubles[cell * DOUBLES + TIME] = span.endSeconds
  }

  grow(cells: number): void {
    const larger = new Uint8Array(cells * BYTES)
    larger.set(this.#bytes)
    this.#bytes = larger
    this.#words = new Int32Array(larger.buffer)
    this.#doubles = new Float64Array(larger.buffer)
  }

  /** Forgets the exemplars of some cells. */
  clear(from: number, to: number): void {
    this.#bytes.fill(0, from * BYTES, to * BYTES)
  }

  /** See `HoldsExemplars`, as for `visit`. */
  changed(): boolean {
    const changed = this.#changed
    this.#changed = false
    return changed
  }

  /** See `HoldsExemplars`. */
  visit(keep: Keep, from: number, places: number): number {
    const cells = this.#bytes.length / BYTES
    const end = Math.min(cells, from + places)
    for (let cell = from; cell < end; cell++)
      if (this.#doubles[cell * DOUBLES + TIME] !== 0 && !keep(this.#bytes, cell * BYTES)) this.clear(cell, cell + 1)
    return end === cells ? -1 : end
  }

  /** Writes ` # {trace_id="…",span_id="…"} value time` (OpenMetrics 1.0, Exemplars), or nothing if there is none. */
  write(page: Page, cell: number): void {
    const seconds = this.#doubles[cell * DOUBLES + TIME]!
    if (seconds === 0) return
    const at = cell * BYTES
    page.piece(TRACE)
    page.hex(this.#bytes, at, at + 16)
    page.piece(SPAN)
    page.hex(this.#bytes, at + 16, at + 24)
    page.piece(CLOSE)
    page.number(this.#doubles[cell * DOUBLES + VALUE]!)
    page.piece(SPACE)
    page.time(seconds)
  }

  /** Writes the same as a protobuf Exemplar, in the field given. */
  writeMessage(message: MessageWriter, field: number, cell: number): void {
    const seconds = this.#doubles[cell * DOUBLES + TIME]!
    if (seconds === 0) return
    const at = cell * BYTES
    const start = message.begin(field)
    message.piece(TRACE_LABEL)
    message.hex(2, this.#bytes, at, at + 16)
    message.piece(SPAN_LABEL)
    message.hex(2, this.#bytes, at + 16, at + 24)
    endExemplar(message, start, this.#doubles[cell * DOUBLES + VALUE]!, seconds)
  }
}
