// One span with all that it has, from OTLP/JSON: what the sidecar answers, and what a dropped file is brought to.

export interface Detail {
  readonly attributes: readonly Pair[]
  readonly resource: readonly Pair[]
  readonly scope: string
  readonly statusMessage: string
  readonly traceState: string
  readonly events: readonly DetailEvent[]
  readonly links: readonly DetailLink[]
  /** Attributes, events and links that the SDK left out. */
  readonly leftOut: number
}

export type Pair = readonly [key: string, value: string]

export interface DetailEvent {
  /** Nanoseconds since the epoch. */
  readonly time: bigint
  readonly name: string
  readonly attributes: readonly Pair[]
}

export interface DetailLink {
  readonly traceId: string
  readonly spanId: string
  readonly attributes: readonly Pair[]
}

/** JSON that was read from outside: nothing is known of it. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined }
export type JsonObject = { readonly [key: string]: Json | undefined }

/** A span with what stands around it, in OTLP/JSON with hexadecimal ids. */
export interface Placed {
  readonly resource: JsonObject
  readonly scope: JsonObject
  readonly span: JsonObject
}

const DEEPEST = 20

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function objects(value: Json | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

export function text(value: Json | undefined): string {
  return typeof value === 'string'
    ? value
    : typeof value === 'number' || typeof value === 'boolean'
      ? String(value)
      : ''
}

/** A whole number that JSON holds as a number or as text; 0 if it is none. */
export function whole(value: Json | undefined): bigint {
  if (typeof value === 'number' && Number.isFinite(value)) return BigInt(Math.trunc(value))
  return typeof value === 'string' && /^-?\d{1,20}$/.test(value) ? BigInt(value) : 0n
}

/** An id of so many bytes in hexadecimal or base64; '' if it is neither. */
export function hexId(value: Json | undefined, bytes: number): string {
  const id = text(value)
  if (id === '') return ''
  if (/^[0-9a-f]+$/i.test(id) && id.length <= 2 * bytes) return id.toLowerCase().padStart(2 * bytes, '0')
  if (!/^[\w+/-]+=*$/.test(id)) return ''
  try {
    const raw = atob(id.replace(/-/g, '+').replace(/_/g, '/'))
    if (raw.length > bytes) return ''
    return [...raw]
      .map(each => each.charCodeAt(0).toString(16).padStart(2, '0'))
      .join('')
      .padStart(2 * bytes, '0')
  } catch {
    return ''
  }
}

export function detailOf(resource: JsonObject, scope: JsonObject, span: JsonObject): Detail {
  const name = text(scope['name'])
  const version = text(scope['version'])
  const status = isObject(span['status']) ? span['status'] : {}
  return {
    attributes: pairs(span['attributes']),
    resource: pairs(resource['attributes']),
    scope: version === '' ? name : `${name} ${version}`,
    statusMessage: text(status['message']),
    traceState: text(span['traceState']),
    events: objects(span['events']).map(each => ({
      time: whole(each['timeUnixNano']),
      name: text(each['name']),
      attributes: pairs(each['attributes']),
    })),
    links: objects(span['links']).map(each => ({
      traceId: text(each['traceId']),
      spanId: text(each['spanId']),
      attributes: pairs(each['attributes']),
    })),
    leftOut: ['Attributes', 'Events', 'Links'].reduce(
      (sum, each) => sum + Number(whole(span[`dropped${each}Count`])),
      0,
    ),
  }
}

export function pairs(attributes: Json | undefined): Pair[] {
  return objects(attributes).map(each => [text(each['key']), valueText(each['value'])] as const)
}

/** An AnyValue as people read it. */
export function valueText(value: Json | undefined): string {
  const plain = plainOf(value, 0)
  return typeof plain === 'string' ? plain : plain === undefined ? '' : JSON.stringify(plain)
}

function plainOf(value: Json | undefined, depth: number): Json | undefined {
  if (!isObject(value)) return undefined
  if (depth > DEEPEST) return '…'
  for (const [kind, inner] of Object.entries(value))
    switch (kind) {
      case 'stringValue':
      case 'bytesValue':
        return text(inner)
      case 'boolValue':
        return inner === true
      case 'intValue':
        return typeof inner === 'string' && !Number.isSafeInteger(Number(inner)) ? inner : Number(inner)
      case 'doubleValue':
        return typeof inner === 'string' ? inner : Number(inner)
      case 'arrayValue':
        return isObject(inner) && Array.isArray(inner['values'])
          ? inner['values'].map(each => plainOf(each, depth + 1) ?? null)
          : []
      case 'kvlistValue':
        return isObject(inner)
          ? Object.fromEntries(
              objects(inner['values']).map(each => [text(each['key']), plainOf(each['value'], depth + 1) ?? null]),
            )
          : {}
    }
  return undefined
}
