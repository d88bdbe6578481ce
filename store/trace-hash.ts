// The hash of a trace id: of all its bytes, as nobody may be able to send many ids with one hash. Ids whose last or first bytes
// are all the same are ordinary besides: some generators put a time in front, and some a constant behind.

import { hashOfFour } from '../metrics/hash.ts'
import { word } from '../metrics/word.ts'

/** The hash of the 16 bytes at an offset. */
export function traceHash(id: Uint8Array, at: number): number {
  return hashOfFour(word(id, at), word(id, at + 4), word(id, at + 8), word(id, at + 12))
}
