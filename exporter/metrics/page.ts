// The bytes of one scrape under construction: a list of full buffers and one that is being filled. Numbers and copied
// label texts go straight into the buffer, since building a string for each line is what makes a scrape slow.

const PAGE_BYTES = 128 * 1024
/** Up to this many bytes a loop is quicker than a call into the runtime. */
const SHORT = 24

export class Page {
  #full: Buffer[] = []
  #buffer = Buffer.allocUnsafeSlow(PAGE_BYTES)
  #length = 0
  /** Where the length of the open part will stand. */
  #place = 0

  /** Writes a text as UTF-8. */
  text(text: string): void {
    // A UTF-16 unit becomes at most 3 bytes.
    this.#reserve(text.length * 3)
    this.#length += this.#buffer.write(text, this.#length)
  }

  /** Writes bytes that are already what the reader shall see. */
  bytes(source: Uint8Array, start: number, end: number): void {
    this.#reserve(end - start)
    if (end - start > SHORT) this.#buffer.set(source.subarray(start, end), this.#length)
    else for (let i = start, at = this.#length; i < end; i++, at++) this.#buffer[at] = source[i]!
    this.#length += end - start
  }

  /** Writes a short piece that recurs, prepared as bytes: a bucket's bound, the end of a line. */
  piece(piece: Uint8Array): void {
    this.bytes(piece, 0, piece.length)
  }

  /** Makes sure that the next `bytes` bytes stand in one buffer, and gives the place where they begin, for `again`. */
  room(bytes: number): number {
    this.#reserve(bytes)
    return this.#length
  }

  /** The place of the next byte; good for `again` within the room that was made. */
  get here(): number {
    return this.#length
  }

  /** Writes once more what stands between two places of the room that was made. */
  again(start: number, end: number): void {
    this.#buffer.copyWithin(this.#length, start, end)
    this.#length += end - start
  }

  /** Writes lower-case hexadecimal digits, two for each byte. */
  hex(source: Uint8Array, start: number, end: number): void {
    this.#reserve((end - start) * 2)
    for (let i = start; i < end; i++) {
      this.#buffer[this.#length++] = HEX.charCodeAt(source[i]! >> 4)
      this.#buffer[this.#length++] = HEX.charCodeAt(source[i]! & 15)
    }
  }

  /** Writes a sample value as both text formats spell it: shortest round-trip decimal, NaN, +Inf, -Inf. */
  number(value: number): void {
    // Fast path: most samples are counts, and digits by hand cost a tenth of a string.
    if (value >= 0 && value < 0x7fffffff && value === (value | 0)) this.#digits(value | 0)
    else this.text(spelled(value))
  }

  /** Begins a part that its length shall precede as a varint (protobuf); ended by `close`, maybe some slices later. */
  open(): void {
    this.#cut()
    this.#place = this.#full.push(NOTHING) - 1
  }

  close(): void {
    this.#cut()
    let length = 0
    for (let i = this.#place + 1; i < this.#full.length; i++) length += this.#full[i]!.length
    this.#full[this.#place] = varint(length)
  }

  /** Everything written so far; the page is empty afterwards. */
  take(): Buffer[] {
    const all = [...this.#full, this.#buffer.subarray(0, this.#length)]
    this.#full = []
    this.#buffer = Buffer.allocUnsafeSlow(PAGE_BYTES)
    this.#length = 0
    return all
  }

  /** Lets the next byte begin a new buffer, without giving up the room that is left in this one. */
  #cut(): void {
    this.#full.push(this.#buffer.subarray(0, this.#length))
    this.#buffer = this.#buffer.subarray(this.#length)
    this.#length = 0
  }

  #digits(value: number): void {
    this.#reserve(10)
    let width = 1
    for (let rest = value; rest >= 10; rest = (rest / 10) | 0) width++
    let at = this.#length + width
    this.#length = at
    for (let rest = value; width > 0; width--) {
      const next = (rest / 10) | 0
      this.#buffer[--at] = 48 + rest - next * 10
      rest = next
    }
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return
    this.#full.push(this.#buffer.subarray(0, this.#length))
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(PAGE_BYTES, bytes))
    this.#length = 0
  }
}

const HEX = '0123456789abcdef'
const NOTHING = Buffer.alloc(0)

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return Buffer.from([...bytes, rest])
}

/** A number in the spelling of the exposition formats. */
export function spelled(value: number): string {
  if (Number.isFinite(value)) return String(value)
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
}

/** Escapes a label value: backslash, double quote, line feed (both text formats agree). */
export function escapeLabel(value: string): string {
  return /[\\"\n]/.test(value) ? value.replace(/[\\"\n]/g, found => (found === '\n' ? '\\n' : `\\${found}`)) : value
}
