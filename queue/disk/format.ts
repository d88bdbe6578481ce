// The files of the disk queue, version 1. All numbers are little-endian, and everything begins at a multiple of 8 bytes.
//
//   file    = head { record }
//   head    = "PILLIONQ"  u16 version  u16 length of the head  u32 flags  u64 created  u32 salt  u32 crc       32 bytes
//   record  = u32 marker  u32 length   u32 crc  u64 seq  u8 signal  u8 encoding  u8 compression  u8 flags
//             u32 items   u32 seconds since the file was created                                              32 bytes
//             payload     zeros up to a multiple of 8
//
// The crc of a head is over the 28 bytes before it. The crc of a record is over the head from `seq` on and the payload, and
// starts from the salt, a random number of the file: bytes inside a payload that look like a record are not one, since
// nobody who sends telemetry knows the salt. `created` is in milliseconds since the epoch. A later version with another
// head has a larger version number, and is left alone by this one.

import { crc32 } from 'node:zlib'
import type { Signal } from '../../telemetry/request.ts'

export const HEAD = 32
export const VERSION = 1
export const ALIGN = 8
/** A file is closed when it has reached this size. */
export const SEGMENT_BYTES = 16 * 1024 * 1024
/** The largest payload; a length above it is no length, and nothing is allocated for it. */
export const MOST_PAYLOAD = 16 * 1024 * 1024 + 1

const MAGIC = Buffer.from('PILLIONQ')
const MARK = 0x51_50_49_1e
/** The marker as it stands in a file. */
export const MARKER = Buffer.from([0x1e, 0x49, 0x50, 0x51])
const ZEROS = Buffer.alloc(ALIGN)

export const SIGNALS = ['traces', 'metrics', 'logs'] as const satisfies readonly Signal[]
export const ENCODINGS = ['protobuf', 'json'] as const
export const COMPRESSIONS = ['none', 'gzip'] as const

/** The fields of a record's head besides its length and checksum. */
export interface RecordHead {
  readonly seq: number
  readonly signal: Signal
  readonly encoding: (typeof ENCODINGS)[number]
  readonly compression: (typeof COMPRESSIONS)[number]
  readonly items: number
  /** Seconds since the file was created. */
  readonly seconds: number
}

export type FileHead =
  | { readonly kind: 'ok'; readonly created: number; readonly salt: number }
  | { readonly kind: 'newer'; readonly version: number }
  | { readonly kind: 'bad' }

/** The head of a file; `salt` is a random unsigned 32-bit number. */
export function fileHead(created: number, salt: number): Buffer {
  const head = Buffer.alloc(HEAD)
  MAGIC.copy(head)
  head.writeUInt16LE(VERSION, 8)
  head.writeUInt16LE(HEAD, 10)
  head.writeBigUInt64LE(BigInt(Math.max(0, Math.floor(created))), 16)
  head.writeUInt32LE(salt, 24)
  head.writeUInt32LE(crc32(head.subarray(0, 28)), 28)
  return head
}

export function readFileHead(bytes: Buffer): FileHead {
  if (bytes.length < HEAD || !bytes.subarray(0, 8).equals(MAGIC)) return { kind: 'bad' }
  if (bytes.readUInt32LE(28) !== crc32(bytes.subarray(0, 28))) return { kind: 'bad' }
  const version = bytes.readUInt16LE(8)
  if (version !== VERSION || bytes.readUInt16LE(10) !== HEAD) return { kind: 'newer', version }
  return { kind: 'ok', created: Number(bytes.readBigUInt64LE(16)), salt: bytes.readUInt32LE(24) }
}

/** Writes the head of a record at an offset of `target`. */
export function writeRecordHead(target: Buffer, at: number, head: RecordHead, payload: Buffer, salt: number): void {
  target.writeUInt32LE(MARK, at)
  target.writeUInt32LE(payload.length, at + 4)
  target.writeUInt32LE(head.seq % 2 ** 32, at + 12)
  target.writeUInt32LE(Math.floor(head.seq / 2 ** 32), at + 16)
  target[at + 20] = SIGNALS.indexOf(head.signal)
  target[at + 21] = ENCODINGS.indexOf(head.encoding)
  target[at + 22] = COMPRESSIONS.indexOf(head.compression)
  target[at + 23] = 0
  target.writeUInt32LE(head.items, at + 24)
  target.writeUInt32LE(Math.min(Math.max(0, Math.floor(head.seconds)), 2 ** 32 - 1), at + 28)
  target.writeUInt32LE(crc32(payload, crc32(target.subarray(at + 12, at + HEAD), salt)), at + 8)
}

/** The length of the payload that a head at this offset announces; undefined if no head is there. */
export function payloadLength(bytes: Buffer, at: number): number | undefined {
  if (bytes.readUInt32LE(at) !== MARK) return undefined
  const length = bytes.readUInt32LE(at + 4)
  return length <= MOST_PAYLOAD ? length : undefined
}

/** The head of the record at this offset; undefined if one of its values is none that this version writes. */
export function readRecordHead(bytes: Buffer, at: number): RecordHead | undefined {
  const high = bytes.readUInt32LE(at + 16)
  const signal = SIGNALS[bytes[at + 20]!]
  const encoding = ENCODINGS[bytes[at + 21]!]
  const compression = COMPRESSIONS[bytes[at + 22]!]
  // Beyond 2^53 numbers are not exact, and no queue comes to them.
  if (high >= 2 ** 21 || signal === undefined || encoding === undefined || compression === undefined) return undefined
  return {
    seq: high * 2 ** 32 + bytes.readUInt32LE(at + 12),
    signal,
    encoding,
    compression,
    items: bytes.readUInt32LE(at + 24),
    seconds: bytes.readUInt32LE(at + 28),
  }
}

/** Whether the checksum of the record at this offset, which lies in `bytes` as a whole, is right. */
export function intact(bytes: Buffer, at: number, length: number, salt: number): boolean {
  return bytes.readUInt32LE(at + 8) === crc32(bytes.subarray(at + 12, at + HEAD + length), salt)
}

/** The zeros that follow a payload of this length. */
export function padding(length: number): Buffer {
  return ZEROS.subarray(0, -length & (ALIGN - 1))
}

/** The bytes that a record with such a payload takes in a file. */
export function recordBytes(length: number): number {
  return HEAD + length + (-length & (ALIGN - 1))
}

/** The name of a file whose first record has this number. */
export function segmentName(seq: number): string {
  return `${seq.toString(16).padStart(16, '0')}.q`
}

export function isSegmentName(name: string): boolean {
  return /^[0-9a-f]{16}\.q$/.test(name)
}
