// The contract between the store and whoever evaluates queries over it (traceql/, the tags, the search form).
//
// Spans are read where they stand: nothing is decoded to objects. The store has two segments: the newest spans, and copies of
// those that are pinned, taken when they leave the first. In both, a span is a **record** with a number; numbers only grow, and
// the records held are those from `oldest` up to, not including, `next`. A **cursor** is moved from record to record and gives
// the fields of the one it stands on: first those that stand in the record itself, which cost 1 to 3 ns (name, service, kind,
// status, start, duration, root), then those that are read from the span's bytes (ids, times to the nanosecond, attributes,
// events, links), which cost 50 to 100 ns.
//
//   for (const segment of source.segments) {
//     const cursor = segment.cursor()
//     for (let n = segment.next - 1; n >= segment.oldest; n--) {       // newest first
//       if (pace.due()) await pace.turn()                               // spans may come and go here
//       cursor.at(n)
//       if (cursor.status !== STATUS.error || cursor.startSeconds > to) continue
//       if (!cursor.attribute('span', ROUTE, value) || !value.equals(CART)) continue
//       … cursor.traceId …
//     }
//   }
//
// Rules:
// - **Between two turns of the event loop nothing changes; across one everything may**: `oldest` and `next` grow, and a record
//   below `oldest` is gone, together with its bytes. Read `segment.oldest` in the loop's condition, as above. Do not hold
//   offsets or bytes over an `await`; hold record numbers and ask `segment.oldest` again, or copy.
// - Numbers of names and services (`segment.names`, `segment.services`) belong to one segment. They stay valid as long as
//   `generation` does not change: remember it, and drop what was computed for numbers when it has changed.
//   So a regular expression over names is run once for each distinct name: `names.text(number)`, memo by number.
// - The order in a segment is the order of arrival, which is nearly the order of the ends of spans.
// - SDKs send a span again after a timeout: one trace may hold a span twice. `Trace` leaves out the copies.
// - A span in the pinned segment is no longer in the newest one, so nothing is seen twice within one turn. Across turns a span
//   may move from the newest to the pinned segment, or from the old end of the pinned segment to its new end; whoever collects
//   by trace reads the whole trace at once with `source.trace(…)`, which has each span once.

import type { AttributeType } from '../telemetry/attribute.ts'

export interface Source {
  /** The newest spans first, then the pinned ones. Empty as long as no span has come. */
  readonly segments: readonly Segment[]
  /** A trace, empty and reusable: `load` fills it. Make one for each query that needs any. */
  trace(): Trace
}

export interface Segment {
  /** The records held are oldest ≤ number < next. */
  readonly oldest: number
  readonly next: number
  readonly names: Texts
  readonly services: Texts
  /** A new cursor; make one or two for each query and move them. */
  cursor(): Cursor
}

/** The different texts of a segment by their numbers, which begin at 1. */
export interface Texts {
  /** Changes when a number may have got another meaning, which can happen whenever a cursor is asked for a number. */
  readonly generation: number
  /** Service names are those that the metrics show. */
  text(number: number): string
}

export type Scope = 'span' | 'resource' | 'event' | 'link' | 'instrumentation'

/** The key of an attribute, prepared once for many look-ups: `new Key('http.route')`. */
export interface AttributeKey {
  readonly text: string
  readonly bytes: Buffer
}

/** One span at a time. Everything but `at` is about the span it stands on. */
export interface Cursor {
  /** Moves to a record that is held. */
  at(number: number): this
  readonly number: number
  readonly segment: Segment

  // From the record.
  /** Numbers in `segment.names` and `segment.services`. */
  readonly name: number
  readonly service: number
  /** A KIND and a STATUS of telemetry/span.ts. */
  readonly kind: number
  readonly status: number
  /** Seconds since the epoch; exact to about 0.3 µs. */
  readonly startSeconds: number
  /** Exact; 0 for a span that ends before it starts. */
  readonly durationNanos: number
  readonly isRoot: boolean
  readonly hasEvents: boolean
  readonly hasLinks: boolean
  /** Equal for the spans of a trace, and different for nearly all others: 32 bits. */
  readonly traceHash: number

  // From the bytes.
  /** The bytes that the offsets below count in; the span itself stands between `spanStart` and `spanEnd`. */
  readonly bytes: Buffer
  readonly spanStart: number
  readonly spanEnd: number
  /** Offsets of the 16 bytes of the trace id, of the 8 bytes of the span id, and of the parent's, or -1 for a root span. */
  readonly traceId: number
  readonly spanId: number
  readonly parentId: number
  /** Nanoseconds since the epoch as the span has it, exact. */
  startNanos(): bigint
  endNanos(): bigint
  /** False, and an empty text, if there is none. */
  statusMessage(into: Value): boolean
  traceState(into: Value): boolean
  /** Name and version of the instrumentation scope. */
  scopeName(into: Value): boolean
  scopeVersion(into: Value): boolean
  /**
   * Finds the first attribute with this key in a scope; false, and `into` is ABSENT, if there is none. `event` and `link` give
   * the first of any event or link; use `events` and `links` to see all of them.
   */
  attribute(scope: Scope, key: AttributeKey, into: Value): boolean
  /** Calls back with every attribute of a scope; key and value are reused. Stops when it returns false. */
  attributes(scope: Scope, each: (keyStart: number, keyEnd: number, value: Value) => boolean | undefined): void
  /** Begins at the span's events or links: `while (cursor.nextEvent()) …`. */
  events(): Parts
  links(): Parts
}

/** The events or links of a span, one after another. The object is reused by its cursor. */
export interface Parts {
  next(): boolean
  /** The name of an event. */
  name(into: Value): boolean
  /** Nanoseconds since the epoch. */
  timeNanos(): bigint
  /** Offsets of a link's ids in the cursor's bytes, or -1. */
  readonly traceId: number
  readonly spanId: number
  attribute(key: AttributeKey, into: Value): boolean
  attributes(each: (keyStart: number, keyEnd: number, value: Value) => boolean | undefined): void
}

/** A value where it stands; reused. Make some for each query: `new AttributeValue()`. */
export interface Value {
  readonly type: AttributeType
  readonly bytes: Buffer
  /** For a STRING: where its text is. For other values: where the AnyValue is. */
  readonly start: number
  readonly end: number
  /** Whether it is a string of these bytes. */
  equals(text: Buffer): boolean
  /** The text of a STRING; of other values the text that OpenTelemetry defines for them (JSON for arrays and lists). */
  text(): string
  /** The value of an INT or DOUBLE; NaN for others. An INT beyond ±2^53 is rounded. */
  number(): number
  /** Exact, of an INT. */
  integer(): bigint
  /** The value of a BOOL. */
  bool(): boolean
  /** Whether it is an array. */
  readonly isArray: boolean
  /** Calls back with each element of an array; the value given is reused. Stops when it returns false. */
  elements(each: (element: Value) => boolean | undefined): void
}

/** All spans that are held of one trace, each once, in the order of their starts, with the tree that they make. */
export interface Trace {
  /**
   * Reads the trace whose 16-byte id stands in these bytes; returns how many spans it has, 0 if none is held. Spans beyond
   * `MOST_TRACE_SPANS` are left out (`cut`). Its old content is gone. Valid until the next turn of the event loop.
   *
   * With `most`, a trace of more spans is not read, and the answer is negative: `loadHeld` is for those.
   */
  load(id: Uint8Array, at: number, most?: number): number
  /** The same at the pace of a query, with the tree. Spans that leave memory meanwhile are left out. */
  loadHeld(id: Uint8Array, at: number, pace: Pace): Promise<number>
  readonly size: number
  readonly cut: boolean
  /** Whether spans of it may have left the memory: some were evicted, or a span names a parent that is not here. */
  readonly incomplete: boolean
  /** Moves to a span of the trace, 0 ≤ i < size; the cursor is reused, `other` gives a second one. */
  span(i: number, other?: 0 | 1): Cursor
  /** Of the whole trace: the earliest start, and from there to the latest end. */
  readonly startSeconds: number
  readonly startNanos: bigint
  readonly durationNanos: number
  /** The position of its root span (the earliest, if there are several), or -1 if none is held. */
  readonly root: number
  /** Undefined while the root is not here. */
  rootName(): string | undefined
  rootService(): string | undefined

  // The tree, computed when one of these is asked first.
  /** The position of the parent, -1 for a root, -2 if the parent is not held. */
  parentOf(i: number): number
  /**
   * Nested-set numbers, depth first from 1 over all roots: `left` < those of the descendants < `right`; 0 if the span is not
   * connected to a root. The parent's is -1 for a root, otherwise the `left` of the parent, or 0.
   */
  leftOf(i: number): number
  rightOf(i: number): number
  nestedParentOf(i: number): number
  childrenOf(i: number): number
}

/** The deadline of a query and its share of the event loop. */
export interface Pace {
  /** Whether it is time for a turn; asks the clock once in 256 calls, so call it for each span. */
  due(): boolean
  /** Gives the event loop a turn. Rejects with `QueryStopped` when the time is up or the client has gone. */
  turn(): Promise<void>
}

/** Why a query was ended: its time was up, or nobody waits for it any more. */
export class QueryStopped extends Error {
  readonly reason: 'timeout' | 'gone'

  constructor(reason: 'timeout' | 'gone', message: string) {
    super(message)
    this.reason = reason
  }
}

/** A query that cannot be answered, and why: the text that its sender gets with status 400. */
export class BadQuery extends Error {}

/** More spans of one trace are not read. */
export const MOST_TRACE_SPANS = 50_000
/** A trace of more spans is read in several turns of the event loop: a millisecond's worth. */
export const MOST_AT_ONCE = 2000
