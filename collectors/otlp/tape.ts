// What one pass over a request notes for its consumers: offsets and small numbers, one record for each ResourceSpans that
// has spans and one for each span, in wire order.
//
//   resource = -1, start, end of the ResourceSpans, start, end of its Resource, how many Resources it has
//   span     = start, end, trace id, span id, parent (-1: none), name start, end, tracestate start, end,
//              start time and end time as low and high words, kind | status << 8, flags, events, links,
//              n, n × (position | type << 16, start, end)
//
// Offsets count from the beginning of the request; 0, 0 says that the field is absent or empty.

export const RESOURCE_RECORD = 6
export const SPAN_RECORD = 18
export const ATTRIBUTE_RECORD = 3

export class Tape {
  /** Of which the first `length` are in use. */
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
