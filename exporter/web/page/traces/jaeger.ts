// A trace of Jaeger's JSON, as its API and its page give it, as OTLP.
//
//   { traceID, spans: [{ spanID, operationName, references: [{ refType, traceID, spanID }], startTime µs, duration µs,
//     tags: [{ key, type, value }], logs: [{ timestamp µs, fields: [tag] }], processID }], processes: { p1: {
// serviceName, tags } } }

import { hexId, isObject, type Json, type JsonObject, objects, type Placed, text } from './detail.ts'

const KINDS: Readonly<Record<string, number>> = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 }

export function* fromJaeger(trace: JsonObject): Generator<Placed> {
  const processes = isObject(trace['processes']) ? trace['processes'] : {}
  const resources = new Map<string, JsonObject>()
  const resourceOf = (id: string): JsonObject => {
    const known = resources.get(id)
    if (known) return known
    const process = Object.hasOwn(processes, id) ? processes[id] : undefined
    const { serviceName, tags } = isObject(process) ? process : {}
    const service = { key: 'service.name', value: { stringValue: text(serviceName) || 'unknown_service' } }
    const made = { attributes: [service, ...attributes(tags)] }
    resources.set(id, made)
    return made
  }
  const scope: JsonObject = {}
  for (const span of objects(trace['spans'])) {
    const process = isObject(span['process']) ? span['process'] : undefined
    if (process && !resources.has(JSON.stringify(process)))
      resources.set(JSON.stringify(process), {
        attributes: [
          { key: 'service.name', value: { stringValue: text(process['serviceName']) || 'unknown_service' } },
          ...attributes(process['tags']),
        ],
      })
    const references = objects(span['references'])
    const parent = references.find(each => each['refType'] === 'CHILD_OF') ?? references[0]
    const tags = objects(span['tags'])
    const tag = (key: string): Json | undefined => tags.find(each => each['key'] === key)?.['value']
    const start = nanos(span['startTime'])
    const failed = text(tag('otel.status_code')) === 'ERROR' || tag('error') === true || text(tag('error')) === 'true'
    yield {
      resource: process ? resources.get(JSON.stringify(process))! : resourceOf(text(span['processID'])),
      scope,
      span: {
        traceId: hexId(span['traceID'] ?? trace['traceID'], 16),
        spanId: hexId(span['spanID'], 8),
        ...(parent && { parentSpanId: hexId(parent['spanID'], 8) }),
        name: text(span['operationName']),
        kind: KINDS[text(tag('span.kind'))] ?? 0,
        startTimeUnixNano: String(start),
        endTimeUnixNano: String(start + nanos(span['duration'])),
        attributes: attributes(span['tags']),
        events: objects(span['logs']).map(log => {
          const fields = objects(log['fields'])
          const name = fields.find(({ key }) => key === 'event' || key === 'message')
          return {
            timeUnixNano: String(nanos(log['timestamp'])),
            name: text(name?.['value']) || 'log',
            attributes: attributes(fields.filter(each => each !== name || each['key'] !== 'event')),
          }
        }),
        links: references
          .filter(each => each !== parent)
          .map(each => ({ traceId: hexId(each['traceID'], 16), spanId: hexId(each['spanID'], 8) })),
        status: { code: failed ? 2 : 0, message: text(tag('otel.status_description')) },
      },
    }
  }
}

function attributes(tags: Json | undefined): JsonObject[] {
  return objects(tags).map(({ key, value }) => ({ key: text(key), value: anyValue(value) }))
}

function anyValue(value: Json | undefined): JsonObject {
  switch (typeof value) {
    case 'boolean':
      return { boolValue: value }
    case 'number':
      return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value }
    case 'string':
      return { stringValue: value }
    default:
      return { stringValue: value === undefined ? '' : JSON.stringify(value) }
  }
}

/** Microseconds, which may have a fraction, as nanoseconds. */
function nanos(value: Json | undefined): bigint {
  const micros = Number(value)
  return Number.isFinite(micros) && Math.abs(micros) < 2 ** 53 ? BigInt(Math.round(micros)) * 1000n : 0n
}
