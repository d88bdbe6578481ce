// The row of sampling: which traces are sent on, and how exact the decisions are.

import * as sampling from '../../processors/sampling.ts'
import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { happening, sum } from '../promql.ts'
import { series } from '../query.ts'

const NOT_SAMPLING = 'no traces are sampled (forward.sampling)'

export const samplingRow: Row = folded(1100, 'Sampling', [
  lines({
    id: 110,
    title: 'Traces by decision',
    about:
      'Traces per second that were sent on or left out, by reason (pillion_sampling_traces_total). dropped rate_limit: a limit has lowered the shares.',
    unit: 'cps',
    queries: [series(happening(sum(chosen.rate(sampling.traces), ['decision', 'reason'])), '{{decision}}: {{reason}}')],
    empty: NOT_SAMPLING,
  }),
  lines({
    id: 111,
    title: 'Share of traces that is sent on',
    about:
      'By stratum (pillion_sampling_ratio). Limits lower it. What is sent on says for how many it stands, so counts downstream stay right.',
    unit: 'percentunit',
    queries: [series(chosen.value(sampling.ratio), '{{instance}} {{stratum}}')],
    empty: NOT_SAMPLING,
    max: 1,
  }),
  lines({
    id: 112,
    title: 'Traces that are not decided yet',
    about: 'pillion_sampling_pending_traces. They wait for the end of their local root.',
    unit: 'short',
    queries: [series(chosen.value(sampling.pending), '{{instance}}')],
    empty: NOT_SAMPLING,
  }),
  lines({
    id: 113,
    title: 'Early and late',
    about:
      'Traces per second that were decided before their time (pillion_sampling_early_decisions_total): memory and large mean that forward.sampling.memory is too small. Spans per second that came after the decision (pillion_sampling_late_spans_total): raise decision_wait.',
    unit: 'cps',
    queries: [
      series(sum(chosen.rate(sampling.early), ['reason']), 'early: {{reason}}'),
      series(sum(chosen.rate(sampling.late), ['decision']), 'late spans {{decision}}'),
    ],
    empty: NOT_SAMPLING,
  }),
  lines({
    id: 114,
    title: 'Spans whose count is not known',
    about:
      'Spans per second sent on without a threshold (pillion_sampling_unthresholded_spans_total), and spans that came with one that contradicts their trace id (pillion_sampling_inconsistent_spans_total). Above 0, counts downstream are too low.',
    unit: 'cps',
    queries: [
      series(chosen.rate(sampling.unthresholded), '{{instance}} without a threshold'),
      series(chosen.rate(sampling.inconsistent), '{{instance}} inconsistent'),
    ],
    empty: NOT_SAMPLING,
  }),
])
