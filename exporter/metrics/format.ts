// The formats, and how a scraper chooses between them.
//
//   text         prometheus.io/docs/instrumenting/exposition_formats (version 0.0.4)
//   openmetrics  OpenMetrics 1.0.0: counters' families are named without _total, exemplars, a closing # EOF
//   protobuf     io.prometheus.client.MetricFamily, length-delimited: native histograms (protobuf.ts)

import { type Page, spelled } from './page.ts'

export type TextFormat = 'text' | 'openmetrics'
export type Format = TextFormat | 'protobuf'

/** The exact Content-Type of each format; Prometheus 3 fails a scrape whose type is missing or unknown. */
export const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8; escaping=underscores',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores',
  protobuf:
    'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=underscores',
}

/**
 * Chooses the format for an Accept header (RFC 9110, section 12.5.1): the highest q wins, and the first named among
 * equals. Without a header, and for anything that names none of the formats, the older text format is understood by all.
 */
export function negotiate(accept: string | undefined): Format {
  let best: Format = 'text'
  let bestQ = 0
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
    }
  }
  return best
}

function offered(type: string, of: (parameter: string) => string | undefined): Format | undefined {
  if (type === 'application/openmetrics-text' && (of('version') ?? '1.0.0') === '1.0.0') return 'openmetrics'
  if (type === 'text/plain' && (of('version') ?? '0.0.4') === '0.0.4') return 'text'
  if (type === 'application/vnd.google.protobuf')
    // Both are part of the type: there are other messages, and other ways to put several into one body.
    return of('proto') === 'io.prometheus.client.metricfamily' && of('encoding') === 'delimited'
      ? 'protobuf'
      : undefined
  return type === '*/*' || type === 'text/*' ? 'text' : undefined
}

/** Writes the lines that open a family. */
export function writeHead(page: Page, format: TextFormat, type: string, name: string, help: string): void {
  const family = format === 'openmetrics' ? openMetricsName(type, name) : name
  const escaped = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
  page.text(`# HELP ${family} ${format === 'openmetrics' ? escaped.replaceAll('"', '\\"') : escaped}\n`)
  page.text(`# TYPE ${family} ${type}\n`)
}

/** OpenMetrics names a counter's family without the suffix that its samples carry. */
export function openMetricsName(type: string, name: string): string {
  return type === 'counter' ? name.replace(/_total$/, '') : name
}

/** A bucket's bound: OpenMetrics wants a float ("1.0"), the older format the shortest spelling. */
export function bound(format: TextFormat, value: number): string {
  const text = spelled(value)
  return format === 'openmetrics' && /^-?\d+$/.test(text) ? `${text}.0` : text
}
