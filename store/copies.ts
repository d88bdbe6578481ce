// Spans on their way into the ring of pinned spans: a request made of them, and what their records will say. It is filled again
// for each such request, so a flood of pinned spans makes no garbage.
//
// Spans that stand one after another where they come from are copied at once, with what stands between them: their tags and
// lengths. Lengths of resources and scopes are known last, and are written in five bytes, as protobuf allows.

import { field, LENGTH, Reader } from '../otlp/wire.ts'
import { putVarint } from '../protobuf/varint.ts'
import type { Cursor } from './cursor.ts'

/** Bytes after which a request is full: as many spans share the cost of one, and little memory is taken beside the rings. */
const FULL = 16_384
/** The largest buffer that is kept for the next request. */
const LARGEST_KEPT = 4 * FULL
/** Readers look at four bytes at once, and may look beyond the last. */
const SLACK = 16
const HEADER = 6

// The numbers of a span, in words: like those of a record (record.ts), but where it stands in `bytes`.
export const COPY_WORDS = 14
export const COPY_START = 0
export const COPY_END = 1
export const COPY_NAME_START = 2
export const COPY_FLAGS = 3
/** In doubles: half of the first word, and one of these. */
export const COPY_SECONDS = 2
export const COPY_NANOS = 3
/** Where the length of its ResourceSpans stands. */
export const COPY_RESOURCE = 8
export const COPY_HASH = 9
export const COPY_SLOT = 10
export const COPY_NAME_END = 11
export const COPY_TRACE_ID = 12

export class Copies {
  size = 0
  /** When the oldest of them came in. */
  received = 0
  bytes = Buffer.allocUnsafeSlow(0)
  values = new Int32Array(0)
  /** The same memory. */
  doubles = new Float64Array(this.values.buffer)
  #pos = 0
  // Spans that stand one after another and are not copied yet: where they come from.
  #source: Buffer | undefined
  #from = 0
  #to = 0
  // Where the lengths of the messages stand that are open, and what their spans came from.
  #resource = -1
  #resourceSpans = -1
  #scope = -1
  #scopeSpans = -1
  #scopeSpansEnd = -1
  /** Where what stands in the open messages before their spans begins and ends. */
  readonly #resourceFields = new Int32Array(2)
  readonly #scopeFields = new Int32Array(2)
  readonly #fields = new Reader()

  /** Bytes of the request so far. */
  get length(): number {
    return this.#pos + this.#to - this.#from
  }

  get full(): boolean {
    return this.length >= FULL
  }

  /** Adds the span that the cursor stands on. `slot` is that of the span among the copied ones. */
  add(cursor: Cursor, slot: number): void {
    const { bytes, spanStart, spanEnd } = cursor
    if (!(bytes === this.#source && this.#to > this.#from && follows(bytes, this.#to, spanStart, spanEnd)))
      this.#begin(cursor)
    this.#to = spanEnd
    const at = this.size++ * COPY_WORDS
    if (at === this.values.length) this.#grow()
    const { values } = this
    const delta = this.#pos - this.#from
    values[at + COPY_START] = spanStart + delta
    values[at + COPY_END] = spanEnd + delta
    values[at + COPY_NAME_START] = cursor.nameStart + delta
    values[at + COPY_NAME_END] = cursor.nameEnd + delta
    values[at + COPY_TRACE_ID] = cursor.traceId + delta
    values[at + COPY_FLAGS] = cursor.flags
    values[at + COPY_RESOURCE] = this.#resource
    values[at + COPY_HASH] = cursor.traceHash
    values[at + COPY_SLOT] = slot
    this.doubles[(at >> 1) + COPY_SECONDS] = cursor.startSeconds
    this.doubles[(at >> 1) + COPY_NANOS] = cursor.durationNanos
  }

  /** Copies all that was added: after this the ring that it stands in may change. */
  leave(): void {
    this.#flush()
    this.#source = undefined
    this.#resourceSpans = this.#scopeSpans = -1
  }

  /** Ends the request. */
  finish(): void {
    this.leave()
    this.#close()
  }

  clear(): void {
    this.size = 0
    this.#pos = this.#from = this.#to = 0
    this.#resource = this.#scope = -1
    if (this.bytes.length <= LARGEST_KEPT) return
    this.bytes = Buffer.allocUnsafeSlow(0)
    this.values = new Int32Array(0)
    this.doubles = new Float64Array(this.values.buffer)
  }

  /** Begins at a span that does not follow the one before. */
  #begin(cursor: Cursor): void {
    this.#flush()
    this.#source = cursor.bytes
    const { resourceAt, spanStart, spanEnd } = cursor
    if (resourceAt !== this.#resourceSpans) {
      this.#resourceSpans = resourceAt
      this.#scopeSpans = -1
      this.#enterResource(cursor)
    }
    if (this.#scopeSpans < 0 || spanStart < this.#scopeSpans || spanEnd > this.#scopeSpansEnd) this.#enterScope(cursor)
    const length = spanEnd - spanStart
    this.#room(HEADER + length)
    this.bytes[this.#pos++] = SPAN
    this.#pos = putVarint(this.bytes, this.#pos, length)
    this.#from = spanStart
  }

  #flush(): void {
    const length = this.#to - this.#from
    if (length > 0) {
      this.#room(length)
      this.#source?.copy(this.bytes, this.#pos, this.#from, this.#to)
      this.#pos += length
    }
    this.#from = this.#to = 0
  }

  /** Goes on in the open ResourceSpans if the next one says the same. */
  #enterResource(cursor: Cursor): void {
    const [start, end] = cursor.resourceSpans()
    const at = this.#writeFields(cursor.bytes, start, end, RESOURCE)
    if (this.#resource >= 0 && this.#same(this.#resourceFields, at, this.#pos)) {
      this.#pos = at - HEADER
      return
    }
    const to = this.#pos
    this.#pos = at - HEADER
    this.#close()
    this.bytes[this.#pos] = RESOURCE_SPANS
    this.#resource = this.#pos + 1
    this.#resourceFields[0] = at
    this.#resourceFields[1] = this.#pos = to
  }

  #enterScope(cursor: Cursor): void {
    const [start, end] = cursor.scopeSpans()
    this.#scopeSpans = start
    this.#scopeSpansEnd = end
    const at = this.#writeFields(cursor.bytes, start, end, SCOPE)
    if (this.#scope >= 0 && this.#same(this.#scopeFields, at, this.#pos)) {
      this.#pos = at - HEADER
      return
    }
    const to = this.#pos
    this.#pos = at - HEADER
    this.#closeScope()
    this.bytes[this.#pos] = SCOPE_SPANS
    this.#scope = this.#pos + 1
    this.#scopeFields[0] = at
    this.#scopeFields[1] = this.#pos = to
  }

  /** Writes what a message says besides its spans, behind room for its tag and length; returns where that begins. */
  #writeFields(source: Buffer, start: number, end: number, wanted: number): number {
    this.#room(HEADER)
    const at = this.#pos + HEADER
    this.#pos = at
    for (const fields = this.#fields.over(source, start, end); fields.next(); ) {
      // The resource may come in pieces.
      if (fields.tag !== wanted && fields.tag !== SCHEMA_URL) continue
      const length = fields.end - fields.start
      this.#room(HEADER + length)
      this.bytes[this.#pos++] = fields.tag
      this.#pos = putVarint(this.bytes, this.#pos, length)
      source.copy(this.bytes, this.#pos, fields.start, fields.end)
      this.#pos += length
    }
    return at
  }

  #same(fields: Int32Array, start: number, end: number): boolean {
    return this.bytes.compare(this.bytes, fields[0]!, fields[1]!, start, end) === 0
  }

  #closeScope(): void {
    if (this.#scope >= 0) putPadded(this.bytes, this.#scope, this.#pos)
    this.#scope = -1
  }

  #close(): void {
    this.#closeScope()
    if (this.#resource >= 0) putPadded(this.bytes, this.#resource, this.#pos)
    this.#resource = -1
  }

  #room(count: number): void {
    const needed = this.#pos + count + SLACK
    if (needed <= this.bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.bytes.length, FULL))
    this.bytes.copy(larger, 0, 0, this.#pos)
    this.bytes = larger
  }

  #grow(): void {
    const larger = new Int32Array(Math.max(32 * COPY_WORDS, 2 * this.values.length))
    larger.set(this.values)
    this.values = larger
    this.doubles = new Float64Array(larger.buffer)
  }
}

/** Whether a span stands behind another that ends at `at`, in the same scope, with nothing but its tag and length in between. */
function follows(bytes: Buffer, at: number, start: number, end: number): boolean {
  if (bytes[at] !== SPAN) return false
  let length = 0
  let pos = at + 1
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = bytes[pos++]!
    length |= (byte & 127) << shift
    if (byte < 128) break
  }
  return pos === start && length === end - start
}

/** Writes the length of what stands between it and `end`, in five bytes. */
function putPadded(bytes: Buffer, at: number, end: number): void {
  let rest = end - at - 5
  for (let i = 0; i < 4; i++) {
    bytes[at + i] = (rest & 127) | 128
    rest >>>= 7
  }
  bytes[at + 4] = rest
}

const RESOURCE_SPANS = field(1, LENGTH)
const RESOURCE = field(1, LENGTH)
const SCOPE_SPANS = field(2, LENGTH)
const SCOPE = field(1, LENGTH)
const SCHEMA_URL = field(3, LENGTH)
const SPAN = field(2, LENGTH)
