// Where the series of a sender are found again: by the bytes of its resource, its scope, its metric and the attributes of
// the data point, so that a point of a known series makes no label. What is held here is exactly what is exposed: each
// series stands in one place, and a level that becomes empty is dropped.

import type { ImportedFamily, ImportedSeries } from '../../exporter/metrics.ts'

export class Resources {
  readonly held = new Map<string, Resource>()
}

export class Resource {
  readonly all: Resources
  readonly key: string
  readonly job: string
  readonly instance: string
  readonly scopes = new Map<string, Scope>()
  /** Its target_info, if it has one. */
  target: ImportedSeries | undefined

  constructor(all: Resources, key: string, job: string, instance: string) {
    this.all = all
    this.key = key
    this.job = job
    this.instance = instance
  }
}

export class Scope {
  readonly resource: Resource
  readonly key: string
  readonly streams = new Map<string, Stream>()

  constructor(resource: Resource, key: string) {
    this.resource = resource
    this.key = key
  }
}

/** One metric of one scope of one resource. */
export class Stream {
  readonly scope: Scope
  readonly key: string
  readonly family: ImportedFamily
  readonly delta: boolean
  readonly points = new Map<string, Held>()

  constructor(scope: Scope, key: string, family: ImportedFamily, delta: boolean) {
    this.scope = scope
    this.key = key
    this.family = family
    this.delta = delta
  }

  /** Puts a series here, and away from where it was: another sender may take it over, such as the next process. */
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

/** A series, and what is known about its last point. */
export class Held {
  readonly series: ImportedSeries
  stream: Stream | undefined
  key = ''
  start = 0
  time = 0
  /** The request that set it last. */
  request = 0

  constructor(series: ImportedSeries) {
    this.series = series
  }

  leave(): void {
    this.stream?.drop(this.key)
    this.stream = undefined
  }
}
