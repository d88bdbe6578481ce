// The contract of a way to decompress a body.

import type { ZlibOptions } from 'node:zlib'

/** One way to decompress a body. */
export interface Decoder {
  /** The size of the result as the sender states it; 0 if unknown. */
  claim(body: Buffer): number
  /** The most bytes that one can become; a larger claim is wrong. */
  readonly ratio: number
  now(body: Buffer, options: ZlibOptions): Buffer
  later(body: Buffer, options: ZlibOptions, done: (error: Error | null, output: Buffer) => void): void
}

/** The code of zlib's error for an output that is larger than allowed. */
export const TOO_LARGE = 'ERR_BUFFER_TOO_LARGE'
