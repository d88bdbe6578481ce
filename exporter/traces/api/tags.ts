// The names of tags by their scopes, and the values of one tag: what Grafana's editor offers. Both are read from the spans in
// memory when they are asked for, so nothing is offered that no span has.

import { field, LENGTH, Reader } from '../../../otlp/wire.ts'
import type { Cursor as RingCursor } from '../../../store/cursor.ts'
import { BOOL, DOUBLE, INT, STRING } from '../../../telemetry/attribute.ts'
import { BadQuery, type Cursor, type Pace, type Scope, type Source, type Value } from '../../../traceql/reading.ts'
import {
  AttributeValue,
  EVENT_ATTRIBUTE,
  Key,
  LINK_ATTRIBUTE,
  RESOURCE_ATTRIBUTE,
  SCOPE_ATTRIBUTE,
  SPAN_ATTRIBUTE,
} from '../../../traceql/value.ts'
import { Keys } from './keys.ts'
import { shown } from './params.ts'
import { type Which, walk } from './walk.ts'

export const SCOPES = ['span', 'resource', 'instrumentation', 'event', 'link'] as const satisfies readonly Scope[]

const STATUSES = ['error', 'ok', 'unset']
const KINDS = ['client', 'consumer', 'internal', 'producer', 'server', 'unspecified']

/** As Tempo lists them. */
export const INTRINSICS = [
  ...['duration', 'event:name', 'event:timeSinceStart', 'instrumentation:name', 'instrumentation:version', 'kind'],
  ...['link:spanID', 'link:traceID', 'name', 'rootName', 'rootServiceName', 'span:duration', 'span:id', 'span:kind'],
  ...['span:name', 'span:parentID', 'span:status', 'span:statusMessage', 'status', 'statusMessage', 'trace:duration'],
  ...['trace:id', 'trace:rootName', 'trace:rootService', 'traceDuration'],
]

export interface Tags {
  readonly scopes: ReadonlyMap<Scope, readonly string[]>
  readonly inspectedBytes: number
}

/** The keys of attributes in these scopes, sorted; at most `limit` of each. */
export async function tagNames(
  source: Source,
  scopes: readonly Scope[],
  limit: number,
  which: Which,
  pace: Pace,
): Promise<Tags> {
  const keys = new Map(scopes.map(scope => [scope, new Keys(limit)]))
  const [span, resource, scope] = [keys.get('span'), keys.get('resource'), keys.get('instrumentation')]
  const [event, link] = [keys.get('event'), keys.get('link')]
  let [resourceBefore, scopeBefore] = [-1, -1]
  let bytesBefore = NOTHING
  const inspectedBytes = await walk(source, which, pace, each => {
    // Nobody else makes cursors.
    const cursor = each as RingCursor
    const { bytes, spanStart, spanEnd } = cursor
    span?.collect(bytes, spanStart, spanEnd, SPAN_ATTRIBUTE)
    if (event && cursor.hasEvents) inside(event, bytes, spanStart, spanEnd, EVENT, EVENT_ATTRIBUTE)
    if (link && cursor.hasLinks) inside(link, bytes, spanStart, spanEnd, LINK, LINK_ATTRIBUTE)
    const { resourceAt } = cursor
    if (resource && (resourceAt !== resourceBefore || bytes !== bytesBefore)) {
      const [start, end] = cursor.resourceSpans()
      inside(resource, bytes, start, end, RESOURCE, RESOURCE_ATTRIBUTE)
    }
    if (scope) {
      const [start, end] = cursor.scopeSpans()
      if (start !== scopeBefore || bytes !== bytesBefore) inside(scope, bytes, start, end, SCOPE, SCOPE_ATTRIBUTE)
      scopeBefore = start
    }
    resourceBefore = resourceAt
    bytesBefore = bytes
    return undefined
  })
  return { scopes: new Map([...keys].map(([scope, { found }]) => [scope, [...found].sort()])), inspectedBytes }
}

/** Collects the keys in each message of one field. */
function inside(keys: Keys, bytes: Buffer, start: number, end: number, wanted: number, attribute: number): void {
  for (const parts = reader.over(bytes, start, end); parts.next(); )
    if (parts.tag === wanted) keys.collect(bytes, parts.start, parts.end, attribute)
}

const reader = new Reader()
const NOTHING: Buffer = Buffer.alloc(0)
const RESOURCE = field(1, LENGTH)
const SCOPE = field(1, LENGTH)
const EVENT = field(11, LENGTH)
const LINK = field(13, LENGTH)

export type ValueType = 'string' | 'int' | 'float' | 'bool' | 'keyword'

export interface TagValue {
  readonly type: ValueType
  readonly value: string
}

/** A tag as Grafana names it: an intrinsic, or an attribute with its scope, "none" if any will do. */
export type Tag =
  | { readonly kind: 'intrinsic'; readonly name: string }
  | { readonly kind: 'attribute'; readonly scope: Scope | 'none'; readonly name: string }

/** `span.http.route`, `.x`, `name`. Throws BadQuery for what is neither. */
export function tagOf(text: string): Tag {
  if (INTRINSICS.includes(text)) return { kind: 'intrinsic', name: text }
  const dot = text.indexOf('.')
  const scope = dot === 0 ? 'none' : SCOPES.find(each => dot > 0 && each === text.slice(0, dot))
  const name = text.slice(dot + 1).replace(/^"(.*)"$/, '$1')
  if (scope === undefined || dot < 0 || name === '')
    throw new BadQuery(
      `unknown tag ${shown(text)}: must be an intrinsic such as name, or an attribute with its scope, such as span.http.route`,
    )
  return { kind: 'attribute', scope, name }
}

/** Values may be long: these many bytes of them are enough to choose from. */
const MOST_BYTES = 2 ** 20
const LONGEST = 4096

class Values {
  readonly found = new Map<string, TagValue>()
  readonly #limit: number
  #bytes = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get full(): boolean {
    return this.found.size >= this.#limit || this.#bytes >= MOST_BYTES
  }

  add(type: ValueType, value: string): void {
    if (this.full || value.length > LONGEST) return
    const key = type + value
    if (this.found.has(key)) return
    this.found.set(key, { type, value })
    this.#bytes += value.length
  }

  /** Arrays give their elements. */
  addValue(value: Value): void {
    switch (value.type) {
      case STRING:
        if (value.end - value.start <= LONGEST) this.add('string', value.text())
        break
      case INT:
        this.add('int', value.text())
        break
      case DOUBLE:
        this.add('float', value.text())
        break
      case BOOL:
        this.add('bool', value.text())
        break
      default:
        if (value.isArray) value.elements(each => void (each.isArray || this.addValue(each)))
    }
  }

  sorted(): readonly TagValue[] {
    return [...this.found.values()].sort((a, b) => order(a.value, b.value) || order(a.type, b.type))
  }
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** The different values of a tag, sorted; at most `limit`. */
export async function tagValues(
  source: Source,
  tag: Tag,
  limit: number,
  which: Which,
  pace: Pace,
): Promise<readonly TagValue[]> {
  const values = new Values(limit)
  if (tag.kind === 'attribute') {
    const key = new Key(tag.name)
    const scopes: readonly Scope[] = tag.scope === 'none' ? SCOPES : [tag.scope]
    const value = new AttributeValue()
    let place = -1
    let bytes = NOTHING
    await walk(source, which, pace, each => {
      const cursor = each as RingCursor
      for (const scope of scopes)
        if (scope === 'event' || scope === 'link') {
          for (const parts = scope === 'event' ? cursor.events() : cursor.links(); parts.next(); )
            if (parts.attribute(key, value)) values.addValue(value)
        } else if (
          !(scope === 'resource' && cursor.resourceAt === place && cursor.bytes === bytes) &&
          cursor.attribute(scope, key, value)
        )
          values.addValue(value)
      place = cursor.resourceAt
      bytes = cursor.bytes
      return !values.full
    })
    return values.sorted()
  }
  const read = intrinsic(tag.name, values)
  if (typeof read === 'function')
    await walk(source, which, pace, cursor => {
      read(cursor)
      return !values.full
    })
  return typeof read === 'function' ? values.sorted() : read
}

/** The reader of an intrinsic of a span; or its values, where they are fixed or too many to choose from. */
function intrinsic(name: string, values: Values): readonly TagValue[] | ((cursor: Cursor) => void) {
  const value = new AttributeValue()
  switch (name) {
    case 'status':
    case 'span:status':
      return STATUSES.map(each => ({ type: 'keyword', value: each }))
    case 'kind':
    case 'span:kind':
      return KINDS.map(each => ({ type: 'keyword', value: each }))
    case 'name':
    case 'span:name':
      return numbered(cursor => [cursor.name, cursor.segment.names], values)
    case 'rootName':
    case 'trace:rootName':
      return numbered(cursor => (cursor.isRoot ? [cursor.name, cursor.segment.names] : undefined), values)
    case 'rootServiceName':
    case 'trace:rootService':
      return numbered(cursor => (cursor.isRoot ? [cursor.service, cursor.segment.services] : undefined), values)
    case 'statusMessage':
    case 'span:statusMessage':
      return cursor => void (cursor.statusMessage(value) && values.addValue(value))
    case 'instrumentation:name':
      return cursor => void (cursor.scopeName(value) && values.addValue(value))
    case 'instrumentation:version':
      return cursor => void (cursor.scopeVersion(value) && values.addValue(value))
    case 'event:name':
      return cursor => {
        for (const events = cursor.events(); events.next(); ) if (events.name(value)) values.addValue(value)
      }
    default:
      // Durations and ids: each span has another one.
      return []
  }
}

type Numbered = readonly [number: number, texts: Cursor['segment']['names']]

/** Names and services have numbers, so each is made a text once. */
function numbered(of: (cursor: Cursor) => Numbered | undefined, values: Values): (cursor: Cursor) => void {
  let seen = new Set<number>()
  let [texts, generation]: [Numbered[1] | undefined, number] = [undefined, -1]
  return cursor => {
    const found = of(cursor)
    if (!found) return
    if (found[1] !== texts || found[1].generation !== generation) {
      texts = found[1]
      generation = texts.generation
      seen = new Set()
    }
    if (seen.has(found[0])) return
    seen.add(found[0])
    values.add('string', found[1].text(found[0]))
  }
}
