// Exemplars in typed arrays: the newest for each counter or bucket, overwritten in place.

import type { Message } from './message.ts'
import type { Page } from './page.ts'
import { endExemplar } from './protobuf.ts'
import { copied } from './table.ts'

const TRACE = Buffer.from(' # {trace_id="')
const SPAN = Buffer.from('",span_id="')
const CLOSE = Buffer.from('"} ')
const SPACE = Buffer.from(' ')
// LabelPairs up to the values, whose digits are as many as ever: 1 = {1 = name, 2 = value}.
const TRACE_LABEL = Buffer.from('\x0a\x2c\x0a\x08trace_id')
const SPAN_LABEL = Buffer.from('\x0a\x1b\x0a\x07span_id')

/** The newest exemplar of each cell: trace id, span id, value, time. */
export class Exemplars {
  #ids: Uint8Array
  #values: Float64Array
  #times: Float64Array

  constructor(cells: number) {
    this.#ids = new Uint8Array(cells * 24)
    this.#values = new Float64Array(cells)
    this.#times = new Float64Array(cells)
  }

  set(cell: number, value: number, seconds: number, ids: Uint8Array, trace: number, span: number): void {
    const at = cell * 24
    for (let i = 0; i < 16; i++) this.#ids[at + i] = ids[trace + i]!
    for (let i = 0; i < 8; i++) this.#ids[at + 16 + i] = ids[span + i]!
    this.#values[cell] = value
    this.#times[cell] = seconds
  }

  grow(cells: number): void {
    this.#ids = copied(this.#ids, new Uint8Array(cells * 24))
    this.#values = copied(this.#values, new Float64Array(cells))
    this.#times = copied(this.#times, new Float64Array(cells))
  }

  /** Writes ` # {trace_id="…",span_id="…"} value time` (OpenMetrics 1.0, Exemplars), or nothing if there is none. */
  write(page: Page, cell: number): void {
    if (this.#times[cell] === 0) return
    page.piece(TRACE)
    page.hex(this.#ids, cell * 24, cell * 24 + 16)
    page.piece(SPAN)
    page.hex(this.#ids, cell * 24 + 16, cell * 24 + 24)
    page.piece(CLOSE)
    page.number(this.#values[cell]!)
    page.piece(SPACE)
    page.time(this.#times[cell]!)
  }

  /** Writes the same as a protobuf Exemplar, in the field given. */
  writeMessage(message: Message, field: number, cell: number): void {
    if (this.#times[cell] === 0) return
    const start = message.begin(field)
    message.piece(TRACE_LABEL)
    message.hex(2, this.#ids, cell * 24, cell * 24 + 16)
    message.piece(SPAN_LABEL)
    message.hex(2, this.#ids, cell * 24 + 16, cell * 24 + 24)
    endExemplar(message, start, this.#values[cell]!, this.#times[cell]!)
  }
}
