// One request through the product and through protobufjs: the same verdict, and the same spans with the same contents.

import { isDeepStrictEqual } from 'node:util'
import { Check } from '../../otlp/check.ts'
import { withoutBadSpans } from '../../otlp/reject.ts'
import { SpanVisitor } from '../../otlp/visit.ts'
import { REQUEST, type Signal } from './generate.ts'
import { decoder, valueIn } from './protobufjs.ts'
import { type Recorded, Recorder } from './recorder.ts'

const KEYS = ['http.route', 'http.response.status_code', 'k', '']
const RESOURCE = ['service.name', 'k']

/** More spans than a request of the test has. */
const MANY = 100_000

const recorder = new Recorder(KEYS, RESOURCE)
const visitor = new SpanVisitor(recorder.keys, [recorder])
const check = new Check()

/** Undefined if both agree; otherwise what they disagree about. */
export function disagreement(signal: Signal, bytes: Buffer): string | undefined {
  const oracle = decoded(signal, bytes)
  const ours = check.run(bytes, REQUEST[signal])
  if (ours !== (oracle !== undefined))
    return ours ? 'we accept, protobufjs refuses' : `we refuse: ${check.why} at ${check.offset}`
  if (signal !== 'traces') return undefined
  const { walk } = visitor
  if (walk.run(bytes, MANY) !== ours)
    return ours ? 'the check accepts, the walk refuses' : 'the walk accepts, the check refuses'
  if (!oracle) return undefined

  const expected = spansOf(oracle)
  if (check.items !== expected.length || walk.items !== expected.length)
    return `we count ${check.items}, ${walk.items} spans, protobufjs ${expected.length}`
  const good = expected.filter(each => each !== undefined)
  const bad = walk.badTraceIds + walk.badSpanIds + walk.badParentIds
  if (bad !== expected.length - good.length)
    return `we refuse ${bad} spans, it should be ${expected.length - good.length}`

  const kept = bad === 0 ? bytes : withoutBadSpans(bytes)
  if (!check.run(kept, REQUEST.traces) || check.items !== good.length) return 'the request without bad spans is broken'
  recorder.spans = []
  visitor.visit({ signal, bytes: kept, items: check.items, received: 0 })
  const seen = recorder.spans.map(comparable)
  const first = good.findIndex((each, i) => !isDeepStrictEqual(each, seen[i]))
  return first < 0
    ? undefined
    : `span ${first}: ${JSON.stringify(seen[first])} should be ${JSON.stringify(good[first])}`
}

// biome-ignore lint/suspicious/noExplicitAny: what protobufjs decodes has the shape of the published schema
type Decoded = any

function decoded(signal: Signal, bytes: Buffer): Decoded | undefined {
  try {
    return decoder(signal).decode(bytes)
  } catch {
    return undefined
  }
}

type Expected = Omit<Recorded, 'serial'>

/** Every span as the visitor should show it; undefined for one that must be refused. */
function spansOf(request: Decoded): (Expected | undefined)[] {
  const spans: (Expected | undefined)[] = []
  for (const { resource, scopeSpans } of request.resourceSpans)
    for (const scope of scopeSpans)
      for (const span of scope.spans) spans.push(expected(span, scope.scope, resource?.attributes ?? []))
  return spans
}

function expected(span: Decoded, scope: Decoded, resource: readonly Decoded[]): Expected | undefined {
  const traceId = Buffer.from(span.traceId).toString('hex')
  const spanId = Buffer.from(span.spanId).toString('hex')
  const parent = Buffer.from(span.parentSpanId).toString('hex')
  if (traceId.length !== 32 || !/[^0]/.test(traceId) || spanId.length !== 16 || !/[^0]/.test(spanId)) return undefined
  if (parent.length !== 0 && parent.length !== 16) return undefined
  const start = BigInt(span.startTimeUnixNano.toString())
  const end = BigInt(span.endTimeUnixNano.toString())
  const code = span.status?.code ?? 0
  return {
    traceId,
    spanId,
    parent: /[^0]/.test(parent) ? parent : undefined,
    name: span.name,
    kind: span.kind >= 0 && span.kind <= 5 ? span.kind : 0,
    status: code >= 0 && code <= 2 ? code : 0,
    traceState: span.traceState,
    flags: span.flags,
    events: span.events.length,
    links: span.links.length,
    seconds: start === 0n || end < start ? 0 : Number(end - start) / 1e9,
    endSeconds: Number(end) / 1e9,
    attributes: wantedOf(span.attributes, KEYS),
    resource: wantedOf(resource, RESOURCE),
    resourceKeys: resource.map(each => each.key),
    scope: `${scope?.name ?? ''}@${scope?.version ?? ''}`,
  }
}

function wantedOf(attributes: readonly Decoded[], keys: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {}
  for (const key of keys) {
    // If a key occurs twice, the first that has a value wins.
    const { value } = attributes.find(each => each.key === key && each.value?.value) ?? {}
    if (value) found[key] = shown(value)
  }
  return found
}

function shown(value: Decoded): string {
  switch (value.value) {
    case 'stringValue':
      return value.stringValue
    case 'boolValue':
    case 'intValue':
    case 'doubleValue':
      return `${value.value} ${value[value.value]}`
    default:
      return 'other'
  }
}

/** The recorded span, with numbers decoded from their bytes as the oracle shows them. */
export function comparable({ serial, ...span }: Recorded): Expected {
  const spell = (values: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(values).map(([key, value]) => [key, spelled(value)]))
  return { ...span, attributes: spell(span.attributes), resource: spell(span.resource) }
}

function spelled(value: string): string {
  const [, type, bytes] = /^(bool|int|double|other) ((?:[0-9a-f]{2})*)$/.exec(value) ?? []
  if (type === undefined) return value
  return type === 'other' ? 'other' : shown(valueIn(Buffer.from(bytes ?? '', 'hex')))
}
