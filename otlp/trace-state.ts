// Reads and writes a span's tracestate: whether its trace belongs to one of our own probes, and what it says about sampling,
// the threshold and the randomness. It is read in place, without making a string.
//
//   tracestate = member ("," member)*, blanks around members allowed    member = key "=" value      (w3.org/TR/trace-context)
//   value of "ot" = field (";" field)*    field = "th:" 1–14 hex digits | "rv:" 14 hex digits | …
//                                          (opentelemetry.io/docs/specs/otel/trace/tracestate-handling)
//
// A span is kept by a stage of threshold T if R >= T, where R are 56 random bits: `rv`, or else the last 7 bytes of the trace
// id. A sampled span stands for 2^56 / (2^56 − T) spans. Both numbers are held in two halves of 28 bits, which are exact and
// which V8 keeps as small integers.

import { OWN_TRACESTATE, PROBE_TRACESTATE } from '../telemetry/probe.ts'

const PROBE = Buffer.from(PROBE_TRACESTATE)
const OWN = Buffer.from(OWN_TRACESTATE)
const OT = Buffer.from('ot=')
const TH = Buffer.from('th:')
const RV = Buffer.from('rv:')
/** Digits of a threshold and of a random value. */
const DIGITS = 14
/** The longest value of the member "ot", in characters. */
const LONGEST_VALUE = 256
/** The most members of a tracestate. */
const MEMBERS = 32
/** Longer than 32 members of the longest key and value. Nobody may read such a tracestate, so it is as if there were none. */
const LONGEST = MEMBERS * (256 + 1 + 256 + 1)

/** Whether one member of the tracestate is that of our own probes. */
export function ofProbe(bytes: Uint8Array, start: number, end: number): boolean {
  return hasMember(bytes, start, end, PROBE)
}

/** Whether one member of the tracestate is that of the sidecar's own spans. */
export function isOwn(bytes: Uint8Array, start: number, end: number): boolean {
  return hasMember(bytes, start, end, OWN)
}

function hasMember(bytes: Uint8Array, start: number, end: number, member: Uint8Array): boolean {
  for (let at = start; at < end; ) {
    const stop = until(bytes, at, end, COMMA)
    const from = afterBlanks(bytes, at, stop)
    if (begins(bytes, from, stop, member) && afterBlanks(bytes, from + member.length, stop) === stop) return true
    at = stop + 1
  }
  return false
}

/**
 * The number of spans that a sampled one stands for: 2^56 / (2^56 − T), where T is the threshold in `ot=th:T`. 1 if
 * there is no threshold, or none that can be read.
 */
export function adjustedCount(bytes: Uint8Array, start: number, end: number): number {
  return FIELDS.read(bytes, start, end).adjustedCount
}

/**
 * The fields of the member "ot". If a member or a field occurs twice, the first wins; one that cannot be read is
 * absent.
 */
export class Fields {
  /** The threshold; -1 if there is none. */
  thresholdHigh = NONE
  thresholdLow = 0
  /** The random value; -1 if there is none. */
  randomHigh = NONE
  randomLow = 0
  #high = 0
  #low = 0

  read(bytes: Uint8Array, start: number, end: number): this {
    this.thresholdHigh = this.randomHigh = NONE
    this.thresholdLow = this.randomLow = 0
    if (end - start > LONGEST) return this
    for (let at = start; at < end; ) {
      const stop = until(bytes, at, end, COMMA)
      const from = afterBlanks(bytes, at, stop)
      if (begins(bytes, from, stop, OT)) {
        this.#member(bytes, from + OT.length, beforeBlanks(bytes, from, stop))
        break
      }
      at = stop + 1
    }
    return this
  }

  get adjustedCount(): number {
    if (this.thresholdHigh < 0) return 1
    // 2^56 − T in two exact halves: as one double it would be rounded where it matters most, near 2^56.
    return 2 ** 56 / ((2 ** 28 - this.thresholdHigh) * 2 ** 28 - this.thresholdLow)
  }

  #member(bytes: Uint8Array, start: number, end: number): void {
    let threshold = false
    let random = false
    for (let at = start; at < end; ) {
      const stop = until(bytes, at, end, SEMICOLON)
      if (!threshold && begins(bytes, at, stop, TH)) {
        threshold = true
        if (this.#digits(bytes, at + TH.length, stop)) {
          this.thresholdHigh = this.#high
          this.thresholdLow = this.#low
        }
      } else if (!random && begins(bytes, at, stop, RV)) {
        random = true
        if (stop - at === RV.length + DIGITS && this.#digits(bytes, at + RV.length, stop)) {
          this.randomHigh = this.#high
          this.randomLow = this.#low
        }
      }
      at = stop + 1
    }
  }

  /** Missing digits at the end are zeros: "8" is 0x80000000000000, which keeps every second span. */
  #digits(bytes: Uint8Array, start: number, end: number): boolean {
    if (end === start || end - start > DIGITS) return false
    let high = 0
    let low = 0
    for (let i = 0; i < DIGITS; i++) {
      const digit = start + i < end ? hexDigit(bytes[start + i]!) : 0
      if (digit < 0) return false
      if (i < DIGITS / 2) high = high * 16 + digit
      else low = low * 16 + digit
    }
    this.#high = high
    this.#low = low
    return true
  }
}

/**
 * The tracestate with another threshold, as up to 14 hex digits, or with none. The members of others stay as they are;
 * "ot" comes first, as a member that was changed must. Fields for which there is no room go, but neither `th` nor `rv`;
 * of more than 32 members the last ones go. A text without "=" is no member and is left out.
 */
export function withThreshold(
  bytes: Buffer,
  start: number,
  end: number,
  threshold: string | undefined,
): Buffer<ArrayBuffer> {
  // Byte by byte, so that what is not ASCII stays what it was.
  const text = end - start > LONGEST ? '' : bytes.toString('latin1', start, end)
  const members = text
    .split(',')
    .map(trimmed)
    .filter(member => member.includes('='))
  const own = members.find(member => member.startsWith('ot='))
  const others = members.filter(member => !member.startsWith('ot='))
  const fields = (own?.slice('ot='.length) ?? '').split(';').filter(each => each !== '' && !each.startsWith('th:'))
  const value = fitting(threshold === undefined ? [] : [`th:${threshold}`], fields).join(';')
  const all = value === '' ? others : [`ot=${value}`, ...others]
  return Buffer.from(all.slice(0, MEMBERS).join(','), 'latin1')
}

/** Without the blanks around it. A regular expression would take quadratic time for many blanks inside. */
function trimmed(member: string): string {
  let start = 0
  let end = member.length
  while (start < end && blank(member.charCodeAt(start))) start++
  while (end > start && blank(member.charCodeAt(end - 1))) end--
  return member.slice(start, end)
}

/** As many fields, in their order, as the value of "ot" has room for; what decides about sampling comes before the rest. */
function fitting(first: readonly string[], fields: readonly string[]): string[] {
  const random = fields.findIndex(each => each.startsWith('rv:'))
  const vital = /^rv:[0-9a-f]{14}$/.test(fields[random] ?? '') ? random : -1
  let room = LONGEST_VALUE + 1
  for (const each of vital < 0 ? first : [...first, fields[vital]!]) room -= each.length + 1
  const kept = fields.filter((each, i) => {
    if (i === vital) return true
    if (each.length + 1 > room) return false
    room -= each.length + 1
    return true
  })
  return [...first, ...kept]
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  if (byte >= 0x61 && byte <= 0x66) return byte - 0x57
  return -1
}

/** Whether the bytes between the two offsets end with the text. */
export function ends(bytes: Uint8Array, start: number, end: number, text: Uint8Array): boolean {
  return begins(bytes, Math.max(start, end - text.length), end, text)
}

/** Whether the bytes between the two offsets begin with the text. */
function begins(bytes: Uint8Array, start: number, end: number, text: Uint8Array): boolean {
  if (end - start < text.length) return false
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text[i]) return false
  return true
}

function until(bytes: Uint8Array, start: number, end: number, byte: number): number {
  let at = start
  while (at < end && bytes[at] !== byte) at++
  return at
}

function afterBlanks(bytes: Uint8Array, start: number, end: number): number {
  let at = start
  while (at < end && blank(bytes[at]!)) at++
  return at
}

function beforeBlanks(bytes: Uint8Array, start: number, end: number): number {
  let stop = end
  while (stop > start && blank(bytes[stop - 1]!)) stop--
  return stop
}

function blank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09
}

const COMMA = 0x2c
const SEMICOLON = 0x3b
const NONE = -1
const FIELDS = new Fields()
