// The name of the service that a resource belongs to: one rule for all three signals, so that they can be joined. It is the
// first `service.name` among the attributes, as text if it is another value, and `unknown_service` if there is none or it is
// empty.

import { ABSENT, STRING } from '../telemetry/attribute.ts'
import type { SpanView } from '../telemetry/consumer.ts'
import { KeyValue } from './key-value.ts'
import { valueText } from './value.ts'
import { field, LENGTH, Reader } from './wire.ts'

export const SERVICE_NAME = 'service.name'
const UNKNOWN_SERVICE = 'unknown_service'

/** A text that need not be decoded: in the bytes of a request, or in bytes of its own. */
export interface Text {
  readonly bytes: Buffer
  readonly start: number
  readonly end: number
}

/** The service of a span's resource. `position` is that of SERVICE_NAME among the resource's attributes. */
export function serviceOf({ bytes, resourceAttributes: { type, start, end } }: SpanView, position: number): Text {
  return named(bytes, type[position]!, start[position]!, end[position]!)
}

/** The service of the Resource messages in field 1 of a ResourceMetrics or ResourceLogs, between two offsets. */
export function serviceIn(bytes: Buffer, start: number, end: number): Text {
  for (const resources = RESOURCES.over(bytes, start, end); resources.next(); ) {
    if (resources.tag !== FIRST) continue
    for (const attributes = ATTRIBUTES.over(bytes, resources.start, resources.end); attributes.next(); ) {
      if (attributes.tag !== FIRST) continue
      const pair = PAIR.read(bytes, attributes.start, attributes.end)
      if (pair.type !== ABSENT && KEY.compare(bytes, pair.keyStart, pair.keyEnd) === 0)
        return named(bytes, pair.type, pair.start, pair.end)
    }
  }
  return UNKNOWN
}

function named(bytes: Buffer, type: number, start: number, end: number): Text {
  if (type === ABSENT || start === end) return UNKNOWN
  return type === STRING ? { bytes, start, end } : whole(valueText(bytes, start, end))
}

function whole(text: string): Text {
  const bytes = Buffer.from(text)
  return { bytes, start: 0, end: bytes.length }
}

const UNKNOWN = whole(UNKNOWN_SERVICE)
const KEY = Buffer.from(SERVICE_NAME)
const FIRST = field(1, LENGTH)
const RESOURCES = new Reader()
const ATTRIBUTES = new Reader()
const PAIR = new KeyValue()
