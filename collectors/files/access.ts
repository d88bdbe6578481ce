// Lines that tell of a request: they become spans, and are seen by passive probes.

import { Routes } from '../../otlp/http-route.ts'
import type { Seen } from '../../telemetry/seen.ts'
import { compileFormat, type LineFormat, NAMED } from './access/format.ts'
import { readJsonRequest } from './access/json.ts'
import { AccessRequest, type Unit } from './access/request.ts'
import { RequestSpans } from './access/spans.ts'
import type { SourceOptions } from './options.ts'
import type { Output } from './output.ts'

/** The unit of `duration` in JSON. */
const JSON_UNITS: Readonly<Partial<Record<SourceOptions['requests'], Unit>>> = {
  caddy: 's',
  traefik: 'ns',
  envoy: 'ms',
  nginx: 's',
  json: 'ms',
}

export class Access {
  /** Whether every line should be a request. */
  readonly only: boolean
  /** Whether JSON lines may be requests. */
  readonly json: boolean
  /** Whether lines of text may be. */
  readonly text: boolean
  requests = 0
  /** Whether requests were seen whose line does not say how long they took. */
  untimed = false
  readonly #unit: Unit
  readonly #format: LineFormat | undefined
  readonly #routes: Routes
  readonly #spans: RequestSpans
  readonly #seen: Seen | undefined
  readonly #request = new AccessRequest()

  constructor(options: SourceOptions, resource: Buffer, seen: Seen | undefined) {
    const { requests, request_format: format } = options
    this.only = requests !== 'off' && requests !== 'json' && requests !== 'custom'
    this.json = requests in JSON_UNITS
    this.#unit = JSON_UNITS[requests] ?? 's'
    this.#format =
      format !== undefined
        ? compileFormat(format)
        : requests in NAMED
          ? NAMED[requests as keyof typeof NAMED]
          : undefined
    this.text = this.#format !== undefined
    this.#routes = new Routes(options.routes.filter(Boolean), options.route_limit)
    this.#spans = new RequestSpans(this.#routes, resource)
    this.#seen = seen
  }

  /** Requests whose route was beyond the limit. */
  get routeOverflow(): number {
    return this.#routes.beyond
  }

  /** Takes a line of text, as Latin-1; false if it is no request. */
  line(text: string, out: Output): boolean {
    const request = this.#request
    request.clear()
    if (!this.#format?.read(text, request, out.now) || !request.plausible) return false
    this.#answered(out)
    return true
  }

  /** Takes the values of a line of JSON; false if it is no request. */
  values(values: Readonly<Record<string, unknown>>, out: Output): boolean {
    const request = this.#request
    request.clear()
    if (!readJsonRequest(values, this.#unit, request, out.now)) return false
    this.#answered(out)
    return true
  }

  #answered(out: Output): void {
    const request = this.#request
    this.requests++
    if (request.seconds < 0) this.untimed = true
    this.#spans.add(request, out.observed, out.spans)
    this.#seen?.answered(request.status, Math.max(0, request.seconds), request.end.ms)
  }
}
