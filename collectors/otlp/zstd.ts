// zstd bodies (RFC 8878). A body may be several frames one after another, of which Node's decompressor returns the first and
// ignores the rest without an error; so the frames are told apart here, by their headers, and decompressed one by one.
//
//   body  = (frame | skippable)*      skippable = 0x184D2A50…5F, size (4), that many bytes     (all little-endian)
//   frame = 0xFD2FB528, descriptor (1), window (0 or 1), dictionary id (0, 1, 2, 4), content size (0, 1, 2, 4, 8),
//           (header (3): last 1 bit, type 2 bits, size 21 bits; content)*, checksum (0 or 4)

import { constants, type ZlibOptions, zstdDecompress, zstdDecompressSync } from 'node:zlib'
import { type Decoder, TOO_LARGE } from './decoder.ts'

interface Frame {
  readonly start: number
  readonly end: number
  /** The size of its content as it states it; undefined if it does not. */
  readonly claim: number | undefined
}

/** Clients send one; each costs a decompressor of its own. */
const MOST_FRAMES = 64
/** The window that a decompressor should support at least (RFC 8878, 3.1.1.1.2): 8 MiB. Larger ones cost as much memory. */
const PARAMS = { [constants.ZSTD_d_windowLogMax]: 23 }
const FRAME = 0xfd2fb528
const SKIPPABLE = 0x184d2a50
const RLE = 1
const RESERVED = 3

/** A decoder for this body, or undefined if it is not whole frames. */
export function zstd(body: Buffer): Decoder | undefined {
  const frames = framesOf(body)
  if (!frames) return undefined
  const [first] = frames
  const part = (bytes: Buffer, { start, end }: Frame) => bytes.subarray(start, end)
  return {
    claim: () => frames.reduce((sum, each) => sum + (each.claim ?? UNKNOWN), 0),
    // An RLE block makes 128 KiB of four bytes.
    ratio: 32_768,
    now(bytes, options) {
      if (frames.length === 1 && first) return zstdDecompressSync(part(bytes, first), zstdOptions(options, 0))
      const made: Buffer[] = []
      let length = 0
      for (const each of frames) {
        const output = zstdDecompressSync(part(bytes, each), zstdOptions(options, length))
        length += output.length
        if (length > most(options)) throw tooLarge()
        made.push(output)
      }
      return Buffer.concat(made, length)
    },
    later(bytes, options, done) {
      const made: Buffer[] = []
      let length = 0
      const next = (i: number): void => {
        const frame = frames[i]
        if (!frame) {
          done(null, made.length === 1 ? made[0]! : Buffer.concat(made, length))
          return
        }
        zstdDecompress(part(bytes, frame), zstdOptions(options, length), (error, output) => {
          length += output?.length ?? 0
          const fault = error ?? (length > most(options) ? tooLarge() : null)
          if (fault) {
            done(fault, NOTHING)
            return
          }
          made.push(output)
          next(i + 1)
        })
      }
      next(0)
    },
  }
}

/** The frames with content; undefined if the bytes are anything but whole frames, or too many. */
function framesOf(body: Buffer): readonly Frame[] | undefined {
  const frames: Frame[] = []
  let count = 0
  for (let at = 0; at < body.length; ) {
    if (at + 8 > body.length || ++count > MOST_FRAMES) return undefined
    const magic = body.readUInt32LE(at)
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE) {
      at += 8 + body.readUInt32LE(at + 4)
      if (at > body.length) return undefined
      continue
    }
    const frame = magic === FRAME ? frameAt(body, at) : undefined
    if (!frame) return undefined
    frames.push(frame)
    at = frame.end
  }
  return count === 0 ? undefined : frames
}

function frameAt(body: Buffer, start: number): Frame | undefined {
  const descriptor = body[start + 4]!
  const single = (descriptor & 0x20) !== 0
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >> 6]!
  const size = start + 5 + (single ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!
  let at = size + sizeBytes
  if (at > body.length) return undefined
  const claim = claimOf(body, size, sizeBytes)
  for (let last = false; !last; ) {
    if (at + 3 > body.length) return undefined
    const header = body.readUIntLE(at, 3)
    const type = (header >> 1) & 3
    if (type === RESERVED) return undefined
    last = (header & 1) !== 0
    at += 3 + (type === RLE ? 1 : header >> 3)
  }
  const end = at + ((descriptor & 4) !== 0 ? 4 : 0)
  return end > body.length ? undefined : { start, end, claim }
}

function claimOf(body: Buffer, at: number, bytes: number): number | undefined {
  switch (bytes) {
    case 1:
      return body[at]!
    case 2:
      return body.readUInt16LE(at) + 256
    case 4:
      return body.readUInt32LE(at)
    case 8:
      return Number(body.readBigUInt64LE(at))
    default:
      return undefined
  }
}

function zstdOptions(options: ZlibOptions, made: number): object {
  return { ...options, maxOutputLength: Math.max(1, most(options) - made), params: PARAMS }
}

function most({ maxOutputLength = Number.POSITIVE_INFINITY }: ZlibOptions): number {
  return maxOutputLength
}

function tooLarge(): Error {
  return Object.assign(new Error('the output is larger than allowed'), { code: TOO_LARGE })
}

/** The assumed size of a frame that does not say it (streaming encoders do not): small enough to be decompressed at once. */
const UNKNOWN = 512 * 1024
const NOTHING = Buffer.alloc(0)
