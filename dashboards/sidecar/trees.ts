// The row of insight: how many requests were put together, and what was left out.

import { skipped } from '../../processors/blame.ts'
import * as trees from '../../processors/trees.ts'
import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { happening, sum } from '../promql.ts'
import { series } from '../query.ts'

const NO_TREES = 'no requests put together yet'

export const treesRow: Row = folded(1900, 'Requests put together', [
  lines({
    id: 190,
    title: 'Requests put together',
    about:
      'Requests per second whose spans were put together for the critical path and for blame (pillion_trees_requests_total).',
    unit: 'reqps',
    queries: [series(chosen.rate(trees.requests), '{{instance}}')],
    empty: NO_TREES,
  }),
  lines({
    id: 191,
    title: 'Spans left out of them',
    about:
      'Spans per second that belong to no request that was put together, by reason (pillion_trees_dropped_spans_total). rootless: the application does not send its server spans. memory: more spans came than can wait.',
    unit: 'cps',
    queries: [series(happening(sum(chosen.rate(trees.dropped), ['reason'])), '{{reason}}')],
    empty: 'none left out',
  }),
  lines({
    id: 192,
    title: 'Spans that wait',
    about: 'Spans that wait for the end of their request (pillion_trees_held_spans), 65 536 at most.',
    unit: 'short',
    queries: [series(chosen.value(trees.held), '{{instance}}')],
    empty: NO_TREES,
  }),
  lines({
    id: 193,
    title: 'Slow requests that were not looked at',
    about:
      'Slow requests per second that stay unexplained, by reason (pillion_blame_skipped_requests_total). no_moments: the sampler does not run, or spans come from another clock or too late.',
    unit: 'reqps',
    queries: [series(happening(sum(chosen.rate(skipped), ['reason'])), '{{reason}}')],
    empty: 'all were looked at',
  }),
])
