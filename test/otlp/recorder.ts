// A span consumer that writes down everything it is shown, so that a test can compare it with what was sent.

import { field, LENGTH, Reader } from '../../otlp/wire.ts'
import type { AttributeView, SpanConsumer, SpanView } from '../../telemetry/consumer.ts'
import { Keys } from '../../telemetry/keys.ts'
import type { Request } from '../../telemetry/request.ts'

export interface Recorded {
  readonly traceId: string
  readonly spanId: string
  readonly parent: string | undefined
  readonly name: string
  readonly kind: number
  readonly status: number
  readonly traceState: string
  readonly flags: number
  readonly events: number
  readonly links: number
  readonly seconds: number
  readonly endSeconds: number
  readonly attributes: Readonly<Record<string, string>>
  readonly resource: Readonly<Record<string, string>>
  /** The keys of all attributes of the resource, wanted or not. */
  readonly resourceKeys: readonly string[]
  readonly scope: string
  readonly serial: number
}

export class Recorder implements SpanConsumer {
  readonly name = 'recorder'
  readonly keys: Keys
  spans: Recorded[] = []
  requests: Request[] = []
  readonly #span: ReadonlyMap<string, number>
  readonly #resource: ReadonlyMap<string, number>

  /** Looks for these attributes of spans and resources. */
  constructor(span: readonly string[] = [], resource: readonly string[] = ['service.name'], keys = new Keys()) {
    this.keys = keys
    this.#span = new Map(span.map(key => [key, keys.span(key)]))
    this.#resource = new Map(resource.map(key => [key, keys.resource(key)]))
  }

  begin(request: Request): void {
    this.requests.push({ ...request, bytes: Buffer.from(request.bytes) })
  }

  span(view: SpanView): void {
    const { bytes } = view
    const id = (start: number, length: number) => bytes.toString('hex', start, start + length)
    const text = (start: number, end: number) => bytes.toString('utf8', start, end)
    this.spans.push({
      traceId: id(view.traceId, 16),
      spanId: id(view.spanId, 8),
      parent: view.parentSpanId < 0 ? undefined : id(view.parentSpanId, 8),
      name: bytes.toString('utf8', view.nameStart, view.nameEnd),
      kind: view.kind,
      status: view.status,
      traceState: bytes.toString('utf8', view.traceStateStart, view.traceStateEnd),
      flags: view.flags,
      events: view.events,
      links: view.links,
      seconds: view.seconds,
      endSeconds: view.endSeconds,
      attributes: values(bytes, view.spanAttributes, this.#span),
      resource: values(bytes, view.resourceAttributes, this.#resource),
      resourceKeys: resourceKeys(view),
      scope: `${text(view.scopeNameStart, view.scopeNameEnd)}@${text(view.scopeVersionStart, view.scopeVersionEnd)}`,
      serial: view.resourceSerial,
    })
  }
}

/** Texts as they are; other values as their type and the bytes of the AnyValue. */
function values(bytes: Buffer, view: AttributeView, keys: ReadonlyMap<string, number>): Record<string, string> {
  const found: Record<string, string> = {}
  for (const [key, at] of keys) {
    const type = view.type[at]!
    const start = view.start[at]!
    const end = view.end[at]!
    if (type === 1) found[key] = bytes.toString('utf8', start, end)
    else if (type > 1) found[key] = `${TYPES[type]} ${bytes.toString('hex', start, end)}`
  }
  return found
}

function resourceKeys({ bytes, resourceSpansStart, resourceSpansEnd }: SpanView): string[] {
  const keys: string[] = []
  const inside = (start: number, end: number, then: (start: number, end: number) => void) => {
    const reader = new Reader().over(bytes, start, end)
    while (reader.next()) if (reader.tag === field(1, LENGTH)) then(reader.start, reader.end)
  }
  inside(resourceSpansStart, resourceSpansEnd, (start, end) =>
    inside(start, end, (start, end) => {
      let key = ''
      inside(start, end, (start, end) => {
        key = bytes.toString('utf8', start, end)
      })
      keys.push(key)
    }),
  )
  return keys
}

const TYPES = ['', 'string', 'bool', 'int', 'double', 'other']
