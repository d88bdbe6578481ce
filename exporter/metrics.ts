// The metrics door: declare families, make metric objects from them, keep series, write one scrape.

export { CounterColumn, HistogramColumn } from './metrics/columns.ts'
export {
  type CounterFamily,
  counter,
  type Family,
  type GaugeFamily,
  gauge,
  type HistogramFamily,
  histogram,
} from './metrics/family.ts'
export { hash, KEY_WORDS } from './metrics/hash.ts'
export type { ImportedFamily, ImportedSeries, ImportedSource, ImportLimits, ImportRefusal } from './metrics/imported.ts'
export { labelText } from './metrics/labels.ts'
export { added, type Buckets, fitted, type NativeHistogram } from './metrics/native.ts'
export { Metrics, Reading, series, seriesExpired, seriesOverflow } from './metrics/registry.ts'
export type {
  Distribution,
  Exemplar,
  ImportedType,
  ImportedValue,
  NativeDistribution,
  Quantiles,
} from './metrics/sample.ts'
export { collectorDuration, collectorSuccess, type Exposition, Scrape, type Source } from './metrics/scrape.ts'
export { OVERFLOW, SeriesTable } from './metrics/table.ts'
export { lastWord, word } from './metrics/word.ts'
