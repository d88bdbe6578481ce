// The choice of a format by the scraper (metrics/format.ts).

import type { Format } from '../../metrics/format.ts'

/** The form of the answer to a scraper. */
export interface Negotiated {
  readonly format: Format
  /** It takes names in UTF-8; otherwise they are written with underscores. */
  readonly utf8: boolean
  /** The exact Content-Type; Prometheus 3 fails a scrape whose type is missing or unknown. */
  readonly contentType: string
}

const TYPES: Readonly<Record<Format, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
  protobuf: 'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited',
}

/**
 * Chooses the format for an Accept header (RFC 9110, section 12.5.1): the highest q wins, and the first named among
 * equals. Without a header, or with one that names none of the formats, it is the older text format, which everything
 * reads.
 */
export function negotiate(accept: string | undefined): Negotiated {
  if (!last || last.accept !== accept) last = { accept, chosen: choose(accept) }
  return last.chosen
}

/** Scrapers ask for the same again and again; reading their long headers was a twentieth of a scrape (row own). */
let last: { readonly accept: string | undefined; readonly chosen: Negotiated } | undefined

function choose(accept: string | undefined): Negotiated {
  let best: Format = 'text'
  let bestQ = 0
  let utf8 = false
  for (const range of (accept ?? '').split(',')) {
    const [type = '', ...parameters] = range.split(';').map(part => part.trim().toLowerCase())
    const of = (name: string): string | undefined =>
      parameters
        .find(each => each.startsWith(`${name}=`))
        ?.slice(name.length + 1)
        .replaceAll('"', '')
    const format = offered(type, of)
    const q = Number(of('q') ?? 1)
    if (format && q > bestQ) {
      best = format
      bestQ = q
      utf8 = of('escaping') === 'allow-utf-8'
    }
  }
  return { format: best, utf8, contentType: `${TYPES[best]}; escaping=${utf8 ? 'allow-utf-8' : 'underscores'}` }
}

function offered(type: string, of: (parameter: string) => string | undefined): Format | undefined {
  if (type === 'application/openmetrics-text' && (of('version') ?? '1.0.0') === '1.0.0') return 'openmetrics'
  if (type === 'text/plain' && (of('version') ?? '0.0.4') === '0.0.4') return 'text'
  if (type === 'application/vnd.google.protobuf')
    // Both parameters are part of the type: there are other messages, and other ways to put several into one body.
    return of('proto') === 'io.prometheus.client.metricfamily' && of('encoding') === 'delimited'
      ? 'protobuf'
      : undefined
  return type === '*/*' || type === 'text/*' ? 'text' : undefined
}
