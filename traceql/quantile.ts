// Buckets that double: a value belongs to the smallest power of two that is not below it. And what a quantile of them is.

/** The exponent of the bucket; undefined below 2. */
export function bucket(value: number): number | undefined {
  if (!(value >= 2)) return undefined
  // The logarithm of a power of two may come out a little above it.
  let exponent = Math.ceil(Math.log2(value))
  if (2 ** (exponent - 1) >= value) exponent--
  else if (2 ** exponent < value) exponent++
  return exponent
}

/** A bucket with its upper bound. */
export interface Bucket {
  readonly most: number
  readonly count: number
}

/**
 * The value at rank ⌈p·n⌉ of buckets in ascending order. A bucket that is used up to its end gives its bound; inside of one
 * the value grows exponentially from the bound of the bucket before it. 0 if there is nothing.
 */
export function quantile(p: number, buckets: readonly Bucket[]): number {
  const total = buckets.reduce((sum, { count }) => sum + count, 0)
  if (total === 0) return 0
  const rank = Math.max(1, Math.ceil(p * total))
  let before = 0
  for (const [i, { most, count }] of buckets.entries()) {
    if (before + count < rank) {
      before += count
      continue
    }
    if (before + count === rank) return most
    const high = Math.log2(most)
    const low = i > 0 ? Math.log2(buckets[i - 1]!.most) : high - 1
    return 2 ** (low + ((high - low) * (rank - before)) / count)
  }
  return buckets.at(-1)!.most
}
