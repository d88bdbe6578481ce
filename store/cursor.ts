// Reads the spans of a ring, one at a time, where they stand. See reading.ts for what it promises.

import { FIXED64, field, LENGTH, Reader } from '../otlp/wire.ts'
import { ABSENT, STRING } from '../telemetry/attribute.ts'
import type { AttributeKey, Parts, Cursor as Reading, Scope, Segment, Value } from '../traceql/reading.ts'
import {
  AttributeValue,
  EVENT_ATTRIBUTE,
  eachAttribute,
  findAttribute,
  LINK_ATTRIBUTE,
  RESOURCE_ATTRIBUTE,
  SCOPE_ATTRIBUTE,
  SPAN_ATTRIBUTE,
} from '../traceql/value.ts'
import {
  END,
  EVENTS,
  FLAGS,
  HASH,
  IN_FRONT,
  LINK_WORDS,
  LINKS,
  NAME,
  NAME_START,
  NANOSECONDS,
  RECORD_WORDS,
  RESOURCE,
  type Records,
  ROOT,
  SERVICE_SHIFT,
  START,
  START_SECONDS,
  STATUS_SHIFT,
} from './record.ts'

/** `into` is an AttributeValue: nobody else implements a Value. */
type Into = AttributeValue
type Each = (keyStart: number, keyEnd: number, value: Value) => boolean | undefined

export class Cursor implements Reading {
  readonly segment: Segment
  readonly bytes: Buffer
  number = 0
  readonly #ring: Records
  readonly #records: Int32Array
  readonly #doubles: Float64Array
  readonly #links: Int32Array
  #index = 0
  #at = 0
  #half = 0
  readonly #reader = new Reader()
  readonly #inner = new Reader()
  readonly #parts: SpanParts
  // The ids of a span that has them somewhere else than in front, found when asked.
  #idsOf = 0
  #traceId = 0
  #spanId = 0
  #parentId = -1
  // The ResourceSpans that was asked about last, and the ScopeSpans.
  #resource = -1
  #resourceOf = 0
  #resourceStart = 0
  #resourceEnd = 0
  #scopeStart = 0
  #scopeEnd = 0

  constructor(ring: Records & Segment) {
    this.segment = ring
    this.#ring = ring
    this.bytes = ring.bytes
    this.#records = ring.records
    this.#doubles = ring.doubles
    this.#links = ring.links
    this.#parts = new SpanParts(ring.bytes)
  }

  at(number: number): this {
    this.number = number
    const index = this.#ring.index(number)
    const at = index * RECORD_WORDS
    this.#index = index
    this.#at = at
    this.#half = at >> 1
    return this
  }

  /** Most names leave without a number, so one that has none gets it now. */
  get name(): number {
    const number = this.#records[this.#at + NAME]!
    return number > 0 ? number : this.#numbered(~number)
  }

  get nameStart(): number {
    return this.#records[this.#at + NAME_START]!
  }

  get nameEnd(): number {
    const number = this.#records[this.#at + NAME]!
    return this.nameStart + (number > 0 ? this.#ring.names.lengthOf(number) : ~number)
  }

  get service(): number {
    return this.#records[this.#at + FLAGS]! >>> SERVICE_SHIFT
  }

  get kind(): number {
    return this.#records[this.#at + FLAGS]! & 7
  }

  get status(): number {
    return (this.#records[this.#at + FLAGS]! >>> STATUS_SHIFT) & 3
  }

  /** The flags of the record, without the service. */
  get flags(): number {
    return this.#records[this.#at + FLAGS]! & ((1 << SERVICE_SHIFT) - 1)
  }

  get startSeconds(): number {
    return this.#doubles[this.#half + START_SECONDS]!
  }

  get durationNanos(): number {
    return this.#doubles[this.#half + NANOSECONDS]!
  }

  get isRoot(): boolean {
    return (this.#records[this.#at + FLAGS]! & ROOT) !== 0
  }

  get hasEvents(): boolean {
    return (this.#records[this.#at + FLAGS]! & EVENTS) !== 0
  }

  get hasLinks(): boolean {
    return (this.#records[this.#at + FLAGS]! & LINKS) !== 0
  }

  get traceHash(): number {
    return this.#links[this.#index * LINK_WORDS + HASH]!
  }

  get spanStart(): number {
    return this.#records[this.#at + START]!
  }

  get spanEnd(): number {
    return this.#records[this.#at + END]!
  }

  get traceId(): number {
    if ((this.#records[this.#at + FLAGS]! & IN_FRONT) !== 0) return this.spanStart + 2
    this.#findIds()
    return this.#traceId
  }

  get spanId(): number {
    if ((this.#records[this.#at + FLAGS]! & IN_FRONT) !== 0) return this.spanStart + 20
    this.#findIds()
    return this.#spanId
  }

  get parentId(): number {
    const flags = this.#records[this.#at + FLAGS]!
    if ((flags & ROOT) !== 0) return -1
    if ((flags & IN_FRONT) !== 0) return this.spanStart + 30
    this.#findIds()
    return this.#parentId
  }

  startNanos(): bigint {
    return this.#time(START_TIME)
  }

  endNanos(): bigint {
    return this.#time(END_TIME)
  }

  statusMessage(into: Value): boolean {
    const value = into as Into
    value.clear()
    for (const span = this.#reader.over(this.bytes, this.spanStart, this.spanEnd); span.next(); )
      if (span.tag === STATUS)
        for (const status = this.#inner.over(this.bytes, span.start, span.end); status.next(); )
          if (status.tag === STATUS_MESSAGE) value.set(STRING, this.bytes, status.start, status.end)
    return value.type !== ABSENT
  }

  traceState(into: Value): boolean {
    const value = into as Into
    value.clear()
    for (const span = this.#reader.over(this.bytes, this.spanStart, this.spanEnd); span.next(); )
      if (span.tag === TRACE_STATE) value.set(STRING, this.bytes, span.start, span.end)
    return value.type !== ABSENT
  }

  scopeName(into: Value): boolean {
    return this.#ofScope(SCOPE_NAME, into as Into)
  }

  scopeVersion(into: Value): boolean {
    return this.#ofScope(SCOPE_VERSION, into as Into)
  }

  attribute(scope: Scope, key: AttributeKey, into: Value): boolean {
    const value = into as Into
    const { bytes } = this
    switch (scope) {
      case 'span':
        return findAttribute(bytes, this.spanStart, this.spanEnd, SPAN_ATTRIBUTE, key, value)
      case 'resource':
        this.#enterResource()
        for (const pieces = this.#reader.over(bytes, this.#resourceStart, this.#resourceEnd); pieces.next(); )
          if (
            pieces.tag === RESOURCE_PIECE &&
            findAttribute(bytes, pieces.start, pieces.end, RESOURCE_ATTRIBUTE, key, value)
          )
            return true
        break
      case 'instrumentation':
        this.#enterScope()
        for (const pieces = this.#reader.over(bytes, this.#scopeStart, this.#scopeEnd); pieces.next(); )
          if (pieces.tag === SCOPE_PIECE && findAttribute(bytes, pieces.start, pieces.end, SCOPE_ATTRIBUTE, key, value))
            return true
        break
      case 'event':
      case 'link':
        for (const parts = scope === 'event' ? this.events() : this.links(); parts.next(); )
          if (parts.attribute(key, value)) return true
        break
    }
    value.clear()
    return false
  }

  attributes(scope: Scope, each: Each): void {
    const { bytes } = this
    const value = this.#parts.value
    switch (scope) {
      case 'span':
        eachAttribute(bytes, this.spanStart, this.spanEnd, SPAN_ATTRIBUTE, each, value, this.#reader)
        return
      case 'resource':
        this.#enterResource()
        for (const pieces = this.#reader.over(bytes, this.#resourceStart, this.#resourceEnd); pieces.next(); )
          if (
            pieces.tag === RESOURCE_PIECE &&
            !eachAttribute(bytes, pieces.start, pieces.end, RESOURCE_ATTRIBUTE, each, value, this.#inner)
          )
            return
        return
      case 'instrumentation':
        this.#enterScope()
        for (const pieces = this.#reader.over(bytes, this.#scopeStart, this.#scopeEnd); pieces.next(); )
          if (
            pieces.tag === SCOPE_PIECE &&
            !eachAttribute(bytes, pieces.start, pieces.end, SCOPE_ATTRIBUTE, each, value, this.#inner)
          )
            return
        return
      case 'event':
      case 'link':
        for (const parts = scope === 'event' ? this.events() : this.links(); parts.next(); ) parts.attributes(each)
    }
  }

  events(): Parts {
    return this.#parts.over(this.hasEvents ? this.spanStart : this.spanEnd, this.spanEnd, EVENT, EVENT_ATTRIBUTE)
  }

  links(): Parts {
    return this.#parts.over(this.hasLinks ? this.spanStart : this.spanEnd, this.spanEnd, LINK, LINK_ATTRIBUTE)
  }

  /** Where the span's resource stands: the same for all spans that it has in one request. */
  get resourceAt(): number {
    return this.#records[this.#at + RESOURCE]!
  }

  /** The ResourceSpans around the span, and the ScopeSpans, as [start, end). */
  resourceSpans(): readonly [number, number] {
    this.#enterResource()
    return [this.#resourceStart, this.#resourceEnd]
  }

  scopeSpans(): readonly [number, number] {
    this.#enterScope()
    return [this.#scopeStart, this.#scopeEnd]
  }

  #numbered(length: number): number {
    const { nameStart } = this
    const record = this.#ring.numberAt(this.#index)
    // Its bytes have gone.
    if (record < this.#ring.oldest) return 0
    const number = this.#ring.names.add(nameStart, nameStart + length, record)
    this.#records[this.#at + NAME] = number
    return number
  }

  #time(wanted: number): bigint {
    let [low, high] = [0, 0]
    for (const span = this.#reader.over(this.bytes, this.spanStart, this.spanEnd); span.next(); )
      if (span.tag === wanted) [low, high] = [span.low, span.high]
    return (BigInt(high) << 32n) | BigInt(low)
  }

  /** The last of each id counts, as for the walk over the request. */
  #findIds(): void {
    if (this.#idsOf === this.number) return
    this.#idsOf = this.number
    this.#parentId = -1
    for (const span = this.#reader.over(this.bytes, this.spanStart, this.spanEnd); span.next(); )
      if (span.tag === TRACE_ID) this.#traceId = span.start
      else if (span.tag === SPAN_ID) this.#spanId = span.start
      else if (span.tag === PARENT_ID) this.#parentId = span.end === span.start ? -1 : span.start
  }

  #enterResource(): void {
    const place = this.#records[this.#at + RESOURCE]!
    // Spans of one resource follow each other. As long as one of them is held, no other request stands at that place.
    if (place === this.#resource && this.#resourceOf >= this.#ring.oldest) return
    this.#resource = place
    this.#resourceOf = this.number
    const { bytes } = this
    let length = 0
    let pos = place
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[pos++]!
      length |= (byte & 127) << shift
      if (byte < 128) break
    }
    this.#resourceStart = pos
    this.#resourceEnd = pos + length
    this.#scopeStart = this.#scopeEnd = 0
  }

  #enterScope(): void {
    this.#enterResource()
    const { spanStart } = this
    if (spanStart >= this.#scopeStart && spanStart < this.#scopeEnd) return
    for (const scopes = this.#reader.over(this.bytes, this.#resourceStart, this.#resourceEnd); scopes.next(); )
      if (scopes.tag === SCOPE_SPANS && scopes.end > spanStart) {
        this.#scopeStart = scopes.start
        this.#scopeEnd = scopes.end
        return
      }
  }

  #ofScope(wanted: number, value: Into): boolean {
    value.clear()
    this.#enterScope()
    for (const pieces = this.#reader.over(this.bytes, this.#scopeStart, this.#scopeEnd); pieces.next(); )
      if (pieces.tag === SCOPE_PIECE)
        for (const scope = this.#inner.over(this.bytes, pieces.start, pieces.end); scope.next(); )
          if (scope.tag === wanted && scope.end > scope.start) value.set(STRING, this.bytes, scope.start, scope.end)
    return value.type !== ABSENT
  }
}

class SpanParts implements Parts {
  readonly value: Into
  readonly #bytes: Buffer
  readonly #reader = new Reader()
  readonly #inner = new Reader()
  readonly #attributes = new Reader()
  #wanted = 0
  #attribute = 0
  #start = 0
  #end = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.value = new AttributeValue()
  }

  over(start: number, end: number, wanted: number, attribute: number): this {
    this.#reader.over(this.#bytes, start, end)
    this.#wanted = wanted
    this.#attribute = attribute
    this.#start = this.#end = 0
    return this
  }

  next(): boolean {
    while (this.#reader.next())
      if (this.#reader.tag === this.#wanted) {
        this.#start = this.#reader.start
        this.#end = this.#reader.end
        return true
      }
    return false
  }

  name(into: Value): boolean {
    const value = into as Into
    value.clear()
    for (const event = this.#inner.over(this.#bytes, this.#start, this.#end); event.next(); )
      if (event.tag === EVENT_NAME) value.set(STRING, this.#bytes, event.start, event.end)
    return value.type !== ABSENT
  }

  timeNanos(): bigint {
    let [low, high] = [0, 0]
    for (const event = this.#inner.over(this.#bytes, this.#start, this.#end); event.next(); )
      if (event.tag === EVENT_TIME) [low, high] = [event.low, event.high]
    return (BigInt(high) << 32n) | BigInt(low)
  }

  get traceId(): number {
    return this.#id(LINK_TRACE, 16)
  }

  get spanId(): number {
    return this.#id(LINK_SPAN, 8)
  }

  attribute(key: AttributeKey, into: Value): boolean {
    return findAttribute(this.#bytes, this.#start, this.#end, this.#attribute, key, into as Into)
  }

  attributes(each: Each): void {
    eachAttribute(this.#bytes, this.#start, this.#end, this.#attribute, each, this.value, this.#attributes)
  }

  #id(wanted: number, length: number): number {
    let place = -1
    for (const link = this.#inner.over(this.#bytes, this.#start, this.#end); link.next(); )
      if (link.tag === wanted && link.end - link.start === length) place = link.start
    return place
  }
}

const TRACE_ID = field(1, LENGTH)
const SPAN_ID = field(2, LENGTH)
const TRACE_STATE = field(3, LENGTH)
const PARENT_ID = field(4, LENGTH)
const START_TIME = field(7, FIXED64)
const END_TIME = field(8, FIXED64)
const EVENT = field(11, LENGTH)
const LINK = field(13, LENGTH)
const STATUS = field(15, LENGTH)
const STATUS_MESSAGE = field(2, LENGTH)
const RESOURCE_PIECE = field(1, LENGTH)
const SCOPE_SPANS = field(2, LENGTH)
const SCOPE_PIECE = field(1, LENGTH)
const SCOPE_NAME = field(1, LENGTH)
const SCOPE_VERSION = field(2, LENGTH)
const EVENT_TIME = field(1, FIXED64)
const EVENT_NAME = field(2, LENGTH)
const LINK_TRACE = field(1, LENGTH)
const LINK_SPAN = field(2, LENGTH)
