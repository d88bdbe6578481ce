// The record of a span: 40 bytes, which hold what most queries ask first, and where the span stands. The part that
// finds the spans of a trace, and is read of every span that leaves, stands apart: 8 bytes, of which the processor's
// cache loads sixteen at a time.
//
//   record = span's start i32, span's end i32, the number of its name i32, or ~ its length as long as it has none,
//            service << 10 | flags i32, start in seconds f64, nanoseconds f64, the resource's length field i32, where its name
//            stands i32
//   link   = hash of the trace id i32, distance to the record before it in its chain u32

import type { Texts } from './texts.ts'

export const RECORD_WORDS = 10
export const LINK_WORDS = 2

// Places in a record, in words; in doubles for two of them: half of the record's word, and one of these.
export const START = 0
export const END = 1
export const NAME = 2
export const FLAGS = 3
export const START_SECONDS = 2
export const NANOSECONDS = 3
export const RESOURCE = 8
export const NAME_START = 9

// Places in a link.
export const HASH = 0
export const PREVIOUS = 1

/** The distance to a record before, 1 to 2^32, of which these are the low 32 bits. */
export function distance(low: number): number {
  return ((low - 1) >>> 0) + 1
}

// The flags of a record: kind in bits 0 to 2, status in bits 3 and 4.
export const STATUS_SHIFT = 3
export const ROOT = 1 << 5
export const EVENTS = 1 << 6
export const LINKS = 1 << 7
/** The ids stand at the beginning of the span, as every SDK writes them. */
export const IN_FRONT = 1 << 8
export const SERVICE_SHIFT = 10

/** The part of a ring that a cursor reads, and the numbers that it gives to names. */
export interface Records {
  readonly bytes: Buffer
  readonly records: Int32Array
  /** The same memory. */
  readonly doubles: Float64Array
  readonly links: Int32Array
  readonly names: Texts
  readonly oldest: number
  /** The place of a record among the records and the links. */
  index(number: number): number
  /** The number of the record at a place. */
  numberAt(index: number): number
}
