// The text of an attribute or a log body, as OpenTelemetry represents values where only texts are possible
// (specification/common: "AnyValue representation for non-OTLP protocols"): a string as it is, the rest as JSON, bytes as
// base64. The bytes have passed the check.
//
//   AnyValue := string 1 | bool 2 | int 3 | double 4 | array 5 { AnyValue* 1 } | kvlist 6 { KeyValue* 1 } | bytes 7

import { STRING } from '../telemetry/attribute.ts'
import { doubleOf, FIXED64, field, LENGTH, Reader, VARINT } from './wire.ts'

/** The text of the AnyValue between two offsets; what is longer than `limit` characters is cut. */
export function valueText(bytes: Buffer, start: number, end: number, limit = 4096): string {
  const out: Output = { text: '', limit }
  write(out, bytes, start, end, false)
  return out.text.length > limit ? out.text.slice(0, limit) : out.text
}

/** The text of an attribute's value as KeyValue and AttributeView give it. */
export function attributeText(bytes: Buffer, type: number, start: number, end: number, limit = 4096): string {
  if (type !== STRING) return valueText(bytes, start, end, limit)
  return bytes.toString('utf8', start, Math.min(end, start + 4 * limit)).slice(0, limit)
}

const MEMBERS: ReadonlySet<number> = new Set([
  field(1, LENGTH),
  field(2, VARINT),
  field(3, VARINT),
  field(4, FIXED64),
  field(5, LENGTH),
  field(6, LENGTH),
  field(7, LENGTH),
  // An index into a table of profiles: no value here, but the last member.
  field(8, VARINT),
])

/** Writing ends soon after the limit, so that a large value does not cost more than is shown of it. */
interface Output {
  text: string
  readonly limit: number
}

function write(out: Output, bytes: Buffer, start: number, end: number, nested: boolean): void {
  // If a oneof occurs more than once the last member wins.
  const value = new Reader().over(bytes, start, end)
  let [tag, from, to, low, high] = [0, 0, 0, 0, 0]
  while (value.next())
    // A field that is no member, or has another wire type than its own, is passed over.
    if (MEMBERS.has(value.tag)) [tag, from, to, low, high] = [value.tag, value.start, value.end, value.low, value.high]
  switch (tag) {
    case field(1, LENGTH): {
      const room = (out.limit - out.text.length) * 4
      const text = bytes.toString('utf8', from, Math.min(to, from + Math.max(0, room)))
      out.text += nested ? JSON.stringify(text) : text
      break
    }
    case field(2, VARINT):
      out.text += String(low !== 0 || high !== 0)
      break
    case field(3, VARINT):
      out.text += integer(low, high)
      break
    case field(4, FIXED64): {
      const number = doubleOf(low, high)
      out.text += nested && !Number.isFinite(number) ? `"${number}"` : String(number)
      break
    }
    case field(5, LENGTH):
      list(out, '[', ']', bytes, from, to, (start, end) => write(out, bytes, start, end, true))
      break
    case field(6, LENGTH):
      list(out, '{', '}', bytes, from, to, (start, end) => entry(out, bytes, start, end))
      break
    case field(7, LENGTH): {
      const text = bytes.toString('base64', from, Math.min(to, from + out.limit))
      out.text += nested ? `"${text}"` : text
      break
    }
    default:
      // An empty value.
      if (nested) out.text += 'null'
  }
}

function list(
  out: Output,
  open: string,
  close: string,
  bytes: Buffer,
  start: number,
  end: number,
  each: (start: number, end: number) => void,
): void {
  out.text += open
  let first = true
  for (const values = new Reader().over(bytes, start, end); values.next() && out.text.length < out.limit; ) {
    if (values.tag !== field(1, LENGTH)) continue
    if (!first) out.text += ','
    first = false
    each(values.start, values.end)
  }
  out.text += close
}

function entry(out: Output, bytes: Buffer, start: number, end: number): void {
  const pair = new Reader().over(bytes, start, end)
  let [keyStart, keyEnd, valueStart, valueEnd] = [0, 0, 0, 0]
  while (pair.next())
    if (pair.tag === field(1, LENGTH)) [keyStart, keyEnd] = [pair.start, pair.end]
    else if (pair.tag === field(2, LENGTH)) [valueStart, valueEnd] = [pair.start, pair.end]
  out.text += `${JSON.stringify(bytes.toString('utf8', keyStart, Math.min(keyEnd, keyStart + out.limit)))}:`
  write(out, bytes, valueStart, valueEnd, true)
}

function integer(low: number, high: number): string {
  const number = (high | 0) * 0x100000000 + low
  if (Number.isSafeInteger(number)) return String(number)
  return String(BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low)))
}
