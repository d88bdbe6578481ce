// Builds protobuf by hand, so that a test can say exactly which bytes come in.

export function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return Buffer.from([...bytes, rest])
}

/** A length-delimited field: text, bytes, or a message made of fields. */
export function ld(number: number, ...parts: readonly (Buffer | string)[]): Buffer {
  const body = Buffer.concat(parts.map(part => (typeof part === 'string' ? Buffer.from(part) : part)))
  return Buffer.concat([varint(number * 8 + 2), varint(body.length), body])
}

export function number(field: number, value: number): Buffer {
  return Buffer.concat([varint(field * 8), varint(value)])
}

export function fixed64(field: number, value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt.asUintN(64, value))
  return Buffer.concat([varint(field * 8 + 1), bytes])
}

export function double(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return Buffer.concat([varint(field * 8 + 1), bytes])
}

export function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex')
}

/** A KeyValue in field `field` of what holds it; spans hold their attributes in field 9, resources in field 1. */
export function attribute(field: number, key: string, value: string): Buffer {
  return ld(field, ld(1, key), ld(2, ld(1, value)))
}

export const TID = ld(1, Buffer.alloc(16, 0xab))
export const SID = ld(2, Buffer.alloc(8, 0xcd))

/** A request with one span that consists of these fields. */
export function request(...span: readonly Buffer[]): Buffer {
  return ld(1, ld(2, ld(2, ...span)))
}

/** A request with a resource and spans. */
export function traces(resource: readonly Buffer[], ...spans: readonly Buffer[]): Buffer {
  return ld(1, ld(1, ...resource), ld(2, ...spans.map(span => ld(2, span))))
}

export const START = 1_700_000_000_000_000_000n

/** The fields of an ordinary span. */
export function span(name: string, ...more: readonly Buffer[]): Buffer {
  const times = [fixed64(7, START), fixed64(8, START + 250_000_000n)]
  return Buffer.concat([TID, SID, ld(5, name), number(6, 2), ...times, ...more])
}

/** AnyValue (field 2 of a KeyValue) with key-value lists inside each other. */
export function nestedList(depth: number): Buffer {
  return nested(depth, [0x32, 0x0a, 0x12])
}

export function nestedArray(depth: number): Buffer {
  return nested(depth, [0x2a, 0x0a])
}

function nested(depth: number, tags: readonly number[]): Buffer {
  // From the inside out, collecting heads only: copying the inner part at each level would take quadratic time.
  const heads: Buffer[] = []
  let length = 0
  const wrap = (tag: number) => {
    const head = Buffer.concat([Buffer.from([tag]), varint(length)])
    heads.push(head)
    length += head.length
  }
  for (let i = 0; i < depth; i++) for (const tag of tags.toReversed()) wrap(tag)
  wrap(0x12)
  return Buffer.concat(heads.toReversed())
}

/** A request of as many spans of one name, whose bytes do not fit into one packet when they are many. */
export function many(name: string, count: number): Buffer {
  return traces([attribute(1, 'service.name', name)], ...Array.from({ length: count }, () => span(name)))
}
