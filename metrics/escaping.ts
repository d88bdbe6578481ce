// Names in UTF-8, which Prometheus 3 takes and asks for with escaping=allow-utf-8. A scraper that does not ask gets
// underscores (prometheus.io/docs/instrumenting/content_negotiation). Names of our own are always in the older set.

const METRIC = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/

/** Whether a metric may be named so without quotes. */
export function plainMetric(name: string): boolean {
  return METRIC.test(name)
}

/** Whether a label may be named so without quotes. */
export function plainLabel(name: string): boolean {
  return LABEL.test(name)
}

/** The name with an underscore for each character outside the older set. */
export function underscoredMetric(name: string): string {
  return METRIC.test(name) ? name : name.replace(/[^a-zA-Z0-9_:]/gu, '_').replace(/^\d/, '_')
}

/** The same for labels, which have no colon. */
export function underscoredLabel(name: string): string {
  return LABEL.test(name) ? name : name.replace(/[^a-zA-Z0-9_]/gu, '_').replace(/^\d/, '_')
}
