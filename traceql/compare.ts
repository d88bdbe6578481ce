// compare(): how often each value of each attribute occurs among the spans of the selection and among the others, the
// baseline. Attributes are those of the span, its resource, instrumentation, events and links, and the intrinsics that have few
// values.

import { MOST_CELLS, type Observer } from './aggregate.ts'
import { read } from './check.ts'
import type { Facts, Fields, Read, Test } from './field.ts'
import type { Intervals } from './intervals.ts'
import type { Cursor, Value } from './reading.ts'
import type { FoundSeries } from './results.ts'
import { keyOf, type Static } from './static.ts'
import { attributeText } from './text.ts'
import type { Compare, Intrinsic } from './tree.ts'

/** Different values of one attribute that are counted one by one; of further ones only the total is. */
const MOST_VALUES = 1000

const INTRINSICS: readonly Intrinsic[] = [
  'name',
  'status',
  'statusMessage',
  'kind',
  'rootName',
  'rootServiceName',
  'instrumentation:name',
  'instrumentation:version',
]

interface Counted {
  readonly value: Static
  readonly counts: Float64Array
}

class Values {
  readonly byKey = new Map<string, Counted>()
  readonly totals: Float64Array

  constructor(intervals: number) {
    this.totals = new Float64Array(intervals)
  }
}

export class Comparison implements Observer {
  partial: string | undefined
  readonly #query: Compare
  readonly #intervals: Intervals
  readonly #test: Test
  readonly #intrinsics: readonly (readonly [string, Read])[]
  readonly #baseline = new Map<string, Values>()
  readonly #selection = new Map<string, Values>()
  /** Attributes with more values than are counted. */
  readonly #overfull = new Set<string>()
  #used = 0

  constructor(query: Compare, intervals: Intervals, fields: Fields) {
    this.#query = query
    this.#intervals = intervals
    this.#test = fields.test(query.filter.field)
    this.#intrinsics = INTRINSICS.map(name => [name, fields.read({ kind: 'intrinsic', name, at: 0 })])
  }

  observe(cursor: Cursor, facts: Facts, interval: number): void {
    const into = this.#selected(cursor, facts) ? this.#selection : this.#baseline
    for (const [key, value] of this.#intrinsics) {
      const found = value(cursor, facts)
      if (found.type !== 'string' || found.value) this.#count(into, key, found, interval)
    }
    const each = (prefix: string) => (start: number, end: number, value: Value) => {
      const name = cursor.bytes.toString('utf8', start, end)
      const key = attributeText({ kind: 'attribute', scope: prefix as 'span', parent: false, name, at: 0 })
      if (key !== 'resource.service.name') this.#count(into, key, read(value), interval)
      return true
    }
    const service: Static = { type: 'string', value: cursor.segment.services.text(cursor.service) }
    this.#count(into, 'resource.service.name', service, interval)
    cursor.attributes('resource', each('resource'))
    cursor.attributes('span', each('span'))
    cursor.attributes('instrumentation', each('instrumentation'))
    if (cursor.hasEvents) cursor.attributes('event', each('event'))
    if (cursor.hasLinks) cursor.attributes('link', each('link'))
  }

  series(): FoundSeries[] {
    return [
      ...this.#values('baseline', this.#baseline),
      ...this.#values('selection', this.#selection),
      ...this.#totals('baseline_total', this.#baseline),
      ...this.#totals('selection_total', this.#selection),
    ]
  }

  #selected(cursor: Cursor, facts: Facts): boolean {
    const { range } = this.#query
    if (range) {
      const start = cursor.startNanos()
      if (start < range.start || start >= range.end) return false
    }
    return this.#test(cursor, facts)
  }

  #count(into: Map<string, Values>, key: string, value: Static, interval: number): void {
    let values = into.get(key)
    if (!values) {
      if (!this.#room()) return
      values = new Values(this.#intervals.count)
      into.set(key, values)
    }
    values.totals[interval]!++
    const own = keyOf(value)
    let counted = values.byKey.get(own)
    if (!counted) {
      if (values.byKey.size >= MOST_VALUES || !this.#room()) {
        this.#overfull.add(key)
        this.partial = `${key} has more values than are counted one by one`
        return
      }
      counted = { value, counts: new Float64Array(this.#intervals.count) }
      values.byKey.set(own, counted)
    }
    counted.counts[interval]!++
  }

  #room(): boolean {
    this.#used += this.#intervals.count
    return this.#used <= MOST_CELLS
  }

  #values(type: string, from: ReadonlyMap<string, Values>): FoundSeries[] {
    return [...from].flatMap(([key, { byKey }]) => {
      const sum = ({ counts }: Counted): number => counts.reduce((total, each) => total + each, 0)
      const top = [...byKey.values()].sort((a, b) => sum(b) - sum(a)).slice(0, this.#query.top)
      return top.map(({ value, counts }) => this.#found(type, key, value, counts))
    })
  }

  #totals(type: string, from: ReadonlyMap<string, Values>): FoundSeries[] {
    return [...from].map(([key, { totals }]) => this.#found(type, key, { type: 'nil' }, totals))
  }

  #found(type: string, key: string, value: Static, counts: Float64Array): FoundSeries {
    const samples = Array.from(counts, (count, i) => ({ ms: this.#intervals.ms(i), value: count }))
    return {
      labels: [
        ['__meta_type', { type: 'string', value: type }],
        [key, value],
      ],
      samples,
      exemplars: [],
    }
  }
}
