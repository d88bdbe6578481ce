// The row of the traces in memory: how far back they go, what is pinned, and who asks.

import * as traces from '../../exporter/traces.ts'
import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { binary, happening, sum } from '../promql.ts'
import { series } from '../query.ts'

const NO_TRACES = 'no traces kept'

export const tracesRow: Row = folded(800, 'Traces in memory', [
  lines({
    id: 80,
    title: 'How far back memory goes',
    about:
      'Age of the oldest span in memory (pillion_traces_oldest_timestamp_seconds). Pinned traces are older. Too short: raise traces.keep.',
    unit: 's',
    queries: [series(binary('time()', '-', chosen.value(traces.oldest)), '{{instance}}')],
    empty: NO_TRACES,
  }),
  lines({
    id: 81,
    title: 'Spans in memory',
    about: 'Spans kept (pillion_traces_kept_spans), those of pinned traces included.',
    unit: 'short',
    queries: [series(chosen.value(traces.keptSpans), '{{instance}}')],
    empty: NO_TRACES,
  }),
  lines({
    id: 82,
    title: 'Bytes of spans in memory',
    about: 'Bytes of the spans kept (pillion_traces_kept_bytes). It should be flat once memory is full.',
    unit: 'bytes',
    queries: [series(chosen.value(traces.keptBytes), '{{instance}}')],
    empty: NO_TRACES,
  }),
  lines({
    id: 83,
    title: 'Spans evicted',
    about:
      'Spans per second that left memory, by reason (pillion_traces_evicted_spans_total). newer is normal; others never were in it.',
    unit: 'cps',
    queries: [series(happening(sum(chosen.rate(traces.evicted), ['reason'])), '{{reason}}')],
    empty: 'nothing evicted',
  }),
  lines({
    id: 84,
    title: 'Pinned traces',
    about:
      'Traces that stay although they are old (pillion_traces_pinned_traces): exemplars name them, or they are errors, slow, or were opened.',
    unit: 'short',
    queries: [series(chosen.value(traces.pinned), '{{instance}}')],
    empty: NO_TRACES,
  }),
  lines({
    id: 85,
    title: 'Exemplars without their trace',
    about:
      'Exemplars that would lead nowhere (pillion_traces_exemplars_unresolved, always 0), and those removed per second since their trace could not be kept (pillion_traces_exemplars_dropped_total). Above 0: raise traces.keep.',
    unit: 'short',
    queries: [
      series(chosen.value(traces.unresolved), '{{instance}} unresolved'),
      series(chosen.rate(traces.exemplarsDropped), '{{instance}} removed'),
    ],
    empty: NO_TRACES,
  }),
  lines({
    id: 86,
    title: 'Queries over traces',
    about:
      'Queries of Grafana’s Tempo data source per second, by kind and outcome (pillion_traces_queries_total). timeout or busy: narrow the time range.',
    unit: 'reqps',
    queries: [series(happening(sum(chosen.rate(traces.queries), ['kind', 'outcome'])), '{{kind}} {{outcome}}')],
    empty: 'nothing asked',
  }),
])
