// The native side of a histogram column: for each label set of a table the counts of at most 160 exponential buckets,
// in typed arrays. The buckets are a window around the observed values. When the values span more buckets than that,
// neighbours are merged in pairs, which is exact, and the label set goes on at half the resolution, as in
// client_golang.

import { MOST_BUCKETS, type NativeParts } from './native.ts'
import { copied } from './table.ts'

/** Values up to this count as zero; client_golang's default, 2^-128. */
const ZERO_THRESHOLD = 2 ** -128

const EMPTY = { offset: 0, counts: [] }

export class NativeColumn {
  readonly #schema: number
  /** Lower bounds of the buckets from 1 up to 2, at the highest schema. */
  readonly #bounds: Float64Array
  /** For each label set: how far its schema has fallen, its observations of zero, its first and its last bucket. */
  #fallen: Uint8Array
  #zeros: Float64Array
  #first: Int32Array
  #last: Int32Array
  /** Bucket i of a label set is at position i modulo 160 of its part, so that the window moves without copying. */
  #counts: Float64Array

  constructor(capacity: number, schema: number) {
    this.#schema = schema
    this.#bounds = Float64Array.from({ length: 2 ** schema }, (_, i) => 2 ** (i / 2 ** schema))
    this.#fallen = new Uint8Array(capacity)
    this.#zeros = new Float64Array(capacity)
    this.#first = new Int32Array(capacity).fill(NONE)
    this.#last = new Int32Array(capacity)
    this.#counts = new Float64Array(capacity * MOST_BUCKETS)
  }

  /** Counts a finite value, which is not negative, so many times. */
  observe(slot: number, value: number, times: number): void {
    if (!(value > ZERO_THRESHOLD)) {
      this.#zeros[slot] = this.#zeros[slot]! + times
      return
    }
    const finest = this.#bucket(value)
    let bucket = finest >> this.#fallen[slot]!
    while (!this.#widen(slot, bucket)) {
      this.#merge(slot)
      bucket = finest >> this.#fallen[slot]!
    }
    const cell = slot * MOST_BUCKETS + place(bucket)
    this.#counts[cell] = this.#counts[cell]! + times
  }

  /** The histogram of a label set, for the writers. */
  of(slot: number): NativeParts {
    const first = this.#first[slot]!
    const counts = first === NONE ? [] : new Float64Array(this.#last[slot]! - first + 1)
    for (let i = 0; i < counts.length; i++) counts[i] = this.#counts[slot * MOST_BUCKETS + place(first + i)]!
    return {
      scale: this.#schema - this.#fallen[slot]!,
      zeroThreshold: ZERO_THRESHOLD,
      zeroCount: this.#zeros[slot]!,
      positive: { offset: first === NONE ? 0 : first, counts },
      negative: EMPTY,
    }
  }

  grow(capacity: number): void {
    this.#fallen = copied(this.#fallen, new Uint8Array(capacity))
    this.#zeros = copied(this.#zeros, new Float64Array(capacity))
    this.#first = copied(this.#first, new Int32Array(capacity).fill(NONE))
    this.#last = copied(this.#last, new Int32Array(capacity))
    this.#counts = copied(this.#counts, new Float64Array(capacity * MOST_BUCKETS))
  }

  /** Forgets a label set. */
  clear(slot: number): void {
    this.#fallen[slot] = 0
    this.#zeros[slot] = 0
    this.#first[slot] = NONE
    this.#counts.fill(0, slot * MOST_BUCKETS, (slot + 1) * MOST_BUCKETS)
  }

  /** The bucket of a value at the highest schema: bucket i holds base^i < value ≤ base^(i+1). */
  #bucket(value: number): number {
    float[0] = value
    // IEEE 754: eleven bits of exponent below the sign; a value above the threshold is not subnormal.
    const exponent = ((bits[HIGH]! >>> 20) & 0x7ff) - 1023
    bits[HIGH] = (bits[HIGH]! & 0xfffff) | (1023 << 20)
    const fraction = float[0]
    let [low, high] = [0, this.#bounds.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#bounds[middle]! < fraction) low = middle + 1
      else high = middle
    }
    return exponent * this.#bounds.length + low - 1
  }

  /** Extends the window to a bucket; false if it would be too wide. */
  #widen(slot: number, bucket: number): boolean {
    const first = this.#first[slot]!
    const last = this.#last[slot]!
    if (first === NONE) {
      this.#first[slot] = bucket
      this.#last[slot] = bucket
      return true
    }
    if (bucket >= first && bucket <= last) return true
    if (Math.max(last, bucket) - Math.min(first, bucket) >= MOST_BUCKETS) return false
    if (bucket < first) this.#first[slot] = bucket
    else this.#last[slot] = bucket
    return true
  }

  /** Lowers the schema of a label set by one. */
  #merge(slot: number): void {
    const { offset, counts } = this.of(slot).positive
    const at = slot * MOST_BUCKETS
    this.#counts.fill(0, at, at + MOST_BUCKETS)
    for (let i = 0; i < counts.length; i++) {
      const cell = at + place((offset + i) >> 1)
      this.#counts[cell] = this.#counts[cell]! + counts[i]!
    }
    this.#first[slot] = this.#first[slot]! >> 1
    this.#last[slot] = this.#last[slot]! >> 1
    this.#fallen[slot] = this.#fallen[slot]! + 1
  }
}

/** No bucket has this number: they lie between ±2^19. */
const NONE = 0x7fffffff

const float = new Float64Array(1)
const bits = new Uint32Array(float.buffer)
/** Which half of a double holds the exponent here. */
const HIGH = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 ? 1 : 0

function place(bucket: number): number {
  return ((bucket % MOST_BUCKETS) + MOST_BUCKETS) % MOST_BUCKETS
}
