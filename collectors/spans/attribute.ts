// Attribute values that are not texts, as label values. They are the AnyValue message's bytes
// (opentelemetry/proto/common/v1/common.proto):
//
//   AnyValue := string 1 | bool 2 varint | int 3 varint | double 4 fixed64 | array 5 | kvlist 6 | bytes 7

/**
 * The text of a bool, int or double AnyValue; "" for arrays, maps and bytes, which have no sensible label value. If the
 * message holds several, the last one counts, as protobuf has it for a oneof.
 */
export function attributeText(bytes: Buffer, start: number, end: number): string {
  let text = ''
  for (let at = start; at < end; ) {
    const tag = bytes[at++]!
    if (tag === 0x10 || tag === 0x18) {
      const [value, next] = varint(bytes, at)
      text = tag === 0x10 ? String(value !== 0n) : String(BigInt.asIntN(64, value))
      at = next
    } else if (tag === 0x21) {
      text = String(bytes.readDoubleLE(at))
      at += 8
    } else {
      return ''
    }
  }
  return text
}

function varint(bytes: Buffer, start: number): [bigint, number] {
  let value = 0n
  for (let at = start, shift = 0n; ; shift += 7n) {
    const byte = bytes[at++]!
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return [value, at]
  }
}
