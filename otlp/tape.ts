// The notes of one pass over a request: offsets and small numbers, one record for each ResourceSpans and each ScopeSpans that
// has spans, and one for each span, in wire order.
//
//   resource = -1, start, end of the ResourceSpans, start, end of its Resource, how many Resources it has
//   scope    = -2, name start, end, version start, end, start, end of the ScopeSpans
//   span     = start, end, trace id, span id, parent (-1: none), name start, end, tracestate start, end,
//              start time and end time as low and high words, kind | status << 8 | same trace << 16, flags, events, links,
//              operation, n, n × (position | type << 16, start, end)
//
// Offsets count from the beginning of the request; 0, 0 says that the field is absent or empty. Two things are noted only while
// the spans are shown: whether a span is of the same trace as the one before, and its operation, if a consumer has left it.

/** The first number of the records that are not spans. */
export const RESOURCE = -1
export const SCOPE = -2

export const RESOURCE_RECORD = 6
export const SCOPE_RECORD = 7
export const SPAN_RECORD = 19
export const ATTRIBUTE_RECORD = 3

/** Spans that a consumer that is apart is shown at a time, at most: about as many as the processor's caches hold. */
export const RUN_SPANS = 128

// Places in the record of a span.
export const SPAN_START = 0
export const SPAN_END = 1
export const TRACE_ID = 2
export const SPAN_ID = 3
export const PARENT_ID = 4
export const NAME_START = 5
export const NAME_END = 6
export const TRACE_STATE = 7
/** The low word; the high one follows. */
export const START_TIME = 9
export const END_TIME = 11
export const KIND_AND_STATUS = 13
/** The bit of it that says that the span is of the same trace as the one before, which is in the same run of spans. */
export const SAME_TRACE = 1 << 16
export const FLAGS = 14
export const EVENTS = 15
export const LINKS = 16
/** 0, or what a consumer has left there (`SpanView.operation`). */
export const OPERATION = 17
export const ATTRIBUTES = 18

export class Tape {
  /** The first `length` of them are in use. */
  numbers = new Int32Array(USUAL)
  length = 0

  /** Makes room for so many more numbers. */
  reserve(count: number): void {
    const needed = this.length + count
    if (needed <= this.numbers.length) return
    const larger = new Int32Array(Math.max(needed, 2 * this.numbers.length))
    larger.set(this.numbers.subarray(0, this.length))
    this.numbers = larger
  }

  /** Forgets the records, and gives back what only a huge request needed. */
  clear(): void {
    this.length = 0
    if (this.numbers.length > MOST) this.numbers = new Int32Array(USUAL)
  }
}

/** 64 KiB, enough for 700 spans with two attributes each. SDKs send 512. */
const USUAL = 16_384
/** 1 MiB. Collectors send 8192 spans, again and again. */
const MOST = 16 * USUAL
