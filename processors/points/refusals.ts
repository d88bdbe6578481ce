// The refused data points of one request: how many for each reason, and the text for the sender.

import type { ImportRefusal } from '../../metrics/imported.ts'
import type { Dropped } from '../../telemetry/consumer.ts'

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
  family_limit: 'of metrics beyond the number that can be held; raise metrics.limit',
  series_limit: 'of label sets beyond metrics.limit; raise it, or drop an attribute',
  memory_limit: 'of label sets beyond metrics.memory; raise it, or drop an attribute',
  label_limit: 'with more than 64 labels or 4 KiB of them',
  invalid_name: 'of metrics whose name has nothing that a Prometheus name can keep, or is too long',
  invalid_point: 'that are not valid',
  unspecified_temporality: 'that are neither cumulative nor delta',
  out_of_order: 'that are older than the last one, or were sent again',
  duplicate_series: 'of series that came twice in one request; give each process its own service.instance.id',
}

// The keys of TEXTS are exactly the reasons.
export const REASONS = Object.keys(TEXTS) as readonly Reason[]

export class Refusals {
  readonly #counts = new Map<Reason, { items: number; first: string }>()

  /** `which` describes the first one. */
  add(reason: Reason, items: number, which: string): void {
    const known = this.#counts.get(reason)
    if (known) known.items += items
    else this.#counts.set(reason, { items, first: which.length > 100 ? `${which.slice(0, 99)}…` : which })
  }

  list(): Dropped[] | undefined {
    if (this.#counts.size === 0) return undefined
    return Array.from(this.#counts, ([reason, { items, first }]) => ({
      reason,
      items,
      text: `data points ${TEXTS[reason]} (the first: ${first})`,
    }))
  }
}
