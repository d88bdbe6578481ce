// The store's place in the sidecar: it is made on the first span, with memory that the budget grants, and it shows its numbers
// and keeps the promise that every exemplar on /metrics can be opened.

import type { Metrics } from '../metrics/registry.ts'
import type { SpanConsumer, SpanView } from '../telemetry/consumer.ts'
import type { Clock } from '../telemetry/host.ts'
import type { Allotment, Memory } from '../telemetry/memory.ts'
import type { Request } from '../telemetry/request.ts'
import type { Segment, Source } from '../traceql/reading.ts'
import { Store } from './store.ts'
import { Trace } from './trace.ts'

/** The store takes no more of the memory budget than this, since requests and answers need it too. */
export const BUDGET_SHARE = 1 / 4
/** With less it would hold nothing worth looking at. */
const LEAST = 2 ** 20
/** The wait, in milliseconds, before the budget is asked again after it has refused. */
const AGAIN_MS = 10_000
/** Places of exemplars that are looked at in one turn of the event loop, most of which are empty: 10 ms. */
const MOST_PLACES_A_TURN = 100_000
const EXEMPLARS_A_TURN = 5000

export class Kept implements SpanConsumer, Source {
  readonly name = 'traces'
  readonly apart = true
  /** Undefined until the first span. */
  store: Store | undefined
  /** Spans that came while the budget had no room for a store. */
  withoutMemory = 0
  /** Exemplars that were taken from /metrics, since their trace could not be kept. */
  dropped = 0
  /** How many of those on /metrics now name a trace that is not held. */
  unresolved = 0
  readonly #wanted: number
  readonly #metrics: Metrics
  readonly #clock: Clock
  readonly #allotment: Allotment
  #askAt = 0
  /** Whether spans came since the exemplars were last looked through: they may have taken the place of others. */
  #came = false

  /** `keep` is the size of the store in bytes, above 0. */
  constructor(keep: number, host: { readonly metrics: Metrics; readonly clock: Clock; readonly memory: Memory }) {
    this.#wanted = Math.min(keep, Math.floor(host.memory.total * BUDGET_SHARE))
    this.#metrics = host.metrics
    this.#clock = host.clock
    this.#allotment = host.memory.allot('traces', keep)
  }

  get segments(): readonly Segment[] {
    return this.store?.segments ?? []
  }

  trace(): Trace {
    return this.store?.trace() ?? new Trace([], () => false)
  }

  begin({ bytes, items, received }: Request): void {
    this.#came = true
    this.store ??= this.#make()
    if (this.store) this.store.begin(bytes, items, received)
    else this.withoutMemory += items
  }

  run(view: SpanView, notes: Int32Array, from: number, to: number): void {
    this.#came = true
    this.store?.run(view, notes, from, to)
  }

  /**
   * Takes exemplars from /metrics that name a trace which is not held. Those that came with data points stay unless the trace
   * was here: it may be kept elsewhere.
   */
  async resolve(signal: AbortSignal): Promise<void> {
    const { store } = this
    if (!store) return
    const holders = this.#metrics.exemplars()
    // All are asked, since each answers for the time since it was asked last.
    const changed = holders.filter(each => each.exemplarsChanged()).length > 0
    if (!changed && !this.#came) return
    this.#came = false
    let places = 0
    let turns = 1
    for (const each of holders) {
      const keep = (id: Uint8Array, at: number): boolean => {
        if (store.holds(id, at) || !(each.ofSpans || store.lost(id, at))) return true
        this.dropped++
        return false
      }
      for (let from = 0; from >= 0 && !signal.aborted; ) {
        from = each.visitExemplars(keep, from, EXEMPLARS_A_TURN)
        places += EXEMPLARS_A_TURN
        if (places < MOST_PLACES_A_TURN) continue
        places = 0
        turns++
        await new Promise(resolve => setImmediate(resolve))
      }
    }
    // Those that were not looked at are looked at by the next scrape.
    if (signal.aborted) this.#came = true
    // Within one turn no other exemplar has come, and all that are left were found.
    this.unresolved = turns === 1 && !signal.aborted ? 0 : this.#count(store)
    store.refresh()
  }

  /** Exemplars made from spans that name a trace which is not held, as far as one turn allows to look. */
  #count(store: Store): number {
    let count = 0
    const look = (id: Uint8Array, at: number): boolean => {
      if (!store.holds(id, at)) count++
      return true
    }
    for (const each of this.#metrics.exemplars()) if (each.ofSpans) each.visitExemplars(look, 0, MOST_PLACES_A_TURN)
    return count
  }

  close(): void {
    if (this.store) this.#allotment.add(-this.store.bytes)
    this.store = undefined
  }

  /** As large as wanted, or half of that, and so on, as the budget has room. */
  #make(): Store | undefined {
    const now = this.#clock.monotonic()
    if (now < this.#askAt) return undefined
    for (let bytes = this.#wanted; bytes >= Math.min(LEAST, this.#wanted); bytes = Math.floor(bytes / 2))
      if (this.#allotment.hold(bytes)) return new Store(bytes, this.#clock, each => this.#showExemplars(each))
    this.#askAt = now + AGAIN_MS
    return undefined
  }

  #showExemplars(each: (id: Uint8Array, at: number) => void): void {
    const keep = (id: Uint8Array, at: number): boolean => {
      each(id, at)
      return true
    }
    for (const holder of this.#metrics.exemplars()) holder.visitExemplars(keep, 0, Number.POSITIVE_INFINITY)
  }
}
