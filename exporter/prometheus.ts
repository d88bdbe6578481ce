// The exposition: one scrape of everything, as text, OpenMetrics or protobuf.

export { collectorDuration, collectorSuccess, Scrape, type Source } from './prometheus/scrape.ts'
