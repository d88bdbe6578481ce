import type { Checksum } from './positions.ts'

export function checksumOf(bytes: Buffer): Checksum {
  return { length: bytes.length, crc: process.getBuiltinModule('node:zlib').crc32(bytes) }
}
