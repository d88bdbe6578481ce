// Snappy's block format, which remote write demands; Node has no codec for it. Matches are found as in the reference
// implementation: one candidate for each hash of four bytes, in fragments of 64 KiB, so that an offset fits into two bytes.
// decision 21 says what it was measured against.
//
//   block   = varint (length of the plain bytes) element*
//   element = literal (tag 00, length, bytes) | copy (tag 01: length 4–11, 11 bits of offset; tag 10: length 1–64, 16 bits)
//
// github.com/google/snappy/blob/main/format_description.txt

import { putVarint } from '../../protobuf/varint.ts'

const FRAGMENT = 65_536
const HASH_BITS = 14
/** A match is not begun so near to the end of a fragment that four bytes could not be read at once. */
const MARGIN = 15

// Compressing is synchronous, so one table serves every block.
const table = new Uint16Array(1 << HASH_BITS)

/** The plain bytes as one block. */
export function compress(plain: Buffer): Buffer {
  // The most that a block can take (MaxCompressedLength).
  const block = Buffer.allocUnsafe(32 + plain.length + Math.floor(plain.length / 6))
  const view = new DataView(plain.buffer, plain.byteOffset, plain.length)
  let at = putVarint(block, 0, plain.length)
  for (let start = 0; start < plain.length; start += FRAGMENT)
    at = fragment(plain, view, start, Math.min(plain.length, start + FRAGMENT), block, at)
  return block.subarray(0, at)
}

function fragment(plain: Buffer, view: DataView, start: number, end: number, block: Buffer, from: number): number {
  let at = from
  /** Bytes before this are written. */
  let written = start
  const last = end - MARGIN
  if (last > start) {
    table.fill(0)
    let here = start + 1
    // After each 32 looks in vain, the next ones are further apart: bytes that cannot be compressed are passed quickly.
    let skip = 32
    while (here < last) {
      const four = view.getInt32(here, true)
      const cell = Math.imul(four, 0x1e35a7bd) >>> (32 - HASH_BITS)
      const match = start + table[cell]!
      table[cell] = here - start
      if (match >= here || view.getInt32(match, true) !== four) {
        here += skip++ >> 5
        continue
      }
      if (here > written) at = literal(plain, written, here, block, at)
      let length = 4
      while (here + length < end && plain[match + length] === plain[here + length]) length++
      at = copy(block, at, here - match, length)
      here += length
      written = here
      skip = 32
      if (here < last)
        table[Math.imul(view.getInt32(here - 1, true), 0x1e35a7bd) >>> (32 - HASH_BITS)] = here - 1 - start
    }
  }
  return written < end ? literal(plain, written, end, block, at) : at
}

function literal(plain: Buffer, start: number, end: number, block: Buffer, from: number): number {
  let at = from
  const rest = end - start - 1
  if (rest < 60) block[at++] = rest << 2
  else if (rest < 256) {
    block[at++] = 60 << 2
    block[at++] = rest
  } else {
    block[at++] = 61 << 2
    block[at++] = rest & 255
    block[at++] = rest >> 8
  }
  if (rest < 32) for (let i = start; i < end; i++) block[at++] = plain[i]!
  else at += plain.copy(block, at, start, end)
  return at
}

function copy(block: Buffer, from: number, offset: number, length: number): number {
  let at = from
  let left = length
  // No piece may be shorter than 4, since only a long copy may be.
  for (; left >= 68; left -= 64) at = long(block, at, offset, 64)
  if (left > 64) {
    at = long(block, at, offset, 60)
    left -= 60
  }
  if (left >= 12 || offset >= 2048) return long(block, at, offset, left)
  block[at++] = ((offset >> 8) << 5) | ((left - 4) << 2) | 1
  block[at++] = offset & 255
  return at
}

function long(block: Buffer, at: number, offset: number, length: number): number {
  block[at] = ((length - 1) << 2) | 2
  block[at + 1] = offset & 255
  block[at + 2] = offset >> 8
  return at + 3
}
