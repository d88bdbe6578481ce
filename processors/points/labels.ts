// Labels from attributes: of data points, of the instrumentation scope, and of the resource.

import { labelText } from '../../metrics/labels.ts'
import { KeyValue } from '../../otlp/key-value.ts'
import { attributeText } from '../../otlp/value.ts'
import { field, LENGTH, Reader } from '../../otlp/wire.ts'
import { ABSENT } from '../../telemetry/attribute.ts'
import { labelName } from './names.ts'

/** Places in a request, as offset pairs: [start, end, start, end, …]. */
export type Ranges = readonly number[]

/** More labels, or longer ones, are refused: every series repeats them on each scrape. */
export const MOST_LABELS = 64
export const LONGEST_LABELS = 4096

/**
 * The labels of a series: ours and its attributes. An attribute with the name of one of ours is renamed, as in
 * Prometheus.
 */
export class Labels {
  readonly #pairs = new Map<string, string>()

  /** A label of ours; "" leaves it out. */
  own(name: string, value: string): this {
    if (value !== '') this.#pairs.set(name, value)
    return this
  }

  /** Adds the KeyValues in these ranges, each named `prefix` and its key; `except` lists keys to leave out. */
  attributes(bytes: Buffer, keyValues: Ranges, { prefix = '', except = NONE, cut = LONGEST_LABELS } = {}): this {
    const found = attributes(bytes, keyValues, cut).filter(([key]) => !except.includes(key))
    // If two keys become one name, their values are joined in the order of the keys.
    found.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    const named = new Map<string, string>()
    for (const [key, value] of found) {
      const name = prefix === '' ? labelName(key) : `${prefix}${key.replace(/[^a-zA-Z0-9]+/g, '_')}`
      const before = named.get(name)
      named.set(name, before === undefined ? value : `${before};${value}`)
    }
    for (const [name, value] of named) this.#attribute(name, value)
    return this
  }

  get size(): number {
    return this.#pairs.size
  }

  /** The text in the order of the names, so that a label set has only one text. */
  text(): string {
    return labelText([...this.#pairs].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  #attribute(name: string, value: string): void {
    if (name === '') return
    let free = name
    while (this.#pairs.has(free) || OURS.has(free)) free = `exported_${free}`
    if (value !== '') this.#pairs.set(free, value)
  }
}

/** Names that Prometheus or the sidecar uses. */
const OURS: ReadonlySet<string> = new Set([
  'job',
  'instance',
  'le',
  'quantile',
  'otel_scope_name',
  'otel_scope_version',
  'otel_scope_schema_url',
])
const NONE: readonly string[] = []

/** Keys and texts of KeyValues; if a key occurs twice, the first wins. */
export function attributes(bytes: Buffer, keyValues: Ranges, cut: number): [key: string, value: string][] {
  const found = new Map<string, string>()
  for (let i = 0; i < keyValues.length; i += 2) {
    pair.read(bytes, keyValues[i]!, keyValues[i + 1]!)
    if (pair.type === ABSENT) continue
    const key = bytes.toString('utf8', pair.keyStart, pair.keyEnd)
    if (!found.has(key)) found.set(key, attributeText(bytes, pair.type, pair.start, pair.end, cut))
  }
  return [...found]
}

/**
 * The KeyValues of a Resource or an InstrumentationScope, which may come in pieces, up to a limit that no sender needs.
 */
export function keyValuesOf(bytes: Buffer, pieces: Ranges, number: number): number[] {
  const found: number[] = []
  for (let i = 0; i < pieces.length; i += 2)
    for (message.over(bytes, pieces[i]!, pieces[i + 1]!); message.next() && found.length < MOST_OFFSETS; )
      if (message.tag === field(number, LENGTH)) found.push(message.start, message.end)
  return found
}

const MOST_OFFSETS = 2 * 1024
const pair = new KeyValue()
const message = new Reader()
