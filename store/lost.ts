// Remembers for a while which traces have lost spans, so that a trace that is shown with a part missing says so. Two notes take
// turns: each covers as many dropped spans as the ring holds.
//
// A dropped span costs one write: the hash of its trace goes behind the one before. A Bloom filter is made of these when
// somebody asks: it is larger than the processor's cache, and most notes are forgotten before anybody asks for them.

/** The most that the first question after a while has to enter in one turn of the event loop: about a millisecond. */
const MOST_WAITING = 65_536

export class Lost {
  #now: Note
  #before: Note

  /** `spans` is how many the ring holds. */
  constructor(spans: number) {
    this.#now = new Note(Math.ceil(spans))
    this.#before = new Note(Math.ceil(spans))
  }

  static readonly BYTES_PER_SPAN = 14

  add(hash: number): void {
    if (this.#now.add(hash)) return
    const old = this.#before
    this.#before = this.#now
    this.#now = old
    old.clear()
    old.add(hash)
  }

  /** True for all that were added lately; for one in a hundred others. */
  has(hash: number): boolean {
    return this.#now.has(hash) || this.#before.has(hash)
  }
}

class Note {
  readonly #hashes: Int32Array
  #size = 0
  readonly #filter: Int32Array
  readonly #shift: number
  /** How many of the hashes are in the filter. */
  #entered = 0

  constructor(hashes: number) {
    const bits = Math.max(1, Math.ceil(Math.log2(hashes / 2)))
    this.#hashes = new Int32Array(hashes)
    this.#filter = new Int32Array(2 ** bits)
    this.#shift = 32 - bits
  }

  /** False if there is no room. */
  add(hash: number): boolean {
    if (this.#size === this.#hashes.length) return false
    this.#hashes[this.#size++] = hash
    if (this.#size % MOST_WAITING === 0) this.#enter()
    return true
  }

  clear(): void {
    if (this.#entered > 0) this.#filter.fill(0)
    this.#size = this.#entered = 0
  }

  has(hash: number): boolean {
    this.#enter()
    const mixed = mix(hash)
    const bits = bitsOf(mixed)
    return (this.#filter[this.#wordOf(mixed)]! & bits) === bits
  }

  #enter(): void {
    for (; this.#entered < this.#size; this.#entered++) {
      const mixed = mix(this.#hashes[this.#entered]!)
      this.#filter[this.#wordOf(mixed)]! |= bitsOf(mixed)
    }
  }

  #wordOf(mixed: number): number {
    return Math.imul(mixed, 0x9e3779b1) >>> this.#shift
  }
}

function mix(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return mixed ^ (mixed >>> 12)
}

/** Three bits of one word: a second word would be a second miss of the cache. */
function bitsOf(mixed: number): number {
  return (1 << (mixed & 31)) | (1 << ((mixed >>> 5) & 31)) | (1 << ((mixed >>> 10) & 31))
}
