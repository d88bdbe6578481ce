// A trace to be shown: its spans as one traces request, complete enough for Grafana (reframe.ts), and what is missing
// of it. It is read in slices of some milliseconds, as a trace may have 50,000 spans; what a slice has read is copied
// out at once.
//
// Between slices, spans may leave the newest ring. A trace is pinned before it is opened, so they are then found in the
// ring of pinned spans, which is read last. There, old spans may move to the new end: it is read until nothing new has
// come.

import { TooLarge } from '../otlp/writer.ts'
import { MOST_TRACE_SPANS, type Pace } from '../traceql/reading.ts'
import type { Cursor } from './cursor.ts'
import { Once } from './once.ts'
import { Reframe } from './reframe.ts'
import type { Ring } from './ring.ts'
import { traceHash } from './trace-hash.ts'

/** Grafana takes 4 MiB by default, and shows larger traces slowly; this is what one answer may take of our memory. */
export const MOST_TRACE_BYTES = 16 * 2 ** 20

/** A slice, whichever comes first. Each is made JSON in one piece, which takes ten times as long. */
const SLICE_SPANS = 200
const SLICE_BYTES = 49_152
/** Spans of other traces may stand in the same chain. */
const SLICE_LOOKS = 20_000
/** Passes over the ring of pinned spans, should they move all the time. */
const PASSES = 8

export interface View {
  /** Together an opentelemetry.proto.trace.v1.TracesData; each is one too. The spans that came first stand first. */
  readonly parts: readonly Buffer[]
  readonly spans: number
  /** Why it is not the whole trace; undefined if it is, as far as can be known. */
  readonly partial: string | undefined
}

export interface Viewed {
  /** The newest spans, then the pinned ones. */
  readonly segments: readonly Ring[]
  /** Whether spans of the trace were dropped lately. */
  lost(id: Uint8Array, at: number): boolean
}

/** The view of the trace with this id; without any spans if none is held. Rejects with what the pace says. */
export async function view(source: Viewed, id: Buffer, pace: Pace, most = MOST_TRACE_BYTES): Promise<View> {
  const reading = new Reading(id, most)
  for (const [i, ring] of source.segments.entries()) {
    let until = 0
    for (let pass = 0; pass < (i === 0 ? 1 : PASSES); pass++) {
      const newest = ring.newest(reading.hash)
      if (newest < Math.max(ring.oldest, until)) break
      for (let number = newest; number >= Math.max(ring.oldest, until); ) {
        number = reading.slice(ring, number, until)
        if (number >= ring.oldest) await pace.turn()
      }
      until = newest + 1
    }
  }
  return reading.view(source.lost(id, 0))
}

class Reading {
  readonly hash: number
  readonly #id: Buffer
  readonly #most: number
  readonly #once = new Once()
  /** The newest spans first. */
  readonly #parts: Buffer[] = []
  #bytes = 0
  #spans = 0
  #shown = 0
  #full = false
  #cut = false
  readonly #numbers: number[] = []

  constructor(id: Buffer, most: number) {
    this.hash = traceHash(id, 0)
    this.#id = id
    this.#most = most
  }

  /** Reads a slice of the chain from a record on; returns the record where the next one begins, or one that is not held. */
  slice(ring: Ring, from: number, until: number): number {
    const cursor = ring.cursor()
    const numbers = this.#numbers
    const end = Math.max(ring.oldest, until)
    numbers.length = 0
    let bytes = 0
    let number = from
    for (let looks = 0; number >= end && looks < SLICE_LOOKS; looks++, number = ring.before(number)) {
      cursor.at(number)
      if (cursor.traceHash !== this.hash || !same16(cursor, this.#id) || !this.#once.add(cursor)) continue
      if (this.#spans === MOST_TRACE_SPANS) {
        this.#cut = true
        number = 0
        break
      }
      this.#spans++
      if (this.#full) continue
      numbers.push(number)
      bytes += cursor.spanEnd - cursor.spanStart
      if (numbers.length < SLICE_SPANS && bytes < SLICE_BYTES) continue
      number = ring.before(number)
      break
    }
    if (numbers.length > 0) this.#frame(cursor, bytes)
    return number
  }

  view(lost: boolean): View {
    const missing: string[] = []
    if (this.#full)
      missing.push(`it is larger than ${this.#most} bytes: ${this.#shown} of its ${this.#spans} spans are shown`)
    if (this.#cut) missing.push(`it has more than ${MOST_TRACE_SPANS} spans, and only the newest are shown`)
    else if (lost)
      missing.push('spans of it may have left the memory of the sidecar, which keeps the newest (traces.keep)')
    return {
      parts: this.#parts.reverse(),
      spans: this.#shown,
      partial: missing.length === 0 ? undefined : missing.join('; '),
    }
  }

  /** Copies the spans of a slice. If they are too many bytes, with the resources and scopes around them, as many as fit. */
  #frame(cursor: Cursor, bytes: number): void {
    const numbers = this.#numbers
    const room = this.#most - this.#bytes
    let fit = numbers.length
    while (fit > 0) {
      const frame = new Reframe(Math.min(2 * bytes, room), room, true)
      try {
        for (let i = fit - 1; i >= 0; i--) frame.add(cursor.at(numbers[i]!))
        const part = frame.finish()
        this.#parts.push(part)
        this.#bytes += part.length
        this.#shown += fit
        break
      } catch (error) {
        if (!(error instanceof TooLarge)) throw error
        this.#full = true
        fit >>= 1
      }
    }
  }
}

function same16({ bytes, traceId }: Cursor, id: Buffer): boolean {
  for (let i = 0; i < 16; i++) if (bytes[traceId + i] !== id[i]) return false
  return true
}
