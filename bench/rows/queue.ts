// The cost of the queue on disk: CPU for each megabyte, and how long it holds the event loop.

import { fileURLToPath } from 'node:url'
import { errand } from '../errand.ts'
import { type Row as Line, median, table } from '../figures.ts'
import type { QueueResult, QueueTask } from '../queue.ts'
import type { Row } from '../run.ts'

const MODULE = fileURLToPath(new URL('../queue.ts', import.meta.url))

/** Requests of so many spans have about so many bytes. */
const SIZES = [
  { spans: 512, request: 170_000 },
  { spans: 20, request: 6500 },
]

export const queue: Row = {
  name: 'queue',
  title: 'The queue on disk',
  async measure(run) {
    const lines: Line[] = []
    let most = 0
    for (const { spans, request } of SIZES)
      for (const sync of ['interval', 'request'] as const)
        for (const behind of [false, true]) {
          const results: QueueResult[] = []
          const total = (run.quick ? 50e6 : 200e6) / (sync === 'request' ? 5 : 1)
          const task: QueueTask = { folder: run.folder, request, total, sync, behind }
          // The errand prints what this type says.
          for (let i = 0; i < run.rounds; i++) results.push((await errand(MODULE, task)) as QueueResult)
          const of = (pick: (result: QueueResult) => number): number => median(results.map(pick))
          most = Math.max(most, ...results.map(({ held }) => held))
          const writing = of(each => each.writing)
          lines.push([
            `${spans} spans a request, sync: ${sync}${behind ? ', then read' : ''}`,
            writing.toFixed(2),
            behind ? of(each => each.reading).toFixed(2) : '–',
            of(each => each.held).toFixed(1),
          ])
          if (sync === 'interval')
            run.budget(
              `queue on disk, ${spans} a request${behind ? ', upstream behind' : ''}: CPU a MB`,
              '≤ 3 ms',
              `${writing.toFixed(2)} ms`,
              writing <= 3,
            )
        }
    run.budget('queue on disk: loop held, CPU', '≤ 50 ms', `${most.toFixed(1)} ms`, most <= 50)
    return `Eight senders that each wait for their answer. An upstream that keeps up is sent everything from memory; one that is behind has it read from the files.\n\n${table(['', 'CPU ms a MB written', 'a MB read', 'loop held, ms'], lines)}`
  },
}
