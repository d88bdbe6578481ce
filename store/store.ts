// The store: the newest spans in one ring, and in a second one copies of those spans whose traces must not go. Whether a span is
// notable is asked when it comes: then its name, service and duration are at hand. To read its record again later costs more,
// as it is no longer in the processor's cache. Whether its trace is pinned is asked when it leaves the first ring.
//
// A trace is pinned while an exemplar names it, while it is notable (notable.ts), and for an hour after somebody opened it. The
// set of pinned traces is made anew each time a quarter of the ring has been replaced. That is in time for exemplars: a span
// that sets one is then still in the first ring, with three quarters of what came before it.

import { hashOfFour, hashOfText } from '../metrics/hash.ts'
import { LITTLE_ENDIAN } from '../metrics/word.ts'
import { serviceIn } from '../otlp/service.ts'
import {
  ATTRIBUTE_RECORD,
  ATTRIBUTES,
  END_TIME,
  KIND_AND_STATUS,
  EVENTS as NOTED_EVENTS,
  LINKS as NOTED_LINKS,
  NAME_END as NOTED_NAME_END,
  NAME_START as NOTED_NAME_START,
  PARENT_ID,
  SPAN_END,
  SPAN_ID,
  SPAN_RECORD,
  SPAN_START,
  START_TIME,
  TRACE_ID,
} from '../otlp/tape.ts'
import { Reader } from '../otlp/wire.ts'
import type { SpanView } from '../telemetry/consumer.ts'
import type { Clock } from '../telemetry/host.ts'
import { KIND } from '../telemetry/span.ts'
import type { Source } from '../traceql/reading.ts'
import { Copied } from './copied.ts'
import {
  COPY_END,
  COPY_FLAGS,
  COPY_HASH,
  COPY_NAME_END,
  COPY_NAME_START,
  COPY_NANOS,
  COPY_RESOURCE,
  COPY_SECONDS,
  COPY_SLOT,
  COPY_START,
  COPY_WORDS,
  Copies,
} from './copies.ts'
import type { Cursor } from './cursor.ts'
import { Lost } from './lost.ts'
import { Notable } from './notable.ts'
import { EXEMPLAR, NOTABLE, OPENED, Pins } from './pins.ts'
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
  ROOT,
  SERVICE_SHIFT,
  START,
  START_SECONDS,
  STATUS_SHIFT,
} from './record.ts'
import { BYTES_PER_SPAN, Ring, SPANS_PER_REQUEST } from './ring.ts'
import { Trace } from './trace.ts'
import { traceHash } from './trace-hash.ts'
import { sameWords } from './words.ts'

/** The share of the memory that copies of pinned spans take. */
const PINNED_SHARE = 1 / 4
/** Bytes that a span takes in a ring with its record and the rest, roughly: for the sizes of the tables beside it. */
const SPAN_BYTES = 400
const OPENED_SECONDS = 3600
const MOST_OPENED = 256
/**
 * Old copies that are still pinned are moved to the new end of their ring. If this many times the bytes that came in lately had to
 * be moved, the ring is too full of them, and they go: first the notable ones, then those of exemplars, then all.
 */
const MOVES_NOTABLE = 1
const MOVES_ANY = 3
const MOVES_OPENED = 6
/** Lately: until this share of the ring was replaced. */
const LATELY = 1 / 4
/**
 * The most of the ring of pinned spans that one trace may take, in bytes of its spans: a worker that stays in one trace for days,
 * or a sender who gives all spans the same id, must not push out all others, nor have each of its spans copied. It keeps its
 * beginning there, and its newest spans in the first ring. If somebody has opened it, it may take more.
 */
const SHARE_OF_TRACE = 1 / 2
const SHARE_IF_OPENED = 3 / 4
/**
 * Copies replace the ring of pinned spans no faster than in so many seconds, except for the first spans of each trace: senders
 * that go on with many pinned traces must not have each of their spans copied.
 */
const REPLACED_SECONDS = 10
/** The first spans: the share of its part of the ring, if each pinned trace had the same. */
const FIRST_SPANS = 1 / 2
/** A reason that no trace has. */
const NEVER = 8

/** Shows the trace ids of all live exemplars: 16 bytes at an offset. */
export type ShowExemplars = (each: (id: Uint8Array, at: number) => void) => void

/** Why spans are no longer held, or never were. */
export interface Evicted {
  /** Newer ones took their place. */
  newer: number
  /** Their request was larger than the store. */
  too_large: number
  /** There were more different names of services at once than there is room for. */
  names: number
}

export class Store implements Source {
  readonly bytes: number
  readonly evicted: Evicted = { newer: 0, too_large: 0, names: 0 }
  readonly segments: readonly [Ring, Ring]
  readonly newest: Ring
  readonly pinned: Ring
  readonly pins: Pins
  readonly #notable = new Notable()
  readonly #lost: Lost
  readonly #clock: Clock
  readonly #exemplars: ShowExemplars
  readonly #cursor: Cursor
  readonly #pinnedCursor: Cursor
  /** The spans in the ring of pinned spans. */
  readonly #copied: Copied
  /** Opened traces in hexadecimal, and until when they are kept, in seconds. */
  readonly #opened = new Map<string, number>()
  /** The record whose leaving makes the pins anew. */
  #refreshAt = 0
  // The request that is being taken.
  #taking = false
  #delta = 0
  #resource = -1
  #resourceSpans = -1
  #resourcePlace = 0
  #items = 0
  #service = 0
  #serviceHash = 0
  /** The resource that has this service, and where its name stands in the ResourceSpans. */
  #serviceOf = -1
  #serviceWithin = 0
  #received = -1
  readonly #reader = new Reader()
  /** Copies of spans that leave the first ring. */
  readonly #leavers = new Copies()
  /** Copies that left the ring of pinned spans and go in again, and others that may be filled. */
  readonly #waiting: Copies[] = []
  readonly #spare: Copies[] = []
  /** Bytes that may be copied now, and since when, in seconds. */
  #allowance: number
  #allowed = 0
  /** Bytes of copies that came in lately, and of those that were moved. */
  #came = 0
  #moved = 0

  /** `bytes` in all. */
  constructor(bytes: number, clock: Clock, exemplars: ShowExemplars) {
    this.bytes = bytes
    this.#clock = clock
    this.#exemplars = exemplars
    const spans = Math.ceil(bytes / SPAN_BYTES)
    const pins = Math.ceil((spans * PINNED_SHARE) / 2)
    const copies = spans * PINNED_SHARE * Copied.BYTES
    const beside = Notable.BYTES + spans * Lost.BYTES_PER_SPAN + pins * Pins.BYTES + copies
    const rings = Math.max(0, bytes - beside)
    this.newest = new Ring(rings * (1 - PINNED_SHARE), (first, end) => this.#leaving(first, end))
    this.pinned = new Ring(rings * PINNED_SHARE, (first, end) => this.#leavingPinned(first, end))
    this.segments = [this.newest, this.pinned]
    this.pins = new Pins(pins)
    this.#lost = new Lost(spans)
    this.#cursor = this.newest.cursor()
    this.#pinnedCursor = this.pinned.cursor()
    this.#copied = new Copied(this.pinned)
    this.#allowance = this.pinned.capacity
  }

  get spans(): number {
    return this.newest.spans + this.pinned.spans
  }

  /** Bytes of the spans held, with their resources and scopes. */
  get held(): number {
    return this.newest.held + this.pinned.held
  }

  trace(): Trace {
    return new Trace(this.segments, hash => this.#lost.has(hash))
  }

  /** Begins a request; its spans follow. */
  begin(bytes: Buffer, items: number, received: number): void {
    const ring = this.newest
    this.#resource = -1
    this.#taking = ring.fits(bytes.length, items)
    if (!this.#taking) {
      this.evicted.too_large += items
      return
    }
    this.#delta = ring.begin(bytes, 0, bytes.length, items, received)
    this.#items = items
    // To ask the monotonic clock for each request would cost more than to keep one of its spans.
    if (received === this.#received) return
    this.#received = received
    const now = this.#seconds()
    this.#notable.begin(now)
    const { capacity } = this.pinned
    this.#allowance = Math.min(capacity, this.#allowance + ((now - this.#allowed) / REPLACED_SECONDS) * capacity)
    this.#allowed = now
  }

  /** Takes spans of one scope: see SpanConsumer. */
  run(view: SpanView, notes: Int32Array, from: number, to: number): void {
    if (!this.#taking) return
    const ring = this.newest
    const delta = this.#delta
    if (view.resourceSerial !== this.#resource) this.#enterResource(view)
    // Equal resources may stand in several places, each with scopes and spans of its own.
    else if (view.resourceSpansStart !== this.#resourceSpans) this.#findResource(view)
    const { records, doubles } = ring
    const { data } = view
    const resource = this.#resourcePlace
    const service = this.#service
    if (service === 0) {
      this.#resource = -1
      this.evicted.names += count(notes, from, to)
      return
    }
    const notable = this.#notable
    let before = -1
    let hash = 0
    for (let span = from; span < to; span += SPAN_RECORD + ATTRIBUTE_RECORD * notes[span + ATTRIBUTES]!) {
      const nameStart = notes[span + NOTED_NAME_START]!
      const nameEnd = notes[span + NOTED_NAME_END]!
      const { place } = ring
      const at = place * RECORD_WORDS
      const start = notes[span + SPAN_START]!
      const traceId = notes[span + TRACE_ID]!
      const parent = notes[span + PARENT_ID]!
      const kind = notes[span + KIND_AND_STATUS]! & 255
      const status = (notes[span + KIND_AND_STATUS]! >> 8) & 255
      records[at + START] = start + delta
      records[at + END] = notes[span + SPAN_END]! + delta
      records[at + NAME] = ~(nameEnd - nameStart)
      records[at + NAME_START] = nameStart + delta
      records[at + FLAGS] =
        (service << SERVICE_SHIFT) |
        (kind | (status << STATUS_SHIFT)) |
        (parent < 0 ? ROOT : 0) |
        (notes[span + NOTED_EVENTS]! > 0 ? EVENTS : 0) |
        (notes[span + NOTED_LINKS]! > 0 ? LINKS : 0) |
        (traceId === start + 2 && notes[span + SPAN_ID] === start + 20 && (parent < 0 || parent === start + 30)
          ? IN_FRONT
          : 0)
      records[at + RESOURCE] = resource
      const startLow = notes[span + START_TIME]! >>> 0
      const startHigh = notes[span + START_TIME + 1]! >>> 0
      const endLow = notes[span + END_TIME]! >>> 0
      const endHigh = notes[span + END_TIME + 1]! >>> 0
      const started = startHigh * 2 ** 32 + startLow
      // The difference of the halves is exact where the times themselves, as doubles, would be 256 ns apart.
      const lasted = (endHigh - startHigh) * 2 ** 32 + (endLow - startLow)
      const nanos = started > 0 && lasted > 0 ? lasted : 0
      doubles[(at >> 1) + START_SECONDS] = (started > 0 ? started : endHigh * 2 ** 32 + endLow) / 1e9
      doubles[(at >> 1) + NANOSECONDS] = nanos
      if (before < 0 || !sameWords(data, before, data, traceId, 16))
        hash = hashOfFour(
          data.getInt32(traceId, LITTLE_ENDIAN),
          data.getInt32(traceId + 4, LITTLE_ENDIAN),
          data.getInt32(traceId + 8, LITTLE_ENDIAN),
          data.getInt32(traceId + 12, LITTLE_ENDIAN),
        )
      before = traceId
      ring.push(place, hash)
      if (kind !== KIND.server && kind !== KIND.consumer && parent >= 0) continue
      // It answers a request or begins a trace.
      const operation = notable.operation(hashOfText(data, nameStart, nameEnd), this.#serviceHash)
      if (operation < 0) continue
      notable.duration = nanos
      if (notable.judge(operation, status, view.bytes, traceId, hash)) this.pins.add(view.bytes, traceId, hash, NOTABLE)
    }
  }

  /** Keeps a trace that somebody has opened: 16 bytes at an offset. */
  open(id: Buffer): void {
    const key = id.toString('hex')
    this.#opened.delete(key)
    this.#opened.set(key, this.#seconds() + OPENED_SECONDS)
    for (const oldest of this.#opened.keys())
      if (this.#opened.size > MOST_OPENED) this.#opened.delete(oldest)
      else break
    this.pins.add(id, 0, traceHash(id, 0), OPENED)
  }

  /** Whether a span of the trace is held. */
  holds(id: Uint8Array, at: number): boolean {
    return holds(this.newest, this.#cursor, id, at) || holds(this.pinned, this.#pinnedCursor, id, at)
  }

  /** Whether spans of the trace were dropped lately. */
  lost(id: Uint8Array, at: number): boolean {
    return this.#lost.has(traceHash(id, at))
  }

  /** Makes the set of pinned traces anew. */
  refresh(): void {
    const { pins } = this
    const now = this.#seconds()
    pins.clear()
    for (const [key, until] of this.#opened) {
      const id = Buffer.from(key, 'hex')
      if (until < now) this.#opened.delete(key)
      else pins.add(id, 0, traceHash(id, 0), OPENED)
    }
    this.#exemplars((id, at) => pins.add(id, at, traceHash(id, at), EXEMPLAR))
    this.#notable.each(now, (id, at, hash) => pins.add(id, at, hash, NOTABLE))
    this.#refreshAt = this.newest.oldest + Math.ceil(this.newest.spans / 4)
  }

  #seconds(): number {
    return this.#clock.monotonic() / 1000 + 1
  }

  #findResource({ bytes, resourceSpansStart: start, resourceSpansEnd: end }: SpanView): void {
    this.#resourceSpans = start
    this.#resourcePlace = lengthField(bytes, start, end - start) + this.#delta
  }

  #enterResource(view: SpanView): void {
    const { services, next } = this.newest
    this.#findResource(view)
    this.#resource = view.resourceSerial
    // Named for all spans that may follow.
    const last = next + this.#items - 1
    const start = view.resourceSpansStart
    // Fast path: the resource that came last, as an SDK sends it, with the name of the service at the same place of it.
    const again = start + this.#serviceWithin
    if (
      view.resourceSerial === this.#serviceOf &&
      again + services.lengthOf(this.#service) <= view.resourceSpansEnd &&
      services.again(this.#service, view.data, again, this.#delta, last)
    )
      return
    const service = serviceIn(view.bytes, start, view.resourceSpansEnd)
    let number = this.#add(this.newest, service, view.bytes, this.#delta, last)
    if (number === 0 && this.newest.makeRoomForService())
      number = this.#add(this.newest, service, view.bytes, this.#delta, last)
    this.#service = number
    this.#serviceHash = services.hashOf(number)
    this.#serviceOf = number !== 0 && service.bytes === view.bytes ? view.resourceSerial : -1
    this.#serviceWithin = service.start - start
  }

  /** The number of a service whose name stands in `bytes`, which stand in the ring at `delta`, or elsewhere. */
  #add(ring: Ring, service: ReturnType<typeof serviceIn>, bytes: Buffer, delta: number, last: number): number {
    return service.bytes === bytes
      ? ring.services.add(service.start + delta, service.end + delta, last)
      : ring.services.addOwn(service.bytes, last)
  }

  /** The spans of a request leave the first ring. */
  #leaving(first: number, end: number): void {
    if (first >= this.#refreshAt) this.refresh()
    this.#copy(this.newest, this.#cursor, first, end, 0)
    if (this.#leavers.size > 0) this.#keep(this.#leavers)
  }

  #leavingPinned(first: number, end: number): void {
    const [came, moved] = [this.#came, this.#moved]
    const weakest =
      moved > MOVES_OPENED * came
        ? NEVER
        : moved > MOVES_ANY * came
          ? OPENED
          : moved > MOVES_NOTABLE * came
            ? EXEMPLAR
            : NOTABLE
    this.#copy(this.pinned, this.#pinnedCursor, first, end, weakest)
  }

  /** Copies the pinned spans among these records; the others are dropped. */
  #copy(ring: Ring, cursor: Cursor, first: number, end: number, weakest: number): void {
    const fresh = ring === this.newest
    let copies = this.#leavers
    let dropped = 0
    const lost = this.#lost
    const { pins } = this
    const { links, most } = ring
    let unpinned = false
    let before = 0
    // The trace of the last pinned span, and what is known of it: those of one trace mostly stand together.
    let traceId = -1
    let pin = 0
    let reasons = 0
    for (let number = first, index = ring.index(first); number < end; number++, index++) {
      if (index === most) index = 0
      const hash = links[index * LINK_WORDS + HASH]!
      // Fast path: one more span of a trace that is not pinned.
      if (unpinned && hash === before) {
        dropped++
        continue
      }
      before = hash
      unpinned = !pins.may(hash)
      if (!unpinned) {
        cursor.at(number)
        if (traceId < 0 || !sameWords(ring.data, traceId, ring.data, cursor.traceId, 16)) {
          pin = pins.number(hash, cursor.bytes, cursor.traceId)
          reasons = pins.reasons(pin)
        }
        traceId = cursor.traceId
        if (reasons !== 0 && reasons >= weakest && (!fresh || this.#mayGrow(pin, hash, cursor))) {
          const slot = this.#copied.slot(cursor)
          if (fresh) {
            // A span that was sent again, and again, is kept once.
            if (this.#copied.has(slot, cursor, ring.data)) {
              dropped++
              continue
            }
            if (copies.full) {
              copies.leave()
              this.#keep(copies)
            }
            const bytes = room(cursor, copies.size === 0)
            pins.setCopied(pin, pins.copied(pin) + bytes)
            this.#allowance = Math.max(0, this.#allowance - bytes)
          } else {
            copies = this.#waitingOnes()
            this.#moved += cursor.spanEnd - cursor.spanStart
          }
          if (copies.size === 0) copies.received = ring.oldestReceived ?? 0
          copies.add(cursor, slot)
          continue
        }
      }
      lost.add(hash)
      dropped++
    }
    this.evicted.newer += dropped
    copies.leave()
  }

  /** Copies that wait to go in again, with room for one more. */
  #waitingOnes(): Copies {
    let copies = this.#waiting.at(-1)
    if (copies && !copies.full) return copies
    copies?.leave()
    copies = this.#spare.pop() ?? new Copies()
    this.#waiting.push(copies)
    return copies
  }

  /** Whether more spans of a pinned trace, one of which is at the cursor, may be copied. */
  #mayGrow(pin: number, hash: number, cursor: Cursor): boolean {
    const { pins, pinned } = this
    const share = (pins.reasons(pin) & OPENED) !== 0 ? SHARE_IF_OPENED : SHARE_OF_TRACE
    const most = share * pinned.capacity
    if (pins.copied(pin) < 0) this.#count(pin, hash, cursor, most)
    const bytes = pins.copied(pin)
    if (bytes >= most) return false
    return this.#allowance > 0 || bytes < (FIRST_SPANS * pinned.capacity) / pins.size
  }

  /** Notes how much of a trace, one span of which is at the cursor, stands in the ring of pinned spans. */
  #count(pin: number, hash: number, cursor: Cursor, most: number): void {
    const { pins, pinned } = this
    const copy = this.#pinnedCursor
    let bytes = 0
    let resource = -1
    for (let number = pinned.newest(hash); number >= pinned.oldest && bytes < most; number = pinned.before(number)) {
      if (
        copy.at(number).traceHash !== hash ||
        !sameWords(pinned.data, copy.traceId, this.newest.data, cursor.traceId, 16)
      )
        continue
      bytes += room(copy, copy.resourceAt !== resource)
      resource = copy.resourceAt
    }
    pins.setCopied(pin, bytes)
  }

  #drop({ size, values }: Copies): void {
    this.evicted.newer += size
    for (let i = 0; i < size; i++) this.#lost.add(values[i * COPY_WORDS + COPY_HASH]!)
  }

  /** Appends copies to the ring of pinned spans, and what has to move for them. */
  #keep(copies: Copies): void {
    this.#came += copies.length
    if (this.#came > LATELY * this.pinned.capacity) {
      this.#came /= 2
      this.#moved /= 2
    }
    this.#append(copies)
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) {
      this.#append(next)
      if (this.#spare.length < MOST_SPARE) this.#spare.push(next)
    }
  }

  #append(copies: Copies): void {
    const ring = this.pinned
    copies.finish()
    const { bytes, values, doubles, size, length } = copies
    if (!ring.fits(length, size)) this.#drop(copies)
    else {
      const delta = ring.begin(bytes, 0, length, size, copies.received)
      let resource = -1
      let service = 0
      for (let from = 0; from < size * COPY_WORDS; from += COPY_WORDS) {
        const { place, next } = ring
        if (values[from + COPY_RESOURCE] !== resource) {
          resource = values[from + COPY_RESOURCE]!
          // Named for all spans that may follow.
          service = this.#serviceAt(bytes, resource, length, delta, next + size - 1 - from / COPY_WORDS)
        }
        if (service === 0) {
          this.evicted.names++
          continue
        }
        const at = place * RECORD_WORDS
        ring.records[at + START] = values[from + COPY_START]! + delta
        ring.records[at + END] = values[from + COPY_END]! + delta
        ring.records[at + NAME] = ~(values[from + COPY_NAME_END]! - values[from + COPY_NAME_START]!)
        ring.records[at + NAME_START] = values[from + COPY_NAME_START]! + delta
        ring.records[at + FLAGS] = (service << SERVICE_SHIFT) | values[from + COPY_FLAGS]!
        ring.records[at + RESOURCE] = resource + delta
        ring.doubles[(at >> 1) + START_SECONDS] = doubles[(from >> 1) + COPY_SECONDS]!
        ring.doubles[(at >> 1) + NANOSECONDS] = doubles[(from >> 1) + COPY_NANOS]!
        ring.push(place, values[from + COPY_HASH]!)
        this.#copied.add(values[from + COPY_SLOT]!, next)
      }
    }
    copies.clear()
  }

  /** The number of the service of a ResourceSpans among copies, whose length stands at `at`; `last` is the last record. */
  #serviceAt(bytes: Buffer, at: number, end: number, delta: number, last: number): number {
    const resource = this.#reader.over(bytes, at - 1, end)
    resource.next()
    return this.#add(this.pinned, serviceIn(bytes, resource.start, resource.end), bytes, delta, last)
  }
}

/** Of copies that may be filled again. */
const MOST_SPARE = 4

/** The spans among notes. */
function count(notes: Int32Array, from: number, to: number): number {
  let spans = 0
  for (let span = from; span < to; span += SPAN_RECORD + ATTRIBUTE_RECORD * notes[span + ATTRIBUTES]!) spans++
  return spans
}

/** The bytes of a ring that a span takes. There are only so many records and requests in it, and small ones take one too. */
function room({ spanStart, spanEnd }: Cursor, first: boolean): number {
  return Math.max(BYTES_PER_SPAN * (first ? SPANS_PER_REQUEST : 1), spanEnd - spanStart)
}

function holds(ring: Ring, cursor: Cursor, id: Uint8Array, at: number): boolean {
  const hash = traceHash(id, at)
  const { bytes } = ring
  for (let number = ring.newest(hash); number >= ring.oldest; number = ring.before(number)) {
    if (cursor.at(number).traceHash !== hash) continue
    const { traceId } = cursor
    let i = 0
    while (i < 16 && bytes[traceId + i] === id[at + i]) i++
    if (i === 16) return true
  }
  return false
}

/** Where the length of a message stands that begins at `start`: senders may write it in more bytes than it needs. */
function lengthField(bytes: Buffer, start: number, length: number): number {
  for (let size = 1; size <= 10 && size < start; size++) {
    let value = 0
    let i = 0
    for (; i < size; i++) {
      const byte = bytes[start - size + i]!
      if (i < 5) value += (byte & 127) * 2 ** (7 * i)
      if (byte < 128 !== (i === size - 1)) break
    }
    if (i === size && value === length) return start - size
  }
  throw new Error(`cannot find the length of the message at byte ${start}`)
}
