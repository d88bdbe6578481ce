// The one pass over a traces request. It proves the structure of the whole message, as check.ts does, and notes on a tape
// where each span has what the consumers want of it; nobody is called before the last byte is found good, so a request is
// taken whole or not at all. What SDKs write is read here; what is legal and unusual is handed to the check.
//
//   request = (1 ResourceSpans)*   ResourceSpans = 1 Resource, (2 ScopeSpans)*   ScopeSpans = 1 Scope, (2 Span)*

import { Check } from './check.ts'
import { message } from './schema.ts'
import { BAD_SPAN_ID, BAD_TRACE_ID, BROKEN, GOOD, type SpanVerdict, SpanWalk } from './span-walk.ts'
import { RESOURCE_RECORD, Tape } from './tape.ts'
import type { Wanted } from './wanted.ts'

export class Walk {
  /** Spans in the request, good ones and bad ones. */
  items = 0
  /** Spans that cannot be taken because of an id. They are complete protobuf, so only they are refused. */
  badTraceIds = 0
  badSpanIds = 0
  badParentIds = 0
  /** Offset of the first such span, or -1. */
  firstBad = -1
  /** The good spans, after a run that was true. */
  readonly tape = new Tape()

  readonly #check = new Check()
  readonly #span: SpanWalk
  #bytes: Buffer = NOTHING
  #limit = 0

  constructor(wanted: Wanted) {
    this.#span = new SpanWalk(wanted, this.tape, this.#check)
  }

  /** True if the bytes are a traces request. If it has more spans than `limit` they are counted, and the tape is empty. */
  run(bytes: Buffer, limit: number): boolean {
    this.items = this.badTraceIds = this.badSpanIds = this.badParentIds = 0
    this.firstBad = -1
    this.tape.clear()
    this.#bytes = bytes
    this.#limit = limit
    this.#check.over(bytes)
    this.#span.over(bytes)
    const ok = this.#request(bytes.length)
    this.#bytes = NOTHING
    this.#check.over(NOTHING)
    this.#span.leave()
    if (!ok || this.items > limit) this.tape.clear()
    return ok
  }

  #request(end: number): boolean {
    const bytes = this.#bytes
    const check = this.#check
    for (let pos = 0; pos < end; ) {
      pos = check.field(pos, end, 0)
      if (pos < 0) return false
      if (check.tag !== 0x0a) continue
      const start = check.value
      // Fast paths, here and below: a run of empty messages, which is what bombs are made of.
      if (start === pos) while (pos + 1 < end && bytes[pos] === 0x0a && bytes[pos + 1] === 0) pos += 2
      else if (!this.#resourceSpans(start, pos)) return false
    }
    return true
  }

  #resourceSpans(start: number, end: number): boolean {
    const bytes = this.#bytes
    const check = this.#check
    const tape = this.tape
    const record = tape.length
    tape.reserve(RESOURCE_RECORD)
    tape.length += RESOURCE_RECORD
    let pieces = 0
    let resourceStart = start
    let resourceEnd = start
    for (let pos = start; pos < end; ) {
      pos = check.field(pos, end, 1)
      if (pos < 0) return false
      const value = check.value
      if (check.tag === 0x12) {
        if (value === pos) while (pos + 1 < end && bytes[pos] === 0x12 && bytes[pos + 1] === 0) pos += 2
        else if (!this.#scopeSpans(value, pos)) return false
      } else if (check.tag === 0x0a) {
        pieces++
        resourceStart = value
        resourceEnd = pos
        if (!check.message(RESOURCE, value, pos, 2)) return false
      }
    }
    if (tape.length === record + RESOURCE_RECORD) {
      // Nobody asks for a resource without spans.
      tape.length = record
      return true
    }
    const numbers = tape.numbers
    numbers[record] = -1
    numbers[record + 1] = start
    numbers[record + 2] = end
    numbers[record + 3] = resourceStart
    numbers[record + 4] = resourceEnd
    numbers[record + 5] = pieces
    return true
  }

  #scopeSpans(start: number, end: number): boolean {
    const bytes = this.#bytes
    const check = this.#check
    for (let pos = start; pos < end; ) {
      pos = check.field(pos, end, 2)
      if (pos < 0) return false
      const value = check.value
      if (check.tag === 0x12) {
        this.items++
        const verdict = this.#span.read(value, pos, this.items <= this.#limit)
        if (verdict === BROKEN) return false
        if (verdict !== GOOD) this.#bad(verdict, value)
        if (value === pos)
          while (pos + 1 < end && bytes[pos] === 0x12 && bytes[pos + 1] === 0) {
            pos += 2
            this.items++
            this.badTraceIds++
          }
      } else if (check.tag === 0x0a && !check.message(SCOPE, value, pos, 3)) return false
    }
    return true
  }

  #bad(verdict: SpanVerdict, at: number): void {
    if (verdict === BAD_TRACE_ID) this.badTraceIds++
    else if (verdict === BAD_SPAN_ID) this.badSpanIds++
    else this.badParentIds++
    if (this.firstBad < 0) this.firstBad = at
  }
}

const NOTHING = Buffer.alloc(0)

const RESOURCE = message('Resource').index
const SCOPE = message('Scope').index
