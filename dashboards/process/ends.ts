// The row of ends: why main processes ended.

import { exits } from '../../collectors/process.ts'
import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { sum } from '../promql.ts'
import { series } from '../query.ts'

export const endsRow: Row = folded(950, 'Ends', [
  lines({
    id: 95,
    title: 'Why it ended',
    about:
      'Ends of the main process within five minutes, by reason and by the evidence for it (app_process_exits_total). crash, oom and error are faults of the application; killed came from outside.',
    unit: 'short',
    queries: [
      series(
        sum(chosen.increase(exits, {}, '5m'), ['instance', 'reason', 'evidence']),
        '{{instance}} {{reason}} ({{evidence}})',
      ),
    ],
    empty: 'no main process has been looked for',
  }),
])
