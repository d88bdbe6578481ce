// Requests of the last 15 minutes by operation (service, span name, kind): how many each second, how many of them failed, and a
// histogram of how long they took for each five seconds. They are read from the histogram of the request metrics, so
// that the page says nothing that Prometheus is not told.

import { HistogramColumn } from '../../../metrics/columns.ts'
import type { Metrics } from '../../../metrics/registry.ts'
import type { Allotment } from '../../../telemetry/memory.ts'
import { KIND_NAMES, STATUS, STATUS_NAMES } from '../../../telemetry/span.ts'
import { STEPS, type Timeline } from './timeline.ts'

/** The histogram, by the choices of spans.naming. */
const NAMES = ['traces_spanmetrics_latency', 'traces_span_metrics_duration_seconds']
/** Label sets that are looked at; more are not, and the answer says how many. */
const MOST_SETS = 4096
/** Operations that are kept apart; the requests of others are added up in one. */
const MOST_OPERATIONS = 200
/** Steps of one histogram. */
export const STEPS_OF_HISTOGRAM = 5
const HISTOGRAMS = STEPS / STEPS_OF_HISTOGRAM

const ERROR = STATUS_NAMES[STATUS.error]
const KINDS = new Map(KIND_NAMES.map(name => [name, name.replace('SPAN_KIND_', '').toLowerCase()]))

export class Operation {
  readonly service: string
  readonly name: string
  readonly kind: string
  readonly bytes: number
  readonly #width: number
  readonly #calls = new Uint32Array(STEPS)
  readonly #errors = new Uint32Array(STEPS)
  readonly #histograms: Uint32Array

  constructor(service: string, name: string, kind: string, width: number) {
    this.service = service
    this.name = name
    this.kind = kind
    this.#width = width
    this.#histograms = new Uint32Array(HISTOGRAMS * width)
    this.bytes = Operation.bytes(width)
  }

  static bytes(width: number): number {
    return 2 * 4 * STEPS + 4 * HISTOGRAMS * width + 512
  }

  /** Forgets what the place of this step held before. */
  begin(step: number): void {
    this.#calls[step % STEPS] = 0
    this.#errors[step % STEPS] = 0
    if (step % STEPS_OF_HISTOGRAM !== 0) return
    const at = this.#at(step)
    this.#histograms.fill(0, at, at + this.#width)
  }

  add(step: number, bucket: number, calls: number, failed: boolean): void {
    const place = step % STEPS
    this.#calls[place] = this.#calls[place]! + calls
    if (failed) this.#errors[place] = this.#errors[place]! + calls
    const at = this.#at(step) + bucket
    this.#histograms[at] = this.#histograms[at]! + calls
  }

  /** Requests in the steps [from, to). */
  calls(from: number, to: number): number {
    return sum(this.#calls, from, to)
  }

  errors(from: number, to: number): number {
    return sum(this.#errors, from, to)
  }

  /** Adds the requests of the steps [from, to), rounded to whole histograms, to the buckets of `into`. */
  addBuckets(from: number, to: number, into: Float64Array): void {
    for (let step = from - (from % STEPS_OF_HISTOGRAM); step < to; step += STEPS_OF_HISTOGRAM) {
      const at = this.#at(step)
      for (let bucket = 0; bucket < this.#width; bucket++) into[bucket] = into[bucket]! + this.#histograms[at + bucket]!
    }
  }

  /** The first step of the failures that go on until now: no two of them are further apart than `gap` steps. */
  failingSince(first: number, end: number, gap: number): number | undefined {
    let since: number | undefined
    for (let step = end - 1; step >= first && (since ?? end) - step <= gap; step--)
      if (this.#errors[step % STEPS]! > 0) since = step
    return since
  }

  #at(step: number): number {
    return Math.floor((step % STEPS) / STEPS_OF_HISTOGRAM) * this.#width
  }
}

/** Whether its spans are requests that a service takes in, rather than calls or steps of its own. */
export function entering({ kind }: Pick<Operation, 'kind'>): boolean {
  return kind === 'server' || kind === 'consumer'
}

function sum(ring: Uint32Array, from: number, to: number): number {
  let total = 0
  for (let step = from; step < to; step++) total += ring[step % STEPS]!
  return total
}

/** A label set of the metrics as it was looked at last. */
interface Seen {
  readonly operation: Operation
  readonly failed: boolean
  readonly counts: Float64Array
  total: number
}

export class Requests {
  readonly #metrics: Metrics
  readonly #memory: Allotment
  readonly #operations = new Map<string, Operation>()
  #seen: (Seen | undefined)[] = []
  #column: HistogramColumn | undefined
  #expired = 0
  #others: Operation | undefined
  #held = 0
  /** Label sets beyond those that are looked at. */
  leftOut = 0
  /** Requests that entered a service since the first look. */
  entered = 0

  constructor(metrics: Metrics, memory: Allotment) {
    this.#metrics = metrics
    this.#memory = memory
  }

  /** Upper bounds of the buckets in seconds; one more bucket holds what is above the last. */
  get bounds(): readonly number[] {
    return this.#column ? [...this.#column.bounds] : []
  }

  get operations(): readonly Operation[] {
    return [...this.#operations.values(), ...(this.#others ? [this.#others] : [])]
  }

  /** Reads what has come since the last look into the step that `timeline` has begun. */
  look(timeline: Timeline): void {
    const step = timeline.steps - 1
    const column = this.#find()
    if (!column) return
    for (const operation of this.operations) operation.begin(step)
    const { table } = column
    if (table.expired !== this.#expired) {
      // A slot may have been given to another label set.
      this.#expired = table.expired
      this.#seen = this.#seen.map((seen, slot) => (seen && this.#belongs(column, slot, seen) ? seen : undefined))
    }
    const slots = Math.min(table.slots, MOST_SETS)
    this.leftOut = table.slots - slots
    const width = column.bounds.length + 1
    for (let slot = 0; slot < slots; slot++) {
      const known = this.#seen[slot]
      const total = column.count(slot)
      if (known ? known.total === total : total === 0 || !table.shows(slot)) continue
      const seen = known ?? this.#meet(column, slot, width, step)
      const again = total < seen.total
      for (let bucket = 0; bucket < width; bucket++) {
        const now = column.inBucket(slot, bucket)
        const more = Math.round(now - (again ? 0 : seen.counts[bucket]!))
        if (more > 0) seen.operation.add(step, bucket, more, seen.failed)
        if (more > 0 && entering(seen.operation)) this.entered += more
        seen.counts[bucket] = now
      }
      seen.total = total
    }
  }

  /** Gives back the memory. */
  forget(): void {
    this.#memory.add(-this.#held)
    this.#held = 0
    this.#operations.clear()
    this.#others = undefined
    this.#seen = []
    this.#column = undefined
  }

  #find(): HistogramColumn | undefined {
    if (this.#column) return this.#column
    for (const name of NAMES) {
      const metric: unknown = this.#metrics.registry.getSingleMetric(name)
      if (!(metric instanceof HistogramColumn)) continue
      this.#column = metric
      this.#expired = metric.table.expired
      this.#skipPast(metric)
      return metric
    }
    return undefined
  }

  /** Requests from before the first look were not in the last second. */
  #skipPast(column: HistogramColumn): void {
    const slots = Math.min(column.table.slots, MOST_SETS)
    const width = column.bounds.length + 1
    for (let slot = 0; slot < slots; slot++) {
      const total = column.count(slot)
      if (total === 0 || !column.table.shows(slot)) continue
      const seen = this.#meet(column, slot, width, 0)
      for (let bucket = 0; bucket < width; bucket++) seen.counts[bucket] = column.inBucket(slot, bucket)
      seen.total = total
    }
  }

  #meet(column: HistogramColumn, slot: number, width: number, step: number): Seen {
    const { service, name, kind, failed } = read(column, slot)
    const operation = this.#operation(service, name, kind, width, step)
    const seen = { operation, failed, counts: new Float64Array(width), total: 0 }
    this.#hold(width * 8 + 64)
    this.#seen[slot] = seen
    return seen
  }

  #belongs(column: HistogramColumn, slot: number, { operation, failed }: Seen): boolean {
    if (!column.table.shows(slot)) return false
    const now = read(column, slot)
    if (operation === this.#others) return now.failed === failed
    return (
      now.service === operation.service &&
      now.name === operation.name &&
      now.kind === operation.kind &&
      now.failed === failed
    )
  }

  #operation(service: string, name: string, kind: string, width: number, step: number): Operation {
    const key = JSON.stringify([service, name, kind])
    const known = this.#operations.get(key)
    if (known) return known
    const room = this.#operations.size < MOST_OPERATIONS && this.#memory.fits(Operation.bytes(width))
    if (!room) {
      this.#others ??= this.#make('', 'all other operations', 'unspecified', width)
      return this.#others
    }
    const made = this.#make(service, name, kind, width)
    made.begin(step)
    this.#operations.set(key, made)
    return made
  }

  #make(service: string, name: string, kind: string, width: number): Operation {
    const made = new Operation(service, name, kind, width)
    this.#hold(made.bytes)
    return made
  }

  #hold(bytes: number): void {
    this.#memory.add(bytes)
    this.#held += bytes
  }
}

function read(column: HistogramColumn, slot: number): { service: string; name: string; kind: string; failed: boolean } {
  const labels = column.table.labelsOf(slot)
  return {
    service: labels['service'] ?? labels['service_name'] ?? '',
    name: labels['span_name'] ?? 'all other operations',
    kind: KINDS.get(labels['span_kind'] ?? '') ?? 'unspecified',
    failed: labels['status_code'] === ERROR,
  }
}

/**
 * The value below which this share of the requests lies, in seconds, between the bounds of its bucket; undefined
 * without any.
 */
export function quantile(share: number, buckets: Float64Array, bounds: readonly number[]): number | undefined {
  let total = 0
  for (const count of buckets) total += count
  if (total === 0) return undefined
  const rank = share * total
  let below = 0
  for (let bucket = 0; bucket < buckets.length; bucket++) {
    const count = buckets[bucket]!
    if (count > 0 && below + count >= rank) {
      const lower = bucket === 0 ? 0 : bounds[bucket - 1]!
      // Nothing is known of how far above the last bound it lies.
      const upper = bounds[bucket] ?? lower
      return lower + (upper - lower) * ((rank - below) / count)
    }
    below += count
  }
  return bounds.at(-1)
}
