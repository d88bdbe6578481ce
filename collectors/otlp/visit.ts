// Visits the spans of a checked traces request in one pass, with one reused view and no object per span. What is wanted
// of the attributes is found by length and bytes, so no text is made of what nobody asked for.

import type { AttributeView, ExportRequest, SpanConsumer, SpanView } from '../otlp.ts'
import { ABSENT, plainlyUnwanted, Wanted } from './wanted.ts'
import { skip } from './wire.ts'

export class SpanVisitor {
  /** Spans of the last visit whose duration was set to 0: they end before they start, or one of the times is missing. */
  reversed = 0
  untimed = 0

  readonly #consumers: readonly SpanConsumer[]
  readonly #span: Wanted
  readonly #resource: Wanted
  readonly #view: View
  // The resource before, to see that nothing changed: SDKs send the same one in each request.
  #previous: Buffer = Buffer.alloc(0)
  #previousStart = -1
  // The second result of #length: the offset after the number.
  #after = 0

  constructor(consumers: readonly SpanConsumer[]) {
    this.#consumers = consumers
    const span = unite(consumers.map(each => each.wants.span))
    const resource = unite(consumers.map(each => each.wants.resource))
    this.#span = new Wanted(span)
    this.#resource = new Wanted(resource)
    this.#view = new View(this.#span, this.#resource)
    for (const each of consumers)
      each.bound?.({
        span: each.wants.span.map(key => span.indexOf(key)),
        resource: each.wants.resource.map(key => resource.indexOf(key)),
      })
  }

  /** Calls the consumers for each span, in wire order. The bytes must have passed the check without a bad span. */
  visit(request: ExportRequest, bytes: Buffer): void {
    this.reversed = 0
    this.untimed = 0
    this.#view.bytes = bytes
    for (const each of this.#consumers) each.begin?.(request)
    let pos = 0
    while (pos < bytes.length) {
      const tag = this.#length(bytes, pos)
      if (tag === RESOURCE_SPANS) {
        const length = this.#length(bytes, this.#after)
        pos = this.#after + length
        this.#view.resourceSpansStart = this.#after
        this.#view.resourceSpansEnd = pos
        this.#resourceSpans(bytes, this.#after, pos)
      } else pos = skip(bytes, this.#after, tag)
    }
    for (const each of this.#consumers) each.end?.(request)
    this.#view.bytes = NOTHING
  }

  #resourceSpans(bytes: Buffer, start: number, end: number): void {
    // The resource may come after the spans, and in several pieces: so it is looked for first.
    let pieces = 0
    for (let pos = start; pos < end; ) {
      const tag = this.#length(bytes, pos)
      const value = this.#after
      pos = skip(bytes, value, tag)
      if (tag !== RESOURCE) continue
      this.#length(bytes, value)
      this.#resourceAt(bytes, this.#after, pos, pieces++)
    }
    if (pieces === 0) this.#resourceAt(bytes, start, start, 0)

    for (let pos = start; pos < end; ) {
      const tag = this.#length(bytes, pos)
      const value = this.#after
      pos = skip(bytes, value, tag)
      if (tag !== SCOPE_SPANS) continue
      this.#length(bytes, value)
      this.#scopeSpans(bytes, this.#after, pos)
    }
  }

  #scopeSpans(bytes: Buffer, start: number, end: number): void {
    const consumers = this.#consumers
    for (let pos = start; pos < end; ) {
      const tag = this.#length(bytes, pos)
      const value = this.#after
      if (tag !== SPANS) {
        pos = skip(bytes, value, tag)
        continue
      }
      const length = this.#length(bytes, value)
      pos = this.#after + length
      this.#spanAt(bytes, this.#after, pos)
      for (let i = 0; i < consumers.length; i++) consumers[i]!.span(this.#view)
    }
  }

  #resourceAt(bytes: Buffer, start: number, end: number, piece: number): void {
    const view = this.#view.resourceAttributes
    const length = end - start
    if (piece === 0) {
      if (this.#previousStart >= 0 && this.#previous.length === length && same(this.#previous, bytes, start, end)) {
        this.#resource.move(start - this.#previousStart)
        this.#previousStart = start
        return
      }
      this.#view.resourceSerial++
      this.#resource.clear()
      this.#previous = length <= LARGEST_KEPT ? Buffer.from(bytes.subarray(start, end)) : NOTHING
      this.#previousStart = length <= LARGEST_KEPT ? start : -1
    } else {
      // A resource in pieces is legal and never seen: it is read afresh each time.
      if (this.#previousStart >= 0) this.#view.resourceSerial++
      this.#previousStart = -1
    }
    for (let pos = start; pos < end; ) {
      const tag = this.#length(bytes, pos)
      if (tag === RESOURCE_ATTRIBUTES && view.type.length > 0) {
        const size = this.#length(bytes, this.#after)
        pos = this.#after + size
        this.#attribute(bytes, this.#after, pos, this.#resource)
      } else pos = skip(bytes, this.#after, tag)
    }
  }

  #spanAt(bytes: Buffer, start: number, end: number): void {
    const view = this.#view
    const wanted = this.#span
    const wants = wanted.type.length > 0
    let nameStart = 0
    let nameEnd = 0
    let parent = -1
    let kind = 0
    let startLow = 0
    let startHigh = 0
    let endLow = 0
    let endHigh = 0
    let events = 0
    let links = 0
    wanted.clear()
    view.start = start
    view.end = end
    view.status = 0
    view.flags = 0
    view.traceStateStart = 0
    view.traceStateEnd = 0
    for (let pos = start; pos < end; ) {
      let tag = bytes[pos++]!
      if (tag >= 128) {
        tag = this.#length(bytes, pos - 1)
        pos = this.#after
      }
      if ((tag & 7) === 2) {
        let length = bytes[pos++]!
        if (length >= 128) {
          length = this.#length(bytes, pos - 1)
          pos = this.#after
        }
        switch (tag) {
          case 0x4a:
            if (wants && !plainlyUnwanted(bytes, pos, pos + length, wanted.lengths))
              this.#attribute(bytes, pos, pos + length, wanted)
            break
          case 0x0a:
            view.traceId = pos
            break
          case 0x12:
            view.spanId = pos
            break
          case 0x1a:
            view.traceStateStart = length === 0 ? 0 : pos
            view.traceStateEnd = length === 0 ? 0 : pos + length
            break
          case 0x22:
            parent = length === 0 ? -1 : pos
            break
          case 0x2a:
            nameStart = length === 0 ? 0 : pos
            nameEnd = length === 0 ? 0 : pos + length
            break
          case 0x5a:
            events++
            break
          case 0x6a:
            links++
            break
          case 0x7a:
            this.#status(bytes, pos, pos + length)
            break
        }
        pos += length
      } else if (tag === 0x39) {
        startLow = word(bytes, pos)
        startHigh = word(bytes, pos + 4)
        pos += 8
      } else if (tag === 0x41) {
        endLow = word(bytes, pos)
        endHigh = word(bytes, pos + 4)
        pos += 8
      } else if (tag === 0x30) {
        kind = this.#enum(bytes, pos)
        pos = this.#after
      } else if (tag === 0x85) {
        view.flags = word(bytes, pos)
        pos += 4
      } else pos = skip(bytes, pos, tag)
    }
    view.nameStart = nameStart
    view.nameEnd = nameEnd
    view.parentSpanId = parent >= 0 && zero(bytes, parent) ? -1 : parent
    view.kind = kind > 5 ? 0 : kind
    view.events = events
    view.links = links
    view.endSeconds = (endHigh * 0x100000000 + endLow) / 1e9
    // The difference of the halves is exact where the times themselves, as doubles, would be 256 ns apart.
    const nanoseconds = (endHigh - startHigh) * 0x100000000 + (endLow - startLow)
    view.seconds = nanoseconds / 1e9
    const startMissing = startLow === 0 && startHigh === 0
    if (nanoseconds < 0 || startMissing) {
      // A span without a start would last since 1970, and one without an end less than nothing.
      view.seconds = 0
      if (startMissing || (endLow === 0 && endHigh === 0)) this.untimed++
      else this.reversed++
    }
  }

  #status(bytes: Buffer, start: number, end: number): void {
    for (let pos = start; pos < end; ) {
      const tag = this.#length(bytes, pos)
      if (tag === 0x18) {
        const code = this.#enum(bytes, this.#after)
        this.#view.status = code > 2 ? 0 : code
        pos = this.#after
      } else pos = skip(bytes, this.#after, tag)
    }
  }

  /** Takes note of a KeyValue if its key is wanted. Key and value come in either order, and the last of each holds. */
  #attribute(bytes: Buffer, start: number, end: number, wanted: Wanted): void {
    let slot = wanted.unnamed
    let pos = start
    let type = ABSENT
    let valueStart = 0
    let valueEnd = 0
    // Fast path: a short key, then a short text, as every SDK writes them.
    const keyEnd = start + 2 + bytes[start + 1]!
    const text = keyEnd + 4
    if (
      bytes[start] === 0x0a &&
      bytes[start + 1]! < 128 &&
      bytes[keyEnd] === 0x12 &&
      bytes[keyEnd + 2] === 0x0a &&
      bytes[keyEnd + 3]! < 126 &&
      bytes[keyEnd + 1] === bytes[keyEnd + 3]! + 2 &&
      text + bytes[keyEnd + 3]! === end
    ) {
      slot = wanted.find(bytes, start + 2, keyEnd)
      if (slot < 0 || wanted.type[slot] !== ABSENT) return
      wanted.type[slot] = STRING
      wanted.start[slot] = text === end ? 0 : text
      wanted.end[slot] = text === end ? 0 : end
      return
    }
    while (pos < end) {
      const tag = this.#length(bytes, pos)
      if (tag !== 0x0a && tag !== 0x12) {
        pos = skip(bytes, this.#after, tag)
        continue
      }
      const length = this.#length(bytes, this.#after)
      const from = this.#after
      pos = from + length
      if (tag === 0x0a) slot = wanted.find(bytes, from, pos)
      else {
        const found = this.#any(bytes, from, pos)
        // A value in pieces: a piece that sets nothing leaves the one before.
        if (found === ABSENT) continue
        type = found
        valueStart = found === STRING ? this.#textStart : from
        valueEnd = found === STRING ? this.#textEnd : pos
      }
    }
    // Of a key that occurs twice the first one holds, as in the Collector.
    if (slot < 0 || type === ABSENT || wanted.type[slot] !== ABSENT) return
    wanted.type[slot] = type
    wanted.start[slot] = valueStart
    wanted.end[slot] = valueEnd
  }

  #textStart = 0
  #textEnd = 0

  /** Which member of the AnyValue is set: the last one. */
  #any(bytes: Buffer, start: number, end: number): number {
    let type = ABSENT
    for (let pos = start; pos < end; ) {
      const tag = this.#length(bytes, pos)
      const value = this.#after
      pos = skip(bytes, value, tag)
      switch (tag) {
        case 0x0a:
          this.#length(bytes, value)
          this.#textStart = this.#after === pos ? 0 : this.#after
          this.#textEnd = this.#after === pos ? 0 : pos
          type = STRING
          break
        case 0x10:
          type = BOOL
          break
        case 0x18:
          type = INT
          break
        case 0x21:
          type = DOUBLE
          break
        case 0x2a:
        case 0x32:
        case 0x3a:
        case 0x40:
          type = OTHER
          break
      }
    }
    return type
  }

  /** An enum as a non-negative number: what is negative or beyond a byte has no meaning, and becomes 255. */
  #enum(bytes: Buffer, at: number): number {
    // An int32 is the low 32 bits of the number, which stand in its first five bytes.
    let value = 0
    let pos = at
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[pos++]!
      if (shift < 35) value |= (byte & 127) << shift
      if (byte < 128) break
    }
    this.#after = pos
    return value >= 0 && value < 255 ? value : 255
  }

  /** A tag or a length, which the check has found to be at most five bytes. */
  #length(bytes: Buffer, at: number): number {
    let byte = bytes[at]!
    if (byte < 128) {
      this.#after = at + 1
      return byte
    }
    let value = byte & 127
    let pos = at + 1
    for (let shift = 7; byte >= 128; shift += 7) {
      byte = bytes[pos++]!
      value |= (byte & 127) << shift
    }
    this.#after = pos
    return value >>> 0
  }
}

const STRING = 1
const BOOL = 2
const INT = 3
const DOUBLE = 4
const OTHER = 5

const RESOURCE_SPANS = 0x0a
const RESOURCE = 0x0a
const RESOURCE_ATTRIBUTES = 0x0a
const SCOPE_SPANS = 0x12
const SPANS = 0x12

const LARGEST_KEPT = 65_536
const NOTHING = Buffer.alloc(0)

/** The SpanView that consumers are given: one object, filled anew for each span. */
class View implements SpanView {
  bytes: Buffer = NOTHING
  start = 0
  end = 0
  traceId = 0
  spanId = 0
  parentSpanId = -1
  nameStart = 0
  nameEnd = 0
  kind = 0
  status = 0
  flags = 0
  traceStateStart = 0
  traceStateEnd = 0
  events = 0
  links = 0
  resourceSpansStart = 0
  resourceSpansEnd = 0
  // Not whole, so that V8 keeps these as doubles from the first span on.
  seconds = 0.5
  endSeconds = 0.5
  resourceSerial = 0
  readonly spanAttributes: AttributeView
  readonly resourceAttributes: AttributeView

  constructor(span: AttributeView, resource: AttributeView) {
    this.spanAttributes = span
    this.resourceAttributes = resource
  }
}

function unite(lists: readonly (readonly string[])[]): readonly string[] {
  return [...new Set(lists.flat())]
}

function same(previous: Buffer, bytes: Buffer, start: number, end: number): boolean {
  return previous.compare(bytes, start, end) === 0
}

function word(bytes: Buffer, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
}

function zero(bytes: Buffer, at: number): boolean {
  for (let i = 0; i < 8; i++) if (bytes[at + i] !== 0) return false
  return true
}
