// Protobuf to JSON in two forms. Tempo answers what Go's jsonpb writes: 64-bit numbers are strings, enums are names, ids and
// bytes are base64, and empty fields are left out. OTLP/JSON differs in two things: ids are hexadecimal, and enums numbers.

import type { Field, Message } from '../../otlp/schema.ts'
import { Reader } from '../../otlp/wire.ts'

export type Form = 'tempo' | 'otlp'

/** The JSON of the message between two offsets, which has passed the check. */
export function json(bytes: Buffer, message: Message, start = 0, end = bytes.length, form: Form = 'tempo'): string {
  let text = '{'
  const reader = new Reader()
  /** Members of the object by field, in the order of the message; elements of a repeated field are joined. */
  const members = new Map<Field, string[]>()
  for (reader.over(bytes, start, end); reader.next(); ) {
    const field = message.fields.find(each => each.number === reader.tag >>> 3)
    if (!field) continue
    const value = one(bytes, field, reader, form)
    if (value === undefined) continue
    const known = members.get(field)
    if (!known) members.set(field, [value])
    else if (field.repeated) known.push(value)
    // Pieces of a message would have to be merged; where it matters (Resource, Scope, Status) only the empty pieces that
    // reframe.ts appends occur in pieces.
    else if (!field.message) known[0] = value
    else if (value !== '{}') known[0] = known[0] === '{}' ? value : `${known[0]!.slice(0, -1)},${value.slice(1)}`
  }
  for (const field of message.fields) {
    const values = members.get(field)
    if (!values) continue
    text += `${text === '{' ? '' : ','}"${camel(field.name)}":${field.repeated ? `[${values.join(',')}]` : values[0]}`
  }
  return `${text}}`
}

/** Undefined for a value that jsonpb leaves out, which members of a oneof never are. */
function one(bytes: Buffer, field: Field, reader: Reader, form: Form): string | undefined {
  const wire = reader.tag & 7
  const always = field.name.endsWith('_value')
  if (field.message) return wire === 2 ? json(bytes, field.message, reader.start, reader.end, form) : undefined
  const { low, high } = reader
  switch (field.scalar) {
    case 'string': {
      if (wire !== 2 || (reader.start === reader.end && !always)) return undefined
      return JSON.stringify(bytes.toString('utf8', reader.start, reader.end))
    }
    case 'bytes':
    case 'id':
      if (wire !== 2 || (reader.start === reader.end && !always)) return undefined
      return `"${bytes.toString(form === 'otlp' && field.scalar === 'id' ? 'hex' : 'base64', reader.start, reader.end)}"`
    case 'bool':
      return low === 0 && high === 0 && !always ? undefined : String(low !== 0 || high !== 0)
    case 'double':
      return double(reader.double)
    case 'int64':
    case 'sfixed64':
      return low === 0 && high === 0 && !always ? undefined : `"${whole(low, high, true)}"`
    case 'uint64':
    case 'fixed64':
      return low === 0 && high === 0 && !always ? undefined : `"${whole(low, high, false)}"`
    case 'sint32':
      return low === 0 ? undefined : String(reader.zigzag)
    case 'int32': {
      const number = reader.int32
      if (number === 0) return undefined
      if (!field.names || form === 'otlp') return String(number)
      const name = [...field.names].find(([, value]) => value === number)?.[0]
      return name === undefined ? String(number) : `"${name}"`
    }
    case 'uint32':
    case 'fixed32':
      return low === 0 ? undefined : String(low)
    case undefined:
      return undefined
  }
}

function whole(low: number, high: number, signed: boolean): string {
  const number = (signed ? high | 0 : high) * 0x100000000 + low
  if (Number.isSafeInteger(number)) return String(number)
  const exact = (BigInt(high) << 32n) | BigInt(low)
  return String(signed ? BigInt.asIntN(64, exact) : exact)
}

/** JSON has no NaN and no infinity. */
export function double(value: number): string {
  return Number.isFinite(value) ? String(value) : `"${value}"`
}

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
