// The hash of a key in a table. It must be impossible to send keys that collide. A hash that multiplies and shifts
// cannot ensure this with any seed: some differences of two words always cancel, and 16 000 names made that way,
// which fit into one request, took 21 seconds. This hash is universal: each half word has its own random factor, and
// any two keys collide with a probability of one in PRIME. It is as fast.
//
// Carter and Wegman, Universal classes of hash functions, 1979.

/** The longest key, in words. */
export const KEY_WORDS = 512

// All sums of products stay below 2 ** 53, so they are exact.
const PRIME = 2 ** 26 - 5
/** To multiply takes a quarter of the time that dividing takes. */
const INVERSE = 1 / PRIME
// Nothing computed from these leaves the process, so they need not be cryptographic; node:crypto would load 3 MiB.
const factors = Float64Array.from({ length: 2 * KEY_WORDS }, () => Math.floor(Math.random() * PRIME))

/** The hash, 32 bits, of the first words of a key. Zeros at its end count. */
export function hash(words: Int32Array, length: number): number {
  let sum = length
  for (let i = 0; i < length; i++) {
    const each = words[i]!
    sum += factors[2 * i]! * (each & 0xffff) + factors[2 * i + 1]! * (each >>> 16)
  }
  return mixed(sum)
}

/** The same for a key of four words that stand in no array, such as the id of a trace. */
export function hashOfFour(a: number, b: number, c: number, d: number): number {
  // In pairs, so that the processor need not wait for one sum to begin the next. Not by `const [first, second] = [..., ...]`:
  // numbers that a list is taken apart into are objects, 64 bytes and a third of the time of a hash.
  const first = factors[0]! * (a & 0xffff) + factors[1]! * (a >>> 16)
  const second = factors[2]! * (b & 0xffff) + factors[3]! * (b >>> 16)
  const third = factors[4]! * (c & 0xffff) + factors[5]! * (c >>> 16)
  const fourth = factors[6]! * (d & 0xffff) + factors[7]! * (d >>> 16)
  return mixed(4 + (first + second) + (third + fourth))
}

/** The same for a text: bytes of any number. */
export function hashOfText(data: DataView, start: number, end: number): number {
  let sum = end - start
  let factor = 0
  for (let at = start; at < end; at += 4) {
    if (factor === factors.length) {
      // A long text: the hash of what is read so far begins the rest.
      const before = mixed(sum)
      sum = factors[0]! * (before & 0xffff) + factors[1]! * (before >>> 16)
      factor = 2
    }
    // The last word of a long text may overlap the one before.
    const each = end - start < 4 ? lastBytes(data, at, end) : data.getInt32(Math.min(at, end - 4), true)
    sum += factors[factor]! * (each & 0xffff) + factors[factor + 1]! * (each >>> 16)
    factor += 2
  }
  return mixed(sum)
}

function lastBytes(data: DataView, start: number, end: number): number {
  let bytes = 0
  for (let at = start; at < end; at++) bytes |= data.getUint8(at) << (8 * (at - start))
  return bytes
}

function mixed(sum: number): number {
  // Consecutive keys, such as our symbols, have remainders at equal distances; mixing spreads them and adds no
  // collision.
  // It does no harm if the quotient is wrong by one: sums with one result still differ by a multiple of the prime.
  let bits = (sum - Math.floor(sum * INVERSE) * PRIME) | 0
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
  return bits ^ (bits >>> 16)
}
