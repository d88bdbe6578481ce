// Exemplars in typed arrays: the newest for each counter or bucket, overwritten in place.

import type { Message } from './message.ts'
import type { Page } from './page.ts'
import { endExemplar } from './protobuf.ts'
import { word } from './word.ts'

// An exemplar lies in one piece, which is a twentieth of row intake-http against three places, each in another cache line:
// trace id 16 bytes, span id 8, value 8, time 8.
const BYTES = 40
const WORDS = BYTES / 4
const DOUBLES = BYTES / 8
const VALUE = 3
const TIME = 4

/** The newest exemplar of each cell: trace id, span id, value, time. */
export class Exemplars {
  #bytes: Uint8Array
  #words: Int32Array
  #doubles: Float64Array

  constructor(cells: number) {
    this.#bytes = new Uint8Array(cells * BYTES)
    this.#words = new Int32Array(this.#bytes.buffer)
    this.#doubles = new Float64Array(this.#bytes.buffer)
  }

  set(cell: number, value: number, seconds: number, ids: Uint8Array, trace: number, span: number): void {
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

  /** Writes ` # {trace_id="…",span_id="…"} value time` (OpenMetrics 1.0, Exemplars), or nothing if there is none. */
  write(page: Page, cell: number): void {
    const seconds = this.#doubles[cell * DOUBLES + TIME]!
    if (seconds === 0) return
    const at = cell * BYTES
    page.text(' # {trace_id="')
    page.hex(this.#bytes, at, at + 16)
    page.text('",span_id="')
    page.hex(this.#bytes, at + 16, at + 24)
    page.text('"} ')
    page.number(this.#doubles[cell * DOUBLES + VALUE]!)
    page.text(' ')
    page.text(seconds.toFixed(3))
  }

  /** Writes the same as a protobuf Exemplar, in the field given. */
  writeMessage(message: Message, field: number, cell: number): void {
    const seconds = this.#doubles[cell * DOUBLES + TIME]!
    if (seconds === 0) return
    const at = cell * BYTES
    const start = message.begin(field)
    this.#label(message, 'trace_id', at, at + 16)
    this.#label(message, 'span_id', at + 16, at + 24)
    endExemplar(message, start, this.#doubles[cell * DOUBLES + VALUE]!, seconds)
  }

  #label(message: Message, name: string, from: number, to: number): void {
    const start = message.begin(1)
    message.text(1, name)
    message.hex(2, this.#bytes, from, to)
    message.end(start)
  }
}
