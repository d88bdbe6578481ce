// The items of one request that its consumers could not keep, and those of them that the sender is told of: the rule that
// telemetry/consumer.ts promises.

import type { Dropped } from '../../telemetry/consumer.ts'

/** One object for all requests, so that one without losses allocates nothing. */
export class Losses {
  /** Consumers that failed, and so lost the whole request. */
  faults = 0
  #consumers = 0
  #items = 0
  /** The lists of the consumers that dropped something and did not fail. */
  #lists: (readonly Dropped[])[] = []

  /** Begins a request of so many items for so many consumers. */
  begin(consumers: number, items: number): void {
    this.faults = 0
    this.#consumers = consumers
    this.#items = items
    if (this.#lists.length > 0) this.#lists = []
  }

  get none(): boolean {
    return this.faults === 0 && this.#lists.length === 0
  }

  fault(): void {
    this.faults++
  }

  /** One consumer's losses. */
  add(dropped: readonly Dropped[]): void {
    if (dropped.length > 0) this.#lists.push(dropped)
  }

  /** The items that no consumer kept, by the reasons of the consumer that dropped the fewest. */
  rejected(): readonly Dropped[] {
    // A consumer that dropped nothing and did not fail kept all.
    if (this.faults + this.#lists.length < this.#consumers) return NOTHING
    const totals = this.#lists.map(list => Math.min(this.#items, sumOf(list)))
    const dropped = totals.reduce((sum, each) => sum + each, this.faults * this.#items)
    let left = Math.max(0, dropped - (this.#consumers - 1) * this.#items)
    const fewest = this.#lists[totals.indexOf(Math.min(...totals))] ?? NOTHING
    const rejected: Dropped[] = []
    for (const each of fewest) {
      const items = Math.min(each.items, left)
      if (items > 0) rejected.push({ ...each, items })
      left -= items
    }
    return rejected
  }
}

const NOTHING: readonly Dropped[] = []

function sumOf(list: readonly Dropped[]): number {
  return list.reduce((sum, each) => sum + each.items, 0)
}
