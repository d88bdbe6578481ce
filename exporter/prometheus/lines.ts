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
import { type Block, type Labels, textOf } from './ordinary.ts'

/** The values of many families as they were at one time. */
export class Values {
  numbers = new Float64Array(1024)
  length = 0

  add(value: number): void {
    if (this.length === this.numbers.length) {
      const larger = new Float64Array(this.length * 2)
      larger.set(this.numbers)
      this.numbers = larger
    }
    this.numbers[this.length++] = value
  }
}

/** All of a family but its values. */
interface Fixed {
  /** One for each label set. An equal object may take the place of one, since a reading that is set anew has new ones. */
  readonly labels: Labels[]
  /** The text before each value: the head of the family or the end of a line, then a name with its labels. */
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

/** The prepared texts of the families in one format. */
export class Lines {
  readonly #format: TextFormat
  readonly #made = new WeakMap<Ordinary, Fixed>()

  constructor(format: TextFormat) {
    this.#format = format
  }

  /** Takes the values of a family as they are now; undefined if it has none. */
  take(metric: Ordinary, values: Values): Block | undefined {
    const stored = metric as unknown as Stored // As `Entry` says.
    const from = values.length
    const known = this.#made.get(metric)
    let same = known !== undefined
    let i = 0
    for (const entry of stored.store.values()) {
      if (same && !holds(known?.labels, i, entry.labels ?? NONE)) same = false
      if (stored.upperBounds) addHistogram(values, entry, stored.upperBounds)
      else values.add(entry.value)
      i++
    }
    if (i === 0) return undefined
    if (known && same && i === known.labels.length) return new Taken(known.texts, values, from)
    const fixed = made(stored, this.#format)
    this.#made.set(metric, fixed)
    return new Taken(fixed.texts, values, from)
  }
}

/** A family and its values. */
class Taken implements Block {
  readonly #texts: Pieces
  readonly #values: Values
  readonly #from: number

  /** Its values begin at a place among all. */
  constructor(texts: Pieces, values: Values, from: number) {
    this.#texts = texts
    this.#values = values
    this.#from = from
  }

  write(page: Page): -1 {
    const { words, lengths } = this.#texts
    const { numbers } = this.#values
    let word = 0
    for (let line = 0; line < lengths.length; line++) {
      const length = lengths[line]!
      page.words(words, word, length)
      page.numberAt(numbers, this.#from + line)
      word += wordsIn(length)
    }
    page.piece(NEWLINE)
    return -1
  }
}

const NEWLINE = piece('\n')

const NONE: Labels = {}

/** Whether the label set at a place is this one. */
function holds(all: Labels[] = [], place: number, labels: Labels): boolean {
  const known = all[place]
  if (known === labels) return true
  if (!known) return false
  let left = 0
  for (const name in known) {
    if (known[name] !== labels[name]) return false
    left++
  }
  for (const _ in labels) left--
  // It has labels that the known one has not.
  if (left !== 0) return false
  all[place] = labels
  return true
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
  const all = Array.from(store.values(), ({ labels = NONE }) => labels)
  let before = headText(format, type, name, help)
  const texts: string[] = []
  const line = (text: string): void => {
    texts.push(`${before}${text} `)
    before = '\n'
  }
  for (const labels of all) {
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
  return { labels: all, texts: pieces(texts) }
}
