// Shows the spans of a traces request to the consumers, with one reused view and no object per span. One walk over the bytes
// (walk.ts) has noted where everything is, so nothing that follows can fail.

import { hashOfFour } from '../metrics/hash.ts'
import { LITTLE_ENDIAN } from '../metrics/word.ts'
import { ABSENT, STRING } from '../telemetry/attribute.ts'
import type { AttributeView, SpanConsumer, SpanView } from '../telemetry/consumer.ts'
import type { Keys } from '../telemetry/keys.ts'
import type { Request } from '../telemetry/request.ts'
import { sameId } from './id.ts'
import { KeySet } from './key-set.ts'
import { KeyValue } from './key-value.ts'
import {
  ATTRIBUTE_RECORD,
  RESOURCE,
  RESOURCE_RECORD,
  RUN_SPANS,
  SAME_TRACE,
  SCOPE_RECORD,
  SPAN_RECORD,
} from './tape.ts'
import { Values } from './values.ts'
import { Walk } from './walk.ts'
import { field, LENGTH, Reader } from './wire.ts'

export class SpanVisitor {
  /** Spans of the last request whose duration was set to 0: they end before they start, or one of the times is missing. */
  reversed = 0
  untimed = 0
  /** Consumers that threw while the last request was shown, which were then left out of the rest of it. */
  readonly failed: { readonly consumer: SpanConsumer; readonly error: unknown }[] = []
  /** The notes about the request at hand. */
  readonly walk: Walk

  readonly #consumers: readonly SpanConsumer[]
  /** Those of them that have not failed in this request: who is shown each span together, and each of those who are apart. */
  #active: readonly (readonly SpanConsumer[])[] = []
  readonly #groups: readonly (readonly SpanConsumer[])[]
  readonly #span: Values
  readonly #resourceKeys: KeySet
  readonly #resource: Values
  readonly #view: View
  readonly #reader = new Reader()
  readonly #attributes = new Reader()
  readonly #pair = new KeyValue()
  // The resource before, to see that nothing changed: SDKs send the same one in each request.
  #previous: Buffer = Buffer.alloc(0)
  #previousStart = -1

  /** The consumers have asked for all their attributes. */
  constructor(keys: Keys, consumers: readonly SpanConsumer[]) {
    this.#consumers = consumers
    this.#groups = grouped(consumers)
    const { span, resource } = keys.complete()
    this.walk = new Walk(new KeySet(span))
    this.#span = new Values(span.length)
    this.#resourceKeys = new KeySet(resource)
    this.#resource = new Values(resource.length)
    this.#view = new View(this.#span, this.#resource)
  }

  /** Reads and shows a request that is known to be good and to have no bad span. */
  visit(request: Request): void {
    this.walk.run(request.bytes, request.items)
    this.show(request)
  }

  /** Calls the consumers for each span of the last walk, which was over the same bytes, in wire order. */
  show(request: Request): void {
    const { bytes } = request
    this.reversed = 0
    this.untimed = 0
    this.failed.length = 0
    this.#active = this.#groups
    this.#view.over(bytes, this.walk.data)
    for (const each of this.#consumers)
      try {
        each.begin?.(request)
      } catch (error) {
        this.#fail(each, error)
      }
    const { numbers, length } = this.walk.tape
    for (let at = 0; at < length; )
      if (numbers[at]! >= 0) at = this.#run(numbers, at, length)
      else if (numbers[at] === RESOURCE) {
        this.#resourceSpans(bytes, numbers, at)
        at += RESOURCE_RECORD
      } else {
        this.#scope(numbers, at)
        at += SCOPE_RECORD
      }
    this.#view.over(NOTHING, NO_DATA)
    this.walk.leave()
  }

  /** A fault of one consumer costs the others nothing. */
  #fail(consumer: SpanConsumer, error: unknown): void {
    this.failed.push({ consumer, error })
    this.#active = this.#active.map(group => group.filter(each => each !== consumer))
  }

  /** Shows some spans of one scope, and returns where the next record begins. */
  #run(numbers: Int32Array, from: number, length: number): number {
    let next = from
    for (let group = 0; group < this.#active.length; group++) {
      const only = this.#active[group]![0]
      if (only?.run) {
        try {
          only.run(this.#view, numbers, from, next)
        } catch (error) {
          this.#fail(only, error)
        }
        continue
      }
      this.#view.again()
      next = from
      for (let spans = 0; spans < RUN_SPANS && next < length && numbers[next]! >= 0; spans++)
        next = this.#spanAt(numbers, next, group)
    }
    return next
  }

  #scope(numbers: Int32Array, at: number): void {
    const view = this.#view
    view.scopeNameStart = numbers[at + 1]!
    view.scopeNameEnd = numbers[at + 2]!
    view.scopeVersionStart = numbers[at + 3]!
    view.scopeVersionEnd = numbers[at + 4]!
    view.scopeSpansStart = numbers[at + 5]!
    view.scopeSpansEnd = numbers[at + 6]!
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
    while (pieces.next()) if (pieces.tag === RESOURCE_MESSAGE) this.#readResource(bytes, pieces.start, pieces.end)
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
    const attributes = this.#attributes.over(bytes, start, end)
    while (attributes.next()) {
      if (attributes.tag !== RESOURCE_ATTRIBUTE) continue
      const pair = this.#pair.read(bytes, attributes.start, attributes.end)
      const position = pair.type === ABSENT ? -1 : this.#resourceKeys.search(bytes, pair.keyStart, pair.keyEnd)
      if (position >= 0) this.#resource.set(position, pair.type, pair.start, pair.end)
    }
  }

  /** Fills the view and calls the consumers; returns where the next record begins. */
  #spanAt(numbers: Int32Array, at: number, group: number): number {
    const view = this.#view
    const values = this.#span
    const consumers = this.#active[group]!
    view.start = numbers[at]!
    view.end = numbers[at + 1]!
    const what = numbers[at + 13]!
    if (view.enter(numbers[at + 2]!)) numbers[at + 13] = what | SAME_TRACE
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
    view.kind = what & 255
    view.status = (what >> 8) & 255
    view.flags = numbers[at + 14]! >>> 0
    view.events = numbers[at + 15]!
    view.links = numbers[at + 16]!
    view.operation = numbers[at + 17]!
    const count = numbers[at + 18]!
    let next = at + SPAN_RECORD
    values.clear()
    let texts = 0
    for (let i = 0; i < count; i++) {
      const attribute = numbers[next]!
      const position = attribute & 0xffff
      const type = attribute >> 16
      const from = numbers[next + 1]!
      const to = numbers[next + 2]!
      values.type[position] = type
      values.start[position] = from
      values.end[position] = to
      if (type === STRING && to > from && position < 32) texts |= 1 << position
      next += ATTRIBUTE_RECORD
    }
    values.texts = texts
    view.endHigh = endHigh
    view.endLow = endLow
    view.endSeconds = (endHigh * 0x100000000 + endLow) / 1e9
    // The difference of the halves is exact where the times themselves, as doubles, would be 256 ns apart.
    const nanoseconds = (endHigh - startHigh) * 0x100000000 + (endLow - startLow)
    const startMissing = startLow === 0 && startHigh === 0
    if (nanoseconds >= 0 && !startMissing) {
      view.nanoseconds = nanoseconds
      view.seconds = nanoseconds / 1e9
    } else {
      // A span without a start would last since 1970, and one without an end less than nothing.
      view.nanoseconds = 0
      view.seconds = 0
      if (group === 0 && (startMissing || (endLow === 0 && endHigh === 0))) this.untimed++
      else if (group === 0) this.reversed++
    }
    for (let i = 0; i < consumers.length; i++)
      try {
        consumers[i]!.span?.(view)
      } catch (error) {
        this.#fail(consumers[i]!, error)
      }
    numbers[at + 17] = view.operation
    return next
  }
}

const RESOURCE_MESSAGE = field(1, LENGTH)
const RESOURCE_ATTRIBUTE = field(1, LENGTH)

const LARGEST_KEPT = 65_536
const NOTHING = Buffer.alloc(0)
const NO_DATA = new DataView(NOTHING.buffer, 0, 0)

/** Serials of traces, of all visitors. */
let serials = 0

/** The SpanView that consumers are given: one object, filled anew for each span. */
class View implements SpanView {
  bytes: Buffer = NOTHING
  data: DataView = NO_DATA
  start = 0
  end = 0
  traceId = 0
  spanId = 0
  parentSpanId = -1
  traceSerial = 0
  nameStart = 0
  nameEnd = 0
  kind = 0
  status = 0
  flags = 0
  traceStateStart = 0
  traceStateEnd = 0
  events = 0
  links = 0
  scopeNameStart = 0
  scopeNameEnd = 0
  scopeVersionStart = 0
  scopeVersionEnd = 0
  scopeSpansStart = 0
  scopeSpansEnd = 0
  resourceSpansStart = 0
  resourceSpansEnd = 0
  // Not whole, so that V8 keeps these as doubles from the first span on.
  seconds = 0.5
  nanoseconds = 0.5
  endSeconds = 0.5
  endHigh = 0.5
  endLow = 0.5
  resourceSerial = 0
  operation = 0
  readonly spanAttributes: AttributeView
  readonly resourceAttributes: AttributeView
  #hash = 0
  /** The serial of the trace that it is of. */
  #hashed = 0

  constructor(span: AttributeView, resource: AttributeView) {
    this.spanAttributes = span
    this.resourceAttributes = resource
  }

  over(bytes: Buffer, data: DataView): void {
    this.bytes = bytes
    this.data = data
    this.traceId = NONE
  }

  /** Begins a run of spans. */
  again(): void {
    this.traceId = NONE
  }

  /** Goes on with a span whose trace id stands here; true if it is that of the span before. */
  enter(traceId: number): boolean {
    const { data, traceId: before } = this
    this.traceId = traceId
    if (before !== NONE && sameId(data, before, traceId)) return true
    serials = (serials + 1) | 0
    this.traceSerial = serials
    return false
  }

  get traceHash(): number {
    if (this.#hashed === this.traceSerial) return this.#hash
    this.#hashed = this.traceSerial
    const { data, traceId } = this
    this.#hash = hashOfFour(
      data.getInt32(traceId, LITTLE_ENDIAN),
      data.getInt32(traceId + 4, LITTLE_ENDIAN),
      data.getInt32(traceId + 8, LITTLE_ENDIAN),
      data.getInt32(traceId + 12, LITTLE_ENDIAN),
    )
    return this.#hash
  }
}

const NONE = -1

/** The first group is shown each span, even if nobody wants them: so they are gone through. */
function grouped(consumers: readonly SpanConsumer[]): readonly (readonly SpanConsumer[])[] {
  const apart = consumers.filter(each => each.apart)
  const together = consumers.filter(each => !each.apart)
  const alone = apart.map(each => [each])
  return together.length > 0 || apart[0] === undefined || apart[0].run ? [together, ...alone] : alone
}

function same(previous: Buffer, bytes: Buffer, start: number, end: number): boolean {
  return previous.compare(bytes, start, end) === 0
}
