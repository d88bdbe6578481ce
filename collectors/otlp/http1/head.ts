// Reads the heads of ordinary requests: POST to one of the three paths, with a declared length, and without a field that asks
// for more than to take the body. Only heads that every parser reads alike are accepted; any other is left to `node:http`.
//
//   head = "POST /v1/" ( "traces" / "metrics" / "logs" ) " HTTP/1.1" CRLF *( name ":" value CRLF ) CRLF      (RFC 9112)

import { HOPS_HEADER } from '../../../telemetry/hops.ts'
import type { Signal } from '../../../telemetry/request.ts'
import type { Coding } from '../inflate.ts'
import type { Encoding } from '../status.ts'

/** The facts in a head, apart from the length of the body. */
export interface Head {
  readonly signal: Signal
  readonly encoding: Encoding
  readonly coding: Coding | undefined
  /** The header that sidecars send. */
  readonly hops: string | undefined
}

/** As for `node:http`. */
const MOST_BYTES = 16_384
const MOST_FIELDS = 100

export class HeadReader {
  // The head that was read last.
  head: Head | undefined
  /** Bytes of the body. */
  length = 0
  /** Where the body begins in the chunk. */
  end = 0
  // The bytes before and behind the digits of its Content-Length: an exporter sends the same ones with each request.
  #before = NOTHING
  #after = NOTHING

  /** Reads the head at the beginning of a chunk. False if it is not an ordinary one, or not there as a whole. */
  read(chunk: Buffer): boolean {
    return this.#again(chunk) || this.#first(chunk)
  }

  /** Fast path: the same head, with another length. */
  #again(chunk: Buffer): boolean {
    const before = this.#before
    const after = this.#after
    if (before.length === 0 || chunk.length < before.length + MOST_DIGITS + after.length) return false
    for (let i = 0; i < before.length; i++) if (chunk[i] !== before[i]) return false
    let at = before.length
    let length = 0
    for (; at < before.length + MOST_DIGITS; at++) {
      const digit = chunk[at]! - ZERO
      if (digit < 0 || digit > 9) break
      length = 10 * length + digit
    }
    if (at === before.length) return false
    for (let i = 0; i < after.length; i++) if (chunk[at + i] !== after[i]) return false
    this.length = length
    this.end = at + after.length
    return true
  }

  #first(chunk: Buffer): boolean {
    const size = chunk.subarray(0, MOST_BYTES).indexOf(END)
    if (size < 0) return false
    const lines = chunk.toString('latin1', 0, size).split('\r\n')
    const signal = SIGNALS.get(lines[0]!)
    if (!signal || lines.length - 1 > MOST_FIELDS) return false
    const values = new Map<string, string>()
    let at = lines[0]!.length + 2
    let digitsAt = 0
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(':')
      const name = line.slice(0, colon).toLowerCase()
      const raw = line.slice(colon + 1)
      if (colon < 1 || !NAME.test(name) || !VALUE.test(raw) || SPECIAL.has(name)) return false
      if (READ.has(name)) {
        // Parsers differ in what they do with a field that comes twice.
        if (values.has(name)) return false
        values.set(name, raw.trim())
      }
      if (name === 'content-length') digitsAt = at + colon + 1 + raw.length - raw.trimStart().length
      at += line.length + 2
    }
    const digits = values.get('content-length') ?? ''
    const encoding = ENCODINGS.get(values.get('content-type') ?? '')
    const coding = values.get('content-encoding') ?? 'identity'
    const connection = values.get('connection') ?? 'keep-alive'
    if (!values.has('host') || !encoding || !DIGITS.test(digits)) return false
    if (!CODINGS.has(coding) || connection.toLowerCase() !== 'keep-alive') return false
    this.head = { signal, encoding, coding: CODINGS.get(coding), hops: values.get(HOPS_HEADER) }
    this.length = Number(digits)
    this.end = size + END.length
    // A copy: the chunk is used again.
    this.#before = Buffer.from(chunk.subarray(0, digitsAt))
    this.#after = Buffer.from(chunk.subarray(digitsAt + digits.length, this.end))
    return true
  }
}

const NOTHING: Buffer = Buffer.alloc(0)
const END = Buffer.from('\r\n\r\n')
const ZERO = 0x30
const MOST_DIGITS = 9
const DIGITS = /^\d{1,9}$/
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
const VALUE = /^[\t -~]*$/

const SIGNALS: ReadonlyMap<string, Signal> = new Map([
  ['POST /v1/traces HTTP/1.1', 'traces'],
  ['POST /v1/metrics HTTP/1.1', 'metrics'],
  ['POST /v1/logs HTTP/1.1', 'logs'],
])

const ENCODINGS: ReadonlyMap<string, Encoding> = new Map([
  ['application/x-protobuf', 'protobuf'],
  ['application/json', 'json'],
])

const CODINGS: ReadonlyMap<string, Coding | undefined> = new Map([
  ['identity', undefined],
  ['gzip', 'gzip'],
  ['zstd', 'zstd'],
])

/** The fields that are read here. */
const READ: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'content-type',
  'content-encoding',
  'connection',
  HOPS_HEADER,
])

/** Fields that change how a request is read or answered. */
const SPECIAL: ReadonlySet<string> = new Set([
  'transfer-encoding',
  'expect',
  'upgrade',
  'trailer',
  'te',
  'origin',
  'proxy-connection',
])
