// Health documents: the status of an application's components, as it reports them itself. The known formats (health+json,
// Spring Actuator, MicroProfile, Terminus, ASP.NET) differ only in their spelling, so one parser reads them all:
//
//   { status, checks: { "name:measurement": [{ status, observedValue, observedUnit }] } }   health+json draft 6
//   { status, components: { name: { status, details, components } } }                       Spring Boot 2.2 and later
//   { status, details: { name: { status, details } } }                                      Spring Boot 2.0, Terminus
//   { status, name: { status, … } }                                                         Spring Boot 1
//   { status, checks: [{ name, status, data }] }                                            MicroProfile
//   { status, entries: { name: { status, data } } }                                         ASP.NET

export interface HealthDocument {
  readonly status: Word
  readonly components: readonly Component[]
  readonly observed: readonly Observation[]
  /** Components and values beyond the cap. */
  readonly dropped: number
}

export interface Component {
  /** The names of nested components are joined by "/". */
  readonly name: string
  readonly up: boolean
}

export interface Observation {
  /** "component:measurement", as health+json spells it. */
  readonly name: string
  readonly unit: string
  readonly value: number
}

/** The most components, and the most observed values, that are kept of one document. */
export const COMPONENT_CAP = 100

type Word = 'up' | 'down' | 'unknown'

const NAME_LENGTH = 128
const UNIT_LENGTH = 32
const DEPTH = 8
const CONTAINERS = ['checks', 'components', 'details', 'entries', 'results', 'data'] as const

// "warn" and "Degraded" come with status 200: the application works, and somebody should look at it.
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

export function looksLikeDocument(contentType = ''): boolean {
  return /^application\/(?:[\w.-]+\+)?json[ \t]*(?:[;,]|$)/i.test(contentType)
}

/** Undefined if the text is not JSON, or is JSON without a health status. */
export function readDocument(text: string): HealthDocument | undefined {
  let root: unknown
  try {
    root = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isRecord(root) || typeof root['status'] !== 'string') return undefined
  const found = new Gathered()
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

class Gathered {
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

/** Every entry of `record` that has a status of its own, and the entries below it. */
function parts(record: Readonly<Record<string, unknown>>, prefix: string, depth: number, found: Gathered): void {
  if (depth > DEPTH) return
  for (const [key, value] of Object.entries(record)) {
    // At the top level, "data" is usually the payload of an ordinary API and not the measurements of a component.
    if (key === 'data' && depth === 0) continue
    if (CONTAINERS.some(each => each === key)) inside(value, prefix, depth, found)
    else if (isRecord(value) && typeof value['status'] === 'string') part(join(prefix, key), value, depth, found)
  }
}

function inside(container: unknown, prefix: string, depth: number, found: Gathered): void {
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

/** health+json: several instances of one name, distinguished by their id or else by their index. */
function several(name: string, instances: readonly unknown[], depth: number, found: Gathered): void {
  instances.forEach((each, place) => {
    if (!isRecord(each)) return
    const id = typeof each['componentId'] === 'string' ? each['componentId'] : String(place)
    part(instances.length === 1 ? name : join(name, id), each, depth, found)
  })
}

function part(name: string, record: Readonly<Record<string, unknown>>, depth: number, found: Gathered): void {
  const status = typeof record['status'] === 'string' ? word(record['status']) : 'unknown'
  // An unknown word (Spring's UNKNOWN, a custom status) is neither up nor down: the component is left out.
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

/** The text as a label value: one line, well-formed, of limited length. */
function plain(text: string, length: number): string {
  return text
    .replace(/[\x00-\x1f\x7f]+/g, ' ')
    .slice(0, length)
    .toWellFormed()
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
