// Whether the samples of a family are what its type wants. Readers of the older text format are content with the right
// names and labels; OpenMetrics wants the numbers to agree too, and a page that a reader refuses is lost to it as a whole. A
// family that does not fit keeps all its samples; only its type is lost: each of its names is written as a family of its own.

import type { Role, ScrapedFamily } from './families.ts'
import { EMPTY, LOOSE, VERBATIM } from './samples.ts'
import type { Scanner } from './scanner.ts'

type Unfit = ScrapedFamily['unfit']

/** Reads the samples of one family, which stand in `order` from `from` to `to`, and may bring them into another order. */
export function unfit(page: Scanner, family: ScrapedFamily, order: Uint32Array): Unfit {
  switch (family.type) {
    case 'gauge':
    case 'unknown':
      return 'no'
    case 'counter':
      return counters(page, family, order)
    case 'histogram':
    case 'gaugehistogram':
    case 'summary':
      return groupwise(page, family, order)
    case 'info':
      return every(page, family, order, value => value === 1) ? 'no' : 'strictly'
    case 'stateset':
      return states(page, family, order) ? 'no' : 'strictly'
  }
}

function every(
  { samples }: Scanner,
  { from, to }: ScrapedFamily,
  order: Uint32Array,
  good: (value: number) => boolean,
): boolean {
  for (let i = from; i < to; i++) if (!good(samples.value[order[i]!]!)) return false
  return true
}

function counters(page: Scanner, family: ScrapedFamily, order: Uint32Array): Unfit {
  if (!every(page, family, order, value => value >= 0)) return 'strictly'
  if (family.names.length > 1) return groupwise(page, family, order)
  return page.families.names[family.names[0]!]!.role === '_created' ? 'yes' : 'no'
}

/** Each sample of a stateset has a label of the family's name. */
function states(page: Scanner, family: ScrapedFamily, order: Uint32Array): boolean {
  const { samples, bytes } = page
  const label = `${family.name}="`
  return (
    every(page, family, order, value => value === 0 || value === 1) &&
    order.subarray(family.from, family.to).every(at => {
      const text = bytes.toString('latin1', samples.labels[at]!, samples.labelsEnd[at]!)
      return text.startsWith(label) || text.includes(`,${label}`)
    })
  )
}

/** The samples of one label set of a histogram or summary. */
class Group {
  #sum = Number.NaN
  #count = Number.NaN
  #bound = Number.NEGATIVE_INFINITY
  #bucket = 0
  #total = Number.NaN

  take(type: ScrapedFamily['type'], role: Role, value: number, bound: number): Unfit {
    switch (role) {
      case '_bucket': {
        if (Number.isNaN(bound)) return 'yes'
        // OpenMetrics allows no sum beside a bucket below 0, for most.
        const fine =
          bound > this.#bound && whole(value) && value >= this.#bucket && (bound >= 0 || type === 'gaugehistogram')
        this.#bound = bound
        this.#bucket = value
        if (bound === Number.POSITIVE_INFINITY) this.#total = value
        return fine ? 'no' : 'strictly'
      }
      case '_sum':
      case '_gsum':
        this.#sum = value
        return (type === 'gaugehistogram' ? !Number.isNaN(value) : value >= 0) ? 'no' : 'strictly'
      case '_count':
      case '_gcount':
        this.#count = value
        return whole(value) ? 'no' : 'strictly'
      case '':
        if (Number.isNaN(bound)) return 'yes'
        return bound >= 0 && bound <= 1 && !(value < 0) ? 'no' : 'strictly'
      default:
        return role === '_total' || value >= 0 ? 'no' : 'strictly'
    }
  }

  complete(type: ScrapedFamily['type']): boolean {
    if (type === 'counter') return true
    if (Number.isNaN(this.#sum) || Number.isNaN(this.#count)) return false
    return type === 'summary' || this.#total === this.#count
  }
}

function whole(value: number): boolean {
  return value >= 0 && Number.isInteger(value)
}

/** The samples of each label set must stand together; if they do not, they are brought together. */
function groupwise(page: Scanner, family: ScrapedFamily, order: Uint32Array): Unfit {
  const { samples, families } = page
  const { from, to, type } = family
  const { groupA, groupB } = samples
  const seen = new Map<number, Group>()
  let group: Group | undefined
  let apart = false
  let found: Unfit = 'no'
  for (let i = from; i < to; i++) {
    const at = order[i]!
    const before = i > from ? order[i - 1]! : -1
    if (before < 0 || groupA[at] !== groupA[before] || groupB[at] !== groupB[before]) {
      const key = keyOf(groupA[at]!, groupB[at]!)
      group = seen.get(key)
      if (group) apart = true
      else {
        group = new Group()
        seen.set(key, group)
      }
    }
    // To the strict readers a label without a value makes another label set.
    if ((samples.flags[at]! & EMPTY) !== 0) samples.flags[at] = (samples.flags[at]! & ~VERBATIM) | LOOSE
    const { role } = families.names[samples.name[at]!]!
    // Only a bucket has le, and only a quantile has quantile.
    const bounded = role === '_bucket' || (type === 'summary' && role === '')
    if (!bounded && !Number.isNaN(samples.bound[at]!)) found = 'strictly'
    const each = group!.take(type, role, samples.value[at]!, samples.bound[at]!)
    if (each === 'yes') return 'yes'
    if (each === 'strictly') found = 'strictly'
  }
  for (const each of seen.values()) if (!each.complete(type)) found = 'strictly'
  if (apart) together(page, family, order, [...seen.keys()])
  return found
}

function together(
  { samples }: Scanner,
  { from, to }: ScrapedFamily,
  order: Uint32Array,
  keys: readonly number[],
): void {
  const ranks = new Map(keys.map((key, rank) => [key, rank]))
  const rank = (at: number): number => ranks.get(keyOf(samples.groupA[at]!, samples.groupB[at]!)) ?? 0
  order.subarray(from, to).sort((one, other) => rank(one) - rank(other) || one - other)
}

/** 53 of the 64 bits, which a double holds exactly. */
function keyOf(a: number, b: number): number {
  return (a >>> 0) * 2 ** 21 + (b >>> 11)
}
