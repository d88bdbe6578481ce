// Families that come from outside, whose names and types are learnt as they come: the application's OTLP metrics, its own
// /metrics. One metric object in the Registry holds and writes them all.
//
// Two promises keep the page valid whatever is sent. Every name that a family can write, suffixes included, belongs to one
// family: a second claim is refused, and so is a name of one of our own families. And a rendering writes the series that
// are there when it begins, sorted by family: what comes or goes between its slices cannot tear a family in two.

import type Registry from 'prom-client/lib/registry.js'
import type { Rendering } from './columns.ts'
import { type Format, openMetricsName, writeHead } from './format.ts'
import type { Page } from './page.ts'
import { openFamily } from './protobuf.ts'
import {
  type Exemplar,
  type ImportedType,
  type ImportedValue,
  type Sample,
  valuesOf,
  writeLines,
  writeMetric,
} from './sample.ts'

/** A family as it is met outside. A counter's name ends with _total. */
export interface ImportedFamily {
  readonly name: string
  readonly type: ImportedType
  readonly help: string
  /** The unit as the name spells it ("seconds"), or "". */
  readonly unit: string
}

/** Why a series cannot be taken. */
export type ImportRefusal = 'name_collision' | 'type_conflict' | 'family_limit' | 'series_limit'

export interface ImportLimits {
  /** Label sets, over all families. */
  readonly series: number
  readonly families: number
}

/** Names that Prometheus gives to every scrape, and our own. */
const RESERVED = /^(?:up|scrape_.*|pillion_.*)$/

/** Lines per slice, as for the columns. */
const SLICE_LINES = 1000

export class Imported implements Rendering {
  readonly name = 'imported'
  readonly help = 'Families that come from outside.'
  readonly type = 'untyped'
  readonly #registry: Registry
  readonly #families = new Map<string, Family>()
  /** Every name that a family can write. */
  readonly #claims = new Map<string, Family>()
  readonly #ours = new Set<string>()
  #registered = -1
  /** What each rendering under way is writing. */
  readonly #plans = new WeakMap<Page, readonly ImportedSeries[]>()

  constructor(registry: Registry) {
    this.#registry = registry
  }

  source(limits: ImportLimits): ImportedSource {
    return new ImportedSource(this, limits)
  }

  /** The family that a source may add series to, which is new and not kept yet if nobody had its name. */
  claim(wanted: ImportedFamily, source: ImportedSource): Family | ImportRefusal {
    const known = this.#families.get(wanted.name)
    if (known) {
      if (known.source !== source) return 'name_collision'
      return known.type === wanted.type ? known : 'type_conflict'
    }
    const names = namesOf(wanted.name, wanted.type)
    if (RESERVED.test(wanted.name) || names.some(each => this.#taken().has(each))) return 'name_collision'
    const rival = names.map(each => this.#claims.get(each)).find(each => each !== undefined)
    if (rival) return rival.source === source ? 'type_conflict' : 'name_collision'
    return new Family(wanted, names, source)
  }

  keep(family: Family): void {
    if (this.#families.has(family.name)) return
    this.#families.set(family.name, family)
    family.source.families++
    for (const name of family.names) this.#claims.set(name, family)
  }

  release(family: Family): void {
    this.#families.delete(family.name)
    family.source.families--
    for (const name of family.names) this.#claims.delete(name)
  }

  /** Families of one source. */
  *of(source: ImportedSource): Generator<Family> {
    for (const family of this.#families.values()) if (family.source === source) yield family
  }

  write(page: Page, format: Format, from: number): number {
    const plan = from === 0 ? this.#plan(page) : (this.#plans.get(page) ?? [])
    let at = from
    for (let lines = 0; at < plan.length && lines < SLICE_LINES; at++) {
      const series = plan[at]!
      const { family } = series
      if (family !== plan[at - 1]?.family) {
        if (at > 0 && format === 'protobuf') page.close()
        openHead(page, format, family)
      }
      lines += format === 'protobuf' ? writeMetric(page, family.type, series) : writeText(page, format, series)
    }
    if (at < plan.length) return at
    if (at > 0 && format === 'protobuf') page.close()
    this.#plans.delete(page)
    return -1
  }

  /** prom-client's view of the same numbers, for those who ask its Registry. */
  async get(): Promise<object> {
    const values = this.#sorted().flatMap(series => valuesOf(series.family.name, series))
    return { name: this.name, help: this.help, type: this.type, aggregator: 'omit', values }
  }

  #plan(page: Page): readonly ImportedSeries[] {
    // One of our own families may have been registered after a name was given away; ours stays.
    const ours = this.#taken()
    for (const family of this.#families.values())
      if (family.names.some(each => ours.has(each))) for (const series of family.held.values()) series.remove()
    const plan = this.#sorted()
    this.#plans.set(page, plan)
    return plan
  }

  #sorted(): ImportedSeries[] {
    const families = [...this.#families.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    return families.flatMap(family => [...family.held.values()])
  }

  /** The names of our own families. */
  #taken(): ReadonlySet<string> {
    const all = this.#registry.getMetricsAsArray()
    if (all.length === this.#registered) return this.#ours
    this.#registered = all.length
    this.#ours.clear()
    for (const metric of all) {
      if (metric === (this as object)) continue
      const type = 'type' in metric && typeof metric.type === 'string' ? metric.type : 'unknown'
      for (const name of namesOf(metric.name, type)) this.#ours.add(name)
    }
    return this.#ours
  }
}

/** One origin of families, with limits of its own. Its families are nobody else's. */
export class ImportedSource {
  readonly #imported: Imported
  readonly #limits: ImportLimits
  /** Label sets held, and families. */
  series = 0
  families = 0

  constructor(imported: Imported, limits: ImportLimits) {
    this.#imported = imported
    this.#limits = limits
  }

  get full(): boolean {
    return this.series >= this.#limits.series
  }

  /** Whether there is no room for further families. */
  get crowded(): boolean {
    return this.families >= this.#limits.families
  }

  /** The series of a label set, which is added with this value if it is new; or why it cannot be. */
  add(wanted: ImportedFamily, labels: string, value: ImportedValue, now: number): ImportedSeries | ImportRefusal {
    const family = this.#imported.claim(wanted, this)
    if (typeof family === 'string') return family
    const known = family.held.get(labels)
    if (known) return known
    if (this.full) return 'series_limit'
    if (family.held.size === 0 && this.crowded) return 'family_limit'
    this.#imported.keep(family)
    this.series++
    const series = new ImportedSeries(this.#imported, family, labels, value, now)
    family.held.set(labels, series)
    return series
  }

  /** Removes the series that were not touched since then (milliseconds of the monotonic clock); returns how many. */
  expire(before: number): number {
    let removed = 0
    for (const family of [...this.#imported.of(this)])
      for (const series of family.held.values())
        if (series.touched < before) {
          series.remove()
          removed++
        }
    return removed
  }
}

/** One label set of a family. Its owner replaces the value and touches it; it vanishes by `remove` or when it expires. */
export class ImportedSeries implements Sample {
  readonly family: Family
  readonly labels: string
  value: ImportedValue
  /** By whatever tells apart those that shall be kept side by side; the owner bounds their number. */
  readonly kept = new Map<number, Exemplar>()
  /** Milliseconds of the monotonic clock. */
  touched: number
  /** Removed: what is set now is written nowhere. */
  gone = false
  readonly #imported: Imported

  constructor(imported: Imported, family: Family, labels: string, value: ImportedValue, now: number) {
    this.#imported = imported
    this.family = family
    this.labels = labels
    this.value = value
    this.touched = now
  }

  get exemplars(): Iterable<Exemplar> {
    return this.kept.values()
  }

  remove(): void {
    if (this.gone) return
    this.gone = true
    const { family } = this
    family.held.delete(this.labels)
    family.source.series--
    if (family.held.size === 0) this.#imported.release(family)
  }
}

class Family implements ImportedFamily {
  readonly name: string
  readonly type: ImportedType
  readonly help: string
  readonly unit: string
  readonly names: readonly string[]
  readonly source: ImportedSource
  /** By label text. */
  readonly held = new Map<string, ImportedSeries>()

  constructor({ name, type, help, unit }: ImportedFamily, names: readonly string[], source: ImportedSource) {
    this.name = name
    this.type = type
    this.help = help
    this.unit = unit
    this.names = names
    this.source = source
  }
}

/** Every name that a family writes in one of the formats; parsers of OpenMetrics let no two families share one. */
function namesOf(name: string, type: string): string[] {
  const base = openMetricsName(type, name)
  switch (type) {
    case 'counter':
      return [base, `${base}_total`, `${base}_created`]
    case 'histogram':
      return [name, `${name}_bucket`, `${name}_sum`, `${name}_count`, `${name}_created`]
    case 'summary':
      return [name, `${name}_sum`, `${name}_count`, `${name}_created`]
    default:
      return [name]
  }
}

function openHead(page: Page, format: Format, { name, type, help, unit }: ImportedFamily): void {
  if (format === 'protobuf') {
    openFamily(page, type === 'unknown' ? 'untyped' : type, name, help, unit)
    return
  }
  writeHead(page, format, type === 'unknown' && format === 'text' ? 'untyped' : type, name, help)
  const base = openMetricsName(type, name)
  if (format === 'openmetrics' && unit !== '' && base.endsWith(`_${unit}`)) page.text(`# UNIT ${base} ${unit}\n`)
}

function writeText(page: Page, format: 'text' | 'openmetrics', series: ImportedSeries): number {
  return writeLines(page, format, series.family.name, series)
}
