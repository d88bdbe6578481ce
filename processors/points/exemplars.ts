// Exemplars of data points, which lead from a measurement to its trace.
//
//   Exemplar := filtered attributes* 7, time 2, double 3 | int 6, span id 4, trace id 5

import type { ImportedSeries } from '../../metrics/imported.ts'
import { labelText } from '../../metrics/labels.ts'
import type { Exemplar } from '../../metrics/sample.ts'
import { FIXED64, field, LENGTH, Reader } from '../../otlp/wire.ts'
import { attributes, type Ranges } from './labels.ts'
import { labelName } from './names.ts'

/** The limit of OpenMetrics for the names and values of an exemplar's labels together. */
const MOST_CHARACTERS = 128
/** Exemplars kept for one series, the newest of each bucket. */
const MOST_KEPT = 20

/** Keeps the newest exemplar for each bucket of a series. */
export function keepExemplars(series: ImportedSeries, bytes: Buffer, exemplars: Ranges): void {
  const { kept, value } = series
  // The newest come last.
  for (let i = Math.max(0, exemplars.length - 2 * MOST_KEPT); i < exemplars.length; i += 2) {
    const exemplar = read(bytes, exemplars[i]!, exemplars[i + 1]!)
    if (!exemplar) continue
    const cell = typeof value === 'object' && 'bounds' in value ? bucketOf(value.bounds, exemplar) : powerOf(exemplar)
    const place = typeof value === 'number' ? 0 : cell
    const before = kept.get(place)
    if (before && before.seconds > exemplar.seconds) continue
    // Deleted first, so that the map is in the order of arrival.
    kept.delete(place)
    kept.set(place, exemplar)
    for (const oldest of kept.keys())
      if (kept.size > MOST_KEPT) kept.delete(oldest)
      else break
  }
}

function bucketOf(bounds: readonly number[], { value }: Exemplar): number {
  const found = bounds.findIndex(each => value <= each)
  return found < 0 ? bounds.length : found
}

/** The key of a value: one exemplar is kept for each power of two and sign. */
function powerOf({ value }: Exemplar): number {
  const power = value === 0 ? -2000 : Math.ceil(Math.log2(Math.abs(value)))
  return value < 0 ? power - 10_000 : power
}

function read(bytes: Buffer, start: number, end: number): Exemplar | undefined {
  let value = Number.NaN
  let seconds = 0
  let [trace, span] = ['', '']
  const filtered: number[] = []
  reader.over(bytes, start, end)
  while (reader.next())
    switch (reader.tag) {
      case field(2, FIXED64):
        seconds = reader.unsigned / 1e9
        break
      case field(3, FIXED64):
        value = reader.double
        break
      case field(6, FIXED64):
        value = reader.signed
        break
      case field(4, LENGTH):
        span = id(bytes, reader.start, reader.end, 8)
        break
      case field(5, LENGTH):
        trace = id(bytes, reader.start, reader.end, 16)
        break
      case field(7, LENGTH):
        filtered.push(reader.start, reader.end)
        break
    }
  const ids: [string, string][] = [
    ['trace_id', trace],
    ['span_id', span],
  ]
  // If an attribute has the name of an id, the id wins.
  const more = new Map(attributes(bytes, filtered, MOST_CHARACTERS).map(([key, text]) => [labelName(key), text]))
  for (const [name, text] of ids) if (text !== '') more.delete(name)
  const all = [...ids, ...more].filter(([name, text]) => name !== '' && text !== '')
  const characters = all.reduce((sum, [name, text]) => sum + name.length + text.length, 0)
  const labels = labelText(characters <= MOST_CHARACTERS ? all : ids)
  return labels === '' || Number.isNaN(value) ? undefined : { labels, value, seconds }
}

function id(bytes: Buffer, start: number, end: number, length: number): string {
  const hex = end - start === length ? bytes.toString('hex', start, end) : ''
  return /^0*$/.test(hex) ? '' : hex
}

const reader = new Reader()
