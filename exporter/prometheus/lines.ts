// prom-client's own counters, gauges and histograms in the text formats. Everything of their lines but the values is made
// once for each family and kept as bytes: a scrape takes the values, then writes bytes and numbers in turn. Asking
// `get()`, and making the text of each line anew, was half the cost of a page of our own families (row own).

import type { Metric } from 'prom-client'
import Counter from 'prom-client/lib/counter.js'
import Gauge from 'prom-client/lib/gauge.js'
import Histogram from 'prom-client/lib/histogram.js'
import { headText, type TextFormat } from '../../metrics/format.ts'
import type { Page } from '../../metrics/page.ts'
import { type Pieces, piece, pieces, wordsIn } from '../../metrics/piece.ts'
import { type Labels, textOf } from './ordinary.ts'

/** The values of many families as they were at one time. */
export class Values {
  #numbers = new Float64Array(1024)
  #length = 0

  get length(): number {
    return this.#length
  }

  add(value: number): void {
    if (this.#length === this.#numbers.length) {
      const larger = new Float64Array(this.#length * 2)
      larger.set(this.#numbers)
      this.#numbers = larger
    }
    this.#numbers[this.#length++] = value
  }

  at(place: number): number {
    return this.#numbers[place]!
  }
}

/** A family and its values. */
export interface Taken {
  readonly fixed: Fixed
  /** Where its values begin. */
  readonly from: number
}

/** All of a family but its values. */
interface Fixed {
  readonly entries: readonly Entry[]
  /** What stands before each value: the head of the family or the end of a line, then a name with its labels. */
  readonly texts: Pieces
}

/** prom-client's record of one label set, which it does not type (LabelMap in lib/util.js). It stays until it is removed. */
interface Entry {
  readonly labels?: Labels
  readonly value: number
  readonly bucketValues: Readonly<Record<number, number>>
  readonly sum: number
  readonly count: number
}

interface Stored {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly store: { values(): Iterable<Entry> }
  /** The bounds of a histogram. */
  readonly upperBounds?: readonly number[]
}

/** A metric object whose values are read where prom-client keeps them. */
export type Ordinary = Metric<string> & { readonly collect?: () => unknown }

export function ordinary(metric: object): metric is Ordinary {
  return metric instanceof Counter || metric instanceof Gauge || metric instanceof Histogram
}

/** What was made of the families in one format. */
export class Lines {
  readonly #format: TextFormat
  readonly #made = new WeakMap<Ordinary, Fixed>()

  constructor(format: TextFormat) {
    this.#format = format
  }

  /** Takes the values of a family as they are now; undefined if it has none. */
  take(metric: Ordinary, values: Values): Taken | undefined {
    const stored = metric as unknown as Stored // As `Entry` says.
    let fixed = this.#made.get(metric)
    if (!fixed || !same(fixed.entries, stored)) {
      fixed = made(stored, this.#format)
      this.#made.set(metric, fixed)
    }
    const { entries } = fixed
    if (entries.length === 0) return undefined
    const from = values.length
    if (stored.upperBounds) for (const entry of entries) addHistogram(values, entry, stored.upperBounds)
    else for (const entry of entries) values.add(entry.value)
    return { fixed, from }
  }
}

export function writeTaken(page: Page, { fixed, from }: Taken, values: Values): void {
  const { words, lengths } = fixed.texts
  let word = 0
  for (let line = 0; line < lengths.length; line++) {
    const length = lengths[line]!
    page.words(words, word, length)
    page.number(values.at(from + line))
    word += wordsIn(length)
  }
  page.piece(NEWLINE)
}

const NEWLINE = piece('\n')

function same(entries: readonly Entry[], { store }: Stored): boolean {
  let i = 0
  for (const entry of store.values()) if (entries[i++] !== entry) return false
  return i === entries.length
}

function addHistogram(values: Values, { bucketValues, sum, count }: Entry, bounds: readonly number[]): void {
  let total = 0
  for (const bound of bounds) {
    total += bucketValues[bound]!
    values.add(total)
  }
  values.add(count)
  values.add(sum)
  values.add(count)
}

function made(stored: Stored, format: TextFormat): Fixed {
  const { name, type, help, store, upperBounds } = stored
  const entries = [...store.values()]
  let before = headText(format, type, name, help)
  const texts: string[] = []
  const line = (text: string): void => {
    texts.push(`${before}${text} `)
    before = '\n'
  }
  for (const { labels } of entries) {
    const own = textOf(format, labels)
    const of = (more: string): string => {
      const all = own === '' || more === '' ? own + more : `${own},${more}`
      return all === '' ? '' : `{${all}}`
    }
    if (!upperBounds) line(name + of(''))
    else {
      for (const le of [...upperBounds, '+Inf']) line(`${name}_bucket${of(textOf(format, { le }))}`)
      line(`${name}_sum${of('')}`)
      line(`${name}_count${of('')}`)
    }
  }
  return { entries, texts: pieces(texts) }
}
