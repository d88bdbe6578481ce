// SERVER spans of HTTP requests, by OpenTelemetry's conventions (https://opentelemetry.io/docs/specs/semconv/http/http-spans/), for
// those who see requests without an SDK: access logs, and the tap.

import { KIND, STATUS } from '../telemetry/span.ts'
import { attribute, encoded } from './attributes.ts'
import { LENGTH, VARINT } from './wire.ts'

export const METHODS: ReadonlySet<string> = new Set(
  'GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY PROPFIND REPORT'.split(' '),
)

/**
 * Name, kind, attributes and status of a span (fields 5, 6, 9 and 15). A status of 0 is none: the request was not answered.
 * `error` is its error.type; `failed` says whether that is a failure of the server, as a status from 500 on is.
 */
export function lastingFields(
  method: string,
  route: string | undefined,
  status: number,
  error?: string,
  failed = status >= 500,
): Buffer {
  const verb = method === '_OTHER' ? 'HTTP' : method
  return encoded(writer => {
    writer.tag(5, LENGTH)
    const name = writer.begin()
    writer.text(route === undefined ? verb : `${verb} ${route}`)
    writer.end(name)
    writer.tag(6, VARINT)
    writer.varint(KIND.server)
    attribute(writer, 9, 'http.request.method', method)
    if (route !== undefined) attribute(writer, 9, 'http.route', route)
    if (status > 0) attribute(writer, 9, 'http.response.status_code', status)
    if (error !== undefined) attribute(writer, 9, 'error.type', error)
    if (!failed) return
    writer.tag(15, LENGTH)
    const outcome = writer.begin()
    writer.tag(3, VARINT)
    writer.varint(STATUS.error)
    writer.end(outcome)
  })
}

/** Random ids, drawn by the thousand. */
export class Ids {
  readonly #bytes = Buffer.alloc(16 * 1024)
  #at = this.#bytes.length

  trace(): Buffer {
    return this.#next(16)
  }

  span(): Buffer {
    return this.#next(8)
  }

  #next(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) {
      crypto.getRandomValues(this.#bytes)
      this.#at = 0
    }
    const id = this.#bytes.subarray(this.#at, this.#at + length)
    this.#at += length
    // All zeros is the one invalid id.
    id[0] = id[0]! | 1
    return id
  }
}
