// The row of blame: why requests were slow.

import { blameSeconds, episodes, slowRequests } from '../../processors/blame.ts'
import { chosen, open, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { happening, sum } from '../promql.ts'
import { series } from '../query.ts'

const HERE = { service: { re: '$service' }, span_name: { re: '$span_name' } } as const
const NOTHING = 'no slow requests'

export const blameRow: Row = open(420, 'Why are requests slow?', [
  lines({
    id: 42,
    title: 'Time lost by cause',
    about:
      'Seconds per second by which slow requests took longer than the usual one of their operation, by cause (app_request_blame_seconds_total). throttled: raise the CPU limit. waiting_for_cpu: other work has the cores. dependency: look at that one. docs/insight.md says what each means.',
    unit: 's',
    queries: [series(happening(sum(chosen.rate(blameSeconds, HERE), ['cause'])), '{{cause}}')],
    empty: NOTHING,
    stacked: true,
  }),
  lines({
    id: 43,
    title: 'Slow requests by cause',
    about:
      'Slow requests per second by the cause that explains most of each (app_slow_requests_total). unexplained is an honest answer: no counter of the kernel shows it, or the request was too short.',
    unit: 'reqps',
    queries: [series(happening(sum(chosen.rate(slowRequests, HERE), ['cause'])), '{{cause}}')],
    empty: NOTHING,
    stacked: true,
  }),
  lines({
    id: 44,
    title: 'Time lost by operation',
    about:
      'Seconds per second by which slow requests took longer than usual, by operation (app_request_blame_seconds_total).',
    unit: 's',
    queries: [series(happening(sum(chosen.rate(blameSeconds, HERE), ['span_name'])), '{{span_name}}')],
    empty: NOTHING,
    stacked: true,
  }),
  lines({
    id: 49,
    title: 'Episodes of slow requests',
    about:
      'Episodes that began, by operation and cause (app_slow_episodes_total). The page of the sidecar tells each in a sentence.',
    unit: 'short',
    queries: [series(sum(chosen.happened(episodes, HERE), ['span_name', 'cause']), '{{span_name}}: {{cause}}')],
    empty: 'no episodes',
  }),
])
