// The data points of one request that were not taken: how many for each reason, and what the sender is told.

import type { ImportRefusal } from '../../exporter/metrics.ts'
import type { Refusal } from '../otlp.ts'

export type Reason =
  | ImportRefusal
  | 'label_limit'
  | 'invalid_name'
  | 'invalid_point'
  | 'unspecified_temporality'
  | 'out_of_order'
  | 'duplicate_series'

const TEXTS: Readonly<Record<Reason, string>> = {
  name_collision: 'whose name belongs to the sidecar or to another source',
  type_conflict: 'whose name is in use with another type',
  family_limit: 'of metrics beyond the number that is kept; raise metrics.limit',
  series_limit: 'of label sets beyond metrics.limit; raise it, or drop an attribute',
  label_limit: 'with more than 64 labels or 4 KiB of them',
  invalid_name: 'of metrics without a name that Prometheus could have',
  invalid_point: 'that are not valid',
  unspecified_temporality: 'that are neither cumulative nor delta',
  out_of_order: 'older than what is held, or overlapping it',
  duplicate_series: 'of series that came twice in one request; give each process its own service.instance.id',
}

// TEXTS has every reason as a key, and nothing else.
export const REASONS = Object.keys(TEXTS) as readonly Reason[]

export class Refusals {
  readonly #counts = new Map<Reason, { items: number; first: string }>()

  /** `which` says of what the first one was. */
  add(reason: Reason, items: number, which: string): void {
    const known = this.#counts.get(reason)
    if (known) known.items += items
    else this.#counts.set(reason, { items, first: which.length > 100 ? `${which.slice(0, 99)}…` : which })
  }

  list(): Refusal[] | undefined {
    if (this.#counts.size === 0) return undefined
    return Array.from(this.#counts, ([reason, { items, first }]) => ({
      reason,
      items,
      text: `data points ${TEXTS[reason]} (the first: ${first})`,
    }))
  }
}
