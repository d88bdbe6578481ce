// The numbers of operations that were seen last, by their bytes: a table in which each operation has one place, and the newest
// one with that place stands there. A hit compares the bytes once, where the exact table hashes, copies and compares them; what
// is not found costs little more. Nobody gains by sending names that share a place: they only miss.
//
// The places are many and small, so that few operations share one, and the bytes of each operation stand at its number.
//
// Texts are compared by a fixed number of words of eight bytes, which overlap in a shorter text. To compare only as many as it
// has takes a branch that depends on the length, which the processor guesses wrong for most spans: that costs more than all the
// words. The words are read as doubles, since V8 has no other way to read eight bytes without an object: two that are equal,
// and not 0, are the same bytes. Texts with a word that is no number, or 0, are never found here: no real name has one.

import { LITTLE_ENDIAN } from '../../metrics/word.ts'

const PLACES_BITS = 13
/** Words of a name and of a peer that are kept; longer texts are not. */
const NAME_WORDS = 8
const PEER_WORDS = 4
const NONE = -1
const HEAD = 1
const STRIDE = HEAD + NAME_WORDS + PEER_WORDS

export class Newest {
  /** The number of the operation at each place. */
  readonly #places = new Uint16Array(1 << PLACES_BITS)
  /** For each number: service and kind, lengths of name and peer, then their words. Untouched pages take no memory. */
  readonly #words: Float64Array
  /** The same memory. */
  readonly #halves: Int32Array
  #place = NONE

  /** Numbers are below 2 ** 16, and this is the largest. */
  constructor(largest: number) {
    this.#words = new Float64Array((largest + 1) * STRIDE)
    this.#halves = new Int32Array(this.#words.buffer)
  }

  /** The number of the operation; 0 if it is not here. */
  find(owner: number, data: DataView, nameStart: number, nameEnd: number, peerStart: number, peerEnd: number): number {
    const words = this.#words
    const halves = this.#halves
    const length = nameEnd - nameStart
    const peer = peerEnd - peerStart
    this.#place = NONE
    if (length > 8 * NAME_WORDS || peer > 8 * PEER_WORDS) return 0
    let mixed = Math.imul(owner, 0x85ebca6b) ^ ((length << 8) | peer)
    if (length >= 4) {
      mixed = Math.imul(mixed ^ data.getInt32(nameEnd - 4, true), 0x9e3779b1)
      const middle = data.getInt32(nameStart + ((length - 4) >> 1), true)
      mixed = Math.imul(mixed ^ (mixed >>> 15) ^ middle, 0x9e3779b1)
    }
    const place = mixed >>> (32 - PLACES_BITS)
    this.#place = place
    const number = this.#places[place]!
    const at = number * STRIDE
    if (halves[2 * at] !== owner || halves[2 * at + 1] !== ((length << 16) | peer)) return 0
    if (!same(words, halves, at + HEAD, data, nameStart, nameEnd)) return 0
    return peer === 0 || same(words, halves, at + HEAD + NAME_WORDS, data, peerStart, peerEnd) ? number : 0
  }

  /** Whether an operation, whose number was found or kept here, has this peer. */
  goesTo(number: number, data: DataView, start: number, end: number): boolean {
    const at = number * STRIDE
    const peer = end - start
    if ((this.#halves[2 * at + 1]! & 0xffff) !== peer) return false
    return peer === 0 || same(this.#words, this.#halves, at + HEAD + NAME_WORDS, data, start, end)
  }

  /** Keeps the number of the operation that the last `find` did not find; false if its texts are too long. */
  keep(
    number: number,
    owner: number,
    data: DataView,
    nameStart: number,
    nameEnd: number,
    peerStart: number,
    peerEnd: number,
  ): boolean {
    if (this.#place < 0) return false
    this.#places[this.#place] = number
    const halves = this.#halves
    const at = number * STRIDE
    halves[2 * at] = owner
    halves[2 * at + 1] = ((nameEnd - nameStart) << 16) | (peerEnd - peerStart)
    this.#copy(at + HEAD, NAME_WORDS, data, nameStart, nameEnd)
    this.#copy(at + HEAD + NAME_WORDS, PEER_WORDS, data, peerStart, peerEnd)
    return true
  }

  clear(): void {
    this.#places.fill(0)
  }

  #copy(to: number, words: number, data: DataView, start: number, end: number): void {
    if (end - start >= 8)
      for (let i = 0; i < words; i++)
        this.#words[to + i] = data.getFloat64(Math.min(start + 8 * i, end - 8), LITTLE_ENDIAN)
    else {
      this.#halves[2 * to] = firstHalf(data, start, end)
      this.#halves[2 * to + 1] = lastHalf(data, start, end)
    }
  }
}

/** Whether a text, of the length of the one that is kept, is the same. */
function same(
  words: Float64Array,
  halves: Int32Array,
  kept: number,
  data: DataView,
  start: number,
  end: number,
): boolean {
  const length = end - start
  if (length < 8)
    return halves[2 * kept] === firstHalf(data, start, end) && halves[2 * kept + 1] === lastHalf(data, start, end)
  const stop = end - 8
  const few =
    equal(words[kept]!, data.getFloat64(start, LITTLE_ENDIAN)) &&
    equal(words[kept + 1]!, data.getFloat64(Math.min(start + 8, stop), LITTLE_ENDIAN)) &&
    equal(words[kept + 2]!, data.getFloat64(Math.min(start + 16, stop), LITTLE_ENDIAN)) &&
    equal(words[kept + 3]!, data.getFloat64(Math.min(start + 24, stop), LITTLE_ENDIAN))
  if (!few) return false
  for (let i = 4; 8 * i < length; i++)
    if (!equal(words[kept + i]!, data.getFloat64(Math.min(start + 8 * i, stop), LITTLE_ENDIAN))) return false
  return true
}

/** Whether two words of eight bytes are certainly the same: 0 is equal to −0, which has other bytes. */
function equal(one: number, other: number): boolean {
  return one === other && one !== 0
}

/** The first four bytes of a text of less than eight, or all if there are fewer, and its last four. */
function firstHalf(data: DataView, start: number, end: number): number {
  if (end - start >= 4) return data.getInt32(start, LITTLE_ENDIAN)
  let few = 0
  for (let at = start; at < end; at++) few = (few << 8) | data.getUint8(at)
  return few
}

function lastHalf(data: DataView, start: number, end: number): number {
  return end - start >= 4 ? data.getInt32(end - 4, LITTLE_ENDIAN) : 0
}
