// A page that was read as text, and how it is written in each of the formats. Lines that stand as we would write them are
// copied in one piece; that is nearly all of them when the format is the same.

import { plainMetric, underscoredLabel, underscoredMetric } from '../../metrics/escaping.ts'
import type { ForeignFamily, ForeignPage } from '../../metrics/foreign.ts'
import type { Format, TextFormat } from '../../metrics/format.ts'
import { labelPairs, labelText } from '../../metrics/labels.ts'
import { MessageWriter } from '../../metrics/message-writer.ts'
import { escapeLabel, type Page } from '../../metrics/page.ts'
import { type Piece, piece } from '../../metrics/piece.ts'
import {
  endExemplar,
  type FamilyType,
  type Labels,
  openFamily,
  type WriteExemplar,
  writeHistogram,
  writeLabels,
  writeNumber,
  writeSummary,
} from '../../metrics/protobuf.ts'
import type { Role, ScrapedFamily, ScrapedType } from './families.ts'
import { boundText, numberOf } from './number.ts'
import { readSeries } from './odd.ts'
import { type Part, partsOf } from './parts.ts'
import { LOOSE, ODD, SPELLED, VERBATIM } from './samples.ts'
import type { Scanner } from './scanner.ts'

/** Lines and bytes of a slice. */
const SLICE_LINES = 1000
const SLICE_BYTES = 64 * 1024
const MOST_BOUNDS = 1000

export class LinesPage implements ForeignPage {
  readonly families: readonly ForeignFamily[]
  readonly #scanner: Scanner
  readonly #shown: readonly ScrapedFamily[]
  readonly #order: Uint32Array
  /** Bounds as they are written. */
  readonly #bounds = new Map<number, Piece>()

  /** `shown`: the families with samples, which stand in `order`. */
  constructor(scanner: Scanner, shown: readonly ScrapedFamily[], order: Uint32Array, names: readonly string[][]) {
    this.#scanner = scanner
    this.#shown = shown
    this.#order = order
    this.families = shown.map(({ samples }, place) => ({ samples, names: names[place]! }))
  }

  write(page: Page, format: Format, family: number, from: number): number {
    const shown = this.#shown[family]!
    const parts = partsOf(shown, format, this.#scanner)
    // A position counts the samples of one part after another.
    const { samples } = shown
    const part = Math.floor(from / (samples + 1))
    const at = from % (samples + 1)
    const next = this.#part(page, format, shown, parts[part]!, at)
    if (next < samples) return part * (samples + 1) + next
    if (format === 'protobuf') page.close()
    return part + 1 < parts.length ? (part + 1) * (samples + 1) : -1
  }

  /** Writes samples of a part from this one on; returns the next. */
  #part(page: Page, format: Format, family: ScrapedFamily, part: Part, from: number): number {
    const { help, unit } = family
    if (format === 'protobuf') {
      if (from === 0) openFamily(page, messageType(part.type), named(page, part.name), help)
      return this.#messages(page, family, part, from)
    }
    if (from === 0) head(page, format, part, help, unit)
    return this.#lines(page, format, family, part, from)
  }

  #lines(page: Page, format: TextFormat, family: ScrapedFamily, part: Part, from: number): number {
    const { bytes, samples } = this.#scanner
    const { start, textEnd, exemplarEnd, boundStart, boundEnd, flags, name } = samples
    const order = this.#order
    const end = family.from + Math.min(family.samples, from + SLICE_LINES)
    const sameExemplars = format === 'openmetrics'
    const allowed = sameExemplars && exemplars(part.type)
    // Bounds are floats in OpenMetrics, and Prometheus 3 makes them floats where it knows the type. Where the type is lost
    // they must be floats too: the series would be others.
    const floats = (sameExemplars || part.type !== family.type) && rebound(family.type)
    const bound = floats ? boundLabel(family.type) : undefined
    let bytesLeft = SLICE_BYTES
    let i = family.from + from
    while (i < end && bytesLeft > 0) {
      const at = order[i]!
      if (part.names && !part.names.has(name[at]!)) {
        i++
        continue
      }
      const exemplar = exemplarEnd[at]! > 0
      if ((flags[at]! & VERBATIM) === 0 || (exemplar && !allowed)) {
        this.#line(page, format, at, exemplar && allowed, bound)
        bytesLeft -= textEnd[at]! - start[at]!
        i++
        continue
      }
      // As many lines as stand one after another; a bound that is spelled otherwise takes the place of its text.
      const first = start[at]!
      let copied = first
      let to = first
      for (let next = at; i < end && to - first < bytesLeft; next++, i++) {
        if (order[i] !== next || (next > at && start[next] !== to) || (flags[next]! & VERBATIM) === 0) break
        if (part.names && !part.names.has(name[next]!)) break
        if (exemplarEnd[next]! > 0 && !allowed) break
        if (bound !== undefined && boundEnd[next]! > 0 && isLabel(bytes, boundStart[next]!, bound)) {
          page.bytes(bytes, copied, boundStart[next]!)
          page.piece(this.#boundPiece(samples.bound[next]!))
          copied = boundEnd[next]!
        }
        to = (exemplarEnd[next]! || textEnd[next]!) + 1
      }
      page.bytes(bytes, copied, to)
      bytesLeft -= to - first
    }
    return i - family.from
  }

  #boundPiece(bound: number): Piece {
    const known = this.#bounds.get(bound)
    if (known) return known
    const made = piece(boundText(bound))
    if (this.#bounds.size < MOST_BOUNDS) this.#bounds.set(bound, made)
    return made
  }

  /** `bound`: the label that is written as `boundText` spells it. */
  #line(page: Page, format: TextFormat, at: number, exemplar: boolean, bound: 'le' | 'quantile' | undefined): void {
    const { bytes, samples, families } = this.#scanner
    const flags = samples.flags[at]!
    const name = families.names[samples.name[at]!]!
    if ((flags & ODD) !== 0) page.text(oddText(this.#odd(at, bound), page.utf8))
    else {
      page.bytes(bytes, samples.start[at]!, samples.nameEnd[at]!)
      const from = samples.labels[at]!
      const to = samples.labelsEnd[at]!
      const [boundStart, boundEnd] = [samples.boundStart[at]!, samples.boundEnd[at]!]
      if (to > from) {
        page.text('{')
        if ((flags & LOOSE) !== 0) page.text(labelText(this.#odd(at, bound).labels))
        else if (bound !== undefined && boundEnd > 0 && isLabel(bytes, boundStart, bound)) {
          page.bytes(bytes, from, boundStart)
          page.text(boundText(samples.bound[at]!))
          page.bytes(bytes, boundEnd, to)
        } else page.bytes(bytes, from, to)
        page.text('}')
      }
    }
    page.text(' ')
    if ((flags & SPELLED) !== 0) page.number(samples.value[at]!)
    else page.bytes(bytes, samples.text[at]!, samples.textEnd[at]!)
    if (exemplar && format === 'openmetrics' && name.role !== '_created') {
      page.text(' # ')
      page.bytes(bytes, samples.exemplar[at]!, samples.exemplarEnd[at]!)
    }
    page.text('\n')
  }

  /** A series, read once more as strings. */
  #odd(at: number, bound?: string): { name: string; labels: readonly (readonly [name: string, value: string])[] } {
    const { bytes, samples } = this.#scanner
    const end = Math.max(samples.labelsEnd[at]! + 1, samples.nameEnd[at]!)
    const { name, labels } = readSeries(bytes.toString('latin1', samples.start[at]!, end)) ?? { name: '_', labels: [] }
    const spelled = (value: string): string => {
      const number = numberOf(value)
      return number === undefined ? value : boundText(number)
    }
    return { name, labels: labels.map(([label, value]) => [label, label === bound ? spelled(value) : value]) }
  }

  #messages(page: Page, family: ScrapedFamily, part: Part, from: number): number {
    const { samples, families } = this.#scanner
    const order = this.#order
    const stop = family.from + family.samples
    let i = family.from + from
    for (const slice = Math.min(stop, i + SLICE_LINES); i < slice; ) {
      const first = order[i]!
      if (part.names && !part.names.has(samples.name[first]!)) {
        i++
        continue
      }
      // The lines of one label set, for what is more than a number; no slice ends within them.
      let end = i + 1
      if (grouped(part.type) && family.names.length > 1) {
        const [a, b] = [samples.groupA[first]!, samples.groupB[first]!]
        while (end < stop && samples.groupA[order[end]!] === a && samples.groupB[order[end]!] === b) end++
      }
      this.#message(page, family, part.type, i, end, at => families.names[samples.name[at]!]!.role)
      i = end
    }
    return i - family.from
  }

  #message(
    page: Page,
    family: ScrapedFamily,
    type: ScrapedType,
    from: number,
    to: number,
    roleOf: (at: number) => Role,
  ): void {
    const { samples } = this.#scanner
    const places = this.#order.subarray(from, to)
    const labels = this.#labels(page, places[0]!, family, rebound(type))
    const of = (...roles: readonly Role[]): number | undefined => places.find(at => roles.includes(roleOf(at)))
    const valueIn = (...roles: readonly Role[]): number | undefined => {
      const at = of(...roles)
      return at === undefined ? undefined : samples.value[at]
    }
    const created = valueIn('_created')
    switch (type) {
      case 'histogram': {
        const buckets = places.filter(at => roleOf(at) === '_bucket')
        writeHistogram(page, labels, {
          sum: () => valueIn('_sum'),
          bounds: Array.from(buckets.subarray(0, -1), at => samples.bound[at]!),
          count: bucket => samples.value[buckets[bucket]!]! - (bucket > 0 ? samples.value[buckets[bucket - 1]!]! : 0),
          exemplar: (message, field, bucket) => this.#exemplar(message, field, buckets[bucket]!),
          ...(created === undefined ? {} : { created }),
        })
        break
      }
      case 'summary': {
        const quantiles = Array.from(
          places.filter(at => roleOf(at) === ''),
          at => [samples.bound[at]!, samples.value[at]!] as const,
        )
        writeSummary(page, labels, valueIn('_count') ?? 0, valueIn('_sum') ?? 0, quantiles, created)
        break
      }
      case 'counter': {
        const at = of('_total', '')
        if (at === undefined) break
        const exemplar: WriteExemplar = (message, field) => this.#exemplar(message, field, at)
        writeNumber(page, 'counter', labels, samples.value[at]!, exemplar, created)
        break
      }
      default: {
        const at = places[0]!
        writeNumber(
          page,
          type === 'gauge' || type === 'info' || type === 'stateset' ? 'gauge' : 'untyped',
          labels,
          samples.value[at]!,
        )
      }
    }
  }

  /** The labels of a sample; `whole`: its bound is part of its value, and not a label. */
  #labels(page: Page, at: number, { type }: ScrapedFamily, whole: boolean): Labels {
    const { bytes, samples } = this.#scanner
    const flags = samples.flags[at]!
    const bound = rebound(type) ? boundLabel(type) : undefined
    const without = whole ? boundLabel(type) : undefined
    if ((flags & (ODD | LOOSE)) !== 0) {
      const labels = this.#odd(at, bound).labels.filter(([name]) => name !== without)
      if (!page.utf8) return labelText(labels.map(([name, value]) => [underscoredLabel(name), value]))
      return sink => {
        // Only a message can have labels in UTF-8.
        if (!(sink instanceof MessageWriter)) return
        for (const [name, value] of labels) if (value !== '') sink.pair(1, name, value)
      }
    }
    const [from, to] = [samples.labels[at]!, samples.labelsEnd[at]!]
    if (to <= from) return ''
    if ((bound ?? without) === undefined || Number.isNaN(samples.bound[at]!)) return sink => sink.bytes(bytes, from, to)
    const labels = labelPairs(bytes.toString('utf8', from, to)).filter(([name]) => name !== without)
    const value = samples.boundEnd[at]! > 0 ? boundText(samples.bound[at]!) : undefined
    return labelText(labels.map(([name, each]) => [name, name === bound ? (value ?? each) : each]))
  }

  #exemplar(message: MessageWriter, field: number, at: number): void {
    const { bytes, samples } = this.#scanner
    const [from, to] = [samples.exemplar[at]!, samples.exemplarEnd[at]!]
    if (to === 0) return
    const text = bytes.toString('utf8', from, to)
    const close = text.lastIndexOf('} ')
    const [value = '', seconds = '0'] = text.slice(close + 2).split(' ')
    const start = message.begin(field)
    writeLabels(message, text.slice(1, close))
    endExemplar(message, start, Number(value.replace(/Inf$/, 'Infinity')), Number(seconds))
  }
}

function grouped(type: ScrapedType): boolean {
  return type === 'histogram' || type === 'summary' || type === 'counter'
}

/** Prometheus 3 makes floats of the bounds of these types, and leaves those of others as they are. */
function rebound(type: ScrapedType): boolean {
  return type === 'histogram' || type === 'summary'
}

function boundLabel(type: ScrapedType): 'le' | 'quantile' {
  return type === 'summary' ? 'quantile' : 'le'
}

/** Whether the bound whose text begins there is that of this label: le or quantile, which ends with "le" too. */
function isLabel(bytes: Buffer, start: number, label: 'le' | 'quantile'): boolean {
  return (bytes[start - 5] === LETTER_I) === (label === 'quantile')
}

const LETTER_I = 105

function exemplars(type: ScrapedType): boolean {
  return type === 'histogram' || type === 'gaugehistogram' || type === 'counter'
}

function messageType(type: ScrapedType): FamilyType {
  switch (type) {
    case 'counter':
    case 'gauge':
    case 'histogram':
    case 'summary':
      return type
    case 'unknown':
      return 'untyped'
    default:
      return 'gauge'
  }
}

function named(page: Page, name: string): string {
  return page.utf8 ? name : underscoredMetric(name)
}

function head(page: Page, format: TextFormat, { name, type }: Part, help: string, unit: string): void {
  const openmetrics = format === 'openmetrics'
  const short = openmetrics && type === 'counter' ? name.replace(/_total$/, '') : name
  const family = page.utf8 && !plainMetric(short) ? `"${escapeLabel(short)}"` : underscoredMetric(short)
  const escaped = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
  if (help !== '') page.text(`# HELP ${family} ${openmetrics ? escaped.replaceAll('"', '\\"') : escaped}\n`)
  page.text(`# TYPE ${family} ${type === 'unknown' && !openmetrics ? 'untyped' : type}\n`)
  if (
    openmetrics &&
    unit !== '' &&
    /^\w+$/.test(unit) &&
    short.endsWith(`_${unit}`) &&
    type !== 'info' &&
    type !== 'stateset'
  )
    page.text(`# UNIT ${family} ${unit}\n`)
}

function oddText(
  { name, labels }: { readonly name: string; readonly labels: readonly (readonly [string, string])[] },
  utf8: boolean,
): string {
  const pairs = labels.filter(([, value]) => value !== '')
  if (!utf8) {
    const text = labelText(pairs.map(([label, value]) => [underscoredLabel(label), value]))
    return `${underscoredMetric(name)}${text === '' ? '' : `{${text}}`}`
  }
  const text = pairs.map(
    ([label, value]) =>
      `${underscoredLabel(label) === label ? label : `"${escapeLabel(label)}"`}="${escapeLabel(value)}"`,
  )
  if (!plainMetric(name)) return `{${[`"${escapeLabel(name)}"`, ...text].join(',')}}`
  return `${name}${text.length === 0 ? '' : `{${text.join(',')}}`}`
}
