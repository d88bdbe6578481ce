// The metrics door: declare families, make metric objects from them, gather, and write one scrape.

export {
  type CounterFamily,
  counter,
  type Family,
  type GaugeFamily,
  gauge,
  type HistogramFamily,
  histogram,
} from './metrics/family.ts'
export { Metrics, Reading } from './metrics/registry.ts'
