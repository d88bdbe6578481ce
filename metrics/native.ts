// A native (exponential) histogram: buckets whose bounds are powers of 2^(2^-scale), counted only where something was
// observed. This is OTLP's ExponentialHistogram and, with another numbering, Prometheus' native histogram.
//
// Lowering the scale by one merges neighbours in pairs, exactly. So two histograms can be added at the lower of their
// scales, and every bound at a lower scale is a bound at each higher one.

/** Counts of consecutive buckets: count i is of base^(offset+i) < |value| ≤ base^(offset+i+1). */
export interface Buckets {
  readonly offset: number
  readonly counts: readonly number[]
}

/** A native histogram for the writers, with its counts in any kind of array. */
export interface NativeParts extends Omit<NativeHistogram, 'positive' | 'negative'> {
  readonly positive: BucketParts
  readonly negative: BucketParts
}

export interface BucketParts {
  readonly offset: number
  readonly counts: ArrayLike<number>
}

export interface NativeHistogram {
  /** From -4 to 8, which is what Prometheus takes. */
  readonly scale: number
  readonly zeroThreshold: number
  readonly zeroCount: number
  readonly positive: Buckets
  readonly negative: Buckets
}

const LOWEST_SCALE = -4
const HIGHEST_SCALE = 8
/** Buckets kept on each side of zero, as in the SDKs; more are merged. */
export const MOST_BUCKETS = 160
/** The most classic buckets with which the text formats show a native histogram. */
const CLASSIC_BUCKETS = 20

/** The same histogram within the limits of scale and buckets; undefined if its scale would be below -4. */
export function fitted(native: NativeHistogram): NativeHistogram | undefined {
  let scale = Math.min(native.scale, HIGHEST_SCALE)
  let positive = lowered(trimmed(native.positive), native.scale - scale)
  let negative = lowered(trimmed(native.negative), native.scale - scale)
  while (Math.max(positive.counts.length, negative.counts.length) > MOST_BUCKETS) {
    positive = lowered(positive, 1)
    negative = lowered(negative, 1)
    scale--
  }
  return scale < LOWEST_SCALE ? undefined : { ...native, scale, positive, negative }
}

/** The sum of both; undefined if no histogram that Prometheus takes can hold it. */
export function added(one: NativeHistogram, other: NativeHistogram): NativeHistogram | undefined {
  const zeroThreshold = commonThreshold(one, other)
  if (!Number.isFinite(zeroThreshold)) return undefined
  const [a, b] = [widened(one, zeroThreshold), widened(other, zeroThreshold)]
  for (let scale = Math.min(a.scale, b.scale); scale >= LOWEST_SCALE; scale--) {
    const positive = sum(lowered(a.positive, a.scale - scale), lowered(b.positive, b.scale - scale))
    const negative = sum(lowered(a.negative, a.scale - scale), lowered(b.negative, b.scale - scale))
    if (positive && negative) return { scale, zeroThreshold, zeroCount: a.zeroCount + b.zeroCount, positive, negative }
  }
  return undefined
}

/**
 * The same observations in at most twenty classic buckets: upper bounds without +Inf, and a count for each and for
 * +Inf. The bounds are those of the highest scale at which there are few enough. As the histogram widens, that scale
 * falls: bounds may then vanish, but they never move.
 */
export function classic({ scale, zeroThreshold, zeroCount, positive, negative }: NativeHistogram): {
  readonly bounds: readonly number[]
  readonly counts: readonly number[]
} {
  let [above, below, by] = [trimmed(positive), trimmed(negative), 0]
  while (above.counts.length + below.counts.length > CLASSIC_BUCKETS - 2) {
    above = lowered(above, 1)
    below = lowered(below, 1)
    by++
  }
  const power = 2 ** (by - scale)
  const edge = (index: number): number => 2 ** (index * power)

  const bounds: number[] = []
  const counts: number[] = []
  let waiting = 0
  const add = (le: number, count: number): void => {
    waiting += count
    // A bound that a double cannot hold is left out: its bucket joins the next one.
    if (!Number.isFinite(le) || le <= (bounds.at(-1) ?? Number.NEGATIVE_INFINITY)) return
    bounds.push(le)
    counts.push(waiting)
    waiting = 0
  }
  for (let i = below.counts.length - 1; i >= 0; i--) add(-edge(below.offset + i), below.counts[i]!)
  // If nothing is below the lowest bucket, its lower bound is shown too, so that quantiles are not drawn towards 0.
  add(above.counts.length > 0 ? Math.max(edge(above.offset), zeroThreshold) : zeroThreshold, zeroCount)
  for (let i = 0; i < above.counts.length; i++) add(edge(above.offset + i + 1), above.counts[i]!)
  return { bounds, counts: [...counts, waiting] }
}

/** Merges neighbours so that the scale falls by `by`. */
function lowered({ offset, counts }: Buckets, by: number): Buckets {
  if (by === 0 || counts.length === 0) return { offset, counts }
  // Indices have 32 bits, so with a larger width only two buckets remain: above and below 1.
  const width = 2 ** Math.min(by, 32)
  const first = Math.floor(offset / width)
  const last = Math.floor((offset + counts.length - 1) / width)
  const merged = new Array<number>(last - first + 1).fill(0)
  for (const [i, count] of counts.entries()) {
    const at = Math.floor((offset + i) / width) - first
    merged[at] = merged[at]! + count
  }
  return { offset: first, counts: merged }
}

function trimmed({ offset, counts }: Buckets): Buckets {
  const first = counts.findIndex(count => count > 0)
  if (first < 0) return { offset: 0, counts: [] }
  return { offset: offset + first, counts: counts.slice(first, counts.findLastIndex(count => count > 0) + 1) }
}

/** Undefined if together they span more buckets than are kept. */
function sum(a: Buckets, b: Buckets): Buckets | undefined {
  if (a.counts.length === 0) return b
  if (b.counts.length === 0) return a
  const offset = Math.min(a.offset, b.offset)
  const length = Math.max(a.offset + a.counts.length, b.offset + b.counts.length) - offset
  if (length > MOST_BUCKETS) return undefined
  const at = ({ offset: own, counts }: Buckets, i: number): number => counts[offset + i - own] ?? 0
  return { offset, counts: Array.from({ length }, (_, i) => at(a, i) + at(b, i)) }
}

// Two histograms with different zero thresholds are added at the larger one: the buckets below it join the zero bucket.
// If it falls inside a bucket that is not empty, it is raised to the end of that bucket, so that no observation is
// split. (OTLP prescribes this for ExponentialHistogram, and Prometheus does the same.)

/** The smallest zero threshold that both can have without splitting a bucket; Infinity if there is none. */
function commonThreshold(a: NativeHistogram, b: NativeHistogram): number {
  let threshold = Math.max(a.zeroThreshold, b.zeroThreshold)
  if (a.zeroThreshold === b.zeroThreshold) return threshold
  for (;;) {
    const raised = Math.max(...[a, b].map(each => unsplit(each, threshold)))
    if (raised === threshold) return threshold
    threshold = raised
  }
}

/** The threshold, or the end of the bucket that it would split. */
function unsplit({ scale, zeroThreshold, positive, negative }: NativeHistogram, threshold: number): number {
  if (threshold <= zeroThreshold) return threshold
  let raised = threshold
  for (const { offset, counts } of [positive, negative])
    for (let i = 0; i < counts.length && edge(offset + i, scale) < threshold; i++)
      if (counts[i]! > 0) raised = Math.max(raised, edge(offset + i + 1, scale))
  return raised
}

/** The same histogram with a larger zero threshold, which splits none of its buckets. */
function widened(native: NativeHistogram, zeroThreshold: number): NativeHistogram {
  if (zeroThreshold <= native.zeroThreshold) return native
  let { zeroCount } = native
  const above = ({ offset, counts }: Buckets): Buckets => {
    let first = 0
    for (; first < counts.length && edge(offset + first, native.scale) < zeroThreshold; first++)
      zeroCount += counts[first]!
    return { offset: offset + first, counts: counts.slice(first) }
  }
  const [positive, negative] = [above(native.positive), above(native.negative)]
  return { scale: native.scale, zeroThreshold, zeroCount, positive, negative }
}

/** The lower bound of a bucket. */
function edge(index: number, scale: number): number {
  return 2 ** (index * 2 ** -scale)
}
