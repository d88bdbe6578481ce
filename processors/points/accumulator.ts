// Applies data points to their series: a cumulative point replaces the value, a delta is added to it.
//
// A series that is not updated is removed after the expiry. A sum of deltas is not: a counter that is rarely
// incremented would begin again each time, and its increase would never be seen. It stays until its place is needed.

import type { ImportedSeries, ImportedSource } from '../../metrics/imported.ts'
import type { ImportedValue } from '../../metrics/sample.ts'
import { progress, sameBounds, together } from './add.ts'
import { keepExemplars } from './exemplars.ts'
import type { Point } from './point.ts'
import type { Reason } from './refusals.ts'
import { Held, type RefusedPoint, type Resource, Resources, type Stream } from './streams.ts'

export type Outcome = 'taken' | Reason

export function isRefusal(outcome: Outcome): outcome is Reason {
  return outcome !== 'taken'
}

/** After a search that found nothing to remove, a full source is not searched again for this long. */
const SEARCH_MS = 1000
/** The most idle sums that a full source removes at once, as a share of its series. */
const EVICTED = 1 / 16

const TARGET = { name: 'target_info', type: 'gauge', help: 'Attributes of the resource.', unit: '' } as const

export interface Losses {
  /** A delta that does not begin where the last one ended. */
  gap(): void
  /** A delta that cannot be added to the sum, which begins again with it. */
  restart(): void
  expired(series: number): void
  /** Idle sums of deltas that made room for new series. */
  evicted(series: number): void
  /** A cumulative point that is from another process than the last one; `times` counts those of this series. */
  returned(resource: Resource, metric: string, times: number): void
}

export class Accumulator {
  readonly resources = new Resources()
  readonly #source: ImportedSource
  readonly #clock: { monotonic(): number }
  readonly #expiryMs: number
  readonly #losses: Losses
  readonly #held = new WeakMap<object, Held>()
  /** The resource that target_info describes, by job and instance. */
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

  /** A point whose label set is new to its stream, or is spelled differently than before. */
  learn(labels: string, stream: Stream, key: string, point: Point, bytes: Buffer): Outcome {
    if (point.value === undefined) return 'invalid_point'
    if (stream.family.name === TARGET.name) return 'name_collision'
    let series = this.#source.add(stream.family, labels, point.value, this.#now)
    if ((series === 'series_limit' || series === 'memory_limit') && this.#makeRoom())
      series = this.#source.add(stream.family, labels, point.value, this.#now)
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
  update(held: Held, stream: Stream, key: string, point: Point, bytes: Buffer): Outcome {
    const { series } = held
    if (point.ended) {
      series.remove()
      held.leave()
      return 'taken'
    }
    if (point.value === undefined) return 'invalid_point'
    const moved = held.stream !== stream || held.key !== key
    if (moved && held.request === this.#request) return 'duplicate_series'
    if (stream.delta ? this.#repeats(held, stream, point) : !moved && this.#isBehind(held, point)) return 'out_of_order'
    const continues = stream.delta && held.stream?.delta === true
    const value = continues ? this.#continued(held, stream, point) : point.value
    if (!stream.delta) this.#compareWriter(held, stream, point)
    if (!sameBounds(series.value, value)) series.kept.clear()
    series.value = value
    if (moved) stream.hold(key, held)
    this.#settle(held, stream, point, bytes)
    return 'taken'
  }

  /** Describes a resource by target_info after it has sent something. `labels` is called if they are not known yet. */
  target(resource: Resource, labels: () => string | undefined): void {
    if (resource.target && !resource.target.gone) {
      resource.target.touched = this.#now
      return
    }
    const text = labels()
    if (text === undefined || !this.resources.held.has(resource.key)) return
    // One description for each job and instance: that of the current process.
    const identity = `${resource.job}\n${resource.instance}`
    const before = this.#described.get(identity)
    if (before?.target && before.target.labels !== text) before.target.remove()
    const series = this.#source.add(TARGET, text, 1, this.#now)
    if (typeof series === 'string') return
    series.touched = this.#now
    resource.target = series
    this.#described.set(identity, resource)
  }

  /** Removes what was not updated within the expiry. */
  expire(): void {
    this.#now = this.#clock.monotonic()
    this.#removeExpired()
  }

  /** Removes everything. */
  clear(): void {
    this.#source.expire(Number.POSITIVE_INFINITY)
    this.#sweep()
  }

  /** Removes expired series or, if there are none, idle sums; false if there are none either. */
  #makeRoom(): boolean {
    if (this.#now - this.#searched < SEARCH_MS) return false
    if (this.#removeExpired() > 0) return true
    const most = Math.max(1, Math.floor(this.#source.series * EVICTED))
    const evicted = this.#source.evict(most, this.#now - this.#expiryMs, series => this.#isSum(series))
    if (evicted === 0) {
      this.#searched = this.#now
      return false
    }
    this.#losses.evicted(evicted)
    this.#sweep()
    return true
  }

  #removeExpired(): number {
    const expires = (series: ImportedSeries): boolean => !this.#isSum(series) && series.family.name !== TARGET.name
    let removed = this.#source.expire(this.#now - this.#expiryMs, expires)
    if (removed > 0) this.#sweep()
    // A target_info is kept as long as its resource has series.
    for (const [identity, { target, key }] of this.#described) {
      if (target && !target.gone && this.resources.held.has(key)) continue
      if (target && !target.gone) removed++
      target?.remove()
      this.#described.delete(identity)
    }
    if (removed > 0) this.#losses.expired(removed)
    return removed
  }

  #isSum(series: ImportedSeries): boolean {
    return this.#held.get(series)?.stream?.delta === true
  }

  #sweep(): void {
    for (const resource of this.resources.held.values())
      for (const scope of resource.scopes.values())
        for (const stream of scope.streams.values())
          for (const held of stream.points.values()) if (held.series.gone) held.leave()
  }

  /** Whether a delta was added before, or is too old to know. */
  #repeats(held: Held, { sender }: Stream, point: Point): boolean {
    const judged = held.intervals?.judge(sender, point.start, point.time)
    // A retry has the same value. Micrometer's last report, of what came in since the one before, has the times of that one.
    const { last } = held
    const same = last.sender === sender && last.start === point.start && last.time === point.time
    const other = same && last.value !== progress(point.value ?? 0)
    if (!held.intervals || judged !== 'old') return judged === 'added' && !other
    const before = held.refused
    held.refused = this.#refusedNow(point)
    if (!before || !(point.start === before.start || point.start === before.time)) return true
    if (!inStep(before, held.refused)) return true
    held.intervals.setBack()
    return false
  }

  /** Whether a cumulative point is older than the last one. */
  #isBehind(held: Held, point: Point): boolean {
    const { start, time } = point
    if (held.time === 0 || time === 0 || time >= held.time) return false
    // A process that was started later may have a clock that is behind.
    if (start > held.start) return false
    const before = held.refused
    held.refused = this.#refusedNow(point)
    // One such point is late. Two in a row that move forward come from a sender whose clock was set back.
    if (!before || start !== before.start || time <= before.time) return true
    const counts = start === held.start && held.series.family.type !== 'gauge'
    return !(inStep(before, held.refused) || (counts && hasGrown(held, point)))
  }

  #refusedNow({ start, time }: Point): RefusedPoint {
    return { start, time, came: this.#now }
  }

  #continued(held: Held, { scope }: Stream, point: Point): ImportedValue {
    // A series that had nothing to report begins where the last report of its resource ended. Without times, gaps
    // cannot be seen.
    const ended = Math.max(held.time, scope.resource.endedBefore(this.#request))
    if (point.start > ended && held.time > 0) this.#losses.gap()
    const delta = point.value ?? 0
    const sum = together(held.series.value, delta)
    if (sum === undefined) {
      this.#losses.restart()
      held.series.created = 0
    }
    return sum ?? delta
  }

  /** Notices processes that write one series in turn, by a start time or a count that goes back. */
  #compareWriter(held: Held, { scope, family }: Stream, point: Point): void {
    if (point.start === 0 || held.stream?.delta === true || point.start > held.start) return
    // Workers that were forked after the first measurement have one start time.
    if (point.start === held.start && (family.type === 'gauge' || hasGrown(held, point))) return
    held.returns++
    this.#losses.returned(scope.resource, family.name, held.returns)
  }

  #settle(held: Held, { family, delta, sender, scope }: Stream, point: Point, bytes: Buffer): void {
    // A sum of deltas began with the first of them.
    if (!delta || held.series.created === 0) held.series.created = point.start / 1e9
    if (delta) {
      held.remember(sender, point.start, point.time, progress(point.value ?? 0))
      scope.resource.ends(this.#request, point.time)
    } else held.intervals = undefined
    held.start = point.start
    held.time = delta ? Math.max(held.time, point.time) : point.time
    held.refused = undefined
    held.request = this.#request
    held.series.touched = this.#now
    if (point.exemplars.length > 0 && (family.type === 'counter' || family.type === 'histogram'))
      keepExemplars(held.series, bytes, point.exemplars)
    held.series.weigh()
  }
}

/** Whether the sender's clock moved between two points about as far as ours; a backlog is delivered faster. */
function inStep(before: RefusedPoint, point: RefusedPoint): boolean {
  const [theirs, ours] = [(point.time - before.time) / 1e6, point.came - before.came]
  return theirs > 0 && ours >= theirs / 2 && ours <= theirs * 2
}

/** Whether a point has counted at least as much as the one that is held: from the same process, it is not older. */
function hasGrown({ series }: Held, { value }: Point): boolean {
  return value !== undefined && progress(value) >= progress(series.value)
}
