// Exemplars in typed arrays: the newest for each counter or bucket, overwritten in place.

import type { Message } from './message.ts'
import type { Page } from './page.ts'
import { endExemplar } from './protobuf.ts'
import { copied } from './table.ts'

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

  /** Forgets the exemplars of some cells. */
  clear(from: number, to: number): void {
    this.#times.fill(0, from, to)
  }

  /** Writes ` # {trace_id="…",span_id="…"} value time` (OpenMetrics 1.0, Exemplars), or nothing if there is none. */
  write(page: Page, cell: number): void {
    if (this.#times[cell] === 0) return
    page.text(' # {trace_id="')
    page.hex(this.#ids, cell * 24, cell * 24 + 16)
    page.text('",span_id="')
    page.hex(this.#ids, cell * 24 + 16, cell * 24 + 24)
    page.text('"} ')
    page.number(this.#values[cell]!)
    page.text(' ')
    page.text(this.#times[cell]!.toFixed(3))
  }

  /** Writes the same as a protobuf Exemplar, in the field given. */
  writeMessage(message: Message, field: number, cell: number): void {
    if (this.#times[cell] === 0) return
    const start = message.begin(field)
    this.#label(message, 'trace_id', cell * 24, cell * 24 + 16)
    this.#label(message, 'span_id', cell * 24 + 16, cell * 24 + 24)
    endExemplar(message, start, this.#values[cell]!, this.#times[cell]!)
  }

  #label(message: Message, name: string, from: number, to: number): void {
    const start = message.begin(1)
    message.text(1, name)
    message.hex(2, this.#ids, from, to)
    message.end(start)
  }
}
