// The answer to a scrape: the contract between the exposition and the web server that delivers it.

import type { Format } from '../metrics/format.ts'

/** The exposition that a scraper has asked for. */
export interface Asked {
  readonly format: Format
  /** The time that it waits, in milliseconds from now on; undefined if unknown. */
  readonly ms?: number | undefined
}

export interface Exposition {
  readonly contentType: string
  /**
   * The body in order. It is shared with other scrapes, so its chunks must not be modified. An iterable is written while it
   * is read: it can be read once, and a reader that begins must read to the end or return.
   */
  readonly chunks: readonly Buffer[] | AsyncIterable<Buffer>
  /** Takes back a chunk that is no longer read. Optional: without it the chunk is left to the garbage collector. */
  release?(chunk: Buffer): void
}
