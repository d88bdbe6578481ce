// The row of the application's own /metrics: whether it is read, how much it is, and what is left out.

import * as scrape from '../../collectors/scrape.ts'
import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { sum } from '../promql.ts'
import { series } from '../query.ts'
import { NO_METRICS } from '../terms.ts'

export const scrapeRow: Row = folded(1400, 'The application’s own /metrics', [
  lines({
    id: 140,
    title: 'Read',
    about:
      '1 if the application’s own /metrics was read for the scrape (app_metrics_up). At 0 its series are missing; the panel of failures says why.',
    unit: 'none',
    queries: [series(chosen.value(scrape.metricsUp), '{{instance}}')],
    empty: NO_METRICS,
  }),
  lines({
    id: 141,
    title: 'Samples and size',
    about:
      'Samples of the application that are shown (app_metrics_samples; scrape.max_samples is the limit), the size of its page in bytes (app_metrics_body_bytes; scrape.max_body), and families shown without their type because their samples do not fit it (app_metrics_untyped_families).',
    unit: 'short',
    queries: [
      series(chosen.value(scrape.metricsSamples), '{{instance}} samples'),
      series(chosen.value(scrape.metricsBytes), '{{instance}} bytes'),
      series(chosen.value(scrape.metricsUntyped), '{{instance}} families without type'),
    ],
    empty: NO_METRICS,
  }),
  lines({
    id: 142,
    title: 'Time it takes',
    about:
      'Seconds to ask the application and to read its page (app_metrics_scrape_duration_seconds). Near scrape.timeout it is soon left out.',
    unit: 's',
    queries: [series(chosen.value(scrape.metricsDuration), '{{instance}}')],
    empty: NO_METRICS,
  }),
  lines({
    id: 143,
    title: 'Failures and samples left out',
    about:
      'Scrapes of the application that failed (app_metrics_scrape_failures_total), and samples that were left out (app_metrics_dropped_total), per second and by reason.',
    unit: 'cps',
    queries: [
      series(sum(chosen.rate(scrape.metricsFailures), ['reason']), 'failed: {{reason}}'),
      series(sum(chosen.rate(scrape.metricsDropped), ['reason']), 'left out: {{reason}}'),
    ],
    empty: NO_METRICS,
  }),
])
