// Limits that were reached in the last 15 minutes: counters of what was dropped, refused or overflowed that have grown.

import type { Metrics, Sample } from '../../../metrics/registry.ts'

/**
 * Counters whose growth says that something was lost or refused. Eviction from a full store makes room, and is none.
 */
const LOSSES = /^(?:pillion|app)_\w*(?:dropped|refused|overflow|uncaught|failures?)_?\w*_total$/
/** Those that grow when the application fails, or when it is asked as planned. */
const OTHERS = /^app_health_/
/** Reasons that are no limit: the sender has left something out. */
const NO_LIMIT = ['orphan']
const KEPT_MS = 15 * 60 * 1000

export interface Limit {
  readonly family: string
  readonly help: string
  /** The label set that grew last: "reason=too_many_items". */
  readonly labels: Readonly<Record<string, string>>
  /** By how much it has grown since `since`. */
  readonly grown: number
  /** When it grew first and last, in milliseconds since the epoch. */
  readonly since: number
  readonly last: number
}

interface Growth {
  readonly labels: Readonly<Record<string, string>>
  value: number
  grown: number
  since: number
  last: number
}

export class Limits {
  readonly #metrics: Metrics
  /** Family → label set → growth. The families are few, and each has few label sets. */
  readonly #known = new Map<string, Map<string, Growth>>()
  readonly #help = new Map<string, string>()

  constructor(metrics: Metrics) {
    this.#metrics = metrics
  }

  async look(now: number): Promise<void> {
    const all: readonly { readonly name: string; readonly help: string }[] = this.#metrics.registry.getMetricsAsArray()
    for (const { name, help } of all) {
      if (!LOSSES.test(name) || OTHERS.test(name)) continue
      this.#help.set(name, help)
      const first = !this.#known.has(name)
      const sets = this.#known.get(name) ?? new Map<string, Growth>()
      this.#known.set(name, sets)
      const values = (await this.#metrics.registry.getSingleMetric(name)?.get())?.values as
        | readonly Sample[]
        | undefined
      for (const { labels, value } of (values ?? []).slice(0, 200)) {
        const named = Object.fromEntries(Object.entries(labels).map(([key, text]) => [key, String(text)]))
        if (NO_LIMIT.includes(named['reason'] ?? '')) continue
        const key = JSON.stringify(named)
        const before = sets.get(key)
        // Counts from before the page was first asked for are not known to be recent.
        if (!before) {
          const grown = first ? 0 : value
          sets.set(key, { labels: named, value, grown, since: now, last: now })
        } else if (value > before.value) {
          const old = now - before.last > KEPT_MS || before.grown === 0
          before.grown = (old ? 0 : before.grown) + value - before.value
          if (old) before.since = now
          before.last = now
          before.value = value
        }
      }
    }
  }

  /** Those that grew in the last 15 minutes, the newest first. */
  reached(now: number): readonly Limit[] {
    return [...this.#known]
      .flatMap(([family, sets]) =>
        [...sets.values()]
          .filter(({ grown, last }) => grown > 0 && now - last <= KEPT_MS)
          .map(({ labels, grown, since, last }) => ({
            family,
            help: this.#help.get(family) ?? '',
            labels,
            grown,
            since,
            last,
          })),
      )
      .sort((a, b) => b.last - a.last)
  }
}
