// A set of whole numbers as ranges in order. The numbers of acknowledged records are nearly one range, with a few gaps for
// those that are on their way.

export type Range = readonly [first: number, last: number]

export class Ranges {
  /** In order; no two overlap or touch. */
  readonly #ranges: [first: number, last: number][] = []

  constructor(ranges: Iterable<Range> = []) {
    for (const [first, last] of ranges) this.add(first, last)
  }

  add(first: number, last = first): void {
    if (last < first) return
    const ranges = this.#ranges
    // The first range that ends at or after the number before `first`, and the first one beyond the number after `last`.
    const from = this.#search(first - 1)
    let to = from
    let [low, high] = [first, last]
    while (to < ranges.length && ranges[to]![0] <= last + 1) {
      low = Math.min(low, ranges[to]![0])
      high = Math.max(high, ranges[to]![1])
      to++
    }
    ranges.splice(from, to - from, [low, high])
  }

  has(number: number): boolean {
    const range = this.#ranges[this.#search(number)]
    return range !== undefined && range[0] <= number
  }

  /** The largest number in the set; 0 if it is empty. */
  get last(): number {
    return this.#ranges.at(-1)?.[1] ?? 0
  }

  get size(): number {
    return this.#ranges.length
  }

  [Symbol.iterator](): Iterator<Range> {
    return this.#ranges[Symbol.iterator]()
  }

  /** The index of the first range that ends at `number` or later. */
  #search(number: number): number {
    let [low, high] = [0, this.#ranges.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#ranges[middle]![1] < number) low = middle + 1
      else high = middle
    }
    return low
  }
}
