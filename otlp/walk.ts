// The one pass over a traces request. It proves the structure of the whole message, as check.ts does, and notes on a tape
// where each span has what its consumers asked for; no consumer is called before the last byte is found good, so a request is
// taken whole or not at all. The encodings of SDKs are read here; unusual ones are handed to the check.
//
//   request = (1 ResourceSpans)*   ResourceSpans = 1 Resource, (2 ScopeSpans)*   ScopeSpans = 1 Scope, (2 Span)*

import { Check } from './check.ts'
import type { KeySet } from './key-set.ts'
import { message } from './schema.ts'
import { BAD_SPAN_ID, BAD_TRACE_ID, BROKEN, GOOD, type SpanVerdict, SpanWalk } from './span-walk.ts'
import { RESOURCE, RESOURCE_RECORD, SCOPE, SCOPE_RECORD, Tape } from './tape.ts'

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
  /** The bytes of such a run, to read words; until `leave`. */
  data: DataView = NO_DATA

  readonly #check = new Check()
  readonly #span: SpanWalk
  #bytes: Buffer = NOTHING
  #limit = 0

  /** `keys` are the span attributes that are looked for. */
  constructor(keys: KeySet) {
    this.#span = new SpanWalk(keys, this.tape, this.#check)
  }

  /** True if the bytes are a traces request. If it has more spans than `limit` they are counted, and the tape is empty. */
  run(bytes: Buffer, limit: number): boolean {
    this.items = this.badTraceIds = this.badSpanIds = this.badParentIds = 0
    this.firstBad = -1
    this.tape.clear()
    this.#bytes = bytes
    this.#limit = limit
    this.#check.over(bytes)
    this.data = this.#span.over(bytes)
    const ok = this.#request(bytes.length)
    this.#bytes = NOTHING
    this.#check.over(NOTHING)
    this.#span.leave()
    if (!ok || this.items > limit) this.leave()
    return ok
  }

  /** Forgets what it has noted. */
  leave(): void {
    this.tape.clear()
    this.data = NO_DATA
  }

  #request(end: number): boolean {
    const bytes = this.#bytes
    const fields = this.#check.fields
    for (let pos = 0; pos < end; ) {
      pos = fields.field(pos, end, 0)
      if (pos < 0) return false
      if (fields.tag !== 0x0a) continue
      const start = fields.value
      // Fast paths, here and below: a run of empty messages, which is what bombs are made of.
      if (start === pos) while (pos + 1 < end && bytes[pos] === 0x0a && bytes[pos + 1] === 0) pos += 2
      else if (!this.#resourceSpans(start, pos)) return false
    }
    return true
  }

  #resourceSpans(start: number, end: number): boolean {
    const bytes = this.#bytes
    const check = this.#check
    const { fields } = check
    const tape = this.tape
    const record = tape.length
    tape.reserve(RESOURCE_RECORD)
    tape.length += RESOURCE_RECORD
    let pieces = 0
    let resourceStart = start
    let resourceEnd = start
    for (let pos = start; pos < end; ) {
      pos = fields.field(pos, end, 1)
      if (pos < 0) return false
      const value = fields.value
      if (fields.tag === 0x12) {
        if (value === pos) while (pos + 1 < end && bytes[pos] === 0x12 && bytes[pos + 1] === 0) pos += 2
        else if (!this.#scopeSpans(value, pos)) return false
      } else if (fields.tag === 0x0a) {
        pieces++
        resourceStart = value
        resourceEnd = pos
        if (!check.message(RESOURCE_MESSAGE, value, pos, 2)) return false
      }
    }
    if (tape.length === record + RESOURCE_RECORD) {
      // A resource without spans is shown to nobody.
      tape.length = record
      return true
    }
    const numbers = tape.numbers
    numbers[record] = RESOURCE
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
    const { fields } = check
    const tape = this.tape
    const record = tape.length
    tape.reserve(SCOPE_RECORD)
    tape.length += SCOPE_RECORD
    let nameStart = 0
    let nameEnd = 0
    let versionStart = 0
    let versionEnd = 0
    for (let pos = start; pos < end; ) {
      pos = fields.field(pos, end, 2)
      if (pos < 0) return false
      const value = fields.value
      if (fields.tag === 0x12) {
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
      } else if (fields.tag === 0x0a) {
        if (!check.message(SCOPE_MESSAGE, value, pos, 3)) return false
        for (let at = value; at < pos; ) {
          at = fields.field(at, pos, 4)
          if (fields.tag === 0x0a) {
            nameStart = fields.value === at ? 0 : fields.value
            nameEnd = fields.value === at ? 0 : at
          } else if (fields.tag === 0x12) {
            versionStart = fields.value === at ? 0 : fields.value
            versionEnd = fields.value === at ? 0 : at
          }
        }
      }
    }
    if (tape.length === record + SCOPE_RECORD) {
      tape.length = record
      return true
    }
    const numbers = tape.numbers
    numbers[record] = SCOPE
    numbers[record + 1] = nameStart
    numbers[record + 2] = nameEnd
    numbers[record + 3] = versionStart
    numbers[record + 4] = versionEnd
    numbers[record + 5] = start
    numbers[record + 6] = end
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
const NO_DATA = new DataView(NOTHING.buffer, 0, 0)

const RESOURCE_MESSAGE = message('Resource').index
const SCOPE_MESSAGE = message('Scope').index
