// The row of the sidecar as a Node process.

import { families as app } from '../../collectors/process.ts'
import { buildInfo, borrowed as ours, uncaughtExceptions } from '../../collectors/self.ts'
import { chosen, folded, type Row } from '../board.ts'
import { CELL } from '../links.ts'
import { lines, table } from '../panels.ts'
import { binary, labelled, max, sum } from '../promql.ts'
import { now, series } from '../query.ts'
import { NO_SIDECAR } from '../terms.ts'

export const nodeRow: Row = folded(700, 'Node', [
  lines({
    id: 70,
    title: 'Heap',
    about: 'JavaScript heap used and held, and memory outside it (pillion_nodejs_…_bytes). It should be flat.',
    unit: 'bytes',
    queries: [
      series(chosen.value(ours.heapUsed), '{{instance}} used'),
      series(chosen.value(ours.heapTotal), '{{instance}} held'),
      series(chosen.value(ours.externalMemory), '{{instance}} outside'),
    ],
    empty: NO_SIDECAR,
  }),
  lines({
    id: 71,
    title: 'Garbage collection',
    about:
      'Share of the time spent collecting garbage, by kind (pillion_nodejs_gc_duration_seconds). Above a few per cent is bad.',
    unit: 'percentunit',
    queries: [series(chosen.summed(ours.gcDuration), '{{instance}} {{kind}}')],
    empty: 'no garbage collected yet',
  }),
  lines({
    id: 72,
    title: 'Open files of the sidecar',
    about: 'Open file descriptors (pillion_process_open_fds) against their limit.',
    unit: 'short',
    queries: [
      series(chosen.value(ours.openFds), '{{instance}} open'),
      series(chosen.value(ours.maxFds), '{{instance}} limit'),
    ],
    empty: NO_SIDECAR,
    dashed: '.* limit',
  }),
  lines({
    id: 73,
    title: 'Address space of the sidecar',
    about:
      'Virtual memory and data segment (pillion_process_virtual_memory_bytes, pillion_process_heap_bytes). Large is normal for Node.',
    unit: 'bytes',
    queries: [
      series(chosen.value(ours.virtualMemory), '{{instance}} virtual'),
      series(chosen.value(ours.heap), '{{instance}} data'),
    ],
    empty: NO_SIDECAR,
  }),
  lines({
    id: 74,
    title: 'What the process collector leaves out',
    about:
      'Readings per second that left something out (pillion_process_over_limit_total). Above 0: raise process.processes_limit or process.threads_limit.',
    unit: 'cps',
    queries: [series(sum(chosen.rate(app.overLimit), ['what']), '{{what}}')],
    empty: NO_SIDECAR,
  }),
  lines({
    id: 76,
    title: 'Bugs in the sidecar',
    about:
      'Errors that nothing caught, within five minutes (pillion_uncaught_exceptions_total). Above 0: please report it with the log.',
    unit: 'short',
    queries: [series(chosen.increase(uncaughtExceptions, {}, '5m'), '{{instance}}')],
    empty: NO_SIDECAR,
  }),
  table({
    id: 75,
    title: 'Versions',
    about: 'Versions of the sidecars and of their Node (pillion_build_info). Several at once: a roll-out is under way.',
    by: { instance: 'Instance', version: 'Version', node: 'Node' },
    leads: { instance: CELL.instance },
    sorted: 'Since',
    columns: [
      {
        title: 'Since',
        query: now(
          labelled(
            max(chosen.value(buildInfo), ['instance', 'version', 'node']),
            binary(max(chosen.value(ours.startTime), ['instance']), '*', '1000'),
            ['instance'],
          ),
          '{{instance}}',
        ),
        unit: 'dateTimeAsIso',
      },
    ],
    empty: NO_SIDECAR,
    width: 8,
  }),
])
