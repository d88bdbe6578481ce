// The usual rate and duration of an operation (service, span name and kind of a local root). Both are numbers of fixed
// size, and so is the number of operations: an application that puts ids into span names has too many, and then none of
// the new ones is rare.

import type { Column } from '../../metrics/table.ts'
import { copied, SeriesTable } from '../../metrics/table.ts'
import { SERVICE_NAME, serviceOf } from '../../otlp/service.ts'
import type { SpanView } from '../../telemetry/consumer.ts'
import type { Keys } from '../../telemetry/keys.ts'
import { KIND_NAMES } from '../../telemetry/span.ts'

/** Operations seen in the last ten minutes, at most. */
export const OPERATIONS = 2000
const WINDOW_MS = 600_000
/** Durations that are seen before any is called slow. */
const WARM_UP = 100
/**
 * The step by which one duration moves the quantile: 5 %, which keeps it within a tenth of the true one
 * (test/sampling).
 */
const STEP = 0.05
const QUANTILE = 0.99
/** The shortest duration that is told from others: a microsecond. */
const SHORTEST = 1e-6

export class Operations implements Column {
  readonly #table = new SeriesTable(['service', 'span_name', 'span_kind'], OPERATIONS, WINDOW_MS)
  readonly #serviceAt: number
  readonly #kinds: readonly number[]
  readonly #set = new Uint32Array(3)
  /** The window of each operation's last trace, and how many it had in that one and in the one before. */
  #window = new Float64Array(this.#table.capacity)
  #now = new Float64Array(this.#table.capacity)
  #before = new Float64Array(this.#table.capacity)
  /** The quantile as a logarithm, and the durations it is made from. */
  #quantile = new Float64Array(this.#table.capacity)
  #seen = new Float64Array(this.#table.capacity)

  constructor(keys: Keys) {
    this.#serviceAt = keys.resource(SERVICE_NAME)
    this.#kinds = KIND_NAMES.map(kind => this.#table.symbols.text(kind))
    this.#table.join(this)
  }

  /** The operation of a local root, or 0 if there is no room for it. */
  of(view: SpanView, now: number): number {
    const table = this.#table
    table.sweep(now)
    const { symbols, full } = table
    const service = serviceOf(view, this.#serviceAt)
    const set = this.#set
    const first = full
      ? symbols.find(service.bytes, service.start, service.end)
      : symbols.intern(service.bytes, service.start, service.end)
    const second = full
      ? symbols.find(view.bytes, view.nameStart, view.nameEnd)
      : symbols.intern(view.bytes, view.nameStart, view.nameEnd)
    if (first < 0 || second < 0) return 0
    set[0] = first
    set[1] = second
    set[2] = this.#kinds[view.kind]!
    return table.slot(set)
  }

  /** Counts a trace of the operation; how many it had in the last ten minutes, before this one. */
  count(slot: number, now: number): number {
    const window = Math.floor(now / WINDOW_MS)
    const last = this.#window[slot]!
    if (window !== last) {
      this.#before[slot] = window === last + 1 ? this.#now[slot]! : 0
      this.#now[slot] = 0
      this.#window[slot] = window
    }
    const part = now / WINDOW_MS - window
    const count = this.#now[slot]! + this.#before[slot]! * (1 - part)
    this.#now[slot]!++
    return count
  }

  /**
   * Whether this duration is above the operation's own 99th percentile. The quantile is a number that each duration moves, up
   * by 99 parts if it is longer and down by one part if it is shorter, so it stays where one in a hundred is longer.
   */
  slow(slot: number, seconds: number): boolean {
    const length = Math.log(Math.max(seconds, SHORTEST))
    const seen = this.#seen[slot]!++
    const quantile = this.#quantile[slot]!
    const longer = length > quantile
    const step = Math.max(STEP, 1 / (seen + 1))
    this.#quantile[slot] = seen === 0 ? length : quantile + step * (longer ? QUANTILE : QUANTILE - 1)
    return longer && seen >= WARM_UP
  }

  grow(capacity: number): void {
    this.#window = copied(this.#window, new Float64Array(capacity))
    this.#now = copied(this.#now, new Float64Array(capacity))
    this.#before = copied(this.#before, new Float64Array(capacity))
    this.#quantile = copied(this.#quantile, new Float64Array(capacity))
    this.#seen = copied(this.#seen, new Float64Array(capacity))
  }

  clear(slot: number): void {
    for (const each of [this.#window, this.#now, this.#before, this.#quantile, this.#seen]) each[slot] = 0
  }
}
