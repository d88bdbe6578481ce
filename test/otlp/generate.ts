// Random OTLP requests: well-formed ones in every legal shape that protobuf allows, and mutations of them.

import { type Field, type Message, message } from '../../otlp/schema.ts'
import { numbers } from '../random.ts'
import { hex, ld, varint } from './requests.ts'

/** A small random generator (mulberry32): the same seed gives the same requests on every machine. */
export class Random {
  readonly #next: () => number
  constructor(seed: number) {
    this.#next = numbers(seed)
  }

  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    return (this.#next() * 2 ** 32) % limit
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0
  }

  pick<Value>(values: readonly Value[]): Value {
    return values[this.below(values.length)]!
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)))
  }
}

export type Signal = 'traces' | 'metrics' | 'logs'

export const REQUEST: Readonly<Record<Signal, Message>> = {
  traces: message('TracesRequest'),
  metrics: message('MetricsRequest'),
  logs: message('LogsRequest'),
}

/** A well-formed request. `pieces`: fields that are not repeated may occur twice. */
export function generate(random: Random, signal: Signal, pieces = true): Buffer {
  return fields(random, REQUEST[signal], 0, pieces)
}

/** The same request, changed in one to four places: most are no longer well-formed. */
export function mutate(random: Random, request: Buffer): Buffer {
  let bytes = Buffer.from(request)
  for (let i = 1 + random.below(4); i > 0 && bytes.length > 0; i--) {
    const at = random.below(bytes.length)
    const length = random.below(Math.min(8, bytes.length - at)) + 1
    switch (random.below(6)) {
      case 0:
        bytes[at]! ^= 1 << random.below(8)
        break
      case 1:
        bytes[at] = random.pick([0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x12, 0x7b, 0x7c, 0x0b, 0x0c, 0x09, 0x0d])
        break
      case 2:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])
        break
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), random.bytes(length), bytes.subarray(at)])
        break
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at)])
        break
      default:
        bytes = bytes.subarray(0, random.once(3) ? at : bytes.length)
    }
  }
  return bytes
}

function fields(random: Random, type: Message, depth: number, pieces: boolean): Buffer {
  const parts: Buffer[] = []
  for (const field of type.fields) {
    if (!wanted(random, type, field, depth)) continue
    // Now and then twice: the last one holds, messages are merged.
    const count = field.repeated ? random.below(4) : random.once(12) && pieces ? 2 : 1
    if (field.repeated && packable(field) && random.once(2)) parts.push(packed(random, field, count))
    else for (let i = 0; i < count; i++) parts.push(value(random, type, field, depth, pieces))
  }
  if (random.once(15)) parts.push(unknown(random))
  // Fields may come in any order, and repeated ones keep theirs only among themselves.
  if (random.once(4)) for (let i = parts.length - 1; i > 0; i--) swap(parts, i, random.below(i + 1))
  return Buffer.concat(parts)
}

function wanted(random: Random, type: Message, { name, message }: Field, depth: number): boolean {
  if (['trace_id', 'span_id'].includes(name)) return !random.once(25)
  if (['resource_spans', 'scope_spans', 'spans', 'key', 'value'].includes(name)) return !random.once(25)
  if (type.name === 'AnyValue') return random.once(message ? (depth > 12 ? 100 : 12) : 4)
  return random.once(message ? 3 : 2)
}

function value(random: Random, type: Message, field: Field, depth: number, pieces: boolean): Buffer {
  if (random.once(60)) return wrongType(random, field)
  if (field.message) {
    const body = fields(random, field.message, depth + 1, pieces)
    return delimited(random, field.number, body)
  }
  const tag = (wire: number) => spelled(random, field.number * 8 + wire)
  switch (field.scalar) {
    case 'string':
      return delimited(random, field.number, text(random, type, field))
    case 'bytes':
      return delimited(random, field.number, random.bytes(random.below(6)))
    case 'id':
      return delimited(random, field.number, id(random, field))
    case 'fixed32':
      return Buffer.concat([tag(5), random.bytes(4)])
    case 'fixed64':
    case 'sfixed64':
    case 'double':
      return Buffer.concat([tag(1), eight(random, field)])
    default:
      return Buffer.concat([tag(0), number(random)])
  }
}

function text(random: Random, type: Message, field: Field): Buffer {
  if (type.name === 'KeyValue') return Buffer.from(random.pick(KEYS))
  if (random.once(40)) return random.bytes(random.below(200))
  return Buffer.from(random.pick(['', 'a', 'GET /cart', 'ä😀', field.name, 'x'.repeat(130)]))
}

const KEYS = ['service.name', 'http.route', 'http.response.status_code', 'http.routf', 'k', '', 'x'.repeat(140)]

function id(random: Random, { name }: Field): Buffer {
  const length = name === 'trace_id' ? 16 : 8
  if (random.once(15)) return Buffer.alloc(random.pick([0, 1, length - 1, length, length + 1]), random.below(2))
  return random.bytes(length)
}

function eight(random: Random, { name, scalar }: Field): Buffer {
  const bytes = random.once(8) ? random.bytes(8) : Buffer.alloc(8)
  if (scalar === 'double') bytes.writeDoubleLE(random.pick([0, -1.5, 1e300, Number.NaN, Number.NEGATIVE_INFINITY]))
  else if (name.includes('time'))
    bytes.writeBigUInt64LE(1_700_000_000_000_000_000n + BigInt(random.below(2 ** 32)) * BigInt(random.below(16)))
  return bytes
}

function number(random: Random): Buffer {
  const small = random.below(random.pick([2, 6, 300, 2 ** 32]))
  if (random.once(10)) return hex('ffffffffffffffffff01')
  return random.once(20) ? padded(varint(small), random.below(3)) : varint(small)
}

/** A number in more bytes than it needs, which is legal up to ten. */
function padded(bytes: Buffer, more: number): Buffer {
  if (more === 0) return bytes
  const longer = Buffer.concat([bytes, Buffer.alloc(more, 0x80)])
  longer[bytes.length - 1]! |= 0x80
  longer[longer.length - 1] = 0
  return longer
}

function spelled(random: Random, tag: number): Buffer {
  return random.once(60) ? padded(varint(tag), 1 + random.below(2)) : varint(tag)
}

function delimited(random: Random, number: number, body: Buffer): Buffer {
  const length = random.once(60) ? padded(varint(body.length), 1 + random.below(2)) : varint(body.length)
  return Buffer.concat([spelled(random, number * 8 + 2), length, body])
}

function wrongType(random: Random, { number }: Field): Buffer {
  const wire = random.pick([0, 1, 2, 5])
  const body = [varint(7), random.bytes(8), ld(1, 'x').subarray(1), Buffer.alloc(0), Buffer.alloc(0), random.bytes(4)]
  return Buffer.concat([varint(number * 8 + wire), body[wire]!])
}

function unknown(random: Random): Buffer {
  return random.pick([
    hex('7b08017c'),
    hex('7b0b1203616263 0c 7c'),
    ld(77, random.bytes(3)),
    Buffer.concat([varint(99 * 8), varint(random.below(1000))]),
    hex('f9ffffff0f0000000000000000'),
  ])
}

function packable({ scalar }: Field): boolean {
  return scalar === 'fixed64' || scalar === 'double' || scalar === 'uint64'
}

function packed(random: Random, field: Field, count: number): Buffer {
  const one = () => (field.scalar === 'uint64' ? number(random) : eight(random, field))
  return ld(field.number, ...Array.from({ length: count }, one))
}

function swap(parts: Buffer[], a: number, b: number): void {
  const kept = parts[a]!
  parts[a] = parts[b]!
  parts[b] = kept
}
