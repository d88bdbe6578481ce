// Writes prom-client's own metric objects in either text format.

import { bound, type Format, writeHead } from './format.ts'
import { escapeLabel, type Page, spelled } from './page.ts'

/** What prom-client's `get()` (and `getForPromString()` of histograms) yields. */
export interface Snapshot {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly values: readonly Sample[]
}

interface Sample {
  readonly value: number
  readonly metricName?: string
  readonly labels?: Readonly<Record<string, string | number>>
  /** Labels that all lines of one histogram share, kept apart by prom-client. */
  readonly sharedLabels?: Readonly<Record<string, string | number>>
}

export function writeSnapshot(page: Page, format: Format, snapshot: Snapshot): void {
  if (snapshot.values.length === 0) return
  writeHead(page, format, snapshot.type, snapshot.name, snapshot.help)
  for (const sample of snapshot.values) {
    const labels = [...pairs(format, sample.sharedLabels), ...pairs(format, sample.labels)]
    page.text(sample.metricName ?? snapshot.name)
    page.text(labels.length > 0 ? `{${labels.join(',')}} ` : ' ')
    page.number(sample.value)
    page.text('\n')
  }
}

function pairs(format: Format, labels: Readonly<Record<string, string | number>> = {}): string[] {
  return Object.entries(labels).map(([name, value]) => {
    if (typeof value === 'string') return `${name}="${escapeLabel(value)}"`
    return `${name}="${name === 'le' || name === 'quantile' ? bound(format, value) : spelled(value)}"`
  })
}
