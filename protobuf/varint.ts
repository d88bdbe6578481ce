// Varints, the numbers of protobuf: seven bits in each byte, the lowest first, and the eighth bit says that more follow.
// https://protobuf.dev/programming-guides/encoding/#varints

/** Writes a whole number from 0 on, beyond 2^53 as exact as a double is; returns the offset after it. At most 10 bytes. */
export function putVarint(bytes: Uint8Array, at: number, value: number): number {
  let to = at
  let rest = value
  // Fast path: in 31 bits shifting does, and most numbers are tags, counts and lengths.
  if (rest < 0x7fffffff) for (; rest >= 128; rest >>= 7) bytes[to++] = (rest & 127) | 128
  else for (; rest >= 128; rest = Math.floor(rest / 128)) bytes[to++] = (rest % 128) | 128
  bytes[to++] = rest
  return to
}

/** Writes 64 bits, given as two unsigned halves; returns the offset after them. */
export function putVarint64(bytes: Uint8Array, at: number, low: number, high: number): number {
  let to = at
  let lower = low
  let upper = high
  while (upper > 0 || lower >= 128) {
    bytes[to++] = (lower & 127) | 128
    lower = ((lower >>> 7) | (upper << 25)) >>> 0
    upper >>>= 7
  }
  bytes[to++] = lower
  return to
}

/**
 * Writes the length of what stands between `start` and `end` before it, where one byte was kept free; a longer length moves the
 * contents, which is cheaper than measuring them first. Needs four bytes of room after `end`; returns the new end.
 */
export function putLength(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start
  if (length < 128) {
    bytes[start - 1] = length
    return end
  }
  const more = varintSize(length) - 1
  bytes.copyWithin(start + more, start, end)
  putVarint(bytes, start - 1, length)
  return end + more
}

/** The number of bytes that `putVarint` takes for a number. */
export function varintSize(value: number): number {
  let bytes = 1
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) bytes++
  return bytes
}

/** A few numbers one after another, such as the tag and the length of a field. */
export function varints(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.reduce((sum, each) => sum + varintSize(each), 0))
  let at = 0
  for (const each of values) at = putVarint(bytes, at, each)
  return bytes
}
