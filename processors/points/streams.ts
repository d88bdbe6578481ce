// Where the series of a sender are found again: by the bytes of its resource, its scope, its metric and the attributes
// of the data point, so that no label is made for a point of a known series. This holds exactly what is exposed: each
// series is in one place, and a level that becomes empty is dropped.

import type { ImportedFamily, ImportedSeries } from '../../metrics/imported.ts'
import { Intervals } from './intervals.ts'

export class Resources {
  readonly held = new Map<string, Resource>()
}

export class Resource {
  readonly all: Resources
  readonly key: string
  readonly fingerprint: number
  readonly job: string
  readonly instance: string
  readonly scopes = new Map<string, Scope>()
  /** Its target_info, if it has one. */
  target: ImportedSeries | undefined
  /** The newest time of its deltas, before the request that is being taken. */
  #ended = 0
  #ending = 0
  #request = 0

  constructor(all: Resources, key: string, job: string, instance: string) {
    this.all = all
    this.key = key
    this.fingerprint = fingerprint(0, key)
    this.job = job
    this.instance = instance
  }

  /** The end of the newest delta that came before this request, of any series; 0 if there was none. */
  endedBefore(request: number): number {
    return this.#request === request ? this.#ended : this.#ending
  }

  /** Notes the end of a delta. */
  ends(request: number, time: number): void {
    if (this.#request !== request) {
      this.#request = request
      this.#ended = this.#ending
    }
    this.#ending = Math.max(this.#ending, time)
  }
}

export class Scope {
  readonly resource: Resource
  readonly key: string
  readonly fingerprint: number
  readonly streams = new Map<string, Stream>()

  constructor(resource: Resource, key: string) {
    this.resource = resource
    this.key = key
    this.fingerprint = fingerprint(resource.fingerprint, key)
  }
}

/** One metric of one scope of one resource. */
export class Stream {
  readonly scope: Scope
  readonly key: string
  readonly family: ImportedFamily
  readonly delta: boolean
  /** Equal for streams with the same bytes, even if one was dropped and created again. */
  readonly sender: number
  readonly points = new Map<string, Held>()

  constructor(scope: Scope, key: string, family: ImportedFamily, delta: boolean) {
    this.scope = scope
    this.key = key
    this.family = family
    this.delta = delta
    this.sender = fingerprint(scope.fingerprint, key)
  }

  /** Moves a series here from wherever it was: another sender may take it over, such as the next process. */
  hold(key: string, held: Held): void {
    held.leave()
    const { scope } = this
    const { resource } = scope
    resource.all.held.set(resource.key, resource)
    resource.scopes.set(scope.key, scope)
    scope.streams.set(this.key, this)
    this.points.set(key, held)
    held.stream = this
    held.key = key
  }

  drop(key: string): void {
    this.points.delete(key)
    if (this.points.size > 0) return
    const { scope } = this
    scope.streams.delete(this.key)
    if (scope.streams.size > 0) return
    scope.resource.scopes.delete(scope.key)
    if (scope.resource.scopes.size === 0) scope.resource.all.held.delete(scope.resource.key)
  }
}

interface Delta {
  sender: number
  start: number
  time: number
  value: number
}

/** Before the first delta. */
const NONE: Delta = { sender: 0, start: 0, time: 0, value: 0 }

/** A series, and what is known about its points. */
export class Held {
  readonly series: ImportedSeries
  stream: Stream | undefined
  key = ''
  /** Start and time of its last point; for deltas the newest time. */
  start = 0
  time = 0
  /** The request that set it last. */
  request = 0
  /** The number of times that it went back to another process. */
  returns = 0
  /** The last point that was refused as too old, if none was taken since. */
  refused: RefusedPoint | undefined
  /** The delta that was added last: its value, or the number of its observations. */
  last = NONE
  /** The deltas that were added, if it is a sum of deltas. */
  intervals: Intervals | undefined

  constructor(series: ImportedSeries) {
    this.series = series
  }

  /** Remembers a delta that is added. */
  remember(sender: number, start: number, time: number, value: number): void {
    if (this.last === NONE) this.last = { ...NONE }
    const { last } = this
    last.sender = sender
    last.start = start
    last.time = time
    last.value = value
    this.intervals ??= new Intervals()
    this.intervals.add(sender, start, time)
  }

  leave(): void {
    this.stream?.drop(this.key)
    this.stream = undefined
  }
}

export interface RefusedPoint {
  readonly start: number
  readonly time: number
  /** When it came, in milliseconds of the monotonic clock. */
  readonly came: number
}

/**
 * 52 bits that differ for different texts; `before` is the fingerprint of the text in front of it. A collision matters
 * only for two deltas of one series that have equal times.
 */
function fingerprint(before: number, text: string): number {
  let [a, b] = [Math.floor(before / 2 ** 26) ^ text.length, before % 2 ** 26]
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    a = Math.imul(a ^ unit, 0x01000193)
    b = Math.imul(b + unit, 0xcc9e2d51) ^ (b >>> 13)
  }
  return (a >>> 6) * 2 ** 26 + (b >>> 6)
}
