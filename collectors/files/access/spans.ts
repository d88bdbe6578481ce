// Requests of access logs as spans: SERVER spans of the application, so that all that is made of spans (request
// metrics, service graph, objectives, traces) works for an application without an SDK. Names and attributes are those
// of OpenTelemetry's HTTP conventions (https://opentelemetry.io/docs/specs/semconv/http/http-spans/).

import { attribute, encoded } from '../../../otlp/attributes.ts'
import { pathOf, type Routes } from '../../../otlp/http-route.ts'
import { Ids, lastingFields, METHODS } from '../../../otlp/http-span.ts'
import { UNTIMED } from '../../../telemetry/span.ts'
import type { SpanRequest } from '../requests.ts'
import { Time } from '../time.ts'
import { readTraceparent } from '../trace.ts'
import type { AccessRequest } from './request.ts'

/** Kinds of spans whose encoding is kept; beyond it, all are forgotten. */
const MOST_KNOWN = 2048
const LONGEST_PATH = 1024
const IS_UNTIMED = encoded(writer => attribute(writer, 9, UNTIMED, true))

export class RequestSpans {
  readonly #routes: Routes
  readonly #resource: Buffer
  readonly #known = new Map<string, Buffer>()
  readonly #ids = new Ids()
  readonly #start = new Time()

  constructor(routes: Routes, resource: Buffer) {
    this.#routes = routes
    this.#resource = resource
  }

  /** Writes the span of a request, and sets its end if the line has not said it. */
  add(request: AccessRequest, observed: Time, out: SpanRequest): void {
    const { target, status, end, begin } = request
    const method = METHODS.has(request.method) ? request.method : '_OTHER'
    const path = pathOf(target)
    const route = this.#routes.of(path, status)
    const timed = request.seconds >= 0
    const key = `${method} ${timed ? '' : '?'}${status} ${route ?? ''}`
    let lasting = this.#known.get(key)
    if (!lasting) {
      lasting = lastingFields(method, route, status)
      if (!timed) lasting = Buffer.concat([lasting, IS_UNTIMED])
      if (this.#known.size >= MOST_KNOWN) this.#known.clear()
      this.#known.set(key, lasting)
    }
    const seconds = Math.max(0, request.seconds)
    const start = this.#start
    if (begin.known) {
      start.copy(begin)
      end.copy(begin)
      end.back(-seconds)
    } else {
      if (!end.known) end.copy(observed)
      start.copy(end)
      start.back(seconds)
    }
    const parent = request.traceparent === undefined ? undefined : readTraceparent(request.traceparent)
    const spanId = this.#ids.span()
    const traceId = parent?.traceId ?? this.#ids.trace()
    out.add(this.#resource, traceId, spanId, parent?.spanId, start, end, lasting, path.slice(0, LONGEST_PATH))
  }
}
