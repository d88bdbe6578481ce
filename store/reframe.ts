// Builds a traces request out of spans that stand in several others: each with its resource and its scope, which are written
// once for spans that follow each other. It serves two purposes: copies of pinned spans, and a trace to be shown.
//
// A trace to be shown is completed, since Grafana's data source fails on what OTLP leaves out: a missing Resource, Scope or
// Status message is a nil dereference there, and a resource without attributes is dropped with all its spans. Protobuf merges
// a message that occurs twice, so an empty one can be appended to what may be there. A span that ends before it starts would
// last 584 years, so its end is set to its start: of a field that occurs twice the last one wins.

import { SERVICE_NAME } from '../otlp/service.ts'
import { FIXED64, field, LENGTH, Reader } from '../otlp/wire.ts'
import { Writer } from '../otlp/writer.ts'
import type { Cursor } from './cursor.ts'

export class Reframe {
  readonly #writer: Writer
  readonly #complete: boolean
  readonly #fields = new Reader()
  readonly #inner = new Reader()
  // The messages that are open: where they begin in the output, and what they were made of.
  #resource = -1
  #scope = -1
  #resourceSpans = 0
  #scopeSpans = 0
  #source: Buffer | undefined

  /** `expected` and `limit` are bytes; beyond the limit, `add` throws TooLarge. `complete` is for a trace to be shown. */
  constructor(expected: number, limit: number, complete: boolean) {
    this.#writer = new Writer(expected, limit)
    this.#complete = complete
  }

  /** Adds the span that the cursor stands on. */
  add(cursor: Cursor): void {
    const { bytes, spanStart, spanEnd } = cursor
    const [resourceStart, resourceEnd] = cursor.resourceSpans()
    const [scopeStart, scopeEnd] = cursor.scopeSpans()
    if (this.#resource < 0 || bytes !== this.#source || resourceStart !== this.#resourceSpans) {
      this.#close()
      this.#source = bytes
      this.#resourceSpans = resourceStart
      this.#openResource(bytes, resourceStart, resourceEnd)
      this.#scope = -1
    }
    if (this.#scope < 0 || scopeStart !== this.#scopeSpans) {
      if (this.#scope >= 0) this.#writer.end(this.#scope)
      this.#scopeSpans = scopeStart
      this.#openScope(bytes, scopeStart, scopeEnd)
    }
    const writer = this.#writer
    writer.tag(2, LENGTH)
    const span = writer.begin()
    writer.copy(bytes, spanStart, spanEnd)
    if (this.#complete) this.#completeSpan(bytes, spanStart, spanEnd)
    writer.end(span)
  }

  /** The request. The object must not be used afterwards. */
  finish(): Buffer {
    this.#close()
    return this.#writer.finish()
  }

  #close(): void {
    if (this.#scope >= 0) this.#writer.end(this.#scope)
    if (this.#resource >= 0) this.#writer.end(this.#resource)
    this.#scope = this.#resource = -1
  }

  #openResource(bytes: Buffer, start: number, end: number): void {
    const writer = this.#writer
    writer.tag(1, LENGTH)
    this.#resource = writer.begin()
    let attributes = 0
    for (const fields = this.#fields.over(bytes, start, end); fields.next(); ) {
      // The resource, which may come in pieces, and the schema URL.
      if (fields.tag !== RESOURCE && fields.tag !== SCHEMA_URL) continue
      writer.varint(fields.tag)
      writer.varint(fields.end - fields.start)
      writer.copy(bytes, fields.start, fields.end)
      if (fields.tag === RESOURCE)
        for (const inner = this.#inner.over(bytes, fields.start, fields.end); inner.next(); )
          if (inner.tag === ATTRIBUTE) attributes++
    }
    if (this.#complete && attributes === 0) writer.copy(NAMELESS, 0, NAMELESS.length)
  }

  #openScope(bytes: Buffer, start: number, end: number): void {
    const writer = this.#writer
    writer.tag(2, LENGTH)
    this.#scope = writer.begin()
    for (const fields = this.#fields.over(bytes, start, end); fields.next(); ) {
      if (fields.tag !== SCOPE && fields.tag !== SCHEMA_URL) continue
      writer.varint(fields.tag)
      writer.varint(fields.end - fields.start)
      writer.copy(bytes, fields.start, fields.end)
    }
    if (this.#complete) writer.copy(NO_SCOPE, 0, NO_SCOPE.length)
  }

  #completeSpan(bytes: Buffer, start: number, end: number): void {
    const writer = this.#writer
    writer.copy(NO_STATUS, 0, NO_STATUS.length)
    let [startLow, startHigh, endLow, endHigh] = [0, 0, 0, 0]
    for (const fields = this.#fields.over(bytes, start, end); fields.next(); )
      if (fields.tag === START_TIME) [startLow, startHigh] = [fields.low, fields.high]
      else if (fields.tag === END_TIME) [endLow, endHigh] = [fields.low, fields.high]
    if (endHigh > startHigh || (endHigh === startHigh && endLow >= startLow)) return
    writer.varint(END_TIME)
    writer.fixed64(startLow, startHigh)
  }
}

const RESOURCE = field(1, LENGTH)
const SCHEMA_URL = field(3, LENGTH)
const SCOPE = field(1, LENGTH)
const ATTRIBUTE = field(1, LENGTH)
const START_TIME = field(7, FIXED64)
const END_TIME = field(8, FIXED64)

const NO_SCOPE = Buffer.from([SCOPE, 0])
const NO_STATUS = Buffer.from([field(15, LENGTH), 0])
/** A Resource with the name that a resource without one has in the metrics too. */
const NAMELESS = message(
  RESOURCE,
  message(
    ATTRIBUTE,
    message(field(1, LENGTH), Buffer.from(SERVICE_NAME)),
    message(field(2, LENGTH), message(field(1, LENGTH), Buffer.from('unknown_service'))),
  ),
)

function message(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag, body.length]), body])
}
