// The row of the sampler: how often the application is looked at, how late, and what that costs.

import * as moments from '../../collectors/moments.ts'
import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { sum } from '../promql.ts'
import { series } from '../query.ts'

export const momentsRow: Row = folded(1600, 'Moments of the application', [
  lines({
    id: 160,
    title: 'Moments per second',
    about:
      'Moments of the application read per second (pillion_moments_total): moments.rest at rest, moments.busy while spans come in.',
    unit: 'cps',
    queries: [series(sum(chosen.rate(moments.rows), ['instance']), '{{instance}}')],
    empty: 'no moments: moments.enabled is false, or there is no process',
  }),
  lines({
    id: 161,
    title: 'Time spent, and how late',
    about:
      'Seconds per second that reading moments took (pillion_moments_seconds_total), and by how much they were late (pillion_moments_late_seconds_total). Late ones explain less: the machine is too full.',
    unit: 'percentunit',
    queries: [
      series(sum(chosen.rate(moments.seconds), ['instance']), '{{instance}} reading'),
      series(sum(chosen.rate(moments.late), ['instance']), '{{instance}} late'),
    ],
    empty: 'no moments: moments.enabled is false, or there is no process',
  }),
  lines({
    id: 162,
    title: 'Moments kept',
    about: 'Moments in memory (pillion_moments_held): the time that slow requests can be explained in.',
    unit: 'short',
    queries: [series(chosen.value(moments.held), '{{instance}}')],
    empty: 'no moments: moments.enabled is false, or there is no process',
  }),
])
