// Where a key stands in a table, so that nobody outside can send keys that fall on each other. A hash that multiplies and
// shifts does not do it, whatever its seed: some differences of two words always cancel, and 16 000 names that were made so,
// which fit into one request, took 21 seconds. This one is universal: each half word has a random factor of its own, and two keys
// meet with a probability of one in PRIME, whatever they are. It is as fast.
//
// Carter and Wegman, Universal classes of hash functions, 1979.

/** The longest key, in words. */
export const KEY_WORDS = 512

// All sums of products stay below 2 ** 53, and so exact.
const PRIME = 2 ** 26 - 5
// Nobody outside sees anything that is made from these, so they need not be cryptographic, which would load 3 MiB.
const factors = Float64Array.from({ length: 2 * KEY_WORDS }, () => Math.floor(Math.random() * PRIME))

/** 32 bits for the first words of a key; zeros at its end count. */
export function hash(words: Int32Array, length: number): number {
  let sum = length
  for (let i = 0; i < length; i++) {
    const each = words[i]!
    sum += factors[2 * i]! * (each & 0xffff) + factors[2 * i + 1]! * (each >>> 16)
  }
  // Keys that come in steps, as our own symbols do, leave remainders in steps; to mix them makes no two of them equal.
  let mixed = (sum - Math.floor(sum / PRIME) * PRIME) | 0
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}
