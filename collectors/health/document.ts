// Health documents: what an application says about its parts. The known shapes (health+json, Spring Actuator,
// MicroProfile, Terminus, ASP.NET) differ in spelling only, so one reading takes them all:
//
//   { status, checks: { "name:measurement": [{ status, observedValue, observedUnit }] } }   health+json draft 6
//   { status, components: { name: { status, details, components } } }                       Spring Boot 2.2 and later
//   { status, details: { name: { status, details } } }                                      Spring Boot 2.0, Terminus
//   { status, name: { status, … } }                                                         Spring Boot 1
//   { status, checks: [{ name, status, data }] }                                            MicroProfile
//   { status, entries: { name: { status, data } } }                                         ASP.NET

import type { IncomingHttpHeaders } from 'node:http'

export interface HealthDocument {
  readonly status: Word
  readonly components: readonly Component[]
  readonly observed: readonly Observation[]
  /** Components and values beyond the cap. */
  readonly dropped: number
}

export interface Component {
  /** Parts of parts are joined by "/". */
  readonly name: string
  readonly up: boolean
}

export interface Observation {
  /** "component:measurement", as health+json spells it. */
  readonly name: string
  readonly unit: string
  readonly value: number
}

/** Of each probe's document, that many components are kept, and that many observed values. */
export const COMPONENT_CAP = 100

type Word = 'up' | 'down' | 'unknown'

const NAME_LENGTH = 128
const UNIT_LENGTH = 32
const DEPTH = 8
const CONTAINERS = ['checks', 'components', 'details', 'entries', 'results', 'data'] as const

// "warn" and "Degraded" are answered with 200: it works, and somebody should look.
const WORDS: Readonly<Record<string, Word>> = {
  pass: 'up',
  ok: 'up',
  up: 'up',
  healthy: 'up',
  warn: 'up',
  degraded: 'up',
  fail: 'down',
  error: 'down',
  down: 'down',
  unhealthy: 'down',
  out_of_service: 'down',
  shutting_down: 'down',
}

export function looksLikeDocument(headers: IncomingHttpHeaders): boolean {
  return /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(headers['content-type'] ?? '')
}

/** Undefined for what is not JSON, or is JSON but not about health. */
export function readDocument(text: string): HealthDocument | undefined {
  let root: unknown
  try {
    root = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isRecord(root) || typeof root['status'] !== 'string') return undefined
  const found = new Found()
  parts(root, '', 0, found)
  const status = word(root['status'])
  if (status === 'unknown' && found.components.size === 0) return undefined
  return {
    status,
    components: [...found.components].map(([name, up]) => ({ name, up })),
    observed: [...found.observed.values()],
    dropped: found.dropped,
  }
}

class Found {
  readonly components = new Map<string, boolean>()
  readonly observed = new Map<string, Observation>()
  dropped = 0

  component(name: string, up: boolean): void {
    if (this.components.has(name)) return
    if (this.components.size >= COMPONENT_CAP) this.dropped++
    else this.components.set(name, up)
  }

  value(name: string, unit: string, value: number): void {
    if (!Number.isFinite(value) || this.observed.has(name)) return
    if (this.observed.size >= COMPONENT_CAP) this.dropped++
    else this.observed.set(name, { name, unit: plain(unit, UNIT_LENGTH), value })
  }
}

/** Everything directly inside `record` that has a status of its own, and below it what that contains. */
function parts(record: Readonly<Record<string, unknown>>, prefix: string, depth: number, found: Found): void {
  if (depth > DEPTH) return
  for (const [key, value] of Object.entries(record)) {
    // At the top, "data" is more often the payload of an ordinary API than a part's measurements.
    if (key === 'data' && depth === 0) continue
    if (CONTAINERS.some(each => each === key)) inside(value, prefix, depth, found)
    else if (isRecord(value) && typeof value['status'] === 'string') part(join(prefix, key), value, depth, found)
  }
}

function inside(container: unknown, prefix: string, depth: number, found: Found): void {
  if (Array.isArray(container)) {
    for (const each of container)
      if (isRecord(each) && typeof each['name'] === 'string') part(join(prefix, each['name']), each, depth, found)
    return
  }
  if (!isRecord(container)) return
  for (const [key, value] of Object.entries(container)) {
    if (Array.isArray(value)) several(join(prefix, key), value, depth, found)
    else if (isRecord(value)) part(join(prefix, key), value, depth, found)
    else if (prefix !== '' && typeof value === 'number') found.value(measured(prefix, key), '', value)
  }
}

/** health+json: one name, several instances of it, told apart by their id or else by their place. */
function several(name: string, instances: readonly unknown[], depth: number, found: Found): void {
  instances.forEach((each, place) => {
    if (!isRecord(each)) return
    const id = typeof each['componentId'] === 'string' ? each['componentId'] : String(place)
    part(instances.length === 1 ? name : join(name, id), each, depth, found)
  })
}

function part(name: string, record: Readonly<Record<string, unknown>>, depth: number, found: Found): void {
  const status = typeof record['status'] === 'string' ? word(record['status']) : 'unknown'
  // A word we do not know (Spring's UNKNOWN, a custom one) is neither up nor down: absent rather than wrong.
  if (status !== 'unknown') found.component(name, status === 'up')
  for (const [key, value] of Object.entries(record)) {
    if (typeof value !== 'number') continue
    if (key === 'observedValue')
      found.value(name, typeof record['observedUnit'] === 'string' ? record['observedUnit'] : '', value)
    else found.value(measured(name, key), '', value)
  }
  parts(record, name, depth + 1, found)
}

function word(status: string): Word {
  const key = status.toLowerCase()
  return Object.hasOwn(WORDS, key) ? WORDS[key]! : 'unknown'
}

function join(prefix: string, name: string): string {
  return plain(prefix === '' ? name : `${prefix}/${name}`, NAME_LENGTH)
}

function measured(name: string, key: string): string {
  return plain(`${name}:${key}`, NAME_LENGTH)
}

/** Fit to be a label: one line, well-formed, of bounded length. */
function plain(text: string, length: number): string {
  return text
    .replace(/[\x00-\x1f\x7f]+/g, ' ')
    .slice(0, length)
    .toWellFormed()
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
