// What a span's tracestate tells: whether its trace is one of our own probes, and how many spans it stands for when the
// application samples. It is read in place, without making text of it.
//
//   tracestate = member ("," member)*, blanks around members allowed    member = key "=" value      (w3.org/TR/trace-context)
//   value of "ot" = field (";" field)*    field = "th:" 1–14 hex digits | …
//                                          (opentelemetry.io/docs/specs/otel/trace/tracestate-handling)

/** Sent along with every health probe; an SDK hands it on to every span below. */
const PROBE = Buffer.from('pillion=probe')
const OT = Buffer.from('ot=')
const TH = Buffer.from('th:')

/** Whether one member of the tracestate is our probes'. */
export function ofProbe(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; ) {
    const stop = until(bytes, at, end, COMMA)
    const from = afterBlanks(bytes, at, stop)
    if (begins(bytes, from, stop, PROBE) && afterBlanks(bytes, from + PROBE.length, stop) === stop) return true
    at = stop + 1
  }
  return false
}

/**
 * How many spans a sampled one stands for: 2^56 / (2^56 − T), where T is the threshold in `ot=th:T`. 1 if there is no
 * threshold, or none that can be read.
 */
export function adjustedCount(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; at < end; ) {
    const stop = until(bytes, at, end, COMMA)
    const from = afterBlanks(bytes, at, stop)
    if (begins(bytes, from, stop, OT)) return fromFields(bytes, from + OT.length, stop)
    at = stop + 1
  }
  return 1
}

function fromFields(bytes: Uint8Array, start: number, end: number): number {
  for (let at = start; at < end; ) {
    const stop = until(bytes, at, end, SEMICOLON)
    if (begins(bytes, at, stop, TH)) return fromThreshold(bytes, at + TH.length, stop)
    at = stop + 1
  }
  return 1
}

/** Digits that are left out at the end are zeros: "8" is 0x80000000000000, which keeps every second span. */
function fromThreshold(bytes: Uint8Array, start: number, end: number): number {
  let stop = end
  while (stop > start && blank(bytes[stop - 1]!)) stop--
  if (stop === start || stop - start > 14) return 1
  // 2^56 − T in two exact halves: as one double it would be rounded where it matters most, near 2^56.
  let high = 0
  let low = 0
  for (let i = 0; i < 14; i++) {
    const digit = start + i < stop ? hexDigit(bytes[start + i]!) : 0
    if (digit < 0) return 1
    if (i < 7) high = high * 16 + digit
    else low = low * 16 + digit
  }
  return 2 ** 56 / ((2 ** 28 - high) * 2 ** 28 - low)
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  if (byte >= 0x61 && byte <= 0x66) return byte - 0x57
  return -1
}

/** Whether the bytes between the two offsets begin with the text. */
export function begins(bytes: Uint8Array, start: number, end: number, text: Uint8Array): boolean {
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

function blank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09
}

const COMMA = 0x2c
const SEMICOLON = 0x3b
