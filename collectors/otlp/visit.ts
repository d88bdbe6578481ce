// Shows the spans of a traces request to the consumers, with one reused view and no object per span. What stands where has
// been noted by one walk over the bytes (walk.ts), so nothing that follows can fail.

import type { AttributeView, ExportRequest, SpanConsumer, SpanView } from '../otlp.ts'
import { ATTRIBUTE_RECORD, RESOURCE_RECORD, SPAN_RECORD } from './tape.ts'
import { Walk } from './walk.ts'
import { Wanted } from './wanted.ts'
import { field, LENGTH, Reader } from './wire.ts'

export class SpanVisitor {
  /** Spans of the last request whose duration was set to 0: they end before they start, or one of the times is missing. */
  reversed = 0
  untimed = 0
  /** What the last `read` found. */
  readonly walk: Walk

  readonly #consumers: readonly SpanConsumer[]
  readonly #span: Wanted
  readonly #resource: Wanted
  readonly #view: View
  readonly #reader = new Reader()
  readonly #attributes = new Reader()
  // The resource before, to see that nothing changed: SDKs send the same one in each request.
  #previous: Buffer = Buffer.alloc(0)
  #previousStart = -1

  constructor(consumers: readonly SpanConsumer[]) {
    this.#consumers = consumers
    const span = unite(consumers.map(each => each.wants.span))
    const resource = unite(consumers.map(each => each.wants.resource))
    this.#span = new Wanted(span)
    this.#resource = new Wanted(resource)
    this.walk = new Walk(this.#span)
    this.#view = new View(this.#span, this.#resource)
    for (const each of consumers)
      each.bound?.({
        span: each.wants.span.map(key => span.indexOf(key)),
        resource: each.wants.resource.map(key => resource.indexOf(key)),
      })
  }

  /** Reads and shows a request that is known to be good and to have no bad span. */
  visit(request: ExportRequest, bytes: Buffer): void {
    this.walk.run(bytes, request.items)
    this.show(request, bytes)
  }

  /** Calls the consumers for each span of the last walk, in wire order. */
  show(request: ExportRequest, bytes: Buffer): void {
    this.reversed = 0
    this.untimed = 0
    this.#view.bytes = bytes
    for (const each of this.#consumers) each.begin?.(request)
    const { numbers, length } = this.walk.tape
    for (let at = 0; at < length; )
      if (numbers[at] === -1) {
        this.#resourceSpans(bytes, numbers, at)
        at += RESOURCE_RECORD
      } else at = this.#spanAt(numbers, at)
    for (const each of this.#consumers) each.end?.(request)
    this.#view.bytes = NOTHING
    this.walk.tape.clear()
  }

  #resourceSpans(bytes: Buffer, numbers: Int32Array, at: number): void {
    const start = numbers[at + 1]!
    const end = numbers[at + 2]!
    this.#view.resourceSpansStart = start
    this.#view.resourceSpansEnd = end
    if (numbers[at + 5]! <= 1) {
      this.#oneResource(bytes, numbers[at + 3]!, numbers[at + 4]!)
      return
    }
    // A resource in pieces is legal and never seen: it is read afresh each time.
    this.#begin()
    const pieces = this.#reader.over(bytes, start, end)
    while (pieces.next()) if (pieces.tag === RESOURCE) this.#readResource(bytes, pieces.start, pieces.end)
  }

  #oneResource(bytes: Buffer, start: number, end: number): void {
    const length = end - start
    if (this.#previousStart >= 0 && this.#previous.length === length && same(this.#previous, bytes, start, end)) {
      this.#resource.move(start - this.#previousStart)
      this.#previousStart = start
      return
    }
    this.#begin()
    this.#readResource(bytes, start, end)
    if (length > LARGEST_KEPT) return
    this.#previous = Buffer.from(bytes.subarray(start, end))
    this.#previousStart = start
  }

  /** Begins at another resource. */
  #begin(): void {
    this.#view.resourceSerial++
    this.#resource.clear()
    this.#previous = NOTHING
    this.#previousStart = -1
  }

  #readResource(bytes: Buffer, start: number, end: number): void {
    const wanted = this.#resource
    const attributes = this.#attributes.over(bytes, start, end)
    while (attributes.next()) {
      if (attributes.tag !== RESOURCE_ATTRIBUTE || !wanted.read(bytes, attributes.start, attributes.end)) continue
      wanted.set(wanted.slot, wanted.kind, wanted.from, wanted.to)
    }
  }

  /** Fills the view and calls the consumers; returns where the next record begins. */
  #spanAt(numbers: Int32Array, at: number): number {
    const view = this.#view
    const wanted = this.#span
    const consumers = this.#consumers
    view.start = numbers[at]!
    view.end = numbers[at + 1]!
    view.traceId = numbers[at + 2]!
    view.spanId = numbers[at + 3]!
    view.parentSpanId = numbers[at + 4]!
    view.nameStart = numbers[at + 5]!
    view.nameEnd = numbers[at + 6]!
    view.traceStateStart = numbers[at + 7]!
    view.traceStateEnd = numbers[at + 8]!
    const startLow = numbers[at + 9]! >>> 0
    const startHigh = numbers[at + 10]! >>> 0
    const endLow = numbers[at + 11]! >>> 0
    const endHigh = numbers[at + 12]! >>> 0
    view.kind = numbers[at + 13]! & 255
    view.status = numbers[at + 13]! >> 8
    view.flags = numbers[at + 14]! >>> 0
    view.events = numbers[at + 15]!
    view.links = numbers[at + 16]!
    const count = numbers[at + 17]!
    let next = at + SPAN_RECORD
    wanted.clear()
    for (let i = 0; i < count; i++) {
      const what = numbers[next]!
      const slot = what & 0xffff
      wanted.type[slot] = what >> 16
      wanted.start[slot] = numbers[next + 1]!
      wanted.end[slot] = numbers[next + 2]!
      next += ATTRIBUTE_RECORD
    }
    view.endSeconds = (endHigh * 0x100000000 + endLow) / 1e9
    // The difference of the halves is exact where the times themselves, as doubles, would be 256 ns apart.
    const nanoseconds = (endHigh - startHigh) * 0x100000000 + (endLow - startLow)
    const startMissing = startLow === 0 && startHigh === 0
    if (nanoseconds >= 0 && !startMissing) view.seconds = nanoseconds / 1e9
    else {
      // A span without a start would last since 1970, and one without an end less than nothing.
      view.seconds = 0
      if (startMissing || (endLow === 0 && endHigh === 0)) this.untimed++
      else this.reversed++
    }
    for (let i = 0; i < consumers.length; i++) consumers[i]!.span(view)
    return next
  }
}

const RESOURCE = field(1, LENGTH)
const RESOURCE_ATTRIBUTE = field(1, LENGTH)

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
