// The row of the critical path: what a request waits for, so that the sum of all is its duration.

import { asyncSeconds, pathSeconds } from '../../processors/path.ts'
import { chosen, open, type Row } from '../board.ts'
import { CELL } from '../links.ts'
import { lines, table } from '../panels.ts'
import { happening, split, sum } from '../promql.ts'
import { now, series } from '../query.ts'

const HERE = { service: { re: '$service' }, root_operation: { re: '$span_name' } } as const
const NO_PATH = 'no requests put together now'

export const pathRow: Row = open(450, 'Where does the time go?', [
  lines({
    id: 45,
    title: 'Where the time of an operation goes',
    about:
      'Seconds per second on the critical path of the chosen operations (traces_critical_path_seconds_total), by the span that the time belongs to. What runs beside something longer does not count, so the height of all is the time that requests took. Look at the thickest first.',
    unit: 's',
    queries: [series(happening(sum(chosen.rate(pathSeconds, HERE), ['operation'])), '{{operation}}')],
    empty: NO_PATH,
    stacked: true,
    width: 16,
    height: 10,
  }),
  table({
    id: 46,
    title: 'Share of the time',
    about:
      'Share of the time of the chosen operations by what it was spent on (traces_critical_path_seconds_total). Making one of them faster saves at most its share.',
    by: { operation: 'Operation', peer: 'Peer' },
    leads: { operation: CELL.step },
    columns: [
      {
        title: 'Share',
        query: now(
          split(sum(chosen.rate(pathSeconds, HERE), ['operation', 'peer']), sum(chosen.rate(pathSeconds, HERE)), []),
          '{{operation}}',
        ),
        unit: 'percentunit',
      },
    ],
    empty: NO_PATH,
    sorted: 'Share',
    width: 8,
    height: 10,
  }),
  lines({
    id: 47,
    title: 'Spent on tries that failed',
    about:
      'Seconds per second of the critical path that went to tries that failed and were repeated (traces_critical_path_seconds_total with retry="true").',
    unit: 's',
    queries: [
      series(happening(sum(chosen.rate(pathSeconds, { ...HERE, retry: 'true' }), ['operation'])), '{{operation}}'),
    ],
    empty: 'nothing was repeated',
  }),
  lines({
    id: 48,
    title: 'Work after the answer',
    about:
      'Seconds per second of spans past the end of their parent, and of consumers (traces_critical_path_async_seconds_total). Nobody waited for it.',
    unit: 's',
    queries: [series(happening(sum(chosen.rate(asyncSeconds, HERE), ['operation'])), '{{operation}}')],
    empty: 'nothing went on after its parent',
  }),
])
