// Families from outside, whose names and types are learnt when they arrive: the application's OTLP metrics, its own
// /metrics. One metric object in the Registry holds and writes them all.
//
// Two promises keep the page valid for any input. Every name that a family can write, suffixes included, belongs to
// one family: a second claim is refused, and so is a name of one of our own families. A rendering writes the series
// that exist when it begins, sorted by family: a series that is added or removed between its slices cannot split a
// family.

import type Registry from 'prom-client/lib/registry.js'
import type { Rendering } from './columns.ts'
import type { HoldsExemplars, Keep } from './exemplars.ts'
import { type Format, openMetricsName, writeHead } from './format.ts'
import type { Page } from './page.ts'
import { openFamily } from './protobuf.ts'
import {
  type Exemplar,
  type ImportedType,
  type ImportedValue,
  type Sample,
  valuesOf,
  weightOf,
  writeLines,
  writeMetric,
} from './sample.ts'

/** A family from outside. A counter's name ends with _total. */
export interface ImportedFamily {
  readonly name: string
  readonly type: ImportedType
  readonly help: string
  /** The unit as the name spells it ("seconds"), or "". */
  readonly unit: string
}

/** Why a series cannot be taken. */
export type ImportRefusal = 'name_collision' | 'type_conflict' | 'family_limit' | Shortage

/** The limit that leaves no room for another series. */
export type Shortage = 'series_limit' | 'memory_limit'

export interface ImportLimits {
  /** Label sets, over all families. */
  readonly series: number
  readonly families: number
  /** The memory that the series may take, as `weightOf` estimates it; unlimited if it is left out. */
  readonly bytes?: number
  /** The budget that they share with others. */
  readonly memory?: SharedMemory
}

/** A budget of bytes that is told what the series take. */
export interface SharedMemory {
  readonly full: boolean
  /** A negative number gives back. */
  add(bytes: number): void
}

/** Names of series that Prometheus adds to every scrape, and our own prefix. */
const RESERVED = /^(?:up|scrape_.*|pillion_.*)$/

/** Lines per slice, as for the columns. */
const SLICE_LINES = 1000

export class Imported implements Rendering, HoldsExemplars {
  readonly name = 'imported'
  readonly help = 'Families that come from outside.'
  readonly type = 'untyped'
  readonly ofSpans = false
  readonly #registry: Registry
  readonly #families = new Map<string, OwnedFamily>()
  /** Every name that a family can write. */
  readonly #claims = new Map<string, OwnedFamily>()
  readonly #ours = new Set<string>()
  #registered = -1
  /** The series that each rendering in progress writes. */
  readonly #plans = new WeakMap<Page, readonly ImportedSeries[]>()
  #guest: object | undefined
  #beside: (page: Page, format: Format) => void = () => {}

  constructor(registry: Registry) {
    this.#registry = registry
  }

  exemplarsChanged(): boolean {
    return this.#families.size > 0
  }

  /** All at once: their number is bounded by the memory for these series. */
  visitExemplars(keep: Keep): number {
    for (const family of this.#families.values())
      for (const series of family.held.values()) {
        const before = series.kept.size
        for (const [key, { labels }] of series.kept) {
          const id = /(?:^|,)trace_id="([0-9a-f]{32})"/.exec(labels)?.[1]
          if (id !== undefined && !keep(Buffer.from(id, 'hex'), 0)) series.kept.delete(key)
        }
        if (series.kept.size < before) series.weigh()
      }
    return -1
  }

  /**
   * Another metric object with names from outside, which asks for the `owner` of each. `plan` is called when it is decided
   * which families a page shows, right after those of this object.
   */
  beside(guest: object, plan: (page: Page, format: Format) => void): void {
    this.#guest = guest
    this.#beside = plan
  }

  /** The owner of one of these names; undefined if they are free. */
  owner(names: readonly string[]): 'ours' | 'imported' | undefined {
    const ours = this.#taken()
    if (names.some(each => RESERVED.test(each) || ours.has(each))) return 'ours'
    return names.some(each => this.#claims.has(each)) ? 'imported' : undefined
  }

  source(limits: ImportLimits): ImportedSource {
    return new ImportedSource(this, limits)
  }

  /** The family to which a source may add series; a new one is not kept yet. Or why there is none. */
  claim(wanted: ImportedFamily, source: ImportedSource): OwnedFamily | ImportRefusal {
    const known = this.#families.get(wanted.name)
    if (known) {
      if (known.source !== source) return 'name_collision'
      return known.type === wanted.type ? known : 'type_conflict'
    }
    const names = namesOf(wanted.name, wanted.type)
    if (RESERVED.test(wanted.name) || names.some(each => this.#taken().has(each))) return 'name_collision'
    const rival = names.map(each => this.#claims.get(each)).find(each => each !== undefined)
    if (rival) return rival.source === source ? 'type_conflict' : 'name_collision'
    return new OwnedFamily(wanted, names, source)
  }

  keep(family: OwnedFamily): void {
    if (this.#families.has(family.name)) return
    this.#families.set(family.name, family)
    family.source.families++
    for (const name of family.names) this.#claims.set(name, family)
  }

  release(family: OwnedFamily): void {
    this.#families.delete(family.name)
    family.source.families--
    for (const name of family.names) this.#claims.delete(name)
  }

  /** Families of one source. */
  *of(source: ImportedSource): Generator<OwnedFamily> {
    for (const family of this.#families.values()) if (family.source === source) yield family
  }

  write(page: Page, format: Format, from: number): number {
    const plan = from === 0 ? this.#plan(page, format) : (this.#plans.get(page) ?? [])
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

  /** The same numbers in the form that prom-client's Registry expects. */
  async get(): Promise<object> {
    const values = this.#sorted().flatMap(series => valuesOf(series.family.name, series))
    return { name: this.name, help: this.help, type: this.type, aggregator: 'omit', values }
  }

  #plan(page: Page, format: Format): readonly ImportedSeries[] {
    // One of our own families may have been registered after its name was claimed; then the claim ends.
    const ours = this.#taken()
    for (const family of this.#families.values())
      if (family.names.some(each => ours.has(each))) for (const series of family.held.values()) series.remove()
    const plan = this.#sorted()
    this.#plans.set(page, plan)
    this.#beside(page, format)
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
      if (metric === (this as object) || metric === this.#guest) continue
      const type = 'type' in metric && typeof metric.type === 'string' ? metric.type : 'unknown'
      for (const name of namesOf(metric.name, type)) this.#ours.add(name)
    }
    return this.#ours
  }
}

/** One origin of families, with its own limits. A family belongs to one source. */
export class ImportedSource {
  readonly #imported: Imported
  readonly #limits: ImportLimits
  /** Label sets held, their bytes, and families. */
  series = 0
  bytes = 0
  families = 0

  constructor(imported: Imported, limits: ImportLimits) {
    this.#imported = imported
    this.#limits = limits
  }

  /** Accounts for bytes that its series take or give back. */
  weigh(bytes: number): void {
    this.bytes += bytes
    this.#limits.memory?.add(bytes)
  }

  /** Why there is no room for further series, or undefined if there is. */
  get shortage(): Shortage | undefined {
    if (this.series >= this.#limits.series) return 'series_limit'
    const { bytes = Number.POSITIVE_INFINITY, memory } = this.#limits
    return this.bytes >= bytes || memory?.full ? 'memory_limit' : undefined
  }

  get full(): boolean {
    return this.shortage !== undefined
  }

  /** Whether there is no room for further families. */
  get crowded(): boolean {
    return this.families >= this.#limits.families
  }

  /** The series of a label set, added with this value if it is new; or the reason why it cannot be added. */
  add(wanted: ImportedFamily, labels: string, value: ImportedValue, now: number): ImportedSeries | ImportRefusal {
    const family = this.#imported.claim(wanted, this)
    if (typeof family === 'string') return family
    const known = family.held.get(labels)
    if (known) return known
    const { shortage } = this
    if (shortage) return shortage
    if (family.held.size === 0 && this.crowded) return 'family_limit'
    this.#imported.keep(family)
    this.series++
    const series = new ImportedSeries(this.#imported, family, labels, value, now)
    family.held.set(labels, series)
    return series
  }

  /** Removes the series not touched since then (monotonic milliseconds) that may expire; returns how many. */
  expire(before: number, expires: (series: ImportedSeries) => boolean = () => true): number {
    let removed = 0
    for (const series of this.#untouched(before, expires)) {
      series.remove()
      removed++
    }
    return removed
  }

  /** The same for at most so many of them, the longest untouched first. */
  evict(most: number, before: number, expires: (series: ImportedSeries) => boolean): number {
    const idle = [...this.#untouched(before, expires)].sort((a, b) => a.touched - b.touched).slice(0, most)
    for (const series of idle) series.remove()
    return idle.length
  }

  *#untouched(before: number, expires: (series: ImportedSeries) => boolean): Generator<ImportedSeries> {
    for (const family of [...this.#imported.of(this)])
      for (const series of family.held.values()) if (series.touched < before && expires(series)) yield series
  }
}

/**
 * One label set of a family. Its owner replaces the value, weighs it anew and touches it; it is gone after `remove`, or
 * when it expires.
 */
export class ImportedSeries implements Sample {
  readonly family: OwnedFamily
  readonly labels: string
  value: ImportedValue
  /** By a key of the owner's choice, one exemplar for each; the owner bounds their number. */
  readonly kept = new Map<number, Exemplar>()
  /** Milliseconds of the monotonic clock. */
  touched: number
  /** When it began to count, in seconds since the epoch, 0 if unknown. */
  created = 0
  /** Removed: it is no longer written. */
  gone = false
  #bytes = 0
  readonly #imported: Imported

  constructor(imported: Imported, family: OwnedFamily, labels: string, value: ImportedValue, now: number) {
    this.#imported = imported
    this.family = family
    this.labels = labels
    this.value = value
    this.touched = now
    this.weigh()
  }

  /** Accounts for the memory that value and exemplars take now. */
  weigh(): void {
    if (this.gone) return
    const bytes = weightOf(this.labels, this.value, this.kept.size)
    this.family.source.weigh(bytes - this.#bytes)
    this.#bytes = bytes
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
    family.source.weigh(-this.#bytes)
    if (family.held.size === 0) this.#imported.release(family)
  }
}

class OwnedFamily implements ImportedFamily {
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

/** Every name that a family writes in any of the formats; parsers of OpenMetrics do not let two families share one. */
export function namesOf(name: string, type: string): string[] {
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
