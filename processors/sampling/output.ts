// Spans that are to be sent on, gathered into requests: those with the same bytes around them together, each as it came but
// for its tracestate and what is appended to it.

import { putVarint, varintSize } from '../../protobuf/varint.ts'
import type { Groups } from './groups.ts'
import type { Held } from './held.ts'

/** The bytes of a request at which it is sent. */
const REQUEST = 256 * 1024

/** Field 1 of a request and field 2 of ResourceSpans and of ScopeSpans, with a length. */
const RESOURCE_SPANS = 0x0a
const INNER = 0x12
/** Field 3 of a Span. */
const TRACE_STATE = 0x1a

const NONE = -1

export class Output {
  /** Spans that have been added and not yet sent. */
  spans = 0
  readonly #held: Held
  readonly #groups: Groups
  readonly #send: (bytes: Buffer, spans: number) => void
  #bytes = 0
  /** For each record: its length as it will be written, the new tracestate if it had one, and what is appended. */
  #records = new Int32Array(512)
  #lengths = new Int32Array(512)
  readonly #states: (Buffer | undefined)[] = []
  readonly #tails: Buffer[] = []
  /** By group: the places of its first and last span, and the length of its spans. */
  #first = new Int32Array(64).fill(NONE)
  #last = new Int32Array(64)
  #sums = new Int32Array(64)
  /** By place: the next one of the same group. */
  #next = new Int32Array(512)
  readonly #used: number[] = []
  #scratch = Buffer.allocUnsafeSlow(2 * REQUEST)

  /** `send` is lent the bytes of a request. */
  constructor(held: Held, groups: Groups, send: (bytes: Buffer, spans: number) => void) {
    this.#held = held
    this.#groups = groups
    this.#send = send
  }

  /**
   * Adds a span, which is held until it has been sent. `state` replaces its tracestate, if it has one; undefined leaves it.
   * `tail` is appended: fields of the span. If a field that occurs once stands in a message twice, the last one counts.
   */
  add(record: number, state: Buffer | undefined, tail: Buffer): void {
    const place = this.spans++
    if (place === this.#records.length) this.#grow()
    const length = this.#length(record, state) + tail.length
    this.#records[place] = record
    this.#lengths[place] = length
    this.#states[place] = state
    this.#tails[place] = tail
    this.#next[place] = NONE
    const group = this.#held.group(record)
    if (group >= this.#first.length) this.#growGroups(group)
    if (this.#first[group] === NONE) {
      this.#used.push(group)
      this.#first[group] = place
      this.#sums[group] = 0
      // The heads, and the tags and lengths around them.
      this.#bytes += this.#groups.scope(group).length + this.#groups.resource(group).length + 12
    } else this.#next[this.#last[group]!] = place
    this.#last[group] = place
    const whole = 1 + varintSize(length) + length
    this.#sums[group]! += whole
    this.#bytes += whole
    if (this.#bytes >= REQUEST) this.flush()
  }

  /** Sends what has been added. */
  flush(): void {
    if (this.spans === 0) return
    const bytes = this.#write()
    this.#send(bytes, this.spans)
    for (let place = 0; place < this.spans; place++) {
      const record = this.#records[place]!
      this.#groups.leave(this.#held.group(record))
      this.#held.remove(record)
    }
    for (const group of this.#used) this.#first[group] = NONE
    this.#used.length = this.#states.length = this.#tails.length = 0
    this.spans = this.#bytes = 0
    if (this.#scratch.length > 4 * REQUEST) this.#scratch = Buffer.allocUnsafeSlow(2 * REQUEST)
  }

  #write(): Buffer {
    if (this.#bytes > this.#scratch.length) this.#scratch = Buffer.allocUnsafeSlow(this.#bytes)
    const to = this.#scratch
    const groups = this.#groups
    const byResource = Map.groupBy(this.#used, group => groups.resource(group))
    let at = 0
    for (const [resource, members] of byResource) {
      let length = resource.length
      for (const group of members) {
        const scope = groups.scope(group).length + this.#sums[group]!
        length += 1 + varintSize(scope) + scope
      }
      to[at++] = RESOURCE_SPANS
      at = putVarint(to, at, length)
      at += resource.copy(to, at)
      for (const group of members) {
        const scope = groups.scope(group)
        to[at++] = INNER
        at = putVarint(to, at, scope.length + this.#sums[group]!)
        at += scope.copy(to, at)
        for (let place = this.#first[group]!; place >= 0; place = this.#next[place]!) {
          to[at++] = INNER
          at = putVarint(to, at, this.#lengths[place]!)
          at = this.#writeSpan(to, at, place)
        }
      }
    }
    return to.subarray(0, at)
  }

  #writeSpan(to: Buffer, at: number, place: number): number {
    const held = this.#held
    const record = this.#records[place]!
    const bytes = held.bytesOf(record)
    const start = held.offset(record)
    const end = start + held.length(record)
    const state = this.#states[place]
    const tail = this.#tails[place]!
    let pos = at
    if (state === undefined) pos += bytes.copy(to, pos, start, end)
    else {
      const field = this.#field(record)
      pos += bytes.copy(to, pos, start, field < 0 ? end : field)
      // An empty one that replaces nothing must be written, so that it counts.
      if (state.length > 0 || field < 0) {
        to[pos++] = TRACE_STATE
        pos = putVarint(to, pos, state.length)
        pos += state.copy(to, pos)
      }
      if (field >= 0) pos += bytes.copy(to, pos, start + held.state(record) + held.stateLength(record), end)
    }
    for (let i = 0; i < tail.length; i++) to[pos++] = tail[i]!
    return pos
  }

  /** The length of a span with another tracestate. */
  #length(record: number, state: Buffer | undefined): number {
    const length = this.#held.length(record)
    if (state === undefined) return length
    const own = 1 + varintSize(state.length) + state.length
    if (this.#field(record) < 0) return length + own
    const before = this.#held.stateLength(record)
    return length - 1 - varintSize(before) - before + (state.length > 0 ? own : 0)
  }

  /**
   * Where the field of the tracestate begins in the bytes that hold the span. -1 if it is not written as serializers do, or if
   * there is none: the new one is then written behind everything, where it counts.
   */
  #field(record: number): number {
    const held = this.#held
    const length = held.stateLength(record)
    if (length === 0) return NONE
    const bytes = held.bytesOf(record)
    const value = held.offset(record) + held.state(record)
    const size = varintSize(length)
    const tag = value - size - 1
    if (tag < held.offset(record) || bytes[tag] !== TRACE_STATE) return NONE
    putVarint(EXPECTED, 0, length)
    for (let i = 0; i < size; i++) if (bytes[tag + 1 + i] !== EXPECTED[i]) return NONE
    return tag
  }

  #grow(): void {
    const larger = (from: Int32Array): Int32Array<ArrayBuffer> => {
      const to = new Int32Array(2 * from.length)
      to.set(from)
      return to
    }
    this.#records = larger(this.#records)
    this.#lengths = larger(this.#lengths)
    this.#next = larger(this.#next)
  }

  #growGroups(group: number): void {
    const size = 2 ** Math.ceil(Math.log2(group + 1))
    const first = new Int32Array(size).fill(NONE)
    first.set(this.#first)
    this.#first = first
    const last = new Int32Array(size)
    last.set(this.#last)
    this.#last = last
    const sums = new Int32Array(size)
    sums.set(this.#sums)
    this.#sums = sums
  }
}

const EXPECTED = Buffer.alloc(10)
