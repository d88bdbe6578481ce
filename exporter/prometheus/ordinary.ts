// Writes prom-client's own metric objects from their snapshots: in protobuf, and in the text formats those that lines.ts
// does not know.

import type { Rendering } from '../../metrics/columns.ts'
import { bound, type Format, type TextFormat, writeHead } from '../../metrics/format.ts'
import { labelText } from '../../metrics/labels.ts'
import { escapeLabel, type Page, spelled } from '../../metrics/page.ts'
import { openFamily, writeHistogram, writeNumber, writeSummary } from '../../metrics/protobuf.ts'

/** The result of prom-client's `get()`, and of `getForPromString()` for histograms. */
export interface Snapshot {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly values: readonly Sample[]
}

interface Sample {
  readonly value: number
  readonly metricName?: string
  readonly labels?: Labels
  /** Labels that all lines of one histogram share; prom-client keeps them apart. */
  readonly sharedLabels?: Labels
}

/** A part of a page. */
export type Block = Pick<Rendering, 'write'>

export class SnapshotBlock implements Block {
  readonly #snapshot: Snapshot

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot
  }

  write(page: Page, format: Format): -1 {
    writeSnapshot(page, format, this.#snapshot)
    return -1
  }
}

function writeSnapshot(page: Page, format: Format, snapshot: Snapshot): void {
  if (snapshot.values.length === 0) return
  if (format === 'protobuf') {
    writeMessages(page, snapshot)
    return
  }
  writeHead(page, format, snapshot.type, snapshot.name, snapshot.help)
  let lines = ''
  for (const sample of snapshot.values) {
    const shared = textOf(format, sample.sharedLabels)
    const own = textOf(format, sample.labels)
    const labels = shared === '' || own === '' ? shared + own : `${shared},${own}`
    lines += `${sample.metricName ?? snapshot.name}${labels === '' ? '' : `{${labels}}`} ${spelled(sample.value)}\n`
  }
  page.text(lines)
}

// The labels of a series are mostly the same object in each snapshot, so their text is made once and not for each scrape.
const known = new WeakMap<object, string>()

/** Labels as both text formats write them; the two spell a bound differently. */
export function textOf(format: TextFormat, labels: Labels = NONE): string {
  const text = known.get(labels)
  if (text !== undefined) return text
  const made = madeText(format, labels)
  // Labels with a bound are new objects each time.
  if (!('le' in labels || 'quantile' in labels)) known.set(labels, made)
  return made
}

function madeText(format: TextFormat, labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => {
    if (typeof value === 'string') return `${name}="${escapeLabel(value)}"`
    return `${name}="${name === 'le' || name === 'quantile' ? bound(format, value) : spelled(value)}"`
  })
  return pairs.join(',')
}

export type Labels = Readonly<Record<string, string | number>>

const NONE: Labels = {}

function writeMessages(page: Page, { name, help, type, values }: Snapshot): void {
  switch (type) {
    case 'histogram':
    case 'summary': {
      openFamily(page, type, name, help)
      for (const [labels, samples] of grouped(values, type === 'histogram' ? 'le' : 'quantile'))
        if (type === 'histogram') writeBuckets(page, name, labels, samples)
        else writeQuantiles(page, name, labels, samples)
      break
    }
    default: {
      const known = type === 'counter' || type === 'gauge' ? type : 'untyped'
      openFamily(page, known, name, help)
      for (const sample of values) writeNumber(page, known, labelText(own(sample)), sample.value)
    }
  }
  page.close()
}

/** The lines of each histogram or summary, by its labels: prom-client lists the lines of all of them one by one. */
function grouped(values: readonly Sample[], except: 'le' | 'quantile'): Map<string, Sample[]> {
  const groups = new Map<string, Sample[]>()
  for (const sample of values) {
    const labels = labelText(own(sample).filter(([name]) => name !== except))
    const group = groups.get(labels)
    if (group) group.push(sample)
    else groups.set(labels, [sample])
  }
  return groups
}

function writeBuckets(page: Page, name: string, labels: string, samples: readonly Sample[]): void {
  const finite = samples.filter(each => each.labels?.['le'] !== undefined && each.labels['le'] !== '+Inf')
  const total = sampleOf(samples, `${name}_count`)
  // prom-client's values are cumulative, as in the text formats.
  const cumulative = [...finite.map(each => each.value), total]
  writeHistogram(page, labels, {
    sum: () => sampleOf(samples, `${name}_sum`),
    bounds: finite.map(each => Number(each.labels?.['le'])),
    count: bucket => cumulative[bucket]! - (cumulative[bucket - 1] ?? 0),
  })
}

function writeQuantiles(page: Page, name: string, labels: string, samples: readonly Sample[]): void {
  const quantiles = samples
    .filter(each => each.labels?.['quantile'] !== undefined)
    .map(each => [Number(each.labels?.['quantile']), each.value] as const)
  writeSummary(page, labels, sampleOf(samples, `${name}_count`), sampleOf(samples, `${name}_sum`), quantiles)
}

function sampleOf(samples: readonly Sample[], metricName: string): number {
  return samples.find(each => each.metricName === metricName)?.value ?? 0
}

/** All labels of a sample as texts. */
function own({ sharedLabels, labels }: Sample): [string, string][] {
  const all = { ...sharedLabels, ...labels }
  return Object.entries(all).map(([name, value]) => [name, typeof value === 'string' ? value : spelled(value)])
}
