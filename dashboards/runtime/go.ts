// Go: goroutines, memory against its goal, and how long goroutines wait to run.

import { chosen, folded, type Row } from '../board.ts'
import { lines } from '../panels.ts'
import { binary, max, quantile, sum } from '../promql.ts'
import { series } from '../query.ts'
import { either, PROCESS, WHO } from './measures.ts'
import { go } from './names.ts'

const NO_GO = 'no metrics of Go: neither go.… over OTLP nor those of client_golang'

export const goRow: Row = folded(600, 'Go', [
  lines({
    id: 60,
    title: 'Goroutines',
    about: 'Goroutines (go_goroutine_count, or go_goroutines). A number that only rises is a leak.',
    unit: 'short',
    queries: [
      series(either(sum(chosen.value(go.goroutines), PROCESS), sum(chosen.value(go.clientGoroutines), PROCESS)), WHO),
      series(sum(chosen.value(go.clientThreads), PROCESS), `${WHO} threads`),
    ],
    empty: NO_GO,
  }),
  lines({
    id: 61,
    title: 'Memory of Go',
    about:
      'Memory of heap and stacks (go_memory_used_bytes, or go_memstats_…_inuse_bytes), the heap at which the next collection begins, and the limit. Near the limit it collects all the time.',
    unit: 'bytes',
    queries: [
      series(
        either(
          sum(chosen.value(go.used), PROCESS),
          binary(sum(chosen.value(go.clientHeap), PROCESS), '+', sum(chosen.value(go.clientStack), PROCESS)),
        ),
        `${WHO} used`,
      ),
      series(
        either(sum(chosen.value(go.goal), PROCESS), sum(chosen.value(go.clientGoal), PROCESS)),
        `${WHO} next collection`,
      ),
      // Without GOMEMLIMIT the library names the largest number there is.
      series(
        binary(
          either(sum(chosen.value(go.limit), PROCESS), sum(chosen.value(go.clientLimit), PROCESS)),
          '<',
          '9000000000000000000',
        ),
        `${WHO} limit`,
      ),
    ],
    empty: NO_GO,
    dashed: '.* limit',
  }),
  lines({
    id: 62,
    title: 'Allocations',
    about:
      'Bytes allocated per second (go_memory_allocated_bytes_total, or go_memstats_alloc_bytes_total). More of it means more collections.',
    unit: 'Bps',
    queries: [
      series(either(sum(chosen.rate(go.allocated), PROCESS), sum(chosen.rate(go.clientAllocated), PROCESS)), WHO),
    ],
    empty: NO_GO,
  }),
  lines({
    id: 63,
    title: 'Waiting to run, p99',
    about:
      '99 of 100 goroutines that were ready waited at most this long for a thread (go_schedule_duration_seconds, or go_sched_latencies_seconds). Milliseconds mean too few cores.',
    unit: 's',
    queries: [
      series(
        either(
          quantile(0.99, sum(chosen.buckets(go.schedule), ['le', ...PROCESS])),
          quantile(0.99, sum(chosen.buckets(go.clientSchedule), ['le', ...PROCESS])),
        ),
        WHO,
      ),
    ],
    empty: NO_GO,
  }),
  lines({
    id: 64,
    title: 'Longest pause of a collection',
    about: 'The longest of the last pauses that stopped the program (go_gc_duration_seconds, quantile 1).',
    unit: 's',
    queries: [series(max(chosen.value(go.clientPause, { quantile: { re: '1|1\\.0' } }), PROCESS), WHO)],
    empty: 'only client_golang measures it',
  }),
])
