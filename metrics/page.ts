// The bytes of one scrape under construction: a list of full buffers and one that is being filled. Numbers and label
// texts are written straight into the buffer, since a string for each line would make a scrape slow.

import { type Piece, WORD, wordsIn } from './piece.ts'
import { PAGE_BYTES, Pool } from './pool.ts'
import { LITTLE_ENDIAN } from './word.ts'

/** Up to this many bytes a loop is faster than a call into the runtime (row exposition). */
const SHORT = 32
/** Bytes of a length as a varint, padded to the most that readers accept (binary.MaxVarintLen32). */
const LENGTH_BYTES = 5

/** Something that bytes can be written to. */
export interface Sink {
  bytes(source: Uint8Array, start: number, end: number): void
}

/** Something that adds to the end of a line. */
export interface LineEnd {
  write(page: Page, cell: number): void
}

export class Page implements Sink {
  readonly #pool: Pool
  #full: Buffer[] = []
  #buffer: Buffer
  /** The same buffer, for words at any place. */
  #view: DataView
  #length = 0
  /** The place for the length of the open part. */
  #open: { readonly buffer: Buffer; readonly place: number } | undefined
  /** Bytes in the full buffers since the part was opened. */
  #since = 0

  /** Whether its reader takes names in UTF-8 (escaping.ts). */
  readonly utf8: boolean

  constructor(pool = new Pool(), utf8 = false) {
    this.#pool = pool
    this.utf8 = utf8
    this.#buffer = pool.take()
    this.#view = viewOf(this.#buffer)
  }

  /** Writes a text as UTF-8. */
  text(text: string): void {
    // A UTF-16 unit becomes at most 3 bytes.
    this.#reserve(text.length * 3)
    this.#length += this.#buffer.write(text, this.#length)
  }

  /** Writes bytes as they are. */
  bytes(source: Uint8Array, start: number, end: number): void {
    this.#reserve(end - start)
    const buffer = this.#buffer
    let at = this.#length
    if (end - start > SHORT) buffer.set(source.subarray(start, end), at)
    else for (let i = start; i < end; i++) buffer[at++] = source[i]!
    this.#length += end - start
  }

  /** Writes a prepared text. */
  piece(piece: Piece): void {
    this.words(piece.words, 0, piece.length)
  }

  /** Writes so many bytes of words, from one of them on. */
  words(words: Int32Array, first: number, bytes: number): void {
    // The last word may reach beyond the text, where the next bytes will be written.
    this.#reserve(bytes + WORD)
    this.#length = putWords(this.#view, this.#length, words, first, bytes)
  }

  /** Ensures that the next `bytes` bytes are in one buffer, and returns where they begin, for `again`. */
  room(bytes: number): number {
    this.#reserve(bytes)
    return this.#length
  }

  /** The place of the next byte, for `again` within the room that was made. */
  get here(): number {
    return this.#length
  }

  // A line by copyWithin takes a third of the time of a loop, and half of that of set() or copy(), which need an object
  // for the part (row exposition).
  /** Writes the bytes between two places of the room once more. */
  again(start: number, end: number): void {
    this.#buffer.copyWithin(this.#length, start, end)
    this.#length += end - start
  }

  /**
   * Writes the rest of the current line, then whole lines. Each line is the bytes between the two places, a piece and
   * the sum of the counts so far, and whatever `more` adds for the cell of the count. Returns the sum of all counts.
   */
  cumulative(
    start: number,
    end: number,
    pieces: readonly Piece[],
    counts: Float64Array,
    first: number,
    more?: LineEnd,
  ): number {
    const buffer = this.#buffer
    const view = this.#view
    let at = this.#length
    let sum = 0
    for (let i = 0; i < pieces.length; i++) {
      if (i > 0) {
        buffer.copyWithin(at, start, end)
        at += end - start
      }
      const { words, length } = pieces[i]!
      at = putWords(view, at, words, 0, length)
      sum += counts[first + i]!
      if (sum < 0x7fffffff) at = digits(buffer, at, sum | 0)
      else at += buffer.write(spelled(sum), at)
      if (more) {
        this.#length = at
        more.write(this, first + i)
        at = this.#length
      }
      buffer[at++] = NEWLINE
    }
    this.#length = at
    return sum
  }

  /** Writes lower-case hexadecimal digits, two for each byte. */
  hex(source: Uint8Array, start: number, end: number): void {
    this.#reserve((end - start) * 2)
    const view = this.#view
    let at = this.#length
    for (let i = start; i < end; i++, at += 2) view.setUint16(at, HEX[source[i]!]!)
    this.#length = at
  }

  /** Writes a sample value as both text formats spell it: shortest round-trip decimal, NaN, +Inf, -Inf. */
  number(value: number): void {
    // Fast path: most samples are counts; writing their digits costs a tenth of making a string.
    if (value >= 0 && value < 0x7fffffff && value === (value | 0)) this.#whole(value | 0)
    else if (!this.#decimal(value)) this.text(spelled(value))
  }

  /** The same with a number of an array; on its way into the call above it would be an object. */
  numberAt(values: Float64Array, place: number): void {
    const value = values[place]!
    if (value >= 0 && value < 0x7fffffff && value === (value | 0)) this.#whole(value | 0)
    else if (!this.#decimal(value)) this.text(spelled(value))
  }

  #whole(value: number): void {
    this.#reserve(10)
    this.#length = digits(this.#buffer, this.#length, value)
  }

  /** Writes seconds since the epoch with three decimals. */
  time(seconds: number): void {
    const ms = Math.round(seconds * 1000)
    const whole = Math.floor(ms / 1000)
    if (!(whole >= 0 && whole < 0x7fffffff)) {
      this.text(seconds.toFixed(3))
      return
    }
    this.#reserve(14)
    const at = digits(this.#buffer, this.#length, whole)
    this.#buffer[at] = POINT
    this.#length = at + 4
    padded(this.#buffer, at + 1, 3, ms - whole * 1000)
  }

  /**
   * Begins a part that is preceded by its length as a varint (protobuf). `close` ends it, perhaps some slices later.
   */
  open(): void {
    this.#reserve(LENGTH_BYTES)
    this.#open = { buffer: this.#buffer, place: this.#length }
    this.#length += LENGTH_BYTES
    this.#since = 0
  }

  close(): void {
    if (!this.#open) return
    const { buffer, place } = this.#open
    this.#open = undefined
    let rest = this.#since + this.#length - place - LENGTH_BYTES
    for (let i = 0; i < LENGTH_BYTES; i++, rest = Math.floor(rest / 128))
      buffer[place + i] = (rest % 128) | (i < LENGTH_BYTES - 1 ? 128 : 0)
  }

  /** The full buffers, which will not be written to again. */
  full(): Buffer[] {
    if (this.#open || this.#full.length === 0) return NOTHING
    const full = this.#full
    this.#full = []
    return full
  }

  /** Everything that `full` has not returned yet; the page must not be used afterwards. */
  take(): Buffer[] {
    return [...this.#full, this.#buffer.subarray(0, this.#length)]
  }

  // Exemplars and most sums are whole nanoseconds, times are milliseconds, and sizes whole numbers. A decimal of at most 15
  // digits that reads back as the same number is the shortest one, and writing its digits costs a quarter of making a string
  // (row exposition, OpenMetrics).
  #decimal(value: number): boolean {
    // From 1e-6 on String() writes no exponent.
    if (!(value >= 1e-6 && value < 1e15)) return false
    const places = value < 1e6 ? 9 : value < 1e12 ? 3 : 0
    const scale = places === 9 ? 1e9 : places === 3 ? 1e3 : 1
    const whole = Math.floor(value)
    let rest = Math.round((value - whole) * scale)
    if ((whole * scale + rest) / scale !== value || rest === scale) return false
    this.#reserve(26)
    const buffer = this.#buffer
    let at = this.#length
    if (whole < 0x7fffffff) at = digits(buffer, at, whole)
    else {
      const billions = Math.floor(whole / 1e9)
      at = digits(buffer, at, billions)
      padded(buffer, at, 9, whole - billions * 1e9)
      at += 9
    }
    if (rest > 0) {
      let width = places
      for (; rest % 10 === 0; rest /= 10) width--
      buffer[at] = POINT
      padded(buffer, at + 1, width, rest)
      at += 1 + width
    }
    this.#length = at
    return true
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes > this.#buffer.length) this.#turn(bytes)
  }

  #turn(bytes: number): void {
    this.#full.push(this.#buffer.subarray(0, this.#length))
    this.#since += this.#length
    this.#buffer = this.#pool.take(Math.max(PAGE_BYTES, bytes))
    this.#view = viewOf(this.#buffer)
    this.#length = 0
  }
}

const NEWLINE = 10
const POINT = 46
const NOTHING: Buffer[] = []
/** The two digits of each byte. */
const HEX = Uint16Array.from({ length: 256 }, (_, byte) =>
  Buffer.from(byte.toString(16).padStart(2, '0')).readUInt16BE(),
)

function viewOf({ buffer, byteOffset, byteLength }: Buffer): DataView {
  return new DataView(buffer, byteOffset, byteLength)
}

/** Writes the words that hold a text, and returns where it ends. */
function putWords(view: DataView, at: number, words: Int32Array, first: number, bytes: number): number {
  const end = first + wordsIn(bytes)
  for (let i = first, to = at; i < end; i++, to += WORD) view.setInt32(to, words[i]!, LITTLE_ENDIAN)
  return at + bytes
}

/** Writes a whole number that is not negative, and returns where it ends. */
function digits(buffer: Buffer, start: number, value: number): number {
  if (value < 10) {
    buffer[start] = 48 + value
    return start + 1
  }
  let width = 2
  for (let rest = (value / 100) | 0; rest > 0; rest = (rest / 10) | 0) width++
  padded(buffer, start, width, value)
  return start + width
}

/** Writes the last digits of a whole number. */
function padded(buffer: Buffer, start: number, width: number, value: number): void {
  let rest = value
  for (let at = start + width - 1; at >= start; at--) {
    const next = (rest / 10) | 0
    buffer[at] = 48 + rest - next * 10
    rest = next
  }
}

/** A number as the exposition formats spell it. */
export function spelled(value: number): string {
  if (Number.isFinite(value)) return String(value)
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
}

/** Escapes a label value: backslash, double quote, line feed (both text formats agree). */
export function escapeLabel(value: string): string {
  return /[\\"\n]/.test(value) ? value.replace(/[\\"\n]/g, found => (found === '\n' ? '\\n' : `\\${found}`)) : value
}
