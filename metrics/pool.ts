// The buffers that pages are written into. When the reader has consumed a buffer, the next page, or the next part of
// the same page, reuses it: new buffers for each scrape were a fifth of its cost (row exposition).

export const PAGE_BYTES = 128 * 1024
/**
 * Free buffers kept, 4 MiB. While its reader keeps up, a text page of any size holds less than one buffer; a family in
 * protobuf is held as a whole, since its length comes first.
 */
const KEPT = 32

export class Pool {
  readonly #free: Buffer[] = []

  /** A buffer of at least this many bytes, with arbitrary contents. */
  take(bytes = PAGE_BYTES): Buffer {
    return (bytes <= PAGE_BYTES && this.#free.pop()) || Buffer.allocUnsafeSlow(Math.max(bytes, PAGE_BYTES))
  }

  /** Takes back a buffer, or the written part of it. It must not be read afterwards, nor given twice. */
  give({ buffer }: Buffer): void {
    if (buffer.byteLength === PAGE_BYTES && this.#free.length < KEPT) this.#free.push(Buffer.from(buffer))
  }
}
