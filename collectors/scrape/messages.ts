// A page in protobuf: its metrics are checked, and go on as they are to a scraper that asked for protobuf, native histograms
// included. For the other formats they are written as an OpenMetrics page, which is then read like any other.

import { isUtf8 } from 'node:buffer'
import { plainLabel, plainMetric, underscoredLabel, underscoredMetric } from '../../metrics/escaping.ts'
import type { ForeignFamily, ForeignPage } from '../../metrics/foreign.ts'
import type { Format } from '../../metrics/format.ts'
import { MessageWriter } from '../../metrics/message-writer.ts'
import { escapeLabel, type Page, spelled } from '../../metrics/page.ts'
import { openFamily } from '../../metrics/protobuf.ts'
import { Fields, LENGTH, VARINT } from './fields.ts'
import { type Exemplar, MESSAGE_TYPES, type MessageType, type Metric, readMetric } from './message.ts'
import type { Drop, Limits } from './scanner.ts'

interface MessageFamily extends ForeignFamily {
  readonly name: string
  readonly help: string
  readonly unit: string
  readonly type: MessageType
  readonly metrics: MessageMetric[]
  samples: number
}

/** Where a metric stands in the bytes of the page. */
interface MessageMetric {
  readonly start: number
  readonly end: number
  /** A label whose name is outside the older set, or a time that is left out: its fields are written one by one. */
  readonly odd: boolean
}

const SLICE_METRICS = 200
const METRIC = Buffer.from([(4 << 3) | LENGTH])

export class Messages implements ForeignPage {
  readonly families: MessageFamily[] = []
  readonly dropped: Record<Drop, number> = { syntax: 0, utf8: 0, limits: 0, duplicate: 0 }
  /** The page is not a series of delimited messages; nothing of it counts. */
  broken = false
  tooMany = false
  samples = 0
  readonly #bytes: Buffer
  readonly #limits: Limits
  readonly #names = new Set<string>()
  readonly #series = new Set<string>()
  readonly #frames: Fields
  /** The family that is being read, and its metrics. */
  #family: MessageFamily | undefined
  #metrics: { readonly start: number; readonly end: number }[] = []
  #next = 0

  constructor(bytes: Buffer, limits: Limits) {
    this.#bytes = bytes
    this.#limits = limits
    this.#frames = new Fields(bytes, 0, bytes.length)
  }

  /** Reads on until `tired` says so, or to the end; true at the end. */
  run(tired: () => boolean): boolean {
    for (let turns = 1; !this.broken && !this.tooMany; turns++) {
      if (turns % 16 === 0 && tired()) return false
      if (this.#family && this.#next < this.#metrics.length) this.#metric(this.#family, this.#metrics[this.#next++]!)
      else if (!this.#open()) return true
    }
    return true
  }

  write(page: Page, _format: Format, place: number, from: number): number {
    const family = this.families[place]!
    if (from === 0)
      openFamily(page, family.type, page.utf8 ? family.name : underscoredMetric(family.name), family.help, family.unit)
    const end = Math.min(family.metrics.length, from + SLICE_METRICS)
    for (const metric of family.metrics.slice(from, end)) this.#write(page, metric)
    if (end < family.metrics.length) return end
    page.close()
    return -1
  }

  /** Reads the next family's head; false at the end of the page. */
  #open(): boolean {
    const frames = this.#frames
    if (frames.at >= this.#bytes.length) return false
    const length = frames.varint() ? frames.unsigned : Number.POSITIVE_INFINITY
    const start = frames.at
    if (!frames.pass(length)) {
      this.broken = true
      return false
    }
    const fields = new Fields(this.#bytes, start, start + length)
    const texts = ['', '', '', '', '', '']
    let type: MessageType | undefined = 'counter'
    this.#metrics = []
    this.#next = 0
    while (fields.next()) {
      if (fields.number === 3 && fields.wire === VARINT) type = MESSAGE_TYPES[fields.unsigned]
      else if (fields.number === 4 && fields.wire === LENGTH)
        this.#metrics.push({ start: fields.start, end: fields.end })
      else if (fields.number <= 5) {
        if (fields.wire !== LENGTH || !isUtf8(this.#bytes.subarray(fields.start, fields.end))) fields.bad = true
        else texts[fields.number] = this.#bytes.toString('utf8', fields.start, fields.end)
      }
    }
    const [, name = '', help = '', , , unit = ''] = texts
    this.#family = undefined
    if (fields.bad || type === undefined || name === '' || name.includes('\0') || Buffer.byteLength(name) > 1024) {
      this.dropped.syntax += Math.max(1, this.#metrics.length)
      this.#metrics = []
      return true
    }
    const names = namesOf(underscoredMetric(name), type)
    if (names.some(each => this.#names.has(each))) {
      this.dropped.duplicate += this.#metrics.length
      this.#metrics = []
      return true
    }
    if (this.#metrics.length === 0) return true
    for (const each of names) this.#names.add(each)
    this.#series.clear()
    this.#family = { name, help: help.slice(0, 16 * 1024), unit, type, names, samples: 0, metrics: [] }
    this.families.push(this.#family)
    return true
  }

  #metric(family: MessageFamily, { start, end }: { start: number; end: number }): void {
    const metric = readMetric(this.#bytes, start, end, family.type)
    if (metric === undefined) {
      this.dropped.syntax++
      return
    }
    const { labels, labelBytes } = this.#limits
    const pairs = metric.labels.filter(([, value]) => value !== '')
    if (
      metric.labels.length > labels ||
      metric.labels.some(([name, value]) => Buffer.byteLength(value) > labelBytes || Buffer.byteLength(name) > 1024)
    ) {
      this.dropped.limits++
      return
    }
    const names = new Set(metric.labels.map(([name]) => underscoredLabel(name)))
    const own = ownLabel(family.type)
    if (names.size < metric.labels.length || names.has('__name__') || (own !== undefined && names.has(own))) {
      this.dropped.syntax++
      return
    }
    const key = pairs
      .map(([name, value]) => `${underscoredLabel(name)}\0${value}`)
      .sort()
      .join('\0\0')
    if (this.#series.has(key)) {
      this.dropped.duplicate++
      return
    }
    this.samples += linesOf(family.type, metric)
    if (this.samples > this.#limits.samples) {
      this.tooMany = true
      return
    }
    this.#series.add(key)
    family.samples += linesOf(family.type, metric)
    const odd = metric.labels.some(([name]) => !plainLabel(name)) || hasTime(this.#bytes, start, end)
    family.metrics.push({ start, end, odd })
  }

  #write(page: Page, { start, end, odd }: MessageMetric): void {
    if (!odd) {
      const head = scratch.clear()
      head.piece(METRIC)
      head.length32(end - start)
      head.writeTo(page)
      page.bytes(this.#bytes, start, end)
      return
    }
    const message = scratch.clear()
    const metric = message.begin(4)
    const fields = new Fields(this.#bytes, start, end)
    for (let from = start; fields.next(); from = fields.at) {
      if (fields.number === 6) continue
      if (fields.number === 1 && !page.utf8) {
        const [name, value] = pairOf(this.#bytes, fields.start, fields.end)
        message.pair(1, underscoredLabel(name), value)
      } else message.piece(this.#bytes.subarray(from, fields.at))
    }
    message.end(metric)
    message.writeTo(page)
  }

  /** Writes the page as OpenMetrics, a family at a time. */
  *openmetrics(): Generator<string> {
    for (const { name, help, unit, type, metrics } of this.families) {
      const whole = type === 'counter' && name.endsWith('_total')
      const base = whole ? name.slice(0, -'_total'.length) : name
      const word =
        type === 'gauge_histogram'
          ? 'gaugehistogram'
          : type === 'untyped' || (type === 'counter' && !whole)
            ? 'unknown'
            : type
      const shown = plainMetric(base) ? base : `"${escapeLabel(base)}"`
      let text = `# TYPE ${shown} ${word}\n`
      if (help !== '')
        text += `# HELP ${shown} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"')}\n`
      if (unit !== '' && !/[\n\r]/.test(unit)) text += `# UNIT ${shown} ${unit}\n`
      for (const { start, end } of metrics) {
        const metric = readMetric(this.#bytes, start, end, type)
        if (metric) text += linesIn(name, type, metric)
        if (text.length > 64 * 1024) {
          yield text
          text = ''
        }
      }
      yield text
    }
    yield '# EOF\n'
  }
}

const scratch = new MessageWriter()

function linesOf(type: MessageType, { points }: Metric): number {
  return type === 'counter' || type === 'gauge' || type === 'untyped' ? 1 : points.length + 2
}

/** The label that the lines of a type have of their own. */
function ownLabel(type: MessageType): string | undefined {
  return type === 'summary' ? 'quantile' : type === 'histogram' || type === 'gauge_histogram' ? 'le' : undefined
}

function namesOf(name: string, type: MessageType): string[] {
  const with_ = (...ends: readonly string[]): string[] => ends.map(end => name + end)
  switch (type) {
    case 'counter':
      return name.endsWith('_total')
        ? [name.slice(0, -'_total'.length), name, `${name.slice(0, -'_total'.length)}_created`]
        : [name]
    case 'histogram':
      return with_('', '_bucket', '_sum', '_count', '_created')
    case 'gauge_histogram':
      return with_('', '_bucket', '_gsum', '_gcount')
    case 'summary':
      return with_('', '_sum', '_count', '_created')
    default:
      return [name]
  }
}

function hasTime(bytes: Buffer, start: number, end: number): boolean {
  const fields = new Fields(bytes, start, end)
  while (fields.next()) if (fields.number === 6) return true
  return false
}

function pairOf(bytes: Buffer, start: number, end: number): [name: string, value: string] {
  const pair: [string, string] = ['', '']
  const fields = new Fields(bytes, start, end)
  while (fields.next())
    if (fields.number <= 2 && fields.wire === LENGTH)
      pair[fields.number - 1] = bytes.toString('utf8', fields.start, fields.end)
  return pair
}

function linesIn(name: string, type: MessageType, metric: Metric): string {
  const line = (end: string, value: number, extra?: readonly [string, string], exemplar?: Exemplar): string => {
    const pairs = [...metric.labels, ...(extra ? [extra] : [])].filter(([, each]) => each !== '')
    const text = pairs.map(
      ([label, each]) => `${plainLabel(label) ? label : `"${escapeLabel(label)}"`}="${escapeLabel(each)}"`,
    )
    const full = name + end
    const series = plainMetric(full)
      ? `${full}${text.length === 0 ? '' : `{${text.join(',')}}`}`
      : `{${[`"${escapeLabel(full)}"`, ...text].join(',')}}`
    return `${series} ${spelled(value)}${exemplar ? exemplarText(exemplar) : ''}\n`
  }
  switch (type) {
    case 'counter':
    case 'gauge':
    case 'untyped':
      return line(
        '',
        metric.value,
        undefined,
        type === 'counter' && name.endsWith('_total') ? metric.exemplar : undefined,
      )
    case 'summary':
      return (
        metric.points.map(each => line('', each.value, ['quantile', bound(each.at)])).join('') +
        line('_sum', metric.sum) +
        line('_count', metric.count)
      )
    default: {
      const gauge = type === 'gauge_histogram'
      const infinite = metric.points.at(-1)?.at === Number.POSITIVE_INFINITY
      return (
        metric.points.map(each => line('_bucket', each.value, ['le', bound(each.at)], each.exemplar)).join('') +
        (infinite ? '' : line('_bucket', metric.count, ['le', '+Inf'])) +
        line(gauge ? '_gsum' : '_sum', metric.sum) +
        line(gauge ? '_gcount' : '_count', metric.count)
      )
    }
  }
}

function bound(value: number): string {
  const text = spelled(value)
  return /^-?\d+$/.test(text) ? `${text}.0` : text
}

function exemplarText({ labels, value, seconds }: Exemplar): string {
  if (!labels.every(([name]) => plainLabel(name))) return ''
  const text = labels.map(([name, each]) => `${name}="${escapeLabel(each)}"`).join(',')
  return ` # {${text}} ${spelled(value)}${seconds > 0 ? ` ${seconds.toFixed(3)}` : ''}`
}
