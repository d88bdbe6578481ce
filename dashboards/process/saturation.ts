// The row of what is limited: how much of it is used, and when it runs out.

import { saturation, secondsToLimit } from '../../collectors/process.ts'
import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { series } from '../query.ts'
import { NOT_LIMITED, SATURATION_STEPS } from '../terms.ts'

export const saturationRow: Row = folded(960, 'What runs out', [
  lines({
    id: 96,
    title: 'Use of what is limited',
    about:
      'Memory, descriptors, threads, disk, ports and accept queue, each divided by its limit (app_saturation_ratio). At 100 % something fails.',
    unit: 'percentunit',
    queries: [series(chosen.value(saturation), '{{instance}} {{resource}}')],
    empty: NOT_LIMITED,
    steps: SATURATION_STEPS,
  }),
  lines({
    id: 97,
    title: 'Time to the limit',
    about:
      'Time until the limit at the growth of the last hour, by the slow end of the slope (app_saturation_seconds_to_limit). No line: it does not grow, or the hour is not over.',
    unit: 's',
    queries: [series(chosen.value(secondsToLimit), '{{instance}} {{resource}}')],
    empty: 'nothing that is limited grows',
  }),
])
