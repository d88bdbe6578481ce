// What a data point does to its series: a cumulative one replaces the value, a delta is added to it.

import { added, type ImportedSource, type ImportedValue } from '../../exporter/metrics.ts'
import { keepExemplars } from './exemplars.ts'
import type { Point } from './point.ts'
import type { Reason } from './refusals.ts'
import { Held, type Resource, Resources, type Stream } from './streams.ts'

export type Fate = 'taken' | Reason

export function isRefusal(fate: Fate): fate is Reason {
  return fate !== 'taken'
}

/** A full source is searched for expired series at most this often. */
const SEARCH_MS = 1000

const TARGET = { name: 'target_info', type: 'gauge', help: 'Attributes of the resource.', unit: '' } as const

export interface Losses {
  /** A delta that does not begin where the last one ended. */
  gap(): void
  /** A delta whose buckets are not those of before. */
  restart(): void
  expired(series: number): void
}

export class Accumulator {
  readonly resources = new Resources()
  readonly #source: ImportedSource
  readonly #clock: { monotonic(): number }
  readonly #expiryMs: number
  readonly #losses: Losses
  readonly #held = new WeakMap<object, Held>()
  /** The resource that is described for a job and instance. */
  readonly #described = new Map<string, Resource>()
  #request = 0
  #now = 0
  #searched = Number.NEGATIVE_INFINITY

  constructor(source: ImportedSource, clock: { monotonic(): number }, expiryMs: number, losses: Losses) {
    this.#source = source
    this.#clock = clock
    this.#expiryMs = expiryMs
    this.#losses = losses
  }

  /** Begins a request. */
  begin(): void {
    this.#request++
    this.#now = this.#clock.monotonic()
  }

  /** A point of a label set that its stream has not met, or that is written in another way. */
  learn(labels: string, stream: Stream, key: string, point: Point, bytes: Buffer): Fate {
    if (point.value === undefined) return 'invalid_point'
    if (stream.family.name === TARGET.name) return 'name_collision'
    if (this.#source.full) this.#search()
    const series = this.#source.add(stream.family, labels, point.value, this.#now)
    if (typeof series === 'string') return series
    const known = this.#held.get(series)
    if (known) return this.update(known, stream, key, point, bytes)
    const held = new Held(series)
    this.#held.set(series, held)
    stream.hold(key, held)
    this.#settle(held, stream, point, bytes)
    return 'taken'
  }

  /** A further point of a known series. */
  update(held: Held, stream: Stream, key: string, point: Point, bytes: Buffer): Fate {
    const { series } = held
    if (point.ended) {
      series.remove()
      held.leave()
      return 'taken'
    }
    if (point.value === undefined) return 'invalid_point'
    const moved = held.stream !== stream || held.key !== key
    if (moved && held.request === this.#request) return 'duplicate_series'
    // Another process may have taken the series over, whose times say nothing about those of before.
    if (!moved && outOfOrder(held, stream, point)) return 'out_of_order'
    const continues = stream.delta && held.stream?.delta === true
    const value = continues ? this.#continued(held, series.value, point) : point.value
    if (!sameBuckets(series.value, value)) series.kept.clear()
    series.value = value
    if (moved) stream.hold(key, held)
    this.#settle(held, stream, point, bytes)
    return 'taken'
  }

  /** Describes a resource that has sent something, by target_info. `labels` is asked when they are not known yet. */
  target(resource: Resource, labels: () => string | undefined): void {
    if (resource.target && !resource.target.gone) {
      resource.target.touched = this.#now
      return
    }
    const text = labels()
    if (text === undefined || !this.resources.held.has(resource.key)) return
    // One description for each job and instance: that of the process that runs now.
    const identity = `${resource.job}\n${resource.instance}`
    const before = this.#described.get(identity)
    if (before?.target && before.target.labels !== text) before.target.remove()
    const series = this.#source.add(TARGET, text, 1, this.#now)
    if (typeof series === 'string') return
    series.touched = this.#now
    resource.target = series
    this.#described.set(identity, resource)
  }

  /** Lets go of what was not updated within the expiry. */
  expire(): void {
    this.#now = this.#clock.monotonic()
    this.#release(this.#source.expire(this.#now - this.#expiryMs))
  }

  /** Lets go of everything. */
  clear(): void {
    this.#source.expire(Number.POSITIVE_INFINITY)
    this.#sweep()
  }

  #search(): void {
    if (this.#now - this.#searched < SEARCH_MS) return
    this.#searched = this.#now
    this.#release(this.#source.expire(this.#now - this.#expiryMs))
  }

  #release(removed: number): void {
    if (removed === 0) return
    this.#losses.expired(removed)
    this.#sweep()
  }

  #sweep(): void {
    for (const resource of this.resources.held.values())
      for (const scope of resource.scopes.values())
        for (const stream of scope.streams.values())
          for (const held of stream.points.values()) if (held.series.gone) held.leave()
    for (const [identity, { target }] of this.#described) if (!target || target.gone) this.#described.delete(identity)
  }

  #continued(held: Held, before: ImportedValue, point: Point): ImportedValue {
    // Without times nobody can tell.
    if (point.start > held.time && held.time > 0) this.#losses.gap()
    const delta = point.value ?? 0
    const sum = together(before, delta)
    if (sum === undefined) this.#losses.restart()
    return sum ?? delta
  }

  #settle(held: Held, { family }: Stream, point: Point, bytes: Buffer): void {
    held.start = point.start
    held.time = point.time
    held.request = this.#request
    held.series.touched = this.#now
    if (point.exemplars.length > 0 && (family.type === 'counter' || family.type === 'histogram'))
      keepExemplars(held.series, bytes, point.exemplars)
  }
}

function outOfOrder(held: Held, { delta }: Stream, { start, time }: Point): boolean {
  if (held.time === 0 || time === 0) return false
  // An interval must begin where the last one ended, or later. Of equal times the doubles are equal.
  if (delta) return start > 0 ? start < held.time : time <= held.time
  // A process that has been started since may have a clock that is behind.
  return time < held.time && start <= held.start
}

/** The sum of what was observed before and since; undefined if the two cannot be added. */
function together(before: ImportedValue, since: ImportedValue): ImportedValue | undefined {
  if (typeof before === 'number') return typeof since === 'number' ? before + since : undefined
  if (typeof since === 'number' || 'quantiles' in before || 'quantiles' in since) return undefined
  const sum = before.sum === undefined || since.sum === undefined ? undefined : before.sum + since.sum
  if ('native' in before) {
    const native = 'native' in since ? added(before.native, since.native) : undefined
    return native && { native, sum }
  }
  if ('native' in since || !sameBounds(before.bounds, since.bounds)) return undefined
  return { bounds: before.bounds, counts: before.counts.map((count, i) => count + (since.counts[i] ?? 0)), sum }
}

function sameBounds(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((bound, i) => bound === b[i])
}

/** Whether exemplars that were kept by bucket still stand for the same buckets. */
function sameBuckets(a: ImportedValue, b: ImportedValue): boolean {
  const of = (value: ImportedValue): readonly number[] =>
    typeof value === 'object' && 'bounds' in value ? value.bounds : []
  return sameBounds(of(a), of(b))
}
