// The exposition formats, and where they differ in spelling.
//
//   text         prometheus.io/docs/instrumenting/exposition_formats (version 0.0.4)
//   openmetrics  OpenMetrics 1.0.0: counters' families are named without _total, exemplars, a closing # EOF
//   protobuf     io.prometheus.client.MetricFamily, length-delimited: native histograms (protobuf.ts)

import { type Page, spelled } from './page.ts'

export type TextFormat = 'text' | 'openmetrics'
export type Format = TextFormat | 'protobuf'

/** Writes the lines at the beginning of a family. */
export function writeHead(page: Page, format: TextFormat, type: string, name: string, help: string): void {
  page.text(headText(format, type, name, help))
}

/** The lines at the beginning of a family. */
export function headText(format: TextFormat, type: string, name: string, help: string): string {
  const family = format === 'openmetrics' ? openMetricsName(type, name) : name
  const escaped = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
  const quoted = format === 'openmetrics' ? escaped.replaceAll('"', '\\"') : escaped
  return `# HELP ${family} ${quoted}\n# TYPE ${family} ${type}\n`
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
