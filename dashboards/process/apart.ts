// The row of the descendants of the main process, when they are counted apart from it.

import { families as app } from '../../collectors/process.ts'
import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { series } from '../query.ts'

const APART = 'only with process.children: apart'

export const apartRow: Row = folded(700, 'Descendants apart', [
  lines({
    id: 70,
    title: 'CPU of descendants',
    about: 'Cores used by descendants (app_process_children_cpu_seconds_total), and waited for.',
    unit: 'short',
    queries: [
      series(chosen.rate(app.childrenCpu), '{{instance}} {{mode}}'),
      series(chosen.rate(app.childrenRunQueueWait), '{{instance}} waiting for a core'),
    ],
    empty: APART,
  }),
  lines({
    id: 71,
    title: 'Memory of descendants',
    about:
      'Memory of descendants in RAM and swapped out (app_process_children_resident_memory_bytes, app_process_children_swap_bytes).',
    unit: 'bytes',
    queries: [
      series(chosen.value(app.childrenResidentMemory), '{{instance}} resident'),
      series(chosen.value(app.childrenSwap), '{{instance}} swapped out'),
    ],
    empty: APART,
  }),
  lines({
    id: 72,
    title: 'Files and threads of descendants',
    about: 'Open file descriptors and threads of descendants. A line that only rises is a leak.',
    unit: 'short',
    queries: [
      series(chosen.value(app.childrenOpenFds), '{{instance}} open files'),
      series(chosen.value(app.childrenThreads), '{{instance}} threads'),
    ],
    empty: APART,
  }),
  lines({
    id: 73,
    title: 'Storage of descendants',
    about: 'Bytes that descendants fetched from and sent to storage per second.',
    unit: 'Bps',
    queries: [
      series(chosen.rate(app.childrenIoRead), '{{instance}} read'),
      series(chosen.rate(app.childrenIoWritten), '{{instance}} written'),
    ],
    empty: APART,
  }),
  lines({
    id: 74,
    title: 'Switches and faults of descendants',
    about: 'Context switches and page faults of descendants per second, by type.',
    unit: 'cps',
    queries: [
      series(chosen.rate(app.childrenContextSwitches), '{{instance}} {{type}} switches'),
      series(chosen.rate(app.childrenPageFaults), '{{instance}} {{type}} faults'),
    ],
    empty: APART,
  }),
])
