// The families of a scraped page: which samples belong to which, by their names and the types that were declared.

import { underscoredMetric } from '../../metrics/escaping.ts'
import { mixA, mixB, sumOf } from './series-set.ts'

export type ScrapedType =
  | 'counter'
  | 'gauge'
  | 'histogram'
  | 'gaugehistogram'
  | 'summary'
  | 'info'
  | 'stateset'
  | 'unknown'

/** The role of a sample in its family, by the end of its name. */
export type Role = '' | '_total' | '_created' | '_bucket' | '_sum' | '_count' | '_gcount' | '_gsum' | '_info'

export interface ScrapedFamily {
  readonly place: number
  /** As the page declares it: in OpenMetrics without _total. */
  readonly name: string
  type: ScrapedType
  help: string
  unit: string
  /** A TYPE line, or a sample, has come: a later TYPE cannot change it. */
  settled: boolean
  /** The names of its samples, by their places among the page's names. */
  readonly names: number[]
  samples: number
  /** Its samples, in the order of the page: from, to. */
  from: number
  to: number
  /**
   * Whether its lines are what its type wants. `strictly` not: only OpenMetrics refuses them. If they are not, each name is
   * written as a family without a type.
   */
  unfit: 'no' | 'strictly' | 'yes'
}

/** A name that samples have. */
export interface SampleName {
  readonly text: string
  /** With underscores for characters outside the older set; other names may become the same. */
  readonly plain: string
  readonly family: number
  readonly role: Role
  readonly keyA: number
  readonly keyB: number
}

export const ROLES: Readonly<Record<ScrapedType, readonly Role[]>> = {
  counter: ['_total', '_created'],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count', '_created'],
  gaugehistogram: ['_bucket', '_gcount', '_gsum'],
  summary: ['', '_sum', '_count', '_created'],
  info: ['_info'],
  stateset: [''],
  unknown: [''],
}

/** The text format has no _created lines, and the sample of a counter has the name of its family. */
const TEXT_ROLES: Readonly<Partial<Record<ScrapedType, readonly Role[]>>> = {
  counter: [''],
  histogram: ['_bucket', '_sum', '_count'],
  summary: ['', '_sum', '_count'],
}

export class Families {
  readonly all: ScrapedFamily[] = []
  readonly names: SampleName[] = []
  readonly #openmetrics: boolean
  readonly #byName = new Map<string, number>()
  /** Families by the name they are declared under. */
  readonly #declared = new Map<string, ScrapedFamily>()
  readonly #most: number
  /** The last HELP of a family that has one already. */
  #spare: { name: string; help: string } | undefined

  /** At most so many families; further ones have no type. */
  constructor(openmetrics: boolean, most: number) {
    this.#openmetrics = openmetrics
    this.#most = most
  }

  /** The place of a sample's name. Without a family that declares it, it is one of its own, without a type. */
  nameOf(text: string): number {
    const known = this.#byName.get(text)
    if (known !== undefined) return known
    // It may have been described before.
    const family = this.#declared.get(text)
    const own = family && !family.settled ? family : this.#add(text)
    own.settled = true
    return this.#claim(text, own.place, '')
  }

  /** Takes a TYPE line; false if the type cannot be the family's. */
  type(name: string, word: string): boolean {
    const type = this.#typeOf(word)
    if (type === undefined) return false
    let family = this.#declare(name)
    if (family === undefined) return false
    if (family.settled) {
      if (family.type === type) return true
      const twin = this.#twin(family, type)
      if (twin === undefined) return false
      family = twin
    }
    family.settled = true
    family.type = type
    const roles = (this.#openmetrics ? undefined : TEXT_ROLES[type]) ?? ROLES[type]
    for (const role of roles) if (!this.#byName.has(name + role)) this.#claim(name + role, family.place, role)
    return true
  }

  /** Counts a sample of this name. */
  sampled(name: number): void {
    const family = this.all[this.names[name]!.family]!
    if (family.samples++ === 0 || !family.names.includes(name)) family.names.push(name)
  }

  help(name: string, help: string): void {
    const family = this.#declare(name)
    if (family && family.help === '') family.help = help
    else this.#spare = { name, help }
  }

  unit(name: string, unit: string): void {
    const family = this.#declare(name)
    if (family && family.unit === '') family.unit = unit
  }

  /**
   * A second family of the same name in OpenMetrics: a counter foo (foo_total) beside a gauge foo. client_golang writes them so
   * for go_memstats_alloc_bytes. OpenMetrics does not allow it, but no two samples share a name, and Prometheus reads both.
   */
  #twin(first: ScrapedFamily, type: ScrapedType): ScrapedFamily | undefined {
    const { name } = first
    if (!this.#openmetrics || this.all.length >= this.#most) return undefined
    if (!((first.type === 'counter' && type === 'gauge') || (first.type === 'gauge' && type === 'counter')))
      return undefined
    if (ROLES[type].some(role => this.#byName.has(name + role))) return undefined
    const twin = this.#add(name)
    if (this.#spare?.name === name) twin.help = this.#spare.help
    return twin
  }

  #declare(name: string): ScrapedFamily | undefined {
    const known = this.#declared.get(name)
    if (known) return known
    const sampled = this.#byName.get(name)
    if (sampled !== undefined && this.names[sampled]!.role === '') return this.all[this.names[sampled]!.family]
    return this.all.length < this.#most ? this.#add(name) : undefined
  }

  #add(name: string): ScrapedFamily {
    const family: ScrapedFamily = {
      place: this.all.length,
      name,
      type: 'unknown',
      help: '',
      unit: '',
      settled: false,
      names: [],
      samples: 0,
      from: 0,
      to: 0,
      unfit: 'no',
    }
    this.all.push(family)
    if (!this.#declared.has(name)) this.#declared.set(name, family)
    return family
  }

  #claim(text: string, family: number, role: Role): number {
    const plain = underscoredMetric(text)
    const sum = sumOf(Buffer.from(plain).subarray(0, 1024))
    const place = this.names.length
    this.names.push({ text, plain, family, role, keyA: mixA(sum), keyB: mixB(sum) })
    this.#byName.set(text, place)
    return place
  }

  #typeOf(word: string): ScrapedType | undefined {
    if (word === 'untyped') return this.#openmetrics ? undefined : 'unknown'
    if (!Object.hasOwn(ROLES, word)) return undefined
    if (!this.#openmetrics && word !== 'counter' && word !== 'gauge' && word !== 'histogram' && word !== 'summary')
      return 'unknown'
    return word as ScrapedType // it is one of the keys
  }
}
