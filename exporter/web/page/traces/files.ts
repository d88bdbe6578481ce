// Files with traces that a person drops onto the page: OTLP/JSON (one object, or one a line as the Collector's file exporter
// writes), Tempo's JSON (base64 ids), Jaeger's. They are brought to OTLP/JSON and from there to columns, and stay in
// the browser.

import { MISSING, NO_PARENT, type TraceColumns } from '../../../../telemetry/trace-columns.ts'
import {
  type Detail,
  detailOf,
  hexId,
  isObject,
  type Json,
  type JsonObject,
  objects,
  type Placed,
  text,
  whole,
} from './detail.ts'
import { fromJaeger } from './jaeger.ts'

export const MOST_BYTES = 64 * 2 ** 20
export const MOST_SPANS = 50_000

/** A trace that is in the browser as a whole. */
export interface LocalTrace {
  readonly columns: TraceColumns
  detail(span: number): Detail
  /** By span: 1 if the text, whatever its case, occurs in it. */
  find(wanted: string): Uint8Array
  /** As OTLP/JSON, to be saved. */
  otlp(): string
}

/** The traces in a file, those with the most spans first. Throws an Error that says what is wrong with it. */
export function readTraces(content: string): LocalTrace[] {
  const placed = parsed(content).flatMap(each => [...spansOf(each)])
  const traces = new Map<string, Placed[]>()
  for (const each of placed) {
    const id = text(each.span['traceId'])
    const known = traces.get(id)
    if (known) known.push(each)
    else traces.set(id, [each])
  }
  if (traces.size === 0)
    throw new Error('cannot find a trace in this file: it must be OTLP JSON, Tempo JSON or Jaeger JSON')
  return [...traces.values()].sort((a, b) => b.length - a.length).map(localTrace)
}

/** One object, or one a line. */
function parsed(content: string): Json[] {
  try {
    return [JSON.parse(content) as Json]
  } catch (error) {
    const lines = content.split('\n').filter(line => line.trim() !== '')
    if (lines.length < 2) throw new Error(`cannot read this file as JSON: ${(error as Error).message}`)
    return lines.map((line, i) => {
      try {
        return JSON.parse(line) as Json
      } catch (cause) {
        throw new Error(`cannot read this file as JSON: line ${i + 1}: ${(cause as Error).message}`)
      }
    })
  }
}

function* spansOf(document: Json): Generator<Placed> {
  if (Array.isArray(document)) {
    for (const each of document) yield* spansOf(each)
    return
  }
  if (!isObject(document)) return
  // Jaeger's API answers {data: […]}, and its page saves the same.
  const traces = Array.isArray(document['data']) ? document['data'] : Array.isArray(document['spans']) ? [document] : []
  for (const trace of objects(traces)) yield* fromJaeger(trace)
  const around = isObject(document['trace']) ? document['trace'] : document
  for (const group of objects(around['resourceSpans'] ?? around['batches'])) {
    const resource = isObject(group['resource']) ? group['resource'] : {}
    for (const scoped of objects(group['scopeSpans'] ?? group['instrumentationLibrarySpans'])) {
      const scope = scoped['scope'] ?? scoped['instrumentationLibrary']
      for (const span of objects(scoped['spans']))
        yield { resource, scope: isObject(scope) ? scope : {}, span: normal(span) }
    }
  }
}

/** Ids in hexadecimal, enums as numbers. */
function normal(span: JsonObject): JsonObject {
  const status = isObject(span['status']) ? span['status'] : undefined
  return {
    ...span,
    traceId: hexId(span['traceId'], 16),
    spanId: hexId(span['spanId'], 8),
    ...(span['parentSpanId'] !== undefined && { parentSpanId: hexId(span['parentSpanId'], 8) }),
    kind: numbered(span['kind'], KINDS),
    ...(status && { status: { ...status, code: numbered(status['code'], STATUSES) } }),
    ...(span['links'] !== undefined && {
      links: objects(span['links']).map(each => ({
        ...each,
        traceId: hexId(each['traceId'], 16),
        spanId: hexId(each['spanId'], 8),
      })),
    }),
  }
}

const KINDS = ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER']
const STATUSES = ['UNSET', 'OK', 'ERROR']

function numbered(value: Json | undefined, names: readonly string[]): number {
  if (typeof value === 'number') return value >= 0 && value < names.length ? value : 0
  const name = text(value).toUpperCase()
  return Math.max(
    0,
    names.findIndex(each => name === each || name.endsWith(`_${each}`)),
  )
}

function localTrace(all: readonly Placed[]): LocalTrace {
  const kept = all.length > MOST_SPANS ? all.slice(0, MOST_SPANS) : all
  const timed = kept.map(each => {
    const start = whole(each.span['startTimeUnixNano'])
    return { each, start, nanos: Math.max(0, Number(whole(each.span['endTimeUnixNano']) - start)) }
  })
  timed.sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0))
  const origin = timed[0]!.start
  const places = new Map<string, number>()
  for (const [i, { each }] of timed.entries()) {
    const id = text(each.span['spanId'])
    // Both sides of a call may have one id; children belong to the server's.
    if (id !== '' && (!places.has(id) || each.span['kind'] === 2)) places.set(id, i)
  }
  const services = new Map<string, number>()
  const names = new Map<string, number>()
  const missing: Record<number, string> = {}
  const events: [number, number, string][] = []
  const columns = timed.map(({ each, start, nanos }, i) => {
    const { resource, span } = each
    const parentId = text(span['parentSpanId'])
    const found = places.get(parentId)
    const parent =
      parentId === '' || /^0+$/.test(parentId) ? NO_PARENT : found === undefined || found === i ? MISSING : found
    if (parent === MISSING) missing[i] = parentId
    for (const event of objects(span['events']))
      events.push([i, Number(whole(event['timeUnixNano']) - origin) / 1000, text(event['name'])])
    const service = objects(resource['attributes']).find(({ key }) => key === 'service.name')
    return {
      spanId: text(span['spanId']),
      parent,
      start: Number(start - origin) / 1000,
      duration: nanos / 1000,
      service: place(
        services,
        isObject(service?.['value']) ? text(service['value']['stringValue']) || 'unknown_service' : 'unknown_service',
      ),
      name: place(names, text(span['name'])),
      kind: Number(span['kind'] ?? 0),
      status: isObject(span['status']) ? Number(span['status']['code'] ?? 0) : 0,
    }
  })
  let searched: string[] | undefined
  return {
    columns: {
      traceId: text(kept[0]!.span['traceId']),
      startUnixNano: String(origin),
      ...(kept !== all && { partial: `it has ${all.length} spans, and only ${MOST_SPANS} are shown` }),
      services: [...services.keys()],
      names: [...names.keys()],
      spanId: columns.map(each => each.spanId),
      parent: columns.map(each => each.parent),
      start: columns.map(each => each.start),
      duration: columns.map(each => each.duration),
      service: columns.map(each => each.service),
      name: columns.map(each => each.name),
      kind: columns.map(each => each.kind),
      status: columns.map(each => each.status),
      missing,
      events,
      eventsLeftOut: 0,
    },
    detail(span) {
      const { resource, scope, span: own } = timed[span]!.each
      return detailOf(resource, scope, own)
    },
    find(wanted) {
      searched ??= timed.map(({ each }) => haystack(each))
      const lower = wanted.toLowerCase()
      return Uint8Array.from(searched, each => (each.includes(lower) ? 1 : 0))
    },
    otlp: () => JSON.stringify({ resourceSpans: grouped(timed.map(({ each }) => each)) }),
  }
}

function place(places: Map<string, number>, name: string): number {
  const known = places.get(name)
  if (known !== undefined) return known
  places.set(name, places.size)
  return places.size - 1
}

/** All that a person may look for, a line each. */
function haystack({ resource, scope, span }: Placed): string {
  const detail = detailOf(resource, scope, span)
  const all = [...detail.attributes, ...detail.resource, ...detail.events.flatMap(each => each.attributes)]
  return [
    text(span['name']),
    text(span['spanId']),
    detail.statusMessage,
    detail.scope,
    ...detail.events.map(each => each.name),
    ...all.map(([key, value]) => `${key}=${value}`),
  ]
    .join('\n')
    .toLowerCase()
}

/** Spans that follow each other with one resource and scope, below it. */
function grouped(all: readonly Placed[]): JsonObject[] {
  const groups = new Map<JsonObject, Map<JsonObject, JsonObject[]>>()
  for (const { resource, scope, span } of all) {
    const scopes = groups.get(resource) ?? new Map<JsonObject, JsonObject[]>()
    groups.set(resource, scopes)
    const spans = scopes.get(scope) ?? []
    scopes.set(scope, spans)
    spans.push(span)
  }
  return [...groups].map(([resource, scopes]) => ({
    resource,
    scopeSpans: [...scopes].map(([scope, spans]) => ({ scope, spans })),
  }))
}
