// The buffers that pages are written into. A buffer that its reader has taken is written again by the next page, or by the
// next part of the same one: new ones for each scrape were a fifth of its cost (row exposition).

export const PAGE_BYTES = 128 * 1024
/**
 * Buffers kept for later, 4 MiB. While its reader keeps up, a text page of any size holds less than one of them; a family in
 * protobuf is held as a whole, since its length stands before it.
 */
const KEPT = 32

export class Pool {
  readonly #free: Buffer[] = []

  /** A buffer of at least this many bytes, with anything in it. */
  take(bytes = PAGE_BYTES): Buffer {
    return (bytes <= PAGE_BYTES && this.#free.pop()) || Buffer.allocUnsafeSlow(Math.max(bytes, PAGE_BYTES))
  }

  /** Takes back a buffer, or the part of it that was written. Nobody may read it any longer, and nobody gives it twice. */
  give({ buffer }: Buffer): void {
    if (buffer.byteLength === PAGE_BYTES && this.#free.length < KEPT) this.#free.push(Buffer.from(buffer))
  }
}
