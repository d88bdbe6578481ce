// The buffers that pages are written into. A buffer that its reader has taken is written again by the next page, or by the
// next part of the same one: new ones for each scrape were a fifth of its cost (row exposition).

export const PAGE_BYTES = 128 * 1024
/** Buffers kept for later, 1 MiB: what a scrape of any size holds while its reader keeps up. */
const KEPT = 8

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
