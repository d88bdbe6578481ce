// OTLP/JSON → the same request in protobuf, in one pass from bytes to bytes. No tree of objects is made, so memory and time
// are bounded by the body, 64-bit numbers keep every digit, and an error knows its byte and its field.
// https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding

import { MAX_DEPTH } from './field-check.ts'
import { Names, Scanner, Unreadable } from './json-scanner.ts'
import { type Field, MESSAGES, type Message, type Scalar } from './schema.ts'
import { TooLarge, Writer } from './writer.ts'

export type Transcoded =
  | { readonly ok: true; readonly bytes: Buffer }
  | { readonly ok: false; readonly reason: 'undecodable' | 'too_large'; readonly why: string }

/** `limit` bounds the protobuf, in bytes: an array of digits can be larger in protobuf than it was in JSON. */
export function transcode(json: Buffer, type: Message, limit: number): Transcoded {
  const transcoder = new Transcoder(json, limit)
  try {
    return { ok: true, bytes: transcoder.run(type) }
  } catch (error) {
    if (error instanceof TooLarge) return { ok: false, reason: 'too_large', why: error.message }
    if (!(error instanceof Unreadable)) throw error
    const path = transcoder.path.length > 0 ? `, in ${transcoder.path.join('.')}` : ''
    return { ok: false, reason: 'undecodable', why: `${error.message} at byte ${error.offset}${path}` }
  }
}

class Transcoder {
  /** The fields around the value at hand. */
  readonly path: string[] = []
  readonly #in: Scanner
  readonly #out: Writer

  constructor(json: Buffer, limit: number) {
    this.#in = new Scanner(json)
    this.#out = new Writer(json.length >> 1, limit)
  }

  run(type: Message): Buffer {
    this.#message(type, 0)
    this.#in.end()
    return this.#out.finish()
  }

  #message(type: Message, depth: number): void {
    if (depth > MAX_DEPTH) this.#in.fail(`more than ${MAX_DEPTH} messages inside each other`)
    const names = NAMES[type.index]!
    for (let more = this.#in.open(OBJECT); more; more = this.#in.another(OBJECT)) {
      const field = this.#in.key(names)
      // Unknown keys must be ignored; null is the same as absent.
      if (field === undefined) this.#in.skip()
      else if (!this.#in.null()) this.#field(field, depth)
    }
  }

  #field(field: Field, depth: number): void {
    this.path.push(field.name)
    if (!field.repeated) this.#value(field, depth)
    else
      for (let more = this.#in.open(ARRAY); more; more = this.#in.another(ARRAY))
        // A null is the default value of its type: JavaScript writes Infinity and NaN as null, and it costs that item at most.
        if (this.#in.null()) this.#default(field)
        else this.#value(field, depth)
    this.path.pop()
  }

  #value(field: Field, depth: number): void {
    const { number, scalar, message } = field
    if (message) {
      this.#out.tag(number, 2)
      const start = this.#out.begin()
      this.#message(message, depth + 1)
      this.#out.end(start)
    } else if (scalar) {
      this.#out.tag(number, WIRE[scalar])
      this.#scalar(scalar, field)
    }
  }

  /** An element that is null. Elements of arrays in OTLP are messages, texts and unsigned or floating-point numbers. */
  #default({ number, scalar, message }: Field): void {
    const wire = scalar ? WIRE[scalar] : 2
    this.#out.tag(number, wire)
    if (message || wire !== 1) this.#out.varint(0)
    else this.#out.fixed64(0, 0)
  }

  #scalar(scalar: Scalar, field: Field): void {
    const out = this.#out
    // Fast path: the numbers that there are most of.
    const digits = SIMPLE[scalar]
    if (digits !== undefined && this.#in.unsigned(digits)) {
      const { low, high } = this.#in
      if (scalar === 'fixed64') out.fixed64(low, high)
      else if (scalar === 'fixed32') out.fixed32(low)
      else out.varint64(low, high)
      return
    }
    switch (scalar) {
      case 'string': {
        const start = out.begin()
        this.#in.string(out)
        out.end(start)
        break
      }
      case 'bytes':
        this.#binary(base64(this.#in.text()), 'base64')
        break
      case 'id':
        this.#binary(hex(this.#in.text()), 'hex')
        break
      case 'bool':
        out.varint(this.#in.boolean() ? 1 : 0)
        break
      case 'double':
        out.double(this.#double())
        break
      case 'int32':
        this.#signed(this.#integer(-(2 ** 31), 2 ** 31 - 1, field))
        break
      case 'sint32': {
        const value = Number(this.#integer(-(2 ** 31), 2 ** 31 - 1, field))
        out.varint((value << 1) ^ (value >> 31))
        break
      }
      case 'uint32':
        out.varint(Number(this.#integer(0, 2 ** 32 - 1, field)))
        break
      case 'fixed32':
        out.fixed32(Number(this.#integer(0, 2 ** 32 - 1, field)))
        break
      case 'int64':
        this.#signed(this.#integer(-(2n ** 63n), 2n ** 63n - 1n, field))
        break
      case 'uint64': {
        const value = BigInt(this.#integer(0, 2n ** 64n - 1n, field))
        out.varint64(low(value), high(value))
        break
      }
      case 'fixed64': {
        const value = BigInt(this.#integer(0, 2n ** 64n - 1n, field))
        out.fixed64(low(value), high(value))
        break
      }
      case 'sfixed64': {
        const value = BigInt(this.#integer(-(2n ** 63n), 2n ** 63n - 1n, field))
        out.fixed64(low(value), high(value))
        break
      }
    }
  }

  #binary(text: string | undefined, encoding: 'hex' | 'base64'): void {
    if (text === undefined) this.#in.fail(`a text that is not ${encoding}`)
    const bytes = Buffer.from(text, encoding)
    this.#out.varint(bytes.length)
    this.#out.copy(bytes, 0, bytes.length)
  }

  #signed(value: number | bigint): void {
    const wide = BigInt(value)
    this.#out.varint64(low(wide), high(wide))
  }

  /** A whole number, written as a number or as a string; enums also by name. */
  #integer(min: number | bigint, max: number | bigint, { names }: Field): number | bigint {
    const text = this.#in.numberOrText()
    const value = names?.get(text) ?? whole(text)
    if (value === undefined) this.#in.fail('a value that is not a whole number')
    if (value < min || value > max) this.#in.fail('a whole number that is out of range')
    return value
  }

  #double(): number {
    const text = this.#in.numberOrText()
    if (text === 'NaN') return Number.NaN
    if (text === 'Infinity') return Number.POSITIVE_INFINITY
    if (text === '-Infinity') return Number.NEGATIVE_INFINITY
    const value = NUMBER.test(text) ? Number(text) : Number.NaN
    if (!Number.isFinite(value)) this.#in.fail('a value that is not a number within the range of doubles')
    return value
  }
}

const OBJECT = 0x7d
const ARRAY = 0x5d

const NAMES = MESSAGES.map(({ named }) => new Names(named))

/** The number of digits that is always within the range, for numbers whose encoding is that of their digits. */
const SIMPLE: Readonly<Partial<Record<Scalar, number>>> = {
  int32: 9,
  uint32: 9,
  int64: 18,
  uint64: 19,
  fixed32: 9,
  fixed64: 19,
}

const WIRE: Readonly<Record<Scalar, number>> = {
  string: 2,
  bytes: 2,
  id: 2,
  bool: 0,
  int32: 0,
  uint32: 0,
  sint32: 0,
  int64: 0,
  uint64: 0,
  fixed32: 5,
  fixed64: 1,
  sfixed64: 1,
  double: 1,
}

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

// Node decodes as much as it can and drops the rest silently, so both are validated before. Only what is forbidden is
// searched for: a pattern over the whole of a text of megabytes would exhaust the regular expression's stack.

function hex(text: string): string | undefined {
  return text.length % 2 === 0 && !/[^0-9a-fA-F]/.test(text) ? text : undefined
}

/** Standard or URL-safe, padded or not: protobuf's JSON mapping accepts all four. */
function base64(text: string): string | undefined {
  const digits = text.endsWith('==') ? text.length - 2 : text.endsWith('=') ? text.length - 1 : text.length
  if (digits % 4 === 1 || (digits < text.length && text.length % 4 !== 0)) return undefined
  return /[^\w+/-]/.test(text.slice(0, digits)) ? undefined : text
}

function whole(text: string): number | bigint | undefined {
  // At most 20 digits: BigInt takes seconds for millions of them.
  if (/^-?\d{1,15}$/.test(text)) return Number(text)
  if (/^-?\d{16,20}$/.test(text)) return BigInt(text)
  return NUMBER.test(text) ? fromDecimal(text) : undefined
}

/** "1e3", "5.0" and "1.7e18" are whole numbers too, and keep every digit. */
function fromDecimal(text: string): bigint | undefined {
  const [, sign = '', before = '', after = '', exponent = '0'] = DECIMAL.exec(text) ?? []
  const digits = (before + after).replace(/^0+/, '')
  const kept = digits.replace(/0+$/, '')
  if (kept === '') return 0n
  // The zeros after the last digit that counts; fewer than none is a fraction.
  const zeros = Number(exponent) - after.length + digits.length - kept.length
  if (zeros < 0) return undefined
  // Beyond 20 digits it is out of range, and what is out of range must be given so.
  if (kept.length + zeros > 20) return sign === '-' ? -BEYOND : BEYOND
  return BigInt(sign + kept) * 10n ** BigInt(zeros)
}

const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/
const BEYOND = 10n ** 20n

function low(value: bigint): number {
  return Number(BigInt.asUintN(32, value))
}

function high(value: bigint): number {
  return Number(BigInt.asUintN(32, value >> 32n))
}
